"""Families on dynamic programming, greedy choices, binary search, runs and graphs."""

from __future__ import annotations

from functools import cache
from random import Random

from .core import Variant, family, integer_line, integers, program, spaced
from .fragments import REDUCTIONS, number_condition, number_map
from .pipelines import READ_INTEGERS


def _sizes(rng: Random, low: int, high: int) -> tuple[int, ...]:
    return tuple(sorted(rng.sample(range(low, high + 1), rng.choice((2, 2, 3)))))


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(str(v) for v in values[:-1]) + f" or {values[-1]}"


@family("dp_steps", 12)
def dp_steps(rng: Random) -> Variant:
    sizes = _sizes(rng, 1, 5)
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read n.", "Given n stairs.", "Use dp.")
        for body in (
            f"In how many orders do steps of {_listed(sizes)} climb n stairs? Print the count.",
            f"Climb n stairs by steps of {_listed(sizes)}. Print the number of ways.",
        )
    )

    @cache
    def ways(n: int) -> int:
        return 1 if n == 0 else sum(ways(n - k) for k in sizes if k <= n)

    return Variant(
        "ways", sizes, wordings,
        program("n = int(input())", "d = [1] + [0] * n", "for i in range(1, n + 1):", f"    for k in {sizes}:", "        if i >= k:", "            d[i] += d[i - k]", "print(d[n])"),
        lambda text: f"{ways(int(text))}\n", lambda r: f"{r.randint(3, 22)}\n", ("dp",),
    )


