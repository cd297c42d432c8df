"""A domain classifier: says which domain a problem belongs to. It sees a problem's text, never its tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from .types import ProblemText


@dataclass(frozen=True)
class DomainInfo:
    """A domain's name in snake case, and what belongs to it."""

    name: str
    description: str = ""


@dataclass(frozen=True)
class Score:
    """How strongly a problem belongs to a domain: above 0, and only the order has a meaning."""

    domain: str
    score: float
    signals: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Classification:
    """The chosen domain, and every domain with a score above 0, the best first."""

    domain: str
    scores: list[Score] = field(default_factory=list)


def best(scores: list[Score], default: str) -> Classification:
    """The domain with the highest score; of equal ones the first. `default` where no score is above 0."""
    above = sorted((score for score in scores if score.score > 0), key=lambda score: -score.score)
    return Classification(above[0].domain if above else default, above)


class Classifier(ABC):
    """A classifier. It is asked about one problem at a time, so its answer cannot depend on the others; keep no state."""

    @abstractmethod
    def domains(self) -> list[DomainInfo]:
        """Every domain that it may answer."""

    @abstractmethod
    def classify(self, problem: ProblemText) -> Classification:
        """The domain of a problem; `Refused` ends the run with its words."""
