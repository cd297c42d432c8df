# expect: runtime-error: RecursionError
import sys

sys.setrecursionlimit(10**6)


def deeper(n):
    return sorted([n], key=deeper)


deeper(0)