@family("dp_sums", 12)
def dp_sums(rng: Random) -> Variant:
    coins = _sizes(rng, 1, 7)
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read n.", "Given an amount n.", "Use dynamic programming.")
        for body in (
            f"How many sets of coins {_listed(coins)} pay n, order ignored? Print it.",
            f"Coins are worth {_listed(coins)}. Print how many coin sets make n.",
        )
    )

    def count(n: int, kinds: tuple[int, ...]) -> int:
        if not kinds:
            return int(n == 0)
        return sum(count(n - used * kinds[0], kinds[1:]) for used in range(n // kinds[0] + 1))

    return Variant(
        "sets", coins, wordings,
        program("n = int(input())", "d = [1] + [0] * n", f"for k in {coins}:", "    for i in range(k, n + 1):", "        d[i] += d[i - k]", "print(d[n])"),
        lambda text: f"{count(int(text), coins)}\n", lambda r: f"{r.randint(5, 40)}\n", ("dp",),
    )


@family("dp_fewest", 12)
def dp_fewest(rng: Random) -> Variant:
    coins = (1, *sorted(rng.sample(range(3, 12), 2)))
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read n.", "Given an amount n.", "Use dp.")
        for body in (
            f"Coins {_listed(coins)} are unlimited. Print the fewest that pay n.",
            f"Paying n with coins of {_listed(coins)}, print the smallest number of coins.",
        )
    )

    def fewest(n: int) -> int:
        reached, used = {0}, 0
        while n not in reached:
            reached = {v + c for v in reached for c in coins if v + c <= n}
            used += 1
        return used

    return Variant(
        "fewest", coins, wordings,
        program("n = int(input())", "d = [0]", "for i in range(1, n + 1):", f"    d.append(1 + min(d[i - k] for k in {coins} if i >= k))", "print(d[n])"),
        lambda text: f"{fewest(int(text))}\n", lambda r: f"{r.randint(6, 60)}\n", ("dp",),
    )


@family("greedy_change", 12)
def greedy_change(rng: Random) -> Variant:
    small = rng.randint(2, 6)
    notes = (small * rng.randint(2, 5), small, 1)
    name, texts, code = rng.choice((
        ("pieces", ("the number of notes", "how many notes it takes"), "print(sum(b))"),
        ("each", ("how many of each", "the count of each note"), "print(*b)"),
        ("most", ("the largest count of one note", "the count of the most used note"), "print(max(b))"),
    ))
    wordings = tuple(
        f"{intro} {body} Print {text}."
        for intro in ("Read n.", "Be greedy.")
        for text in texts
        for body in (f"Pay n by notes {notes[0]}, {notes[1]}, 1, largest first.", f"Take notes {notes[0]}, then {notes[1]}, then 1 until n is paid.")
    )

    def oracle(text: str) -> str:
        left, used = int(text), [0, 0, 0]
        while left:
            i = next(i for i in range(3) if notes[i] <= left)
            left -= notes[i]
            used[i] += 1
        return {"pieces": f"{used[0] + used[1] + used[2]}\n", "each": spaced(used) + "\n", "most": f"{sorted(used)[-1]}\n"}[name]

    return Variant(
        name, notes[:2], wordings,
        program("n = int(input())", "b = []", f"for k in {notes}:", "    b.append(n // k)", "    n %= k", code),
        oracle, lambda r: f"{r.randint(5, 99)}\n", ("greedy",),
    )


@family("greedy_budget", 16)
def greedy_budget(rng: Random) -> Variant:
    budget = rng.randint(20, 60)
    cheap = rng.random() < 0.6
    first = "cheapest" if cheap else "dearest"
    reduction = REDUCTIONS[rng.choice(("sum", "count", "list", "reversed"))]
    wordings = tuple(
        f"{intro} {body} Print {result.format(x='what you buy')}."
        for intro in ("Read a line of prices.", "One line holds prices.")
        for result in reduction.texts
        for body in (f"Be greedy: {first} first, buy whatever keeps the cost within {budget}.", f"Going {first} first, take each price that still fits in {budget}.")
    )

    def oracle(text: str) -> str:
        left, taken, prices = budget, [], integers(text)
        while prices:
            p = min(prices) if cheap else max(prices)
            prices.remove(p)
            if p <= left:
                left -= p
                taken.append(p)
        return "" if reduction.needs_items and not taken else f"{reduction.apply(taken)}\n"

    return Variant(
        f"{first}|{reduction.name}", (budget,), wordings,
        program(READ_INTEGERS, "b = []", f"for x in sorted(a){'' if cheap else '[::-1]'}:", f"    if sum(b) + x <= {budget}:", "        b.append(x)", reduction.code),
        oracle, lambda r: integer_line(r, low=2, high=28, size=(5, 10)), ("greedy", "sortings"),
    )


@family("greedy_spacing", 14)
def greedy_spacing(rng: Random) -> Variant:
    gap = rng.randint(2, 9)
    reduction = REDUCTIONS[rng.choice(("sum", "count", "list", "last"))]
    wordings = tuple(
        f"{intro} {body} Print {result.format(x='the chosen')}."
        for intro in ("Read a line of integers.", "One line holds places.")
        for result in reduction.texts
        for body in (f"Greedy from the smallest, choose those at least {gap} past the previous choice.", f"In ascending order pick any that is {gap} or more beyond the last pick.")
    )

    def oracle(text: str) -> str:
        chosen: list[int] = []
        for value in range(max(integers(text)) + 1):
            if value in integers(text) and (not chosen or value - chosen[-1] >= gap):
                chosen.append(value)
        return f"{reduction.apply(chosen)}\n"

    return Variant(
        reduction.name, (gap,), wordings,
        program(READ_INTEGERS, "b = []", "for x in sorted(a):", f"    if not b or x - b[-1] >= {gap}:", "        b.append(x)", reduction.code),
        oracle, lambda r: integer_line(r, low=0, high=40, size=(6, 11)), ("greedy",),
    )


@family("binary_search", 16)
def binary_search(rng: Random) -> Variant:
    k = rng.randint(2, 9)
    name, words, code, value = rng.choice((
        ("square_plus", f"m * m + {k} * m", f"m * m + {k} * m", lambda m: m * (m + k)),
        ("square_times", f"{k} * m * m", f"{k} * m * m", lambda m: k * m ** 2),
        ("cube_plus", f"m * m * m + {k}", f"m * m * m + {k}", lambda m: m ** 3 + k),
        ("linear", f"{k} * m + {k + 1}", f"{k} * m + {k + 1}", lambda m: k * m + k + 1),
        ("square_shift", f"m * m + {k}", f"m * m + {k}", lambda m: m ** 2 + k),
    ))
    strict = rng.random() < 0.5
    relation = "above" if strict else "at least"
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read n.", "Use binary search.", "Given n:")
        for body in (
            f"Print the smallest m from 0 on with {words} {relation} n.",
            f"For which least m is {words} {relation} n? Print it.",
        )
    )

    def oracle(text: str) -> str:
        n, m = int(text), 0
        while not (value(m) > n or (value(m) == n and not strict)):
            m += 1
        return f"{m}\n"

    def draw(r: Random) -> str:
        return f"{value(r.randint(2, 12)) + r.choice((-1, 0, 1, 3))}\n"

    return Variant(
        f"{name}|{relation.replace(' ', '_')}", (k,), wordings,
        program("n = int(input())", "l, r = 0, n + 1", "while l < r:", "    m = (l + r) // 2", f"    if {code} {'>' if strict else '>='} n:", "        r = m", "    else:", "        l = m + 1", "print(l)"),
        oracle, draw, ("binary search",),
    )


