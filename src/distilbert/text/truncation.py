"""Cut texts that are too long for a row, into one window or into overlapping ones."""

from __future__ import annotations

from distilbert.errors import InputError

Span = tuple[int, int]
"""Pieces [start, end) of one text."""

STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")


def windows(length: int, room: int, stride: int, side: str) -> list[Span]:
    """The windows of at most `room` pieces that cover `length`, neighbours sharing `stride`.

    side "right": they start at the first piece, the last one may be shorter. "left": the first
    window ends at the last piece, and the windows walk towards the front.
    """
    if length <= room:
        return [(0, length)]
    step = room - stride
    found: list[Span] = []
    if side == "right":
        for start in range(0, length, step):
            found.append((start, min(start + room, length)))
            if start + room >= length:
                break
    else:
        for end in range(length, 0, -step):
            found.append((max(end - room, 0), end))
            if end <= room:
                break
    return found


def first_window(length: int, room: int, side: str) -> Span:
    """The first of `windows`: the only one where the rest is thrown away."""
    if length <= room:
        return 0, length
    return (0, room) if side == "right" else (length - room, length)


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """How much of two texts is kept so that both fit in `room`: the longer one is cut first.

    Where both must be cut, each gets half; of an odd room, the longer text (the second, if they
    are equally long) gets the bigger half.
    """
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room - room // 2
    return (long, short) if first > second else (short, long)


def limits(first: int, second: int | None, room: int, strategy: str, row: int) -> tuple[int, int]:
    """The most pieces that each text of a row may keep, for texts of `first` and `second` pieces.

    second: None for a row of one text. row: its number in the batch, for messages.
    Raises InputError if the strategy may not cut what would have to be cut.
    """
    excess = first + (second or 0) - room
    if excess <= 0 or strategy == "do_not_truncate":
        return first, second or 0
    if room == 0:
        return 0, 0
    if strategy == "longest_first":
        return (room, 0) if second is None else shares(first, second, room)
    if strategy == "only_second" and second is None:
        raise InputError(
            f"truncation='only_second', but row {row} has no second text and is {excess} tokens "
            "too long; use 'longest_first' or 'only_first', or give a text_pair"
        )
    if strategy == "only_first":
        if first > excess:
            return first - excess, second or 0
    elif second is not None and second > excess:
        return first, second - excess
    cut, other = ("first", "second") if strategy == "only_first" else ("second", "first")
    raise InputError(
        f"truncation={strategy!r}: row {row} is {excess} tokens too long, and its {cut} text has "
        f"only {first if cut == 'first' else second}; raise max_length, shorten the {other} text, "
        "or use 'longest_first'"
    )


def row_windows(
    first: int,
    second: int | None,
    room: int,
    strategy: str,
    *,
    stride: int,
    side: str,
    overflow: bool,
    row: int,
) -> list[tuple[Span, Span]]:
    """The windows of one row: spans of its first and of its second text (empty if there is none).

    room: pieces that fit beside the special tokens. overflow: all windows, else the first only.
    If both texts are cut, every later window of the first goes with every window of the second,
    then the first window of the first with the later ones of the second.
    """
    most_first, most_second = limits(first, second, room, strategy, row)
    if not overflow:
        return [
            (first_window(first, most_first, side), first_window(second or 0, most_second, side))
        ]
    for length, most in ((first, most_first), (second or 0, most_second)):
        if most < length and stride >= most:
            raise InputError(
                f"stride={stride} is not smaller than the {most} tokens of a text that a window of "
                f"row {row} holds, so the windows would never end; lower stride or raise max_length"
            )
    firsts = windows(first, most_first, stride, side)
    seconds = windows(second or 0, most_second, stride, side)
    rest = [(one, two) for one in firsts[1:] for two in seconds]
    return [(firsts[0], seconds[0]), *rest, *((firsts[0], two) for two in seconds[1:])]
