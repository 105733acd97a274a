"""Adding, finding, training and removing adapters: loops over the slots of an encoder."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from distilbert.adapters import methods as _methods  # noqa: F401  (each registers its builder)
from distilbert.adapters.build import Undrawn, build
from distilbert.adapters.composition import Composition, Fuse, fused, names, parse
from distilbert.adapters.configs import (
    AdapterConfig,
    AdapterFusionConfig,
    BnConfig,
    check_layers,
    check_places,
    members,
    resolve,
    resolve_fusion,
)
from distilbert.adapters.methods.fusion import Fusion, Residual
from distilbert.adapters.naming import check_name
from distilbert.adapters.registry import Adapters
from distilbert.adapters.site import Slot, held
from distilbert.adapters.traits import FusionEntry, Traits
from distilbert.errors import AdapterError


def slots(encoder: nn.Module) -> Iterator[tuple[str, Slot, nn.Module]]:
    """Every slot of an encoder: its path, itself, and what it belongs to."""

    def walk(
        module: nn.Module, path: str, host: nn.Module
    ) -> Iterator[tuple[str, Slot, nn.Module]]:
        for name, child in module.named_children():
            below = f"{path}.{name}" if path else name
            if isinstance(child, Slot):
                yield below, child, module if path else host
            elif not isinstance(child, (nn.Embedding, nn.LayerNorm)):
                yield from walk(child, below, host)

    return walk(encoder, "", encoder)


def residuals(encoder: nn.Module) -> Iterator[tuple[str, Residual]]:
    """Every add-and-norm of an encoder, with its path."""
    for name, module in encoder.named_modules():
        if isinstance(module, Residual):
            yield name, module


def registry(encoder: Any) -> Adapters:
    """The adapters of an encoder."""
    found: Adapters = encoder.own_adapters
    return found


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
    with _made_on(device):
        return _built(encoder, name, config, device or encoder.device)


@contextmanager
def _made_on(device: str | None) -> Iterator[None]:
    """Modules that are made inside have shapes alone if the device is "meta".

    All others are made where torch makes them, mostly the CPU, and brought to their device after.
    """
    if device == "meta" or torch.empty(0).is_meta:
        with torch.device("meta"), Undrawn():
            yield
    else:
        yield


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
    places = [_common_places(own, adapters) for adapters in fused]
    with all_or_nothing(encoder):
        _take_off(encoder, name)
        _hang(encoder, name, config, ready)
        if [_common_places(own, adapters) for adapters in fused] != places:
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


def modules(encoder: Any, name: str) -> Iterator[tuple[str, Slot, nn.Module]]:
    """What hangs anywhere of an adapter: the path of the slot, the slot, the module."""
    for path, slot, _ in slots(encoder):
        if name in slot:
            yield path, slot, slot[name]


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


# Fusions -----------------------------------------------------------------------------------------


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
    places = _common_places(registry(encoder), adapters)
    ready = []
    for _, residual in residuals(encoder):
        if residual.site.name in places:
            with _made_on(device):
                fusion = Fusion(config, residual.site.width, encoder.config.attention_dropout)
            fusion.to(device=device or encoder.device, dtype=encoder.dtype)
            ready.append((residual, fusion.train(encoder.training)))
    return ready


def _common_places(own: Adapters, adapters: tuple[str, ...]) -> set[str]:
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


def checked(encoder: Any, setup: Any) -> Composition:
    """A composition of adapters that are there. Raises AdapterError for none at all."""
    tree = parse(setup)
    if tree is None:
        raise AdapterError("no adapters are named; give a name, a list of names or a composition")
    for name in names(tree):
        registry(encoder).require(name)
    return tree
