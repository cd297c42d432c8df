"""A prompt formatter: lays out what a model reads and learns. It tokenizes nothing.

A formatter in Python knows solved problems; conversations and cases under a policy are refused by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from .types import ProblemText


@dataclass(frozen=True)
class Segment:
    """A piece of a sequence. In `control` text special tokens are recognised; in all other text, which somebody else wrote,
    they stay ordinary text, so that no statement can forge a turn."""

    text: str
    control: bool = False
    trained: bool = False

    def learned(self) -> Segment:
        """The same, trained on."""
        return replace(self, trained=True)


@dataclass(frozen=True)
class Message:
    """A chat message: "system", "user" or "assistant", and what is said."""

    role: str
    content: str


@dataclass(frozen=True)
class Sequence:
    """What a model is asked or learns: as chat messages, and as this formatter lays them out."""

    messages: list[Message]
    segments: list[Segment]


@dataclass(frozen=True)
class Example:
    """A solved problem to learn from."""

    problem: ProblemText
    solution: str
    reasoning: str | None = None
    domain: str = ""


class Formatter(ABC):
    """A formatter. It is asked about one lesson at a time, so its layout cannot depend on the others; keep no state."""

    @abstractmethod
    def stop_sequences(self) -> list[str]:
        """The texts at which a completion ends: each a single special token of the model."""

    @abstractmethod
    def lesson(self, specialist: str, example: Example) -> Sequence:
        """The sequence to train on. Its last message is the assistant's, and something is trained on. `Refused` ends the run
        with its words."""

    @abstractmethod
    def extract_solution(self, completion: str) -> str | None:
        """The program in a model's completion; None where there is none."""

    def prompt(self, specialist: str, problem: ProblemText) -> Sequence:
        """The prompt for a problem: the untrained beginning of its lesson."""
        lesson = self.lesson(specialist, Example(problem, "?"))
        trained = next((at for at, segment in enumerate(lesson.segments) if segment.trained), len(lesson.segments))
        messages = lesson.messages
        if messages and messages[-1].role == "assistant":
            messages = messages[:-1]
        return Sequence(messages, lesson.segments[:trained])


def last_code_block(completion: str) -> str | None:
    """What stands in the last closed block of code, between a line of three backticks and the next."""
    opened: list[str] | None = None
    found = None
    for line in completion.splitlines(keepends=True):
        if line.lstrip().startswith("```"):
            if opened is None:
                opened = []
            else:
                found, opened = "".join(opened).rstrip("\r\n"), None
        elif opened is not None:
            opened.append(line)
    return found
