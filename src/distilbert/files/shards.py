"""Write the weights of a checkpoint: one file, or shards and their index."""

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from distilbert.errors import FileError, InputError
from distilbert.files.weights import PICKLED, SAFETENSORS, with_variant

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


def parse_size(size: int | str) -> int:
    """Bytes: `"50GB"` (10⁹ each), `"512MiB"` (2²⁰ each), or a number. Raises InputError."""
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B)\s*", size.upper())
        number = int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else 0
    else:
        number = size
    if isinstance(size, bool) or not isinstance(number, int) or number < 1:
        raise InputError(
            f"max_shard_size is {size!r}; allowed: a positive number of bytes, or one with a unit "
            "such as '500MB' or '5GB'"
        )
    return number


def write_weights(
    tensors: Mapping[str, Tensor],
    stage: Path,
    beside: Path,
    *,
    safetensors: bool = True,
    max_shard_size: int | str = "50GB",
    variant: str | None = None,
) -> list[str]:
    """Write the tensors into the folder `stage` and return the names of the files, index last.

    Shards whose names are taken in the folder `beside`, where they will lie, get new ones: the old
    index and its shards stay whole until the new index takes its place. Raises FileError if a
    tensor cannot be saved.
    """
    name = with_variant(SAFETENSORS if safetensors else PICKLED, variant)
    shards = _split(tensors, parse_size(max_shard_size))
    if len(shards) == 1:
        write_tensors(shards[0], stage / name, safetensors=safetensors)
        return [name]
    names = _shard_names(name, len(shards), beside)
    for shard, shard_name in zip(shards, names, strict=True):
        write_tensors(shard, stage / shard_name, safetensors=safetensors)
    index = index_name(safetensors, variant)
    places = {
        key: place for shard, place in zip(shards, names, strict=True) for key in sorted(shard)
    }
    total = sum(tensor.nbytes for tensor in tensors.values())
    content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (stage / index).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return [*names, index]


def index_name(safetensors: bool, variant: str | None) -> str:
    return with_variant(f"{SAFETENSORS if safetensors else PICKLED}.index.json", variant)


def obsolete(
    folder: Path, written: list[str], *, safetensors: bool, variant: str | None
) -> list[str]:
    """The weights in the folder that `written` replaces: left there, they would be loaded instead
    of the new ones, or lie about unused."""
    kinds = [safetensors] if safetensors else [True, False]  # safetensors win over pickles
    found = []
    for kind in kinds:
        name = with_variant(SAFETENSORS if kind else PICKLED, variant)
        stem, _, suffix = name.rpartition(".")
        shard = re.compile(rf"{re.escape(stem)}(-[0-9a-f]{{6}})?-\d{{5}}-of-\d{{5}}\.{suffix}")
        whole = {name, index_name(kind, variant)}
        found += [
            path.name
            for path in folder.iterdir()
            if path.name in whole or shard.fullmatch(path.name)
        ]
    return [name for name in found if name not in written]


def _split(tensors: Mapping[str, Tensor], largest: int) -> list[dict[str, Tensor]]:
    """Cut into shards of at most `largest` bytes, in order; a larger tensor has one to itself."""
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for key, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > largest:
            shards.append({})
            filled = 0
        shards[-1][key] = tensor
        filled += tensor.nbytes
    return shards


def _shard_names(name: str, count: int, beside: Path) -> list[str]:
    stem, _, suffix = name.rpartition(".")
    for mark in ("", f"-{secrets.token_hex(3)}", f"-{secrets.token_hex(3)}"):
        names = [f"{stem}{mark}-{n:05d}-of-{count:05d}.{suffix}" for n in range(1, count + 1)]
        if not any((beside / shard).exists() for shard in names):
            return names
    raise FileError(f"{str(beside)!r} holds too many old shards; remove them and save again")


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, safetensors: bool) -> None:
    """Write tensors into one file, none of them twice. Raises FileError if one cannot be saved."""
    ready: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in tensors.items():
        plain = _plain(key, tensor)
        # a storage is written whole: no views of larger ones, and none twice
        shares = plain.untyped_storage().nbytes() != plain.nbytes or plain.data_ptr() in seen
        ready[key] = plain.clone() if shares else plain
        seen.add(plain.data_ptr())
    try:
        if safetensors:
            save_file(ready, path, metadata={"format": "pt"})
        else:
            torch.save(ready, path)
    except (SafetensorError, RuntimeError) as error:  # also: no space left, file too large
        raise FileError(
            f"cannot write {path.name}: {error}. What was there before is untouched; free some "
            "space, or choose another folder"
        ) from error


def _plain(key: str, tensor: Tensor) -> Tensor:
    if tensor.is_meta:
        raise FileError(
            f"cannot save {key!r}: it has a shape but no values (device 'meta'); load them first"
        )
    return tensor.detach().cpu().contiguous()
