"""The word size: makes this 32-bit build look like the 64-bit one that programs are written for, where it can.

`INF = sys.maxsize` must exceed every sum, `array('l')` must hold eight bytes, and a search over `range(10**18)` must
find. What still differs: `len` and `islice` refuse numbers above 2**31 - 1, and hashes of large integers.
"""

import array
import bisect
import builtins
import random
import re
import sys

# The longest sequence that this build knows.
LENGTH_MAX = 2**31 - 1

# A search that may be longer: over a range that is no loop's, over a class of the program's own, or between bounds that
# it names as powers.
LONG_SEARCH = re.compile(r"bisect|insort")
LONG_SEQUENCE = re.compile(r"(?<!\bin )\brange\b|__getitem__|__len__")
LENGTH_OF_RANGE = re.compile(r"\blen\s*\(\s*range\b")


native_len = len


def length(sequence, /):
    """`len`, also where it is above 31 bits."""
    try:
        return native_len(sequence)
    except OverflowError:
        if type(sequence) is not range:
            return int(type(sequence).__len__(sequence))
        return (sequence[-1] - sequence[0]) // sequence.step + 1


def long_search(native, is_right):
    """A function of `bisect` whose positions may be above 31 bits."""

    def search(a, x, lo=0, hi=None, *, key=None):
        if hi is None:
            hi = length(a)
        if hi <= LENGTH_MAX:
            return native(a, x, lo, hi, key=key)
        if lo < 0:
            raise ValueError("lo must be non-negative")
        while lo < hi:
            middle = (lo + hi) // 2
            value = a[middle] if key is None else key(a[middle])
            if not (x < value) if is_right else value < x:
                lo = middle + 1
            else:
                hi = middle
        return lo

    search.__name__ = search.__qualname__ = native.__name__
    search.__module__ = "bisect"
    search.__doc__ = native.__doc__
    return search


def prepare(code):
    """Changes what would slow down every program, for those programs that may need it: a call of Python's own costs
    twice what the native search does."""
    if LONG_SEARCH.search(code) and LONG_SEQUENCE.search(code):
        bisect.bisect_left = long_search(bisect.bisect_left, False)
        bisect.bisect = bisect.bisect_right = long_search(bisect.bisect_right, True)
    if LENGTH_OF_RANGE.search(code):
        builtins.len = length


def install():
    """Makes words look wider, for every program."""
    sys.maxsize = 2**63 - 1
    native = array.array

    class Array(native):
        __slots__ = ()

        def __new__(cls, typecode, *initial):
            return native.__new__(cls, {"l": "q", "L": "Q"}.get(typecode, typecode), *initial)

    Array.__name__ = Array.__qualname__ = "array"
    Array.__module__ = "array"
    array.array = array.ArrayType = Array
    # `random.sample(range(10**12), k)` and `random.choice` ask for a length and nothing else that is short.
    random.len = length
