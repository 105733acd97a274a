"""Biaffine dependency parsing: words of several tokens, and a score for each pair of words.

Source: Dozat and Manning 2017, "Deep biaffine attention for neural dependency parsing"; as a head
of one layer in Glavaš and Vulić 2021, "Is supervised syntactic parsing beneficial for language
understanding tasks?".
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.errors import InputError
from distilbert.model.inputs import check_whole, has_values


class Biaffine(nn.Module):
    """A form in two vectors, one for each output, in the first and a 1 behind it (its bias).

    weight: (outputs, 1 + dim, dim), or (outputs, 1 + dim, 1 + dim) with a bias in the second too;
    0 in a fresh model, as in the reference.
    """

    def __init__(self, dim: int, outputs: int, *, both: bool) -> None:
        super().__init__()
        self.both = both
        self.weight = nn.Parameter(torch.zeros(outputs, dim + 1, dim + both))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(rows, n, dim) and (rows, m, dim) → (rows, n, m, outputs)"""
        x = F.pad(x, (0, 1), value=1.0)
        if self.both:
            y = F.pad(y, (0, 1), value=1.0)
        return torch.einsum("rni,oij,rmj->rnmo", x, self.weight, y)

    def extra_repr(self) -> str:
        outputs, dim, _ = self.weight.shape
        return f"dim={dim - 1}, outputs={outputs}, both={self.both}"


def words_of(hidden: Tensor, starts: Tensor) -> Tensor:
    """The mean of each word's tokens, 0 behind the last word. (rows, columns, dim) → the same

    starts: (rows, at most 1 + columns), the column of each word's first token, then the column
    behind the last word; whatever is not above 0 is padding. Raises InputError for others.
    """
    rows, columns = hidden.shape[:2]
    check_whole("word_starts", starts)
    if starts.ndim != 2 or starts.shape[0] != rows:
        raise InputError(
            f"word_starts have shape {tuple(starts.shape)}; allowed: ({rows}, words + 1): the "
            "columns in which words start, and the one behind the last word"
        )
    first, behind = starts[:, :-1], starts[:, 1:]  # (rows, words) each
    there = (first > 0) & (behind > 0)
    if has_values(starts):
        wrong = (there & ((first >= behind) | (behind > columns))) | ((first <= 0) & (behind > 0))
        if bool(wrong.any()):
            row = int(wrong.any(1).nonzero()[0])
            raise InputError(
                f"word_starts of row {row} are {starts[row].tolist()}; allowed: columns from 1 to "
                f"{columns} in rising order, with 0 or -1 behind them as padding"
            )
    column = torch.arange(columns, device=hidden.device)
    inside = (first[..., None] <= column) & (column < behind[..., None]) & there[..., None]
    weights = inside.to(hidden.dtype)  # (rows, words, columns)
    words = weights @ hidden / weights.sum(-1, keepdim=True).clamp(min=1)
    return F.pad(words, (0, 0, 0, columns - words.shape[1]))
