"""`distilbert fetch`: bring an embedded default model into our cache."""

import sys
from typing import Annotated

import typer

from distilbert.errors import FileError
from distilbert.files.backbones import BACKBONES, fetch

_NAMES = ", ".join(BACKBONES)


def fetch_command(
    name: Annotated[str, typer.Argument(help=f"Which model: {_NAMES}.")] = "minilm",
) -> None:
    """Bring an embedded default model into the cache, and check the sha256 of every file.

    A full cache is only checked, without any network; damaged files are fetched again.
    """
    from rich.console import Console

    if name not in BACKBONES:
        raise FileError(f"no backbone {name!r}; there are: {_NAMES}")
    backbone = BACKBONES[name]
    console = Console(stderr=True)
    with console.status(f"checking {name}") as status:

        def say(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                print(what, file=sys.stderr)

        folder = fetch(name, verify=True, say=say)
    console.print(f"{name}: {backbone.about}", highlight=False, soft_wrap=True)
    console.print(
        f"{len(backbone.files)} files, {backbone.size / 1e6:.1f} MB, every sha256 as recorded, in",
        highlight=False,
        soft_wrap=True,
    )
    typer.echo(folder)  # alone on standard output, for scripts
