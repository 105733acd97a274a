"""Where the texts come from: arguments, standard input, or files, read a row at a time."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from distilbert.cli.tables import Column, csv_rows, json_rows, line_rows, parquet_rows, tsv_rows
from distilbert.errors import FileError, InputError

TEXT = Column("text", "--column")
STANDARD_INPUT = Path("-")
ARGUMENTS = "arguments"

_SUFFIXES = {
    ".txt": "txt",
    ".text": "txt",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
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
            self.total = _size(self._files)
            for file in self._files:
                self._reader(file)
        self._rows = self._read()
        self._first = next(self._rows, None)
        if self._first is None:
            names = " and ".join(_name(file) for file in self._files)
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
            finished += file.stat().st_size if _is_plain(file) else 0
            self.done = finished

    def _reader(self, file: Path) -> Callable[[int], Iterator[Row]]:
        form = self._form or _form_of(file)
        if form == "parquet":
            if not _is_plain(file) or file.suffix == ".gz":
                raise InputError("Parquet is read from plain files only; name one with --in")
            return lambda finished: self._from_parquet(file, finished)
        return lambda finished: self._from_lines(file, form, finished)

    def _from_lines(self, file: Path, form: str, finished: int) -> Iterator[Row]:
        name, plain = _name(file), _is_plain(file)
        with _opened(file) as raw:
            stream = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
            try:
                for line, values in _READERS[form](_decoded(stream, name), self._columns, name):
                    if plain:
                        self.done = finished + raw.tell()
                    yield Row(values, name, line)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise FileError(f"{name!r} is no whole gzip file: {error}; take it anew") from error

    def _from_parquet(self, file: Path, finished: int) -> Iterator[Row]:
        for line, values, part in parquet_rows(file, self._columns):
            self.done = finished + int(part * file.stat().st_size)
            yield Row(values, str(file), line)


def read_whole(file: Path) -> str:
    """The text of a whole file ("-" is standard input), UTF-8. Raises FileError."""
    with _opened(file) as raw:
        stream = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
        return "".join(_decoded(stream, _name(file)))


def _decoded(stream: BinaryIO | gzip.GzipFile, name: str) -> Iterator[str]:
    """Lines as text, their ends kept. Raises FileError naming the line that is not UTF-8."""
    for number, raw in enumerate(stream, 1):
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise FileError(
                f"{name}, line {number}: not UTF-8 (byte {raw[error.start]:#04x} at place "
                f"{error.start + 1} of the line); save the file as UTF-8"
            ) from error


def _opened(file: Path) -> BinaryIO:
    if file == STANDARD_INPUT:
        return BytesIO() if sys.stdin is None else _unclosed(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise _unreadable(file, error) from error


def _unclosed(stream: BinaryIO) -> BinaryIO:
    """Standard input, so that leaving a `with` block does not close it for the process."""
    return open(stream.fileno(), "rb", closefd=False) if _has_number(stream) else stream


def _has_number(stream: BinaryIO) -> bool:
    try:
        stream.fileno()
    except OSError:
        return False
    return True


def _size(files: Sequence[Path]) -> int | None:
    """Bytes of all files, None where a pipe is among them. Raises FileError for an unreadable one.

    A pipe is not opened to try it: that would wait for its writer, or take what it has to give.
    """
    for file in files:
        if _is_plain(file) or not (file == STANDARD_INPUT or file.is_fifo()):
            with _opened(file):
                pass
    if not all(map(_is_plain, files)):
        return None
    return sum(file.stat().st_size for file in files)


def _is_plain(file: Path) -> bool:
    """Whether it is a regular file: one with a size, in which one may go back and forth."""
    return file != STANDARD_INPUT and file.is_file()


def _form_of(file: Path) -> str:
    if file == STANDARD_INPUT:
        return "txt"
    suffix = Path(file.stem).suffix if file.suffix == ".gz" else file.suffix
    if not suffix and file.is_fifo():  # as the shell's <(command) makes them
        return "txt"
    if suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"what kind of file is {str(file)!r}? Known are {', '.join(_SUFFIXES)} (all but the "
            "last also with .gz); name the kind with --format"
        )
    return _SUFFIXES[suffix.lower()]


def _name(file: Path) -> str:
    return "standard input" if file == STANDARD_INPUT else str(file)


def _unreadable(file: Path, error: OSError) -> FileError:
    if isinstance(error, FileNotFoundError):
        return FileError(f"there is no file {str(file)!r}; check the path")
    if isinstance(error, IsADirectoryError):
        return FileError(f"{str(file)!r} is a folder, where a file is needed; name one in it")
    return FileError(
        f"cannot read {str(file)!r}: {error.strerror or error}; check the file and its permissions"
    )
