# expect: accepted
import os

print("ok" if not os.environ else "no")
