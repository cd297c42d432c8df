"""A dataset loader: turns the files of one dataset format into problems. It reads what the host opened and
writes nothing."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Union

from .types import Options, Problem, Skipped

#: What becomes of a row.
Row = Union[Problem, Skipped]


@dataclass(frozen=True)
class Column:
    """A column that the loader reads, and the type that it must have."""

    name: str
    expected: str = "text"
    required: bool = True


@dataclass(frozen=True)
class DatasetInfo:
    """What the loader reads: the value of `data.source` that it serves, the dataset's licence, and its columns."""

    source: str
    licence: str
    columns: list[Column]


class Readable(Protocol):
    """What answers reads: the host, or bytes in a test."""

    def name(self) -> str: ...

    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes: ...


class SourceFile(io.RawIOBase):
    """One file of the run, to be read and sought; there is no way to list or open another."""

    def __init__(self, file: Readable) -> None:
        super().__init__()
        self._file, self._at = file, 0
        self.name, self.size = file.name(), file.size()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[override]
        piece = self._file.read_at(self._at, min(len(buffer), 1 << 20))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def text(self, newline: str | None = "") -> io.TextIOWrapper:
        """The file as UTF-8."""
        return io.TextIOWrapper(io.BufferedReader(self, 1 << 16), encoding="utf-8", newline=newline)


class Loader(ABC):
    """A loader."""

    @abstractmethod
    def describe(self) -> DatasetInfo:
        """What it reads."""

    @abstractmethod
    def open(self, files: list[SourceFile], options: Options) -> Iterator[Row]:
        """Checks options and the files' headers at once, and then yields every row of the files, in order. Raise
        `WrongOptions`, `MissingColumn` or `Malformed` where that cannot be done; a single bad row is a `Skipped`."""
