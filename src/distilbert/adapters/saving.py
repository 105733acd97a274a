"""Write the folders of AdapterHub: adapters, fusions, heads and setups."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from distilbert.adapters.configs import AdapterConfig, LoRAConfig, ReftConfig, members
from distilbert.adapters.foreign import published_keys, split_key
from distilbert.adapters.naming import check_stored_name
from distilbert.adapters.stored import (
    ADAPTER,
    FUSION,
    HEAD,
    PEFT,
    SETUP,
    VERSION,
    StoredAdapter,
    StoredFusion,
    StoredHead,
    setup_parts,
)
from distilbert.errors import AdapterError
from distilbert.files.atomic import staging, write_text
from distilbert.files.shards import write_tensors

logger = logging.getLogger("distilbert")
Place = str | os.PathLike[str]


def write_adapter(folder: Place, stored: StoredAdapter, *, safe: bool = True) -> list[Path]:
    """Write an adapter, and its head if it has one, as AdapterHub loads them; the paths.

    Weights go to safetensors, or with `safe=False` to pickled files. All files are complete before
    the first takes its place; weights of another format are removed, so that none that are old are
    loaded. Options that would be passed over there are logged.

    Raises AdapterError, and changes nothing, for what no file can hold; FileError if the folder
    cannot be written.
    """
    check_stored_name(stored.name, "the adapter to be saved")
    tensors = published_keys(stored.weights, stored.name)
    warn_of_own_options(stored.name, stored.config)
    data = {**stored.info, "config": stored.config.to_dict(), "name": stored.name}
    return write_files(folder, [(ADAPTER, data, tensors), *_head_files(stored.head)], safe=safe)


def write_fusion(folder: Place, stored: StoredFusion, *, safe: bool = True) -> list[Path]:
    """Write an AdapterFusion, and its head if it has one; see write_adapter."""
    for name in (stored.name, *stored.adapters):
        check_stored_name(name, "the fusion to be saved")
    tensors = published_keys(stored.weights, stored.name)
    data = {
        **stored.info,
        "adapter_names": list(stored.adapters),
        "config": stored.config.to_dict(),
        "name": stored.name,
    }
    return write_files(folder, [(FUSION, data, tensors), *_head_files(stored.head)], safe=safe)


def write_head(folder: Place, stored: StoredHead, *, safe: bool = True) -> list[Path]:
    """Write a head; see write_adapter."""
    return write_files(folder, _head_files(stored), safe=safe)


def write_setup(folder: Place, setup: Mapping[str, Any], head_setup: Any = None) -> Path:
    """Write `adapter_setup.json`: the composition that `setup` is the dict of, and the heads.

    The parts are written apart, each into a subfolder of its name. Raises AdapterError, and changes
    nothing, if the setup is none or names what no folder can be called; FileError if the folder
    cannot be written.
    """
    path = Path(folder) / SETUP
    setup_parts(setup, head_setup, "the setup")
    data = {"adapter_setup": dict(setup), "head_setup": head_setup, "version": VERSION}
    write_text(path, _json(data, SETUP))
    return path


def warn_of_own_options(name: str, config: AdapterConfig) -> None:
    """Logs the options of an adapter that AdapterHub's library passes over without a word.

    It computes something else then. (Where only it is a rank that differs, it refuses the weights.)
    """
    for member in members(config):
        found = []
        if isinstance(member, LoRAConfig):
            remedy = "save it with peft=True, and load it with PEFT"
            found += ["out in attn_matrices"] if _adapts_output(member) else []
            found += [option for option in ("use_rslora", "alpha_pattern") if member[option]]
        elif isinstance(member, ReftConfig):
            remedy = "load it with this package"
            found += [] if member.subtract_projection else ["subtract_projection=False"]
        if found:
            logger.warning(
                "the adapter %r has %s, which AdapterHub's library passes over when it loads the "
                "file: it would compute something else; %s",
                name,
                " and ".join(found),
                remedy,
            )


def _adapts_output(member: LoRAConfig) -> bool:
    return member.selfattn_lora and "out" in member.attn_matrices


Files = tuple[tuple[str, str, str], Mapping[str, Any], Mapping[str, Tensor]]


def write_files(
    folder: Place, parts: list[Files], *, safe: bool, version: str | None = VERSION
) -> list[Path]:
    """Write each part: its configuration, and its weights in one of two formats.

    `version` is written into each configuration unless it is None.
    """
    place = Path(folder)
    texts, tensors, old = {}, {}, set()
    for names_of_part, data, weights in parts:
        config_name, safe_name, pickled_name = names_of_part
        dated = data if version is None else {**data, "version": version}
        texts[config_name] = _json(dated, config_name)
        tensors[safe_name if safe else pickled_name] = weights
        old |= {safe_name, pickled_name}
        if config_name == ADAPTER[0]:  # the configurations of both kinds have one name
            old |= {*ADAPTER[1:], *PEFT[1:]}
    with staging(place, texts, lambda _: [name for name in old if (place / name).is_file()]) as new:
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8", newline="\n")
        for name, weights in tensors.items():
            write_tensors(weights, new / name, safetensors=safe)
    return [place / name for name in [*texts, *tensors]]


def _head_files(head: StoredHead | None) -> list[Files]:
    if head is None:
        return []
    if (head.name is None) != (head.config is None):
        raise AdapterError(
            f"a head has the name {head.name!r} and the config {head.config!r:.60}; allowed: both, "
            "or neither for the head of a fixed class"
        )
    if head.name is not None:
        check_stored_name(head.name, "the head to be saved")
    for key in head.weights:
        place = split_key(key)
        if head.name is not None and (place is None or place[:2] != ("heads", head.name)):
            raise AdapterError(
                f"cannot save {key!r} with the head {head.name!r}; allowed are weights whose names "
                f"start with 'heads.{head.name}.'"
            )
    own = {key: tensor for key, tensor in head.weights.items() if key not in head.shared}
    return [(HEAD, {**head.info, "config": head.config, "name": head.name}, own)]


def _json(data: Mapping[str, Any], name: str) -> str:
    try:
        return json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise AdapterError(
            f"cannot write {name}: {error}; allowed are text, finite numbers, true, false, None, "
            "lists, and dictionaries with text as keys"
        ) from error
