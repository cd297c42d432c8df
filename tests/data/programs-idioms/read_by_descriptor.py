# expect: accepted
import os

print("ok" if os.read(0, os.fstat(0).st_size) == b"5\n" else "no")
