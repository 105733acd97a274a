"""Published data sets: the files they come in, and what their columns and labels mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distilbert.data.examples import Dataset


@dataclass(frozen=True)
class Layout:
    """One published data set. kind: A key of KINDS. labels: Names by id; () where found in files."""

    name: str
    kind: str
    labels: tuple[str, ...] = ()


LAYOUTS: dict[str, Layout] = {}


def read(
    layout: str | Layout, path: str | Path, split: str = "dev", *, labels: Sequence[str] = ()
) -> Dataset:
    """The examples of one split ("train", "dev", "test", "dev_matched", …) of a published set.

    path: The folder of its files, or one of its files. labels: Of the model or of the training
    data, where the layout has none of its own.
    """
    raise NotImplementedError


def splits(layout: str | Layout, path: str | Path) -> tuple[str, ...]:
    """The splits that are there in the folder."""
    raise NotImplementedError
