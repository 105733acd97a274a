"""From a configuration and a site to the module that hangs there: one builder for each method."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from distilbert.adapters.configs import AdapterConfig, members
from distilbert.adapters.site import Site
from distilbert.errors import AdapterError

Builder = Callable[[Any, Site, Any, str], nn.Module | None]

_BUILDERS: list[tuple[type[AdapterConfig], Builder]] = []


def register(kind: type[AdapterConfig]) -> Callable[[Builder], Builder]:
    """Adds a builder: (config, site, host, name) → a module, or None where nothing hangs.

    `host` is what the slot belongs to: the projection beside which it hangs, or the model.
    """

    def add(builder: Builder) -> Builder:
        _BUILDERS.append((kind, builder))
        return builder

    return add


def build(config: AdapterConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """What the adapter `name` of this configuration hangs at a site, or None.

    Raises AdapterError if two parts of a union want the same place.
    """
    found = [
        module
        for member in members(config)
        for kind, builder in _BUILDERS
        if isinstance(member, kind)
        if (module := builder(member, site, host, name)) is not None
    ]
    if len(found) > 1:
        raise AdapterError(
            f"{len(found)} parts of the configuration of {name!r} hang at {site.name!r} of layer "
            f"{site.layer}; leave all but one of them out there"
        )
    return found[0] if found else None


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws from a generator of this seed, and leaves torch's own as it was; None: no change."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Undrawn(TorchFunctionMode):
    """Draws no normal numbers for tensors without values: PyTorch loads its compiler to do so."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if getattr(func, "__name__", "") == "normal_":
            tensor = args[0] if args else given["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **given)
