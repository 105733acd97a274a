"""Scores on a terminal: a row for each, a column for each part of the data or kind of number."""

from collections.abc import Mapping, Sequence


def show(
    columns: Mapping[str, Mapping[str, float]],
    more: Mapping[str, Sequence[str]] | None = None,
    *,
    title: str | None = None,
) -> None:
    """A table on standard output. more: Rows below it, a text for each column."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from distilbert.cli.terminal import visible

    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=None if title is None else Text(visible(title)),
        title_justify="left",
    )
    table.add_column("score")
    for name in columns:
        table.add_column(Text(visible(name)), justify="right", no_wrap=True)
    for score in dict.fromkeys(name for scores in columns.values() for name in scores):
        row = [scores.get(score) for scores in columns.values()]
        table.add_row(score, *("" if value is None else f"{value:,.4f}" for value in row))
    if more:
        table.add_section()
        for name, texts in more.items():
            table.add_row(name, *texts)
    Console().print(table)
