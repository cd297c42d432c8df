"""Families on formulas, digits in other bases, factorization, recurrences and sequences."""

from __future__ import annotations

from random import Random

from .core import Variant, family, integers, program, spaced
from .fragments import REDUCTIONS, number_condition, number_map


def _condition(rng: Random):
    return number_condition(rng, signed_allowed=False)


@family("formula_two", 18)
def formula_two(rng: Random) -> Variant:
    k, j = rng.randint(2, 12), rng.randint(2, 9)
    first = rng.choice((
        ("sum", "n plus m", "n + m", lambda n, m: m + n),
        ("product", "n times m", "n * m", lambda n, m: m * n),
        ("difference", "n minus m", "n - m", lambda n, m: -(m - n)),
        ("larger", "the larger of n and m", "max(n, m)", lambda n, m: n if n > m else m),
        ("smaller", "the smaller of n and m", "min(n, m)", lambda n, m: m if n > m else n),
        ("squares", "n squared plus m squared", "n * n + m * m", lambda n, m: n ** 2 + m ** 2),
    ))
    second = rng.choice((
        ("add", f"add {k}", f"c + {k}", lambda c: k + c),
        ("multiply", f"multiply by {k}", f"c * {k}", lambda c: sum([c] * k)),
        ("take_from", f"subtract it from {k * 10}", f"{k * 10} - c", lambda c: -(c - k * 10)),
        ("square_add", f"square it, add {k}", f"c * c + {k}", lambda c: abs(c) ** 2 + k),
        ("scale_add", f"multiply by {j}, add {k}", f"c * {j} + {k}", lambda c: k + j * c),
    ))
    wordings = tuple(f"{intro} Take {first[1]}, {second[1]}{end}" for intro in ("Read n and m.", "Two integers n and m come on a line.", "Formula on n and m:") for end in (" and print it.", ", then output the result."))
    constants = {"scale_add": (j, k), "take_from": (k * 10,)}.get(second[0], (k,))
    return Variant(
        f"{first[0]}|{second[0]}", constants, wordings,
        program("n, m = map(int, input().split())", f"c = {first[2]}", f"print({second[2]})"),
        lambda text: f"{second[3](first[3](*integers(text)))}\n",
        lambda r: f"{r.randint(1, 40)} {r.randint(1, 40)}\n", ("math",),
    )


@family("modular_power", 12)
def modular_power(rng: Random) -> Variant:
    k, j = rng.randint(7, 97), rng.randint(2, 9)
    name, words, code, value = rng.choice((
        ("power", "n to the power m", "pow(n, m, {k})", lambda n, m: n ** m),
        ("fixed_base", f"{j} to the power n plus m", f"pow({j}, n + m, {{k}})", lambda n, m: j ** n * j ** m),
        ("fixed_exponent", f"n plus m to the power {j}", f"pow(n + m, {j}, {{k}})", lambda n, m: (n + m) ** j),
        ("product", f"{j} times n times m", f"{j} * n * m % {{k}}", lambda n, m: j * n * m),
    ))
    wordings = tuple(f"{intro} Print {words}, modulo {k}{end}" for intro in ("Read n and m.", "Two integers n and m come on a line.", "Modular arithmetic: given n and m.") for end in (".", ", as a remainder."))
    return Variant(
        name, (k,) if name == "power" else (j, k), wordings,
        program("n, m = map(int, input().split())", f"print({code.format(k=k)})"),
        lambda text: f"{value(*integers(text)) - value(*integers(text)) // k * k}\n",
        lambda r: f"{r.randint(2, 20)} {r.randint(2, 20)}\n", ("math", "number theory"),
    )