@family("bisect_sorted", 12)
def bisect_sorted(rng: Random) -> Variant:
    k = rng.randint(5, 25)
    name, texts, lines, answer = rng.choice((
        ("below", (f"how many are below {k}", f"the count of values under {k}"), ("from bisect import bisect_left", f"print(bisect_left(a, {k}))"), lambda a: sum(1 for x in a if x < k)),
        ("up_to", (f"how many are at most {k}", f"the count of values up to {k}"), ("from bisect import bisect_right", f"print(bisect_right(a, {k}))"), lambda a: sum(1 for x in a if not x > k)),
        ("from", (f"how many are at least {k}", f"the count of values from {k} on"), ("from bisect import bisect_left", f"print(len(a) - bisect_left(a, {k}))"), lambda a: sum(1 for x in a if not x < k)),
        ("past", (f"how many are above {k}", f"the count of values over {k}"), ("from bisect import bisect_right", f"print(len(a) - bisect_right(a, {k}))"), lambda a: sum(1 for x in a if x > k)),
    ))
    wordings = tuple(
        f"{intro} {body} {text}."
        for intro in ("Read sorted integers.", "A sorted line holds integers.", "Given integers in ascending order.")
        for text in texts
        for body in ("With binary search print", "Bisect and print")
    )
    return Variant(
        name, (k,), wordings, program(lines[0], READ_INTEGERS, lines[1]),
        lambda text: f"{answer(integers(text))}\n",
        lambda r: spaced(sorted(integers(integer_line(r, (k,), size=(6, 11))))) + "\n", ("binary search",),
    )


@family("longest_run", 16)
def longest_run(rng: Random) -> Variant:
    condition = number_condition(rng, signed_allowed=False)
    name, texts, code = rng.choice((
        ("longest", ("the length of the longest run", "how long the longest block is"), "print(max(b))"),
        ("lengths", ("the running lengths", "the streak length after each value"), "print(*b)"),
        ("total", ("the sum of the running lengths", "all streak lengths added"), "print(sum(b))"),
        ("final", ("the length of the final run", "how long the last streak is"), "print(b[-1])"),
    ))
    wordings = tuple(
        f"{intro} {body} Print {text}."
        for intro in ("Read a line of integers.", "One line holds integers.")
        for keep in condition.texts
        for text in texts
        for body in (f"Follow streaks of consecutive values {keep}.", f"Runs contain only numbers {keep}.")
    )

    def oracle(text: str) -> str:
        a = integers(text)
        lengths = []
        for i in range(len(a)):
            n = 0
            while n <= i and condition.apply(a[i - n]):
                n += 1
            lengths.append(n)
        return {"longest": f"{max(lengths)}\n", "lengths": spaced(lengths) + "\n", "total": f"{sum(lengths)}\n", "final": f"{lengths[-1]}\n"}[name]

    return Variant(
        f"{condition.name}|{name}", condition.constants, wordings,
        program(READ_INTEGERS, "b = []", "c = 0", "for x in a:", f"    c = c + 1 if {condition.code} else 0", "    b.append(c)", code),
        oracle, lambda r: integer_line(r, condition.constants, size=(6, 11)), ("implementation", "dp"),
    )


