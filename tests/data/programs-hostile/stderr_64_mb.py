# expect: output-limit
import os

block = b"x" * (1 << 20)
for _ in range(64):
    os.write(2, block)
print("ok")
