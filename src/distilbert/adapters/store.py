"""Read the folders of AdapterHub and PEFT: adapters, fusions, heads and setups, without a model.

Weights are checked for being plain numbers; whether they fit a model is for the model to say.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from distilbert.adapters.archive import opened, read_tensors
from distilbert.adapters.configs import AdapterFusionConfig, config_of_file, resolve
from distilbert.adapters.foreign import encoder_keys, rename, split_key, without_unused_invertible
from distilbert.adapters.naming import check_stored_name
from distilbert.adapters.peft import read_peft
from distilbert.adapters.peft_saving import write_peft
from distilbert.adapters.saving import write_adapter, write_fusion, write_head, write_setup
from distilbert.adapters.stored import (
    ADAPTER,
    FILES,
    FUSION,
    HEAD,
    MODEL_TYPE,
    SETUP,
    StoredAdapter,
    StoredFusion,
    StoredHead,
    StoredSetup,
    check_numbers,
    setup_parts,
)
from distilbert.errors import AdapterError, FileError
from distilbert.files.find import Source, read_json

__all__ = [
    "StoredAdapter",
    "StoredFusion",
    "StoredHead",
    "StoredSetup",
    "read_adapter",
    "read_fusion",
    "read_head",
    "read_peft",
    "read_setup",
    "rename",
    "split_key",
    "write_adapter",
    "write_fusion",
    "write_head",
    "write_peft",
    "write_setup",
]

logger = logging.getLogger("distilbert")
Place = str | os.PathLike[str]
Made = TypeVar("Made")


def read_adapter(
    name_or_path: Place,
    *,
    config: str | Mapping[str, Any] | None = None,
    with_head: bool = True,
    use_safetensors: bool | None = None,
    **where: Any,
) -> StoredAdapter:
    """The adapter in a folder, a hub repository, a zip or a zip at a URL; one of PEFT too.

    config: in place of the file's, for files that do not say all (anything that `resolve` takes).
    use_safetensors: False to prefer pickled weights where there are both.
    where: options of `files.find.locate`.

    Raises FileError if files are missing or damaged, AdapterError if they do not hold an adapter
    for DistilBERT.
    """
    with opened(name_or_path, FILES, **where) as source:
        path = source.require(ADAPTER[0])
        data = read_json(path)
        if "peft_type" in data:
            stored = read_peft(source, with_head=with_head, use_safetensors=use_safetensors)
            return stored if config is None else _with_config(stored, config)
        settings, info = _split(data, path, "config", "name")
        name = check_stored_name(data.get("name"), repr(str(path)))
        check_numbers(settings, f"{str(path)!r}, under 'config',")
        weights = _encoder_weights(source, ADAPTER, use_safetensors)
        head = _read_head(source, use_safetensors) if with_head and source.path(HEAD[0]) else None
        if config is None:
            settings = without_unused_invertible(settings, info, weights)
            made = _made(config_of_file, {**data, "config": settings}, path)
            _warn_of_reft(settings, name, path)
        else:
            made = resolve(config)
        return StoredAdapter(name, made, info, weights, head)


def read_fusion(
    name_or_path: Place,
    *,
    with_head: bool = False,
    use_safetensors: bool | None = None,
    **where: Any,
) -> StoredFusion:
    """The AdapterFusion in a folder, a hub repository, a zip or a zip at a URL; see read_adapter.

    A file of version 1 does not list its adapters: they are the parts of its name.
    """
    with opened(name_or_path, FILES, **where) as source:
        path = source.require(FUSION[0])
        data = read_json(path)
        settings, info = _split(data, path, "config", "name", "adapter_names")
        check_numbers(settings, f"{str(path)!r}, under 'config',")
        name = check_stored_name(data.get("name"), repr(str(path)))
        adapters = data.get("adapter_names", name)
        if isinstance(adapters, str):
            adapters = adapters.split(",")
        if not isinstance(adapters, list) or len(adapters) < 1:
            raise AdapterError(
                f"{str(path)!r} says adapter_names {adapters!r:.100}; allowed: a list of names"
            )
        for adapter in adapters:
            check_stored_name(adapter, f"{str(path)!r}, under 'adapter_names',")
        weights = _without_longer_names(_encoder_weights(source, FUSION, use_safetensors), name)
        head = _read_head(source, use_safetensors) if with_head and source.path(HEAD[0]) else None
        settings = {"dropout_prob": None, **settings}  # files before that option lack it
        made = _made(AdapterFusionConfig.from_dict, settings, path)
        return StoredFusion(name, tuple(adapters), made, info, weights, head)


def read_head(
    name_or_path: Place, *, use_safetensors: bool | None = None, **where: Any
) -> StoredHead:
    """The head in a folder, a hub repository, a zip or a zip at a URL; see read_adapter."""
    with opened(name_or_path, FILES, **where) as source:
        return _read_head(source, use_safetensors)


def read_setup(name_or_path: Place, **where: Any) -> StoredSetup:
    """The setup in a folder, a hub repository, a zip or a zip at a URL, and what lies below it.

    Each part is then read from the same place with `subfolder` and its name. Raises FileError if
    an adapter or a fusion of the setup is missing, AdapterError if the setup is none.
    """
    with opened(name_or_path, FILES, **where) as source:
        path = source.require(SETUP)
        data = read_json(path)
        tree: Any = data.get("adapter_setup")
        heads = data.get("head_setup")
        named = setup_parts(tree, heads, repr(str(path)))
        for kind, files in (("adapters", ADAPTER), ("fusions", FUSION)):
            for name in named[kind]:
                _require_below(source, name, files[0], path)
        found = [
            name for name in named["heads"] if source.path(f"{name}/{HEAD[0]}" if name else HEAD[0])
        ]
        return StoredSetup(tree, heads, named["adapters"], named["fusions"], tuple(found))


def _split(data: dict[str, Any], path: Path, *taken: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings under "config", and all that is neither these nor in `taken`.

    Raises AdapterError if there are no settings, or if the file is for another kind of model.
    """
    settings = data.get("config")
    if not isinstance(settings, dict):
        raise AdapterError(
            f"{str(path)!r} says config {settings!r:.100}; an object with the settings of the "
            "adapter is needed. Save the adapter anew, or give the folder of another"
        )
    return settings, _info(data, path, *taken)


