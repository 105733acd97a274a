"""What one forward pass carries beside the activations: immutable, and passed down explicitly."""

from dataclasses import dataclass

from torch import Tensor

from distilbert.layout import Layout


@dataclass(frozen=True, eq=False)
class Flow:
    """One forward pass: how its rows lie, and what it is asked to show.

    head_mask: (layers, heads) factors of the attention probabilities, or None.
    """

    layout: Layout
    head_mask: Tensor | None = None
    hidden_states: bool = False
    attentions: bool = False
