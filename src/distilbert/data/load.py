"""Examples from files of one's own: tables with named columns, CoNLL, SQuAD and plain text."""

from collections.abc import Sequence
from pathlib import Path

from distilbert.data.examples import Dataset


def load(
    path: str | Path,
    kind: str | None = None,
    *,
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    choices: str | Sequence[str] | None = None,
    labels: Sequence[str] = (),
    id: str | None = None,
    labelled: bool = True,
    separator: str = ",",
    word: int = 0,
    tag: int = -1,
    form: str | None = None,
) -> Dataset:
    """The examples of one file."""
    raise NotImplementedError
