"""The kinds of problems: what a row of a file means in each, and the model that solves it."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distilbert.data.examples import Answer
from distilbert.data.tables import by, check_text, kind_of

Raw = Mapping[str, Any]
Texts = tuple[str, ...]
_LARGEST = 3.4028235e38  # of float32, in which models are trained
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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
    """One kind of problem; what texts and labels are is said at `Example`.

    model: The published class that solves it. problem_type: Of its configuration, where it has one.
    columns: The usual ones. counts: How many columns of texts there may be. texts, label: What the
    values of columns mean; they raise ValueError, saying what is wrong. names: The names of classes
    in a label; None where labels are no names.
    """

    name: str
    model: str
    problem_type: str | None
    columns: Columns
    counts: tuple[int, ...]
    texts: Callable[[Raw, Columns], Texts]
    label: Callable[[Any, Texts, Columns], Any]
    names: Callable[[Any], Iterable[str]] | None = None


def number(value: Any) -> float | None:
    """The number that a value is or spells, None for what is none or not finite."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # a whole number that no float holds
        return None
    return found if math.isfinite(found) else None


_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_NO_NUMBER = re.compile(r"\s*([+-]?(nan|inf|infinity))?\s*", re.ASCII | re.IGNORECASE)


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether these are numbers, some with a fraction.

    So they are, too, where some are missing or not finite, or one in ten spells none: a few damaged
    ones do not make names of the others.
    """
    numbers = [number(value) for value in values]
    strange = [
        value
        for value, found in zip(values, numbers, strict=True)
        if found is None and not _is_damaged(value)
    ]
    return any(found % 1 for found in numbers if found) and len(strange) * 10 <= len(values)


def _is_damaged(value: Any) -> bool:
    """Whether what is no number stands where one was meant: missing, or too large, or nan."""
    if isinstance(value, str):
        return bool(_NO_NUMBER.fullmatch(value) or _NUMBER.fullmatch(value))
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _texts(row: Raw, columns: Columns) -> Texts:
    return tuple([check_text(row[name]) for name in columns.text])


def _texts_and_choices(row: Raw, columns: Columns) -> Texts:
    context = " ".join(_texts(row, columns))
    found = row[columns.choices[0]] if len(columns.choices) == 1 else None
    choices = [row[name] for name in columns.choices] if found is None else found
    if not isinstance(choices, list | tuple) or len(choices) < 2:
        raise ValueError(
            f"{kind_of(found)} as choices, where a list of two or more texts is needed; repair it, "
            "or name a column for each choice"
        )
    return (context, *map(check_text, choices))


def _words(row: Raw, columns: Columns) -> Texts:
    words = row[columns.text[0]]
    if not isinstance(words, list | tuple) or not words:
        raise ValueError(f"{kind_of(words)} as words, where a list of one or more is needed")
    return tuple(map(check_text, words))


def _document(row: Raw, columns: Columns) -> Texts:
    text = row[columns.text[0]]
    return tuple(map(check_text, text if isinstance(text, list | tuple) else [text]))


def _name(value: Any, texts: Texts = (), columns: Columns | None = None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as whole numbers become where some are missing
    name = str(value) if isinstance(value, int | float) else value
    if not isinstance(name, str) or not name.strip():
        given = "an empty text" if isinstance(name, str) else kind_of(name)
        raise ValueError(
            f"{given} as a label, where a name is needed; write one, or leave the row out"
        )
    return check_text(name)


def _score(value: Any, texts: Texts, columns: Columns) -> float:
    found = number(value)
    if found is None or abs(found) > _LARGEST:
        raise ValueError(
            f"{value!r:.40} as a label, where a number is needed, and a finite one that float32 "
            "holds; repair it or leave the row out; where labels are names, say classification "
            f"{by('kind')}"
        )
    return found


def _several(value: Any, texts: Texts, columns: Columns) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(columns.separator) if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(
            f"{kind_of(value)} as labels, where a list of names is needed, or a text with "
            f"{columns.separator!r} between them"
        )
    return tuple(dict.fromkeys(map(_name, value)))


def _right(value: Any, texts: Texts, columns: Columns) -> int:
    count = len(texts) - 1
    if isinstance(value, str) and value in tuple(_LETTERS[:count]):
        return _LETTERS.index(value)
    found = number(value)
    if found is None or found not in range(count):
        raise ValueError(
            f"{value!r:.40} as the right one of {count} choices; allowed: 0 to {count - 1}, or A "
            f"to {_LETTERS[count - 1]}"
        )
    return int(found)


def _tags(value: Any, texts: Texts, columns: Columns) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) != len(texts):
        given = f"{len(value)}" if isinstance(value, list | tuple) else kind_of(value)
        raise ValueError(f"{given} as tags of {len(texts)} words; give a list of as many")
    return tuple(map(_name, value))


def _answers(value: Any, texts: Texts, columns: Columns) -> tuple[Answer, ...]:
    """From SQuAD's list of objects, or an object of lists (as in tables)."""
    if isinstance(value, dict):
        parts: Sequence[Any] = [value.get("text"), value.get("answer_start")]
        if not all(isinstance(part, list) for part in parts) or len(parts[0]) != len(parts[1]):
            raise ValueError('answers need lists "text" and "answer_start" of one length')
        value = [{"text": t, "answer_start": s} for t, s in zip(*parts, strict=True)]
    if not isinstance(value, list | tuple):
        raise ValueError(f"{kind_of(value)} as answers, where a list is needed")
    return tuple([_answer(one, texts[1]) for one in value])


