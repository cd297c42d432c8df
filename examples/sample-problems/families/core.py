"""A family and its variants: the nouns every family module speaks.

A family is a group of problems that read the same kind of input and are solved by programs of one shape. A variant
is one member: a composition (which algorithm) with its constants, in several wordings. Nothing here draws a whole
dataset or writes a file; `generate.py` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, eq=False)
class Variant:
    """One problem before its wording and its tests are chosen."""

    composition: str
    """Which algorithm, with the constants left out, such as `greater_than|add|sum`."""
    constants: tuple
    """The constants, in the order in which the statement names them."""
    wordings: tuple[str, ...]
    """Statements that all say the same."""
    solution: str
    """The reference program."""
    oracle: Callable[[str], str]
    """From an input to the expected output, by other means than `solution`."""
    draw: Callable[[Random], str]
    """A random input that the statement allows."""
    tags: tuple[str, ...]

    @property
    def meaning(self) -> tuple:
        """What two wordings of one problem share."""
        return (self.composition, self.constants)


@dataclass(frozen=True)
class Family:
    """A named source of variants."""

    name: str
    make: Callable[[Random], Variant]
    """Draws a variant; siblings repeat, so the caller drops what it has already seen."""
    quota: int
    """How many siblings the sample wants of it."""


FAMILIES: dict[str, Family] = {}


def family(name: str, quota: int = 12) -> Callable:
    """Registers the decorated function as the family `name`."""

    def register(make: Callable[[Random], Variant]) -> Callable[[Random], Variant]:
        if name in FAMILIES:
            raise ValueError(f"family {name} is defined twice")
        FAMILIES[name] = Family(name, make, quota)
        return make

    return register


def program(*lines: str) -> str:
    """Joins the lines of a solution; empty ones are left out."""
    return "\n".join(line for line in lines if line)


def integers(text: str) -> list[int]:
    """The integers of an input, whatever the lines."""
    return [int(word) for word in text.split()]


def spaced(values) -> str:
    """The values as Python prints them, one space between."""
    return " ".join(str(value) for value in values)


def integer_line(rng: Random, focus: tuple[int, ...] = (), low: int = 0, high: int = 30, size: tuple[int, int] = (4, 9)) -> str:
    """A line of integers that often hits a constant of the statement or its neighbours."""
    values = []
    for _ in range(rng.randint(*size)):
        if focus and rng.random() < 0.45:
            values.append(max(low, rng.choice(focus) + rng.choice((-1, 0, 0, 1))))
        elif values and rng.random() < 0.15:
            values.append(rng.choice(values))
        else:
            values.append(rng.randint(low, high))
    return spaced(values) + "\n"


WORDS = (
    "apple river stone cloud tiger lemon ocean piano grape eagle moon sand tree bird wolf level radar noon civic "
    "kayak banana pepper coffee butter rabbit kitten summer letter yellow bottle sea ice owl ant egg ox sky map "
    "orange island umbrella engine animal garden window castle dragon planet silver copper marble velvet".split()
)


def word_line(rng: Random, letters: str = "", size: tuple[int, int] = (4, 7)) -> str:
    """A line of lower-case words, half of them holding one of `letters` where some are given."""
    words = []
    for _ in range(rng.randint(*size)):
        pool = WORDS
        if letters and rng.random() < 0.5:
            wanted = rng.choice(letters)
            edge = rng.random()
            chosen = [w for w in WORDS if (w[0] == wanted if edge < 0.35 else w[-1] == wanted if edge < 0.7 else wanted in w)]
            pool = chosen or WORDS
        words.append(rng.choice(words) if words and rng.random() < 0.1 else rng.choice(pool))
    return " ".join(words) + "\n"


def text_line(rng: Random, letters: str = "", size: tuple[int, int] = (6, 14)) -> str:
    """A line of letters and digits without spaces, rich in `letters`."""
    alphabet = "abcdeiolmnrstuABDEIMORST0123456789"
    out = []
    for _ in range(rng.randint(*size)):
        if letters and rng.random() < 0.35:
            out.append(rng.choice(letters))
        else:
            out.append(rng.choice(alphabet))
    return "".join(out) + "\n"
