# expect: accepted
import sys

print("ok" if sys.stdin.buffer.read() == b"5\n" else "no")
