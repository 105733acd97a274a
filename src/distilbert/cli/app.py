"""`distilbert`: one command a job. Nothing heavy is imported before a command runs."""

import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from distilbert import __version__
from distilbert.cli.answer import answer
from distilbert.cli.classify import classify
from distilbert.cli.embed import embed
from distilbert.cli.eval import evaluate
from distilbert.cli.fetch import fetch_command
from distilbert.cli.fill import fill
from distilbert.cli.info import info
from distilbert.cli.main import FINE, in_one_line
from distilbert.cli.search import search
from distilbert.cli.tag import tag
from distilbert.cli.terminal import warn
from distilbert.cli.tokenize import tokenize
from distilbert.cli.train import train
from distilbert.cli.zoo import zoo

COMMANDS = (embed, search, classify, tag, answer, fill, tokenize, info, train, zoo)


class Commands(TyperGroup):
    """The commands; what goes wrong in one is told before the library's own words for it."""

    def invoke(self, ctx: Any) -> Any:
        with in_one_line(), warnings.catch_warnings():
            warnings.showwarning = _warn
            return super().invoke(ctx)


app = typer.Typer(
    name="distilbert",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="DistilBERT on texts: embed, search, classify, tag, answer, fill in, train, evaluate.",
    epilog="Exit codes: 0 fine, 1 an error told in one line, 2 wrong usage, 130 interrupted.",
)
for command in COMMANDS:
    app.command()(command)
app.command("eval")(evaluate)
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


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning in one line, without the place in our code that gave it."""
    warn(str(message))
