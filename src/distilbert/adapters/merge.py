"""Working adapters of LoRA's family into the weights beside which they hang, and taking them out.

Merged, an adapter costs nothing. The projections have new parameters then; their own are kept in
the slots, so that files that are saved meanwhile hold these, another model that shares them runs on
unchanged, and `reset` puts back the very same objects.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.composition import names
from distilbert.adapters.configs import AdapterConfig, LoRAConfig, members
from distilbert.adapters.methods.low_rank import NOTHING, Beside, Shared
from distilbert.adapters.site import Slot
from distilbert.adapters.walk import registry, slots
from distilbert.errors import AdapterError

Place = tuple[str, Slot, Any]  # a projection that holds an adapter: its path, its slot, itself


def merge(encoder: Any, name: Any) -> None:
    """Works an adapter into the projections; nothing to do if it is there already.

    While it is merged, it acts in every pass. Optimizers that were made before do not train the
    merged weights; what does is lost with `reset`.
    Raises AdapterError, and changes nothing, if there is nothing that can be merged, or if another
    adapter is merged or active.
    """
    own = registry(encoder)
    config = own.require(name)
    if own.merged == name:
        return
    if own.merged is not None:
        raise AdapterError(
            f"{own.merged!r} is merged into the weights already; call reset_adapter() before "
            f"merging {name!r}"
        )
    _check_kind(name, config)
    places = [(path, slot, host) for path, slot, host in _projections(encoder) if name in slot]
    _check_active(own.active, name, places)
    shared = encoder.shared_parameters[name].values() if _is_shared(encoder, name) else NOTHING
    ready = [(slot, host, _merged(host, slot[name], shared)) for _, slot, host in places]
    for slot, host, tensors in ready:
        slot.plain = {key: getattr(host, key) for key in tensors}
        slot.merged = name
        for key, own_parameter in slot.plain.items():  # never changed: others may share it
            setattr(host, key, nn.Parameter(tensors[key], own_parameter.requires_grad))
    own.merged = name


def reset(encoder: Any) -> None:
    """Puts back the parameters from before `merge`, bit for bit; nothing to do if none is."""
    for _, slot, host in _projections(encoder):
        for key, parameter in slot.plain.items():
            setattr(host, key, parameter)
        slot.plain, slot.merged = {}, None
    registry(encoder).merged = None


def check_loading(encoder: Any, keys: Iterable[str]) -> None:
    """Raises AdapterError if keys of the encoder's state dict are of weights with a merged adapter.

    What is saved are the weights without it, so loading them would leave neither the one nor the
    other.
    """
    held = {
        f"{path.removesuffix('.loras')}.{key}"
        for path, slot, _ in _projections(encoder)
        for key in slot.plain
    }
    found = sorted(held.intersection(keys))
    if found:
        raise AdapterError(
            f"{found[0]!r} cannot be loaded while {registry(encoder).merged!r} is merged into it; "
            "call reset_adapter() first, and merge_adapter afterwards"
        )


def _projections(encoder: nn.Module) -> list[Place]:
    return [(p, s, h) for p, s, h in slots(encoder) if isinstance(h, nn.Linear)]


def _is_shared(encoder: Any, name: str) -> bool:
    return name in encoder.shared_parameters


def _check_kind(name: str, config: AdapterConfig) -> None:
    parts = [member for member in members(config) if isinstance(member, LoRAConfig)]
    if not parts:
        raise AdapterError(
            f"{name!r} is a {type(config).__name__}, which no weights can hold; allowed: "
            "adapters with LoRA, IA3, DoRA, VeRA or MTL-LoRA"
        )
    if any(part.use_gating for part in parts):
        raise AdapterError(
            f"{name!r} has gates, which weigh each row by what it says, so no weights can hold it; "
            "leave it active, or train one with use_gating=False"
        )


def _check_active(active: Any, name: str, places: list[Place]) -> None:
    if not places:
        raise AdapterError(f"the LoRA of {name!r} hangs nowhere in this model; look at leave_out")
    if active.setup is not None and names(active.setup) != [name]:
        raise AdapterError(
            f"{active.setup!r} is active and would run on top of the merged {name!r}; call "
            f"set_active_adapters(None) or set_active_adapters({name!r}) first"
        )
    skipped = sorted(active.skip_layers & {slot.site.layer for _, slot, _ in places})
    if skipped:
        raise AdapterError(
            f"layers {skipped} are skipped, and merged weights cannot be; call "
            f"set_active_adapters({name!r}) without skip_layers, or use leave_out={skipped}"
        )


def _merged(host: Any, module: nn.Module, shared: Shared) -> dict[str, Tensor]:
    """The tensors of a projection that change, computed in float32 at least and rounded once."""
    assert isinstance(module, Beside)
    dtype = torch.promote_types(host.weight.dtype, torch.float32)
    exact = copy.deepcopy(module).to(device=host.weight.device, dtype=dtype)
    place = {"device": host.weight.device, "dtype": dtype}
    with torch.no_grad():
        bias = None if host.bias is None else host.bias.to(dtype)
        random = {key: value.to(**place) for key, value in shared.items()}
        weight, changed = exact.merged(host.weight.to(dtype), bias, random)
        tensors = {"weight": weight}
        if changed is not None and changed is not bias:
            tensors["bias"] = changed
        return {key: tensor.to(host.weight.dtype) for key, tensor in tensors.items()}
