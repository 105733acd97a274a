"""Where the texts come from: arguments, standard input, or files, read a row at a time."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilbert.cli.tables import Column, csv_rows, json_rows, line_rows, parquet_rows, tsv_rows
from distilbert.data.reading import (
    STANDARD_INPUT,
    SUFFIXES,
    form_of,
    is_plain,
    lines_of,
    name_of,
    opened,
    size,
)
from distilbert.errors import InputError

TEXT = Column("text", "--column")
ARGUMENTS = "arguments"

_READERS = {"txt": line_rows, "csv": csv_rows, "tsv": tsv_rows, "jsonl": json_rows}


@dataclass(frozen=True)
class Row:
    """One row: the value of each column that was asked for, and where it stands."""

    values: tuple[str, ...]
    source: str
    line: int  # counted from 1; of a Parquet file or of the arguments, the number of the row

    @property
    def text(self) -> str:
        return self.values[0]

    @property
    def where(self) -> str:
        return f"{self.source}, line {self.line}"


class Texts:
    """The rows of the arguments, or else of files, or else of standard input.

    Iterating reads on and on, never more than a buffer ahead. `total` and `done` measure the way:
    in texts for arguments, in bytes for files; `total` is None where nobody knows it.
    """

    def __init__(
        self,
        arguments: Sequence[str] | None,
        files: Sequence[Path] | None,
        *,
        columns: Sequence[Column] = (TEXT,),
        form: str | None = None,
    ) -> None:
        """Raise InputError if there is nothing to read, FileError if a file cannot be."""
        if arguments and files:
            raise InputError("texts come from arguments or from --in, not from both; leave one out")
        if arguments and (form or len(columns) > 1 or any(column.given for column in columns)):
            raise InputError(
                f"--format and {' and '.join(column.option for column in columns)} say how a file "
                "is read, and the texts are arguments; leave them out, or read a file with --in"
            )
        if not arguments and not files and (sys.stdin is None or sys.stdin.isatty()):
            raise InputError(
                "no text was given: write texts as arguments, name a file with --in, or pipe lines "
                "into standard input"
            )
        self._arguments = list(arguments or ())
        self._files = list(files or ()) or [STANDARD_INPUT]
        self._columns = tuple(columns)
        self._form = form
        self.done = 0
        self.total: int | None = len(self._arguments)
        if not self._arguments:
            self.total = size(self._files)
            for file in self._files:
                self._reader(file)
        self._rows = self._read()
        self._first = next(self._rows, None)
        if self._first is None:
            names = " and ".join(name_of(file) for file in self._files)
            raise InputError(f"there is no text in {names}: nothing to do")

    def __iter__(self) -> Iterator[Row]:
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._rows

    def _read(self) -> Iterator[Row]:
        if self._arguments:
            for number, text in enumerate(self._arguments, 1):
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    raise InputError(
                        f"argument {number} is not UTF-8; check the terminal's encoding"
                    ) from error
                self.done = number
                yield Row((text,), ARGUMENTS, number)
            return
        finished = 0
        for file in self._files:
            yield from self._reader(file)(finished)
            finished += file.stat().st_size if is_plain(file) else 0
            self.done = finished

    def _reader(self, file: Path) -> Callable[[int], Iterator[Row]]:
        form = self._form or form_of(file, SUFFIXES, "name the kind with --format")
        if form == "parquet":
            if not is_plain(file) or file.suffix == ".gz":
                raise InputError("Parquet is read from plain files only; name one with --in")
            return lambda finished: self._from_parquet(file, finished)
        return lambda finished: self._from_lines(file, form, finished)

    def _from_lines(self, file: Path, form: str, finished: int) -> Iterator[Row]:
        name, plain = name_of(file), is_plain(file)
        with opened(file) as raw:
            for line, values in _READERS[form](lines_of(raw, file), self._columns, name):
                if plain:
                    self.done = finished + raw.tell()
                yield Row(values, name, line)

    def _from_parquet(self, file: Path, finished: int) -> Iterator[Row]:
        for line, values, part in parquet_rows(file, self._columns):
            self.done = finished + int(part * file.stat().st_size)
            yield Row(values, str(file), line)
