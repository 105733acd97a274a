"""How the rows of a batch lie in memory, and the few operations that care.

Nearly every layer works token by token. What does not (positions, attention, means over a row,
taking some tokens of each row) is asked of the layout: `Padded` rows, as the published interface
has them, or `Packed` ones, all real tokens end to end. Both give the same numbers, to rounding.
"""

import math
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from distilbert.errors import InputError


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
class Attend:
    """What attention is asked for beside queries, keys and values."""

    heads: int
    dropout: float = 0.0
    head_mask: Tensor | None = None  # (heads,) factors of the probabilities
    probabilities: bool = False

    def split(self, x: Tensor, rows: int) -> Tensor:
        """(rows × columns or rows, columns, heads × width) → (rows, heads, columns, width)"""
        return x.reshape(rows, -1, self.heads, x.shape[-1] // self.heads).transpose(1, 2)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """q, k, v: (rows, heads, columns, width); real: (rows, columns of keys) or None.

        Returns the context, (rows, columns of queries, heads × width), and the probabilities,
        (rows, heads, queries, keys), where they are asked for.
        """
        # The lowest float, not -inf: a row of pads alone stays finite, as in the reference.
        hidden = None if real is None else ~real[:, None, None, :]
        if self.head_mask is None and not self.probabilities:
            bias = None
            if hidden is not None:
                lowest = torch.finfo(q.dtype).min
                bias = torch.zeros_like(hidden, dtype=q.dtype).masked_fill(hidden, lowest)
            context = F.scaled_dot_product_attention(q, k, v, bias, self.dropout)
            return context.transpose(1, 2).flatten(2), None
        scores = (q / math.sqrt(q.shape[-1])) @ k.mT  # (rows, heads, queries, keys)
        if hidden is not None:
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        probabilities = F.dropout(scores.softmax(-1), self.dropout)
        if self.head_mask is not None:
            probabilities = probabilities * self.head_mask[:, None, None]
        context = (probabilities @ v).transpose(1, 2).flatten(2)
        return context, probabilities if self.probabilities else None


@dataclass(frozen=True, eq=False)
class Padded:
    """Rows of one length, (rows, columns, …); `real` says which tokens are no padding.

    real: (rows, columns) booleans, or None where every token is real.
    position_ids: (rows or 1, columns), or None for column numbers, whatever the mask.
    """

    real: Tensor | None = None
    position_ids: Tensor | None = None

    def positions(self, tokens: Tensor) -> Tensor:
        """Position of each token. tokens: (rows, columns, …) → (rows or 1, columns)"""
        if self.position_ids is not None:
            return self.position_ids
        return torch.arange(tokens.shape[1], device=tokens.device)[None]

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, attention: Attend, read: Read | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """q, k, v: (rows, columns, dim), q of the tokens read: (tokens read, dim) → as q."""
        rows = k.shape[0]
        if read is not None:
            q = torch.nn.utils.rnn.pad_sequence(
                list(torch.split(q, list(read.counts))), batch_first=True
            )
        context, probabilities = attention(
            attention.split(q, rows), attention.split(k, rows), attention.split(v, rows), self.real
        )
        if read is not None:
            context = torch.cat([c[:n] for c, n in zip(context, read.counts, strict=True)])
        return context, probabilities

    def means(self, x: Tensor) -> Tensor:
        """Mean over each row's real tokens. (rows, columns, dim) → (rows, dim)"""
        if self.real is None:
            return x.mean(1)
        weights = self.real.to(x.dtype)[..., None]  # (rows, columns, 1)
        return (x * weights).sum(1) / weights.sum(1).clamp(min=1)

    def first(self, x: Tensor) -> Tensor:
        """Each row's first column. (rows, columns, dim) → (rows, dim)"""
        return x[:, 0]

    def read(self, chosen: Tensor) -> Read:
        """Of the tokens where `chosen`, (rows, columns) booleans, is true."""
        return Read(chosen.flatten().nonzero()[:, 0], tuple(chosen.sum(1).tolist()))

    def read_first(self, tokens: Tensor) -> Read:
        """Of each row's first column. tokens: (rows, columns, …)"""
        rows, columns = tokens.shape[:2]
        return Read(torch.arange(rows, device=tokens.device) * columns, (1,) * rows)


@dataclass(frozen=True, eq=False)
class Packed:
    """All real tokens of all rows end to end, (tokens, …), without padding.

    Attention runs on neighbouring rows of equal length together, so rows are best ordered by it.
    """

    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise InputError(f"packed rows have lengths {self.lengths}; allowed: at least 1 each")

    def positions(self, tokens: Tensor) -> Tensor:
        """Position of each token, counted from its row's start. (tokens, …) → (tokens,)"""
        lengths = torch.tensor(self.lengths, device=tokens.device)
        starts = lengths.cumsum(0) - lengths  # (rows,)
        return torch.arange(len(tokens), device=tokens.device) - starts.repeat_interleave(lengths)

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, attention: Attend, read: Read | None = None
    ) -> tuple[Tensor, None]:
        """q, k, v: (tokens, dim), q of the tokens read: (tokens read, dim) → as q."""
        if attention.probabilities:
            raise InputError("packed rows give no attention probabilities; use padded rows")
        wanted = self.lengths if read is None else read.counts
        runs = [
            (*key, len(list(run))) for key, run in groupby(zip(wanted, self.lengths, strict=True))
        ]
        # Cut by `split`, not by slices: its backward is one concatenation, not one sum a run.
        queries = torch.split(q, [rows * n for n, _, rows in runs])
        keys = torch.split(k, [rows * n for _, n, rows in runs])
        values = torch.split(v, [rows * n for _, n, rows in runs])
        contexts = [
            attention(
                attention.split(a, rows), attention.split(b, rows), attention.split(c, rows), None
            )
            for a, b, c, (_, _, rows) in zip(queries, keys, values, runs, strict=True)
        ]
        return torch.cat([context.flatten(0, 1) for context, _ in contexts]), None

    def means(self, x: Tensor) -> Tensor:
        """Mean over each row's tokens. (tokens, dim) → (rows, dim)"""
        sums = x.new_zeros(len(self.lengths), x.shape[-1]).index_add(0, self._row_of(x), x)
        return sums / torch.tensor(self.lengths, dtype=x.dtype, device=x.device)[:, None]

    def first(self, x: Tensor) -> Tensor:
        """Each row's first token. (tokens, dim) → (rows, dim)"""
        return self.read_first(x).take(x)

    def read(self, chosen: Tensor) -> Read:
        """Of the tokens where `chosen`, (tokens,) booleans, is true."""
        counts = torch.bincount(self._row_of(chosen)[chosen], minlength=len(self.lengths))
        return Read(chosen.nonzero()[:, 0], tuple(counts.tolist()))

    def read_first(self, tokens: Tensor) -> Read:
        """Of each row's first token."""
        lengths = torch.tensor(self.lengths, device=tokens.device)
        return Read(lengths.cumsum(0) - lengths, (1,) * len(self.lengths))

    def _row_of(self, tokens: Tensor) -> Tensor:
        """The number of each token's row. (tokens, …) → (tokens,)"""
        lengths = torch.tensor(self.lengths, device=tokens.device)
        return torch.arange(len(lengths), device=tokens.device).repeat_interleave(lengths)


Layout = Padded | Packed
