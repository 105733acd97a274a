"""The columns that a command reads, found in rows of every form of file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilbert.data import tables
from distilbert.data.reading import ended
from distilbert.errors import FileError, InputError

Values = tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A column that a command reads: what it is called there, and the option that names another."""

    usual: str
    option: str
    given: str | None = None

    @property
    def name(self) -> str:
        return self.given or self.usual

    def named(self, given: str | None) -> "Column":
        return Column(self.usual, self.option, given)


def line_rows(
    lines: Iterator[str], columns: Sequence[Column], source: str
) -> Iterator[tuple[int, Values]]:
    """One text a line. Raises InputError if a column is named, or more than one is needed."""
    if len(columns) > 1 or columns[0].given:
        wanted = " and ".join(repr(column.name) for column in columns)
        raise InputError(
            f"{source} is read as plain lines, which have no columns {wanted}; give a .csv, .tsv, "
            ".jsonl or .parquet file, or say what it is with --format"
        )
    for number, line in enumerate(lines, 1):
        yield number, (ended(line),)


def csv_rows(
    lines: Iterator[str], columns: Sequence[Column], source: str
) -> Iterator[tuple[int, Values]]:
    """Rows with commas, the first one naming the columns; fields may be quoted."""
    return tables.csv_rows(lines, _choose(columns), source)


def tsv_rows(
    lines: Iterator[str], columns: Sequence[Column], source: str
) -> Iterator[tuple[int, Values]]:
    """Rows with tabs, the first one naming the columns; a quotation mark is just a character."""
    return tables.tsv_rows(lines, _choose(columns), source)


def json_rows(
    lines: Iterator[str], columns: Sequence[Column], source: str
) -> Iterator[tuple[int, Values]]:
    """A JSON object a line; where one column is needed, a JSON string will do."""
    alone = len(columns) == 1 and not columns[0].given
    for number, values in tables.json_rows(lines, _choose(columns), source, alone=alone):
        yield number, _texts(values, f"{source}, line {number}")


def parquet_rows(file: Path, columns: Sequence[Column]) -> Iterator[tuple[int, Values, float]]:
    """The rows of a Parquet file, and after each the part of the file that is read, in [0, 1]."""
    for number, values, part in tables.parquet_rows(file, _choose(columns)):
        yield number, _texts(values, f"{file}, row {number}"), part


def _choose(columns: Sequence[Column]) -> tables.Choose:
    return lambda names, where: [_place(names, column, where) for column in columns]


def _place(names: Sequence[str], column: Column, source: str) -> int:
    """Where the column stands. One that was not named may be the only one there is."""
    only = column.given is None and column.usual == "text" and len(names) == 1
    if only and column.name not in names:
        return 0
    return tables.place(names, column.name, source, f"name one with {column.option}", InputError)


def _texts(values: Sequence[Any], where: str) -> Values:
    try:
        return tuple(map(tables.check_text, values))
    except ValueError as error:
        raise FileError(f"{where}: {error}") from error
