"""Deduplicating, grouping, splitting and decontaminating as `docs/data.md` says, held against what `prepare` decided.

    python compare_rows.py RUN_FOLDER

Reads `manifest.json` of a run over the source `jsonl` (kinds `chat`, `completion`, `policy` and `problem` with one
`solution` a row, all with the common names of their fields, `verify: false`), reads the files that it names again, decides
every row by the documentation alone and compares. Every pair of questions is compared, without MinHash. Prints one line of
JSON with what was counted; exits with 1, after the rows that differ, if any does. Needs Python 3.9 and no package.

Paraphrases are not decided again: rows that were left out as such are taken as the manifest says.
"""

import hashlib
import json
import math
import re
import sys
from collections import defaultdict
from pathlib import Path

RUN, SHINGLE, NEAR = 13, 5, 0.8
MANY, SMALL = 10, 5
OWN_PART, WHOLE_MIN = 0.7, 8
PROGRAM_SHINGLES, HELD_WORDS, OPENING_WORDS = 50, 20, 3

QUARTER = [(0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0xAA60, 0xAA7F)]
HALF = [(0x3005, 0x3007), (0x3040, 0x312F), (0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
        (0xFF66, 0xFF9F), (0x20000, 0x3FFFF)]
# Vowel signs are letters in Unicode's list `Alphabetic`, and no letters to `str.isalnum`.
VOWEL_SIGNS = set("ัิีึืฺุู")


def part(c):
    """How many quarters of a word a character is; None where words are runs of letters."""
    code = ord(c)
    if code < 0x0E00:
        return None
    if any(low <= code <= high for low, high in QUARTER):
        return 1
    return 2 if any(low <= code <= high for low, high in HALF) else None


def words_of(text):
    """Words with their quarters."""
    found, word = [], ""
    for c in text + " ":
        letter = c.isalnum() or c in VOWEL_SIGNS
        alone = part(c) if letter else None
        if letter and alone is None:
            word += c.lower()[0]
            continue
        if word:
            found.append((word, 4))
            word = ""
        if alone:
            found.append((c, alone))
    return found


def words_of_code(code):
    lines = [line for line in code.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return [(word, 4) for word in re.findall(r"\w+|[^\w\s]", "\n".join(lines))]


def runs(words, n):
    """(start, end) of every run of n words."""
    end = quarters = 0
    for start in range(len(words)):
        while quarters < 4 * n:
            if end == len(words):
                return
            quarters += words[end][1]
            end += 1
        yield start, end
        quarters -= words[start][1]


def run_set(words, n):
    return {tuple(words[a:b]) for a, b in runs(words, n)}


def count(words):
    return math.ceil(sum(quarters for _, quarters in words) / 4)


def shingles(words):
    return run_set(words, SHINGLE) or {tuple(words)}


def near(a, b):
    """Whether two sets of shingles have an index of at least 0.8."""
    if 5 * min(len(a), len(b)) < 4 * max(len(a), len(b)):
        return False
    shared = len(a & b)
    return 5 * shared >= 4 * (len(a) + len(b) - shared)


def boilerplate_of(texts):
    """The runs that are boilerplate, and how often one must stand to be."""
    counts = defaultdict(int)
    distinct = {tuple(words) for words in texts}
    for words in distinct:
        for run in run_set(list(words), RUN):
            counts[run] += 1
    least = min(max(len(distinct) // 2 + 1, SMALL), MANY + 1)
    return {run for run, texts_with in counts.items() if texts_with >= least}


def own_places(words, boilerplate):
    own = set(range(len(words)))
    for a, b in runs(words, RUN):
        if tuple(words[a:b]) in boilerplate:
            own -= set(range(a, b))
    return own or set(range(len(words)))


def normal(text):
    return " ".join(text.split()).lower()


def normal_code(code):
    lines = [line.rstrip() for line in code.split("\n")]
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


def fenced(text):
    found, opened, lines = [], None, []
    for line in text.split("\n"):
        fence = next((fence for fence in ("```", "~~~") if line.lstrip().startswith(fence)), None)
        if opened is None:
            opened, lines = fence, []
        elif fence == opened:
            found.append("\n".join(lines))
            opened = None
        else:
            lines.append(line)
    return found + (["\n".join(lines)] if opened else [])


def said(message):
    """Everything that somebody worded in a message."""
    calls = [call.get("function", call) for call in message.get("tool_calls") or []]
    worded = [text for call in calls for text in (call["name"], json.dumps(call["arguments"]))]
    return [text for text in (message.get("reasoning"), message.get("content")) if text is not None] + worded


class Row:
    def __init__(self, row, kind, name, index):
        self.id, self.index = row.get("id", name), index
        self.policy = self.answer = self.opening = None
        self.programs, self.code = [], []
        if kind == "problem":
            self.asked = row["problem"]
            solution = row.get("solution")
            self.code = [solution] if solution else []
            self.programs = [normal_code(code) for code in self.code]
        elif kind == "policy":
            self.asked, self.policy = row["instruction"], normal(row["policy"])
            actions = [[action["name"], json.dumps(action.get("arguments", action.get("kwargs")))]
                       for action in row["actions"]]
            self.answer = "\n\n".join(sum(actions, []) + list(row.get("outputs") or []))
        else:
            messages = row["messages"] if kind == "chat" else [
                {"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
            users = [message["content"] for message in messages if message["role"] == "user"]
            others = [message for message in messages if message["role"] not in ("user", "system", "developer")]
            self.answer = "\n\n".join(text for message in others for text in said(message))
            self.asked = "\n\n".join(users)
            if not self.asked.strip():
                self.asked = self.answer
            if users and count(words_of(users[0])) >= OPENING_WORDS:
                self.opening = normal(users[0])
            answers = [message["content"] for message in messages if message["role"] == "assistant"]
            self.code = sum(map(fenced, answers), [])
        self.statement = normal(self.asked)
        self.words = words_of(self.asked)
        self.runs = run_set(self.words, RUN)
        self.code = [words_of_code(code) for code in self.code]
        longest = max(self.code, key=len, default=[])
        self.program = run_set(longest, SHINGLE) if len(run_set(longest, SHINGLE)) >= PROGRAM_SHINGLES else None
        self.code_runs = [run_set(code, SHINGLE) for code in self.code]
        self.own = self.shingles = self.fate = None
        self.answer_words = words_of(self.answer) if self.answer is not None else None

    def cut(self, boilerplate):
        """Its own words, without the boilerplate of its collection."""
        self.own = own_places(self.words, boilerplate)
        self.shingles = shingles([self.words[place] for place in sorted(self.own)]) if self.words else None


def read(files, options, wanted=None):
    """The rows of some files; `wanted` says which of them, by their place over all files."""
    kind, rows, index = options["kind"], [], 0
    for file in files:
        name = re.sub(r"\.(jsonl|ndjson|json)$", "", Path(file).name)
        for number, line in enumerate(Path(file).read_bytes().decode().split("\n"), 1):
            if line.strip():
                if wanted is None or index in wanted:
                    rows.append(Row(json.loads(line), kind, f"{name}-{number}", index))
                index += 1
    return rows


class Groups:
    def __init__(self, size):
        self.of = list(range(size))

    def first(self, a):
        while self.of[a] != a:
            a = self.of[a]
        return a

    def join(self, a, b):
        a, b = sorted((self.first(a), self.first(b)))
        self.of[b] = a


def deduplicate(rows):
    groups = Groups(len(rows))
    statements, kept, programs, lessons = {}, [], {}, []
    question = list(range(len(rows)))
    for i, row in enumerate(rows):
        same, alike = statements.get(row.statement), None
        if same is None and row.words:
            for other in kept:
                if rows[other].words and near(row.shingles, rows[other].shingles):
                    alike = other if alike is None else alike
                    groups.join(other, i)
        found = same if same is not None else alike
        if found is not None:
            groups.join(found, i)
            question[i] = question[found]
        if row.answer is None:
            solved = next((programs[code] for code in row.programs if code in programs), None)
            if same is not None:
                row.fate = "duplicate-statement"
            elif solved is not None:
                row.fate = "duplicate-solution"
            elif alike is not None:
                row.fate = "near-duplicate-statement"
        else:
            answer = shingles(row.answer_words)
            for other in lessons:
                theirs = rows[other]
                if theirs.policy != row.policy:
                    continue
                if (theirs.statement, normal(theirs.answer)) == (row.statement, normal(row.answer)):
                    row.fate = "duplicate-statement"
                    break
            else:
                if row.answer_words and any(
                        question[other] == question[i] and rows[other].policy == row.policy
                        and rows[other].answer_words and near(answer, shingles(rows[other].answer_words))
                        for other in lessons):
                    row.fate = "near-duplicate-statement"
        if row.fate:
            continue
        for code in row.programs:
            programs.setdefault(code, i)
        if row.answer is not None:
            lessons.append(i)
        if same is None:
            statements[row.statement] = i
            kept.append(i)

    openings = defaultdict(list)
    for i, row in enumerate(rows):
        if row.opening:
            openings[row.opening].append(i)
    questions = len({row.statement for row in rows})
    least = min(max(questions // 2 + 1, SMALL), MANY + 1)
    for members in openings.values():
        if len({rows[i].statement for i in members}) < least:
            for i in members:
                groups.join(members[0], i)
    compared = [i for i, row in enumerate(rows) if not row.fate and row.program]
    for at, i in enumerate(compared):
        for other in compared[:at]:
            if groups.first(i) != groups.first(other) and near(rows[i].program, rows[other].program):
                groups.join(i, other)
    return groups


def split(rows, groups, seed, fraction):
    left_over = [i for i, row in enumerate(rows) if not row.fate]
    wanted = 0
    if fraction > 0 and len(left_over) >= 2:
        wanted = min(max(math.floor(len(left_over) * fraction + 0.5), 1), len(left_over) - 1)
    members = defaultdict(list)
    for i in left_over:
        members[groups.first(i)].append(i)

    def key(group):
        parts = [b"split", seed.to_bytes(8, "little"), min(rows[i].id for i in group).encode()]
        return hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in parts)).digest()

    for group in sorted(members.values(), key=key):
        side = "train"
        if len(group) <= wanted:
            wanted -= len(group)
            side = "eval"
        for i in group:
            rows[i].fate = side


def holds(long, short):
    return any(long[at:at + len(short)] == short for at in range(len(long) - len(short) + 1))


def contaminated(rows, sets, boilerplate):
    """Decides against rows that are trained on."""
    measured = [(one, runs_of_set, True) for runs_of_set, problems in sets for one in problems]
    measured += [(row, boilerplate, False) for row in rows if row.fate == "eval"]
    trained = [row for row in rows if row.fate == "train"]
    texts, stand_in = set(), defaultdict(int)
    by_run = defaultdict(list)
    for place, (one, _, _) in enumerate(measured):
        for run in one.runs:
            by_run[run].append(place)
            stand_in[run] += tuple(one.words) not in texts
        texts.add(tuple(one.words))
    for row in trained:
        if tuple(row.words) not in texts:
            texts.add(tuple(row.words))
            for run in row.runs:
                stand_in[run] += 1

    def why(row):
        mine, owns = row.runs, {}
        may_be = [one.policy is None or row.policy is None or one.policy == row.policy for one, _, _ in measured]
        for place, (one, runs_of_set, is_set) in enumerate(measured):
            if not may_be[place]:
                continue
            if row.words and one.words and near(row.shingles, one.shingles):
                return "resembles"
            if mine & one.runs and id(runs_of_set) not in owns:
                owns[id(runs_of_set)] = own_places(row.words, runs_of_set)
            for a, b in runs(row.words, RUN) if mine & one.runs else ():
                run = tuple(row.words[a:b])
                telling = run in one.runs and stand_in[run] <= MANY and run not in runs_of_set
                if telling and owns[id(runs_of_set)].issuperset(range(a, b)):
                    return "runs"
            shared = [(a, b) for a, b in runs(one.words, RUN) if tuple(one.words[a:b]) in mine]
            if any(len(by_run[tuple(one.words[a:b])]) <= MANY for a, b in shared):
                held = {place for a, b in shared for place in range(a, b)} & one.own
                if 100 * len(held) // len(one.own) >= 100 * OWN_PART:
                    return "part"
            if WHOLE_MIN <= count(one.words) and not any(runs(one.words, RUN)) and holds(row.words, one.words):
                return "whole"
            if is_set:
                for program, a in zip(row.code, row.code_runs):
                    for code, b in zip(one.code, one.code_runs):
                        if len(code) >= HELD_WORDS and holds(program, code):
                            return "program"
                        if min(len(a), len(b)) >= PROGRAM_SHINGLES and near(a, b):
                            return "program"
        return None

    for row in trained:
        if why(row):
            row.fate = "contaminated"


def main(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    config = manifest["config"]
    compared = ("duplicate-statement", "duplicate-solution", "near-duplicate-statement", "contaminated")
    expected, unrouted = {}, set()
    for fate in manifest["fates"]:
        if fate["fate"] == "accepted":
            expected[fate["row"]] = fate["side"]
        elif fate["reason"] in compared:
            expected[fate["row"]] = fate["reason"]
            if fate["detail"].startswith("paraphrases"):
                expected[fate["row"]] = "paraphrase"
        elif fate["reason"] == "domain-not-taken":
            expected[fate["row"]] = "domain-not-taken"
            unrouted.add(fate["row"])
    rows = read(config["files"], config["options"], expected)
    boilerplate = boilerplate_of([row.words for row in rows])
    for row in rows:
        row.cut(boilerplate)
    groups = deduplicate(rows)
    for row in rows:
        if not row.fate and row.index in unrouted:
            row.fate = "domain-not-taken"
    split(rows, groups, manifest["seed"], config.get("eval_fraction", 0.1))
    sets = []
    for one in config.get("decontaminate", []):
        problems = read(one["files"], one["options"])
        runs_of_set = boilerplate_of([row.words for row in problems])
        for row in problems:
            row.cut(runs_of_set)
        sets.append((runs_of_set, problems))
    contaminated(rows, sets, boilerplate)

    differ, counts = 0, defaultdict(int)
    for row in rows:
        counts[row.fate] += 1
        same = row.fate == expected[row.index] or (row.fate, expected[row.index]) == ("train", "paraphrase")
        if not same:
            differ += 1
            print(f"{row.id}: the documentation says {row.fate}, prepare {expected[row.index]}", file=sys.stderr)
    print(json.dumps({"rows": len(rows), "differ": differ, **dict(sorted(counts.items()))}))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