@family("best_block", 14)
def best_block(rng: Random) -> Variant:
    step = number_map(rng, signed_allowed=False)
    while step.name not in ("subtract", "take_from", "modulo", "add"):
        step = number_map(rng, signed_allowed=False)
    k = rng.randint(8, 20)
    if step.name == "subtract":
        step = type(step)("subtract", (k,), (f"subtract {k} from each", f"decrease each by {k}"), f"x - {k}", lambda x: -(k - x))
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read a line of integers.", "One line holds integers.")
        for text in step.texts
        for body in (
            f"First {text}; then print the largest sum of a non-empty block of neighbours.",
            f"After you {text}, print the best sum over consecutive values, by dynamic programming.",
        )
    )

    def oracle(text: str) -> str:
        a = [step.apply(x) for x in integers(text)]
        return f"{max(sum(a[i:j]) for i in range(len(a)) for j in range(i + 1, len(a) + 1))}\n"

    return Variant(
        step.name, step.constants, wordings,
        program(READ_INTEGERS, f"b = [{step.code} for x in a]", "for i in range(1, len(b)):", "    b[i] = max(b[i], b[i - 1] + b[i])", "print(max(b))"),
        oracle, lambda r: integer_line(r, low=0, high=30, size=(5, 9)), ("dp",),
    )


@family("apart_sum", 12)
def apart_sum(rng: Random) -> Variant:
    k = rng.randint(2, 3)
    condition = number_condition(rng, signed_allowed=False)
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read a line of integers.", "One line holds integers.")
        for text in condition.texts
        for body in (
            f"Keep numbers {text}; print the largest total of kept ones at least {k} places apart.",
            f"From the values {text} choose some, {k} or more places apart. Print the best sum by dp.",
        )
    )

    def oracle(text: str) -> str:
        a = [x for x in integers(text) if condition.apply(x)]
        best = 0
        for mask in range(1 << len(a)):
            chosen = [i for i in range(len(a)) if mask >> i & 1]
            if all(q - p >= k for p, q in zip(chosen, chosen[1:])):
                best = max(best, sum(a[i] for i in chosen))
        return f"{best}\n"

    return Variant(
        condition.name, (k, *condition.constants), wordings,
        program(READ_INTEGERS, f"b = [x for x in a if {condition.code}]", f"d = [0] * {k}", "for x in b:", f"    d.append(max(d[-1], d[-{k}] + x))", "print(d[-1])"),
        oracle, lambda r: integer_line(r, condition.constants, low=1, high=20, size=(5, 9)), ("dp",),
    )


def _edges(rng: Random) -> str:
    n = rng.randint(4, 7)
    pairs = [(u, v) for u in range(1, n + 1) for v in range(u + 1, n + 1)]
    chosen = [p if rng.random() < 0.5 else p[::-1] for p in rng.sample(pairs, rng.randint(n - 2, min(len(pairs), n + 3)))]
    return f"{n} {len(chosen)}\n" + "".join(f"{u} {v}\n" for u, v in chosen)


READ_GRAPH = ("n, m = map(int, input().split())", "e = [tuple(map(int, input().split())) for i in range(m)]")


def _graph(text: str) -> tuple[int, list[tuple[int, int]]]:
    numbers = integers(text)
    return numbers[0], list(zip(numbers[2::2], numbers[3::2]))


