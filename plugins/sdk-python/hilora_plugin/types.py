"""The nouns that every kind of plugin shares, and what a plugin raises to say that it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Options of a config or of a problem: one JSON object.
Options = dict[str, Any]


@dataclass(frozen=True)
class ProblemText:
    """The part of a problem that a model may see."""

    id: str
    title: str = ""
    statement: str = ""
    tags: tuple[str, ...] = ()
    difficulty: str | None = None


@dataclass(frozen=True)
class Solution:
    """A program that claims to solve a problem, and the name of its language."""

    code: str
    language: str = "python3"


@dataclass(frozen=True)
class TestCase:
    """What a program reads, and what it must write."""

    __test__ = False

    input: str
    expected: str


@dataclass(frozen=True)
class Problem:
    """A problem with everything that a dataset tells of it; what is left out is absent."""

    text: ProblemText
    solutions: list[Solution] = field(default_factory=list)
    tests: list[TestCase] = field(default_factory=list)
    source: str = ""
    incorrect_solutions: list[Solution] = field(default_factory=list)
    entry_point: str | None = None
    test_code: str | None = None
    time_limit_ms: int | None = None
    memory_limit_bytes: int | None = None


@dataclass(frozen=True)
class Skipped:
    """A row that yields nothing, counted by its reason: a short word in kebab case ("no-tests")."""

    id: str | None
    reason: str
    detail: str


class Refused(Exception):
    """Says, in the interface's own way, that something cannot be done. Any other exception is a trap."""


class WrongOptions(Refused):
    """The options cannot be used: which key, expected and got."""


class BadTest(Refused):
    """A test is not of the checker's format."""


class Malformed(Refused):
    """A file is not of the loader's format, or is damaged."""

    def __init__(self, file: str, detail: str, row: int | None = None) -> None:
        super().__init__(detail)
        self.file, self.detail, self.row = file, detail, row


class MissingColumn(Refused):
    """A column is missing, or of another type than expected."""

    def __init__(self, file: str, column: str, expected: str, found: str | None = None) -> None:
        super().__init__(f"{file}: column {column}: expected {expected}, found {found}")
        self.file, self.column, self.expected, self.found = file, column, expected, found


def known_options(options: Options, known: Options) -> Options:
    """The options with defaults for those that are not given. A key that is not known is refused, as every plugin must, and
    so is a value of another type than its default."""
    for key, value in options.items():
        if key not in known:
            raise WrongOptions(f"unknown key `{key}`, expected one of {sorted(known)}")
        if known[key] is not None and type(value) is not type(known[key]):
            raise WrongOptions(f"`{key}`: expected {type(known[key]).__name__}, got {value!r}")
    return known | options
