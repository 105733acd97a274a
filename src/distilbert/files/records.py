"""Records in files: JSON lines, CSV, TSV, Parquet or an array of vectors, by the suffix."""

import csv
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from distilbert.data.tables import parquet_missing
from distilbert.errors import DistilBertError, InputError
from distilbert.files.atomic import writing

Record = dict[str, Any]
Kind = Literal["text", "integer", "number", "vector"]


@dataclass(frozen=True)
class Field:
    """A column of flat answers. `shown` False keeps it from terminals."""

    name: str
    kind: Kind = "text"
    shown: bool = True


@dataclass(frozen=True)
class Form:
    """What a command's answers look like.

    A record of JSON lines is nested: under the key `many` it holds a list of dictionaries. In flat
    forms (tables, .csv, .parquet) each of those is a row of its own, with the rest of the record.
    """

    fields: tuple[Field, ...]
    many: str | None = None

    def rows(self, record: Record) -> list[Record]:
        """The flat rows of one record."""
        if self.many is None:
            return [record]
        shared = {name: value for name, value in record.items() if name != self.many}
        return [{**shared, **one} for one in record[self.many]]


class Writer(Protocol):
    """One form of answers: takes records one by one."""

    def write(self, record: Record) -> None: ...

    def flush(self) -> None: ...


SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")


def check_out(out: Path | None, *, vectors: bool = False, name: str = "--out") -> None:
    """Raise what is wrong with the name of a file of records, before any work is done.

    name: What the user calls it.
    """
    known = (*SUFFIXES, ".npy") if vectors else SUFFIXES
    if out is None:
        return
    if out.suffix.lower() not in known:
        raise InputError(
            f"what kind of file is {str(out)!r}? {name} writes {', '.join(known)}, by the suffix"
        )
    if out.is_dir():
        raise InputError(f"{name} {str(out)!r} is a folder; give a file name")
    if out.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise parquet_missing(f"writing {str(out)!r}") from error


@contextmanager
def records_to(out: Path, form: Form) -> Iterator[Writer]:
    """Yield what writes records to a file, which appears whole if the block ends without error."""
    suffix = out.suffix.lower()
    with writing(os.path.realpath(out)) as temporary:  # what a link names, not the link
        if suffix == ".parquet":
            with ParquetFile(temporary, form) as file:
                yield file
        elif suffix == ".npy":
            with temporary.open("wb") as raw:
                array = ArrayFile(raw)
                yield array
                array.finish()
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                if suffix == ".jsonl":
                    yield JsonLines(stream)
                else:
                    yield Delimited(stream, form, "\t" if suffix == ".tsv" else ",")


def check_finite(value: Any) -> None:
    """Raise DistilBertError if a number in `value`, however deep, is not finite."""
    if not _is_finite(value):
        raise DistilBertError(
            "an answer is not a finite number, so the model's weights are damaged, or too large "
            "for --dtype float16; look at it with: distilbert info MODEL"
        )


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not hasattr(value, "shape") or math.isfinite(value.sum(dtype="float64"))


class JsonLines:
    """A JSON object a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        self._stream.write(json.dumps(record, ensure_ascii=False, default=_numbers) + "\n")

    def flush(self) -> None:
        self._stream.flush()


class Delimited:
    """Flat rows with commas or tabs, after the names; a vector has a column for each number."""

    def __init__(self, stream: IO[str], form: Form, delimiter: str) -> None:
        self._stream, self._form = stream, form
        self._writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        self._headed = False

    def write(self, record: Record) -> None:
        for row in self._form.rows(record):
            if not self._headed:
                self._head(row)
            cells: list[Any] = []
            for field in self._form.fields:
                value = row.get(field.name)
                cells.extend(_numbers(value) if field.kind == "vector" else [value])
            self._writer.writerow(cells)

    def flush(self) -> None:
        if not self._headed:
            self._head({})

    def _head(self, row: Record) -> None:
        self._headed = True
        names: list[str] = []
        for field in self._form.fields:
            vector = field.kind == "vector" and field.name in row
            size = len(row[field.name]) if vector else 0
            names.extend([f"{field.name}_{at}" for at in range(size)] if vector else [field.name])
        self._writer.writerow(names)


class ParquetFile:
    """Flat rows in a Parquet file, in groups of some thousands."""

    def __init__(self, path: Path, form: Form) -> None:
        import pyarrow
        from pyarrow import parquet

        kinds = {
            "text": pyarrow.string(),
            "integer": pyarrow.int64(),
            "number": pyarrow.float64(),
            "vector": pyarrow.list_(pyarrow.float32()),
        }
        self._schema = pyarrow.schema([(field.name, kinds[field.kind]) for field in form.fields])
        self._make = pyarrow.Table.from_pylist
        self._form, self._rows = form, list[Record]()
        self._writer = parquet.ParquetWriter(path, self._schema)

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._group()
        self._writer.close()

    def write(self, record: Record) -> None:
        self._rows.extend(self._form.rows(record))
        if len(self._rows) >= 4096:
            self._group()

    def flush(self) -> None:
        """Rows wait until there are enough of them for a group."""

    def _group(self) -> None:
        self._writer.write_table(self._make(self._rows, schema=self._schema))
        self._rows = []


class ArrayFile:
    """The vectors alone, as a NumPy array (texts, dim), written as they come."""

    HEAD = 128  # bytes; the numbers of rows and columns are known only at the end

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._shape = stream, (0, 0)
        stream.write(bytes(self.HEAD))

    def write(self, record: Record) -> None:
        vector = record["embedding"]
        self._shape = (self._shape[0] + 1, len(vector))
        self._stream.write(vector.astype("<f4").tobytes())

    def flush(self) -> None:
        self._stream.flush()

    def finish(self) -> None:
        about = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {self._shape}, }}"
        head = b"\x93NUMPY\x01\x00" + (self.HEAD - 10).to_bytes(2, "little")
        self._stream.seek(0)
        self._stream.write(head + about.ljust(self.HEAD - 11).encode("ascii") + b"\n")


def _numbers(vector: Any) -> list[float]:
    """The numbers of a float32 vector with no more digits than they have."""
    return [float(f"{number:.9g}") for number in vector.tolist()]
