"""Writes what the tiny base is trained on: corpus.jsonl (a document per line) and tokenizer.json.

    python3 corpus.py --documents 40000 --output FOLDER

Five kinds of documents, mixed by `MIXTURE`:

aligned    a problem and its solution as chat turns, from the six families of `ALIGNED_FAMILIES` only
tasks      a comment with a problem and its program, no chat, from two families in three
snippets   a comment and the piece of code that it describes: conditions, maps, reductions, never a whole task
programs   bare programs of every family, without a statement
copying    sequences to be repeated, so that copying a constant need not be learned by an adapter

No problem of the sample dataset stands here in any form: a drawn problem whose family and meaning, statement or
solution is in the sample is left out, and at the end every document is searched for 13-grams of the sample's
statements. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parent / "sample-problems"
sys.path.insert(0, str(SAMPLE))

import checks  # noqa: E402
from families import FAMILIES, Variant  # noqa: E402
from families.core import WORDS  # noqa: E402
from families.fragments import REDUCTIONS, char_condition, number_condition, number_map, word_condition, word_map  # noqa: E402
from families.pipelines import TEXT_REDUCTIONS  # noqa: E402

SEED = 7
MIXTURE = {"aligned": 0.12, "tasks": 0.36, "snippets": 0.10, "programs": 0.18, "copying": 0.24}

# Fixed before the first base was trained.
ALIGNED_FAMILIES = ("line_sum", "line_count", "words_list", "string_two_steps", "formula_two", "sequence_terms")
TASK_FAMILIES = tuple(name for place, name in enumerate(FAMILIES) if place % 3 != 2)

SYSTEM = "You are a Python programming specialist. Solve the problem step by step, then provide working code."
CHAT = (
    "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{statement}<|im_end|>\n<|im_start|>assistant\n"
    "Let me solve this step by step.\n\n```python\n{solution}\n```<|im_end|>\n"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 1024
# One digit, one word or one sign, each with the space before it; a fence is one sign; blanks at a line's start are one.
PRE_TOKEN = r" ?\p{N}| ?\p{L}+|```| ?[^\s\p{L}\p{N}]|\n|[^\S\n]+"


class Held:
    """What the sample holds and the corpus must not."""

    def __init__(self) -> None:
        table = pq.read_table(SAMPLE / "sample_problems.parquet", columns=["description", "solutions"]).to_pylist()
        self.statements = {" ".join(checks.words(row["description"])) for row in table}
        self.solutions = {row["solutions"]["solution"][0] for row in table}
        self.grams = {
            gram
            for row in table
            if len(checks.words(row["description"])) >= checks.GRAM_WORDS
            for gram in checks.grams(row["description"], checks.GRAM_WORDS)
        }
        entries = json.loads((SAMPLE / "families.json").read_text())
        self.meanings = {(e["family"], e["composition"], tuple(e["constants"])) for e in entries.values()}

    def holds(self, family: str, variant: Variant) -> bool:
        """Whether the sample has this problem, under any wording."""
        return (family, *variant.meaning) in self.meanings or variant.solution in self.solutions

    def holds_statement(self, statement: str) -> bool:
        """Whether a statement is one of the sample's or shares a 13-gram with one."""
        return " ".join(checks.words(statement)) in self.statements or not self.grams.isdisjoint(
            checks.grams(statement, checks.GRAM_WORDS)
        )


def draw(rng: Random, family: str, held: Held) -> Variant:
    """A variant that the sample does not hold."""
    while True:
        variant = FAMILIES[family].make(rng)
        if not held.holds(family, variant):
            return variant


def solved(rng: Random, families: tuple[str, ...], held: Held) -> tuple[str, str]:
    """A statement that the sample does not hold, and its solution."""
    while True:
        variant = draw(rng, rng.choice(families), held)
        statement = rng.choice(variant.wordings)
        if not held.holds_statement(statement):
            return statement, variant.solution


def aligned(rng: Random, held: Held) -> str:
    """A problem and its solution as chat turns."""
    statement, solution = solved(rng, ALIGNED_FAMILIES, held)
    return CHAT.format(system=SYSTEM, statement=statement, solution=solution)


def tasks(rng: Random, held: Held) -> str:
    """Problems as comments, each with its program."""
    pairs = [solved(rng, TASK_FAMILIES, held) for _ in range(2)]
    return "\n\n".join(f"# {statement}\n{solution}" for statement, solution in pairs) + "\n"


