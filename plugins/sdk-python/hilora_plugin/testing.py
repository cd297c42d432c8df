"""Golden cases: what a plugin is asked and what it must answer, one JSON object a line; the same file that
`hilora-host plugin test --vectors` reads. `docs/plugins.md` of hilora-host says what a case of each kind holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from .checker import Checker
from .classifier import Classifier
from .formatter import Example, Formatter
from .loader import Loader, SourceFile
from .types import BadTest, ProblemText, Skipped, WrongOptions


class Memory:
    """A file in memory."""

    def __init__(self, name: str, content: bytes) -> None:
        self._name, self._content = name, content

    def name(self) -> str:
        return self._name

    def size(self) -> int:
        return len(self._content)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


def golden(plugin: Classifier | Checker | Formatter | Loader, path: str | Path) -> int:
    """Holds a plugin against the cases of a file and gives their number; an AssertionError names the first that fails."""
    path, count = Path(path), 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        case = json.loads(line)
        answer = _answer(plugin, case, path.parent)
        expected = {key: case[key] for key in answer if key in case}
        assert expected, f"{path}, line {number}: the case names no answer"
        assert _holds(expected, answer), f"{path}, line {number}: expected {expected}, got {answer}"
        count += 1
    assert count, f"{path}: no case"
    return count


def _answer(plugin: Classifier | Checker | Formatter | Loader, case: dict[str, Any], folder: Path) -> dict[str, Any]:
    if isinstance(plugin, Classifier):
        problem = case["problem"]
        problem = ProblemText(**({"id": ""} | problem | {"tags": tuple(problem.get("tags", ()))}))
        answer = plugin.classify(problem)
        known = {domain.name for domain in plugin.domains()}
        assert {answer.domain, *(score.domain for score in answer.scores)} <= known, f"{answer}: a domain is not listed"
        return dataclasses.asdict(answer)
    if isinstance(plugin, Checker):
        try:
            actual = case["actual"].encode()
            decision = plugin.check(case["input"], case["expected"], actual, case.get("options", {}))
        except WrongOptions:
            return {"decision": "options"}
        except BadTest:
            return {"decision": "bad-test"}
        return {"decision": "accepted" if decision.accepted else "rejected"}
    if isinstance(plugin, Formatter):
        if "completion" in case:
            return {"solution": plugin.extract_solution(case["completion"])}
        problem = ProblemText(**({"id": ""} | case["problem"]))
        example = Example(problem, case.get("program", "?"), case.get("reasoning"), case["specialist"])
        segments = plugin.lesson(case["specialist"], example).segments
        beginning = next(at for at, segment in enumerate(segments) if segment.trained)
        prompt = plugin.prompt(case["specialist"], problem).segments
        assert prompt == segments[:beginning], "the prompt is not the untrained beginning of the lesson"
        texts = [segment.text for segment in segments]
        return {"prompt": "".join(texts[:beginning]), "answer": "".join(texts[beginning:])}
    files = [SourceFile(Memory(name, (folder / name).read_bytes())) for name in case["files"]]
    rows: list[dict[str, Any]] = []
    for row in plugin.open(files, case.get("options", {})):
        if isinstance(row, Skipped):
            rows.append({"skipped": dataclasses.asdict(row)})
        else:
            problem = dataclasses.asdict(row)
            rows.append({"problem": problem | problem.pop("text")})
    return {"rows": json.loads(json.dumps(rows))}


def _holds(expected: Any, got: Any) -> bool:
    if isinstance(expected, dict) and isinstance(got, dict):
        return all(key in got and _holds(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(_holds, expected, got))
    return expected == got
