"""What a model says of examples: one function a kind of problem, from logits to answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from distilbert import processes
from distilbert.data.examples import IGNORED, Dataset, Feature
from distilbert.data.masking import Masking
from distilbert.engine.session import Session
from distilbert.engine.spans import best_sums
from distilbert.errors import DistilBertError, InputError
from distilbert.evaluation import squad
from distilbert.evaluation.labels import Matched, matched
from distilbert.evaluation.metrics import Judged, best_threshold, is_entity_tag

Floats = NDArray[np.float32]
BEST = 20  # spans of a question that are compared, as in the reference
CHUNK = 8  # rows whose masks are answered at once: each mask has a logit for every word


@dataclass(frozen=True)
class Asked:
    """Examples, the features that the model reads of them, and how its answers are taken.

    The options are those of `evaluate`. progress: Called with the share of rows that is answered.
    """

    session: Session
    dataset: Dataset
    features: Sequence[Feature]
    outside: str | None
    threshold: float | None
    no_answer: bool
    longest: int
    seed: int
    progress: Callable[[float], None] | None

    @property
    def right(self) -> list[Any]:
        return [example.label for example in self.dataset.examples]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the model's labels."""
        names = self.session.config.id2label
        return tuple(names[number] for number in range(len(names)))

    def logits(self) -> list[Floats]:
        """Those of every row of every feature, in order."""
        return self.logits_of([list(row) for one in self.features for row in one.rows])

    def logits_of(
        self, rows: list[list[int]], done: int = 0, of: int | None = None
    ) -> list[Floats]:
        """Those of some rows; `done` of `of` rows have been answered before."""
        total, finished = of or len(rows), done

        def tell(count: int) -> None:
            nonlocal finished
            finished += count
            if self.progress is not None:
                self.progress(finished / total)

        own = list(processes.share(rows))  # every process answers a part of them
        said = self.session.logits(own, progress=tell) if own else []
        found = processes.gathered(logits.numpy() for logits in said)
        if not all(np.isfinite(logits.sum(dtype=np.float64)) for logits in found):
            raise DistilBertError(
                "an answer is not a finite number, so the model's weights are damaged, or too "
                "large for float16; load it as float32"
            )
        return found

    def by_example(
        self, values: list[Floats]
    ) -> Iterator[tuple[int, list[tuple[Feature, Floats]]]]:
        """The number of each example with its features and what the model says of their rows."""
        pairs = zip(self.features, values, strict=True)
        for number, group in groupby(pairs, key=lambda pair: pair[0].example):
            yield number, list(group)


class Said(NamedTuple):
    """Of one example. The fields are those of `Prediction`."""

    label: Any
    predicted: Any
    score: float | None
    error: float


class Answers(NamedTuple):
    """Of all examples, for metrics; and of each one. example: The number of each in the data."""

    judged: Judged
    said: list[Said]
    texts: list[tuple[str, ...]] | None = None  # where they are not those of the examples
    example: list[int] | None = None


def classes(asked: Asked) -> Answers:
    known = (*asked.dataset.labels, *asked.labels)
    if asked.outside is not None and asked.outside not in known:
        raise InputError(
            f"outside is {asked.outside!r}, which is none of the labels: {', '.join(known)}"
        )
    names = _labels(asked, lambda label: [label])
    shares = _softmax(names.ordered(np.stack(asked.logits())))  # (examples, names)
    number = {name: at for at, name in enumerate(names.names)}
    right = np.array([number[label] for label in asked.right])
    said = shares.argmax(axis=1)
    score = shares.max(axis=1)
    outside = None if asked.outside is None else names.names.index(asked.outside)
    threshold = None
    if outside is not None and names.columns[outside] is None:
        threshold = asked.threshold
        if threshold is None:
            threshold = best_threshold(score, said == right, right == outside)
        out = score < threshold
        said, score = np.where(out, outside, said), np.where(out, 1 - score, score)
    judged = Judged(
        "classification", right, said, names.names, outside=outside, threshold=threshold
    )
    return Answers(
        judged,
        [
            Said(names.names[one], names.names[other], float(share), float(one != other))
            for one, other, share in zip(right, said, score, strict=True)
        ],
    )


