# expect: accepted
import sys
from functools import lru_cache

sys.setrecursionlimit(10**6)


@lru_cache(maxsize=200_000)
def count(n):
    return n and 1 + count(n - 1)


@lru_cache
def least(n):
    return n and least(n - 1)


@lru_cache(2)
def recent(n):
    calls.append(n)
    return n


assert count(50_000) == 50_000 and count.cache_info() == (0, 50_001, 200_000, 50_001)
assert least(20_000) == 0 and least.cache_info() == (0, 20_001, 128, 128)
calls = []
for n in (1, 2, 1, 3, 1, 2):
    assert recent(n) == n
assert calls == [1, 2, 3, 2] and recent.cache_info() == (2, 4, 2, 2)
assert recent.cache_parameters() == {"maxsize": 2, "typed": False} and recent.__name__ == "recent"
recent.cache_clear()
assert recent.cache_info() == (0, 0, 2, 0)
print("ok")
