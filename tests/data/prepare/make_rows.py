"""Writes the Parquet files that tests/integration/prepare.rs reads: `python make_rows.py` with pyarrow installed.

rows.parquet     13 rows in the columns of CodeContests: eight good ones and one for each way to be skipped.
lacking.parquet  The same without the column `solutions`.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PYTHON2, CPP, PYTHON3 = 1, 2, 3
FOLDER = Path(__file__).parent

TESTS = pa.struct([("input", pa.list_(pa.string())), ("output", pa.list_(pa.string()))])
SOLUTIONS = pa.struct([("language", pa.list_(pa.int64())), ("solution", pa.list_(pa.string()))])
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("description", pa.string()),
        ("public_tests", TESTS),
        ("private_tests", TESTS),
        ("generated_tests", TESTS),
        ("source", pa.int64()),
        ("difficulty", pa.int64()),
        ("solutions", SOLUTIONS),
        ("cf_tags", pa.list_(pa.string())),
        ("untranslated_description", pa.string()),
    ]
)


def row(name, description, solutions, tests):
    """One row; the first test is public, the second private, the others generated."""

    def columns(tests):
        return {"input": [test[0] for test in tests], "output": [test[1] for test in tests]}

    return {
        "name": name,
        "description": description,
        "public_tests": columns(tests[:1]),
        "private_tests": columns(tests[1:2]),
        "generated_tests": columns(tests[2:]),
        "source": 0,
        "difficulty": 0,
        "solutions": {"language": [s[0] for s in solutions], "solution": [s[1] for s in solutions]},
        "cf_tags": [],
        "untranslated_description": "",
    }


def addition(constant):
    """A problem that adds a constant."""
    tests = [(f"{n}\n", f"{n + constant}\n") for n in (1, 20, 300)]
    return row(
        f"add {constant}",
        f"Read n. Print n plus {constant}.",
        [(PYTHON3, f"print(int(input()) + {constant})\n")],
        tests,
    )


three = [("", "3\n")]
rows = [addition(constant) for constant in range(1, 9)] + [
    row("python 2", "Print 3.", [(PYTHON2, "print 3"), (CPP, "int main() {}")], three),
    row("wrong", "Print three.", [(PYTHON3, "print(4)")], three),
    row("numpy", "Print III.", [(PYTHON3, "import numpy\nprint(3)")], three),
    row("untested", "Print 5.", [(PYTHON3, "print(5)")], []),
    {**addition(2), "name": "add two", "description": "read N.\nPrint n  plus 2."},
]

table = pa.Table.from_pylist(rows, schema=SCHEMA)
pq.write_table(table, FOLDER / "rows.parquet", compression="snappy", row_group_size=5)
pq.write_table(table.drop_columns(["solutions"]), FOLDER / "lacking.parquet", compression="snappy")
