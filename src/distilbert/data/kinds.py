"""The kinds of problems: what a row of a file means in each, and the model that solves it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Raw = Mapping[str, Any]
Read = tuple[tuple[str, ...], Any]  # texts and label of an Example


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold what. label: None where it has none. id: None for numbers."""

    text: tuple[str, ...] = ("text",)
    label: str | None = "label"
    choices: tuple[str, ...] = ()
    id: str | None = None
    separator: str = ","  # between the names of several labels in one text


@dataclass(frozen=True)
class Kind:
    """One kind of problem.

    model: The published class that solves it. problem_type: Of its configuration, where it has one.
    columns: The usual ones. read: What a row of those columns means; raises ValueError, saying what
    is wrong with it. names: The names of classes in a label; None where labels are no names.
    """

    name: str
    model: str
    problem_type: str | None
    columns: Columns
    read: Callable[[Raw, Columns], Read]
    names: Callable[[Any], Iterable[str]] | None = None


def _todo(row: Raw, columns: Columns) -> Read:
    raise NotImplementedError


_SEQUENCE = "DistilBertForSequenceClassification"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("classification", _SEQUENCE, "single_label_classification", Columns(), _todo),
        Kind("regression", _SEQUENCE, "regression", Columns(), _todo),
        Kind("multi_label", _SEQUENCE, "multi_label_classification", Columns(), _todo),
        Kind("choice", "DistilBertForMultipleChoice", None, Columns(choices=("choices",)), _todo),
        Kind("tags", "DistilBertForTokenClassification", None, Columns(("tokens",), "tags"), _todo),
        Kind(
            "spans",
            "DistilBertForQuestionAnswering",
            None,
            Columns(("question", "context"), "answers"),
            _todo,
        ),
        Kind("words", "DistilBertForMaskedLM", None, Columns(label=None), _todo),
    )
}
