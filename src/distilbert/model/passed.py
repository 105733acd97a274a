"""What is made of a pass after the last layer: what it tells, and what is taken back of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from distilbert.adapters.site import by_place
from distilbert.flow import Flow
from distilbert.layout.tokens import starts_of

if TYPE_CHECKING:
    from distilbert.model.encoder import DistilBertModel, Encoded


def reported(encoded: "Encoded", flow: Flow) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The gates and fusion attentions of a pass, where asked for: {name: {layer: {place: …}}}."""
    gates = by_place(encoded.notes, "gates") if flow.gates else None
    return gates, by_place(encoded.notes, "fusions") if flow.fusions else None


def check_undo(encoder: "DistilBertModel", flow: Flow) -> None:
    """Raises AdapterError where invertible adapters together have no inverse."""
    encoder.own_adapters.check_inverse(flow.plan.setup)


def undo(
    encoder: "DistilBertModel", flow: Flow, encoded: "Encoded"
) -> Callable[[Tensor], Tensor] | None:
    """What takes the invertible adapters of a pass back, before a language-model head's words.

    It takes what the head reads: `encoded.own()`, or the tokens that were chosen.
    """
    if flow.plan.setup is None or not len(encoder.invertible_adapters):
        return None
    counts = encoded.counts
    copied = encoded.layout.count(encoded.hidden) if counts is None else len(counts)
    runs = flow.plan.runs(copied // flow.plan.copies, flow.task_ids)
    inverses = [encoder.own_adapters.inverse(tree) for tree, _ in runs]
    rows = [count for _, count in runs]
    if counts is None:
        sizes = encoded.layout.own_sizes(rows)
    else:
        starts = starts_of(rows)
        sizes = [sum(counts[at : at + n]) for at, n in zip(starts, rows, strict=True)]
    adapters: Any = encoder.invertible_adapters

    def undone(x: Tensor) -> Tensor:
        parts = []
        for acting, part in zip(inverses, torch.split(x, sizes), strict=True):
            for name in acting:
                part = adapters[name].inverse(part)  # noqa: PLW2901
            parts.append(part)
        return torch.cat(parts)

    return undone if any(inverses) else None
