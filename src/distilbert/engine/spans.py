"""From start and end logits to the best spans of a context, with their probabilities."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Span(NamedTuple):
    """Tokens `first` to `last` of a window's context, both inclusive, and how probable they are."""

    score: float
    first: int
    last: int


def best_spans(
    first: Floats, last: Floats, null: tuple[float, float], *, count: int, longest: int
) -> tuple[list[Span], float]:
    """The `count` most probable spans of at most `longest` tokens, best first, and the null score.

    `first` and `last` hold the logits of a window's context tokens, shape (tokens,), and `null`
    those of the [CLS] token, which stands for "no answer": it takes its part of the probability,
    and the null score is the product of its two parts. A span's score is the product of the
    probabilities of its ends. Spans of equal score come in the order of the text.
    """
    start, no_start = _probabilities(first, null[0])
    end, no_end = _probabilities(last, null[1])
    return _best(start, end, np.multiply, count, longest), float(no_start * no_end)


def best_sums(first: Floats, last: Floats, *, count: int, longest: int) -> list[Span]:
    """The same spans, scored by the sum of the logits of their ends.

    Such scores may be compared with those of another window.
    """
    return _best(first, last, np.add, count, longest)


def _best(start: Floats, end: Floats, join: np.ufunc, count: int, longest: int) -> list[Span]:
    tokens = len(start)
    width = min(longest, tokens)
    if not width:
        return []
    padded = np.concatenate([end, np.full(width, np.nan, end.dtype)])  # beyond the context
    ends = np.lib.stride_tricks.sliding_window_view(padded, width)[:tokens]  # (tokens, width)
    scores = join(start[:, None], ends).ravel()
    order = np.argsort(-scores, kind="stable")[:count]  # nan comes last
    return [
        Span(float(scores[at]), int(at // width), int(at // width + at % width))
        for at in order
        if not np.isnan(scores[at])
    ]


def _probabilities(logits: Floats, null: float) -> tuple[Floats, np.float32]:
    """Softmax over the context's logits and the null logit: those of the context, and that one."""
    joined = np.append(logits, np.float32(null)).astype(np.float32)
    powers = np.exp(joined - joined.max())
    shares = powers / powers.sum()
    return shares[:-1], shares[-1]