@family("graph_degrees", 20)
def graph_degrees(rng: Random) -> Variant:
    k = rng.randint(1, 3)
    name, texts, code, meets = rng.choice((
        ("exactly", (f"of degree {k}", f"with exactly {k} edges"), f"a[v] == {k}", lambda d: d == k),
        ("at_least", (f"of degree {k} or more", f"with at least {k} edges"), f"a[v] >= {k}", lambda d: not d < k),
        ("at_most", (f"of degree up to {k}", f"with at most {k} edges"), f"a[v] <= {k}", lambda d: not d > k),
        ("even", ("of even degree", "with an even number of edges"), "a[v] % 2 == 0", lambda d: d in (0, 2, 4, 6)),
        ("odd", ("of odd degree", "with an odd number of edges"), "a[v] % 2 == 1", lambda d: d in (1, 3, 5, 7)),
    ))
    reduction = REDUCTIONS[rng.choice(("sum", "count", "list", "reversed", "largest", "smallest"))]
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read a graph: n, m, m edges.", "Input: n, m and m graph edges.", "Graph with n, m, edges.")
        for text in texts
        for result in reduction.texts
        for body in (f"Print {result.format(x='the vertices ' + text)}.", f"Find nodes {text} and output {result.format(x='them')}.")
    )

    def oracle(text: str) -> str:
        n, edges = _graph(text)
        found = [v for v in range(1, n + 1) if meets(sum(1 for e in edges if v in e))]
        return "" if reduction.needs_items and not found else f"{reduction.apply(found)}\n"

    return Variant(
        f"{name}|{reduction.name}", () if name in ("even", "odd") else (k,), wordings,
        program("n, m = map(int, input().split())", "a = [0] * (n + 1)", "for i in range(m):", "    for v in map(int, input().split()):", "        a[v] += 1", f"b = [v for v in range(1, n + 1) if {code}]", reduction.code),
        oracle, _edges, ("graphs",),
    )


@family("graph_edges", 16)
def graph_edges(rng: Random) -> Variant:
    k = rng.randint(2, 8)
    name, texts, code, meets = rng.choice((
        ("sum_is", (f"whose ends add to {k}", f"with end sum {k}"), f"u + v == {k}", lambda u, v: k - u == v),
        ("sum_over", (f"whose ends add to over {k}", f"with end sum above {k}"), f"u + v > {k}", lambda u, v: not u + v <= k),
        ("far", (f"whose ends differ by over {k - 1}", f"with end distance above {k - 1}"), f"abs(u - v) > {k - 1}", lambda u, v: not -k < u - v < k),
        ("touch", (f"that touch node {k - 1}", f"at node {k - 1}"), f"{k - 1} in (u, v)", lambda u, v: u == k - 1 or v == k - 1),
        ("rising", ("whose first end is smaller", "written with the smaller end first"), "u < v", lambda u, v: not u >= v),
    ))
    reduction, measure, what = rng.choice((("count", "1", "edges"), ("sum", "u + v", "end sums of edges"), ("largest", "u * v", "end products of edges"), ("list", "u", "first ends of edges")))
    chosen = REDUCTIONS[reduction]
    value = {"count": lambda u, v: 1, "sum": lambda u, v: v + u, "largest": lambda u, v: v * u, "list": lambda u, v: u}[reduction]
    wordings = tuple(
        f"{intro} {verb.format(w=what, t=text, r=result.format(x='these'))}."
        for intro in ("Read a graph: n, m, m edges.", "Input: n, m and m graph edges.", "Graph with n, m, edges.")
        for text in texts
        for result in chosen.texts
        for verb in ("Take {w} {t} and print {r}", "Among {w} {t}, output {r}")
    )

    def oracle(text: str) -> str:
        found = [value(u, v) for u, v in _graph(text)[1] if meets(u, v)]
        return "" if chosen.needs_items and not found else f"{chosen.apply(found)}\n"

    return Variant(
        f"{name}|{reduction}", () if name == "rising" else (k,), wordings,
        program(*READ_GRAPH, f"b = [{measure} for u, v in e if {code}]", chosen.code),
        oracle, _edges, ("graphs",),
    )


