"""Fragments: the conditions, maps and reductions that statements and programs are composed of.

A fragment says one thing three times: in words, in Python source, and as a function for the oracle. Source and
function are written apart from each other, so that a slip in one shows against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from random import Random


@dataclass(frozen=True)
class Fragment:
    """A condition or a map on one item `x`."""

    name: str
    constants: tuple
    texts: tuple[str, ...]
    code: str
    apply: Callable
    signed: bool = False
    """Whether it only makes sense when some inputs are negative."""
    ring: bool = False
    """Whether it takes remainders or digits and so wants inputs of at least 0."""


def number_condition(rng: Random, signed_allowed: bool = True) -> Fragment:
    """A condition on an integer, worded to follow a plural noun."""
    k = rng.randint(3, 25)
    d = rng.randint(2, 9)
    r = rng.randrange(1, d)
    kind = rng.randrange(14)
    if kind == 0:
        return Fragment("greater_than", (k,), (f"greater than {k}", f"above {k}"), f"x > {k}", lambda x: not x <= k)
    if kind == 1:
        return Fragment("less_than", (k,), (f"less than {k}", f"below {k}"), f"x < {k}", lambda x: not x >= k)
    if kind == 2:
        return Fragment("at_least", (k,), (f"that are at least {k}", f"not below {k}"), f"x >= {k}", lambda x: not x < k)
    if kind == 3:
        return Fragment("at_most", (k,), (f"that are at most {k}", f"not above {k}"), f"x <= {k}", lambda x: not x > k)
    if kind in (4, 5):
        return Fragment("divisible", (d,), (f"divisible by {d}", f"that {d} divides"), f"x % {d} == 0", lambda x: x // d * d == x, ring=True)
    if kind == 6:
        return Fragment("not_divisible", (d,), (f"not divisible by {d}", f"that {d} does not divide"), f"x % {d} != 0", lambda x: x // d * d != x, ring=True)
    if kind == 7:
        return Fragment("even", (), ("that are even", "with even value"), "x % 2 == 0", lambda x: not x & 1, ring=True)
    if kind == 8:
        return Fragment("odd", (), ("that are odd", "with odd value"), "x % 2 == 1", lambda x: bool(x & 1), ring=True)
    if kind == 9:
        high = k + rng.randint(3, 9)
        return Fragment("between", (k, high), (f"from {k} to {high}", f"between {k} and {high} inclusive"), f"{k} <= x <= {high}", lambda x: x in range(k, high + 1))
    if kind == 10:
        d = max(d, 3)
        r = rng.randrange(1, d)
        return Fragment("remainder", (r, d), (f"leaving remainder {r} modulo {d}", f"equal to {r} modulo {d}"), f"x % {d} == {r}", lambda x: x - x // d * d == r, ring=True)
    if kind == 11:
        e = rng.randint(0, 9)
        return Fragment("last_digit_is", (e,), (f"ending in digit {e}", f"whose last digit is {e}"), f"x % 10 == {e}", lambda x: str(x)[-1] == str(e), ring=True)
    if kind == 12 and signed_allowed:
        if rng.random() < 0.5:
            return Fragment("negative", (), ("that are negative", "below zero"), "x < 0", lambda x: not x >= 0, signed=True)
        return Fragment("positive", (), ("that are positive", "above zero"), "x > 0", lambda x: not x <= 0, signed=True)
    return Fragment("different_from", (k,), (f"different from {k}", f"not equal to {k}"), f"x != {k}", lambda x: bool(x - k))


def number_map(rng: Random, signed_allowed: bool = True) -> Fragment:
    """A map on an integer, worded as an order."""
    k = rng.randint(2, 12)
    d = rng.randint(3, 9)
    kind = rng.randrange(11 if signed_allowed else 10)
    if kind in (0, 1):
        return Fragment("add", (k,), (f"add {k} to each", f"increase each by {k}"), f"x + {k}", lambda x: sum((x, k)))
    if kind == 2:
        return Fragment("subtract", (k,), (f"subtract {k} from each", f"decrease each by {k}"), f"x - {k}", lambda x: -(k - x))
    if kind in (3, 4):
        return Fragment("multiply", (k,), (f"multiply each by {k}", f"take each {k} times"), f"x * {k}", lambda x: sum([x] * k))
    if kind == 5:
        return Fragment("square", (), ("square each", "replace each by its square"), "x * x", lambda x: abs(x) ** 2)
    if kind == 6:
        return Fragment("modulo", (d,), (f"take each modulo {d}", f"replace each by its remainder modulo {d}"), f"x % {d}", lambda x: x - x // d * d, ring=True)
    if kind == 7:
        return Fragment("integer_halves", (d,), (f"divide each by {d} rounding down", f"take each integer quotient by {d}"), f"x // {d}", lambda x: (x - x % d) // d, ring=True)
    if kind == 8:
        return Fragment("take_from", (k + 20,), (f"subtract each from {k + 20}", f"replace each by {k + 20} minus it"), f"{k + 20} - x", lambda x: -(x - k - 20))
    if kind == 9:
        return Fragment("final_digit", (), ("keep only each last digit", "replace each by its last digit"), "x % 10", lambda x: int(str(x)[-1]), ring=True)
    return Fragment("absolute", (), ("take each absolute value", "drop each sign"), "abs(x)", lambda x: -x if x < 0 else x, signed=True)


def clash(*fragments: Fragment) -> bool:
    """Whether one fragment wants negative inputs and another cannot have them."""
    return any(f.signed for f in fragments) and any(f.ring for f in fragments)


@dataclass(frozen=True)
class Reduction:
    """What is printed of the list `b`. `{x}` in a text stands for the items."""

    name: str
    texts: tuple[str, ...]
    code: str
    apply: Callable[[list], object]
    header: str = ""
    needs_items: bool = False
    """Whether an empty list has no answer."""


def _gcd(values: list[int]) -> int:
    def step(a: int, b: int) -> int:
        while b:
            a, b = b, a % b
        return abs(a)

    return reduce(step, values, 0)


def _spaced(values) -> str:
    return " ".join(str(v) for v in values)


REDUCTIONS: dict[str, Reduction] = {
    r.name: r
    for r in (
        Reduction("sum", ("the sum of {x}", "the total of {x}"), "print(sum(b))", lambda b: reduce(lambda p, q: p + q, b, 0)),
        Reduction("count", ("the number of {x}", "the count of {x}"), "print(len(b))", lambda b: sum(1 for _ in b)),
        Reduction("largest", ("the largest of {x}", "the maximum of {x}"), "print(max(b, default=0))", lambda b: sorted(b)[-1], needs_items=True),
        Reduction("smallest", ("the smallest of {x}", "the minimum of {x}"), "print(min(b, default=0))", lambda b: sorted(b)[0], needs_items=True),
        Reduction("list", ("{x} in the given order", "{x} in input order"), "print(*b)", lambda b: _spaced(b), needs_items=True),
        Reduction("reversed", ("{x} in reverse order", "{x} from last to first"), "print(*b[::-1])", lambda b: _spaced(reversed(b)), needs_items=True),
        Reduction("ascending", ("{x} in ascending order", "{x} sorted"), "print(*sorted(b))", lambda b: _spaced(_insertion(b)), needs_items=True),
        Reduction("descending", ("{x} in descending order", "{x} sorted downwards"), "print(*sorted(b)[::-1])", lambda b: _spaced(reversed(_insertion(b))), needs_items=True),
        Reduction("distinct", ("the number of different values among {x}", "how many distinct values occur among {x}"), "print(len(set(b)))", lambda b: sum(1 for i, v in enumerate(b) if v not in b[:i])),
        Reduction("spread", ("the largest minus the smallest of {x}", "the range of {x}"), "print(max(b, default=0) - min(b, default=0))", lambda b: max(p - q for p in b for q in b), needs_items=True),
        Reduction("product", ("the product of {x}", "{x} multiplied together"), "print(prod(b))", lambda b: reduce(lambda p, q: p * q, b, 1), header="from math import prod"),
        Reduction("gcd", ("the greatest common divisor of {x}", "the gcd of {x}"), "print(gcd(*b))", _gcd, header="from math import gcd"),
        Reduction("average", ("the average of {x} rounded down", "the mean of {x} rounded down"), "print(sum(b) // max(1, len(b)))", lambda b: (sum(b) - sum(b) % len(b)) // len(b), needs_items=True),
        Reduction("last", ("the last of {x}", "the final one of {x}"), "print(*b[-1:])", lambda b: list(reversed(b))[0], needs_items=True),
        Reduction("first", ("the first of {x}", "the earliest of {x}"), "print(*b[:1])", lambda b: list(reversed(b))[-1], needs_items=True),
        Reduction("unique", ("{x} in ascending order without repeats", "the distinct values of {x} sorted"), "print(*sorted(set(b)))", lambda b: _spaced(_insertion([v for i, v in enumerate(b) if v not in b[:i]])), needs_items=True),
    )
}


def _insertion(values: list) -> list:
    out: list = []
    for value in values:
        place = len(out)
        while place and out[place - 1] > value:
            place -= 1
        out.insert(place, value)
    return out


def char_condition(rng: Random) -> Fragment:
    """A condition on one character, worded to follow a plural noun."""
    kind = rng.randrange(8)
    letters = "aeimorst"
    c, d = sorted(rng.sample(letters, 2))
    if kind == 0:
        return Fragment("is_digit", (), ("that are digits",), "x.isdigit()", lambda x: "0" <= x <= "9")
    if kind == 1:
        return Fragment("is_upper", (), ("that are uppercase letters",), "x.isupper()", lambda x: "A" <= x <= "Z")
    if kind == 2:
        return Fragment("is_lower", (), ("that are lowercase letters",), "x.islower()", lambda x: "a" <= x <= "z")
    if kind == 3:
        return Fragment("is_letter", (), ("that are letters",), "x.isalpha()", lambda x: not "0" <= x <= "9")
    if kind in (4, 5):
        return Fragment("is_one_of", (c, d), (f"equal to {c} or {d}", f"that are {c} or {d}"), f'x in "{c}{d}"', lambda x: x == c or x == d)
    if kind == 6:
        return Fragment("is_not", (c,), (f"different from {c}", f"other than {c}"), f'x != "{c}"', lambda x: not x == c)
    e = rng.randint(2, 7)
    return Fragment("digit_above", (e,), (f"that sort after digit {e}",), f'x > "{e}"', lambda x: ord(x) > ord(str(e)))


def word_condition(rng: Random) -> Fragment:
    """A condition on a word, worded to follow a plural noun."""
    k = rng.randint(3, 6)
    c = rng.choice("aceglmoprstw")
    kind = rng.randrange(8)
    if kind == 0:
        return Fragment("longer_than", (k,), (f"longer than {k} letters", f"with more than {k} letters"), f"len(x) > {k}", lambda x: x[k:] != "")
    if kind == 1:
        return Fragment("shorter_than", (k + 1,), (f"shorter than {k + 1} letters", f"with fewer than {k + 1} letters"), f"len(x) < {k + 1}", lambda x: x[k:] == "")
    if kind == 2:
        return Fragment("length_is", (k,), (f"of exactly {k} letters", f"with length {k}"), f"len(x) == {k}", lambda x: x[k:] == "" and x[k - 1 :] != "")
    if kind in (3, 4):
        return Fragment("starts_with", (c,), (f"starting with {c}", f"whose first letter is {c}"), f'x[0] == "{c}"', lambda x: x.find(c) == 0)
    if kind == 5:
        return Fragment("ends_with", (c,), (f"ending with {c}", f"whose last letter is {c}"), f'x[-1] == "{c}"', lambda x: x.rfind(c) == len(x) - 1)
    if kind == 6:
        return Fragment("contains", (c,), (f"containing {c}", f"that contain letter {c}"), f'"{c}" in x', lambda x: x.count(c) > 0)
    return Fragment("lacks", (c,), (f"without letter {c}", f"that lack {c}"), f'"{c}" not in x', lambda x: x.count(c) == 0)


def word_map(rng: Random) -> Fragment:
    """A map on a word, worded as an order."""
    c = rng.choice("xyzqk")
    k = rng.randint(1, 4)
    kind = rng.randrange(8)
    if kind == 0:
        return Fragment("upper", (), ("write each in uppercase", "capitalise all letters of each"), "x.upper()", lambda x: "".join(chr(ord(q) - 32) for q in x))
    if kind == 1:
        return Fragment("reverse", (), ("reverse each", "spell each backwards"), "x[::-1]", lambda x: "".join(reversed(x)))
    if kind in (2, 3):
        return Fragment("prefix", (k,), (f"cut each to {k} letters", f"shorten each to its first {k} letters"), f"x[:{k}]", lambda x: "".join(q for i, q in enumerate(x) if i < k))
    if kind == 4:
        return Fragment("suffix", (k,), (f"drop the first {k} letters of each", f"remove {k} letters from the front of each"), f"x[{k}:]", lambda x: "".join(q for i, q in enumerate(x) if i >= k))
    if kind == 5:
        return Fragment("append", (c,), (f"append {c} to each", f"put {c} after each"), f'x + "{c}"', lambda x: "".join((x, c)))
    if kind == 6:
        return Fragment("prepend", (c,), (f"put {c} before each", f"start each with an extra {c}"), f'"{c}" + x', lambda x: "".join((c, x)))
    return Fragment("length", (), ("replace each by its length", "take each length"), "len(x)", lambda x: sum(1 for _ in x))