@family("base_digits", 16)
def base_digits(rng: Random) -> Variant:
    k = rng.randint(2, 9)
    reduction = REDUCTIONS[rng.choice(("sum", "count", "largest", "list", "reversed", "product"))]
    wordings = tuple(
        f"{intro} {body} {result.format(x='them')}."
        for intro in ("Read n.", "Given a positive n.")
        for result in reduction.texts
        for body in (f"Collect its base {k} digits, lowest first, and print", f"Write n in base {k} and take digits from the lowest. Output")
    )

    def oracle(text: str) -> str:
        n, digits = int(text), []
        power = 1
        while power <= n:
            digits.append(n // power % k)
            power *= k
        return f"{reduction.apply(digits)}\n"

    return Variant(
        reduction.name, (k,), wordings,
        program(reduction.header, "n = int(input())", "b = []", "while n:", f"    b.append(n % {k})", f"    n //= {k}", reduction.code),
        oracle, lambda r: f"{r.randint(5, 999)}\n", ("math", "number theory"),
    )


@family("prime_factors", 14)
def prime_factors(rng: Random) -> Variant:
    condition = _condition(rng) if rng.random() < 0.6 else None
    if condition and condition.name in ("divisible", "last_digit_is", "between", "even"):
        condition = None
    step = number_map(rng, signed_allowed=False) if condition is None or rng.random() < 0.4 else None
    reduction = REDUCTIONS[rng.choice(("sum", "count", "list", "largest") if not step else ("sum", "list", "product", "largest"))]
    keep = condition.texts if condition else ("",)
    wordings = tuple(
        f"{intro} {body}{(' ' + text) if text else ''}{', ' + way if way else ''}. Print {result.format(x='them')}."
        for intro in ("Read n.", "Number theory: given n.")
        for text in keep
        for way in (step.texts if step else ("",))
        for result in reduction.texts
        for body in ("Take its prime factors with repeats", "Factor n into primes, repeats kept; take factors")
    )

    def oracle(text: str) -> str:
        n, found = int(text), []
        for p in range(2, n + 1):
            if all(p % d for d in range(2, p)):
                q = p
                while int(text) % q == 0:
                    found.append(p)
                    q *= p
        found = [step.apply(p) if step else p for p in found if not condition or condition.apply(p)]
        return "" if reduction.needs_items and not found else f"{reduction.apply(found)}\n"

    parts = [f for f in (condition, step) if f]
    return Variant(
        "|".join([*(f.name for f in parts), reduction.name]), tuple(c for f in parts for c in f.constants), wordings,
        program(
            reduction.header, "n = int(input())", "a = []", "d = 2", "while n > 1:", "    if n % d == 0:", "        a.append(d)", "        n //= d", "    else:", "        d += 1",
            f"b = [{step.code if step else 'x'} for x in a{' if ' + condition.code if condition else ''}]", reduction.code,
        ),
        oracle, lambda r: f"{r.choice((r.randint(4, 300), 2 * r.randint(10, 150), 12 * r.randint(2, 30)))}\n", ("number theory", "math"),
    )


@family("recurrence", 14)
def recurrence(rng: Random) -> Variant:
    p, q, s, t = rng.randint(1, 3), rng.randint(1, 3), rng.randint(0, 5), rng.randint(1, 6)
    name, texts, code = rng.choice((
        ("last", ("the n-th term from 0", "term n counting from 0"), "print(b[n])"),
        ("sum", ("the sum of terms 0 to n", "all terms up to n added"), "print(sum(b[:n + 1]))"),
        ("list", ("terms 0 to n", "every term up to n"), "print(*b[:n + 1])"),
    ))
    wordings = tuple(
        f"{intro} {body} Print {text}."
        for intro in ("Read n.", "Given n:")
        for text in texts
        for body in (f"A sequence starts {s}, {t}; each next is {p} times the last plus {q} times the one before.", f"From {s} and {t} on, a term is {p} times the previous plus {q} times the earlier.")
    )

    def oracle(text: str) -> str:
        older, newer, terms = s, t, []
        for _ in range(int(text) + 1):
            terms.append(older)
            older, newer = newer, p * newer + q * older
        return {"last": f"{terms[-1]}\n", "sum": f"{sum(terms)}\n", "list": spaced(terms) + "\n"}[name]

    return Variant(
        name, (s, t, p, q), wordings,
        program("n = int(input())", f"b = [{s}, {t}]", "for i in range(n):", f"    b.append({p} * b[-1] + {q} * b[-2])", code),
        oracle, lambda r: f"{r.randint(1, 12)}\n", ("math", "dp"),
    )


@family("sequence_terms", 18)
def sequence_terms(rng: Random) -> Variant:
    s, k = rng.randint(1, 30), rng.randint(2, 9)
    name, words, code, term = rng.choice((
        ("arithmetic", f"start at {s} and grow by {k}", f"{s} + {k} * i", lambda i: s + sum([k] * i)),
        ("falling", f"start at {s + 50} and fall by {k}", f"{s + 50} - {k} * i", lambda i: s + 50 - sum([k] * i)),
        ("geometric", f"start at {s} and multiply by {k}", f"{s} * {k} ** i", lambda i: s if i == 0 else term(i - 1) * k),
        ("squares", f"are {s} plus {k} times i squared", f"{s} + {k} * i * i", lambda i: s + i * i * k),
    ))
    reduction = REDUCTIONS[rng.choice(("list", "sum", "reversed", "last"))]
    wordings = tuple(
        f"{intro} {body} {result.format(x='them')}."
        for intro in ("Read n.", "Given n:", "A sequence of n terms.")
        for result in reduction.texts
        for body in (f"Terms {words}, i from 0. Make n of them and print", f"For the first n terms that {words}, i counted from 0, print")
    )
    constants = (s + 50, k) if name == "falling" else (s, k)
    return Variant(
        f"{name}|{reduction.name}", constants, wordings,
        program("n = int(input())", f"b = [{code} for i in range(n)]", reduction.code),
        lambda text: f"{reduction.apply([term(i) for i in range(int(text))])}\n",
        lambda r: f"{r.randint(2, 10)}\n", ("math", "implementation"),
    )


@family("step_process", 14)
def step_process(rng: Random) -> Variant:
    k = rng.choice((2, 3))
    multiply, add = rng.randint(2, 4), rng.randint(1, 7)
    limit = rng.randint(8, 20)
    name, texts, code = rng.choice((
        ("list", ("all values reached", "each value along the way"), "print(*b)"),
        ("sum", ("the sum of values reached", "the total along the way"), "print(sum(b))"),
        ("largest", ("the largest value reached", "the peak along the way"), "print(max(b))"),
        ("final", ("the final value", "where it ends"), "print(b[-1])"),
    ))
    wordings = tuple(
        f"{intro} {body} Print {text}."
        for intro in ("Read n.", "Given n:")
        for text in texts
        for body in (f"If {k} divides n, divide by it, else multiply by {multiply}, add {add}; do this {limit} times.", f"Repeat {limit} times: n becomes n over {k} if exact, otherwise {multiply} n plus {add}.")
    )

    def oracle(text: str) -> str:
        n, seen = int(text), []
        while len(seen) < limit:
            quotient, rest = divmod(n, k)
            n = n * multiply + add if rest else quotient
            seen.append(n)
        return {"list": spaced(seen), "sum": f"{sum(seen)}", "largest": f"{sorted(seen)[-1]}", "final": f"{seen[-1]}"}[name] + "\n"

    return Variant(
        name, (k, multiply, add, limit), wordings,
        program("n = int(input())", "b = []", f"for i in range({limit}):", f"    n = n // {k} if n % {k} == 0 else {multiply} * n + {add}", "    b.append(n)", code),
        oracle, lambda r: f"{r.randint(1, 60)}\n", ("math", "implementation"),
    )


@family("choosing", 16)
def choosing(rng: Random) -> Variant:
    k, j = rng.randint(2, 5), rng.randint(2, 9)
    name, words, header, code, value = rng.choice((
        ("comb", f"ways to choose {k} of n things", "from math import comb", f"comb(n, {k})", lambda n: _choose(n, k)),
        ("perm", f"ways to line up {k} of n things", "from math import perm", f"perm(n, {k})", lambda n: _choose(n, k) * _choose_orders(k)),
        ("comb_more", f"ways to choose {k} of n plus {j} things", "from math import comb", f"comb(n + {j}, {k})", lambda n: _choose(n + j, k)),
        ("words", f"words of n letters over {j} signs", "", f"{j} ** n", lambda n: 1 if n == 0 else j * value(n - 1)),
        ("tuples", f"lists of {k} entries from n values", "", f"n ** {k}", lambda n: 1 if k == 0 else n * n * n ** (k - 2)),
    ))
    tail, tail_words, after = rng.choice((("all", "", lambda v: v), ("plus", f" plus {j}", lambda v: v + j), ("minus", f" minus {j}", lambda v: v - j), ("times", f" times {j}", lambda v: v * j)))
    end = {"all": "", "plus": f" + {j}", "minus": f" - {j}", "times": f" * {j}"}[tail]
    wordings = tuple(f"{intro} {verb} the number of {words}{',' if tail_words else ''}{tail_words}." for intro in ("Read n.", "Combinatorics: given n.", "Given n:") for verb in ("Print", "Output", "Find and print"))
    constants = {"comb": (k,), "perm": (k,), "comb_more": (k, j), "words": (j,), "tuples": (k,)}[name]
    return Variant(
        f"{name}|{tail}", constants + (() if tail == "all" else (j,)), wordings,
        program(header, "n = int(input())", f"print({code}{end})"),
        lambda text: f"{after(value(int(text)))}\n", lambda r: f"{r.randint(2, 15)}\n", ("combinatorics", "math"),
    )


def _choose(n: int, k: int) -> int:
    return 1 if k == 0 or k == n else 0 if k > n else _choose(n - 1, k - 1) + _choose(n - 1, k)


def _choose_orders(k: int) -> int:
    return 1 if k < 2 else k * _choose_orders(k - 1)


@family("common_divisor", 14)
def common_divisor(rng: Random) -> Variant:
    name, texts, header, code, value = rng.choice((
        ("gcd", ("the greatest common divisor", "the gcd"), "from math import gcd", "gcd(n, m)", lambda n, m: max(d for d in range(1, min(n, m) + 1) if n % d == m % d == 0)),
        ("lcm", ("the least common multiple", "the lcm"), "from math import lcm", "lcm(n, m)", lambda n, m: next(v for v in range(n, n * m + 1, n) if v % m == 0)),
    ))
    k = rng.randint(2, 12)
    way, way_words, left = rng.choice((
        ("both_add", f"increased by {k} each", f"n, m = n + {k}, m + {k}"),
        ("both_times", f"multiplied by {k} each", f"n, m = n * {k}, m * {k}"),
        ("first_add", f"after adding {k} to n", f"n = n + {k}"),
        ("second_times", f"after multiplying m by {k}", f"m = m * {k}"),
        ("second_add", f"after adding {k} to m", f"m = m + {k}"),
    ))
    wordings = tuple(f"{intro} Print {text} of n and m {way_words}." for intro in ("Read n and m.", "Two integers n and m come on a line.", "Number theory: given n and m.") for text in texts)

    def oracle(text: str) -> str:
        n, m = integers(text)
        n = n + k if way in ("both_add", "first_add") else n * k if way == "both_times" else n
        m = m + k if way in ("both_add", "second_add") else m * k if way in ("both_times", "second_times") else m
        return f"{value(n, m)}\n"

    return Variant(
        f"{name}|{way}", (k,), wordings,
        program(header, "n, m = map(int, input().split())", left, f"print({code})"),
        oracle, lambda r: f"{r.choice((6, 8, 12, 18, 24, 30, r.randint(2, 40)))} {r.choice((4, 9, 10, 15, 20, 36, r.randint(2, 40)))}\n", ("number theory", "math"),
    )


@family("grid_sums", 14)
def grid_sums(rng: Random) -> Variant:
    condition = _condition(rng)
    name, texts, code, groups = rng.choice((
        ("rows", ("each row", "every row"), "[{x} for r in a]", lambda a: a),
        ("columns", ("each column", "every column"), "[{x} for r in zip(*a)]", lambda a: [[row[i] for row in a] for i in range(len(a[0]))]),
    ))
    what, measure, number = rng.choice((
        ("count", "count the numbers {t}", lambda v: len(v)),
        ("sum", "add up the numbers {t}", lambda v: sum(v)),
    ))
    item = f"sum(1 for x in r if {condition.code})" if what == "count" else f"sum(x for x in r if {condition.code})"
    reduction = REDUCTIONS[rng.choice(("list", "largest", "smallest", "reversed"))]
    wordings = tuple(
        f"{intro} In {text} {measure.format(t=keep)}. Print {result.format(x='these results')}."
        for intro in ("Read n, then n grid rows.", "A grid: n, then n rows.")
        for text in texts
        for keep in condition.texts
        for result in reduction.texts
    )

    def oracle(text: str) -> str:
        rows = [integers(line) for line in text.splitlines()[1:]]
        return f"{reduction.apply([number([x for x in g if condition.apply(x)]) for g in groups(rows)])}\n"

    def draw(r: Random) -> str:
        n, m = r.randint(2, 4), r.randint(2, 4)
        return f"{n}\n" + "".join(spaced(r.choice((r.randint(0, 30), *(c for c in condition.constants))) for _ in range(m)) + "\n" for _ in range(n))

    return Variant(
        f"{name}|{what}|{condition.name}|{reduction.name}", condition.constants, wordings,
        program("n = int(input())", "a = [list(map(int, input().split())) for i in range(n)]", f"b = {code.format(x=item)}", reduction.code),
        oracle, draw, ("implementation",),
    )
