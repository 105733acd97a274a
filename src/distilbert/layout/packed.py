"""All real tokens of all rows end to end: the layout without padding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from distilbert.errors import InputError
from distilbert.layout.attend import Attend, Prefix
from distilbert.layout.dropout import cheap, drop, factors
from distilbert.layout.tokens import (
    Insert,
    Inserted,
    Read,
    inserted_parts,
    inserted_picked,
    starts_of,
    with_inserted,
)


@dataclass(frozen=True, eq=False)
class Packed:
    """All real tokens of all rows end to end, (tokens, …), without padding.

    Attention runs on neighbouring rows of equal length together, so rows are best ordered by it.
    """

    lengths: tuple[int, ...]
    inserted: tuple[Inserted, ...] = ()

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise InputError(f"packed rows have lengths {self.lengths}; allowed: at least 1 each")

    def positions(self, tokens: Tensor) -> Tensor:
        """Position of each token, counted from its row's start. (tokens, …) → (tokens,)"""
        lengths = torch.tensor(self.lengths, device=tokens.device)
        starts = lengths.cumsum(0) - lengths  # (rows,)
        return torch.arange(len(tokens), device=tokens.device) - starts.repeat_interleave(lengths)

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attention: Attend,
        read: Read | None = None,
        prefixes: Sequence[Prefix] = (),
    ) -> tuple[Tensor, None]:
        """q, k, v: (tokens, dim), q of the tokens read: (tokens read, dim) → as q.

        `prefixes`, if any, are of all rows, in their order.
        """
        if attention.probabilities:
            raise InputError("packed rows give no attention probabilities; use padded rows")
        wanted = self.lengths if read is None else read.counts
        of_row = _of_rows(prefixes, len(wanted))
        # A run: neighbouring rows alike in queries, length and prefix.
        keyed = groupby(zip(wanted, self.lengths, [i for i, _ in of_row], strict=True))
        runs = [(*key, len(list(run))) for key, run in keyed]
        # Cut by `split`, not by slices: its backward is one concatenation, not one sum a run.
        queries = torch.split(q, [rows * n for n, _, _, rows in runs])
        keys = torch.split(k, [rows * n for _, n, _, rows in runs])
        values = torch.split(v, [rows * n for _, n, _, rows in runs])
        drawn = _dropout(runs, prefixes, attention, q)
        contexts, done = [], 0
        for a, b, c, kept, (_, length, _, rows) in zip(
            queries, keys, values, drawn, runs, strict=True
        ):
            own = (b.view(rows, length, -1), c.view(rows, length, -1))
            if prefixes:
                own = _of_run(prefixes, of_row[done], rows).before(*own)
            done += rows
            context, _ = attention(
                attention.split(a, rows),
                attention.split(own[0], rows),
                attention.split(own[1], rows),
                None,
                kept,
            )
            contexts.append(context.flatten(0, 1))
        return torch.cat(contexts), None

    def drop(self, x: Tensor, share: float) -> Tensor:
        """Dropout: a share of the values zeroed."""
        return drop(x, share)

    def means(self, x: Tensor) -> Tensor:
        """Mean over each row's tokens. (tokens, dim) → (rows, dim)"""
        sums = x.new_zeros(len(self.lengths), x.shape[-1]).index_add(0, self._row_of(x), x)
        return sums / torch.tensor(self.lengths, dtype=x.dtype, device=x.device)[:, None]

    def spread(self, values: Tensor) -> Tensor:
        """A value of each row for each of its tokens. (rows, dim) → (tokens, dim)"""
        lengths = torch.tensor(self.lengths, device=values.device)
        return values.repeat_interleave(lengths, 0)

    def first(self, x: Tensor) -> Tensor:
        """Each row's first token. (tokens, dim) → (rows, dim)"""
        return self.read_first(x).take(x)

    def offsets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of each token, how many stand before it in its row, and behind it. → (tokens,) each"""
        before = self.positions(x)
        lengths = torch.tensor(self.lengths, device=x.device)
        return before, lengths.repeat_interleave(lengths) - 1 - before

    # Rows ------------------------------------------------------------------------------------

    def count(self, x: Tensor) -> int:
        """How many rows there are."""
        return len(self.lengths)

    def sizes(self, counts: Sequence[int]) -> list[int]:
        """How much of the first axis neighbouring rows take, `counts` of them at a time."""
        return [sum(part.lengths) for part in self.parts(counts)]

    def own_sizes(self, counts: Sequence[int]) -> list[int]:
        """The same of the caller's tokens alone, without what was inserted."""
        put = [i.front + i.behind for i in self.inserted for _ in range(i.rows)]
        own = [n - m for n, m in zip(self.lengths, put or [0] * len(self.lengths), strict=True)]
        return [sum(own[at : at + n]) for at, n in zip(starts_of(counts), counts, strict=True)]

    def parts(self, counts: Sequence[int]) -> "list[Packed]":
        """The layouts of neighbouring rows, `counts` of them at a time."""
        starts = starts_of(counts)
        inserted = (
            [()] * len(counts) if not self.inserted else inserted_parts(self.inserted, counts)
        )
        return [
            Packed(self.lengths[start : start + count], i)
            for start, count, i in zip(starts, counts, inserted, strict=True)
        ]

    def pick(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """The rows of these numbers, in this order. (tokens, …) → (tokens, …)"""
        return x[self._tokens(torch.tensor(order, device=x.device))]

    def picked(self, order: Sequence[int]) -> "Packed":
        """The layout of what `pick` gives."""
        lengths = tuple(self.lengths[i] for i in order)
        return Packed(lengths, inserted_picked(self.inserted, order))

    def _tokens(self, order: Tensor) -> Tensor:
        """Where the tokens of these rows lie."""
        lengths = torch.tensor(self.lengths, device=order.device)
        starts = (lengths.cumsum(0) - lengths)[order]
        lengths = lengths[order]
        new_starts = lengths.cumsum(0) - lengths
        shift = (starts - new_starts).repeat_interleave(lengths)
        return torch.arange(len(shift), device=order.device) + shift

    def repeat(self, x: Tensor, copies: int) -> Tensor:
        """All rows, `copies` times one after the other."""
        return x.repeat(copies, *[1] * (x.ndim - 1))

    def repeated(self, copies: int) -> "Packed":
        """The layout of what `repeat` gives."""
        return Packed(self.lengths * copies, self.inserted * copies)

    # Columns ---------------------------------------------------------------------------------

    def cut(self, x: Tensor, splits: Sequence[int]) -> list[Tensor]:
        """Each row's first tokens, the next, …, the last with all that are left."""
        piece = self._piece(x, splits)
        return [x[piece == i] for i in range(len(splits))]

    def cut_layouts(self, x: Tensor, splits: Sequence[int]) -> "list[Packed | None]":
        """The layouts of what `cut` gives, without rows that end before; None where all do."""
        layouts: list[Packed | None] = []
        starts = starts_of(splits)
        for i, start in enumerate(starts):
            stop = starts[i + 1] if i + 1 < len(starts) else max(self.lengths)
            lengths = tuple(min(n, stop) - start for n in self.lengths if n > start)
            layouts.append(Packed(lengths) if lengths else None)
        return layouts

    def join(self, parts: Sequence[Tensor], splits: Sequence[int]) -> Tensor:
        """What `cut` took apart."""
        whole = torch.cat(list(parts))
        piece = self._piece(whole, splits)
        return whole[piece.argsort(stable=True).argsort()]

    def _piece(self, x: Tensor, splits: Sequence[int]) -> Tensor:
        """Which of the pieces each token is in. → (tokens,)"""
        bounds = torch.tensor(starts_of(splits)[1:], device=x.device)
        return torch.bucketize(self.positions(x), bounds, right=True)

    def insert(self, x: Tensor, inserts: Sequence[Insert]) -> "tuple[Tensor, Packed]":
        """Puts vectors into each row. (tokens, dim) → (more tokens, dim)"""
        of_row = [insert for insert in inserts for _ in range(insert.rows)]
        rows = torch.split(x, list(self.lengths))
        whole = [
            with_inserted(insert, row[None], 1)[0] for insert, row in zip(of_row, rows, strict=True)
        ]
        inserted = tuple(Inserted(i.rows, *i.counts) for i in inserts)
        return torch.cat(whole), Packed(tuple(len(row) for row in whole), inserted)

    def own(self, x: Tensor, columns: int) -> Tensor:
        """The tokens of the caller, without what was inserted: (tokens, dim) → (fewer, dim)"""
        return x if not self.inserted else x[self._own(x)]

    def _own(self, x: Tensor) -> Tensor:
        """Whether a token is the caller's. → (tokens,) booleans"""

        def of_tokens(values: list[int]) -> Tensor:
            return self.spread(torch.tensor(values, device=x.device)[:, None])[:, 0]

        position = self.positions(x)
        front = of_tokens([i.front for i in self.inserted for _ in range(i.rows)])
        behind = of_tokens([i.behind for i in self.inserted for _ in range(i.rows)])
        return (position == front) | (position > front + behind)

    # Reading ---------------------------------------------------------------------------------

    def read(self, chosen: Tensor, tokens: Tensor | None = None) -> Read:
        """Of the tokens where `chosen`, (tokens,) booleans of the caller's tokens, is true.

        tokens: (tokens, …), with what was inserted.
        """
        if tokens is None or not self.inserted:
            places, tokens = chosen.nonzero()[:, 0], chosen
        else:
            places = self.own(torch.arange(len(tokens), device=tokens.device), 0)[chosen]
        counts = torch.bincount(self._row_of(tokens)[places], minlength=len(self.lengths))
        return Read(places, tuple(counts.tolist()))

    def read_first(self, tokens: Tensor) -> Read:
        """Of each row's first token."""
        lengths = torch.tensor(self.lengths, device=tokens.device)
        return Read(lengths.cumsum(0) - lengths, (1,) * len(self.lengths))

    def _row_of(self, tokens: Tensor) -> Tensor:
        """The number of each token's row. (tokens, …) → (tokens,)"""
        lengths = torch.tensor(self.lengths, device=tokens.device)
        return torch.arange(len(lengths), device=tokens.device).repeat_interleave(lengths)


def _dropout(
    runs: Sequence[tuple[int, int, int, int]],
    prefixes: Sequence[Prefix],
    attention: Attend,
    like: Tensor,
) -> Sequence[Tensor | None]:
    """The factors of each run's attention probabilities, drawn at once; None to draw them there."""
    if not attention.dropout or not cheap(like):
        return [None] * len(runs)
    shapes = [
        (rows, attention.heads, queries, length + (prefixes[i].length if prefixes else 0))
        for queries, length, i, rows in runs
    ]
    sizes = [math.prod(shape) for shape in shapes]
    drawn = torch.split(factors(sum(sizes), attention.dropout, like), sizes)
    return [part.view(shape) for part, shape in zip(drawn, shapes, strict=True)]


def _of_rows(prefixes: Sequence[Prefix], rows: int) -> list[tuple[int, int]]:
    """Of each row, the number of its prefix, and of the row among those that share it."""
    if not prefixes:
        return [(0, 0)] * rows
    return [(i, row) for i, prefix in enumerate(prefixes) for row in range(prefix.rows)]


def _of_run(prefixes: Sequence[Prefix], first: tuple[int, int], rows: int) -> Prefix:
    """The prefix of some neighbouring rows that share one; `first` is of the first of them."""
    number, start = first
    prefix = prefixes[number]
    if prefix.keys is None or prefix.values is None or len(prefix.keys) == 1:
        return Prefix(rows, prefix.keys, prefix.values)
    stop = start + rows
    return Prefix(rows, prefix.keys[start:stop], prefix.values[start:stop])
