"""Run with `python3 -m unittest`."""

import unittest

from hilora_plugin.testing import golden
from plugin import ChatFormatter


class Golden(unittest.TestCase):
    def test_answers_the_golden_cases(self) -> None:
        self.assertGreater(golden(ChatFormatter(), "golden.jsonl"), 0)
