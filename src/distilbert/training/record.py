"""run.json: everything that is needed to repeat a run of training, and how it ended."""

import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from distilbert import __version__, processes
from distilbert.data.examples import Dataset
from distilbert.errors import FileError
from distilbert.files.atomic import make_folder, write_text
from distilbert.training.batches import Batches
from distilbert.training.events import End
from distilbert.training.metrics_file import METRICS, read_metrics
from distilbert.training.recipe import Recipe

NAME = "run.json"
Record = dict[str, Any]
_LIBRARIES = ("torch", "tokenizers", "numpy", "scikit-learn", "scipy", "seqeval")
_SAMPLE = 16  # values of a parameter that its hash looks at


def run_record(
    *,
    arguments: Mapping[str, Any],
    model: tuple[str, Any],
    tokenizer: Any,
    datasets: Mapping[str, Dataset],
    recipe: Recipe,
    batches: Batches,
    objective: Any,
) -> Record:
    """What a run is made of, as JSON. Call it before the first update: it looks at the weights.

    arguments: Those of the command, as given. model: Its name, as given, and what was loaded.
    datasets: By what each is for, such as "train". Their files are those where examples stand.

    Raises FileError if a file cannot be read.
    """
    return {
        "arguments": plain(arguments),
        "model": _of_model(*model),
        "tokenizer": _of_tokenizer(tokenizer),
        "data": {
            part: {
                "kind": data.kind,
                "examples": len(data.examples),
                "labels": len(data.labels),
                "files": [_of_file(file) for file in files_of(data)],
            }
            for part, data in datasets.items()
        },
        "recipe": plain(recipe),
        "batches": {
            "of_epoch": len(batches),
            "features": len(batches.features),
            "batch_size": batches.batch_size,
            "token_budget": batches.token_budget,
            "seed": batches.seed,
            "masking": None if batches.masking is None else _of_masking(batches.masking),
            "fingerprint": batches.fingerprint(),
        },
        "objective": {"name": _name_of(objective), **_settings(objective)},
        "versions": _versions(),
        "machine": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "processes": processes.count(),
            "device": _device(model[1]),
        },
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write(folder: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Writes the record to run.json in a folder, whole or not at all. Raises FileError."""
    make_folder(Path(folder))
    text = json.dumps(plain(record), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(Path(folder) / NAME, text + "\n")


def read(folder: str | os.PathLike[str]) -> Record:
    """The record of the run in a folder. Raises FileError if there is none, or no whole one."""
    path = Path(folder) / NAME
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(
            f"{str(path)!r} is no record of a run that can be read: {error}; name the folder of one"
        ) from error
    if not isinstance(found, dict):
        raise FileError(f"{str(path)!r} holds no record of a run; name the folder of one")
    return found


def finished(folder: str | os.PathLike[str], end: End, scores: Mapping[str, float]) -> Record:
    """The record in a folder with how the run ended. It is not written.

    scores: Of the weights that it left. The seconds are those of all updates and evaluations in the
    folder's metrics.jsonl, before a resumption and after it; null without such a file.
    """
    record = read(folder)
    best = None
    if end.best is not None:
        best = {"step": end.best.step, "epoch": end.best.epoch, "scores": end.best.scores}
    record["scores"] = plain(scores)
    record["end"] = plain(
        {
            "steps": end.step,
            "stopped_early": end.stopped,
            "best": best,
            "seconds": _seconds(Path(folder) / METRICS),
        }
    )
    return record


def plain(value: Any) -> Any:
    """The same as JSON has it: objects of settings by their fields, all else that is none by name.

    A number that is not finite becomes null.
    """
    for types, made in _PLAIN:
        if isinstance(value, types):
            return made(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _settings(value)
    return _name_of(value)


_PLAIN: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: plain(value.value)),
    (bool | int | str | None, lambda value: value),
    (float, lambda value: value if math.isfinite(value) else None),
    (os.PathLike, os.fspath),
    (Mapping, lambda value: {str(plain(key)): plain(one) for key, one in value.items()}),
    (set | frozenset, lambda value: sorted(map(plain, value), key=str)),
    (Sequence, lambda value: [plain(one) for one in value]),
)


def _settings(value: Any) -> Record:
    """The fields that an object was made with."""
    if not is_dataclass(value):
        return {}
    return {own.name: plain(getattr(value, own.name)) for own in fields(value) if own.init}


def _name_of(value: Any) -> str:
    return getattr(value, "__name__", type(value).__name__)


def _of_model(name: str, model: Any) -> Record:
    own: Any = getattr(model, "adapters_config", ())
    return {
        "name": name,
        "class": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "adapters": {adapter: plain(own.get(adapter).to_dict()) for adapter in own},
        "weights": hash_of_weights(model),
    }


def hash_of_weights(model: nn.Module) -> str:
    """Differs where names, shapes or a few values of a parameter differ; looks at no others."""
    found = hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        found.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        flat = parameter.detach().flatten()
        found.update(flat[:: max(1, len(flat) // _SAMPLE)].cpu().double().numpy().tobytes())
    return found.hexdigest()


def _of_tokenizer(tokenizer: Any) -> Record:
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    digest = hashlib.blake2b(repr(pieces).encode(), digest_size=16).hexdigest()
    return {"class": type(tokenizer).__name__, "pieces": len(pieces), "vocabulary": digest}


def _of_masking(masking: Any) -> Record:
    return {name: getattr(masking, name) for name in ("share", "random", "keep", "seed")}


def files_of(data: Dataset) -> list[Path]:
    """The files where examples stand, in the order of these; none for standard input."""
    found: dict[str, None] = {}
    last = ""
    for example in data.examples:
        if last and example.where.startswith(f"{last}, "):
            continue
        name = example.where.rpartition(", ")[0]  # such as "dev.tsv, line 3"
        while name and not Path(name).is_file():
            name = name.rpartition(", ")[0]
        if name:
            last = name
            found[name] = None
    return [Path(name) for name in found]


def _of_file(path: Path) -> Record:
    found, size = hashlib.blake2b(digest_size=32), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
                size += len(piece)
    except OSError as error:
        raise FileError(
            f"cannot read {str(path)!r} again, to say in {NAME} what was trained on: "
            f"{error.strerror or error}; leave it where it is while it is used"
        ) from error
    return {"path": str(path), "bytes": size, "blake2b": found.hexdigest()}


def _versions() -> dict[str, str | None]:
    found = {"distilbert": __version__, "python": platform.python_version()}
    return {**found, **{name: _version(name) for name in _LIBRARIES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # vendored without its metadata
        return None


def _device(model: Any) -> str:
    device: torch.device = model.device
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _seconds(path: Path) -> float | None:
    if not path.is_file():
        return None
    return round(sum(row.get("seconds") or 0.0 for row in read_metrics(path)), 3)
