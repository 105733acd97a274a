"""Rows of text files: plain lines, .csv, .tsv, .jsonl and .parquet, with the columns asked for."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilbert.errors import DistilBertError, FileError, InputError

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
        yield number, (line.removesuffix("\n").removesuffix("\r"),)


def csv_rows(
    lines: Iterator[str], columns: Sequence[Column], source: str
) -> Iterator[tuple[int, Values]]:
    """Rows with commas, the first one naming the columns; fields may be quoted."""
    return _delimited(lines, columns, source, delimiter=",", strict=True)


def tsv_rows(
    lines: Iterator[str], columns: Sequence[Column], source: str
) -> Iterator[tuple[int, Values]]:
    """Rows with tabs, the first one naming the columns; a quotation mark is just a character."""
    return _delimited(lines, columns, source, delimiter="\t", quoting=csv.QUOTE_NONE)


def _delimited(
    lines: Iterator[str], columns: Sequence[Column], source: str, **dialect: Any
) -> Iterator[tuple[int, Values]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(lines, **dialect)
    try:
        names = next(reader, [])
        if not names:
            return
        places = [_place(names, column, source) for column in columns]
        before = reader.line_num
        for fields in reader:
            begin, before = before + 1, reader.line_num
            if not fields:
                continue
            if len(fields) != len(names):
                raise FileError(
                    f"{source}, line {begin}: {len(fields)} fields, where the first line names "
                    f"{len(names)} columns; repair the line or its quotation marks"
                )
            yield begin, tuple(fields[place] for place in places)
    except csv.Error as error:
        raise FileError(f"{source}, line {reader.line_num}: {error}; repair the line") from error


def json_rows(
    lines: Iterator[str], columns: Sequence[Column], source: str
) -> Iterator[tuple[int, Values]]:
    """A JSON object a line; where one column is needed, a JSON string will do."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FileError(
                f"{where}: not JSON ({error}); write one object a line, or name the kind of the "
                "file with --format"
            ) from error
        if isinstance(value, str) and len(columns) == 1 and not columns[0].given:
            found: list[Any] = [value]
        elif isinstance(value, dict):
            names = list(value)
            found = [value[names[_place(names, column, where)]] for column in columns]
        else:
            raise FileError(
                f"{where}: a JSON {_kind(value)}, where an object is needed; write "
                f'{{"{columns[0].name}": "…"}}'
            )
        yield number, tuple(_text(one, where) for one in found)


def parquet_missing(what: str) -> DistilBertError:
    """The error for `what`, such as "reading 'a.parquet'", where pyarrow is not installed."""
    return DistilBertError(
        f"{what} needs pyarrow, which is not installed; run: pip install 'distilbert[parquet]'"
    )


def parquet_rows(file: Path, columns: Sequence[Column]) -> Iterator[tuple[int, Values, float]]:
    """The rows of a Parquet file, and after each the part of the file that is read, in [0, 1]."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise parquet_missing(f"reading {str(file)!r}") from error
    try:
        table = parquet.ParquetFile(file)
        names = table.schema_arrow.names
        wanted = [names[_place(names, column, str(file))] for column in columns]
        number, rows = 0, max(table.metadata.num_rows, 1)
        for batch in table.iter_batches(batch_size=1024, columns=wanted):
            for values in zip(*(batch.column(name).to_pylist() for name in wanted), strict=True):
                number += 1
                where = f"{file}, row {number}"
                yield number, tuple(_text(one, where) for one in values), number / rows
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read {str(file)!r} as Parquet: {error}; take it anew") from error


def _place(names: Sequence[str], column: Column, source: str) -> int:
    """Where the column stands. One that was not named may be the only one there is."""
    if column.name not in names:
        if column.given is None and column.usual == "text" and len(names) == 1:
            return 0
        raise InputError(
            f"{source} has no column {column.name!r}; it has: {', '.join(map(repr, names))}; "
            f"name one with {column.option}"
        )
    if names.count(column.name) > 1:
        raise InputError(
            f"{source} has {names.count(column.name)} columns {column.name!r}; rename one"
        )
    return names.index(column.name)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise FileError(
            f"{where}: {_kind(value)}, where a text is needed; repair it, or name another column"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FileError(
            f"{where}: a lone surrogate (U+{ord(value[error.start]):04X}), which is no character; "
            "repair the text"
        ) from error
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {list: "array", dict: "object", str: "string", bool: "boolean"}
    return kinds.get(type(value), "number" if isinstance(value, int | float) else "value")
