"""Read the weights of a checkpoint: mapped, from one file or several, with every file checked."""

import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distilbert.errors import FileError
from distilbert.files.find import Source, read_json
from distilbert.files.finite import FileReader, can_read, finite_tensor
from distilbert.files.sources import check_readable

SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"
_FOREIGN = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index", "rust_model.ot")


def with_variant(filename: str, variant: str | None) -> str:
    """`model.safetensors` → `model.fp16.safetensors` for the variant `fp16`."""
    stem, dot, suffix = filename.rpartition(".")
    return f"{stem}.{variant}{dot}{suffix}" if variant else filename


class Weights(Mapping[str, Tensor]):
    """The tensors of a checkpoint by key, in the file's order.

    Tensors of safetensors files are views of the mapped file: a page is read when it is touched,
    and writing to a tensor does not change the file.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        paths: Mapping[str, Path],
        *,
        borrowed: bool = False,
    ) -> None:
        self._tensors = tensors
        self.borrowed = borrowed  # whether somebody else uses the tensors too
        self._paths = paths  # key → safetensors file; empty for pickled files
        self._readers: dict[Path, FileReader] = {}

    def __getitem__(self, key: str) -> Tensor:
        return self._tensors[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def apart(self, key: str) -> Tensor:
        """The tensor in a mapping of its own, so that its memory goes when it goes.

        For tensors that are converted: in the common mapping, the pages of all would add up.
        """
        if key not in self._paths:
            return self._tensors[key]
        with safe_open(self._paths[key], framework="pt") as file:
            return _aligned(file.get_tensor(key))

    def finite(self, key: str) -> bool:
        """Whether all values are finite; a mapped tensor is not touched."""
        path, tensor = self._paths.get(key), self._tensors[key]
        if path is None or not can_read(tensor.dtype):
            return finite_tensor(tensor)
        if path not in self._readers:
            self._readers[path] = FileReader(path)
        return self._readers[path].finite(key, tensor.dtype)


def open_weights(
    source: Source,
    *,
    use_safetensors: bool | None = None,
    variant: str | None = None,
    files: tuple[str, str] = (SAFETENSORS, PICKLED),
) -> Weights:
    """The weights of a folder or repository.

    In order of preference: `model.safetensors`, its shards, `pytorch_model.bin`, its shards;
    `use_safetensors` leaves only the former two (True) or the latter two (False). With a `variant`
    only files of that name (`model.fp16.safetensors`). `files` are other names for the two. Raises
    FileError if there are none, or if one of them is damaged, hostile, or holds anything but plain
    tensors.
    """
    safe, pickled = files
    names = []
    if use_safetensors is not False:
        names.append(safe)
    if not use_safetensors:
        names.append(pickled)
    for name in names:
        read = _read_safetensors if name == safe else _read_pickled
        path = source.path(with_variant(name, variant))
        if path is not None:
            return read([check_readable(path)])
        index = source.path(with_variant(f"{name}.index.json", variant))
        if index is not None:
            return _read_shards(source, index, safetensors=name == safe)
    raise _no_weights(source, names, variant, files)


def _no_weights(
    source: Source, names: list[str], variant: str | None, files: tuple[str, str]
) -> FileError:
    looked = " or ".join(with_variant(name, variant) for name in names)
    other = next((name for name in (*files, *_FOREIGN) if source.path(name)), None)
    if other in _FOREIGN:
        remedy = f"it has {other}, of another framework: convert it to safetensors first"
    elif other:
        remedy = f"it has {other}: load that, with other values of `variant` and `use_safetensors`"
    else:
        remedy = f"it has {', '.join(source.names()) or 'no known files'}; check the name"
    return FileError(f"no {looked}, and no index of shards, in {source.where()}: {remedy}")


# Shards ------------------------------------------------------------------------------------------


def _read_shards(source: Source, index: Path, *, safetensors: bool) -> Weights:
    places = _weight_map(index)
    paths = {shard: _shard(source, index, shard) for shard in sorted({*places.values()})}
    read = _read_safetensors if safetensors else _read_pickled
    parts = {shard: read([path]) for shard, path in paths.items()}
    absent = [key for key, shard in places.items() if key not in parts[shard]]
    if absent:
        raise FileError(
            f"{str(index)!r} says that {absent[0]!r} is in {places[absent[0]]!r}, which does not "
            f"hold it ({len(absent)} such keys); take index and shards from one place, anew"
        )
    return Weights(
        {key: parts[shard][key] for key, shard in places.items()},
        {key: paths[shard] for key, shard in places.items()} if safetensors else {},
    )


def _weight_map(index: Path) -> dict[str, str]:
    places = read_json(index, repeats=False).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise FileError(f"{str(index)!r} has no 'weight_map' of keys to shards; take it anew")
    for key, shard in places.items():
        plain = isinstance(shard, str) and shard and not set(shard) & set("/\\\0:")
        if not plain or shard in {".", ".."}:
            raise FileError(
                f"{str(index)!r} names {shard!r} as the shard of {key!r}; a shard is a file beside "
                "its index, never a path. Do not trust this checkpoint before you looked at it"
            )
    return places


def _shard(source: Source, index: Path, shard: str) -> Path:
    path = source.path(shard)
    if path is None:
        raise FileError(
            f"{str(index)!r} names the shard {shard!r}, which is not in {source.where()}; "
            "download the checkpoint again, whole"
        )
    return check_readable(path)


# Safetensors -------------------------------------------------------------------------------------


def _read_safetensors(paths: list[Path]) -> Weights:
    tensors: dict[str, Tensor] = {}
    places: dict[str, Path] = {}
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118  (no dictionary)
                    tensors[key] = _aligned(file.get_tensor(key))
                    places[key] = path
        except (SafetensorError, OSError, RuntimeError, AttributeError) as error:
            raise FileError(
                f"{str(path)!r} ({path.stat().st_size:,} bytes) is not a whole safetensors file: "
                f"{error}. Download or copy it again"
            ) from error
    return Weights(tensors, places)


def _aligned(tensor: Tensor) -> Tensor:
    """A copy if the file's header had an odd length: numbers across word boundaries are slow, and
    some processors refuse them."""
    return tensor if tensor.data_ptr() % tensor.element_size() == 0 else tensor.clone()


# Pickled -----------------------------------------------------------------------------------------

# What torch's restricted unpickler raises on damaged or hostile files. It runs no code of the file,
# but it was not made to fail in one way.
_UNPICKLING = (
    pickle.UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    ImportError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)


def _read_pickled(paths: list[Path]) -> Weights:
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors.update(_plain_tensors(unpickle(path), path))
    return Weights(tensors, {})


def unpickle(path: Path) -> Any:
    """What a pickled file of plain tensors holds, mapped where it can be. Raises FileError."""
    mapped = zipfile.is_zipfile(path)  # the format before torch 1.6 cannot be mapped
    try:
        with warnings.catch_warnings():
            # torch warns of its own storages when it puts a damaged one into an error's message
            warnings.filterwarnings("ignore", "TypedStorage is deprecated", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except _UNPICKLING as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileError(
            f"{str(path)!r} ({path.stat().st_size:,} bytes) is not a file of plain tensors, or not "
            f"a whole one: {reason}. Download it again, use safetensors, or save the state dict "
            "alone: torch.save(model.state_dict(), …)"
        ) from error


def _plain_tensors(value: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(value, Mapping):
        raise FileError(
            f"{str(path)!r} holds a {type(value).__name__}; a state dict (names to tensors) is "
            "needed. Save model.state_dict()"
        )
    plain = {}
    for key, tensor in value.items():
        dense = isinstance(tensor, Tensor) and tensor.layout == torch.strided
        if not isinstance(key, str) or not dense or tensor.is_quantized or tensor.is_meta:
            what = type(tensor).__name__ if not isinstance(tensor, Tensor) else "special tensor"
            raise FileError(
                f"{str(path)!r} holds a {what} under {key!r}; only plain tensors under names are "
                "allowed. Save model.state_dict() alone"
            )
        plain[key] = tensor.detach().contiguous()
    return plain
