"""The rows of one pass on their way through the encoder: brought together by adapter, copied, read.

Rows that take the same adapters are brought together once, before the first layer, and what comes
out is in the caller's order again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from distilbert.adapters.plan import Run, grouped
from distilbert.adapters.site import PromptState
from distilbert.flow import Flow
from distilbert.layout import Insert, Layout, Packed, Read

Wanted = Literal["first"] | Tensor
"""Which tokens are read: each row's first, or those of the caller's where booleans are true."""


@dataclass(frozen=True, eq=False)
class Stream:
    """Activations between two layers.

    x: (rows, columns, dim), or (tokens, dim) packed.
    flow: The pass, with these rows divided by adapter.
    given: How the caller's tokens of these rows lie, without what prompts put in.
    wanted: Which tokens are read; booleans lie as `given`. None: no choice.
    order: The caller's number of each row, or None where they are in the caller's order.
    columns: How many columns the caller's padded rows have.
    """

    x: Tensor
    flow: Flow
    given: Layout
    wanted: Wanted | None = None
    order: tuple[int, ...] | None = None
    columns: int = 0

    @staticmethod
    def start(x: Tensor, flow: Flow, wanted: Wanted | None) -> "Stream":
        """The embeddings, with rows of the same adapters brought together."""
        stream = Stream(x, flow, flow.layout, wanted, columns=x.shape[1])
        plan = flow.plan
        if plan.setup is None:
            if flow.task_ids is not None:
                plan.runs(flow.layout.count(x), flow.task_ids)  # which refuses them
            return stream
        if plan.copies > 1 and flow.noting:  # so that notes are of the copies in every layer
            plan = replace(plan, fork=-1)
            stream = replace(stream, flow=replace(flow, plan=plan))
        if plan.copies > 1 and plan.fork < 0:
            return stream.forked()
        runs = plan.trunk if plan.copies > 1 else plan.runs
        return stream._arranged(runs(flow.layout.count(x), flow.task_ids))

    def forked(self) -> "Stream":
        """With the copies of each row that the plan makes, one batch of them after the other."""
        plain, plan = self.settled(), self.flow.plan
        layout, given, wanted = plain.flow.layout, plain.given, plain.wanted
        rows = layout.count(plain.x)
        if isinstance(wanted, Tensor):
            wanted = given.repeat(wanted, plan.copies)
        copied = Stream(
            layout.repeat(plain.x, plan.copies),
            replace(plain.flow, layout=layout.repeated(plan.copies)),
            given.repeated(plan.copies),
            wanted,
            columns=self.columns,
        )
        return copied._arranged(plan.runs(rows, self.flow.task_ids))

    def _arranged(self, runs: Sequence[Run]) -> "Stream":
        """Rows of equal trees brought together."""
        runs, order = grouped(runs)
        if order is None:
            return replace(self, flow=self.flow.divided(runs))
        if isinstance(self.given, Packed):
            order = _longest_first(order, runs, self.given.lengths)
        picked = self._picked(order)
        return replace(picked, flow=picked.flow.divided(runs, order))

    def settled(self) -> "Stream":
        """In the caller's order again."""
        if self.order is None:
            return self
        plain = self._picked(inverted(self.order))
        return replace(plain, order=None)

    def _picked(self, order: Sequence[int]) -> "Stream":
        layout, given, wanted = self.flow.layout, self.given, self.wanted
        if isinstance(wanted, Tensor):
            wanted = given.pick(wanted, order)
        flow = replace(self.flow, layout=layout.picked(order), parts=())
        x, given = layout.pick(self.x, order), given.picked(order)
        return Stream(x, flow, given, wanted, tuple(order), self.columns)

    def prompted(self, states: Sequence[PromptState]) -> "Stream":
        """With what prompts put into the rows of each part."""
        parts = self.flow.parts
        inserts = [
            Insert(part.rows, state.front, state.behind)
            for part, state in zip(parts, states, strict=True)
        ]
        x, layout = self.flow.layout.insert(self.x, inserts)
        flow = replace(self.flow, layout=layout)
        runs = [(part.tree, part.rows) for part in parts]
        return replace(self, x=x, flow=flow.divided(runs, self.order))

    def read(self) -> Read | None:
        """The tokens that are wanted, as they lie now."""
        if self.wanted is None:
            return None
        if isinstance(self.wanted, Tensor):
            return self.flow.layout.read(self.wanted, self.x)
        return self.flow.layout.read_first(self.x)

    def restored(self, x: Tensor, read: Read) -> tuple[Tensor, tuple[int, ...]]:
        """Tokens read, (tokens read, dim), row by row in the caller's order, and their counts."""
        if self.order is None:
            return x, read.counts
        inverse = inverted(self.order)
        rows = torch.split(x, list(read.counts))
        return torch.cat([rows[i] for i in inverse]), tuple(read.counts[i] for i in inverse)


def inverted(order: Sequence[int]) -> list[int]:
    """Where each row of an order stands: the order that takes it back."""
    places = [0] * len(order)
    for place, row in enumerate(order):
        places[row] = place
    return places


def _longest_first(
    order: Sequence[int], runs: Sequence[Run], lengths: tuple[int, ...]
) -> list[int]:
    """The order with the rows of each run by length, so that equal ones are neighbours."""
    found: list[int] = []
    for _, rows in runs:
        part = order[len(found) : len(found) + rows]
        found += sorted(part, key=lambda row: -lengths[row])
    return found
