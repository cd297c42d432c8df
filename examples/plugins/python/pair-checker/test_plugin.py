"""Run with `python3 -m unittest`."""

import unittest

from hilora_plugin.testing import golden
from plugin import PairChecker


class Golden(unittest.TestCase):
    def test_answers_the_golden_cases(self) -> None:
        self.assertGreater(golden(PairChecker(), "golden.jsonl"), 0)
