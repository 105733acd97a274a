"""Write the folders of PEFT: LoRA and (IA)³ as `peft.PeftModel.from_pretrained` loads them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from distilbert.adapters.configs import AdapterConfig, LoRAConfig, MTLLoRAConfig, members
from distilbert.adapters.foreign import PREFIX
from distilbert.adapters.peft import HEAD_MODULES, ROOT, SITES, TASKS, place_of, ranks_of
from distilbert.adapters.saving import write_files
from distilbert.adapters.stored import BASE_CLASS, PEFT, StoredAdapter, StoredHead
from distilbert.errors import AdapterError


def write_peft(
    folder: str | os.PathLike[str],
    stored: StoredAdapter,
    *,
    safe: bool = True,
    model_class: str | None = None,
) -> list[Path]:
    """Write a LoRA or (IA)³ adapter as `peft.PeftModel.from_pretrained` loads it; the paths.

    model_class: the class that it will be loaded into, if not that of `stored.info`; in the base
        class the encoder's keys are others. The head of a fixed class is saved with it.

    Raises AdapterError, and changes nothing, for what PEFT cannot compute exactly; FileError if the
    folder cannot be written.
    """
    target = model_class or stored.info.get("model_class") or BASE_CLASS
    prefix = "" if target == BASE_CLASS else PREFIX
    parts = _writable(members(stored.config))
    scaled = parts[0].composition_mode == "scale"
    tensors: dict[str, Tensor] = {}
    layers: dict[str, set[int]] = {}
    of_member: dict[str, LoRAConfig] = {}
    for key, tensor in stored.weights.items():
        path, layer, site = place_of(key, stored.name)
        layers.setdefault(site, set()).add(layer)
        of_member[path] = _member_of(parts, layer, site, key)
        part = key.rpartition(".")[2]
        if part not in ({"lora_B"} if scaled else {"lora_A", "lora_B"}):
            raise AdapterError(f"cannot save {key!r} for PEFT; allowed: lora_A and lora_B")
        full = f"{ROOT}{prefix}{path}"
        if scaled:
            tensors[f"{full}.ia3_l"] = tensor * of_member[path].alpha
        else:
            tensors[f"{full}.{part}.weight"] = tensor
    if not tensors:
        raise AdapterError(f"the adapter {stored.name!r} has no weights; there is nothing to save")
    head, task = _written_head(stored.head, target)
    data: dict[str, Any] = {
        "base_model_name_or_path": stored.info.get("model_name") or None,
        "inference_mode": True,
        "modules_to_save": sorted({key.partition(".")[0] for key in head}) or None,
        "peft_type": "IA3" if scaled else "LORA",
        "revision": stored.info.get("revision"),
        "task_type": task,
        **_written_modules(layers, parts),
    }
    if scaled:
        data |= {"feedforward_modules": []}
    else:
        ranks = ranks_of(stored.weights, stored.name, f"the weights of {stored.name!r}")
        data |= _written_numbers(parts[0], of_member, ranks)
    tensors |= {ROOT + key: tensor for key, tensor in head.items()}
    return write_files(folder, [(PEFT, data, tensors)], safe=safe, version=None)


def _writable(parts: tuple[AdapterConfig, ...]) -> tuple[LoRAConfig, ...]:
    """The parts. Raises AdapterError for what PEFT has not."""
    found: list[LoRAConfig] = []
    for part in parts:
        if not isinstance(part, LoRAConfig) or isinstance(part, MTLLoRAConfig):
            raise AdapterError(
                f"cannot save {type(part).__name__} for PEFT; allowed: LoRAConfig and IA3Config. "
                "Save it as a folder of AdapterHub"
            )
        for name, why in _LACKING.items():
            if part[name]:
                raise AdapterError(
                    f"cannot save an adapter with {name} {part[name]!r} for PEFT: {why}. Save it "
                    "as a folder of AdapterHub"
                )
        found.append(part)
    if len({(part.composition_mode, part.use_rslora, part.dropout) for part in found}) > 1:
        raise AdapterError(
            "cannot save a union for PEFT whose parts differ in composition_mode, use_rslora or "
            "dropout; save it as a folder of AdapterHub"
        )
    return tuple(found)


_LACKING = {
    "use_gating": "it has no gates",
    "use_dora": "its norm has the scale in it and leaves the bias out, and ours does not",
    "vera_d": "its own VeRA draws the shared matrices in another way",
}


def _member_of(parts: tuple[LoRAConfig, ...], layer: int, site: str, key: str) -> LoRAConfig:
    name, value = SITES[site]
    for part in parts:
        beside = part.selfattn_lora and value in part.attn_matrices
        here = beside if name == "attn_matrices" else part[name]
        if here and layer not in part.leave_out:
            return part
    raise AdapterError(f"{key!r} hangs where its configuration has nothing; correct one of the two")


def _written_head(head: StoredHead | None, target: str) -> tuple[dict[str, Tensor], str | None]:
    """The head's weights and PEFT's task, which would demand a head if it were said without one."""
    if head is None:
        return {}, None
    if head.name is not None:
        raise AdapterError(
            f"cannot save the flexible head {head.name!r} for PEFT, which knows the heads of fixed "
            "classes; save without the head, or from a model of such a class"
        )
    whole = {key for key in head.weights if key.partition(".")[0] in HEAD_MODULES.get(target, ())}
    if whole != {*head.weights}:
        raise AdapterError(
            f"cannot save the head weights {sorted({*head.weights} - whole)[:3]} with a {target}; "
            "give the model_class that they belong to"
        )
    return head.weights, next((task for task, (name, _) in TASKS.items() if name == target), None)


def _written_modules(
    layers: Mapping[str, set[int]], parts: tuple[LoRAConfig, ...]
) -> dict[str, Any]:
    """What names the modules: the short names where all layers have them, else every path."""
    found = sorted(set().union(*layers.values()))
    alike = all(sorted(present) == found for present in layers.values())
    short = sorted(site.rpartition(".")[2] for site in layers)
    if alike and found == [*range(len(found))] and not any(part.leave_out for part in parts):
        return {"target_modules": short}
    if alike and parts[0].composition_mode == "add":  # (IA)³ has no such option
        return {"target_modules": short, "layers_to_transform": found}
    paths = [f"transformer.layer.{n}.{site}" for site in layers for n in sorted(layers[site])]
    return {"target_modules": paths}


def _written_numbers(
    first: LoRAConfig, of_member: Mapping[str, LoRAConfig], ranks: Mapping[str, int]
) -> dict[str, Any]:
    alphas = {path: part.alpha_pattern.get(path, part.alpha) for path, part in of_member.items()}
    return {
        "alpha_pattern": {path: alpha for path, alpha in alphas.items() if alpha != first.alpha},
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "lora_alpha": first.alpha,
        "lora_dropout": first.dropout,
        "r": first.r,
        "rank_pattern": {path: rank for path, rank in ranks.items() if rank != first.r},
        "use_rslora": first.use_rslora,
    }
