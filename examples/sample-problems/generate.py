"""Writes the sample dataset: sample_problems.parquet in the CodeContests columns, and families.json.

    python3 generate.py            writes both files beside this script
    python3 generate.py --check    writes nothing and fails unless both files are what it would write

The same seed gives the same bytes with the pyarrow that requirements.txt pins.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import checks
import pyarrow as pa
import pyarrow.parquet as pq
from families import FAMILIES, Family, Variant

SEED = 20_250_301
HERE = Path(__file__).resolve().parent
TESTS_MIN = 5
TESTS_MAX = 9
DRAWS = 80
ATTEMPTS_PER_SIBLING = 40
PYTHON3 = 3
"""The number CodeContests gives the language."""


@dataclass
class Problem:
    """An accepted problem."""

    family: str
    name: str
    statement: str
    variant: Variant
    pool: list[str]
    """Inputs to choose tests from."""
    tests: list[tuple[str, str]] = field(default_factory=list)


@cache
def answer(variant: Variant, text: str) -> str:
    """The oracle's output; an input that `variant` was not made for has no answer."""
    try:
        return variant.oracle(text)
    except (ValueError, IndexError, KeyError, StopIteration, RecursionError, ZeroDivisionError):
        return "no answer"


def draw_pool(variant: Variant, rng: Random) -> list[str]:
    """Distinct inputs with an answer that is not empty."""
    pool: dict[str, str] = {}
    for _ in range(DRAWS):
        text = variant.draw(rng)
        output = answer(variant, text)
        if output.strip():
            pool[text] = output
    return list(pool)


def differ(one: Variant, other: Variant, pool: list[str]) -> bool:
    """Whether some input of `pool` tells the two apart."""
    return any(answer(one, text) != answer(other, text) for text in pool)


def choose_tests(problem: Problem, siblings: list[Problem]) -> None:
    """Picks tests until no sibling's meaning passes them all and there are at least `TESTS_MIN`."""
    outputs = {text: answer(problem.variant, text) for text in problem.pool}
    rejects = {
        text: {i for i, s in enumerate(siblings) if answer(s.variant, text) != output}
        for text, output in outputs.items()
    }
    alive = set(range(len(siblings)))
    chosen: list[str] = []
    seen: Counter[str] = Counter()
    while alive or len(chosen) < TESTS_MIN:
        left = [text for text in problem.pool if text not in chosen]
        if not left or len(chosen) == TESTS_MAX:
            raise checks.CheckFailed(f"{problem.name}: its tests cannot reject every sibling")
        # The most siblings rejected first; then outputs that no test has yet, so that a constant answer fails.
        best = max(left, key=lambda text: (len(rejects[text] & alive), -seen[outputs[text]], -left.index(text)))
        chosen.append(best)
        seen[outputs[best]] += 1
        alive -= rejects[best]
    if len(seen) < 2:
        raise checks.CheckFailed(f"{problem.name}: every test expects the same output")
    problem.tests = [(text, outputs[text]) for text in chosen]


def grow(family: Family, statements: checks.StatementIndex, rejected: Counter[str]) -> list[Problem]:
    """Accepts siblings of one family until its quota is met or drawing stops being worth it."""
    rng = Random(f"{SEED} {family.name}")
    accepted: list[Problem] = []
    meanings: set[tuple] = set()
    compositions: Counter[str] = Counter()
    for _ in range(family.quota * ATTEMPTS_PER_SIBLING):
        if len(accepted) == family.quota:
            break
        variant = family.make(rng)
        if variant.meaning in meanings:
            rejected["drawn before"] += 1
            continue
        # A composition repeats with other constants only when new ones have become rare.
        if compositions[variant.composition] and rng.random() < 0.5:
            continue
        wordings = rng.sample(variant.wordings, len(variant.wordings))
        statement = next((w for w in wordings if statements.rejects(w) is None), None)
        if statement is None:
            rejected[f"statement {statements.rejects(wordings[0])}"] += 1
            continue
        pool = draw_pool(variant, rng)
        if len(pool) < TESTS_MIN:
            rejected["too few inputs with an answer"] += 1
            continue
        problem = Problem(family.name, f"{family.name} {len(accepted):03}", statement, variant, pool)
        if not all(differ(variant, s.variant, pool) and differ(variant, s.variant, s.pool) for s in accepted):
            rejected["means what a sibling means"] += 1
            continue
        try:
            for member in [*accepted, problem]:
                choose_tests(member, [s for s in [*accepted, problem] if s is not member])
        except checks.CheckFailed:
            rejected["its tests or a sibling's were too weak"] += 1
            continue
        accepted.append(problem)
        meanings.add(variant.meaning)
        compositions[variant.composition] += 1
        statements.add(statement)
    for member in accepted:
        choose_tests(member, [s for s in accepted if s is not member])
    return accepted


