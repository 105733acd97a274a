"""The adapters that come with the package: small, trained by `distilbert train`, offline."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from distilbert.files.sources import kind_of

HOME = Path(__file__).parent


@dataclass(frozen=True)
class Shipped:
    """One adapter with its head: its name, what it answers, and what it was trained on.

    task: Of the pipeline that it answers. kind: A key of `distilbert.data.kinds.KINDS`. about: What
    it is for. data: What the scores are of. licence: Of the data that it was trained on.
    """

    name: str
    task: str
    kind: str
    about: str
    data: str
    licence: str
    backbone: str = "minilm"

    @property
    def folder(self) -> Path:
        return HOME / self.name

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))

    @cached_property
    def _run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return found

    @property
    def scores(self) -> dict[str, float]:
        """Of the weights as they are shipped, in [-1, 1], by name."""
        return dict(self._run["shipped"]["scores"])

    @property
    def headline(self) -> str:
        """The name of the score that the best weights were chosen by."""
        return self._run["recipe"]["metric"] or next(iter(self.scores))


_CLASSES = "text-classification"

ZOO: dict[str, Shipped] = {
    row.name: row
    for row in (
        Shipped(
            "sentiment",
            _CLASSES,
            "classification",
            "whether a sentence of a review is negative or positive",
            "SST-2 dev",
            "none stated, for research",
        ),
        Shipped(
            "emotion",
            _CLASSES,
            "classification",
            "which of six emotions a message tells of",
            "emotion dev",
            "research and education only",
        ),
        Shipped(
            "question-type",
            _CLASSES,
            "classification",
            "what a question asks for: a person, a place, a number, …",
            "TREC, a tenth of train held out",
            "none stated, for research",
        ),
        Shipped(
            "intent",
            _CLASSES,
            "classification",
            "which of 150 things a user of an assistant wants, or none",
            "CLINC150 dev",
            "CC BY 3.0",
        ),
        Shipped(
            "similarity",
            _CLASSES,
            "regression",
            "how near two sentences are in meaning, from 0 to 5",
            "STS-B dev",
            "CC BY-SA 4.0; texts by source",
        ),
    )
}
"""Every adapter that is in the package, by its name."""

DEFAULTS = {"text-classification": "sentiment"}
"""Which one answers a task where no model is given."""


def default(task: str) -> str | None:
    """The folder of the adapter that answers a task where no model is given, or None."""
    return str(ZOO[DEFAULTS[task]].folder) if task in DEFAULTS else None


def resolve(name: str | os.PathLike[str]) -> str:
    """The folder of the adapter of this name; any other name, and that of a folder, as it is."""
    name = os.fspath(name)
    row = ZOO.get(name)
    return name if row is None or kind_of(name) == "folder" else str(row.folder)