def snippets(rng: Random, held: Held) -> str:
    """Comments, each with the piece of code that it describes."""
    pieces = []
    for _ in range(rng.randint(5, 9)):
        kind = rng.randrange(9)
        if kind < 2:
            part = number_condition(rng)
            pieces.append(f"# keep numbers {rng.choice(part.texts)}\nb = [x for x in a if {part.code}]")
        elif kind < 4:
            part = number_map(rng)
            pieces.append(f"# {rng.choice(part.texts)}\nb = [{part.code} for x in a]")
        elif kind == 4:
            part = word_condition(rng)
            pieces.append(f"# keep words {rng.choice(part.texts)}\nb = [x for x in a if {part.code}]")
        elif kind == 5:
            part = word_map(rng)
            pieces.append(f"# {rng.choice(part.texts)}\nb = [{part.code} for x in a]")
        elif kind == 6:
            part = char_condition(rng)
            pieces.append(f"# keep characters {rng.choice(part.texts)}\nb = [x for x in a if {part.code}]")
        else:
            part = rng.choice([*REDUCTIONS.values(), *TEXT_REDUCTIONS.values()])
            pieces.append(f"# print {rng.choice(part.texts).format(x='b')}\n{part.code}")
    return "\n".join(pieces) + "\n"


def programs(rng: Random, held: Held) -> str:
    """Bare programs of any family."""
    names = list(FAMILIES)
    return "\n\n".join(draw(rng, rng.choice(names), held).solution for _ in range(rng.randint(2, 3))) + "\n"


def copying(rng: Random, held: Held) -> str:
    """Sequences, then the same again, whole or by parts, in prose and in code."""
    def item() -> str:
        kind = rng.randrange(10)
        if kind < 6:
            return str(rng.randint(0, 99))
        if kind < 8:
            return rng.choice("abcdefghijklmnopqrstuvwxyz")
        return rng.choice(WORDS)

    kind = rng.randrange(4)
    if kind == 0:
        items = [item() for _ in range(rng.randint(6, 20))]
        return " ".join(items) + "\n" + " ".join(items) + "\n"
    lines = []
    for _ in range(rng.randint(4, 7)):
        p, q, r = item(), item(), item()
        if kind == 1:
            lines.append(f"Use {p}, then {q} and {r}.\nprint({p}, {q}, {r})")
        elif kind == 2:
            k, j = rng.randint(0, 99), rng.randint(2, 40)
            sign, other = rng.sample(("+", "-", "*", "%", "//", ">", "<", ">=", "<=", "==", "!="), 2)
            lines.append(f"# first {k}, second {j}\nx {sign} {k}\nx {other} {j}")
        else:
            w, v = rng.choice(WORDS), rng.choice("abcdefghijklmnopqrstuvwxyz*#@+")
            lines.append(f'Write {w} with {v} for {p}.\nprint("{w}", "{v}", {p if p.isdigit() else repr(p)})'.replace("'", '"'))
    return "\n".join(lines) + "\n"


KINDS = {"aligned": aligned, "tasks": tasks, "snippets": snippets, "programs": programs, "copying": copying}


def documents(count: int, held: Held) -> list[str]:
    """`count` documents in a seeded order."""
    rng = Random(f"{SEED} documents")
    out = []
    for _ in range(count):
        kind = rng.choices(list(MIXTURE), list(MIXTURE.values()))[0]
        out.append(KINDS[kind](rng, held))
    return out


def check(texts: list[str], held: Held) -> None:
    """Fails if a statement of the sample, or 13 words of one in a row, stands in a document."""
    short = {s for s in held.statements if len(s.split()) < checks.GRAM_WORDS}
    for number, text in enumerate(texts, 1):
        spoken = checks.words(text)
        runs = {tuple(spoken[i : i + checks.GRAM_WORDS]) for i in range(len(spoken) - checks.GRAM_WORDS + 1)}
        if not held.grams.isdisjoint(runs):
            sys.exit(f"document {number} holds a 13-gram of a statement of the sample")
        turns = text.split("<|im_start|>user\n")
        if len(turns) == 2 and " ".join(checks.words(turns[1].split("<|im_end|>")[0])) in short:
            sys.exit(f"document {number} holds a statement of the sample")


def tokenizer(texts: list[str], held: Held) -> Tokenizer:
    """Byte-level BPE. It also sees statements of every family, drawn as the corpus' own are: words, not problems."""
    rng = Random(f"{SEED} tokenizer")
    spoken = []
    for name in FAMILIES:
        for _ in range(150):
            spoken.append(rng.choice(draw(rng, name, held).wordings))
    out = Tokenizer(models.BPE())
    out.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRE_TOKEN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    out.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    out.train_from_iterator([*texts[:6000], *spoken], trainer)
    return out


def main() -> int:
    """Writes the corpus and its tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=37_000)
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    held = Held()
    texts = documents(arguments.documents, held)
    check(texts, held)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "corpus.jsonl").open("w") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
    trained = tokenizer(texts, held)
    trained.save(str(arguments.output / "tokenizer.json"))
    tokens = sum(len(trained.encode(text).ids) for text in texts[:2000]) / 2000
    print(f"{len(texts)} documents, about {tokens:.0f} tokens each", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