def build() -> list[Problem]:
    """All problems, in the families' order."""
    statements = checks.StatementIndex()
    rejected: Counter[str] = Counter()
    problems = [p for family in FAMILIES.values() for p in grow(family, statements, rejected)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda p: checks.run_solution(p.name, p.variant.solution, p.tests), problems))
    for reason, count in sorted(rejected.items()):
        print(f"{count:6} draws rejected: {reason}", file=sys.stderr)
    return problems


TESTS = pa.struct([("input", pa.list_(pa.string())), ("output", pa.list_(pa.string()))])
SOLUTIONS = pa.struct([("language", pa.list_(pa.int64())), ("solution", pa.list_(pa.string()))])
COLUMNS = pa.schema(
    [
        ("name", pa.string()),
        ("description", pa.string()),
        ("public_tests", TESTS),
        ("private_tests", TESTS),
        ("generated_tests", TESTS),
        ("source", pa.int64()),
        ("difficulty", pa.int64()),
        ("solutions", SOLUTIONS),
        ("incorrect_solutions", SOLUTIONS),
        ("cf_contest_id", pa.int64()),
        ("cf_index", pa.string()),
        ("cf_points", pa.float32()),
        ("cf_rating", pa.int32()),
        ("cf_tags", pa.list_(pa.string())),
        ("is_description_translated", pa.bool_()),
        ("untranslated_description", pa.string()),
        ("time_limit", pa.struct([("seconds", pa.int64()), ("nanos", pa.int64())])),
        ("memory_limit_bytes", pa.int64()),
        ("input_file", pa.string()),
        ("output_file", pa.string()),
    ]
)


def row(problem: Problem) -> dict:
    """A problem in the CodeContests columns; what it does not have is zero or empty."""

    def part(tests: list[tuple[str, str]]) -> dict:
        return {"input": [text for text, _ in tests], "output": [output for _, output in tests]}

    return {
        "name": problem.name,
        "description": problem.statement,
        "public_tests": part(problem.tests[:1]),
        "private_tests": part(problem.tests[1:3]),
        "generated_tests": part(problem.tests[3:]),
        "source": 0,
        "difficulty": 0,
        "solutions": {"language": [PYTHON3], "solution": [problem.variant.solution]},
        "incorrect_solutions": {"language": [], "solution": []},
        "cf_contest_id": 0,
        "cf_index": "",
        "cf_points": 0.0,
        "cf_rating": 0,
        "cf_tags": list(problem.variant.tags),
        "is_description_translated": False,
        "untranslated_description": "",
        "time_limit": {"seconds": 2, "nanos": 0},
        "memory_limit_bytes": 0,
        "input_file": "",
        "output_file": "",
    }


def parquet_bytes(problems: list[Problem]) -> bytes:
    """The dataset as one Parquet file."""
    # Rows are shuffled so that reading the first hundred shows many families.
    shuffled = Random(f"{SEED} order").sample(problems, len(problems))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row(p) for p in shuffled], schema=COLUMNS), sink, compression="gzip")
    return sink.getvalue()


def families_json(problems: list[Problem]) -> bytes:
    """Family, composition and constants of every problem, by name."""
    lines = [
        f"  {json.dumps(p.name)}: " + json.dumps({"family": p.family, "composition": p.variant.composition, "constants": list(p.variant.constants)})
        for p in problems
    ]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def main() -> int:
    """Writes or checks the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail unless the files on disk are what would be written")
    arguments = parser.parse_args()
    problems = build()
    files = {HERE / "sample_problems.parquet": parquet_bytes(problems), HERE / "families.json": families_json(problems)}
    per_family = Counter(p.family for p in problems)
    print(f"{len(problems)} problems in {len(per_family)} families, {sum(len(p.tests) for p in problems)} tests", file=sys.stderr)
    for path, data in files.items():
        if arguments.check:
            if not path.exists() or path.read_bytes() != data:
                print(f"{path.name} is not what this script writes", file=sys.stderr)
                return 1
        else:
            path.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
