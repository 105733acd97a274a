"""From encoded texts to rows: template, truncation, windows, padding, and the answer's values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from distilbert.errors import InputError
from distilbert.text.encoding import BatchEncoding
from distilbert.text.options import Options
from distilbert.text.row import Encoded, Part, Row
from distilbert.text.template import Frame, Template
from distilbert.text.truncation import Span, row_windows


class Padding(NamedTuple):
    """How far rows are padded, on which side, with what."""

    width: int
    """Rows that are longer stay as they are."""
    side: str
    pad_id: int

    def sides(self, length: int) -> tuple[int, int]:
        """How much padding a row of `length` gets before and after."""
        missing = max(self.width - length, 0)
        return (missing, 0) if self.side == "left" else (0, missing)


def assemble(
    firsts: Sequence[Encoded],
    seconds: Sequence[Encoded | None],
    options: Options,
    *,
    template: Template,
    pad_id: int,
    spell: Callable[[int], str | None],
    alone: bool,
) -> BatchEncoding:
    """The answer to a call: every value has one entry per row.

    With overflow a text may give several rows, its windows. alone: without tensors and overflow,
    the values of the only row are not in a list of one.
    """
    check_stride(options, template.single)
    ids: list[list[int]] = []
    texts: list[int] = []  # which text each row is a window of
    frames: list[Frame] = []
    spans: list[tuple[Span, Span]] = []
    for number, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        frame = template.frame(pair=second is not None)
        for window in _windows(first, second, frame, options, number):
            (start, end), (second_start, second_end) = window
            one = first.ids[start:end]
            ids.append(
                frame.ids(one, None if second is None else second.ids[second_start:second_end])
            )
            texts.append(number)
            frames.append(frame)
            spans.append(window)
    padding = Padding(_width(ids, options), options.padding_side, pad_id)
    lengths = [len(row) for row in ids]
    rows = []
    for row, number in enumerate(texts):
        left, right = padding.sides(lengths[row])
        if left or right:
            ids[row] = [pad_id] * left + ids[row] + [pad_id] * right
        parts = _parts(firsts[number], seconds[number], frames[row], spans[row], left)
        rows.append(Row(ids[row], parts, frames[row], left=left, right=right, spell=spell))
    values = _values(rows, texts, options)
    if alone and options.return_tensors is None and not options.return_overflowing_tokens:
        values = {name: value[0] if name != "length" else value for name, value in values.items()}
    return BatchEncoding(values, rows, options.return_tensors)


def _values(rows: list[Row], texts: list[int], options: Options) -> dict[str, Any]:
    values: dict[str, Any] = {"input_ids": [list(row.ids) for row in rows]}
    if options.return_token_type_ids:
        values["token_type_ids"] = [row.type_ids for row in rows]
    if options.return_attention_mask:
        values["attention_mask"] = [row.attention_mask for row in rows]
    if options.return_special_tokens_mask:
        values["special_tokens_mask"] = [row.special_tokens_mask for row in rows]
    if options.return_offsets_mapping:
        values["offset_mapping"] = [row.offsets for row in rows]
    if options.return_length:
        values["length"] = [len(row) for row in rows]
    if options.return_overflowing_tokens:
        values["overflow_to_sample_mapping"] = texts
    return values


def check_stride(options: Options, frame: Frame) -> None:
    """Raises InputError if windows of rows of one text could not share `stride` tokens."""
    room = room_of(options, frame)
    if room is not None and options.stride > room:
        raise InputError(
            f"stride={options.stride} is more than the {room} tokens that fit beside the "
            f"{frame.size} special ones in a row of max_length={options.max_length}; "
            "lower stride or raise max_length"
        )


def room_of(options: Options, frame: Frame) -> int | None:
    """How many pieces fit in a row beside its special tokens; None if nothing is cut.

    Raises InputError if the special tokens alone do not fit.
    """
    if options.truncation == "do_not_truncate" or options.max_length is None:
        return None
    room = options.max_length - frame.size
    if room < 0:
        raise InputError(
            f"max_length={options.max_length} is too small for the {frame.size} special tokens "
            "of a row; raise it, or pass add_special_tokens=False"
        )
    return room


def _windows(
    first: Encoded, second: Encoded | None, frame: Frame, options: Options, row: int
) -> list[tuple[Span, Span]]:
    room = room_of(options, frame)
    one = len(first.ids)
    two = None if second is None else len(second.ids)
    if room is None or one + (two or 0) <= room:
        return [((0, one), (0, two or 0))]
    return row_windows(
        one,
        two,
        room,
        options.truncation,
        stride=options.stride,
        side=options.truncation_side,
        overflow=options.return_overflowing_tokens,
        row=row,
    )


def _width(rows: Sequence[Sequence[int]], options: Options) -> int:
    if options.padding == "do_not_pad":
        return 0
    if options.padding == "longest":
        return round_up(max(map(len, rows), default=0), options.pad_to_multiple_of)
    return round_up(options.max_length or 0, options.pad_to_multiple_of)


def round_up(width: int, multiple: int | None) -> int:
    """The next multiple from `width` on; `width` itself if none is asked."""
    return width if not multiple else -(-width // multiple) * multiple


def _parts(
    first: Encoded,
    second: Encoded | None,
    frame: Frame,
    window: tuple[Span, Span],
    left: int,
) -> tuple[Part, ...]:
    column = left + len(frame.before)
    one = Part(first, *window[0], column)
    if second is None:
        return (one,)
    return one, Part(second, *window[1], column + one.size + len(frame.between))
