"""Keys and settings of adapter files that are not those of the model, and back.

A file of AdapterHub holds some tensors under several names, and version 1 had other names. Here
every tensor comes under the one key that the encoder has, and is written as AdapterHub expects it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from distilbert.errors import AdapterError

PREFIX = "distilbert."  # of the keys of every class but the base class

_LAYER = r"transformer\.layer\.[0-9]+\."
_SLOTS = (
    rf"{_LAYER}(?:attention_adapters|output_adapters)\.(?:adapters|adapter_fusion_layer)",
    rf"{_LAYER}(?:attention\.(?:q|k|v|out)_lin|ffn\.lin[12])\.loras",
    rf"{_LAYER}attention\.prefix_tuning\.prefix_gates",
    rf"{_LAYER}reft_layer\.refts",
    r"prefix_tuning\.prefix_tunings",
    r"prompt_tuning\.prompt_tunings",
    r"invertible_adapters",
    r"shared_parameters",
    r"heads",
)
_KEY = re.compile(rf"((?:distilbert\.)?(?:{'|'.join(_SLOTS)}))\.([^.]+)\.(.+)", re.DOTALL)


def split_key(key: str) -> tuple[str, str, str] | None:
    """The slot's path, the name that hangs there, and the rest; None if the key has no such place.

    >>> split_key("transformer.layer.0.output_adapters.adapters.sst.adapter_up.bias")
    ('transformer.layer.0.output_adapters.adapters', 'sst', 'adapter_up.bias')
    """
    match = _KEY.fullmatch(key)
    return (match[1], match[2], match[3]) if match else None


def rename(weights: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    """The weights with `new` where the name `old` stands in their keys, and nowhere else.

    Raises AdapterError if the weights hold both names at one place.
    """
    renamed: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        found = split_key(key)
        here = f"{found[0]}.{new}.{found[2]}" if found and found[1] == old else key
        if here in renamed:
            raise AdapterError(
                f"cannot rename {old!r} to {new!r}: the weights hold {here!r} already; "
                "choose another name"
            )
        renamed[here] = tensor
    return renamed


# Reading ------------------------------------------------------------------------------------------

_OLD_SLOT = re.compile(
    rf"({_LAYER}(?:attention_adapters|output_adapters))\."
    r"(?:attention|layer)_text_(?:task|lang)_adapters\.(.+)",
    re.DOTALL,
)
_OLD_INVERTIBLE = "invertible_lang_adapters."
_POOL_IN_A_LAYER = re.compile(rf"{_LAYER}attention\.prefix_tuning\.pool\.(.+)", re.DOTALL)
_SHARED_EMBEDDINGS = "prompt_tuning.base_model_embeddings.weight"
_NORM, _FIRST, _SECOND = "adapter_norm_before.", "adapter_down.0.", "adapter_down.1."
_SQUARES = frozenset({"vera_D", "vera_B"})


def encoder_keys(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors of a file under the keys of the encoder, each once.

    Matrices of VeRA that are exactly diagonal become vectors. Keys that have no place in an encoder
    stay as they are. Raises AdapterError if one weight is there twice with different values.
    """
    found: dict[str, Tensor] = {}
    originals: dict[str, str] = {}
    shifted = _with_norm_inside(tensors)
    for original, tensor in tensors.items():
        key = _renewed(original.removeprefix(PREFIX))
        if key == _SHARED_EMBEDDINGS:
            continue
        place = split_key(key)
        if place and place[:2] in shifted and place[2].startswith(_FIRST):
            key = f"{place[0]}.{place[1]}.{_NORM}{place[2].removeprefix(_FIRST)}"
        compact = _as_vector(tensor) if place and place[2] in _SQUARES else tensor
        if key not in found:
            found[key], originals[key] = compact, original
        elif not _same(found[key], compact):
            raise AdapterError(
                f"{where} holds {key!r} twice, as {originals[key]!r} and as {original!r}, with "
                "different values; remove one of the two"
            )
    return found


def _renewed(key: str) -> str:
    old = _OLD_SLOT.fullmatch(key)
    if old:
        return f"{old[1]}.adapters.{old[2]}"
    if key.startswith(_OLD_INVERTIBLE):
        return "invertible_adapters." + key.removeprefix(_OLD_INVERTIBLE)
    copy = _POOL_IN_A_LAYER.fullmatch(key)
    return f"prefix_tuning.{copy[1]}" if copy else key


