"""A loader: problems in CSV, with the columns `id`, `title`, `statement`, `solution` and `tests`, the last a JSON list of
`[input, expected output]`."""

import csv
import json
from collections.abc import Iterator

from hilora_plugin import Column, DatasetInfo, Loader, Malformed, MissingColumn, Options, Problem, ProblemText, Row
from hilora_plugin import Skipped, Solution, SourceFile, TestCase, WrongOptions
from hilora_plugin.types import known_options

#: The columns, and whether a file must have them.
COLUMNS = [Column("id"), Column("title", required=False), Column("statement"), Column("solution"), Column("tests")]
#: The longest cell, in characters.
CELL_CHARACTERS_MAX = 16 << 20


class CsvLoader(Loader):
    # Fill in here: what the loader reads. `source` is the value of `data.source` that it serves.
    def describe(self) -> DatasetInfo:
        return DatasetInfo(source="csv", licence="my own", columns=COLUMNS)

    def open(self, files: list[SourceFile], options: Options) -> Iterator[Row]:
        separator = known_options(options, {"separator": ","})["separator"]
        if len(separator) != 1 or separator in '"\r\n':
            raise WrongOptions(f"`separator`: expected one character, got {separator!r}")
        csv.field_size_limit(CELL_CHARACTERS_MAX)
        opened = [(file.name, csv.DictReader(file.text(), delimiter=separator, strict=True)) for file in files]
        for name, reader in opened:
            try:
                header = reader.fieldnames or []
            except (csv.Error, UnicodeError) as error:
                raise Malformed(name, str(error)) from error
            for column in COLUMNS:
                if column.required and column.name not in header:
                    raise MissingColumn(name, column.name, column.expected)
        return _rows(opened)


def _rows(opened: list[tuple[str, csv.DictReader]]) -> Iterator[Row]:
    for name, reader in opened:
        try:
            for cells in reader:
                yield _row({key: value or "" for key, value in cells.items() if isinstance(key, str)})
        except (csv.Error, UnicodeError) as error:
            raise Malformed(name, str(error), reader.line_num) from error


# Fill in here: what becomes of a row. A row that cannot be used is skipped with a short reason, and counted by it.
def _row(cells: dict[str, str]) -> Row:
    if not cells["id"]:
        return Skipped(None, "no-id", "the cell `id` is empty")
    try:
        tests = [TestCase(str(given), str(expected)) for given, expected in json.loads(cells["tests"])]
    except (ValueError, TypeError, RecursionError) as error:
        return Skipped(cells["id"], "malformed-tests", str(error) or type(error).__name__)
    text = ProblemText(cells["id"], cells.get("title", ""), cells["statement"])
    return Problem(text, [Solution(cells["solution"])], tests)
