"""What the component exports; nothing is to be filled in here."""

from hilora_plugin.component import checker
from plugin import PairChecker

Checker = checker(PairChecker())
