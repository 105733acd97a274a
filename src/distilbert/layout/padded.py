"""Rows of one length, padded: the layout of the published interface."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from distilbert.layout.attend import Attend, Prefix
from distilbert.layout.tokens import (
    Insert,
    Inserted,
    Read,
    inserted_parts,
    inserted_picked,
)


@dataclass(frozen=True, eq=False)
class Padded:
    """Rows of one length, (rows, columns, …); `real` says which tokens are no padding.

    real: (rows, columns) booleans, or None where every token is real.
    position_ids: (rows or 1, columns), or None for column numbers, whatever the mask.
    inserted: What came into the rows; () for nothing.
    """

    real: Tensor | None = None
    position_ids: Tensor | None = None
    inserted: tuple[Inserted, ...] = ()

    def positions(self, tokens: Tensor) -> Tensor:
        """Position of each token. tokens: (rows, columns, …) → (rows or 1, columns)"""
        if self.position_ids is not None:
            return self.position_ids
        return torch.arange(tokens.shape[1], device=tokens.device)[None]

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attention: Attend,
        read: Read | None = None,
        prefixes: Sequence[Prefix] = (),
    ) -> tuple[Tensor, Tensor | None]:
        """q, k, v: (rows, columns, dim), q of the tokens read: (tokens read, dim) → as q.

        `prefixes`, if any, are of all rows, in their order; the probabilities then have columns for
        them before the row's own, zero where another row's prefix is longer.
        """
        if read is not None:
            q = torch.nn.utils.rnn.pad_sequence(
                list(torch.split(q, list(read.counts))), batch_first=True
            )
        if not prefixes:
            context, probabilities = self._attend(q, k, v, attention, Prefix(k.shape[0]))
        else:
            context, probabilities = self._attend_with(q, k, v, attention, prefixes)
        if read is not None:
            context = torch.cat([c[:n] for c, n in zip(context, read.counts, strict=True)])
        return context, probabilities

    def _attend_with(
        self, q: Tensor, k: Tensor, v: Tensor, attention: Attend, prefixes: Sequence[Prefix]
    ) -> tuple[Tensor, Tensor | None]:
        sizes = [prefix.rows for prefix in prefixes]
        cut = [torch.split(x, sizes) for x in (q, k, v)] if len(sizes) > 1 else [(q,), (k,), (v,)]
        found = [
            layout._attend(*qkv, attention, prefix)
            for layout, prefix, *qkv in zip(self.parts(sizes), prefixes, *cut, strict=True)
        ]
        context = torch.cat([c for c, _ in found]) if len(found) > 1 else found[0][0]
        if not attention.probabilities:
            return context, None
        longest = max([prefix.length for prefix in prefixes])
        shown = [
            F.pad(p, (longest - prefix.length, 0))
            for (_, p), prefix in zip(found, prefixes, strict=True)
            if p is not None
        ]
        return context, torch.cat(shown)

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, attention: Attend, prefix: Prefix
    ) -> tuple[Tensor, Tensor | None]:
        rows, real = k.shape[0], self.real
        if real is not None and prefix.length:
            real = F.pad(real, (prefix.length, 0), value=True)
        k, v = prefix.before(k, v)
        return attention(
            attention.split(q, rows), attention.split(k, rows), attention.split(v, rows), real
        )

    def drop(self, x: Tensor, share: float) -> Tensor:
        """Dropout: a share of the values zeroed. From one seed, the masks of the reference."""
        return F.dropout(x, share)

    def means(self, x: Tensor) -> Tensor:
        """Mean over each row's real tokens. (rows, columns, dim) → (rows, dim)"""
        if self.real is None:
            return x.sum(1) / max(1, x.shape[1])  # there may be no columns
        weights = self.real.to(x.dtype)[..., None]  # (rows, columns, 1)
        return (x * weights).sum(1) / weights.sum(1).clamp(min=1)

    def spread(self, values: Tensor) -> Tensor:
        """A value of each row for each of its tokens. (rows, dim) → (rows, 1, dim)"""
        return values[:, None]

    def first(self, x: Tensor) -> Tensor:
        """Each row's first column. (rows, columns, dim) → (rows, dim)"""
        return x[:, 0]

    def offsets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of each token, how many real ones stand before it in its row, and behind it.

        (rows, columns, dim) → (rows, columns) each; of padding they say nothing.
        """
        real = x.new_ones(x.shape[:2], dtype=torch.bool) if self.real is None else self.real
        before = real.long().cumsum(1)  # (rows, columns), itself included
        return before - 1, before[:, -1:] - before

    # Rows ------------------------------------------------------------------------------------

    def count(self, x: Tensor) -> int:
        """How many rows there are. x: (rows, columns, …)"""
        return x.shape[0]

    def sizes(self, counts: Sequence[int]) -> list[int]:
        """How much of the first axis neighbouring rows take, `counts` of them at a time."""
        return list(counts)

    def own_sizes(self, counts: Sequence[int]) -> list[int]:
        """The same of the caller's tokens alone, without what was inserted."""
        return list(counts)

    def parts(self, counts: Sequence[int]) -> "list[Padded]":
        """The layouts of neighbouring rows, `counts` of them at a time."""
        if len(counts) == 1:
            return [self]
        real = [None] * len(counts) if self.real is None else torch.split(self.real, list(counts))
        inserted = (
            [()] * len(counts) if not self.inserted else inserted_parts(self.inserted, counts)
        )
        return [Padded(r, None, i) for r, i in zip(real, inserted, strict=True)]

    def pick(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """The rows of these numbers, in this order. (rows, columns, …) → (picked, columns, …)"""
        return x[torch.tensor(order, device=x.device)]

    def picked(self, order: Sequence[int]) -> "Padded":
        """The layout of what `pick` gives."""
        real = None if self.real is None else self.pick(self.real, order)
        return Padded(real, None, inserted_picked(self.inserted, order))

    def repeat(self, x: Tensor, copies: int) -> Tensor:
        """All rows, `copies` times one after the other."""
        return x.repeat(copies, *[1] * (x.ndim - 1))

    def repeated(self, copies: int) -> "Padded":
        """The layout of what `repeat` gives."""
        real = None if self.real is None else self.real.repeat(copies, 1)
        return Padded(real, None, self.inserted * copies)

    # Columns ---------------------------------------------------------------------------------

    def cut(self, x: Tensor, splits: Sequence[int]) -> list[Tensor]:
        """Each row's first columns, the next, …, the last with all that are left."""
        return list(torch.split(x, self._columns(x, splits), 1))

    def cut_layouts(self, x: Tensor, splits: Sequence[int]) -> "list[Padded]":
        """The layouts of what `cut` gives."""
        if self.real is None:
            return [Padded()] * len(splits)
        return [Padded(real) for real in torch.split(self.real, self._columns(x, splits), 1)]

    def join(self, parts: Sequence[Tensor], splits: Sequence[int]) -> Tensor:
        """What `cut` took apart."""
        return torch.cat(list(parts), 1)

    def _columns(self, x: Tensor, splits: Sequence[int]) -> list[int]:
        left, sizes = x.shape[1], []
        for size in splits[:-1]:
            sizes.append(min(size, left))
            left = left - sizes[-1]
        return [*sizes, left]

    def insert(self, x: Tensor, inserts: Sequence[Insert]) -> "tuple[Tensor, Padded]":
        """Puts vectors into each row. (rows, columns, dim) → (rows, more columns, dim)

        Rows that become shorter than others are padded behind.
        """
        rows, columns = x.shape[:2]
        sizes = [insert.rows for insert in inserts]
        longest = max([sum(insert.counts) for insert in inserts])
        even = min([sum(insert.counts) for insert in inserts]) == longest
        real = x.new_ones(rows, columns, dtype=torch.bool) if self.real is None else self.real
        parts, reals = [], []
        cuts = zip(inserts, torch.split(x, sizes), torch.split(real, sizes), strict=True)
        for insert, part, mask in cuts:
            front, behind = insert.counts
            spare = longest - front - behind
            whole, there = _around(insert, part), F.pad(mask, (front, behind), value=True)
            if behind:
                places = _places(columns, front, behind, x.device)
                new = torch.arange(front + 1 + behind, device=x.device)
                order = torch.cat([new[:front], places, new[front + 1 :]]).argsort()
                whole, there = whole.index_select(1, order), there.index_select(1, order)
            parts.append(F.pad(whole, (0, 0, 0, spare)))
            reals.append(F.pad(there, (0, spare)))
        inserted = tuple(Inserted(i.rows, *i.counts) for i in inserts)
        keep = self.real is not None or not even
        return torch.cat(parts), Padded(torch.cat(reals) if keep else None, None, inserted)

    def own(self, x: Tensor, columns: int) -> Tensor:
        """The `columns` tokens of the caller: (rows, more, dim) → (rows, columns, dim)"""
        if not self.inserted:
            return x
        parts = torch.split(x, [inserted.rows for inserted in self.inserted])
        kept = []
        for part, inserted in zip(parts, self.inserted, strict=True):
            places = _places(columns, inserted.front, inserted.behind, x.device)
            kept.append(part.index_select(1, places))
        return torch.cat(kept)

    # Reading ---------------------------------------------------------------------------------

    def read(self, chosen: Tensor, tokens: Tensor | None = None) -> Read:
        """Of the tokens where `chosen`, (rows, columns) booleans of the caller's tokens, is true.

        tokens: (rows, columns, …), with what was inserted.
        """
        counts = tuple(chosen.sum(1).tolist())
        if tokens is None or not self.inserted:
            return Read(chosen.flatten().nonzero()[:, 0], counts)
        rows, columns = tokens.shape[:2]
        places = torch.arange(rows * columns, device=tokens.device).view(rows, columns, 1)
        return Read(self.own(places, chosen.shape[1])[..., 0][chosen], counts)

    def read_first(self, tokens: Tensor) -> Read:
        """Of each row's first column. tokens: (rows, columns, …)"""
        rows, columns = tokens.shape[:2]
        return Read(torch.arange(rows, device=tokens.device) * columns, (1,) * rows)


def _around(insert: Insert, x: Tensor) -> Tensor:
    """(rows, columns, dim) → the vectors for the front, the columns, the vectors for behind"""
    front, behind = (
        [] if v is None else [v.to(x.dtype).expand(x.shape[0], -1, -1)]
        for v in (insert.front, insert.behind)
    )
    return torch.cat([*front, x, *behind], 1)


def _places(columns: int, front: int, behind: int, device: torch.device) -> Tensor:
    """Where the caller's columns lie among those that were inserted: (columns,)

    By number and not by slices, whose length an exported program would take for more than 1.
    """
    own = torch.arange(columns, device=device)
    return own + front + behind * (own > 0)
