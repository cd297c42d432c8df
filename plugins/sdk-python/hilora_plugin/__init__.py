"""Write a plugin of hilora-host in Python: a base class for each kind, and the nouns that they share.

Nothing here needs a component: a plugin's own tests run on any Python. `hilora_plugin.component` makes a component's exports
of a plugin, and `hilora_plugin.testing` holds a plugin against golden cases.
"""

from .checker import Checker, Decision, accepted, rejected
from .classifier import Classification, Classifier, DomainInfo, Score, best
from .formatter import Example, Formatter, Message, Segment, Sequence, last_code_block
from .loader import Column, DatasetInfo, Loader, Row, SourceFile
from .types import BadTest, Malformed, MissingColumn, Options, Problem, ProblemText, Refused, Skipped, Solution
from .types import TestCase, WrongOptions

__all__ = [
    "BadTest",
    "Checker",
    "Classification",
    "Classifier",
    "Column",
    "DatasetInfo",
    "Decision",
    "DomainInfo",
    "Example",
    "Formatter",
    "Loader",
    "Malformed",
    "Message",
    "MissingColumn",
    "Options",
    "Problem",
    "ProblemText",
    "Refused",
    "Row",
    "Score",
    "Segment",
    "Sequence",
    "Skipped",
    "Solution",
    "SourceFile",
    "TestCase",
    "WrongOptions",
    "accepted",
    "best",
    "last_code_block",
    "rejected",
]
