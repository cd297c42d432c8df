"""What `hilora-host prepare` does with `data.verify: false`, as one would write it in Python with pyarrow and numpy.

    python bench_prepare.py DOMAINS.rs OUTPUT_FOLDER FILE...

Loads the rows, classifies them by the keywords of the classifier's own source, removes exact duplicates and near
duplicates (of a problem's programs, of statements, of programs across problems; MinHash over word 5-grams, 14 bands of
8 hashes, decided by Jaccard's index), splits by a seeded hash and writes both sides. Prints one JSON object with the
seconds of each step. `prepare` also decontaminates, hashes its inputs and keeps its stages; this does not.
"""

import hashlib
import json
import re
import sys
import time
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

PYTHON3 = 3
SOLUTIONS_MAX = 5
SHINGLE_WORDS, BANDS, HASHES_PER_BAND, NEAR = 5, 14, 8, 0.8
PROGRAM_SHINGLES_MIN = 50
EVAL_FRACTION, SEED = 0.1, 7
TAG_WEIGHT = 100.0
COLUMNS = ["name", "description", "public_tests", "private_tests", "generated_tests", "solutions", "cf_tags"]


def load(files):
    """Problems with Python 3 solutions and tests."""
    problems, rows = [], 0
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000, columns=COLUMNS):
            for row in batch.to_pylist():
                rows += 1
                pairs = zip(row["solutions"]["language"], row["solutions"]["solution"])
                solutions = [code for language, code in pairs if language == PYTHON3 and code.strip()]
                tests = []
                for column in ("public_tests", "private_tests", "generated_tests"):
                    tests += zip(row[column]["input"], row[column]["output"])
                if row["description"].strip() and solutions and tests:
                    text = {"id": row["name"], "statement": row["description"], "tags": row["cf_tags"] or []}
                    problems.append({**text, "solutions": solutions, "tests": tests})
    return problems, rows


def domains(path):
    """Names, deciding tags and keywords, read from the classifier's source."""
    found = []
    for block in re.findall(r"DomainSignals \{\n(.*?)\n    \}", path.read_text(), re.S):
        lists = {key: re.search(key + r": &\[(.*?)\]", block, re.S).group(1) for key in ("deciding_tags", "keywords")}
        tags, keywords = (re.findall(r'"([^"]+)"', lists[key]) for key in ("deciding_tags", "keywords"))
        patterns = [(keyword, re.compile(rf"\b{re.escape(keyword)}(?:s|es)?\b")) for keyword in keywords]
        found.append((re.search(r'name: "([^"]+)"', block).group(1), set(tags), patterns))
    return found


def classify(problems, signals):
    for problem in problems:
        text = "\n".join([problem["id"], problem["statement"], *problem["tags"]]).lower()
        tags = {tag.lower() for tag in problem["tags"]}
        best, problem["domain"] = 0.0, "python"
        for name, deciding, patterns in signals:
            score = TAG_WEIGHT * len(tags & deciding) + sum(
                1 for keyword, pattern in patterns if keyword in text and pattern.search(text)
            )
            if score > best:
                best, problem["domain"] = score, name


def normalized_code(code):
    lines = (line.rstrip() for line in code.splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


def shingles(words):
    """The set of hashed word 5-grams."""
    grams = (" ".join(words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(words) - SHINGLE_WORDS + 1)))
    return {zlib.crc32(gram.encode()) for gram in grams}


def alike(grams, other):
    """Whether Jaccard's index is at least NEAR; sets of too different sizes need not be compared."""
    smaller, larger = sorted((len(grams), len(other)))
    if smaller < NEAR * larger:
        return False
    shared = len(grams & other)
    return shared >= NEAR * (smaller + larger - shared)


def different(solutions):
    """The first programs that do not resemble each other, with their shingles."""
    kept, seen = [], set()
    for code in solutions:
        normalized = normalized_code(code)
        if len(kept) == SOLUTIONS_MAX:
            break
        if normalized in seen:
            continue
        seen.add(normalized)
        grams = shingles(re.findall(r"\w+|[^\w\s]", code))
        if not any(alike(grams, other) for _, other in kept):
            kept.append((code, grams))
    return kept


