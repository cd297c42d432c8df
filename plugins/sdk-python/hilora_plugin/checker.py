"""An output checker: decides whether an answer is right where several are. It never runs the program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from .types import Options


@dataclass(frozen=True)
class Decision:
    """Whether an answer is right; if it is not, why."""

    accepted: bool
    why: str = ""


def accepted() -> Decision:
    """The answer is right."""
    return Decision(True)


def rejected(why: str) -> Decision:
    """The answer is wrong, and why."""
    return Decision(False, why)


class Checker(ABC):
    """A checker."""

    @abstractmethod
    def check(self, input: str, expected: str, actual: bytes, options: Options) -> Decision:
        """Judges what a program wrote for `input`, given one right answer. Raise `BadTest` if the test cannot be used and
        `WrongOptions` for a key of `options` that is not known (`types.known_options` does)."""