@family("union_find", 10)
def union_find(rng: Random) -> Variant:
    k, j = rng.randint(1, 4), rng.randint(1, 3)
    name, texts, code, answer = rng.choice((
        ("groups", ("the number of components", "how many connected groups there are"), "print(len(set(p[1:])))", lambda groups: str(len(groups))),
        ("size", (f"the size of the group of node {k}", f"how many nodes node {k} reaches, itself included"), f"print(p.count(p[{k}]))", lambda groups: str(len(next(g for g in groups if k in g)))),
        ("members", (f"the members of the group of node {k}", f"all nodes that node {k} reaches, itself included"), f"print(*[v for v in range(n + 1) if p[v] == p[{k}]])", lambda groups: spaced(sorted(next(g for g in groups if k in g)))),
        ("largest", ("the size of the largest component", "how big the biggest connected group is"), "print(max(p.count(x) for x in p))", lambda groups: str(max(len(g) for g in groups))),
        ("big", (f"how many nodes lie in groups larger than {j}", f"the number of nodes in components above size {j}"), f"print(len([x for x in p[1:] if p.count(x) > {j}]))", lambda groups: str(sum(len(g) for g in groups if len(g) > j))),
    ))
    wordings = tuple(
        f"{intro} {body} {text}."
        for intro in ("Read a graph: n, m, m edges.", "Input: n, m and m graph edges.", "Graph with n, m, edges.")
        for text in texts
        for body in ("Print", "With union find print", "Output")
    )

    def oracle(text: str) -> str:
        n, edges = _graph(text)
        groups, seen = [], set()
        for start in range(1, n + 1):
            if start in seen:
                continue
            group, todo = {start}, [start]
            while todo:
                u = todo.pop()
                for e in edges:
                    if u in e:
                        v = e[0] + e[1] - u
                        if v not in group:
                            group.add(v)
                            todo.append(v)
            seen |= group
            groups.append(group)
        return f"{answer(groups)}\n"

    return Variant(
        name, (k,) if name in ("size", "members") else (j,) if name == "big" else (), wordings,
        program("n, m = map(int, input().split())", "p = list(range(n + 1))", "for i in range(m):", "    u, v = map(int, input().split())", "    p = [p[u] if x == p[v] else x for x in p]", code),
        oracle, _edges, ("graphs", "dsu"),
    )


@family("tree_parents", 14)
def tree_parents(rng: Random) -> Variant:
    k = rng.randint(1, 3)
    name, texts, code, meets = rng.choice((
        ("leaves", ("without children", "that are leaves"), "a.count(v) == 0", lambda v, a, d: v not in a),
        ("children", (f"with exactly {k} children", f"that have {k} children"), f"a.count(v) == {k}", lambda v, a, d: sum(p == v for p in a) == k),
        ("many", (f"with over {k} children", f"that have more than {k} children"), f"a.count(v) > {k}", lambda v, a, d: sum(p == v for p in a) > k),
        ("depth", (f"at depth {k}", f"that are {k} edges below the root"), f"d[v] == {k}", lambda v, a, d: d[v] == k),
        ("deep", (f"deeper than {k}", f"over {k} edges below the root"), f"d[v] > {k}", lambda v, a, d: d[v] > k),
    ))
    reduction = REDUCTIONS[rng.choice(("sum", "count", "list", "largest", "reversed"))]
    wordings = tuple(
        f"{intro} {verb.format(t=text, r=result.format(x='them'))}."
        for intro in ("Read parents of tree nodes 1 onward, root 0.", "Given parents of nodes from 1, root 0:")
        for text in texts
        for result in reduction.texts
        for verb in ("Find nodes {t} and print {r}", "Take those {t}; output {r}")
    )

    def oracle(text: str) -> str:
        a = [-1, *integers(text)]

        def depth(v: int) -> int:
            return 0 if v == 0 else 1 + depth(a[v])

        found = [v for v in range(len(a)) if meets(v, a, [depth(u) for u in range(len(a))])]
        return "" if reduction.needs_items and not found else f"{reduction.apply(found)}\n"

    depths = ("d = [0]", "for p in a[1:]:", "    d.append(d[p] + 1)") if "d[v]" in code else ()
    return Variant(
        f"{name}|{reduction.name}", () if name == "leaves" else (k,), wordings,
        program("a = [-1] + list(map(int, input().split()))", *depths, f"b = [v for v in range(len(a)) if {code}]", reduction.code),
        oracle, lambda r: spaced(r.randint(max(0, i - 4), i) for i in range(r.randint(4, 9))) + "\n", ("trees", "graphs"),
    )
