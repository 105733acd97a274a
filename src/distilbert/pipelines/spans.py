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
    tokens = len(start)
    width = min(longest, tokens)
    padded = np.concatenate([end, np.full(width, -1, end.dtype)])  # -1: beyond the context
    ends = np.lib.stride_tricks.sliding_window_view(padded, width)[:tokens]  # (tokens, width)
    scores = np.where(ends < 0, np.float32(-1), start[:, None] * ends).ravel()
    order = np.argsort(-scores, kind="stable")[:count]
    spans = [
        Span(float(scores[at]), int(at // width), int(at // width + at % width))
        for at in order
        if scores[at] >= 0
    ]
    return spans, float(no_start * no_end)


def _probabilities(logits: Floats, null: float) -> tuple[Floats, np.float32]:
    """Softmax over the context's logits and the null logit: those of the context, and that one."""
    joined = np.append(logits, np.float32(null)).astype(np.float32)
    powers = np.exp(joined - joined.max())
    shares = powers / powers.sum()
    return shares[:-1], shares[-1]
