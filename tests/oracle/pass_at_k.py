"""Writes tests/data/pass_at_k.json: pass@k as exact fractions, rounded once to the nearest double.

    python3 tests/oracle/pass_at_k.py

1 - C(n - c, k) / C(n, k) by Python's unbounded integers, so that the product the host computes is held against
arithmetic that cannot round.
"""

import json
from fractions import Fraction
from math import comb
from pathlib import Path

CASES = [
    (n, c, k)
    for n in (1, 2, 3, 4, 5, 8, 10, 20, 100, 200, 1000)
    for c in sorted({0, 1, 2, n // 3, n // 2, n - 1, n})
    for k in sorted({1, 2, 5, 10, n // 2, n})
    if 0 <= c <= n and 1 <= k <= n
]


def main():
    rows = []
    for n, c, k in CASES:
        exact = 1 - Fraction(comb(n - c, k), comb(n, k))
        rows.append({"n": n, "c": c, "k": k, "value": float(exact)})
    path = Path(__file__).parent.parent / "data" / "pass_at_k.json"
    path.write_text("[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
