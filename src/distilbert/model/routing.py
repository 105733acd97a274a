"""Which head reads which rows of a batch, and which labels each head gets."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distilbert.adapters.composition import BatchSplit, Composition, Parallel, PerRow, Stack
from distilbert.errors import AdapterError, InputError
from distilbert.model.inputs import check_tensor


class Batch(NamedTuple):
    """The inputs of a pass with choices, if there are any, as neighbouring rows.

    ids, mask, positions: (rows × choices, columns); embeds: (rows × choices, columns, dim).
    choices: How many texts each row of the caller has, or 0 without such an axis.
    """

    ids: Tensor | None
    mask: Tensor | None
    embeds: Tensor | None
    positions: Tensor | None
    choices: int

    @property
    def size(self) -> int:
        """How many rows the encoder gets."""
        first = self.embeds if self.ids is None else self.ids
        assert first is not None  # what checks a batch has refused it
        return first.shape[0]

    @property
    def rows(self) -> int:
        """How many rows the caller has."""
        return self.size // (self.choices or 1)


def flattened(
    ids: Tensor | None, mask: Tensor | None, embeds: Tensor | None, positions: Tensor | None
) -> Batch:
    """The inputs with an axis of choices, (rows, choices, …), merged into that of the rows.

    Raises InputError where only some of them have it.
    """
    first, axes = (ids, 3) if embeds is None else (embeds, 4)
    if not isinstance(first, Tensor) or first.ndim != axes:
        return Batch(ids, mask, embeds, positions, 0)
    for name, given in (("attention_mask", mask), ("position_ids", positions)):
        if given is not None:
            check_tensor(name, given)
            if given.ndim != 3:
                raise InputError(
                    f"{name} has shape {tuple(given.shape)}, and the batch has choices; allowed: "
                    "(rows, choices, columns)"
                )
    flat = [None if x is None else x.flatten(0, 1) for x in (ids, mask, embeds, positions)]
    return Batch(flat[0], flat[1], flat[2], flat[3], first.shape[1])


class Route(NamedTuple):
    """A head and the numbers of the rows that it reads, in order; None for every row."""

    head: str
    rows: tuple[int, ...] | None


def head_of(tree: Any) -> str | None:
    """The adapter whose head belongs to rows that take this composition: the last of a stack."""
    if isinstance(tree, Stack):
        return head_of(tree[-1])
    return tree if isinstance(tree, str) else None


def heads_of(tree: Any) -> Any:
    """What `active_head` becomes where this composition does: a name, a list, `BatchSplit`, None.

    Those that are called as the last adapters of what acts on other copies, or other rows.
    """
    if isinstance(tree, Stack):
        return heads_of(tree[-1])
    if isinstance(tree, (Parallel, BatchSplit)):
        lasts = [child.last() if isinstance(child, Composition) else child for child in tree]
        if isinstance(tree, Parallel):
            return lasts[0] if len(lasts) == 1 else lasts
        return BatchSplit(*lasts, batch_sizes=tree.batch_sizes)
    return head_of(tree)


def names_in(head: Any) -> list[str]:
    """The names of heads in what `head=` takes."""
    return [] if not head else [head] if isinstance(head, str) else [n for n in head if n]


def check_head(name: object, known: Collection[str]) -> None:
    """Raises AdapterError unless a head has this name."""
    if not isinstance(name, str) or name not in known:
        raise AdapterError(
            f"no head {name!r}; this model has {sorted(known)}; add one (add_classification_head, "
            "…) or load one first"
        )


def check_choice(head: Any, known: Collection[str]) -> None:
    """Raises AdapterError unless this is what `head=` and `active_head` may say.

    A name, a list of names, whose heads read the same rows, or each a copy of the batch, or
    `PerRow`, `BatchSplit` or `Parallel` of names.
    """
    if isinstance(head, str):
        check_head(head, known)
    elif isinstance(head, (list, tuple, PerRow, BatchSplit, Parallel)):
        for name in head:
            if not (name is None and isinstance(head, PerRow)):
                check_head(name, known)
    else:
        raise AdapterError(
            f"{head!r:.100} says no heads; allowed: a name, a list of names for several heads on "
            "the same rows, or PerRow([…]) or BatchSplit(…) of names"
        )


def routes(
    head: Any,
    active: Any,
    known: Collection[str],
    rows: int,
    copies: int = 1,
    adapters: Sequence[tuple[str | None, int]] = (),
) -> list[Route]:
    """The heads of a pass: those that `head` names, else that of a row's adapter, else `active`.

    rows: How many rows the batch has. copies: How many copies of it the encoder gives. adapters:
    The adapter whose head rows of the copies would have, and how many such rows follow each other;
    () where none acts.

    Raises AdapterError for names without a head, and for sizes that do not fit the batch.
    """
    own = [(name if name in known else None, count) for name, count in adapters]
    first = own[0][0] if own else None
    alike = all(name == first for name, _ in own)
    if head is None and alike and (first is None or copies == 1):
        head = first or active  # rows need no numbers, so that compilers need not know how many
        if not head:
            return []
    if isinstance(head, (str, list, tuple)):
        check_choice(head, known)
        names = [head] if isinstance(head, str) else [*head]
        if copies == 1:
            return [Route(name, None) for name in names]
        if len(names) not in (1, copies):
            raise AdapterError(
                f"{names!r} are {len(names)} heads, and the active adapters make {copies} copies "
                "of the batch; give one for each copy, or one for all"
            )
        numbers = [tuple(range(c * rows, (c + 1) * rows)) for c in range(copies)]
        if len(names) == 1:
            names *= copies
        return [Route(name, each) for name, each in zip(names, numbers, strict=True)]
    by_row = [name for name, count in own for _ in range(count)]
    return _by_row(head, active, known, rows, by_row or [None] * (rows * copies))


def _by_row(
    head: Any, active: Any, known: Collection[str], rows: int, own: list[str | None]
) -> list[Route]:
    named, copies = own, len(own) // rows
    if head is not None:
        check_choice(head, known)
        first = _names(head, rows, copies)
        named = [a or b for a, b in zip(first, own, strict=True)]
    if None in named and active and not isinstance(active, str):
        several = Parallel(*active) if isinstance(active, list) else active
        if not isinstance(several, Parallel) or len(several) == copies > 1:
            left = _names(several, rows, copies)
            named = [a or b for a, b in zip(named, left, strict=True)]
    found: dict[tuple[int, str], list[int]] = {}  # by copy of the batch, and by name
    for row, of_row in enumerate(named):
        name = of_row or active
        if not isinstance(name, str):
            raise AdapterError(
                f"row {row % rows} has no head: its adapter has none, and active_head is "
                f"{active!r}; name one with head=, or set active_head to one name"
            )
        check_head(name, known)
        found.setdefault((row // rows, name), []).append(row)
    if head is None and len(found) == 1:
        return [Route(name, None) for _, name in found]
    return [Route(name, tuple(numbers)) for (_, name), numbers in found.items()]


def _names(head: Composition, rows: int, copies: int) -> list[str | None]:
    """The name for each row of each copy, None where a `PerRow` has none."""
    if isinstance(head, Parallel):
        if len(head) != copies:
            raise AdapterError(
                f"{head!r} has heads for {len(head)} copies of the batch, and the active adapters "
                f"make {copies}; for several heads on the same rows give a list of names"
            )
        return [name for name in head for _ in range(rows)]
    if isinstance(head, BatchSplit):
        named = [
            name for name, size in zip(head, head.batch_sizes, strict=True) for _ in range(size)
        ]
    else:
        named = list(head)
    if len(named) != rows:
        raise AdapterError(
            f"{type(head).__name__} names heads for {len(named)} rows, and the batch has {rows}; "
            "give one for each row"
        )
    return named * copies


# Labels ------------------------------------------------------------------------------------------


def given_to(route: Route, name: str, value: Any, rows: int, device: torch.device) -> Any:
    """What a head gets of one argument of the pass: that of its rows, in their order.

    value: A tensor or a list with an entry for each of the batch's `rows`, or a dictionary from
    heads to tensors of their rows alone. None for a head that gets nothing.

    Raises InputError for a value of another size, or a list that has entries for some rows only.
    """
    if isinstance(value, Mapping):
        return value.get(route.head)
    if isinstance(value, (list, tuple)):
        if len(value) != rows:
            raise InputError(f"{name} has {len(value)} entries; allowed: {rows}, one for each row")
        numbers = range(rows) if route.rows is None else [row % rows for row in route.rows]
        return _stacked(route, name, [value[row] for row in numbers], device)
    if route.rows is None or not isinstance(value, Tensor):
        return value
    if value.ndim == 0 or len(value) != rows:
        raise InputError(
            f"{name} have shape {tuple(value.shape)}; allowed for heads that read some rows each: "
            f"an entry for each of the {rows} rows; or a list of them, or a dictionary by head"
        )
    return value[torch.tensor([row % rows for row in route.rows], device=value.device)]


def _stacked(route: Route, name: str, entries: list[Any], device: torch.device) -> Tensor | None:
    missing = sum(entry is None for entry in entries)
    if missing == len(entries):
        return None
    try:
        if missing:
            raise ValueError(f"{missing} of them are None")
        if all(isinstance(entry, Tensor) for entry in entries):
            return torch.stack(entries).to(device)
        return torch.tensor(
            [e.tolist() if isinstance(e, Tensor) else e for e in entries], device=device
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name} of head {route.head!r} make no tensor: {error}; allowed: for each of its rows "
            "a number, or as many numbers (-100 for what is not to be scored)"
        ) from None


def check_given(given: Mapping[str, Any], taken: Mapping[str, Collection[str]]) -> None:
    """Raises InputError for an argument that no head of the pass takes, or not all that would.

    given: What is not None, by name. taken: What each head of the pass takes.
    """
    for name, value in given.items():
        takers = [head for head, names in taken.items() if name in names]
        if not takers:
            shown = "; ".join(f"{head!r} takes {', '.join(names)}" for head, names in taken.items())
            raise InputError(
                f"{name} are given, and no head of this pass takes them: "
                + (shown or "it has none; add one (add_classification_head, …), or name it: head=")
            )
        strangers = sorted(value.keys() - set(takers)) if isinstance(value, Mapping) else []
        if strangers:
            raise InputError(
                f"{name} has an entry for {strangers[0]!r}; allowed: for {sorted(takers)}, the "
                "heads of this pass that take it"
            )
        left = [head for head in takers if isinstance(value, Mapping) and head not in value]
        if left:
            raise InputError(
                f"{name} has entries for {sorted(value)} and none for {left[0]!r}, so that the "
                "pass would have no loss; give one for each of its heads, None for no loss"
            )