def _with_norm_inside(keys: Iterable[str]) -> set[tuple[str, str]]:
    """The bottlenecks (slot, name) whose first part is the norm again, and the projection second.

    With `ln_before`, AdapterHub puts one norm both before the projection and into its list.
    """
    places = (split_key(_renewed(key.removeprefix(PREFIX))) for key in keys)
    return {
        (place[0], place[1]) for place in places if place and place[2].startswith((_NORM, _SECOND))
    }


def _as_vector(square: Tensor) -> Tensor:
    """The diagonal of a matrix that has nothing beside it; any other tensor as it is."""
    if square.ndim != 2 or square.shape[0] != square.shape[1]:
        return square
    diagonal = square.diagonal()
    exact = int(torch.count_nonzero(square)) == int(torch.count_nonzero(diagonal))
    return diagonal.clone() if exact else square


def _same(one: Tensor, other: Tensor) -> bool:
    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def checkpoint_keys(keys: Iterable[str]) -> dict[str, str | None]:
    """Of the keys of a whole model's checkpoint, those of adapters that have another name here.

    None for a copy of another key. Keys that are here as they are there are left out.
    """
    found: dict[str, str | None] = {}
    known = set(keys)
    shifted = _with_norm_inside(known)
    for original in known:
        prefix = PREFIX if original.startswith(PREFIX) else ""
        key = _renewed(original.removeprefix(PREFIX))
        place = split_key(key)
        if place and place[:2] in shifted and place[2].startswith(_FIRST):
            key = f"{place[0]}.{place[1]}.{_NORM}{place[2].removeprefix(_FIRST)}"
        if key == _SHARED_EMBEDDINGS or (prefix + key != original and prefix + key in known):
            found[original] = None
        elif prefix + key != original:
            found[original] = prefix + key
    ours: set[str] = set()  # of copies without their original, one takes its place
    for original in sorted(known):
        renamed = found.get(original)
        if renamed is not None and renamed in ours:
            found[original] = None
        elif renamed is not None:
            ours.add(renamed)
    return found


def compact(key: str, tensor: Tensor) -> Tensor:
    """The weight as an adapter here holds it: a diagonal matrix of VeRA as a vector."""
    place = split_key(key)
    return _as_vector(tensor) if place and place[2] in _SQUARES else tensor


# Writing ------------------------------------------------------------------------------------------


def published_keys(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The encoder's weights of one adapter or fusion under the keys that AdapterHub's loader knows.

    Raises AdapterError for a key that is not one of this name.
    """
    for key in weights:
        place = split_key(key)
        if place is None or place[1] != name or place[0] == "heads":
            raise AdapterError(
                f"cannot save {key!r} with {name!r}; allowed are weights that hang at the places "
                f"of an encoder under this name, such as 'invertible_adapters.{name}.F.0.weight'"
            )
    return published({PREFIX + key: tensor for key, tensor in weights.items()})


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of adapters as AdapterHub's loader wants them; all others as they are."""
    written: dict[str, Tensor] = {}
    taken: set[int] = set()
    for key, tensor in weights.items():
        place = split_key(key)
        dense = place is not None and place[2] in _SQUARES and tensor.ndim == 1
        shared = place is not None and tensor.data_ptr() in taken  # each adapter's file is whole
        written[key] = torch.diag(tensor) if dense else tensor.clone() if shared else tensor
        taken.add(tensor.data_ptr())
        if place is not None and place[2].startswith(_NORM):
            again = _FIRST + place[2].removeprefix(_NORM)
            written[f"{place[0]}.{place[1]}.{again}"] = tensor.clone()
    return written


# Settings -----------------------------------------------------------------------------------------

_INVERTIBLE = ("inv_adapter", "inv_adapter_reduction_factor", "invertible_adapter")


def without_unused_invertible(
    config: Mapping[str, Any], info: Mapping[str, Any], keys: Iterable[str]
) -> dict[str, Any]:
    """The settings without those of an invertible adapter, if a task adapter of version 1 has none.

    Version 1 wrote them for every adapter, and used them in language adapters only.
    """
    used = any(key.startswith("invertible_adapters.") for key in keys)
    if info.get("type") != "text_task" or used:
        return dict(config)
    return {name: value for name, value in config.items() if name not in _INVERTIBLE}
