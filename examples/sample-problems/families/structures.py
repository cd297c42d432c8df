"""Families on stacks, queues, heaps, hash tables and sets."""

from __future__ import annotations

from random import Random

from .core import Variant, family, integer_line, integers, program, spaced, word_line
from .fragments import REDUCTIONS, Fragment, Reduction, number_condition
from .pipelines import READ_INTEGERS

RESULTS = ("sum", "count", "list", "reversed", "largest")


def _unsigned(rng: Random) -> Fragment:
    return number_condition(rng, signed_allowed=False)


def _reduce(reduction: Reduction, values: list) -> str:
    if reduction.needs_items and not values:
        return ""
    return f"{reduction.apply(list(values))}\n"


def _container(rng: Random, kind: str, take: str, front: bool) -> Variant:
    condition = _unsigned(rng)
    reduction = REDUCTIONS[rng.choice(RESULTS)]
    wordings = tuple(
        f"{intro} {body} Print {result.format(x='the rest')}."
        for intro in (f"Read integers into a {kind}.", f"Fill a {kind} from a line of integers.")
        for keep in condition.texts
        for result in reduction.texts
        for body in (f"Push numbers {keep}; on any other {take} if possible.", f"Values {keep} are pushed, others {take} unless empty.")
    )

    def oracle(text: str) -> str:
        held: list[int] = []
        for x in integers(text):
            if condition.apply(x):
                held = held + [x]
            else:
                held = held[1:] if front else held[: max(0, len(held) - 1)]
        return _reduce(reduction, held)

    return Variant(
        f"{condition.name}|{reduction.name}", condition.constants, wordings,
        program(READ_INTEGERS, "b = []", "for x in a:", f"    if {condition.code}:", "        b.append(x)", "    elif b:", f"        b.pop({'0' if front else ''})", reduction.code),
        oracle, lambda r: integer_line(r, condition.constants, size=(6, 10)), ("data structures", "implementation"),
    )


@family("stack_push_pop")
def stack_push_pop(rng: Random) -> Variant:
    return _container(rng, "stack", "pop the top", front=False)


@family("queue_push_pop")
def queue_push_pop(rng: Random) -> Variant:
    return _container(rng, "queue", "remove the front", front=True)


@family("heap_push_pop")
def heap_push_pop(rng: Random) -> Variant:
    condition = _unsigned(rng)
    reduction = REDUCTIONS[rng.choice(("sum", "count", "ascending", "largest", "smallest"))]
    wordings = tuple(
        f"{intro} {body} Print {result.format(x='the heap')}."
        for intro in ("Read integers for a heap.", "A heap receives a line of integers.")
        for keep in condition.texts
        for result in reduction.texts
        for body in (f"Push each; right after values {keep} pop the smallest.", f"Every value enters; values {keep} then make the minimum leave.")
    )

    def oracle(text: str) -> str:
        held: list[int] = []
        for x in integers(text):
            held = sorted([*held, x])
            if condition.apply(x):
                held = held[1:]
        return _reduce(reduction, held)

    return Variant(
        f"{condition.name}|{reduction.name}", condition.constants, wordings,
        program("from heapq import heappush, heappop", READ_INTEGERS, "b = []", "for x in a:", "    heappush(b, x)", f"    if {condition.code}:", "        heappop(b)", reduction.code),
        oracle, lambda r: integer_line(r, condition.constants, size=(6, 10)), ("data structures",),
    )


