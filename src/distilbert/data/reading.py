"""Files as lines of text: UTF-8, plain or gzip, or standard input."""

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from distilbert.errors import FileError, InputError

STANDARD_INPUT = Path("-")

SUFFIXES = {
    ".txt": "txt",
    ".text": "txt",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""The forms that texts come in, by suffix."""

FORMS = {**SUFFIXES, ".json": "json", ".conll": "conll", ".conllu": "conll", ".bio": "conll"}
"""The forms that data sets come in, by suffix."""


def name_of(file: Path) -> str:
    return "standard input" if file == STANDARD_INPUT else str(file)


def is_plain(file: Path) -> bool:
    """Whether it is a regular file: one with a size, in which one may go back and forth."""
    return file != STANDARD_INPUT and file.is_file()


def suffix_of(file: Path) -> str:
    """What the name says the file is, in small letters, without .gz."""
    return (Path(file.stem).suffix if file.suffix == ".gz" else file.suffix).lower()


def opened(file: Path) -> BinaryIO:
    """The bytes of a file. Raises FileError if it cannot be read."""
    if file == STANDARD_INPUT:
        return BytesIO() if sys.stdin is None else _unclosed(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise _unreadable(file, error) from error


def lines(file: Path) -> Iterator[str]:
    """The lines of a file, their ends kept. Raises FileError where it cannot be read."""
    with opened(file) as raw:
        yield from lines_of(raw, file)


def lines_of(raw: BinaryIO, file: Path) -> Iterator[str]:
    """The lines of an opened file. Raises FileError naming the line that is not UTF-8."""
    stream = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
    with whole(file):
        yield from _decoded(stream, name_of(file))


def read_whole(file: Path) -> str:
    """The text of a whole file ("-" is standard input), UTF-8. Raises FileError."""
    return "".join(lines(file))


@contextmanager
def whole(file: Path) -> Iterator[None]:
    """Raises FileError for a gzip file that is damaged or cut."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileError(
            f"{name_of(file)!r} is no whole gzip file: {error}; take it anew"
        ) from error


def ended(line: str) -> str:
    """A line without its end, "\\n" or "\\r\\n"; other line separators are characters of it."""
    return line.removesuffix("\n").removesuffix("\r")


def size(files: Sequence[Path]) -> int | None:
    """Bytes of all files, None where a pipe is among them. Raises FileError for an unreadable one.

    A pipe is not opened to try it: that would wait for its writer, or take what it has to give.
    """
    for file in files:
        if is_plain(file) or not (file == STANDARD_INPUT or file.is_fifo()):
            with opened(file):
                pass
    if not all(map(is_plain, files)):
        return None
    return sum(file.stat().st_size for file in files)


def form_of(file: Path, known: dict[str, str], remedy: str) -> str:
    """The form that a file's suffix tells, one of `known`. Raises InputError with a remedy."""
    if file == STANDARD_INPUT:
        return "txt"
    suffix = suffix_of(file)
    if not suffix and file.is_fifo():  # as the shell's <(command) makes them
        return "txt"
    if suffix not in known:
        named = ", ".join(known)
        raise InputError(
            f"what kind of file is {str(file)!r}? Known are {named} (all but .parquet also with "
            f".gz); {remedy}"
        )
    return known[suffix]


def _decoded(stream: BinaryIO | gzip.GzipFile, name: str) -> Iterator[str]:
    for number, raw in enumerate(stream, 1):
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise FileError(
                f"{name}, line {number}: not UTF-8 (byte {raw[error.start]:#04x} at place "
                f"{error.start + 1} of the line); save the file as UTF-8"
            ) from error


def _unclosed(stream: BinaryIO) -> BinaryIO:
    """Standard input, so that leaving a `with` block does not close it for the process."""
    return open(stream.fileno(), "rb", closefd=False) if _has_number(stream) else stream


def _has_number(stream: BinaryIO) -> bool:
    try:
        stream.fileno()
    except OSError:
        return False
    return True


def _unreadable(file: Path, error: OSError) -> FileError:
    if isinstance(error, FileNotFoundError):
        return FileError(f"there is no file {str(file)!r}; check the path")
    if isinstance(error, IsADirectoryError):
        return FileError(f"{str(file)!r} is a folder, where a file is needed; name one in it")
    return FileError(
        f"cannot read {str(file)!r}: {error.strerror or error}; check the file and its permissions"
    )
