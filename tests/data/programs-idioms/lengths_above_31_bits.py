# expect: accepted
# Where CPython of 64 bits says 10000000000, unless `len` stands before the range itself; what needs no length is the
# same.
from itertools import islice

numbers = range(10**10)
try:
    print(len(numbers))
except OverflowError:
    pass
try:
    print(next(islice(numbers, 2**31)))
except ValueError:
    pass
assert numbers[5 * 10**9] == 5 * 10**9 and numbers[-1] == 10**10 - 1
assert 10**10 - 1 in numbers and 10**10 not in numbers
assert len(numbers[: 2**31 - 1]) == 2**31 - 1
assert next(islice(numbers, 2**31 - 1)) == 0
print("ok")
