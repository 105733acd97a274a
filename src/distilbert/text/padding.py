"""`pad`: rows that are encoded already to one length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distilbert.errors import InputError
from distilbert.text.assemble import Padding, round_up
from distilbert.text.encoding import BatchEncoding
from distilbert.text.options import Options
from distilbert.text.special import SpecialTokens
from distilbert.text.tensors import kind_of, to_lists


def pad_encoded(tokenizer: SpecialTokens, encoded: Any, options: Options) -> BatchEncoding:
    """Pad one row, or a batch: a dictionary of lists or tensors, or a list of dictionaries.

    Pads `input_ids`, `attention_mask`, `token_type_ids` and `special_tokens_mask`; other values
    pass. Tensors come back as tensors. Raises InputError if these are no encoded rows.
    """
    values = _columns(encoded)
    main = tokenizer.model_input_names[0]
    if main not in values:
        raise InputError(f"there is no {main!r} to pad, only {sorted(map(str, values))}")
    kind = options.return_tensors or _kind_inside(values[main])
    padded = {main, *_PADDED}
    lists = {
        name: to_lists(value, keep_tuples=name not in padded) for name, value in values.items()
    }
    ids = lists[main]
    if not isinstance(ids, list) or not ids:
        raise InputError(
            f"{main!r} is empty: an empty batch cannot be padded; give at least one row"
        )
    if not isinstance(ids[0], list):
        return BatchEncoding(pad_row(tokenizer, lists, main, options, len(ids)), None, kind)
    for name, value in lists.items():
        if not isinstance(value, (list, tuple)) or len(value) != len(ids):
            rows_of = f"{len(value)} rows" if isinstance(value, (list, tuple)) else repr(value)[:60]
            raise InputError(
                f"{main!r} has {len(ids)} rows, but others differ: {name!r} has {rows_of}"
            )
    for number, row in enumerate(ids):
        _check_row(row, f"{main}[{number}]", None)
    longest = max(map(len, ids))
    rows = [
        pad_row(tokenizer, {name: lists[name][row] for name in lists}, main, options, longest)
        for row in range(len(ids))
    ]
    return BatchEncoding({name: [row[name] for row in rows] for name in rows[0]}, None, kind)


def _columns(encoded: Any) -> dict[str, Any]:
    """A dictionary of values, from one or from a list of dictionaries, one for each row."""
    if isinstance(encoded, Mapping):
        return dict(encoded)
    if not isinstance(encoded, (list, tuple)) or not all(
        isinstance(row, Mapping) for row in encoded
    ):
        raise InputError(
            f"pad takes a dictionary, or a list of dictionaries, of encoded rows, "
            f"not {type(encoded).__name__}"
        )
    if not encoded:
        raise InputError("an empty batch cannot be padded; give at least one row")
    names = list(encoded[0])
    for number, row in enumerate(encoded):
        missing = set(names) - set(row)
        if missing:
            raise InputError(f"row {number} lacks {sorted(missing)}, which row 0 has")
    return {name: [row[name] for row in encoded] for name in names}


_PADDED = ("attention_mask", "token_type_ids", "special_tokens_mask")
"""What is padded beside the ids."""


def _check_row(row: Any, name: str, length: int | None) -> None:
    """Raises InputError if a row is no list of numbers, `length` of them unless that is None."""
    if not isinstance(row, list) or not set(map(type, row)) <= {int, bool, float}:
        raise InputError(f"{name} has to be a list of numbers, not {repr(row)[:60]}")
    if length is not None and len(row) != length:
        raise InputError(f"{name} has {len(row)} numbers for a row of {length} ids")


def _kind_inside(value: Any) -> str | None:
    kind = kind_of(value)
    while kind is None and isinstance(value, (list, tuple)) and value:
        value = value[0]
        kind = kind_of(value)
    return kind


def pad_row(
    tokenizer: SpecialTokens, row: dict[str, Any], main: str, options: Options, longest: int
) -> dict[str, Any]:
    """One row of lists, padded. longest: of the batch, for padding="longest"."""
    _check_row(row[main], main, None)
    length = len(row[main])
    for name in _PADDED:
        if name in row:
            _check_row(row[name], name, length)
    if options.return_attention_mask and "attention_mask" not in row:
        row = {**row, "attention_mask": [1] * length}
    if options.padding == "do_not_pad":
        return row
    width = longest if options.padding == "longest" else options.max_length or 0
    padding = Padding(
        round_up(width, options.pad_to_multiple_of), options.padding_side, tokenizer.pad_token_id
    )
    left, right = padding.sides(length)
    fill = {
        main: padding.pad_id,
        "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id,
        "special_tokens_mask": 1,
    }
    return {
        name: [fill[name]] * left + value + [fill[name]] * right if name in fill else value
        for name, value in row.items()
    }
