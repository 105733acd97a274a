"""Where answers go: a table on a terminal, JSON lines down a pipe, or a file by its suffix."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distilbert.cli.terminal import is_terminal, note, visible
from distilbert.files.records import (
    Form,
    JsonLines,
    Kind,
    Record,
    Writer,
    check_finite,
    records_to,
)


@contextmanager
def answers_to(out: Path | None, form: Form) -> Iterator["Sink"]:
    """Yield where records go. A file appears whole when the block ends without error, or not.

    A record with a number that is not finite is a DistilBertError, wherever it goes.
    """
    with _writer_to(out, form) as writer:
        yield Sink(writer, piped=out is None and not is_terminal(sys.stdout))
    if out is not None:
        note(f"wrote {out}")


@contextmanager
def _writer_to(out: Path | None, form: Form) -> Iterator[Writer]:
    if out is not None:
        with records_to(out, form) as writer:
            yield writer
    elif is_terminal(sys.stdout):
        table = TerminalTable(form)
        yield table
        table.show()
    else:
        yield JsonLines(sys.stdout)


class Sink:
    """Where a command's records go: to a writer, but none with a number that is not finite.

    `piped` tells that another program reads them, which may use the terminal for itself.
    """

    def __init__(self, writer: Writer, piped: bool) -> None:
        self._writer, self.piped = writer, piped

    def write(self, record: Record) -> None:
        check_finite(record)
        self._writer.write(record)

    def flush(self) -> None:
        self._writer.flush()


class TerminalTable:
    """All rows at the end, in columns as wide as they need to be."""

    def __init__(self, form: Form) -> None:
        self._form, self._rows = form, list[list[str]]()
        self._fields = [field for field in form.fields if field.shown]

    def write(self, record: Record) -> None:
        for row in self._form.rows(record):  # as cells, for vectors would fill the memory
            self._rows.append([_cell(row.get(one.name), one.kind) for one in self._fields])

    def flush(self) -> None:
        """Nothing is shown before the widths of the columns are known."""

    def show(self) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for field in self._fields:
            right = field.kind in ("integer", "number")
            table.add_column(
                field.name, justify="right" if right else "left", no_wrap=right, overflow="fold"
            )
        for row in self._rows:
            table.add_row(*map(Text, row))
        Console().print(table if self._rows else "nothing found")


def _cell(value: Any, kind: Kind) -> str:
    if value is None:
        return ""
    if kind == "number":
        return f"{value:.4f}"
    if kind == "vector":
        shown = " ".join(f"{number:+.3f}" for number in value[:6])
        return f"{shown} …" if len(value) > 6 else shown
    return visible(str(value)).expandtabs()  # a tab has no width of its own
