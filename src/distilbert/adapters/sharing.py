"""Matrices that several MTL-LoRA adapters have in common."""

from typing import Any

from torch import nn

from distilbert.adapters import walk
from distilbert.adapters.composition import Composition, names
from distilbert.adapters.configs import MTLLoRAConfig
from distilbert.adapters.site import Slot
from distilbert.errors import AdapterError

_SHARED = ("lora_A", "lora_B")


def share(
    encoder: Any, adapter_names: Any, name: str | None = None, reference: str | None = None
) -> None:
    """Lets MTL-LoRA adapters hold the same A and B, those of the reference, wherever all hang.

    A step of training on one moves all; they are counted and saved as each one's own. An optimizer
    that is there already still holds the old ones. Source: Yang et al. 2024, arXiv:2410.09437.

    Args:
        adapter_names: A list, `MultiTask(…)`, or names with commas between.
        name: What AdapterHub calls that which is shared. Nothing here is found by it.
        reference: Whose matrices they are; left out, those of the first.

    Raises AdapterError, and changes nothing, for adapters that are no MTL-LoRAs of one shape.
    """
    sharing = _names(adapter_names)
    if len(sharing) < 2:
        raise AdapterError(f"{adapter_names!r} names one adapter; sharing takes two or more")
    reference = sharing[0] if reference is None else reference
    if reference not in sharing:
        raise AdapterError(f"the reference {reference!r} is none of the adapters, {sharing}")
    _check_methods(encoder, sharing)
    places = [slot for _, slot, _ in walk.slots(encoder) if all(n in slot for n in sharing)]
    if not places:
        raise AdapterError(f"{sharing} hang nowhere together, so there is nothing to share")
    for slot in places:
        _check_alike(slot, sharing, reference)
    for slot in places:
        for key in _SHARED:
            for adapter in sharing:
                setattr(slot[adapter], key, getattr(slot[reference], key))


def unshare(encoder: Any, adapter_names: Any, name: str | None = None) -> None:
    """Gives each of these adapters matrices of its own: copies, if another still holds them.

    `adapter_names` and `name` are those of `share`. Raises AdapterError, and changes nothing, if
    one of the adapters shares nothing.
    """
    leaving = _names(adapter_names)
    for adapter in leaving:
        walk.registry(encoder).require(adapter)
        if not any(_fellows(slot, adapter) for _, slot, _ in walk.modules(encoder, adapter)):
            raise AdapterError(f"{adapter!r} shares no matrices; call share_parameters first")
    for adapter in leaving:
        for _, slot, module in walk.modules(encoder, adapter):
            if _fellows(slot, adapter):
                for key in _SHARED:
                    shared: nn.Parameter = getattr(module, key)
                    own = nn.Parameter(shared.detach().clone(), shared.requires_grad)
                    setattr(module, key, own)


def _names(given: Any) -> list[str]:
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",")]
    listed = names(given) if isinstance(given, Composition) else given
    if not isinstance(listed, (list, tuple)) or not listed or len({*listed}) < len(listed):
        raise AdapterError(
            f"{given!r:.100} is no choice of adapters; allowed: a list of different names, "
            "MultiTask(…), or names with commas between"
        )
    return [*listed]


def _check_methods(encoder: Any, sharing: list[str]) -> None:
    own = walk.registry(encoder)
    for adapter in sharing:
        config = own.require(adapter)
        if not isinstance(config, MTLLoRAConfig):
            raise AdapterError(
                f'{adapter!r} is no MTL-LoRA but {config!r:.200}; only "mtl_lora" shares A and B'
            )
    if own.merged in sharing:
        raise AdapterError(f"{own.merged!r} is merged into the weights; call reset_adapter() first")


def _check_alike(slot: Slot, sharing: list[str], reference: str) -> None:
    for key in _SHARED:
        for adapter in sharing:
            one: nn.Parameter = getattr(slot[reference], key)
            other: nn.Parameter = getattr(slot[adapter], key)
            kinds = [(tuple(p.shape), p.dtype, p.device) for p in (one, other)]
            if kinds[0] != kinds[1]:
                raise AdapterError(
                    f"{reference!r} and {adapter!r} cannot share {key} at {slot.site.name!r} of "
                    f"layer {slot.site.layer}: {kinds[0]} and {kinds[1]}; give them one r, one "
                    "n_up_projection, one dtype and one device"
                )


def _fellows(slot: Slot, adapter: str) -> list[str]:
    """Who else at a place holds the adapter's matrices."""
    own = getattr(slot[adapter], "lora_A", None)
    if own is None:
        return []
    return [n for n, m in slot.items() if n != adapter and getattr(m, "lora_A", None) is own]
