# expect: runtime-error or memory-limit
import os

print(len(os.urandom(2**30)))
