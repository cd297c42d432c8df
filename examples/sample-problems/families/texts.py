"""Families on strings, lines of words, answers in words, and drawings."""

from __future__ import annotations

from random import Random

from .core import Variant, family, integers, program, spaced, text_line, word_line
from .fragments import number_condition, word_condition
from .pipelines import READ_INTEGERS


def _string_step(rng: Random) -> tuple:
    k = rng.randint(1, 5)
    c, d = rng.sample("aeimorst", 2)
    return rng.choice((
        ("upper", (), ("write it in uppercase", "make it uppercase"), "a.upper()", lambda s: "".join(q.upper() for q in s)),
        ("lower", (), ("write it in lowercase", "make it lowercase"), "a.lower()", lambda s: "".join(q.lower() for q in s)),
        ("swapcase", (), ("swap upper and lower case", "switch the case of every letter"), "a.swapcase()", lambda s: "".join(q.lower() if q.isupper() else q.upper() for q in s)),
        ("reverse", (), ("reverse it", "turn it backwards"), "a[::-1]", lambda s: "".join(reversed(s))),
        ("drop_first", (k,), (f"drop its first {k} characters", f"cut {k} characters off its front"), f"a[{k}:]", lambda s: "".join(q for i, q in enumerate(s) if i >= k)),
        ("drop_last", (k,), (f"drop its last {k} characters", f"cut {k} characters off its end"), f"a[:-{k}]", lambda s: "".join(q for i, q in enumerate(s) if i < len(s) - k)),
        ("every", (k + 1,), (f"keep every {k + 1}-th character from the first", f"take one character in {k + 1} from the first"), f"a[::{k + 1}]", lambda s: "".join(q for i, q in enumerate(s) if i % (k + 1) == 0)),
        ("replace", (c, d), (f"replace each {c} by {d}", f"change every {c} into {d}"), f'a.replace("{c}", "{d}")', lambda s: d.join(s.split(c))),
        ("remove", (c,), (f"remove each {c}", f"delete every {c}"), f'a.replace("{c}", "")', lambda s: "".join(q for q in s if q != c)),
        ("repeat", (k + 1,), (f"repeat it {k + 1} times", f"write it {k + 1} times over"), f"a * {k + 1}", lambda s: "".join(s for _ in range(k + 1))),
        ("prefix", (c,), (f"put {c} in front", f"start it with an extra {c}"), f'"{c}" + a', lambda s: f"{c}{s}"),
        ("suffix", (d,), (f"put {d} at the end", f"finish it with an extra {d}"), f'a + "{d}"', lambda s: f"{s}{d}"),
        ("rotate", (k,), (f"rotate it left by {k}", f"move its first {k} characters to the end"), f"a[{k}:] + a[:{k}]", lambda s: "".join(s[(i + k) % len(s)] for i in range(len(s)))),
    ))


def _string_steps(rng: Random, n: int) -> Variant:
    while True:
        steps = [_string_step(rng) for _ in range(n)]
        if len({s[0] for s in steps}) == n:
            break
    finishes = (("print", ("print it", "print the result"), "print(a)", lambda s: s), ("length", ("print its length", "print how long it is"), "print(len(a))", lambda s: str(sum(1 for _ in s))))
    finish = finishes[0] if rng.random() < 0.85 or all(s[0] in ("upper", "lower", "reverse", "swapcase", "rotate") for s in steps) else finishes[1]
    wordings = []
    for intro in ("Read a string.", "Given a string:", "Input is one string."):
        for which in (0, 1):
            words = [s[2][which] for s in steps]
            for end in finish[1]:
                wordings.append(f"{intro} First {words[0]}, then {', then '.join(words[1:])} and {end}.")
                wordings.append(f"{intro} {'; next '.join([words[0].capitalize(), *words[1:]])}. Finally {end}.")

    def oracle(text: str) -> str:
        value = text.rstrip("\n")
        for step in steps:
            value = step[4](value)
        return f"{finish[3](value)}\n" if value else ""

    letters = "".join(c for s in steps for c in s[1] if isinstance(c, str)) or "ae"
    return Variant(
        "|".join([*(s[0] for s in steps), finish[0]]), tuple(c for s in steps for c in s[1]), tuple(wordings),
        program("a = input()", *(f"a = {s[3]}" for s in steps), finish[2]),
        oracle, lambda r: text_line(r, letters, (11, 16)), ("strings",),
    )


@family("string_two_steps", 22)
def string_two_steps(rng: Random) -> Variant:
    return _string_steps(rng, 2)


@family("string_three_steps", 22)
def string_three_steps(rng: Random) -> Variant:
    return _string_steps(rng, 3)


