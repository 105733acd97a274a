"""Which of a model's labels is which of the data's: they are matched by name."""

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilbert.data.tables import by
from distilbert.errors import InputError

_NUMBERED = re.compile(r"LABEL_\d+")  # what a configuration calls labels that nobody named


@dataclass(frozen=True)
class Matched:
    """The labels of the data, then those that the model alone has.

    columns: For each of these, the number of the model's label; None where the model has none.
    """

    names: tuple[str, ...]
    columns: tuple[int | None, ...]

    def ordered(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, labels of the model) → (…, names); -inf for what the model does not know."""
        unknown = np.full((*logits.shape[:-1], 1), -np.inf, np.float32)
        every = np.concatenate([logits, unknown], axis=-1)
        return every[..., [-1 if column is None else column for column in self.columns]]


def check_scope(
    kind: str, outside: str | None, threshold: float | None, *, no_answer: bool = True
) -> None:
    """Raises InputError if these options of `evaluate` would do nothing for such data.

    no_answer: Whether questions may have no answer.
    """
    if outside is not None and kind != "classification":
        raise InputError(
            f"outside is {outside!r}, which is for classes, and the data are of kind {kind!r}; "
            "leave it out"
        )
    used = {"classification": outside is not None, "spans": no_answer}
    if threshold is not None and not used.get(kind, False):
        raise InputError(
            f"threshold is {threshold}, which is for a class of what is out of scope and for "
            "questions that may have no answer; here it does nothing: leave it out"
            + (f", or name that class {by('outside')}" if kind == "classification" else "")
        )


def matched(
    model: Sequence[str],
    data: Sequence[str],
    *,
    outside: str | None = None,
    where: Mapping[str, str] | None = None,
) -> Matched:
    """How the labels of a model and of data belong together.

    Names that differ in case alone are the same, unless two of the model's are. Labels of the model
    that nobody named (LABEL_0, …) are taken by number, with a warning. outside: The data's label
    that a model need not have. where: Where in the data a label stands.

    Raises InputError, with both lists, if the data have labels that the model does not know.
    """
    if all(map(_NUMBERED.fullmatch, model)) and not set(data) & set(model):
        return _by_number(model, data, outside)
    places = {name: number for number, name in enumerate(model)}
    alike = _alike(model, data)
    columns = [places.get(alike.get(name, name)) for name in data]
    unknown = [
        name
        for name, column in zip(data, columns, strict=True)
        if column is None and name != outside
    ]
    if unknown:
        raise InputError(
            f"the model's labels are not those of the data: it does not know {_listed(unknown)}"
            f"{_where(unknown, where or {})}; "
            f"it knows {_listed(model)}; the data have {_listed(data)}; take a model that was "
            "trained on these labels, or give its config's id2label the names that the data have"
        )
    more = [number for number in range(len(model)) if number not in columns]
    return Matched((*data, *(model[number] for number in more)), (*columns, *more))


def _by_number(model: Sequence[str], data: Sequence[str], outside: str | None) -> Matched:
    known = [name for name in data if name != outside]
    if len(model) == len(data):
        known = list(data)
    if len(model) != len(known):
        raise InputError(
            f"the model has {len(model)} labels without names ({_listed(model)}), and the data "
            f"have {len(data)} ({_listed(data)}); take a model that was trained on these labels, "
            "or name them in its config's id2label"
        )
    warnings.warn(
        f"the model's labels have no names ({_listed(model)}), and are taken by number for those "
        f"of the data: {_listed(known)}; name them in its config's id2label",
        UserWarning,
        stacklevel=4,
    )
    numbers = {name: number for number, name in enumerate(known)}
    return Matched(tuple(data), tuple(numbers.get(name) for name in data))


def _alike(model: Sequence[str], data: Sequence[str]) -> dict[str, str]:
    """For names of the data that are not the model's, the one that differs in case alone."""
    own, other = Counter(map(str.casefold, model)), Counter(map(str.casefold, data))
    folded = {name.casefold(): name for name in model if own[name.casefold()] == 1}
    return {
        name: folded[name.casefold()]
        for name in data
        if name not in model and name.casefold() in folded and other[name.casefold()] == 1
    }


def _where(names: Sequence[str], places: Mapping[str, str]) -> str:
    found = [places[name] for name in names if name in places]
    return f" ({found[0]})" if found else ""


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
