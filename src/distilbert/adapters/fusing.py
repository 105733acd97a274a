"""Fusions of an encoder: added, trained and removed over adapters that are there."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from distilbert.adapters.composition import Composition, Fuse, fused
from distilbert.adapters.configs import AdapterFusionConfig, BnConfig, members, resolve_fusion
from distilbert.adapters.methods.fusion import Fusion, Residual
from distilbert.adapters.naming import check_name
from distilbert.adapters.registry import Adapters
from distilbert.adapters.traits import FusionEntry
from distilbert.adapters.walk import made_on, registry, residuals
from distilbert.errors import AdapterError


def fusion_name(given: Any, name: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The name of a fusion, and the adapters in it, of what users call it."""
    tree = given
    if isinstance(given, (list, tuple)) and not isinstance(given, Composition):
        tree = Fuse(*given)
    elif isinstance(given, str):
        tree = Fuse(*given.split(","))
    if not isinstance(tree, Fuse):
        raise AdapterError(
            f"{given!r} is no fusion; allowed: a list of adapters' names, or Fuse(…)"
        )
    adapters = tuple(c.last() if isinstance(c, Composition) else c for c in tree.children)
    return tree.name if name is None else name, adapters


def add_fusion(
    encoder: Any, given: Any, config: Any, name: str | None, *, overwrite: bool = False
) -> str:
    """Adds a fusion over adapters that are there. Raises AdapterError, and then changes nothing."""
    own = registry(encoder)
    label, adapters = fusion_name(given, name)
    check_name(label, "a fusion")
    for adapter in adapters:
        own.require(adapter)
    if label in own.fusions and not overwrite:
        raise AdapterError(
            f"this model already has a fusion {label!r}; delete_adapter_fusion first, or pass "
            "overwrite_ok=True"
        )
    resolved = resolve_fusion(config)
    ready = built_fusion(encoder, adapters, resolved)
    hang_fusion(encoder, label, FusionEntry(adapters, resolved), ready)
    return label


def built_fusion(
    encoder: Any,
    adapters: tuple[str, ...],
    config: AdapterFusionConfig,
    device: str | None = None,
) -> list[tuple[Residual, Fusion]]:
    """The modules of a fusion and where they belong; see `built`.

    Raises AdapterError if its adapters do not hang at the same places.
    """
    places = common_places(registry(encoder), adapters)
    ready = []
    for _, residual in residuals(encoder):
        if residual.site.name in places:
            with made_on(device):
                fusion = Fusion(config, residual.site.width, encoder.config.attention_dropout)
            fusion.to(device=device or encoder.device, dtype=encoder.dtype)
            ready.append((residual, fusion.train(encoder.training)))
    return ready


def common_places(own: Adapters, adapters: tuple[str, ...]) -> set[str]:
    """Where all of these have a bottleneck. Raises AdapterError if it is not the same for all."""
    places = {
        name: {
            place
            for member in members(own.require(name))
            if isinstance(member, BnConfig)
            for place in ("mh_adapter", "output_adapter")
            if member[place]
        }
        for name in adapters
    }
    if len({frozenset(found) for found in places.values()}) != 1 or not places[adapters[0]]:
        shown = {name: sorted(found) for name, found in places.items()}
        raise AdapterError(
            f"the adapters of a fusion must hang at the same places; they hang at {shown}; "
            "allowed: bottleneck adapters with equal mh_adapter and output_adapter"
        )
    return places[adapters[0]]


def hang_fusion(
    encoder: Any, name: str, entry: FusionEntry, ready: Iterable[tuple[Residual, Fusion]]
) -> None:
    """Adds what `built_fusion` made, in place of a fusion of this name.

    What is active stays so where the new one is over the same adapters.
    """
    own = registry(encoder)
    if name in own.fusions and own.fusions[name].adapters != entry.adapters:
        delete_fusion(encoder, name)
    for residual, fusion in ready:
        residual.adapter_fusion_layer[name] = fusion
    own.fusions[name] = entry


def delete_fusion(encoder: Any, given: Any) -> None:
    """Removes a fusion; what no longer can run is no longer active. Raises AdapterError."""
    own = registry(encoder)
    named = isinstance(given, str) and given in own.fusions
    name = given if named else fusion_name(given)[0]
    if name not in own.fusions:
        raise AdapterError(f"no fusion {name!r}; this model has {sorted(own.fusions)}")
    for _, residual in residuals(encoder):
        if name in residual.adapter_fusion_layer:
            del residual.adapter_fusion_layer[name]
    del own.fusions[name]
    if name in fused(own.active.setup):
        own.active = own.plan(None)


def fusion_modules(encoder: Any, name: str) -> Iterator[tuple[str, Fusion]]:
    """The fusion layers of this name, with their paths."""
    for path, residual in residuals(encoder):
        if name in residual.adapter_fusion_layer:
            fusion: Any = residual.adapter_fusion_layer[name]
            yield f"{path}.adapter_fusion_layer", fusion


def regularization(encoder: Any) -> torch.Tensor | None:
    """What keeps the values of fusions that train near the identity, or None."""
    losses = [
        loss
        for _, residual in residuals(encoder)
        for fusion in residual.adapter_fusion_layer.values()
        if isinstance(fusion, Fusion)
        and any(parameter.requires_grad for parameter in fusion.parameters())
        and (loss := fusion.regularization()) is not None
    ]
    return torch.stack(losses).sum() if losses else None


# Training -----------------------------------------------------------------------------------------


def check_fusions(setup: Any) -> None:
    """Raises AdapterError unless a composition holds a fusion."""
    if not fused(setup):
        raise AdapterError(
            f"{setup!r} holds no fusion to train; give Fuse(…), or a list of lists of names"
        )


def let_fusions_train(encoder: Any, setup: Any) -> None:
    """Lets the fusions of a composition train."""
    for name in fused(setup):
        for _, residual in residuals(encoder):
            if name in residual.adapter_fusion_layer:
                residual.adapter_fusion_layer[name].train().requires_grad_(True)
