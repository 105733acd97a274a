"""Lists of rows to tensors, and back."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from distilbert.errors import InputError

if TYPE_CHECKING:
    import numpy as np

KINDS = ("pt", "np")


def check_kind(kind: object) -> str | None:
    """`kind` if it names a kind of tensors. Raises InputError otherwise."""
    kind = getattr(kind, "value", kind)
    if kind is None or (isinstance(kind, str) and kind in KINDS):
        return kind
    raise InputError(f"return_tensors={kind!r} is unknown; give 'pt' (torch), 'np' (numpy) or None")


def to_tensors(values: dict[str, Any], kind: str, prepend_axis: bool = False) -> dict[str, Any]:
    """The same dictionary with tensors: lists of whole numbers become int64.

    prepend_axis: put an axis of one row before the others.
    Raises InputError if rows have different lengths ("np": gives an array of objects instead).
    """
    kind = str(check_kind(kind))
    return {
        name: _tensor(name, [value] if prepend_axis else value, kind)
        for name, value in values.items()
    }


def to_lists(value: Any, *, keep_tuples: bool = False) -> Any:
    """Tensors and arrays, in lists too, as plain lists and numbers; anything else as it is.

    keep_tuples: tuples stay tuples; else they become lists.
    """
    if isinstance(value, (list, tuple)):
        kind = tuple if keep_tuples and isinstance(value, tuple) else list
        if set(map(type, value)) <= {int}:  # by far the most common
            return kind(value)
        return kind([to_lists(item, keep_tuples=keep_tuples) for item in value])
    return value.tolist() if hasattr(value, "tolist") else value


def kind_of(value: Any) -> str | None:
    """The kind of a tensor, None for anything else."""
    module = type(value).__module__.partition(".")[0]
    return {"torch": "pt", "numpy": "np"}.get(module)


def id_list(value: Any, name: str) -> list[int]:
    """The ids of one row, from a list or a tensor of one dimension. Raises InputError otherwise."""
    ids = to_lists(value)
    if isinstance(ids, list) and set(map(type, ids)) <= {int}:
        return ids
    what = "many rows" if isinstance(ids, list) and isinstance(ids[0], list) else repr(value)[:60]
    raise InputError(f"{name} has to be the ids of one row: a list of whole numbers, not {what}")


def _tensor(name: str, value: Any, kind: str) -> Any:
    if kind_of(value) == kind:
        return value
    array = _array(name, value, ragged=kind == "np")
    if kind == "np":
        return array
    import torch

    try:
        tensor = torch.from_numpy(array)
    except TypeError as error:
        raise _not_rectangular(name) from error
    if tensor.dtype == torch.float64 and not _holds_arrays(value):
        return tensor.to(torch.get_default_dtype())  # as torch itself reads Python's numbers
    return tensor


def _holds_arrays(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return kind_of(value) is not None


def _array(name: str, value: Any, *, ragged: bool) -> np.ndarray[Any, Any]:
    import numpy as np

    if kind_of(value) == "pt":
        return np.asarray(value)
    value = to_lists(value)
    if _has_rows(value):
        widths = set(map(len, value))
        if len(widths) > 1:
            if not ragged:
                raise _not_rectangular(name)
            rows = np.empty(len(value), dtype=object)
            rows[:] = [np.asarray(row) for row in value]
            return rows
        width = widths.pop()
        if width and type(value[0][0]) is int:  # the common case, several times quicker flat
            return _flat(name, value, width)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise _not_rectangular(name) from error
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype == object and not ragged:
        raise _not_rectangular(name)
    return array


def _flat(name: str, rows: list[list[int]], width: int) -> np.ndarray[Any, Any]:
    import numpy as np

    try:
        flat = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * width)
    except (TypeError, ValueError) as error:
        raise _not_rectangular(name) from error
    return flat.reshape(len(rows), width)


def _has_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, list) for row in value)


def _not_rectangular(name: str) -> InputError:
    return InputError(
        f"{name!r} cannot become a tensor: its rows have different lengths, or hold something "
        "else than numbers; pass padding=True, and truncation=True where texts are too long"
    )
