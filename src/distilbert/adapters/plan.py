"""From a composition to what a pass runs: which rows take which adapters.

Compositions that choose rows (`Parallel`, `BatchSplit`, `MultiTask`, `PerRow`) are resolved before
the pass: each run of rows gets a tree of the others (`Stack`, `Fuse`, `Split`, `Average`), and
`compose` runs such a tree at a slot. Nothing about rows is left to the layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from distilbert.adapters.composition import (
    Average,
    BatchSplit,
    Composition,
    MultiTask,
    Parallel,
    PerRow,
    Split,
    Stack,
    names,
)
from distilbert.adapters.site import cut, joined, mixed
from distilbert.errors import AdapterError

Run = tuple[Any, int]  # a tree without choice of rows (None for no adapter), and how many rows


@dataclass(frozen=True)
class Plan:
    """A checked composition, ready to run. Made by `Adapters.plan`, never by hand.

    setup: The composition, or None for no adapter.
    skip_layers: Layers in which no adapter acts.
    copies: How many copies of each row there are; they fork before layer `fork` (-1: before the
        adapters at the embeddings; the number of layers: behind the last).
    whole_last: Why the last layer needs every token, or "".
    """

    setup: Composition | None = None
    skip_layers: frozenset[int] = frozenset()
    copies: int = 1
    fork: int = 0
    whole_last: str = ""

    def runs(self, rows: int, task_ids: Any = None) -> list[Run]:
        """Which rows take which tree, `copies` × `rows` in all. Raises AdapterError for sizes."""
        return _runs(self.setup, rows, self.copies, _tasks(self.setup, rows, task_ids))

    def for_choices(self, choices: int) -> "Plan":
        """The same where each row of the caller is `choices` neighbouring rows of the batch."""
        if choices == 1 or not by_rows(self.setup):
            return self
        return replace(self, setup=_for_choices(self.setup, choices))

    def trunk(self, rows: int, task_ids: Any = None) -> list[Run]:
        """The same before layer `fork`, where no adapter acts that is not common to all copies."""
        first = _first_copy(self.setup)
        return _runs(first, rows, 1, _tasks(self.setup, rows, task_ids))


def _for_choices(node: Any, choices: int) -> Any:
    if not isinstance(node, Composition):
        return node
    children = [_for_choices(child, choices) for child in node.children]
    if isinstance(node, PerRow):
        return PerRow([child for child in children for _ in range(choices)])
    if isinstance(node, BatchSplit):
        return BatchSplit(*children, batch_sizes=[size * choices for size in node.batch_sizes])
    kind, _, arguments = node.__reduce__()[1]
    return kind(*children, **arguments)


def repeated_tasks(task_ids: Any, choices: int) -> Any:
    """The tasks of rows each of which is `choices` neighbouring rows of the batch."""
    if task_ids is None or choices == 1:
        return task_ids
    return [task for task in _listed(task_ids) for _ in range(choices)]


def by_rows(setup: Any) -> bool:
    """Whether a composition chooses rows by number, so that it belongs to one batch."""
    if isinstance(setup, (BatchSplit, MultiTask, PerRow)):
        return True
    return isinstance(setup, Composition) and any(by_rows(child) for child in setup.children)


def grouped(runs: Sequence[Run]) -> tuple[list[Run], list[int] | None]:
    """Brings rows of equal trees together: the new runs, and the order of the rows if it changed.

    order: The numbers of the rows as they were, or None.
    """
    found = merged(runs)
    trees = list(dict.fromkeys(tree for tree, _ in found))
    if len(trees) == len(found):
        return found, None
    rows: dict[Any, list[int]] = {tree: [] for tree in trees}
    start = 0
    for tree, count in found:
        rows[tree].extend(range(start, start + count))
        start += count
    order = [row for tree in trees for row in rows[tree]]
    return [(tree, len(rows[tree])) for tree in trees], order


def compose(tree: Any, state: Any, slot: Any, flow: Any) -> Any:
    """Runs a tree without choice of rows at a slot: state → state."""
    match tree:
        case str():
            return slot[tree](state, flow) if slot.acts(tree) else state
        case Stack(children=children):
            for child in children:
                state = compose(child, state, slot, flow)
            return state
        case Average(children=children, weights=weights):
            ends = [compose(child, state, slot, flow) for child in children]
            return mixed(state, ends, weights, norms_differ=_norms_differ(tree, slot))
        case Split(children=children, splits=splits):
            return _split(children, splits, state, slot, flow)
        case _:  # Fuse: only what stands before an add-and-norm has fusions
            fuse = getattr(slot, "fuse", None)
            return state if fuse is None else fuse(tree, state, flow)


def _norms_differ(tree: Composition, slot: Any) -> bool:
    """Whether some adapters of a composition leave an add-and-norm to be done, and others do not.

    Told by what hangs there, not by what ran, which layouts without padding may see less of.
    """
    after = [
        getattr(slot[name], "after", True) if slot.acts(name) else True for name in names(tree)
    ]
    return any([flag is not after[0] for flag in after])  # noqa: C419  (traced)


def _split(children: Sequence[Any], splits: Sequence[int], state: Any, slot: Any, flow: Any) -> Any:
    """Each child at some columns of every row.

    What comes into rows from without has no columns: plans refuse splits of what changes it.
    """
    if not hasattr(state, "hidden") and not hasattr(state, "y"):
        return state
    layout, tokens = flow.layout, state.hidden if hasattr(state, "hidden") else state.y
    ends = []
    pieces = cut(state, lambda x: layout.cut(x, splits))
    layouts = layout.cut_layouts(tokens, splits)
    for child, piece, inner in zip(children, pieces, layouts, strict=True):
        if inner is None:  # every row ends before these columns
            ends.append(piece)
        else:
            ends.append(compose(child, piece, slot, replace(flow, layout=inner)))
    return joined(state, ends, lambda parts: layout.join(parts, splits))


# Rows --------------------------------------------------------------------------------------------


def _runs(node: Any, rows: int, copies: int, tasks: list[int] | None) -> list[Run]:
    match node:
        case None | str():
            return [(node, rows)] * copies
        case Parallel(children=(child,)):  # a copy for each of those that others make
            return _runs(child, rows, 1, tasks) * copies
        case Parallel(children=children):
            return [run for child in children for run in _runs(child, rows, 1, tasks)]
        case BatchSplit(children=children, batch_sizes=sizes):
            if sum(sizes) != rows:
                raise AdapterError(
                    f"batch_sizes {list(sizes)} of BatchSplit are {sum(sizes)} rows in all, and "
                    f"the batch has {rows}; give sizes whose sum is the number of rows"
                )
            found = [
                run
                for child, size in zip(children, sizes, strict=True)
                if size
                for run in _runs(child, size, 1, tasks)
            ]
        case MultiTask(children=children):
            assert tasks is not None
            found = [_only(_runs(children[task], 1, 1, tasks)) for task in tasks]
        case PerRow(children=children):
            if len(children) != rows:
                raise AdapterError(
                    f"PerRow names adapters for {len(children)} rows, and the batch has {rows}; "
                    "give one entry for each row, None for no adapter"
                )
            found = [_only(_runs(child, 1, 1, tasks)) for child in children]
        case _:
            return _crossed(node, [_runs(c, rows, copies, tasks) for c in node.children])
    return found * copies


def _only(runs: list[Run]) -> Run:
    assert len(runs) == 1, "one row has one tree"
    return runs[0]


def _crossed(node: Composition, found: list[list[Run]]) -> list[Run]:
    """Of a composition whose children choose rows, one such composition for each run of rows."""
    left = [list(runs) for runs in found]
    crossed: list[Run] = []
    while left[0]:
        count = min([runs[0][1] for runs in left])
        crossed.append((_with_children(node, [runs[0][0] for runs in left]), count))
        for runs in left:
            tree, rows = runs[0]
            if rows == count:
                runs.pop(0)
            else:
                runs[0] = (tree, rows - count)
    return crossed


def _with_children(node: Composition, children: list[Any]) -> Any:
    """The same composition over other children, in its plainest form."""
    if isinstance(node, Stack):
        flat: list[Any] = []
        for child in children:
            flat.extend(child.children if isinstance(child, Stack) else [child])
        flat = [child for child in flat if child is not None]
        return flat[0] if len(flat) == 1 else Stack(*flat) if flat else None
    if tuple(children) == node.children:
        return node
    kind, _, arguments = node.__reduce__()[1]
    return kind(*children, **arguments)


def merged(runs: Sequence[Run]) -> list[Run]:
    """The same runs, neighbours of equal trees made one."""
    found: list[Run] = []
    for tree, count in runs:
        if found and found[-1][0] == tree:
            found[-1] = (tree, found[-1][1] + count)
        else:
            found.append((tree, count))
    return found


def _first_copy(node: Any) -> Any:
    if isinstance(node, Parallel):
        return node.children[0]
    if isinstance(node, Stack):
        return Stack(*(_first_copy(child) for child in node.children))
    return node


# Tasks -------------------------------------------------------------------------------------------


def _find_multi_task(node: Any) -> MultiTask | None:
    if isinstance(node, MultiTask):
        return node
    if isinstance(node, Composition):
        return next((t for t in map(_find_multi_task, node.children) if t is not None), None)
    return None


def _listed(task_ids: Any) -> list[Any]:
    if not isinstance(task_ids, Tensor):
        if isinstance(task_ids, str) or not hasattr(task_ids, "__iter__"):
            raise AdapterError(
                f"task_ids are {task_ids!r:.100}; allowed: one for each row, numbers or names"
            )
        plain = (int, str)  # others may be numbers of NumPy, or what is refused
        return [t if isinstance(t, plain) or not hasattr(t, "item") else t.item() for t in task_ids]
    if task_ids.ndim != 1:
        raise AdapterError(
            f"task_ids have shape {tuple(task_ids.shape)}; allowed: (rows,), one for each row"
        )
    if torch.compiler.is_compiling():
        raise AdapterError(
            "task_ids are a tensor, whose values a compiled model cannot see; give a list of "
            "numbers or names"
        )
    return task_ids.tolist()


def _tasks(setup: Any, rows: int, task_ids: Any) -> list[int] | None:
    """The number of each row's task. Raises AdapterError for what is none."""
    node = _find_multi_task(setup)
    if node is None:
        if task_ids is not None:
            raise AdapterError(
                "task_ids were given, but no MultiTask is active; leave them out, or activate "
                "MultiTask(…)"
            )
        return None
    known = [names(child)[-1] for child in node.children]
    if task_ids is None:
        raise AdapterError(
            f"{node!r} needs task_ids: one for each row, numbers 0 to {len(known) - 1} or names "
            f"out of {known}"
        )
    given = _listed(task_ids)
    tasks = [known.index(task) if task in known else task for task in given]
    good = all(
        isinstance(t, int) and not isinstance(t, bool) and 0 <= t < len(known) for t in tasks
    )
    if not good or len(tasks) != rows:
        raise AdapterError(
            f"task_ids are {given!r:.100}; allowed: {rows} of them, one for each row, numbers 0 "
            f"to {len(known) - 1} or names out of {known}"
        )
    return tasks