ANSWERS = (("YES", "NO"), ("big", "small"), ("red", "blue"), ("win", "lose"), ("good", "bad"), ("left", "right"))


@family("answer_number", 16)
def answer_number(rng: Random) -> Variant:
    condition = number_condition(rng, signed_allowed=False)
    yes, no = rng.choice(ANSWERS)
    count, test, decide = rng.choice((
        ("all", "all({c} for x in a)", lambda hits, n: hits == n),
        ("any", "any({c} for x in a)", lambda hits, n: hits > 0),
        ("most", "sum(1 for x in a if {c}) * 2 > len(a)", lambda hits, n: hits > n - hits),
    ))
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read a line of integers.", "One line holds integers.")
        for text in condition.texts
        for body in (f"Print {yes} if {QUANTITIES[count]} among those {text}, else {no}.", f"When {QUANTITIES[count]} one of those {text}, print {yes}; otherwise print {no}.")
    )

    def oracle(text: str) -> str:
        a = integers(text)
        hits = 0
        for x in a:
            hits += bool(condition.apply(x))
        return f"{yes if decide(hits, len(a)) else no}\n"

    return Variant(
        f"{condition.name}|{count}", (*condition.constants, yes), wordings,
        program(READ_INTEGERS, f'if {test.format(c=condition.code)}:', f'    print("{yes}")', "else:", f'    print("{no}")'),
        oracle, lambda r: spaced(r.choice((r.randint(0, 30), r.choice((*condition.constants, 6, 9)))) for _ in range(r.randint(1, 5))) + "\n", ("implementation",),
    )


QUANTITIES = {"all": "every value is", "any": "some value is", "most": "over half are"}


@family("fizz", 16)
def fizz(rng: Random) -> Variant:
    condition = number_condition(rng, signed_allowed=False)
    word = rng.choice(("fizz", "buzz", "hop", "skip", "ping", "tick"))
    mode, mode_words, other, alternative = rng.choice((
        ("number", "the number itself", "i", lambda i: str(i)),
        ("double", "twice the number", "2 * i", lambda i: str(i + i)),
        ("square", "the square", "i * i", lambda i: str(i ** 2)),
        ("dash", "a dash", '"-"', lambda i: "-"),
    ))
    wordings = tuple(
        f"{intro} {body}"
        for intro in ("Read n.", "Given n:", "Count from 1 to n.")
        for text in condition.texts
        for body in (f"For 1 to n, print {word} on values {text}, otherwise {mode_words}, one per line.", f"Line by line to n: {word} for numbers {text}, for others {mode_words}.")
    )

    def oracle(text: str) -> str:
        return "".join((word if condition.apply(i) else alternative(i)) + "\n" for i in range(1, int(text) + 1))

    return Variant(
        f"{condition.name}|{mode}", (*condition.constants, word), wordings,
        program("n = int(input())", "for i in range(1, n + 1):", f"    if {condition.code.replace('x', 'i')}:", f'        print("{word}")', "    else:", f"        print({other})"),
        oracle, lambda r: f"{r.randint(6, 36)}\n", ("implementation",),
    )


@family("shift_letters", 12)
def shift_letters(rng: Random) -> Variant:
    k = rng.randint(1, 12)
    forward = rng.random() < 0.5
    finish, finish_words, wrap = rng.choice((("plain", "", lambda s: s), ("reverse", ", reverse the text", lambda s: s[::-1]), ("upper", ", use uppercase", lambda s: s.upper())))
    way = "forward" if forward else "back"
    wordings = tuple(
        f"{intro} {body}{finish_words} and print."
        for intro in ("Read a lowercase word.", "Given a lowercase string:")
        for body in (f"Shift each letter {way} by {k} in the alphabet, wrapping", f"Caesar cipher: move letters {k} places {way}, wrapping around")
    )
    alphabet = "abcdefghijklmnopqrstuvwxyz"

    def oracle(text: str) -> str:
        out = []
        for c in text.strip():
            place = alphabet.index(c)
            for _ in range(k):
                place = (place + 1 if forward else place - 1 + 26) % 26
            out.append(alphabet[place])
        return wrap("".join(out)) + "\n"

    end = {"plain": 'print("".join(b))', "reverse": 'print("".join(b[::-1]))', "upper": 'print("".join(b).upper())'}[finish]
    return Variant(
        f"{way}|{finish}", (k,), wordings,
        program("a = input()", f"b = [chr((ord(x) - 97 {'+' if forward else '-'} {k}) % 26 + 97) for x in a]", end),
        oracle, lambda r: "".join(r.choice(alphabet) for _ in range(r.randint(3, 10))) + "\n", ("strings",),
    )