def _labels(asked: Asked, of: Callable[[Any], Sequence[str]]) -> Matched:
    """The labels of model and data. of: The names in the label of an example."""
    where: dict[str, str] = {}
    for example in asked.dataset.examples:
        for name in of(example.label):
            where.setdefault(name, example.where)
    return matched(asked.labels, asked.dataset.labels, outside=asked.outside, where=where)


def numbers(asked: Asked) -> Answers:
    if len(asked.labels) != 1:
        raise InputError(
            f"the model has {len(asked.labels)} labels ({', '.join(asked.labels)}), and the data "
            "have a number for each text; take a model with one (num_labels=1)"
        )
    said = np.array([float(logits[0]) for logits in asked.logits()])
    right = np.array([float(label) for label in asked.right])
    judged = Judged("regression", right, said)
    return Answers(
        judged,
        [
            Said(float(one), float(other), None, abs(float(one - other)))
            for one, other in zip(right, said, strict=True)
        ],
    )


def label_sets(asked: Asked) -> Answers:
    names = _labels(asked, list)
    logits = names.ordered(np.stack(asked.logits())).astype(np.float64)
    shares = (1 + np.tanh(logits / 2)) / 2  # the sigmoid, which no logit is too large for
    said = (shares > 0.5).astype(np.int64)
    right = np.array([[name in label for name in names.names] for label in asked.right], np.int64)
    sure = np.where(said == 1, shares, 1 - shares).min(axis=1)
    judged = Judged("multi_label", right, said, names.names)

    def named(row: NDArray[Any]) -> tuple[str, ...]:
        return tuple(name for name, has in zip(names.names, row, strict=True) if has)

    return Answers(
        judged,
        [
            Said(named(one), named(other), float(share), float(np.mean(one != other)))
            for one, other, share in zip(right, said, sure, strict=True)
        ],
    )


def choices(asked: Asked) -> Answers:
    scores = iter(asked.logits())
    found = [_softmax(np.array([next(scores)[0] for _ in one.rows])) for one in asked.features]
    right = np.array(asked.right)
    said = np.array([int(shares.argmax()) for shares in found])
    judged = Judged("choice", right, said)
    return Answers(
        judged,
        [
            Said(int(one), int(other), float(shares.max()), float(one != other))
            for one, other, shares in zip(right, said, found, strict=True)
        ],
    )


def tags(asked: Asked) -> Answers:
    names = _labels(asked, list)
    nothing = "O" if all(map(is_entity_tag, names.names)) else ""  # of words without a piece
    said: list[list[str]] = [[nothing] * len(one.texts) for one in asked.dataset.examples]
    scores = [0.0] * len(said)
    for number, windows in asked.by_example(asked.logits()):
        own = {  # every word is in one window alone, as features have it
            word: logits[at]
            for feature, logits in windows
            for word, at in _first_pieces(feature.words)
        }
        if own:
            shares = _softmax(names.ordered(np.stack(list(own.values()))))
            scores[number] = float(shares.max(axis=1).mean())
            for word, tag in zip(own, shares.argmax(axis=1), strict=True):
                said[number][word] = names.names[tag]
    right = [list(label) for label in asked.right]
    judged = Judged("tags", right, said, names.names)
    return Answers(
        judged,
        [
            Said(tuple(one), tuple(other), score, _share_of_differing(one, other))
            for one, other, score in zip(right, said, scores, strict=True)
        ],
    )


