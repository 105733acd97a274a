"""The entry point: whatever happens from here on ends in an exit code and at most one line."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

from distilbert.errors import DistilBertError

FINE, FAILED, INTERRUPTED = 0, 1, 130


def run() -> None:
    """The entry point of the command line."""
    with in_one_line():
        _open_streams()
        from distilbert.cli.app import app  # here, so that Ctrl-C while importing is caught too

        app()


@contextmanager
def in_one_line() -> Iterator[None]:
    """Tell what goes wrong in the block in one line, and leave with the exit code for it."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # what goes wrong here is told here, and not at Python's end
    except BrokenPipeError:  # who read our output has enough of it
        _drop_output()
        sys.exit(FINE)
    except DistilBertError as error:
        _tell(f"error: {error}")
        sys.exit(FAILED)
    except OSError as error:  # such as a full disk behind standard output
        _drop_output()
        _tell(f"error: {error.strerror or error}")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        _tell("interrupted")
        sys.exit(INTERRUPTED)


def _tell(line: str) -> None:
    from distilbert.cli.terminal import visible

    with suppress(OSError):  # standard error may be as full as standard output
        print(visible(line), file=sys.stderr, flush=True)


def _open_streams() -> None:
    """Give every standard stream that was closed a place, and all of them UTF-8.

    Without that the next file opened would take its number, and what libraries print would end up
    in that file. What a command writes to a closed standard output is an error as ever.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        nowhere = os.open(os.devnull, os.O_RDONLY)
        sys.stdout = open(nowhere, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not complain at its end."""
    with suppress(OSError, ValueError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
