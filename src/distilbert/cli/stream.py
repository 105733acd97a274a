"""Many texts through a pipeline: a chunk at a time, in bounded memory, with progress."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from distilbert.cli.answers import Sink
from distilbert.cli.options import Long
from distilbert.cli.terminal import progress, warn
from distilbert.cli.texts import ARGUMENTS, Row, Texts
from distilbert.errors import InputError
from distilbert.files.records import Record
from distilbert.pipelines.base import TextError

CHUNK = 256  # rows read, answered and written together


class LongTexts:
    """What becomes of texts that the model cannot read whole; says in the end how many were cut."""

    def __init__(self, choice: Long, limit: int) -> None:
        self._choice, self._limit = choice, limit
        self._count, self._first = 0, ""

    def options(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The options of a pipeline's call for the texts of these rows."""

        def cut(numbers: list[int]) -> None:
            first = rows[numbers[0]].where
            if self._choice is Long.ERROR:
                raise InputError(
                    f"{first}: the text is longer than the {self._limit} tokens that the model "
                    "reads; split it, or let it be cut with --long cut"
                )
            self._first = self._first or first
            self._count += len(numbers)

        return {"truncation": True, "on_cut": cut}

    def report(self) -> None:
        if self._count:
            texts = "1 text was" if self._count == 1 else f"{self._count:,} texts were"
            warn(
                f"{texts} longer than the {self._limit} tokens that the model reads and cut "
                f"(the first: {self._first}); --long error refuses such texts"
            )


def chunks(
    rows: Iterable[Row], size: int = CHUNK, *, keep: Callable[[Row], bool] = lambda row: True
) -> Iterator[list[Row]]:
    """The rows in lists of `size`, without those that are not to be kept."""
    kept = (row for row in rows if keep(row))
    while chunk := list(islice(kept, size)):
        yield chunk


def stream(
    texts: Texts,
    answer: Callable[[list[Row], Callable[[int], None]], Iterable[Record]],
    sink: Sink,
    *,
    title: str,
    size: int = CHUNK,
) -> None:
    """Write to `sink` what `answer` makes of the texts, chunk by chunk.

    `answer` gets a chunk and a function to call with the number of its rows just finished.
    """
    for chunk, advance in walk(chunks(texts, size), texts, title, hidden=sink.piped):
        try:
            for record in answer(chunk, advance):
                sink.write(record)
        except TextError as error:
            raise located(error, chunk) from error
        sink.flush()


def walk(
    chunks: Iterable[list[Row]], texts: Texts, title: str, *, hidden: bool
) -> Iterator[tuple[list[Row], Callable[[int], None]]]:
    """Each chunk of `texts` with a function to call with the number of its rows just finished."""
    with progress(title, texts.total, hidden=hidden) as show:
        way = Way(texts, show)
        for chunk in chunks:
            way.begin(len(chunk))
            yield chunk, way.advance
            way.end()


def located(error: TextError, rows: Sequence[Row]) -> InputError:
    """The error, saying in which file and line the refused one of these rows stands."""
    row = rows[error.number]
    return InputError(str(error) if row.source == ARGUMENTS else f"{row.where}: {error}")


class Way:
    """How far a stream of texts has come, also within a chunk that is being answered."""

    def __init__(self, texts: Texts, show: Callable[[float, int], None]) -> None:
        self._texts, self._show = texts, show
        self._rows, self._size, self._part, self._start = 0, 0, 0, 0

    def begin(self, size: int) -> None:
        """A chunk of `size` rows was read."""
        self._size, self._part = size, 0

    def advance(self, count: int) -> None:
        """`count` more rows of the chunk are answered."""
        self._part = min(self._part + count, self._size)
        span = self._texts.done - self._start
        self._show(self._start + span * self._part / self._size, self._rows + self._part)

    def end(self) -> None:
        """The whole chunk is answered and written."""
        self.advance(self._size)
        self._rows, self._start = self._rows + self._size, self._texts.done
