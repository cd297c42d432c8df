# expect: accepted
import sys

sys.setrecursionlimit(10**6)


def depth(n):
    return 0 if n == 0 else depth(n - 1) + 1


print("ok" if depth(100000) == 100000 else "no")
