"""What one forward pass carries beside the activations: immutable, and passed down explicitly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from distilbert.adapters.composition import names
from distilbert.adapters.plan import Plan, Run, compose
from distilbert.adapters.site import Noted, Notes, PrefixState, PromptState, Slot, cut
from distilbert.layout import Layout, Read

NO_ADAPTERS = Plan()


@dataclass(frozen=True, eq=False)
class Part:
    """Neighbouring rows that take the same adapters.

    tree: A composition that chooses no rows, an adapter's name, or None.
    rows: How many rows. size: How much of the first axis of tensors they take.
    flow: The pass, as these rows see it.
    numbers: What the rows are called in notes, or None for 0, 1, 2, …
    """

    tree: Any
    names: tuple[str, ...]
    rows: int
    size: int
    flow: "Flow"
    numbers: tuple[int, ...] | None = None

    def acts(self, slot: Any) -> bool:
        """Whether one of its adapters hangs in the slot."""
        return any(slot.acts(name) for name in self.names)


@dataclass(frozen=True, eq=False)
class Flow:
    """One forward pass: how its rows lie, which adapters act, and what it is asked to show.

    layout: How the rows lie.
    head_mask: (layers, heads) factors of the attention probabilities, or None.
    hidden_states, attentions, gates, fusions: What to give back beside the last layer: the layers,
        attention probabilities, the gates of adapters, the attentions of adapter fusions.
    plan: Which adapters act. task_ids: Of the rows, for `MultiTask`.
    parts: The rows by their adapters; () where no adapter acts.
    prefixes, shared: Of the adapters that act, what is computed once for all layers.
    """

    layout: Layout
    head_mask: Tensor | None = None
    hidden_states: bool = False
    attentions: bool = False
    gates: bool = False
    fusions: bool = False
    plan: Plan = NO_ADAPTERS
    task_ids: Any = None
    parts: tuple[Part, ...] = ()
    prefixes: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def noting(self) -> bool:
        """Whether notes of adapters are asked for."""
        return self.gates or self.fusions

    def divided(self, runs: Sequence[Run], numbers: Sequence[int] | None = None) -> "Flow":
        """With its rows divided by the adapters that they take.

        runs: In the order of the layout's rows. numbers: What the rows are called in notes.
        """
        if all(tree is None for tree, _ in runs):
            return replace(self, parts=())
        counts = [count for _, count in runs]
        if self.noting and len(runs) > 1 and numbers is None:
            numbers = range(sum(counts))
        layouts: Sequence[Layout] = self.layout.parts(counts)
        sizes = self.layout.sizes(counts)
        parts, start = [], 0
        for (tree, rows), layout, size in zip(runs, layouts, sizes, strict=True):
            flow = replace(self, layout=layout, parts=())
            own = None if numbers is None else tuple(numbers[start : start + rows])
            parts.append(Part(tree, tuple(names(tree)), rows, size, flow, own))
            start += rows
        return replace(self, parts=tuple(parts))

    def reading(self, read: Read) -> "Flow":
        """Over the tokens read alone, as the last layer is: (tokens read, dim).

        Only for what works token by token; the layouts are those of the whole rows.
        """
        if not self.parts:
            return self
        parts, start = [], 0
        for part in self.parts:
            size = sum(read.counts[start : start + part.rows])
            parts.append(replace(part, size=size))
            start += part.rows
        return replace(self, parts=tuple(parts))

    # Adapters --------------------------------------------------------------------------------

    def adapt(self, slot: Any, state: Any) -> tuple[Tensor, Notes] | None:
        """What the adapters at a slot make of a state, (…, dim), and what they note of it.

        None where no adapter acts there, so that the layer can go its plain way.
        """
        if not self.parts or slot.site.layer in self.plan.skip_layers:
            return None
        if not any(part.acts(slot) for part in self.parts):
            return None
        if len(self.parts) == 1:
            part = self.parts[0]
            end = compose(part.tree, state, slot, part.flow)
            return end.end(), _noted(end, slot, part)
        ends: list[Tensor] = []
        notes: list[Noted] = []
        for part, own in zip(self.parts, self._cut(state), strict=True):
            end = compose(part.tree, own, slot, part.flow) if part.acts(slot) else own
            ends.append(end.end())
            notes.extend(_noted(end, slot, part))
        return torch.cat(ends), tuple(notes)

    def prefix(self, slot: Slot, x: Tensor) -> tuple[list[PrefixState], Notes]:
        """What each part's rows attend to beside their own tokens; [] for nothing at all."""
        if not self.parts or slot.site.layer in self.plan.skip_layers:
            return [], ()
        if not any(part.acts(slot) for part in self.parts):
            return [], ()
        ends = [
            compose(part.tree, own, slot, part.flow)
            for part, own in zip(self.parts, self._cut(PrefixState(x)), strict=True)
        ]
        both = zip(ends, self.parts, strict=True)
        return ends, tuple(note for end, part in both for note in _noted(end, slot, part))

    def prompts(self, slot: Slot) -> list[PromptState]:
        """What comes into each part's rows; [] for nothing at all."""
        if not any(part.acts(slot) for part in self.parts):
            return []
        return [compose(part.tree, PromptState(), slot, part.flow) for part in self.parts]

    def _cut(self, state: Any) -> list[Any]:
        """The state of each part's rows."""
        if len(self.parts) == 1:
            return [state]
        sizes = [part.size for part in self.parts]
        return cut(state, lambda x: torch.split(x, sizes))


def _noted(state: Any, slot: Any, part: Part) -> Notes:
    site = slot.site
    return tuple(Noted(note, site.layer, site.place, part.numbers) for note in state.notes)
