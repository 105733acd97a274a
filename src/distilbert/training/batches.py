"""Which examples make a batch, in which order, and how a batch lies in memory: packed."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from distilbert.data.examples import IGNORED, Feature
from distilbert.data.masking import Masking
from distilbert.errors import InputError

OF_TOKENS = ("tags", "words")  # kinds that score tokens
BLOCK = 50  # batches whose rows are ordered by length together


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of ids end to end, longest first, and what is right of them.

    kind: Of problem. ids: (tokens,). lengths: Of each row. targets: (rows,) classes, numbers or
    right choices, (rows, labels) shares, (rows, 2) first and last tokens of answers, or (tokens,)
    classes, -100 where none is scored. choices: How many rows each example has, which compete with
    each other; () where a row is an example.
    """

    kind: str
    ids: Tensor
    lengths: tuple[int, ...]
    targets: Tensor
    choices: tuple[int, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        return replace(self, ids=self.ids.to(device), targets=self.targets.to(device))

    @property
    def weight(self) -> int:
        """How much is scored: texts, or tokens that have a class."""
        if self.kind in OF_TOKENS:
            return int((self.targets != IGNORED).sum())
        return len(self.targets)


class Batches:
    """The batches of each epoch: rows of like length together, in an order that the seed decides.

    The rows of `BLOCK` batches, drawn at random, are ordered by length, and the batches made of
    them come in random order. So rows need little padding, or few runs of attention, and batches
    still differ from epoch to epoch. Every epoch has every feature once, and as many batches as the
    first; where tokens alone say what makes a batch, small ones are joined, or large ones halved,
    until it has.

    Args:
        features: What the model reads of the examples.
        kind: What kind of problem they are: a key of `distilbert.data.kinds.KINDS`.
        batch_size: Features of a batch; None for as many as `token_budget` holds.
        token_budget: Most tokens that go through the model at once (a longer row goes alone). A
            batch that has more is cut; its gradients are added up.
        seed: Of the order.
        masking: What hides words, for plain text.

    Raises InputError for no features, features without targets, or sizes that cannot be.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        kind: str,
        *,
        batch_size: int | None = 32,
        token_budget: int = 8192,
        seed: int = 42,
        masking: Masking | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("token_budget", token_budget)):
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(f"{name} is {value!r}; allowed: a whole number of at least 1")
        if kind not in _TARGETS:
            raise InputError(f"no kind of problem {kind!r}; allowed: {', '.join(_TARGETS)}")
        if not features:
            raise InputError("there is nothing to train on; give at least one example")
        if (kind == "words") != (masking is not None):
            raise InputError(
                "plain text (kind 'words') is trained on with a Masking, and nothing else is; got "
                f"kind {kind!r} and masking {masking!r}"
            )
        unknown = next((f for f in features if f.target is None), None)
        if masking is None and unknown is not None:
            raise InputError(
                f"example {unknown.example} has no label; train on labelled examples alone"
            )
        rivals = features if kind == "choice" else ()
        wrong = next((f for f in rivals if f.target not in range(len(f.rows))), None)
        if wrong is not None:
            raise InputError(
                f"choice {wrong.target} of example {wrong.example} is to be right, and it has "
                f"{len(wrong.rows)}; allowed: 0 to {len(wrong.rows) - 1}"
            )
        self.features = features
        self.kind = kind
        self.batch_size = batch_size
        self.token_budget = token_budget
        self.seed = seed
        self.masking = masking
        self._tokens = [feature.tokens for feature in features]
        self._count = len(self._drawn(_draw(seed, 0)))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._count

    def smallest(self) -> Batch:
        """The shortest feature alone: what a model makes of it shows early whether they fit."""
        tokens = [feature.tokens for feature in self.features]
        return next(self.parts([tokens.index(min(tokens))], 0))

    def fingerprint(self) -> str:
        """What differs where other features, or the same in another order, are trained on."""
        found = hashlib.blake2b(digest_size=16)
        for feature in self.features:
            found.update(repr((feature.rows, feature.target)).encode())
        found.update(repr((self.kind, self.batch_size, self.token_budget, self.seed)).encode())
        found.update(repr(self.masking).encode())
        return found.hexdigest()

    def epoch(self, number: int) -> list[tuple[int, ...]]:
        """The batches of an epoch, counted from 0, as numbers of features."""
        draw = _draw(self.seed, number)
        batches = _as_many(self._drawn(draw), self._count, self._tokens)
        shuffled = torch.randperm(len(batches), generator=draw).tolist()
        return [batches[i] for i in shuffled]

    def _drawn(self, draw: torch.Generator) -> list[tuple[int, ...]]:
        """Every feature in a batch of like length, by chance."""
        order = torch.randperm(len(self.features), generator=draw).tolist()
        block = BLOCK * (self.batch_size or self._most_likely())
        batches: list[tuple[int, ...]] = []
        for at in range(0, len(order), block):
            rows = sorted(order[at : at + block], key=lambda row: -self._tokens[row])
            batches.extend(self._cut(rows))
        return batches

    def _most_likely(self) -> int:
        """How many rows a batch has that is cut by tokens."""
        return max(1, self.token_budget * len(self._tokens) // max(1, sum(self._tokens)))

    def _cut(self, rows: list[int]) -> list[tuple[int, ...]]:
        if self.batch_size is None:
            return list(within_budget(rows, self._tokens, self.token_budget))
        return [
            tuple(rows[at : at + self.batch_size]) for at in range(0, len(rows), self.batch_size)
        ]

    def parts(self, numbers: Sequence[int], epoch: int) -> Iterator[Batch]:
        """These features as batches that fit the token budget, longest rows first."""
        tokens = {number: self.features[number].tokens for number in numbers}
        rows = sorted(numbers, key=lambda row: -tokens[row])
        for part in within_budget(rows, tokens, self.token_budget):
            yield self._batch(part, epoch)

    def _batch(self, numbers: Sequence[int], epoch: int) -> Batch:
        chosen = [self.features[number] for number in numbers]
        if self.masking is not None:
            hidden = [
                self.masking(feature.rows[0], number, epoch)
                for feature, number in zip(chosen, numbers, strict=True)
            ]
            chosen = [
                replace(feature, rows=(tuple(ids),), target=tuple(targets))
                for feature, (ids, targets) in zip(chosen, hidden, strict=True)
            ]
        rows = [row for feature in chosen for row in feature.rows]
        return Batch(
            self.kind,
            torch.tensor([i for row in rows for i in row]),
            tuple(map(len, rows)),
            _TARGETS[self.kind]([feature.target for feature in chosen]),
            tuple(len(feature.rows) for feature in chosen) if self.kind == "choice" else (),
        )


def within_budget(
    rows: Sequence[int], tokens: Sequence[int] | dict[int, int], budget: int
) -> Iterator[tuple[int, ...]]:
    """Neighbouring rows that have at most `budget` tokens together, or one that has more."""
    part: list[int] = []
    total = 0
    for row in rows:
        if part and total + tokens[row] > budget:
            yield tuple(part)
            part, total = [], 0
        part.append(row)
        total += tokens[row]
    if part:
        yield tuple(part)


def _as_many(
    batches: list[tuple[int, ...]], count: int, tokens: Sequence[int]
) -> list[tuple[int, ...]]:
    """The same features in so many batches: the shortest are joined, or the largest is halved."""
    found = list(batches)
    while len(found) > count:
        found.sort(key=lambda batch: sum(tokens[row] for row in batch), reverse=True)
        found.append(found.pop() + found.pop())
    while len(found) < count:
        found.sort(key=len)
        largest = found.pop()
        found += [largest[::2], largest[1::2]]
    return found


def _draw(seed: int, epoch: int) -> torch.Generator:
    """What one epoch of a run is drawn by, unlike those of runs with neighbouring seeds."""
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9) & (2**63 - 1)
    return torch.Generator().manual_seed(mixed)


def _classes(targets: list[Any]) -> Tensor:
    return torch.tensor(targets, dtype=torch.long)


def _numbers(targets: list[Any]) -> Tensor:
    return torch.tensor(targets, dtype=torch.float32)


def _of_tokens(targets: list[Any]) -> Tensor:
    return torch.tensor([i for row in targets for i in row], dtype=torch.long)


_TARGETS: dict[str, Callable[[list[Any]], Tensor]] = {
    "classification": _classes,
    "regression": _numbers,
    "multi_label": _numbers,
    "choice": _classes,
    "tags": _of_tokens,
    "spans": _classes,
    "words": _of_tokens,
}