class NearIndex:
    """Finds earlier sets that resemble a new one."""

    def __init__(self):
        rng = np.random.default_rng(1)
        count = BANDS * HASHES_PER_BAND
        self.a = rng.integers(1, 2**63, count, dtype=np.uint64) | np.uint64(1)
        self.b = rng.integers(0, 2**63, count, dtype=np.uint64)
        self.bands = [defaultdict(list) for _ in range(BANDS)]
        self.sets = {}

    def keys(self, grams):
        hashed = np.fromiter(grams, np.uint64, len(grams))
        signature = ((hashed[:, None] * self.a + self.b) >> np.uint64(32)).min(axis=0)
        return [signature[i : i + HASHES_PER_BAND].tobytes() for i in range(0, len(signature), HASHES_PER_BAND)]

    def near(self, grams, keys):
        candidates = {index for band, key in zip(self.bands, keys) for index in band.get(key, ())}
        return sorted(index for index in candidates if alike(grams, self.sets[index]))

    def add(self, index, grams, keys):
        self.sets[index] = grams
        for band, key in zip(self.bands, keys):
            band[key].append(index)


def deduplicate(problems):
    """The problems that stay; those whose programs resemble each other share a group."""
    statements, programs, kept = set(), set(), []
    near_statements, near_programs = NearIndex(), NearIndex()
    for index, problem in enumerate(problems):
        solutions = different(problem["solutions"])
        problem["solutions"] = [code for code, _ in solutions]
        statement = hashlib.sha256(" ".join(problem["statement"].lower().split()).encode()).digest()
        codes = {hashlib.sha256(normalized_code(code).encode()).digest() for code in problem["solutions"]}
        if statement in statements or codes & programs:
            continue
        grams = shingles(re.findall(r"[^\W_]+", problem["statement"].lower()))
        keys = near_statements.keys(grams)
        if near_statements.near(grams, keys):
            continue
        statements.add(statement)
        programs |= codes
        near_statements.add(index, grams, keys)
        problem["group"] = index
        grams = solutions[0][1]
        if len(grams) >= PROGRAM_SHINGLES_MIN:
            keys = near_programs.keys(grams)
            for other in near_programs.near(grams, keys):
                problem["group"] = min(problem["group"], problems[other]["group"])
            near_programs.add(index, grams, keys)
        kept.append(problem)
    return kept


def split(problems):
    groups = defaultdict(list)
    for problem in problems:
        groups[problem["group"]].append(problem)
    key = lambda group: hashlib.sha256(f"{SEED} {min(problem['id'] for problem in group)}".encode()).digest()
    left, sides = round(len(problems) * EVAL_FRACTION), {"train": [], "eval": []}
    for group in sorted(groups.values(), key=key):
        held_out = len(group) <= left
        left -= len(group) if held_out else 0
        sides["eval" if held_out else "train"] += group
    return sides


def write(sides, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for side, problems in sides.items():
        with open(folder / f"{side}.jsonl", "w", encoding="utf-8") as file:
            for problem in problems:
                for solution in problem["solutions"]:
                    row = {"id": problem["id"], "statement": problem["statement"], "domain": problem["domain"]}
                    file.write(json.dumps({**row, "solution": solution}, ensure_ascii=False) + "\n")
    with open(folder / "tests.jsonl", "w", encoding="utf-8") as file:
        for problem in sides["eval"]:
            file.write(json.dumps({"id": problem["id"], "tests": problem["tests"]}, ensure_ascii=False) + "\n")


def main():
    source, folder, files = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    signals, seconds, started = domains(source), {}, time.perf_counter()

    def step(name, work):
        nonlocal started
        result = work()
        now = time.perf_counter()
        seconds[name], started = now - started, now
        return result

    problems, rows = step("load", lambda: load(files))
    step("classify", lambda: classify(problems, signals))
    kept = step("deduplicate", lambda: deduplicate(problems))
    sides = step("split", lambda: split(kept))
    step("write", lambda: write(sides, folder))
    counts = {"rows": rows, "kept": len(kept), "train": len(sides["train"]), "eval": len(sides["eval"])}
    print(json.dumps({**counts, "seconds": sum(seconds.values()), "steps": seconds}))


if __name__ == "__main__":
    main()
