"""Options of loading and saving: which have no effect here, and what dtype and device mean."""

from collections.abc import Mapping
from typing import Any

import torch

from distilbert.errors import InputError

_ANY = None  # every value
_OFF = (None, False)
_UNSET = (None,)

# What code written for transformers passes and what needs no option here, with the values that mean
# what happens anyway: memory is always low, code of a checkpoint is never run, pickles hold weights
# only, a download is always resumed, attention has one implementation that equals both of these.
WITHOUT_EFFECT: dict[str, tuple[Any, ...] | None] = {
    "low_cpu_mem_usage": _ANY,
    "_fast_init": _ANY,
    "trust_remote_code": _ANY,
    "resume_download": _ANY,
    "mirror": _ANY,
    "offload_folder": _ANY,
    "offload_state_dict": _ANY,
    "offload_buffers": _ANY,
    "weights_only": (None, True),
    "attn_implementation": (None, "sdpa", "eager"),
    "from_tf": _OFF,
    "from_flax": _OFF,
    "load_in_8bit": _OFF,
    "load_in_4bit": _OFF,
    "proxies": _UNSET,
    "key_mapping": _UNSET,
    "quantization_config": _UNSET,
    "max_memory": _UNSET,
    "tp_plan": _UNSET,
}
WITHOUT_EFFECT_ON_SAVING: dict[str, tuple[Any, ...] | None] = {
    "save_function": _ANY,  # tensors are written by safetensors, or by torch.save
    "save_peft_format": _ANY,
    "save_original_format": _ANY,
    # of an upload, which there is none of
    "token": _ANY,
    "use_auth_token": _ANY,
    "repo_id": _ANY,
    "commit_message": _ANY,
    "private": _ANY,
    "revision": _ANY,
    "create_pr": _ANY,
    "tags": _ANY,
}


def without_ineffective(
    options: Mapping[str, Any], table: Mapping[str, tuple[Any, ...] | None]
) -> dict[str, Any]:
    """The options that the table does not hold. Raises InputError for values it does not allow."""
    for name in options.keys() & table.keys():
        allowed = table[name]
        if allowed is not None and options[name] not in allowed:
            raise InputError(
                f"{name} is {options[name]!r}; allowed: {', '.join(map(repr, allowed))}"
            )
    return {name: value for name, value in options.items() if name not in table}


def read_dtype(given: torch.dtype | str | None) -> torch.dtype | str | None:
    """A floating dtype from itself or its name; "auto" and None stay. Raises InputError."""
    if given is None or given == "auto":
        return given
    named = floating_dtype(given)
    if named is None:
        raise InputError(
            f"dtype is {given!r}; allowed: 'auto', a floating dtype such as torch.bfloat16, or its "
            "name"
        )
    return named


def floating_dtype(given: object) -> torch.dtype | None:
    """The floating dtype that this is or names, if any."""
    named = getattr(torch, given.removeprefix("torch."), None) if isinstance(given, str) else given
    return named if isinstance(named, torch.dtype) and named.is_floating_point else None


def read_device(given: Any) -> torch.device:
    """One device of this machine, in any spelling. Raises InputError."""
    if isinstance(given, Mapping):
        devices = {*given.values()}
        given = devices.pop() if len(devices) == 1 else given
    if given is None:
        return torch.get_default_device()
    if given == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(given)
        torch.empty(0, device=found)  # whether this machine has it
    except (RuntimeError, TypeError, AssertionError, ImportError) as error:
        raise InputError(f"device is {given!r}; allowed: {_devices()}") from error
    if found.type == "meta":
        raise InputError(f"device is 'meta', which holds no weights; allowed: {_devices()}")
    return found


def _devices() -> str:
    """The devices of this machine, in words."""
    gpus = [f"'cuda:{n}'" for n in range(torch.cuda.device_count())]
    return "one device of this machine: " + ", ".join(["'cpu'", *gpus]) + ", or 'auto'"