@family("stack_collapse")
def stack_collapse(rng: Random) -> Variant:
    k = rng.randint(2, 14)
    name, texts, code, meets = rng.choice((
        ("sum_is", (f"adds to {k} with it", f"plus it makes {k}"), f"b[-1] + x == {k}", lambda p, q: p + q == k),
        ("sum_over", (f"exceeds {k} together with it", f"plus it is above {k}"), f"b[-1] + x > {k}", lambda p, q: p + q > k),
        ("larger_by", (f"is larger by over {k}", f"minus it is above {k}"), f"b[-1] - x > {k}", lambda p, q: p > q + k),
        ("divisible", (f"makes a sum divisible by {k} with it", f"plus it is a multiple of {k}"), f"(b[-1] + x) % {k} == 0", lambda p, q: (p + q) // k * k == p + q),
    ))
    reduction = REDUCTIONS[rng.choice(RESULTS)]
    wordings = tuple(
        f"{intro} If the stack top {text}, {end} Print {result.format(x='the stack')}."
        for intro in ("Push integers from a line.", "Read integers onto a stack.")
        for text in texts
        for result in reduction.texts
        for end in ("pop instead of pushing.", "remove the top and skip the value.")
    )

    def oracle(text: str) -> str:
        held: list[int] = []
        for x in integers(text):
            held = held[:-1] if held and meets(held[-1], x) else [*held, x]
        return _reduce(reduction, held)

    return Variant(
        f"{name}|{reduction.name}", (k,), wordings,
        program(READ_INTEGERS, "b = []", "for x in a:", f"    if b and {code}:", "        b.pop()", "    else:", "        b.append(x)", reduction.code),
        oracle, lambda r: integer_line(r, low=0, high=18, size=(6, 10)), ("data structures",),
    )


BRACKETS = (("()", "round"), ("[]", "square"), ("{}", "curly"), ("<>", "angle"))


@family("brackets", 12)
def brackets(rng: Random) -> Variant:
    pair, word = rng.choice(BRACKETS)
    name, ask, tail = rng.choice((
        ("depth", ("the greatest nesting depth", "how deep they nest at most"), ("print(max(b))",)),
        ("total", ("the sum of depths after each character", "all running depths added together"), ("print(sum(b))",)),
        ("trace", ("the depth after each character", "every running depth"), ("print(*b)",)),
        ("lowest", ("the lowest depth reached", "the minimum running depth"), ("print(min(b))",)),
        ("final", ("how many more open than close", "the final depth"), ("print(b[-1])",)),
    ))
    wordings = tuple(f"{intro} of {word} brackets{more} Print {text}." for intro in ("Read a string", "Input is a line") for text in ask for more in (", as for a stack.", "."))

    def oracle(text: str) -> str:
        depths = [text[: i + 1].count(pair[0]) - text[: i + 1].count(pair[1]) for i in range(len(text.strip()))]
        return {"depth": max(depths), "total": sum(depths), "trace": spaced(depths), "lowest": sorted(depths)[0], "final": depths[-1]}[name].__str__() + "\n"

    def draw(r: Random) -> str:
        return "".join(r.choice(pair + pair[0]) for _ in range(r.randint(4, 10))) + "\n"

    return Variant(
        name, (word,), wordings,
        program("a = input()", "b = []", "c = 0", "for x in a:", f'    c += 1 if x == "{pair[0]}" else -1', "    b.append(c)", *tail),
        oracle, draw, ("data structures", "strings"),
    )


def _frequency(rng: Random, k: int) -> tuple:
    return rng.choice((
        ("exactly", (f"occurring exactly {k} times", f"with frequency {k}"), f"a.count(x) == {k}", lambda n: n == k),
        ("at_least", (f"occurring at least {k} times", f"with frequency {k} or more"), f"a.count(x) >= {k}", lambda n: not n < k),
        ("at_most", (f"occurring at most {k} times", f"with frequency up to {k}"), f"a.count(x) <= {k}", lambda n: not n > k),
    ))


@family("hash_frequency", 16)
def hash_frequency(rng: Random) -> Variant:
    k = rng.randint(1, 3)
    name, texts, code, meets = _frequency(rng, k)
    reduction = REDUCTIONS[rng.choice(("sum", "count", "largest", "smallest", "ascending", "descending"))]
    wordings = tuple(
        f"{intro} {body.format(t=text)} Print {result.format(x='them')}."
        for intro in ("Read a line of integers.", "Count integers of a line in a hash table.")
        for text in texts
        for result in reduction.texts
        for body in ("Find the distinct values {t}.", "Take each value {t} once.")
    )

    def oracle(text: str) -> str:
        table: dict[int, int] = {}
        for x in integers(text):
            table[x] = table.get(x, 0) + 1
        return _reduce(reduction, [x for x, n in table.items() if meets(n)])

    return Variant(
        f"{name}|{reduction.name}", (k,), wordings,
        program(READ_INTEGERS, f"b = [x for x in set(a) if {code}]", reduction.code),
        oracle, lambda r: integer_line(r, low=1, high=6, size=(6, 11)), ("data structures", "hashing"),
    )


@family("hash_words", 12)
def hash_words(rng: Random) -> Variant:
    k = rng.randint(1, 3)
    name, texts, code, meets = _frequency(rng, k)
    reduction = REDUCTIONS[rng.choice(("count", "ascending", "descending"))]
    wordings = tuple(
        f"{intro} {body.format(t=text)} Print {result.format(x='them')}."
        for intro in ("Read a line of words.", "Hash the words of a line.")
        for text in texts
        for result in reduction.texts
        for body in ("Find the distinct words {t}.", "Take each word {t} once.")
    )

    def oracle(text: str) -> str:
        table: dict[str, int] = {}
        for x in text.split():
            table[x] = table.get(x, 0) + 1
        return _reduce(reduction, [x for x, n in table.items() if meets(n)])

    def draw(r: Random) -> str:
        few = r.sample(("red", "blue", "green", "gold", "pink"), 4)
        return " ".join(r.choice(few) for _ in range(r.randint(6, 10))) + "\n"

    return Variant(
        f"{name}|{reduction.name}", (k,), wordings,
        program("a = input().split()", f"b = [x for x in set(a) if {code}]", reduction.code),
        oracle, draw, ("data structures", "strings"),
    )


SETS = (
    ("both", ("in both lines", "common to the two lines"), "a & c", lambda p, q: [x for x in p if x in q]),
    ("either", ("in at least one line", "of the two lines together"), "a | c", lambda p, q: p + q),
    ("first_only", ("only in the first line", "of the first line missing from the second"), "a - c", lambda p, q: [x for x in p if x not in q]),
    ("second_only", ("only in the second line", "of the second line missing from the first"), "c - a", lambda p, q: [x for x in q if x not in p]),
    ("one_only", ("in exactly one line", "in one line but not both"), "a ^ c", lambda p, q: [x for x in p + q if (x in p) != (x in q)]),
)


@family("set_lines", 20)
def set_lines(rng: Random) -> Variant:
    name, texts, code, combine = rng.choice(SETS)
    reduction = REDUCTIONS[rng.choice(("sum", "count", "largest", "smallest", "ascending", "descending"))]
    wordings = tuple(
        f"{intro} {body.format(t=text, r=result.format(x='them'))}"
        for intro in ("Read two lines of integers.", "Two lines hold integers.")
        for text in texts
        for result in reduction.texts
        for body in ("Take the distinct values {t} and print {r}.", "Consider different integers {t}. Output {r}.")
    )

    def oracle(text: str) -> str:
        p, q = (integers(line) for line in text.splitlines())
        return _reduce(reduction, list(dict.fromkeys(combine(p, q))))

    return Variant(
        f"{name}|{reduction.name}", (), wordings,
        program("a = set(map(int, input().split()))", "c = set(map(int, input().split()))", f"b = {code}", reduction.code),
        oracle, lambda r: integer_line(r, low=0, high=12) + integer_line(r, low=0, high=12), ("data structures", "implementation"),
    )


@family("queue_rotate", 12)
def queue_rotate(rng: Random) -> Variant:
    k = rng.randint(1, 5)
    left = rng.random() < 0.5
    condition = _unsigned(rng) if rng.random() < 0.6 else None
    reduction = REDUCTIONS[rng.choice(("list", "reversed"))]
    side = "left" if left else "right"
    keep = condition.texts if condition else ("",)
    wordings = tuple(
        f"Read a line of integers. Rotate {what} {side} by {k}{ask}{result.format(x='the ' + (('numbers ' + t) if t else 'queue'))}."
        for t in keep
        for result in reduction.texts
        for what in ("this queue", "the queue")
        for ask in (" and print ", ", then output ")
    )

    def oracle(text: str) -> str:
        held = integers(text)
        for _ in range(k):
            held = held[1:] + held[:1] if left else held[-1:] + held[:-1]
        return _reduce(reduction, [x for x in held if not condition or condition.apply(x)])

    turn = f"a = a[{k}:] + a[:{k}]" if left else f"a = a[-{k}:] + a[:-{k}]"
    return Variant(
        f"{side}|{condition.name if condition else 'all'}|{reduction.name}", (k, *(condition.constants if condition else ())), wordings,
        program(READ_INTEGERS, turn, f"b = [x for x in a if {condition.code}]" if condition else "b = [x for x in a]", reduction.code),
        oracle, lambda r: integer_line(r, condition.constants if condition else (), size=(6, 10)), ("data structures",),
    )


@family("queue_circle", 10)
def queue_circle(rng: Random) -> Variant:
    k = rng.randint(2, 9)
    name, texts, tail = rng.choice((
        ("survivor", ("who leaves last", "the final person"), "print(b[-1])"),
        ("order", ("the order of leaving", "everyone as they leave"), "print(*b)"),
        ("first", ("who leaves first", "the earliest to leave"), "print(b[0])"),
    ))
    wordings = tuple(
        f"{intro} {body} Print {text}."
        for intro in ("People 1 to n queue in a circle.", "Read n. A circular queue holds 1 to n.")
        for text in texts
        for body in (f"Every {k}-th leaves.", f"Counting to {k}, that one goes out.")
    )

    def oracle(text: str) -> str:
        people = list(range(1, int(text) + 1))
        gone = []
        place = 0
        while people:
            place = (place + k - 1) % len(people)
            gone.append(people.pop(place))
        return {"survivor": f"{gone[-1]}\n", "order": spaced(gone) + "\n", "first": f"{gone[0]}\n"}[name]

    return Variant(
        name, (k,), wordings,
        program("n = int(input())", "a = list(range(1, n + 1))", "b = []", "while a:", f"    for i in range({k - 1}):", "        a.append(a.pop(0))", "    b.append(a.pop(0))", tail),
        oracle, lambda r: f"{r.randint(2, 14)}\n", ("data structures",),
    )


@family("heap_extremes", 18)
def heap_extremes(rng: Random) -> Variant:
    k = rng.randint(2, 5)
    large = rng.random() < 0.5
    reduction = REDUCTIONS[rng.choice(("sum", "product", "largest", "smallest", "spread", "average", "ascending", "descending"))]
    side = "largest" if large else "smallest"
    wordings = tuple(
        f"{intro} {body} {result.format(x='them')}."
        for intro in ("Read a line of integers.", "Put a line of integers in a heap.")
        for result in reduction.texts
        for body in (f"Take the {k} {side} and print", f"Only the {side} {k} count. Output")
    )

    def oracle(text: str) -> str:
        left = integers(text)
        taken = []
        for _ in range(k):
            best = left[0]
            for x in left:
                if (x > best) if large else (x < best):
                    best = x
            left.remove(best)
            taken.append(best)
        return _reduce(reduction, taken)

    return Variant(
        f"{side}|{reduction.name}", (k,), wordings,
        program(reduction.header, READ_INTEGERS, f"b = sorted(a)[-{k}:]" if large else f"b = sorted(a)[:{k}]", reduction.code),
        oracle, lambda r: integer_line(r, low=1, high=30, size=(6, 10)), ("data structures", "sortings"),
    )


PAIRS = (
    ("sum", "sum", "x + y", lambda p, q: q + p),
    ("product", "product", "x * y", lambda p, q: q * p),
    ("distance", "distance", "abs(x - y)", lambda p, q: max(p, q) - min(p, q)),
    ("larger", "maximum", "max(x, y)", lambda p, q: p if p > q else q),
    ("smaller", "minimum", "min(x, y)", lambda p, q: q if p > q else p),
)


@family("neighbour_pairs", 20)
def neighbour_pairs(rng: Random) -> Variant:
    name, word, code, combine = rng.choice(PAIRS)
    reduction = REDUCTIONS[rng.choice(("sum", "largest", "smallest", "list", "reversed", "ascending"))]
    wordings = tuple(
        f"{intro} {body} {result.format(x='these')}."
        for intro in ("Read a line of integers.", "One line holds integers.")
        for result in reduction.texts
        for body in (f"Take the {word} of each neighbouring pair and print", f"For all adjacent pairs find the {word}, then output")
    )

    def oracle(text: str) -> str:
        a = integers(text)
        return _reduce(reduction, [combine(a[i], a[i + 1]) for i in range(len(a) - 1)])

    return Variant(
        f"{name}|{reduction.name}", (), wordings,
        program(READ_INTEGERS, f"b = [{code} for x, y in zip(a, a[1:])]", reduction.code),
        oracle, lambda r: integer_line(r, low=0, high=20, size=(5, 9)), ("implementation",),
    )


@family("two_lines", 20)
def two_lines(rng: Random) -> Variant:
    name, word, code, combine = rng.choice(PAIRS)
    reduction = REDUCTIONS[rng.choice(("sum", "largest", "smallest", "list", "reversed", "descending"))]
    wordings = tuple(
        f"{intro} {body} {result.format(x='these')}."
        for intro in ("Read two equally long lines of integers.", "Two lines hold equally many integers.")
        for result in reduction.texts
        for body in (f"Take the {word} at every position and print", f"Pair them up, find each {word}, output")
    )

    def oracle(text: str) -> str:
        p, q = (integers(line) for line in text.splitlines())
        return _reduce(reduction, [combine(p[i], q[i]) for i in range(len(p))])

    def draw(r: Random) -> str:
        n = r.randint(4, 8)
        return integer_line(r, low=0, high=20, size=(n, n)) + integer_line(r, low=0, high=20, size=(n, n))

    return Variant(
        f"{name}|{reduction.name}", (), wordings,
        program(READ_INTEGERS, "c = list(map(int, input().split()))", f"b = [{code} for x, y in zip(a, c)]", reduction.code),
        oracle, draw, ("implementation",),
    )


@family("positions", 18)
def positions(rng: Random) -> Variant:
    condition = _unsigned(rng)
    reduction = REDUCTIONS[rng.choice(("sum", "largest", "list", "reversed", "first"))]
    wordings = tuple(
        f"{intro} {body} {result.format(x='them')}."
        for intro in ("Read a line of integers.", "One line holds integers.")
        for keep in condition.texts
        for result in reduction.texts
        for body in (f"Find the indices, from 0, of values {keep} and print", f"Take zero-based places of numbers {keep}. Output")
    )

    def oracle(text: str) -> str:
        found = []
        place = 0
        for x in integers(text):
            if condition.apply(x):
                found.append(place)
            place += 1
        return _reduce(reduction, found)

    return Variant(
        f"{condition.name}|{reduction.name}", condition.constants, wordings,
        program(READ_INTEGERS, f"b = [i for i, x in enumerate(a) if {condition.code}]", reduction.code),
        oracle, lambda r: integer_line(r, condition.constants, size=(5, 10)), ("implementation",),
    )


@family("every_kth", 16)
def every_kth(rng: Random) -> Variant:
    start, step = rng.randint(0, 2), rng.randint(2, 4)
    reduction = REDUCTIONS[rng.choice(("sum", "largest", "smallest", "list", "reversed", "ascending", "product"))]
    wordings = tuple(
        f"{intro} {body} {result.format(x='them')}."
        for intro in ("Read a line of integers.", "One line holds integers.")
        for result in reduction.texts
        for body in (f"From index {start} take every {step}-th value and print", f"Pick indices {start}, {start + step} and so on by {step}. Output")
    )

    def oracle(text: str) -> str:
        return _reduce(reduction, [x for i, x in enumerate(integers(text)) if i >= start and (i - start) % step == 0])

    return Variant(
        reduction.name, (start, step), wordings,
        program(reduction.header, READ_INTEGERS, f"b = a[{start}::{step}]", reduction.code),
        oracle, lambda r: integer_line(r, low=1, high=20, size=(6, 11)), ("implementation",),
    )


@family("word_pairs", 10)
def word_pairs(rng: Random) -> Variant:
    name, texts, code, pick = rng.choice((
        ("longer", ("the longer of each pair", "each pair's longer word"), "y if len(y) > len(x) else x", lambda p, q: q if len(q) > len(p) else p),
        ("first", ("the alphabetically earlier of each pair", "each pair's earlier word by alphabet"), "min(x, y)", lambda p, q: q if q < p else p),
        ("later", ("the alphabetically later of each pair", "each pair's later word by alphabet"), "max(x, y)", lambda p, q: q if q > p else p),
        ("glued", ("both of each pair glued", "each pair joined into one"), "x + y", lambda p, q: f"{p}{q}"),
        ("swapped", ("both of each pair glued in swapped order", "each pair joined with the second first"), "y + x", lambda p, q: f"{q}{p}"),
    ))
    reduction = REDUCTIONS[rng.choice(("list", "reversed", "ascending", "unique"))]
    wordings = tuple(
        f"{intro} {body} {result.format(x='the results')}."
        for intro in ("Read a line of words.", "One line holds words.")
        for text in texts
        for result in reduction.texts
        for body in (f"Among neighbours take {text} and print", f"Over neighbouring words, choose {text}. Output")
    )

    def oracle(text: str) -> str:
        w = text.split()
        return _reduce(reduction, [pick(w[i], w[i + 1]) for i in range(len(w) - 1)])

    return Variant(
        f"{name}|{reduction.name}", (), wordings,
        program("a = input().split()", f"b = [{code} for x, y in zip(a, a[1:])]", reduction.code),
        oracle, lambda r: word_line(r), ("strings",),
    )
