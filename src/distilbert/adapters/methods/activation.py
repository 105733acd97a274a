"""Activations by the names that adapter configurations have."""

from collections.abc import Callable

from torch import Tensor

from distilbert.activations import ACTIVATIONS

ALIASES = {"leakyrelu": "leaky_relu"}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function of this name, whichever case it is written in."""
    name = name.lower()
    return ACTIVATIONS[ALIASES.get(name, name)]
