"""Insertion into sorted lists: moves what stands behind as one piece.

`list.insert` moves element by element, in a loop that CPython's native build turns into a copy of memory and this build
does not: it takes ten times as long, and is charged so. An assignment to an empty slice copies memory in both.
"""

import bisect

# Below this length the loop is short, and the call of a function in Python is what costs.
SHORT = 200


def long_insertion(native, search):
    """A function of `bisect` that inserts into long lists by a slice."""

    def insort(a, x, lo=0, hi=None, *, key=None):
        if type(a) is not list or len(a) < SHORT:
            native(a, x, lo, hi, key=key)
            return
        place = search(a, x if key is None else key(x), lo, hi, key=key)
        a[place:place] = (x,)

    insort.__name__ = insort.__qualname__ = native.__name__
    insort.__module__ = "bisect"
    insort.__doc__ = native.__doc__
    return insort


def install():
    """Puts them in the place of `bisect.insort` and its two names."""
    bisect.insort_left = long_insertion(bisect.insort_left, bisect.bisect_left)
    bisect.insort = bisect.insort_right = long_insertion(bisect.insort_right, bisect.bisect_right)
