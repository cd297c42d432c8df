# expect: accepted
import sys

print("ok" if sum([10**12] * 10) < sys.maxsize else "no")
