"""A checker: two positive whole numbers are right if their sum is the input, whichever they are."""

from hilora_plugin import BadTest, Checker, Decision, Options, accepted, rejected
from hilora_plugin.types import known_options


class PairChecker(Checker):
    # Fill in here: whether what a program wrote is right for this input. What a program writes is rejected if it is wrong,
    # whatever it is; an error says that the test itself cannot be used.
    def check(self, input: str, expected: str, actual: bytes, options: Options) -> Decision:
        # What a problem may tell: `"checker": {"name": "pair-checker", "options": {"distinct": true}}`.
        options = known_options(options, {"distinct": False})
        total = _number(input.strip())
        if total is None:
            raise BadTest("expected a whole number")
        words = actual.decode("utf-8", "replace").split()[:3]
        numbers = [number for number in map(_number, words) if number]
        if len(words) != 2 or len(numbers) != 2:
            return rejected("expected two positive whole numbers")
        first, second = numbers
        if first + second != total:
            return rejected(f"expected the sum {total}, got {first + second}")
        if options["distinct"] and first == second:
            return rejected("the two are the same")
        return accepted()


def _number(word: str) -> int | None:
    """The number that a word is, if it is one of at most 20 digits."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 20 else None
