# expect: accepted
import sys

print("ok" if [line for line in sys.stdin] == ["5\n"] else "no")
