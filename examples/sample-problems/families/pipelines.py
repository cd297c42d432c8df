"""Pipelines: a source of items, an optional condition, an optional map, a reduction.

Each pair of a source and a reduction is a family; its siblings differ in the condition and the map between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from .core import Variant, family, integer_line, integers, program, text_line, word_line
from .fragments import (
    REDUCTIONS,
    Fragment,
    Reduction,
    char_condition,
    clash,
    number_condition,
    number_map,
    word_condition,
    word_map,
)


@dataclass(frozen=True)
class Source:
    """Where the items come from: the opening of the statement and of the program."""

    name: str
    intros: tuple[str, ...]
    noun: str
    lines: tuple[str, ...]
    items: Callable[[str], list]
    draw: Callable[[Random, tuple[int, ...], bool], str]
    condition: Callable[[Random], Fragment]
    map: Callable[[Random], Fragment]
    tags: tuple[str, ...]


def _line(rng: Random, focus: tuple, signed: bool) -> str:
    return integer_line(rng, focus, low=-12 if signed else 0)


def _digit_condition(rng: Random) -> Fragment:
    k = rng.randint(2, 7)
    kind = rng.randrange(7)
    if kind == 0:
        return Fragment("greater_than", (k,), (f"greater than {k}", f"above {k}"), f"x > {k}", lambda x: not x <= k)
    if kind == 1:
        return Fragment("less_than", (k,), (f"less than {k}", f"below {k}"), f"x < {k}", lambda x: not x >= k)
    if kind == 2:
        return Fragment("different_from", (k,), (f"different from {k}", f"not equal to {k}"), f"x != {k}", lambda x: bool(x - k))
    if kind == 3:
        return Fragment("even", (), ("that are even", "with even value"), "x % 2 == 0", lambda x: x in (0, 2, 4, 6, 8), ring=True)
    if kind == 4:
        return Fragment("odd", (), ("that are odd", "with odd value"), "x % 2 == 1", lambda x: x in (1, 3, 5, 7, 9), ring=True)
    if kind == 5:
        high = min(9, k + rng.randint(1, 4))
        return Fragment("between", (k, high), (f"from {k} to {high}", f"between {k} and {high} inclusive"), f"{k} <= x <= {high}", lambda x: x in range(k, high + 1))
    return Fragment("divisible", (3,), ("divisible by 3", "that 3 divides"), "x % 3 == 0", lambda x: x in (0, 3, 6, 9), ring=True)


def _unsigned_condition(rng: Random) -> Fragment:
    return number_condition(rng, signed_allowed=False)


def _unsigned_map(rng: Random) -> Fragment:
    return number_map(rng, signed_allowed=False)


def _one(low: int, high: int) -> Callable:
    return lambda rng, focus, signed: f"{rng.randint(low, high)}\n"


def _span(rng: Random, focus: tuple, signed: bool) -> str:
    start = rng.randint(1, 25)
    return f"{start} {start + rng.randint(0, 18)}\n"


def _is_prime(n: int) -> bool:
    return n > 1 and [d for d in range(1, n + 1) if n % d == 0] == [1, n]


READ_INTEGERS = "a = list(map(int, input().split()))"

LINE = Source(
    "line", ("Read a line of integers.", "One line holds integers.", "Input is a line of integers."), "integers",
    (READ_INTEGERS,), integers, _line, number_condition, number_map, ("implementation",),
)
DIGITS = Source(
    "digits", ("Read a number. Look at its digits.", "Split the input number into digits.", "Take the digits of a number."), "digits",
    ("a = [int(c) for c in input()]",), lambda text: [ord(c) - 48 for c in text.strip()],
    lambda rng, focus, signed: str(rng.randint(10 ** 3, 10 ** 9)) + "\n", _digit_condition, _unsigned_map, ("implementation",),
)
COUNTING = Source(
    "counting", ("Read n. Consider 1 to n.", "Given n, look at 1 to n.", "Read n and list 1 to n."), "numbers",
    ("n = int(input())", "a = range(1, n + 1)"), lambda text: [i + 1 for i in range(int(text))],
    _one(5, 40), _unsigned_condition, _unsigned_map, ("math",),
)
SPAN = Source(
    "span", ("Read l and r. Consider l to r.", "Given l and r, look at l to r."), "numbers",
    ("l, r = map(int, input().split())", "a = range(l, r + 1)"),
    lambda text: [i for i in range(integers(text)[1] + 1) if i >= integers(text)[0]],
    _span, _unsigned_condition, _unsigned_map, ("math",),
)
DIVISORS = Source(
    "divisors", ("Read n. List its divisors.", "Find the divisors of n.", "Given n, take its divisors."), "divisors",
    ("n = int(input())", "a = [d for d in range(1, n + 1) if n % d == 0]"),
    lambda text: sorted({d for i in range(1, 20) if int(text) % i == 0 for d in (i, int(text) // i)}),
    lambda rng, focus, signed: f"{rng.choice((6, 12, 18, 20, 24, 30, 36, 40, 42, 48, 54, 60, 72, 80, 84, 90, 96, 100, 108, 120, 126, 144, 168, 180, 200, 210, 240, 252, 280, 300, 330, 360))}\n",
    _unsigned_condition, _unsigned_map, ("number theory", "math"),
)
PRIMES = Source(
    "primes", ("Read n. List the primes up to n.", "Find all primes up to n.", "Given n, take the primes up to n."), "primes",
    ("n = int(input())", "a = [p for p in range(2, n + 1) if all(p % d for d in range(2, p))]"),
    lambda text: [p for p in range(int(text) + 1) if _is_prime(p)],
    _one(8, 60), _unsigned_condition, _unsigned_map, ("number theory", "math"),
)
GAPS = Source(
    "gaps", ("Read a line of integers. Take gaps between neighbours.", "For integers on one line, take each next minus previous."), "gaps",
    (READ_INTEGERS, "a = [q - p for p, q in zip(a, a[1:])]"),
    lambda text: [integers(text)[i] - integers(text)[i - 1] for i in range(1, len(integers(text)))],
    lambda rng, focus, signed: integer_line(rng, low=0, high=40, size=(5, 10)), number_condition, number_map, ("implementation",),
)
PREFIXES = Source(
    "prefixes", ("Read a line of integers. Take its prefix sums.", "Compute prefix sums of the input integers."), "prefix sums",
    (READ_INTEGERS, "a = [sum(a[:i + 1]) for i in range(len(a))]"),
    lambda text: [sum(v for j, v in enumerate(integers(text)) if j <= i) for i in range(len(integers(text)))],
    lambda rng, focus, signed: integer_line(rng, low=0, high=9, size=(5, 10)), _unsigned_condition, _unsigned_map, ("implementation",),
)
LENGTHS = Source(
    "lengths", ("Read a line of words. Take the word lengths.", "For words on one line, list their lengths."), "lengths",
    ("a = [len(w) for w in input().split()]",), lambda text: [sum(1 for _ in w) for w in text.split()],
    lambda rng, focus, signed: word_line(rng, size=(4, 8)), _digit_condition, _unsigned_map, ("strings",),
)
WORDS = Source(
    "words", ("Read a line of words.", "One line holds words.", "Input is a line of words."), "words",
    ("a = input().split()",), lambda text: text.split(),
    lambda rng, focus, signed: word_line(rng, "".join(str(c) for c in focus if isinstance(c, str))), word_condition, word_map, ("strings",),
)
CHARACTERS = Source(
    "characters", ("Read a string.", "Input is a string.", "You get one string."), "characters",
    ("a = input()",), lambda text: [text[i] for i in range(len(text) - 1)],
    lambda rng, focus, signed: text_line(rng, "".join(str(c) for c in focus)), char_condition, char_condition, ("strings",),
)

TEXT_REDUCTIONS = {
    "joined": Reduction("joined", ("{x} joined without spaces", "{x} glued together"), 'print("".join(b))', lambda b: "".join(f"{v}" for v in b), needs_items=True),
    "backwards": Reduction("backwards", ("{x} joined from last to first", "{x} glued in reverse order"), 'print("".join(b[::-1]))', lambda b: "".join(f"{v}" for v in reversed(b)), needs_items=True),
    "letters": Reduction("letters", ("the total length of {x}", "the number of letters in {x}"), 'print(len("".join(b)))', lambda b: sum(1 for w in b for _ in w)),
    "longest": Reduction("longest", ("the length of the longest of {x}", "how long the longest of {x} is"), "print(max(map(len, b), default=0))", lambda b: sorted(len(w) for w in b)[-1], needs_items=True),
    "sorted_joined": Reduction("sorted_joined", ("{x} sorted and joined", "{x} glued in sorted order"), 'print("".join(sorted(b)))', lambda b: "".join(_sorted_text(b)), needs_items=True),
}


def _sorted_text(b: list[str]) -> list[str]:
    out: list[str] = []
    while len(out) < len(b):
        smallest = min(c for c in b if b.count(c) > out.count(c))
        out.append(smallest)
    return out


def _wordings(source: Source, condition: Fragment | None, second: Fragment | None, step: Fragment | None, reduction: Reduction) -> tuple[str, ...]:
    out = []
    noun = source.noun
    the = f"the {noun}"
    for intro in source.intros:
        for result in reduction.texts:
            for map_text in step.texts if step else ("",):
                for keep in condition.texts if condition else ("",):
                    if second:
                        keep = f"{keep} and {second.texts[0]}"
                    if condition and step:
                        order = result.format(x="the results")
                        out.append(f"{intro} Take {the} {keep}, {map_text} and print {order}.")
                        out.append(f"{intro} Keep only {the} {keep}, then {map_text}. Print {order}.")
                        out.append(f"{intro} Of {the}, pick any {keep} and {map_text}. Output {order}.")
                    elif condition:
                        out.append(f"{intro} Print {result.format(x=f'{the} {keep}')}.")
                        out.append(f"{intro} Find {the} {keep} and print {result.format(x='them')}.")
                        out.append(f"{intro} Keep only {the} {keep}. Output {result.format(x='what is left')}.")
                    else:
                        order = result.format(x="the results")
                        out.append(f"{intro} Go over {the}, {map_text} and print {order}.")
                        out.append(f"{intro} For {the}, {map_text}. Output {order}.")
    return tuple(out)


def pipeline(source: Source, reduction: Reduction, rng: Random, maps: bool = True, plain_map: bool = True) -> Variant:
    """One member of the family of `source` and `reduction`."""
    while True:
        shape = rng.random()
        condition = second = step = None
        if not maps:
            condition = source.condition(rng)
            if shape < 0.6:
                second = source.condition(rng)
        elif shape < 0.3:
            condition = source.condition(rng)
        elif shape < 0.5 and plain_map:
            step = source.map(rng)
        else:
            condition, step = source.condition(rng), source.map(rng)
        parts = [f for f in (condition, second, step) if f]
        if clash(*parts) or (second and (second.name == condition.name or second.name > condition.name)):
            continue
        if source.name in ("gaps",) and any(f.ring for f in parts):
            continue
        if step and step.name == "length" and reduction.name not in ("list", "ascending", "descending", "reversed"):
            continue
        break
    test = " and ".join(f.code for f in (condition, second) if f)
    item = step.code if step else "x"
    selection = f"b = [{item} for x in a{' if ' + test if test else ''}]"
    constants = tuple(c for f in parts for c in f.constants)
    signed = any(f.signed for f in parts)

    def oracle(text: str) -> str:
        kept = []
        for x in source.items(text):
            if condition and not condition.apply(x):
                continue
            if second and not second.apply(x):
                continue
            kept.append(step.apply(x) if step else x)
        if reduction.needs_items and not kept:
            return ""
        return f"{reduction.apply(kept)}\n"

    return Variant(
        composition="|".join([*(f.name for f in parts), reduction.name]),
        constants=constants,
        wordings=_wordings(source, condition, second, step, reduction),
        solution=program(reduction.header, *source.lines, selection, reduction.code),
        oracle=oracle,
        draw=lambda rng: source.draw(rng, constants, signed),
        tags=source.tags,
    )


def _register(source: Source, names: str, quota: int) -> None:
    for name in names.split():
        reduction = TEXT_REDUCTIONS.get(name) or REDUCTIONS[name]
        maps = name not in ("count", "distinct", "letters", "longest") and source is not CHARACTERS

        def make(rng: Random, reduction: Reduction = reduction, maps: bool = maps) -> Variant:
            return pipeline(source, reduction, rng, maps)

        family(f"{source.name}_{name}", quota)(make)


_register(LINE, "sum count largest smallest list reversed ascending descending distinct spread product gcd average last first unique", 18)
_register(DIGITS, "sum count largest product list", 13)
_register(COUNTING, "sum count list reversed", 15)
_register(SPAN, "sum count descending", 14)
_register(DIVISORS, "sum count list largest", 14)
_register(PRIMES, "sum count list", 13)
_register(GAPS, "count list largest", 13)
_register(PREFIXES, "count list", 13)
_register(LENGTHS, "sum ascending", 12)
_register(WORDS, "count list ascending reversed joined letters longest last", 15)
_register(CHARACTERS, "count joined backwards sorted_joined", 13)