def _answer(value: Any, context: str) -> Answer:
    if not isinstance(value, dict):
        raise ValueError(f"{kind_of(value)} as an answer, where an object is needed")
    text, start = check_text(value.get("text")), value.get("answer_start")
    if not isinstance(start, int) or isinstance(start, bool) or not text:
        raise ValueError(f"answer {text!r:.60} needs some text and a whole number answer_start")
    there = context[start : start + len(text)] if start >= 0 else ""
    if there != text:
        raise ValueError(
            f"answer {text!r:.60} does not stand at character {start} of the context, where "
            f"{there!r:.60} is; repair its text or its answer_start"
        )
    return Answer(text, start)


def _no_label(value: Any, texts: Texts, columns: Columns) -> None:
    return None


def _one(label: str) -> tuple[str]:
    return (label,)


def _each(label: tuple[str, ...]) -> tuple[str, ...]:
    return label


_FOR_ROWS = "DistilBertForSequenceClassification"
_FOR_TOKENS = "DistilBertForTokenClassification"
_FOR_SPANS = "DistilBertForQuestionAnswering"
_FOR_CHOICE = "DistilBertForMultipleChoice"
_SINGLE, _MULTI = "single_label_classification", "multi_label_classification"
_LISTED = Columns(choices=("choices",))
_TAGGED = Columns(("tokens",), "tags")
_ASKED = Columns(("question", "context"), "answers")
_PLAIN = Columns(label=None)
_ONE_OR_TWO = (1, 2)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("classification", _FOR_ROWS, _SINGLE, Columns(), _ONE_OR_TWO, _texts, _name, _one),
        Kind("regression", _FOR_ROWS, "regression", Columns(), _ONE_OR_TWO, _texts, _score),
        Kind("multi_label", _FOR_ROWS, _MULTI, Columns(), _ONE_OR_TWO, _texts, _several, _each),
        Kind("choice", _FOR_CHOICE, None, _LISTED, _ONE_OR_TWO, _texts_and_choices, _right),
        Kind("tags", _FOR_TOKENS, None, _TAGGED, (1,), _words, _tags, _each),
        Kind("spans", _FOR_SPANS, None, _ASKED, (2,), _texts, _answers),
        Kind("words", "DistilBertForMaskedLM", None, _PLAIN, (1,), _document, _no_label),
    )
}
"""Every kind of problem by its name."""
