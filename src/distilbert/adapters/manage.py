"""Adding, finding, training and removing adapters: loops over the slots of an encoder."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from distilbert.adapters import methods as _methods  # noqa: F401  (each registers its builder)
from distilbert.adapters.build import build
from distilbert.adapters.composition import Composition, names, parse
from distilbert.adapters.configs import (
    AdapterConfig,
    check_layers,
    check_places,
    resolve,
)
from distilbert.adapters.fusing import common_places
from distilbert.adapters.naming import check_name
from distilbert.adapters.registry import Adapters
from distilbert.adapters.site import Slot, held
from distilbert.adapters.traits import Traits
from distilbert.adapters.walk import made_on, modules, registry, residuals, slots
from distilbert.errors import AdapterError


@contextmanager
def all_or_nothing(encoder: Any) -> Iterator[None]:
    """Puts adapters, fusions and what is active back as they were if what is done inside fails."""
    own = registry(encoder)
    kept = {name: copy.copy(value) for name, value in vars(own).items()}
    holders: list[nn.ModuleDict] = [slot for _, slot, _ in slots(encoder)]
    holders += [residual.adapter_fusion_layer for _, residual in residuals(encoder)]
    hung = [(holder, dict(holder.items())) for holder in holders]
    try:
        yield
    except BaseException:
        vars(own).update(kept)
        for holder, modules_before in hung:
            holder.clear()
            holder.update(modules_before)
        raise


# Adding ------------------------------------------------------------------------------------------


def built(
    encoder: Any, name: str, config: AdapterConfig, device: str | None = None
) -> list[tuple[Slot, nn.Module]]:
    """The modules of an adapter and where they belong; nothing is added yet.

    They have the dtype of the model, and its device unless another is named: on "meta" they take
    no memory and have no values. Raises AdapterError if nothing hangs anywhere.
    """
    with made_on(device):
        return _built(encoder, name, config, device or encoder.device)


def _built(
    encoder: Any, name: str, config: AdapterConfig, device: torch.device | str
) -> list[tuple[Slot, nn.Module]]:
    ready: list[tuple[Slot, nn.Module]] = []
    for _, slot, host in slots(encoder):
        at_root = slot.site.layer < 0
        module = build(config, slot.site, encoder if at_root else host, name)
        if module is not None:
            own_dtype = getattr(module, "own_dtype", None)  # a configuration may ask for another
            module.to(device=device, dtype=own_dtype or encoder.dtype)
            ready.append((slot, module.train(encoder.training)))
    if not any(slot.site.name not in ("shared", "prefixes") for slot, _ in ready):
        raise AdapterError(
            f"the configuration of {name!r} hangs nowhere in this model of "
            f"{encoder.config.n_layers} layers: {config!r}; look at leave_out, layers and the "
            "places that are switched on"
        )
    return ready


def add(encoder: Any, name: Any, config: Any, *, overwrite: bool = False) -> None:
    """Adds an adapter. Raises AdapterError, and changes nothing, if that cannot be."""
    check_name(name)
    own = registry(encoder)
    if name in own and not overwrite:
        raise AdapterError(
            f"this model already has an adapter {name!r}; choose another name, delete_adapter "
            "first, or pass overwrite_ok=True"
        )
    resolved = resolved_for(encoder, config)
    hang(encoder, name, resolved, built(encoder, name, resolved))


def resolved_for(encoder: Any, config: Any) -> AdapterConfig:
    """What users call a configuration. Raises AdapterError if it cannot be for this encoder."""
    resolved = resolve(config)
    check_layers(resolved, encoder.config.n_layers)
    check_places(resolved, encoder.config.n_layers)
    return resolved


def hang(
    encoder: Any, name: str, config: AdapterConfig, ready: Iterable[tuple[Slot, nn.Module]]
) -> None:
    """Adds what `built` made, in place of an adapter of this name; what is active stays so.

    Raises AdapterError, and changes nothing, if that one is merged, or if a fusion or the active
    setup that it is part of cannot have the new one.
    """
    own = registry(encoder)
    if name not in own:
        _hang(encoder, name, config, ready)
        return
    _check_not_merged(own, name)
    fused = [entry.adapters for entry in own.fusions.values() if name in entry.adapters]
    places = [common_places(own, adapters) for adapters in fused]
    with all_or_nothing(encoder):
        _take_off(encoder, name)
        _hang(encoder, name, config, ready)
        if [common_places(own, adapters) for adapters in fused] != places:
            raise AdapterError(
                f"{name!r} is part of a fusion, which hangs at {sorted(places[0])}, and the new "
                "one hangs elsewhere; call delete_adapter_fusion first"
            )
        if name in names(own.active.setup):
            own.active = own.plan(own.active.setup, own.active.skip_layers)


def _hang(
    encoder: Any, name: str, config: AdapterConfig, ready: Iterable[tuple[Slot, nn.Module]]
) -> None:
    own, ready = registry(encoder), list(ready)
    for slot, module in ready:
        slot[name] = module
    own.configs[name] = config
    own.traits[name] = Traits.of(name, config, tuple(slot.site for slot, _ in ready))


def _take_off(encoder: Any, name: str) -> None:
    for _, slot, _ in slots(encoder):
        if name in slot:
            del slot[name]


def _check_not_merged(own: Adapters, name: str) -> None:
    if own.merged == name:
        raise AdapterError(f"{name!r} is merged into the weights; call reset_adapter() first")


def delete(encoder: Any, name: Any) -> None:
    """Removes an adapter; what no longer can run is no longer active. Raises AdapterError."""
    own = registry(encoder)
    own.require(name)
    fused = [fusion for fusion, entry in own.fusions.items() if name in entry.adapters]
    if fused:
        raise AdapterError(
            f"{name!r} is part of the fusion {fused[0]!r}; call "
            f"delete_adapter_fusion({fused[0]!r}) first"
        )
    _check_not_merged(own, name)
    _take_off(encoder, name)
    del own.configs[name], own.traits[name]
    if name in names(own.active.setup):
        own.active = own.plan(None)


def by_layer(encoder: Any, name: Any) -> dict[int, dict[str, nn.Module]]:
    """The modules of an adapter as {layer: {place: module}}, -1 for what all layers share."""
    registry(encoder).require(name)
    found: dict[int, dict[str, nn.Module]] = {}
    for _, slot, module in modules(encoder, name):
        here = found.setdefault(slot.site.layer, {})
        place = slot.site.place
        if place not in here:
            here[place] = module
        elif isinstance(here[place], nn.ModuleList):
            here[place].append(module)  # type: ignore[operator]
        else:
            here[place] = nn.ModuleList([here[place], module])
    return found


# Training ----------------------------------------------------------------------------------------


def freeze(encoder: Any, frozen: bool = True) -> None:
    """Freezes, or lets train, everything in an encoder, adapters too, but what never trains."""
    for parameter in held(encoder):
        parameter.requires_grad_(not frozen)
    if not frozen:
        if encoder.config.sinusoidal_pos_embds:
            encoder.embeddings.position_embeddings.requires_grad_(False)
        for _, slot, _ in slots(encoder):
            for module in slot.values():
                _freeze_fixed(module)


def let_train(encoder: Any, setup: Composition) -> None:
    """Lets the adapters of a composition train."""
    for name in names(setup):
        registry(encoder).require(name)
        for _, _, module in modules(encoder, name):
            module.train().requires_grad_(True)
            _freeze_fixed(module)


def _freeze_fixed(module: nn.Module) -> None:
    """Freezes what a method never trains: its random matrices, rules that are not learned."""
    for part in module.modules():
        for name in getattr(part, "fixed", ()):
            getattr(part, name).requires_grad_(False)


def checked(encoder: Any, setup: Any) -> Composition:
    """A composition of adapters that are there. Raises AdapterError for none at all."""
    tree = parse(setup)
    if tree is None:
        raise AdapterError("no adapters are named; give a name, a list of names or a composition")
    for name in names(tree):
        registry(encoder).require(name)
    return tree
