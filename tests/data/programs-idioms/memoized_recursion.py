# expect: accepted
import sys
from functools import lru_cache

sys.setrecursionlimit(10**6)


@lru_cache(None)
def depth(n):
    return 0 if n == 0 else depth(n - 1) + 1


print("ok" if depth(50000) == 50000 and depth.cache_info().currsize == 50001 else "no")
