# expect: memory-limit or time-limit
# Memory ends at two million calls, and the interpreter looks through all of them while it raises that: how often hangs
# on where its heap stood when the runner was built.
import sys

sys.setrecursionlimit(2**31 - 1)


def deeper(n):
    return deeper(n + 1) + 1


deeper(0)