@family("find_letter", 16)
def find_letter(rng: Random) -> Variant:
    c = rng.choice("aeimorst")
    name, texts, code, value = rng.choice((
        ("first", (f"the index of the first {c}, or -1", f"where {c} first stands from 0, else -1"), f'a.find("{c}")', lambda s: next((i for i, q in enumerate(s) if q == c), -1)),
        ("last", (f"the index of the last {c}, or -1", f"where {c} last stands from 0, else -1"), f'a.rfind("{c}")', lambda s: max((i for i, q in enumerate(s) if q == c), default=-1)),
        ("before", (f"what stands before the first {c}, or everything", f"the part up to the first {c}, excluded"), f'a.split("{c}")[0]', lambda s: s[: (s + c).index(c)]),
        ("after", (f"what stands after the last {c}, or everything", f"the part following the last {c}"), f'a.split("{c}")[-1]', lambda s: s[len(s) - (s[::-1] + c).index(c) :]),
        ("pieces", (f"the number of pieces between {c} marks", f"how many parts cutting at {c} gives"), f'len(a.split("{c}"))', lambda s: 1 + sum(q == c for q in s)),
        ("lines", (f"the parts when cut at {c}, joined by dashes", f"the string with {c} turned to dashes"), f'"-".join(a.split("{c}"))', lambda s: "".join("-" if q == c else q for q in s)),
    ))
    wordings = tuple(f"{intro} {verb} {text}." for intro in ("Read a string.", "Given a string:", "Input is one string.") for text in texts for verb in ("Print", "Output"))
    return Variant(
        name, (c,), wordings, program("a = input()", f"print({code})"),
        lambda text: f"{value(text.strip())}\n" if f"{value(text.strip())}" else "", lambda r: text_line(r, c, (5, 12)), ("strings",),
    )


@family("drawing", 16)
def drawing(rng: Random) -> Variant:
    c = rng.choice("*#@+ox")
    mark = {"*": "star", "#": "hash", "@": "at sign", "+": "plus", "o": "letter o", "x": "letter x"}[c]
    k = rng.randint(2, 5)
    name, texts, code, row = rng.choice((
        ("stairs", (f"line i has i times {k} of them", f"{k} more on each next line, {k} on the first"), f'"{c}" * (i * {k})', lambda i, n: i * k),
        ("falling", (f"line i has n minus i plus {k} of them", f"one fewer each line, the last with {k}"), f'"{c}" * (n - i + {k})', lambda i, n: n - i + k),
        ("block", (f"each line has {k} of them", f"every row is {k} wide"), f'"{c}" * {k}', lambda i, n: k),
        ("shifted", (f"line i has i plus {k} of them", f"row i is i plus {k} wide"), f'"{c}" * (i + {k})', lambda i, n: i + k),
    ))
    wordings = tuple(f"{intro} Draw n lines of the {mark} {c}: {text}, i from 1." for intro in ("Read n.", "Given n:", "Input is n.") for text in texts)
    return Variant(
        name, (c, k), wordings,
        program("n = int(input())", "for i in range(1, n + 1):", f"    print({code})"),
        lambda text: "".join("".join(c for _ in range(row(i, int(text)))) + "\n" for i in range(1, int(text) + 1)),
        lambda r: f"{r.randint(2, 9)}\n", ("implementation",),
    )


@family("word_lines", 14)
def word_lines(rng: Random) -> Variant:
    condition = word_condition(rng)
    name, texts, code, value = rng.choice((
        ("upper", ("write them in uppercase", "turn those to uppercase"), "x.upper()", lambda w: w.upper()),
        ("reverse", ("spell them backwards", "reverse those"), "x[::-1]", lambda w: "".join(reversed(w))),
        ("length", ("replace them by their length", "put lengths instead of those"), "len(x)", lambda w: str(sum(1 for _ in w))),
        ("initial", ("keep only their first letter", "cut those to one letter"), "x[0]", lambda w: w[:1]),
        ("double", ("write them twice over", "repeat those without a space"), "x * 2", lambda w: w + w),
    ))
    wordings = tuple(
        f"{intro} {body} Print all words."
        for intro in ("Read a line of words.", "One line holds words.")
        for keep in condition.texts
        for text in texts
        for body in (f"For the ones {keep}, {text}; leave others alone.", f"Find words {keep}, {text} and keep the rest.")
    )

    def oracle(text: str) -> str:
        return spaced(value(w) if condition.apply(w) else w for w in text.split()) + "\n"

    letters = "".join(c for c in condition.constants if isinstance(c, str))
    return Variant(
        f"{condition.name}|{name}", condition.constants, wordings,
        program("a = input().split()", f"b = [{code} if {condition.code} else x for x in a]", "print(*b)"),
        oracle, lambda r: word_line(r, letters), ("strings",),
    )
