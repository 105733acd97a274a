"""What people see on a terminal: messages and progress on standard error, tables on output."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """`text` with control characters spelled out, so that it cannot steer a terminal."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether a person sees this stream."""
    return stream is not None and stream.isatty()


def warn(message: str) -> None:
    """One line on standard error, whoever reads it."""
    print(f"warning: {visible(message)}", file=sys.stderr)


def note(message: str) -> None:
    """One line on standard error, for people only."""
    if is_terminal(sys.stderr):
        print(visible(message), file=sys.stderr)


@contextmanager
def waiting(message: str) -> Iterator[None]:
    """Show, on a terminal, that something goes on whose length nobody knows."""
    if not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(message):
        yield


@contextmanager
def progress(
    title: str, total: int | None, *, hidden: bool = False
) -> Iterator[Callable[[float, int], None]]:
    """Yield a function `(done of total, texts)` that moves a bar; there is none off a terminal."""
    if hidden or not is_terminal(sys.stderr):
        yield lambda done, texts: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[texts]:,} texts"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=total, texts=0)
        yield lambda done, texts: bars.update(task, completed=done, texts=texts)
