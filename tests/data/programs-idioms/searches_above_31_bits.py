# expect: accepted
import random
from bisect import bisect, bisect_left, bisect_right


class Squares:
    def __getitem__(self, place):
        return place * place

    def __len__(self):
        return 10**10


numbers = range(0, 10**18, 3)
assert bisect_left(numbers, 3 * 10**17) == 10**17
assert bisect_right(numbers, 3 * 10**17) == bisect(numbers, 3 * 10**17) == 10**17 + 1
assert bisect_left(range(10**15), 10**28, key=lambda x: x * x) == 10**14
assert bisect_left(range(10**10), True, lo=5, key=lambda x: x >= 7 * 10**9) == 7 * 10**9
assert bisect_left(Squares(), 10**18, 0, 10**12) == bisect_left(Squares(), 10**18) == 10**9
assert bisect_left([1, 2, 2, 3], 2) == 1 and bisect_right([1, 2, 2, 3], 2, 0, 2) == 2
assert bisect_left(range(9, -1, -1), -5, key=lambda x: -x) == 4

# CPython 3.11 draws the same.
random.seed(3)
assert random.sample(range(10**12), 3) == [649562111997, 144071367498, 522284859645]
assert random.choice(range(10**15)) == 653980177740966
assert len(range(10**10)) == 10**10 and len(range(5, 10**15, 7)) == 142857142857143
print("ok")
