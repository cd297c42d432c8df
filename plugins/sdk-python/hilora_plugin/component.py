"""A component's exports of a plugin. Only `app.py` names this module: what it imports exists in a component alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .checker import Checker
from .classifier import Classifier
from .formatter import Example, Formatter, Sequence
from .loader import Loader, Row, SourceFile
from .types import BadTest, Malformed, MissingColumn, ProblemText, Refused, Skipped, WrongOptions


def _problem_text(problem) -> ProblemText:
    return ProblemText(problem.id, problem.title, problem.statement, tuple(problem.tags), problem.difficulty)


def classifier(plugin: Classifier) -> type:
    """The export of a classifier, to be bound to the name `Classifier`."""
    from componentize_py_types import Err
    from wit_world import exports
    from wit_world.exports import classifier as wit

    class Exported(exports.Classifier):
        def domains(self):
            return [wit.DomainInfo(domain.name, domain.description) for domain in plugin.domains()]

        def classify(self, problems):
            answers = []
            for index, problem in enumerate(problems):
                try:
                    answer = plugin.classify(_problem_text(problem))
                except Refused as why:
                    raise Err(wit.ClassifyError_Rejected((index, str(why))))
                scores = [wit.Score(score.domain, score.score, list(score.signals)) for score in answer.scores]
                answers.append(wit.Classification(answer.domain, scores))
            return answers

    return Exported


def checker(plugin: Checker) -> type:
    """The export of a checker, to be bound to the name `Checker`."""
    from componentize_py_types import Err
    from wit_world import exports
    from wit_world.exports import checker as wit

    class Exported(exports.Checker):
        def check(self, input, expected, actual, options):
            try:
                decision = plugin.check(input, expected, bytes(actual), json.loads(options))
            except WrongOptions as why:
                raise Err(wit.CheckError_Options(str(why)))
            except (BadTest, Refused) as why:
                raise Err(wit.CheckError_BadTest(str(why)))
            return wit.Decision_Accepted() if decision.accepted else wit.Decision_Rejected(decision.why)

    return Exported


def formatter(plugin: Formatter) -> type:
    """The export of a formatter, to be bound to the name `Formatter`."""
    from componentize_py_types import Err
    from wit_world import exports
    from wit_world.exports import formatter as wit
    from wit_world.imports import types

    roles = {"system": types.Role_System, "user": types.Role_User, "assistant": types.Role_Assistant}

    def lowered(sequence: Sequence):
        messages = []
        for message in sequence.messages:
            trained = message.role == "assistant"
            role = roles[message.role]()
            messages.append(types.Message(role, None, message.content, None, [], None, trained))
        segments = []
        for segment in sequence.segments:
            kind = wit.SegmentKind.CONTROL if segment.control else wit.SegmentKind.CONTENT
            segments.append(wit.Segment(segment.text, kind, segment.trained))
        return wit.Sequence(messages, segments)

    def each(items, lay_out):
        sequences = []
        for index, item in enumerate(items):
            try:
                sequences.append(lowered(lay_out(item)))
            except Refused as why:
                raise Err(wit.FormatError_Rejected((index, str(why))))
        return sequences

    class Exported(exports.Formatter):
        def stop_sequences(self):
            return list(plugin.stop_sequences())

        def format_lessons(self, specialist, lessons):
            def lay_out(lesson):
                if not isinstance(lesson, wit.Lesson_Solved):
                    raise Refused("expected a solved problem, which is all that this formatter knows")
                solved = lesson.value
                problem = _problem_text(solved.problem)
                return plugin.lesson(specialist, Example(problem, solved.solution, solved.reasoning, solved.domain))

            return each(lessons, lay_out)

        def format_prompts(self, specialist, problems):
            return each(problems, lambda problem: plugin.prompt(specialist, _problem_text(problem)))

        def extract_solution(self, completion):
            return plugin.extract_solution(completion)

    return Exported


def loader(plugin: Loader) -> tuple[type, type]:
    """The exports of a loader, to be bound to the names `Loader` and `Reader`."""
    from componentize_py_types import Err
    from wit_world import exports
    from wit_world.exports import loader as wit
    from wit_world.imports import types

    def refused(why: Refused):
        if isinstance(why, MissingColumn):
            return Err(wit.LoadError_Column(wit.ColumnMismatch(why.file, why.column, why.expected, why.found)))
        if isinstance(why, Malformed):
            return Err(wit.LoadError_Malformed(wit.MalformedFile(why.file, why.row, why.detail)))
        if isinstance(why, WrongOptions):
            return Err(wit.LoadError_Options(str(why)))
        return Err(wit.LoadError_Unreadable(str(why)))

    def programs(solutions):
        return [types.Solution(solution.language, solution.code) for solution in solutions]

    def lowered(row: Row):
        if isinstance(row, Skipped):
            return wit.LoadedRow_Skipped(types.SkippedRow(row.id, row.reason, row.detail))
        text = row.text
        return wit.LoadedRow_Problem(
            types.Problem(
                text=types.ProblemText(text.id, text.title, text.statement, list(text.tags), text.difficulty),
                source=row.source,
                solutions=programs(row.solutions),
                incorrect_solutions=programs(row.incorrect_solutions),
                tests=[types.TestCase(test.input, test.expected) for test in row.tests],
                entry_point=row.entry_point,
                test_code=row.test_code,
                checker=None,
                time_limit_ms=row.time_limit_ms,
                memory_limit_bytes=row.memory_limit_bytes,
                attributes=[],
            )
        )

    class Reader(wit.Reader):
        def __init__(self, rows: Iterator[Row]) -> None:
            self.rows = rows

        def next_batch(self, rows_max):
            batch = []
            try:
                for row in self.rows:
                    batch.append(lowered(row))
                    if len(batch) >= rows_max:
                        break
            except Refused as why:
                raise refused(why)
            return batch

        def rows_total(self):
            return None

    class Exported(exports.Loader):
        def describe(self):
            info = plugin.describe()
            columns = [wit.Column(column.name, column.expected, column.required) for column in info.columns]
            return wit.DatasetInfo(info.source, info.licence, columns)

        def open(self, files, options):
            try:
                return Reader(plugin.open([SourceFile(file) for file in files], json.loads(options)))
            except Refused as why:
                raise refused(why)

    return Exported, Reader


