"""Makes tests/data/livecodebench_grades.json: outputs as LiveCodeBench's grader of standard output decides on them.

The algorithm is published in LiveCodeBench's `lcb_runner/evaluation/testing_util.py`; it is stated here in our own words
and needs nothing but Python's `decimal`. Usage: python livecodebench_grades.py > ../data/livecodebench_grades.json
"""

import json
import random
import sys
from decimal import Decimal, InvalidOperation


def stripped_lines(output):
    return [line.strip() for line in output.strip().split("\n")]


def numbers(line):
    """The line's words as exact decimal numbers, or None where one is no number."""
    try:
        return [Decimal(word) for word in line.split()]
    except InvalidOperation:
        return None


def is_right(expected, actual):
    wanted, got = stripped_lines(expected), stripped_lines(actual)
    if len(wanted) != len(got):
        return False
    for want, have in zip(wanted, got):
        if want == have:
            continue
        have, want = numbers(have), numbers(want)
        if have is None or want is None:
            return False
        try:
            if have != want:
                return False
        except InvalidOperation:  # A signalling NaN is no comparison.
            return False
    return True


# Words that a number may be, or nearly is.
SPELLINGS = [
    ["0", "-0", "0.0", "00", "+0", "0e9", ".0", "0.", "-0.00", "0E-20"],
    ["1", "1.0", "01", "+1", "1e0", "10e-1", "0.1e1", "1.", "1_", "_1", "1__"],
    ["0.5", ".5", "0.50", "5e-1", "+0.5", "0,5", "1/2", "0.5f"],
    ["-3", "-3.0", "- 3", "--3", "-03", "-3e0", "-30e-1", "−3"],
    ["1e5", "100000", "1E5", "1e+5", "1e05", "100_000", "1e5.0", "1e", "e5", "1e 5"],
    ["123456789012345678901234567890", "123456789012345678901234567890.0", "123456789012345678901234567891"],
    ["0.1234567890123456789", "0.12345678901234567890", "0.1234567890123456788", "1234567890123456789e-19"],
    ["inf", "Infinity", "-inf", "+Inf", "INFINITY", "infinit"],
    ["nan", "NaN", "-nan", "sNaN", "nan123", "nanx", "nan "],
    ["1e999999999999999999", "10e999999999999999998", "1e1000000000000000000", "1e99999999999999999999"],
    ["YES", "Yes", "yes", "YES.", "True", "0x10", "1j", ".", "+", "-", "e", "..5", "5.5.5", "", "a b"],
]
SPACES = ["", " ", "  ", "\t", "\r", " \r", "\u00a0", "\u3000", "\x0b", "\x1c", "\u200b"]


def main():
    draw = random.Random(20240801)
    word = lambda: draw.choice(draw.choice(SPELLINGS))
    cases = []

    def add(expected, actual):
        cases.append([expected, actual, is_right(expected, actual)])

    for group in SPELLINGS:
        for one in group:
            for other in group:
                add(one, other)
    for _ in range(900):
        lines = [[word() for _ in range(draw.randint(1, 3))] for _ in range(draw.randint(1, 4))]
        # The same with other spellings and spaces, and now and then something else.
        other = [list(line) for line in lines]
        for line in other:
            for at, old in enumerate(line):
                group = next(group for group in SPELLINGS if old in group)
                chance = draw.random()
                line[at] = draw.choice(group) if chance < 0.35 else word() if chance < 0.4 else old
        change = draw.random()
        if change < 0.05:
            other.append([word()])
        elif change < 0.1:
            other.insert(draw.randint(0, len(other)), [""])
        text = lambda rows: "\n".join(
            draw.choice(SPACES) * (draw.random() < 0.2) + (" " if draw.random() < 0.8 else draw.choice(SPACES) or " ").join(row)
            + draw.choice(SPACES) * (draw.random() < 0.3) for row in rows) + draw.choice(["", "\n", "\n\n", " \n"])
        add(text(lines), text(other))
    json.dump(cases, sys.stdout, ensure_ascii=True, separators=(",", ":"))
    print()


main()
