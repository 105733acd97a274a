"""Rows of tables: .csv, .tsv, .jsonl and .parquet, with the values of the columns asked for."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from distilbert.data.reading import ended
from distilbert.errors import DistilBertError, FileError

Values = tuple[Any, ...]
Numbered = tuple[int, Values]  # a row and its line, counted from 1

Choose = Callable[[Sequence[str], str], Sequence[int]]
"""(names of columns, where they stand) → the places of those wanted.

Asked once of a file whose head names its columns, and of every object of JSON lines.
"""


def csv_rows(
    lines: Iterator[str], choose: Choose, source: str, *, names: Sequence[str] = ()
) -> Iterator[Numbered]:
    """Rows with commas; fields may be quoted, over several lines (RFC 4180).

    names: Of the columns, where no first row names them. Raises FileError for a row that does not
    fit them.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(lines, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        before = 0
        for fields in reader:
            begin, before = before + 1, reader.line_num
            if fields:
                yield begin, fields

    try:
        yield from _fitting(rows(), choose, source, names)
    except csv.Error as error:
        raise FileError(f"{source}, line {reader.line_num}: {error}; repair the line") from error


def tsv_rows(
    lines: Iterator[str],
    choose: Choose,
    source: str,
    *,
    names: Sequence[str] = (),
    lenient: bool = False,
) -> Iterator[Numbered]:
    """Rows with tabs; a quotation mark is just a character. See `csv_rows`.

    lenient: Leave out rows with too many or too few fields.
    """
    rows = ((number, ended(line).split("\t")) for number, line in enumerate(lines, 1))
    return _fitting((row for row in rows if row[1] != [""]), choose, source, names, lenient)


def _fitting(
    rows: Iterator[tuple[int, list[str]]],
    choose: Choose,
    source: str,
    names: Sequence[str],
    lenient: bool = False,
) -> Iterator[Numbered]:
    said = "this kind of file has" if names else "the first line names"
    if not names:
        _, names = next(rows, (0, []))
        if not names:
            return
    places, width = choose(names, source), len(names)
    for number, fields in rows:
        if len(fields) != width and lenient:
            continue
        if len(fields) != width:
            raise FileError(
                f"{source}, line {number}: {len(fields)} fields, where {said} {width} columns; "
                "repair the line or its quotation marks"
            )
        yield number, tuple([fields[place] for place in places])


def json_rows(
    lines: Iterator[str], choose: Choose, source: str, *, alone: bool = False
) -> Iterator[Numbered]:
    """A JSON object a line. alone: A line may also be a bare string, the only column wanted."""
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
        if alone and isinstance(value, str):
            yield number, (value,)
        elif isinstance(value, dict):
            names = list(value)
            yield number, tuple([value[names[place]] for place in choose(names, where)])
        else:
            raise FileError(
                f"{where}: a JSON {kind_of(value)}, where an object is needed; write "
                '{"column": "…"}'
            )


def parquet_rows(file: Path, choose: Choose) -> Iterator[tuple[int, Values, float]]:
    """The rows of a Parquet file, and after each the part of the file that is read, in [0, 1]."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise parquet_missing(f"reading {str(file)!r}") from error
    try:
        table = parquet.ParquetFile(file)
        names = table.schema_arrow.names
        wanted = [names[place] for place in choose(names, str(file))]
        number, rows = 0, max(table.metadata.num_rows, 1)
        for batch in table.iter_batches(batch_size=1024, columns=wanted):
            for values in zip(*(batch.column(name).to_pylist() for name in wanted), strict=True):
                number += 1
                yield number, values, number / rows
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read {str(file)!r} as Parquet: {error}; take it anew") from error


def parquet_missing(what: str) -> DistilBertError:
    """The error for `what`, such as "reading 'a.parquet'", where pyarrow is not installed."""
    return DistilBertError(
        f"{what} needs pyarrow, which is not installed; run: pip install 'distilbert[parquet]'"
    )


def by(name: str, option: str | None = None) -> str:
    """How to say this in Python and on the command line, to end a remedy: "with …"."""
    return f"with {name}= in Python, {option or f'--{name}'} on the command line"


def place(
    names: Sequence[str],
    name: str,
    source: str,
    remedy: str,
    error: type[DistilBertError] = FileError,
) -> int:
    """Where the column stands. Raises `error` with a remedy if it does not, or more than once."""
    count = names.count(name)
    if not count:
        raise error(
            f"{source} has no column {name!r}; it has: {', '.join(map(repr, names))}; {remedy}"
        )
    if count > 1:
        raise error(f"{source} has {count} columns {name!r}; rename one")
    return names.index(name)


def check_text(value: Any, what: str = "") -> str:
    """The value, which has to be a text. Raises ValueError saying what it is instead."""
    if not isinstance(value, str):
        raise ValueError(
            f"{kind_of(value)}, where a text is needed; repair it, or name another column"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a lone surrogate (U+{ord(value[error.start]):04X}), which is no character; "
            "repair the text"
        ) from error
    return value


def kind_of(value: Any) -> str:
    """What JSON calls a value of this type."""
    if value is None:
        return "null"
    kinds = {list: "array", dict: "object", str: "string", bool: "boolean"}
    return kinds.get(type(value), "number" if isinstance(value, int | float) else "value")
