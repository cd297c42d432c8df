"""Writes tests/data/intervals.json: intervals and p values by other means than the evaluator's.

    python3 -m venv VENV && VENV/bin/pip install numpy==2.* scipy==1.17.1 statsmodels==0.15.0
    VENV/bin/python tests/oracle/intervals.py

Blaker's interval is the hull of the acceptable points of a fine grid, by scipy's binomial probabilities. Gaffke's, of several
answers a problem, comes of the recursion of divided differences: the mean of n + 1 points under weights uniform over all that
add up to 1 has the B-spline with those points as its knots for a density (Curry and Schoenberg, 1966). Tango's comes of scipy's root finder over a score statistic whose
constrained likelihood is maximised numerically. Sign flips are enumerated one by one; those of single answers are also
statsmodels' exact McNemar test. Holm's adjustment is statsmodels'.
"""

import itertools
import json
from pathlib import Path

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

Z = stats.norm.ppf(0.975)


def blaker(right, n):
    """The interval, to 5e-5."""
    grid = np.linspace(0, 1, 20001)
    acceptable = np.zeros(len(grid), dtype=bool)
    counts = np.arange(n + 1)
    for start in range(0, len(grid), 4096):
        rates = grid[start : start + 4096]
        pmf = stats.binom.pmf(counts[:, None], n, rates[None])
        lower = np.cumsum(pmf, axis=0)
        upper = 1 - lower + pmf
        smaller = np.minimum(lower, upper)
        as_far = smaller <= smaller[right] * (1 + 1e-9) + 1e-13
        acceptable[start : start + 4096] = (pmf * as_far).sum(axis=0) > 0.05
    inside = np.flatnonzero(acceptable)
    return grid[inside[0]], grid[inside[-1]]


def gaffke(scores, least, most):
    def probability(t, extra):
        points = np.sort(np.append(scores, extra))
        below = (points <= t).astype(float)
        for width in range(1, len(points)):
            first, last = points[:-width], points[width:]
            straddles = (first <= t) & (t < last)
            span = np.where(straddles, last - first, 1)
            within = ((last - t) * below[1:] + (t - first) * below[:-1]) / span
            below = np.where(straddles, within, (last <= t).astype(float))
        return below[0]

    def excess(t, level):
        return (probability(t, least) + probability(t, most)) / 2 - level

    return [optimize.brentq(excess, least, most, (level,), xtol=1e-14, rtol=1e-14) for level in (0.025, 0.975)]


def tango(gained, lost, n):
    def likeliest_loss(delta):
        low, high = max(0.0, -delta), (1 - delta) / 2
        if high - low < 1e-14:
            return low

        def cost(loss):
            same = 1 - delta - 2 * loss
            parts = [(gained, loss + delta), (lost, loss), (n - gained - lost, same)]
            return -sum(count * np.log(max(p, 1e-300)) for count, p in parts if count > 0)

        return optimize.minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x

    def score(delta):
        loss = likeliest_loss(delta)
        return (gained - lost - n * delta) / np.sqrt(max(n * (2 * loss + delta * (1 - delta)), 1e-300))

    middle = (gained - lost) / n
    low = -1.0 if middle == -1 else optimize.brentq(lambda d: score(d) - Z, -1 + 1e-12, middle)
    high = 1.0 if middle == 1 else optimize.brentq(lambda d: score(d) + Z, middle, 1 - 1e-12)
    return low, high


def sign_flips(differences):
    observed = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences))) for signs in itertools.product((1, -1), repeat=len(differences))]
    return float(np.mean([1.0 if s > observed else 0.5 if s == observed else 0.0 for s in sums]))


def mid_p(gained, lost):
    exact = mcnemar([[0, gained], [lost, 0]], exact=True).pvalue
    at = stats.binom.pmf(min(gained, lost), gained + lost, 0.5)
    return 1 - at / 2 if gained == lost else exact - at


def main():
    random = np.random.default_rng(4)
    singles = [(x, n) for n in (1, 2, 5, 10, 20, 50) for x in sorted({0, 1, n // 3, n // 2, n - 1, n})]
    clusters = []
    for n, answers in [(5, 4), (10, 2), (20, 5), (50, 4), (12, 10)]:
        for centre in (0.05, 0.4, 0.9):
            rates = random.beta(2 * centre, 2 * (1 - centre), n)
            scores = random.binomial(answers, rates)
            clusters.append((0.0, (scores / answers).tolist()))
            clusters.append((-1.0, ((random.binomial(answers, np.roll(rates, 1)) - scores) / answers).tolist()))
    clusters = [(least, one) for least, one in clusters if set(one) - {-1.0, 0.0, 1.0}] + [(0.0, [0.5] * 5)]
    pairs = [(g, l, n) for n in (5, 10, 50, 300) for g, l in [(0, 0), (1, 0), (0, 2), (3, 1), (2, 2), (n // 2, n // 5), (n, 0)]]
    flips = [random.integers(-3, 4, size).tolist() for size in (1, 2, 3, 4, 6, 8, 10) for _ in range(2)]
    flips = [one for one in flips if any(one)]
    rows = {
        "singles": [dict(zip(("right", "of", "low", "high"), (x, n, *map(float, blaker(x, n))))) for x, n in singles],
        "clusters": [
            dict(zip(("scores", "least", "low", "high"), (s, least, *map(float, gaffke(s, least, 1.0))))) for least, s in clusters
        ],
        "pairs": [dict(zip(("gained", "lost", "of", "low", "high"), (g, l, n, *map(float, tango(g, l, n))))) for g, l, n in pairs],
        "sign_flips": [{"differences": one, "p_value": sign_flips(one)} for one in flips]
        + [{"differences": [1] * g + [-1] * l, "p_value": float(mid_p(g, l))} for g, l in [(1, 0), (5, 0), (9, 2), (7, 7), (30, 12), (150, 110)]],
        "holm": [
            {"p_values": p, "adjusted": multipletests(p, method="holm")[1].tolist()}
            for p in ([0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.6, 0.9], [0.02, 0.02, 0.02, 0.7, 0.001])
        ],
    }
    path = Path(__file__).parent.parent / "data" / "intervals.json"
    parts = [f'"{name}": [\n' + ",\n".join("  " + json.dumps(row) for row in of) + "\n]" for name, of in rows.items()]
    path.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
