"""Writes synthetic CodeContests shards for `cargo xtask bench prepare`.

    python bench_prepare_rows.py FOLDER ROWS

Sizes are those of the dataset's middle: a statement of about 1.5 kB, five Python 3 solutions and as many in C++, an
incorrect one, twenty tests, tags and limits. Three rows in a hundred repeat an earlier problem under another name with a
few words changed. The same ROWS give the same rows. Shards hold 5,000 rows in row groups of 1,000, compressed with
snappy, as on Hugging Face; `warm_up.parquet` holds 20.
"""

import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SHARD_ROWS = 5_000
NEAR_DUPLICATES = 0.03
PYTHON3, CPP = 3, 2

TEXTS = pa.list_(pa.string())
TESTS = pa.struct([("input", TEXTS), ("output", TEXTS)])
SOLUTIONS = pa.struct([("language", pa.list_(pa.int64())), ("solution", TEXTS)])
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
        ("incorrect_solutions", SOLUTIONS),
        ("cf_contest_id", pa.int64()),
        ("cf_index", pa.string()),
        ("cf_points", pa.float32()),
        ("cf_rating", pa.int64()),
        ("cf_tags", TEXTS),
        ("is_description_translated", pa.bool_()),
        ("untranslated_description", pa.string()),
        ("time_limit", pa.struct([("seconds", pa.int64()), ("nanos", pa.int64())])),
        ("memory_limit_bytes", pa.int64()),
        ("input_file", pa.string()),
        ("output_file", pa.string()),
    ]
)

SIGNALS = (
    "prove theorem formula probability geometry greedy graph tree heap stack queue hash trie generator class".split()
    + ["binary search", "shortest path", "dynamic programming", "linked list", "union find", "expected value"]
)
TAGS = ["math", "dp", "greedy", "graphs", "trees", "implementation", "strings", "sortings", "brute force", "geometry"]


def vocabulary(rng):
    """Invented words, so that no text of anybody's is repeated."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    return ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(4_000)]


def statement(rng, words):
    sentences = []
    for _ in range(rng.randint(14, 24)):
        sentence = rng.choices(words, k=rng.randint(8, 18))
        if rng.random() < 0.1:
            sentence.insert(rng.randrange(len(sentence)), rng.choice(SIGNALS))
        sentences.append(" ".join(sentence).capitalize() + ".")
    return "\n\n".join(" ".join(sentences[i : i + 4]) for i in range(0, len(sentences), 4))


def program(rng, words):
    """Something that looks like a solution."""
    name, total, item = rng.sample(words, 3)
    lines = ["import sys", "", f"def {name}(values):", f"    {total} = {rng.randrange(10**6)}"]
    for _ in range(rng.randint(8, 24)):
        operation = rng.choice(["+", "-", "*", "^", "//"])
        lines.append(f"    for {item} in values[{rng.randrange(99)}:]:")
        lines.append(f"        {total} = {total} {operation} ({item} % {rng.randrange(2, 10**5)})")
    lines += [f"    return {total}", "", f"print({name}(list(map(int, sys.stdin.read().split()))))"]
    return "\n".join(lines) + "\n"


def tests(rng, count):
    inputs, outputs = [], []
    for _ in range(count):
        numbers = [str(rng.randrange(10**9)) for _ in range(rng.randint(5, 40))]
        inputs.append(f"{len(numbers)}\n{' '.join(numbers)}\n")
        outputs.append(f"{rng.randrange(10**9)}\n")
    return {"input": inputs, "output": outputs}


def row(rng, words, number):
    letter = rng.choice("ABCDEF")
    right = [program(rng, words) for _ in range(5)]
    other = [program(rng, words).replace("def ", "int ") for _ in range(5)]
    return {
        "name": f"{number}_{letter}. {rng.choice(words).capitalize()}",
        "description": statement(rng, words),
        "public_tests": tests(rng, 2),
        "private_tests": tests(rng, 6),
        "generated_tests": tests(rng, 12),
        "source": 2,
        "difficulty": "ABCDEF".index(letter) + 7,
        "solutions": {"language": [PYTHON3] * 5 + [CPP] * 5, "solution": right + other},
        "incorrect_solutions": {"language": [PYTHON3], "solution": [program(rng, words)]},
        "cf_contest_id": number,
        "cf_index": letter,
        "cf_points": 500.0,
        "cf_rating": rng.randrange(800, 3500, 100),
        "cf_tags": rng.sample(TAGS, rng.randint(0, 3)),
        "is_description_translated": False,
        "untranslated_description": "",
        "time_limit": {"seconds": 2, "nanos": 0},
        "memory_limit_bytes": 256_000_000,
        "input_file": "",
        "output_file": "",
    }


def near_duplicate(rng, words, number, original):
    """The original under another name, with two words of its statement changed and its own programs."""
    text = original["description"].split(" ")
    for _ in range(2):
        text[rng.randrange(len(text))] = rng.choice(words)
    return {**row(rng, words, number), "description": " ".join(text)}


def main():
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(count)
    words = vocabulary(rng)
    seen, rows, shard = [], [], 0
    for number in range(count):
        if seen and rng.random() < NEAR_DUPLICATES:
            made = near_duplicate(rng, words, number, rng.choice(seen))
        else:
            made = row(rng, words, number)
            if len(seen) < 1_000:
                seen.append(made)
        rows.append(made)
        if len(rows) == SHARD_ROWS or number + 1 == count:
            table = pa.Table.from_pylist(rows, schema=SCHEMA)
            pq.write_table(table, folder / f"train-{shard:05}.parquet", compression="snappy", row_group_size=1_000)
            if shard == 0:
                pq.write_table(table.slice(0, 20), folder / "warm_up.parquet", compression="snappy")
            rows, shard = [], shard + 1


if __name__ == "__main__":
    main()
