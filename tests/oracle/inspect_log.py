"""Reads what `report --inspect` writes by inspect_ai itself, and holds it against `evaluation.json`.

    python3 -m venv VENV && VENV/bin/pip install inspect_ai==0.3.*
    hilora-host report --evaluation RUN/evaluation.json --model adapter --inspect log.json
    VENV/bin/python tests/oracle/inspect_log.py RUN/evaluation.json adapter log.json

The log must be readable by `read_eval_log` and by `read_eval_log_samples`, every answer must be a sample with its epoch, its
score and its text, and the mean of the scores and inspect_ai's own pass@k reducer must give the record's pass@k.
"""

import json
import sys
from collections import defaultdict

from inspect_ai.log import read_eval_log, read_eval_log_samples
from inspect_ai.scorer import Score, pass_at, value_to_float


def main():
    evaluation, model, path = sys.argv[1:]
    measured = json.load(open(evaluation))["comparison"][model]
    log = read_eval_log(path)
    assert (log.status, log.version) == ("success", 2), (log.status, log.version)
    header = read_eval_log(path, header_only=True)
    figures = {name: metric.value for name, metric in header.results.scores[0].metrics.items()}
    samples = list(read_eval_log_samples(path, all_samples_required=True))
    answers = sum(len(outcome["samples"]) for outcome in measured["outcomes"])
    assert len(samples) == len(log.samples) == log.results.total_samples == answers
    to_float = value_to_float()
    scores = defaultdict(list)
    for sample in samples:
        scores[sample.id].append(sample.scores["tests"])
    for outcome in measured["outcomes"]:
        expected = [1.0 if sample["verdict"] == "accepted" else 0.0 for sample in outcome["samples"]]
        got = [to_float(score.value) for score in scores[outcome["id"]]]
        assert got == expected, (outcome["id"], got, expected)
    texts = [sample["completion"] for outcome in measured["outcomes"] for sample in outcome["samples"]]
    assert [sample.output.completion for sample in samples] == texts
    worst = 0.0
    for k, estimate in measured["pass_at"].items():
        reducer = pass_at(int(k))
        each = [reducer([Score(value=to_float(score.value)) for score in of]).as_float() for of in scores.values()]
        mean = sum(each) / len(each)
        worst = max(worst, abs(mean - estimate["value"]), abs(figures[f"pass@{k}"] - estimate["value"]))
        print(f"pass@{k}: evaluation.json {estimate['value']:.12f}, inspect_ai's reducer {mean:.12f}")
    assert worst < 1e-9, worst
    print(f"{len(samples)} samples of {len(scores)} problems read, greatest difference {worst:.1e}")


if __name__ == "__main__":
    main()
