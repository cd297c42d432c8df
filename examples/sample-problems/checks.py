"""What a sample must hold: statements far enough apart, and programs that pass their own tests.

Nothing here knows a family. A check either answers or raises `CheckFailed` with the problem's name.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

GRAM_WORDS = 13
SHINGLE_WORDS = 5
JACCARD_MAX = 0.8


class CheckFailed(Exception):
    """A problem that must not be published, and why."""


def words(text: str) -> list[str]:
    """Lower-cased words, as the near-duplicate checks count them."""
    return re.findall(r"\w+", text.lower())


def grams(text: str, size: int) -> set[tuple[str, ...]]:
    """Every run of `size` words; a shorter text is one run of its own."""
    found = words(text)
    if len(found) < size:
        return {tuple(found)}
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


class StatementIndex:
    """The statements accepted so far."""

    def __init__(self) -> None:
        self._grams: set[tuple[str, ...]] = set()
        self._shingles: dict[tuple[str, ...], list[int]] = {}
        self._sizes: list[int] = []

    def rejects(self, statement: str) -> str | None:
        """Why `statement` stands too close to an accepted one, or None."""
        if not self._grams.isdisjoint(grams(statement, GRAM_WORDS)):
            return "shares a 13-gram"
        mine = grams(statement, SHINGLE_WORDS)
        shared: dict[int, int] = {}
        for shingle in mine:
            for other in self._shingles.get(shingle, ()):
                shared[other] = shared.get(other, 0) + 1
        for other, common in shared.items():
            if common / (len(mine) + self._sizes[other] - common) >= JACCARD_MAX:
                return "shares too many 5-grams"
        return None

    def add(self, statement: str) -> None:
        """Accepts `statement`."""
        self._grams |= grams(statement, GRAM_WORDS)
        mine = grams(statement, SHINGLE_WORDS)
        for shingle in mine:
            self._shingles.setdefault(shingle, []).append(len(self._sizes))
        self._sizes.append(len(mine))


# The child reads a program and its inputs from standard input and answers with what the program printed for each.
_DRIVER = """
import contextlib, io, json, sys
code, inputs = json.load(sys.stdin)
outputs = []
for text in inputs:
    sys.stdin, out = io.StringIO(text), io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "solution.py", "exec"), {"__name__": "__main__"})
    outputs.append(out.getvalue())
json.dump(outputs, sys.__stdout__)
"""


def run_solution(name: str, code: str, tests: list[tuple[str, str]]) -> None:
    """Runs `code` in a fresh python3 on every test and compares what it printed with what is expected."""
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _DRIVER],
        input=json.dumps([code, [text for text, _ in tests]]),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if child.returncode:
        raise CheckFailed(f"{name}: the solution crashed: {child.stderr.strip().splitlines()[-1]}")
    for (text, expected), printed in zip(tests, json.loads(child.stdout), strict=True):
        if printed != expected:
            raise CheckFailed(f"{name}: for input {text!r} expected {expected!r}, got {printed!r}")