def _info(data: dict[str, Any], path: Path, *taken: str) -> dict[str, Any]:
    kind = data.get("model_type", MODEL_TYPE)
    if kind != MODEL_TYPE:
        raise AdapterError(
            f"{str(path)!r} is for model_type {kind!r:.100}; allowed: {MODEL_TYPE!r}. "
            "Take one that was trained on a DistilBERT"
        )
    return {key: value for key, value in data.items() if key not in taken}


def _made(make: Callable[[Mapping[str, Any]], Made], data: Mapping[str, Any], path: Path) -> Made:
    """What `make` makes of a file's data. Raises AdapterError that names the file."""
    try:
        return make(data)
    except AdapterError as error:
        raise AdapterError(f"{str(path)!r}: {error}") from error


def _warn_of_reft(settings: Mapping[str, Any], name: str, path: Path) -> None:
    """Logs that a ReFT may be another one: AdapterHub's files do not tell NoReFT from DiReFT."""
    parts = settings.get("configs") if settings.get("architecture") == "union" else [settings]
    for part in parts or ():
        free = part.get("architecture") == "reft" and not part.get("orthogonality")
        if free and "subtract_projection" not in part:
            logger.warning(
                "%r does not say subtract_projection, and %r is loaded as a NoReFT, as AdapterHub "
                "does; if it was trained as a DiReFT, pass "
                "config=AdapterConfig.load(that file, subtract_projection=False)",
                str(path),
                name,
            )


def _with_config(stored: StoredAdapter, config: str | Mapping[str, Any]) -> StoredAdapter:
    return StoredAdapter(stored.name, resolve(config), stored.info, stored.weights, stored.head)


def _read_head(source: Source, use_safetensors: bool | None) -> StoredHead:
    path = source.require(HEAD[0])
    data = read_json(path)
    info = _info(data, path, "config", "name")
    config, name = data.get("config"), data.get("name")
    if not isinstance(config, dict | None):
        raise AdapterError(
            f"{str(path)!r} says config {config!r:.100}; allowed: an object with the settings of "
            "the head, or null for the head of a fixed class"
        )
    check_numbers({"num_labels": info.get("num_labels")}, repr(str(path)))
    if config is not None:
        name = check_stored_name(name, repr(str(path)))
        check_numbers(config, f"{str(path)!r}, under 'config',")
    weights = read_tensors(source, HEAD, use_safetensors)
    if name is None:
        return StoredHead(None, config, info, weights)
    return StoredHead(name, config, info, _without_longer_names(weights, name))


def _encoder_weights(
    source: Source, files: tuple[str, str, str], use_safetensors: bool | None
) -> dict[str, Tensor]:
    return encoder_keys(read_tensors(source, files, use_safetensors), source.where())


def _without_longer_names(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Without what AdapterHub saves by mistake: beside a head or fusion "a" also "ab" or "a,b"."""
    places = {key: split_key(key) for key in weights}
    return {
        key: tensor
        for key, tensor in weights.items()
        if not (place := places[key]) or place[1] == name or not place[1].startswith(name)
    }


def _require_below(source: Source, name: str, filename: str, path: Path) -> None:
    if source.path(f"{name}/{filename}") is None:
        raise FileError(
            f"{str(path)!r} needs {name!r}, but {source.where()} has no {name}/{filename}; "
            "take the setup anew, with all its subfolders"
        )
