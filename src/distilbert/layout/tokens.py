"""Which tokens of a batch are read, and which were put into it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Read:
    """Which tokens a head reads: the last layer is computed for those alone.

    index: (tokens read,) places in the tokens as they lie in memory, row by row.
    counts: how many of them each row has.
    """

    index: Tensor
    counts: tuple[int, ...]

    def take(self, x: Tensor) -> Tensor:
        """x: tokens as the layout holds them, (…, dim) → (tokens read, dim)"""
        return x.flatten(0, -2)[self.index]


@dataclass(frozen=True, eq=False)
class Insert:
    """Vectors that come into some neighbouring rows, before and behind each row's first token.

    front, behind: (count, dim), or None for nothing.
    """

    rows: int
    front: Tensor | None = None
    behind: Tensor | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """How many vectors come before and behind the first token."""
        front, behind = (0 if x is None else len(x) for x in (self.front, self.behind))
        return front, behind


@dataclass(frozen=True)
class Inserted:
    """How many tokens were put into each of some neighbouring rows."""

    rows: int
    front: int
    behind: int


def with_inserted(insert: Insert, x: Tensor, rows: int) -> Tensor:
    """x: (rows, columns, dim) → with the vectors before and behind its first column"""
    parts = [x[:, :1], x[:, 1:]]
    for place, vectors in ((1, insert.behind), (0, insert.front)):
        if vectors is not None:
            parts.insert(place, vectors.to(x.dtype).expand(rows, -1, -1))
    return torch.cat(parts, 1)


def starts_of(counts: Sequence[int]) -> list[int]:
    """Where each of some neighbouring parts starts."""
    starts = [0]
    for count in counts:
        starts.append(starts[-1] + count)
    return starts[:-1]


def inserted_parts(
    inserted: tuple[Inserted, ...], counts: Sequence[int]
) -> list[tuple[Inserted, ...]]:
    of_row = [replace(i, rows=1) for i in inserted for _ in range(i.rows)]
    return [
        tuple(of_row[start : start + count])
        for start, count in zip(starts_of(counts), counts, strict=True)
    ]


def inserted_picked(inserted: tuple[Inserted, ...], order: Sequence[int]) -> tuple[Inserted, ...]:
    if not inserted:
        return ()
    of_row = [replace(i, rows=1) for i in inserted for _ in range(i.rows)]
    return tuple(of_row[i] for i in order)