def _first_pieces(words: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """The number of each word, and where its first piece stands."""
    last = None
    for at, word in enumerate(words):
        if word is not None and word != last:
            yield word, at
        last = word


def _share_of_differing(one: Sequence[Any], other: Sequence[Any]) -> float:
    return float(sum(a != b for a, b in zip(one, other, strict=True)) / max(len(one), 1))


class _Candidate(NamedTuple):
    score: float
    start: int
    end: int


def spans(asked: Asked) -> Answers:
    threshold = asked.threshold or 0.0
    right = [[answer.text for answer in label] for label in asked.right]
    said, nulls, scores = [], [], []
    for number, windows in asked.by_example(asked.logits()):
        context = asked.dataset.examples[number].texts[1]
        candidates = [one for pair in windows for one in _candidates(*pair, asked.longest)]
        candidates = sorted(candidates, key=lambda one: -one.score)[:BEST]
        null = min(float(logits[0].sum()) for _, logits in windows)
        sums = [null, *(one.score for one in candidates)]
        shares = _softmax(np.array(sums if asked.no_answer else sums[1:] or sums))
        said.append(context[candidates[0].start : candidates[0].end] if candidates else "")
        nulls.append(null - sums[1] if candidates else 0.0)
        empty = asked.no_answer and nulls[-1] > threshold
        scores.append(
            float(shares[0] if empty or not asked.no_answer else shares[1:].max(initial=0))
        )
    judged = Judged(
        "spans",
        right,
        said,
        nulls=nulls if asked.no_answer else None,
        threshold=threshold if asked.no_answer else None,
    )
    shown = [
        "" if asked.no_answer and null > threshold else text
        for text, null in zip(said, nulls, strict=True)
    ]
    return Answers(
        judged,
        [
            Said(
                tuple(dict.fromkeys(answers)),
                text,
                score,
                1 - squad.best_of(squad.overlap_v2, text, squad.answers_v2(answers)),
            )
            for answers, text, score in zip(right, shown, scores, strict=True)
        ],
    )


def _candidates(feature: Feature, logits: Floats, longest: int) -> Iterator[_Candidate]:
    """The best spans of one window, with their characters in the context."""
    places = [at for at, offset in enumerate(feature.offsets) if offset is not None]
    if not places:
        return
    begin, end = places[0], places[-1] + 1
    own = logits[begin:end]  # (context tokens, 2)
    for score, first, last in best_sums(own[:, 0], own[:, 1], count=BEST, longest=longest):
        start, stop = feature.offsets[begin + first], feature.offsets[begin + last]
        assert start is not None  # the context is one run of tokens
        assert stop is not None
        yield _Candidate(score, start[0], stop[1])


def words(asked: Asked) -> Answers:
    tokenizer = asked.session.tokenizer
    masking = Masking.of(tokenizer, random=0.0, keep=0.0, seed=asked.seed)
    right: list[int] = []
    best: list[int] = []
    chances: list[float] = []
    said: list[Said] = []
    texts: list[tuple[str, ...]] = []
    example: list[int] = []
    rows = [list(row) for one in asked.features for row in one.rows]
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        hidden = [masking(row, start + at) for at, row in enumerate(chunk)]
        masked = [ids for ids, _ in hidden]
        found = asked.logits_of(masked, start, len(rows))
        for at, ((ids, targets), logits) in enumerate(zip(hidden, found, strict=True)):
            masks = [place for place, id in enumerate(ids) if id == tokenizer.mask_token_id]
            own = [one for one, place in enumerate(masks) if targets[place] != IGNORED]
            if not own:
                continue  # nothing but special tokens
            wanted = [targets[masks[one]] for one in own]
            scores = torch.log_softmax(torch.from_numpy(logits[own]), dim=-1)  # (masks, words)
            logs = scores[range(len(own)), wanted].tolist()
            top = scores.argmax(dim=-1).tolist()
            right += wanted
            best += top
            chances += logs
            pieces = tuple(tokenizer.convert_ids_to_tokens(wanted))
            guessed = tuple(tokenizer.convert_ids_to_tokens(top))
            wrong = _share_of_differing(wanted, top)
            said.append(Said(pieces, guessed, float(np.exp(logs).mean()), wrong))
            texts.append((str(tokenizer.decode(masked[at])),))
            example.append(asked.features[start + at].example)
    if not right:
        raise InputError("the texts hold no word that could be hidden; give other data")
    judged = Judged("words", np.array(right), np.array(best), chances=np.array(chances))
    return Answers(judged, said, texts, example)


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Over the last axis."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


WAYS: dict[str, Callable[[Asked], Answers]] = {
    "classification": classes,
    "regression": numbers,
    "multi_label": label_sets,
    "choice": choices,
    "tags": tags,
    "spans": spans,
    "words": words,
}
"""How answers are taken, by the kind of problem."""
