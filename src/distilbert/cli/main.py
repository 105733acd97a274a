"""`distilbert`: one command a job. Nothing heavy is imported before a command runs."""

import os
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from distilbert import __version__
from distilbert.cli.answer import answer
from distilbert.cli.classify import classify
from distilbert.cli.embed import embed
from distilbert.cli.fetch import fetch_command
from distilbert.cli.fill import fill
from distilbert.cli.info import info
from distilbert.cli.search import search
from distilbert.cli.tag import tag
from distilbert.cli.terminal import warn
from distilbert.cli.tokenize import tokenize
from distilbert.errors import DistilBertError

FINE, FAILED, INTERRUPTED = 0, 1, 130

COMMANDS = (embed, search, classify, tag, answer, fill, tokenize, info)


class Commands(TyperGroup):
    """The commands; what goes wrong on purpose is told in one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # what goes wrong here is told here, and not at Python's end
            return result
        except BrokenPipeError as error:  # who read our output has enough of it
            _drop_output()
            raise typer.Exit(FINE) from error
        except DistilBertError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(FAILED) from error
        except OSError as error:  # such as a full disk behind standard output
            _drop_output()
            print(f"error: {error.strerror or error}", file=sys.stderr)
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as error:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    name="distilbert",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="DistilBERT on your texts: embed, search, classify, tag, answer, fill in.",
    epilog="Exit codes: 0 fine, 1 an error told in one line, 2 wrong usage, 130 interrupted.",
)
for command in COMMANDS:
    app.command()(command)
app.command("fetch")(fetch_command)


def _version(asked: bool) -> None:
    if asked:
        print(f"distilbert {__version__}")
        raise typer.Exit(FINE)


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """The options that stand before the command; `version` is handled by its callback."""


def run() -> None:
    """The entry point of the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    warnings.showwarning = _tell
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning in one line, without the place in our code that gave it."""
    warn(str(message))


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not complain at its end."""
    with suppress(OSError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
