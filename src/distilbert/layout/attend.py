"""Attention over rows of one length, and what rows attend to beside their own tokens."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Prefix:
    """What some neighbouring rows attend to beside their own tokens.

    keys, values: (rows or 1, length, heads × width), or None for nothing.
    """

    rows: int
    keys: Tensor | None = None
    values: Tensor | None = None

    def before(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """k, v: (rows, columns, heads × width) → with the prefix's columns in front"""
        if self.keys is None or self.values is None:
            return k, v
        keys, values = (x.expand(k.shape[0], -1, -1).to(k.dtype) for x in (self.keys, self.values))
        return torch.cat([keys, k], 1), torch.cat([values, v], 1)

    @property
    def length(self) -> int:
        return 0 if self.keys is None else self.keys.shape[1]


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
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        real: Tensor | None,
        factors: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """q, k, v: (rows, heads, columns, width); real: (rows, columns of keys) or None.

        factors: Dropout already drawn, (rows, heads, queries, keys), or None to draw it here.

        Returns the context, (rows, columns of queries, heads × width), and the probabilities,
        (rows, heads, queries, keys), where they are asked for.
        """
        # The lowest float, not -inf: a row of pads alone stays finite, as in the reference.
        hidden = None if real is None else ~real[:, None, None, :]
        if self.head_mask is None and not self.probabilities and factors is None:
            bias = None
            if hidden is not None:
                lowest = torch.finfo(q.dtype).min
                bias = torch.zeros_like(hidden, dtype=q.dtype).masked_fill(hidden, lowest)
            context = F.scaled_dot_product_attention(q, k, v, bias, self.dropout)
            return context.transpose(1, 2).flatten(2), None
        scores = (q / math.sqrt(q.shape[-1])) @ k.mT  # (rows, heads, queries, keys)
        if hidden is not None:
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        probabilities = scores.softmax(-1)
        if factors is None:
            probabilities = F.dropout(probabilities, self.dropout)
        else:
            probabilities = probabilities * factors
        if self.head_mask is not None:
            probabilities = probabilities * self.head_mask[:, None, None]
        context = (probabilities @ v).transpose(1, 2).flatten(2)
        return context, probabilities if self.probabilities else None
