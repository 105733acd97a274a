"""What an evaluation found: scores, and what was said of every example."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.errors import InputError
from distilbert.evaluation.metrics import find_metric
from distilbert.files.records import Field, Form, Record, check_out, records_to


@dataclass(frozen=True)
class Prediction:
    """What a model says of one example. id, where, texts, label: Those of the example.

    label and predicted depend on the kind of problem as `Example.label` does, but for questions,
    where they are texts: the right answers, and the one given ("" for no answer). Of plain text
    each is a tuple of the pieces behind masks, and `texts` holds what the model read.
    score: How sure the model is, from 0 to 1; of words behind masks, the mean probability of the
    right ones; None for numbers.
    error: How wrong it is, 0.0 if not at all: 1.0 for a wrong class or choice, the difference of
    numbers, the share of wrong labels, tags or words, or 1 - F1 of an answer.
    """

    id: str
    where: str
    texts: tuple[str, ...]
    label: Any
    predicted: Any
    score: float | None
    error: float


@dataclass(frozen=True)
class Shown:
    """How predictions of one kind are written.

    texts: The names of an example's texts; the last takes all that are left where `rest` is set.
    joined: What stands between the values of a list where a file has rows and columns.
    value: What kind a label is in such a file.
    """

    texts: tuple[str, ...] = ("text", "text_pair")
    rest: bool = False
    joined: str = " | "
    value: Any = "text"


SHOWN = {
    "classification": Shown(),
    "regression": Shown(value="number"),
    "multi_label": Shown(joined=","),
    "choice": Shown(("text", "choices"), rest=True, value="integer"),
    "tags": Shown(("words",), rest=True, joined=" "),
    "spans": Shown(("question", "context")),
    "words": Shown(("text",), joined=" "),
}


@dataclass(frozen=True)
class Report:
    """The scores of a model on a data set.

    kind: That of the data. labels: Names of classes or tags, those of the data first.
    scores: By the name of the metric; shares from 0 to 1 where a metric is one.
    """

    kind: str
    labels: tuple[str, ...]
    scores: dict[str, float]
    predictions: list[Prediction] = field(repr=False)

    @property
    def headline(self) -> str:
        """The name of the score that tells most: the first one."""
        return next(iter(self.scores))

    @property
    def score(self) -> float:
        """The score that tells most."""
        return self.scores[self.headline]

    @property
    def higher(self) -> bool:
        """Whether more of it is better."""
        return find_metric(self.headline, self.kind).higher

    def errors(self) -> list[Prediction]:
        """The predictions that are not fully right, worst first; of equals, the surest first."""
        wrong = [one for one in self.predictions if one.error > 0]
        return sorted(wrong, key=lambda one: (-one.error, -(one.score or 0.0)))

    def confusion(self) -> NDArray[np.int64]:
        """How often each label (rows) was taken for each (columns), in the order of `labels`.

        Raises InputError unless there is one label of each text or word.
        """
        check_confusion(self.kind)
        pairs: Iterable[tuple[str, str]]
        if self.kind == "classification":
            pairs = [(one.label, one.predicted) for one in self.predictions]
        else:
            pairs = [
                pair
                for one in self.predictions
                for pair in zip(one.label, one.predicted, strict=True)
            ]
        number = {name: at for at, name in enumerate(self.labels)}
        counts = np.zeros((len(number), len(number)), np.int64)
        for right, said in pairs:
            if said in number:  # a word that the tokenizer makes nothing of has no tag
                counts[number[right], number[said]] += 1
        return counts

    def draw_confusion(self, path: str | os.PathLike[str]) -> None:
        """Draw the confusion matrix into a .png, .svg or .pdf file.

        Raises InputError where there is none, for another suffix, or without matplotlib.
        """
        from distilbert.evaluation.confusion import check_picture, draw

        check_picture(Path(path))
        draw(self.labels, self.confusion(), Path(path))

    def write(self, path: str | os.PathLike[str], *, errors: bool = False) -> None:
        """Write what was said of every example to a .jsonl, .csv, .tsv or .parquet file.

        errors: Of those that are in `errors()` alone, in its order.
        """
        out = Path(path)
        check_out(out, name="the report")
        shown = SHOWN[self.kind]
        predictions = self.errors() if errors else self.predictions
        flat = out.suffix.lower() != ".jsonl"
        with records_to(out, _form(shown, predictions)) as writer:
            for one in predictions:
                record = _record(one, shown)
                writer.write(_flat(record, shown.joined) if flat else record)
            writer.flush()


def check_confusion(kind: str) -> None:
    """Raise InputError unless data of this kind have one label of each text or word."""
    if kind not in ("classification", "tags"):
        raise InputError(f"{kind} data have no confusion matrix; classification and tags have one")


def _form(shown: Shown, predictions: list[Prediction]) -> Form:
    most = len(shown.texts) if shown.rest else max((len(p.texts) for p in predictions), default=1)
    return Form(
        (
            Field("id"),
            Field("where"),
            *(Field(name) for name in shown.texts[:most]),
            Field("label", shown.value),
            Field("predicted", shown.value),
            Field("score", "number"),
            Field("error", "number"),
        )
    )


def _record(one: Prediction, shown: Shown) -> Record:
    texts: dict[str, Any] = dict(zip(shown.texts, one.texts, strict=False))
    if shown.rest:
        last = len(shown.texts) - 1
        texts[shown.texts[last]] = list(one.texts[last:])
    return {
        "id": one.id,
        "where": one.where,
        **texts,
        "label": _plain(one.label),
        "predicted": _plain(one.predicted),
        "score": one.score,
        "error": one.error,
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _flat(record: Mapping[str, Any], joined: str) -> Record:
    return {
        name: joined.join(value) if isinstance(value, list) else value
        for name, value in record.items()
    }
