"""How a text that is longer than the model reads is cut into overlapping windows."""

from collections.abc import Sequence
from typing import TypeVar

from distilbert.errors import InputError

T = TypeVar("T")


def windows(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """The ranges [start, end) of at most `size` tokens that cover `length` tokens.

    Neighbours share `overlap` tokens, and the last one ends with the text. A text that fits is one
    window, and so is an empty one.

    >>> windows(10, 4, 1)
    [(0, 4), (3, 7), (6, 10)]
    >>> windows(3, 4, 1)
    [(0, 3)]

    Raises InputError unless 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise InputError(
            f"windows of {size} tokens cannot overlap by {overlap}; the overlap must be at least 0 "
            "and smaller than the window: lower the stride or let the windows be longer"
        )
    starts = range(0, max(length - overlap, 1), size - overlap)
    return [(start, min(start + size, length)) for start in starts]


def stitch(ranges: Sequence[tuple[int, int]], values: Sequence[Sequence[T]]) -> list[T]:
    """One value a token from windows of values: that of the window where it has most context.

    A token's context in a window is the smaller of its distances to the window's two ends. At a
    tie the earlier window wins.

    >>> stitch([(0, 4), (2, 6)], ["abcd", "CDEF"])
    ['a', 'b', 'c', 'D', 'E', 'F']
    """
    joined: list[T] = list(values[0])
    for (previous, previous_end), (start, end), own in zip(
        ranges, ranges[1:], values[1:], strict=False
    ):
        for position in range(start, end):
            left, right = position - start, end - 1 - position
            if position >= previous_end:
                joined.append(own[left])
            elif min(left, right) > min(position - previous, previous_end - 1 - position):
                joined[position] = own[left]
    return joined
