"""From scores of tokens to tagged entities: words, groups, and windows that overlap."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.errors import InputError

Floats = NDArray[np.float32]
Entity = dict[str, Any]

STRATEGIES = ("none", "simple", "first", "average", "max")


@dataclass(frozen=True)
class Token:
    """One token of a text with its probabilities, shape (labels,), and where it stands.

    `index` counts the tokens of the text, [CLS] being 0; `start` and `end` are characters.
    `continues` tells that it goes on a word that the token before it began.
    """

    word: str
    scores: Floats
    index: int
    start: int
    end: int
    continues: bool


def entities(
    tokens: Sequence[Token],
    strategy: str,
    labels: dict[int, str],
    join: Callable[[list[str]], str],
) -> list[Entity]:
    """The entities of a text, whatever their label, in the order of the text.

    "none" gives one a token, with its `entity`, `index`, `word`, `start` and `end`. The others give
    groups (`entity_group`) of neighbours with one tag: "simple" groups tokens as they are tagged;
    "first", "average" and "max" first give every word one label, by its first token, by the mean of
    its tokens' probabilities, or by its surest token. `join` makes a text of tokens.
    """
    if strategy in ("none", "simple"):
        units = [_token_entity(token, labels) for token in tokens]
    else:
        units = [_word_entity(word, strategy, labels, join) for word in _words(tokens)]
    if strategy == "none":
        return units
    return [_group(members, join) for members in _runs(units)]


def check_strategy(strategy: str) -> None:
    """Raise InputError unless `strategy` is a way of aggregation."""
    if strategy not in STRATEGIES:
        raise InputError(
            f"unknown aggregation_strategy {strategy!r}; it is one of {', '.join(STRATEGIES)}"
        )


def without_labels(found: Iterable[Entity], ignored: Sequence[str]) -> list[Entity]:
    """The entities whose label or group is not among `ignored`."""
    return [one for one in found if one.get("entity", one.get("entity_group")) not in ignored]


def merge_overlapping(found: Iterable[Entity]) -> list[Entity]:
    """Of entities that overlap (as windows make them) the longest, and of equals the surest."""
    merged: list[Entity] = []
    for entity in sorted(found, key=lambda entity: entity["start"]):
        if merged and merged[-1]["start"] <= entity["start"] < merged[-1]["end"]:
            if _extent(entity) > _extent(merged[-1]):
                merged[-1] = entity
        else:
            merged.append(entity)
    return merged


def _extent(entity: Entity) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _token_entity(token: Token, labels: dict[int, str]) -> Entity:
    best = int(token.scores.argmax())
    return {
        "entity": labels[best],
        "score": float(token.scores[best]),
        "index": token.index,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }


def _words(tokens: Sequence[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if token.continues and words:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _word_entity(
    word: list[Token], strategy: str, labels: dict[int, str], join: Callable[[list[str]], str]
) -> Entity:
    if strategy == "first":
        scores = word[0].scores
    elif strategy == "max":
        scores = max(word, key=lambda token: float(token.scores.max())).scores
    else:
        scores = np.mean([token.scores for token in word], axis=0)
    best = int(scores.argmax())
    return {
        "entity": labels[best],
        "score": float(scores[best]),
        "word": join([token.word for token in word]),
        "start": word[0].start,
        "end": word[-1].end,
    }


def _runs(units: Sequence[Entity]) -> list[list[Entity]]:
    """Neighbours with one tag; "B-" begins a new run, and a label without prefix continues one."""
    runs: list[list[Entity]] = []
    for unit in units:
        label = unit["entity"]
        if runs and not label.startswith("B-") and _tag(label) == _tag(runs[-1][-1]["entity"]):
            runs[-1].append(unit)
        else:
            runs.append([unit])
    return runs


def _tag(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def _group(members: list[Entity], join: Callable[[list[str]], str]) -> Entity:
    return {
        "entity_group": members[0]["entity"].split("-", 1)[-1],
        "score": float(np.mean([member["score"] for member in members])),
        "word": join([member["word"] for member in members]),
        "start": members[0]["start"],
        "end": members[-1]["end"],
    }
