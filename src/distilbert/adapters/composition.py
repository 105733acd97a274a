"""Compositions of adapters as users write them: what may stand in what, checked when planned."""

from collections.abc import Sequence
from typing import Any

from distilbert.adapters.blocks import (
    COMPOSITIONS,
    Average,
    BatchSplit,
    Composition,
    Fuse,
    MultiTask,
    Parallel,
    PerRow,
    Split,
    Stack,
    copies,
    names,
)
from distilbert.errors import AdapterError

__all__ = [
    "ALLOWED_NESTINGS",
    "COMPOSITIONS",
    "AdapterCompositionBlock",
    "Average",
    "BatchSplit",
    "Composition",
    "Fuse",
    "MultiTask",
    "Parallel",
    "PerRow",
    "Split",
    "Stack",
    "copies",
    "fused",
    "names",
    "parse",
    "parse_composition",
    "validate_composition",
]

AdapterCompositionBlock = Composition  # AdapterHub's name

# What may stand directly inside what; None is a row without an adapter.
ALLOWED_NESTINGS: dict[type, tuple[type, ...]] = {
    Stack: (str, Fuse, Split, Parallel, BatchSplit, Average, MultiTask, PerRow),
    Fuse: (str, Stack),
    Split: (str, Split, Stack, BatchSplit, Average),
    Parallel: (str, Stack, BatchSplit, Average),
    MultiTask: (str, Stack, Average, Fuse),
    BatchSplit: (str, Stack, Split, BatchSplit, Average),
    Average: (str, Stack, Split, BatchSplit),
    PerRow: (str, type(None), Stack, Average, Split, Fuse),
}


def fused(setup: Any) -> list[str]:
    """The names of the fusions of a composition."""
    if isinstance(setup, Fuse):
        return [setup.name]
    if isinstance(setup, Composition):
        return [name for child in setup.children for name in fused(child)]
    return []


def parse(setup: Any) -> Composition | None:
    """What users write for a composition, checked: None for no adapter at all.

    A name; a list, which is a stack; a list in it, which is a fusion; or a composition. Raises
    AdapterError for what may not be nested, for a composition that is too deep, and for the rest.
    """
    tree: Composition | None = _parse(setup, 0)
    if isinstance(tree, str):
        tree = Stack(tree)
    if tree is not None:
        _check_nesting(tree, 0)
    return tree


def parse_composition(
    adapter_composition: Any, level: int | None = 0, model_type: str | None = None
) -> Any:
    """`parse` under the name that AdapterHub's users know.

    level: How deep it stands; a name below 0 stays one, and None checks nothing. model_type: Told
    by the model here.
    """
    if not adapter_composition:
        return None
    tree = _parse(adapter_composition, level or 0)
    if isinstance(tree, str) and level == 0:
        tree = Stack(tree)
    if level is not None:
        _check_nesting(tree, level)
    return tree


def validate_composition(
    adapter_composition: Any, level: int = 0, model_type: str | None = None
) -> None:
    """Raises AdapterError for what may not be nested; see `parse_composition`."""
    _check_nesting(adapter_composition, level)


def _parse(setup: Any, level: int) -> Any:
    if isinstance(setup, (str, Composition)):
        if setup == "":
            raise AdapterError("'' is no adapter's name; pass [] for no adapter")
        return setup
    if setup is None or (isinstance(setup, Sequence) and len(setup) == 0):
        if level:
            raise AdapterError(
                "a list of adapters holds None or an empty list; a list is a stack of names. For "
                "one adapter per row, some of them none, use PerRow([…])"
            )
        return None
    if isinstance(setup, (list, tuple)):
        kind = Fuse if level == 1 else Stack
        return kind(*(_parse(child, level + 1) for child in setup))
    raise AdapterError(
        f"{setup!r:.100} is a {type(setup).__name__}; allowed: an adapter's name, a list of names "
        f"(a stack), or one of {sorted(COMPOSITIONS)} and PerRow"
    )


def _check_nesting(tree: Any, level: int) -> None:
    if not isinstance(tree, Composition):
        return
    if level > 1 and not isinstance(tree, Stack):
        raise AdapterError(f"{tree!r} stands too deep: at most two levels, and a Stack below them")
    allowed = ALLOWED_NESTINGS[type(tree)]
    for child in tree.children:
        if not isinstance(child, allowed):
            shown = ", ".join(kind.__name__ for kind in allowed).replace("NoneType", "None")
            raise AdapterError(
                f"{type(tree).__name__} cannot hold {child!r}; allowed inside it: {shown}"
            )
        _check_nesting(child, level + 1)
