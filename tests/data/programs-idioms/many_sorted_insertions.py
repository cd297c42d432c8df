# expect: accepted
# A second of fuel suffices, as a second does for CPython.
import bisect
import random

random.seed(1)
numbers = []
for _ in range(100_000):
    bisect.insort(numbers, random.random())
assert numbers == sorted(numbers) and len(numbers) == 100_000

pairs = [(n // 2, "old") for n in range(1000)]
bisect.insort_left(pairs, (250, "left"), key=lambda pair: pair[0])
bisect.insort_right(pairs, (250, "right"), key=lambda pair: pair[0])
assert [name for number, name in pairs if number == 250] == ["left", "old", "old", "right"]
bisect.insort(pairs, (-1, "first"), 5, 7)
assert pairs[5] == (-1, "first")
print("ok")
