"""What a run needs to go on to the same numbers: written at once or not at all."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distilbert import processes
from distilbert.errors import FileError, InputError
from distilbert.files.atomic import make_folder, writing
from distilbert.training.batches import Batches
from distilbert.training.recipe import Recipe

LAST, BEST = "checkpoint.pt", "best.pt"
_HASHED = ("model", "batches")
FREE = ("patience", "checkpoint_every")  # settings that change no weight


@dataclass
class State:
    """How far a run is. best: The evaluation that was the best; bad: how many came after it."""

    step: int = 0
    best: dict[str, Any] | None = None
    bad: int = 0


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """What training changes: parameters that are trained, and buffers. Copies, on the CPU."""
    found: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found.update(model.named_buffers())
    return {name: value.detach().cpu().clone() for name, value in found.items()}


def give_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts in what `weights_of` took out."""
    places = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, value in weights.items():
            places[name].copy_(value)


def _temperatures(model: nn.Module) -> dict[str, float]:
    """How sharp fusions have become: they cool while training, and are no tensors."""
    return {name: m.temperature for name, m in model.named_modules() if hasattr(m, "temperature")}


def identity(model: Any, batches: Batches, objective: Any, recipe: Recipe) -> dict[str, str]:
    """What must not change between a run and its resumption, by what it is."""
    settings = {k: v for k, v in asdict(recipe).items() if k not in FREE}
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters() if p.requires_grad}
    frozen = {
        name: p.detach().flatten()[:16].tolist()
        for name, p in model.named_parameters()
        if not p.requires_grad
    }
    own = model.adapters_config
    adapters = {name: own.get(name).to_dict() for name in own}
    told = repr(objective) if is_dataclass(objective) else type(objective).__qualname__
    return {
        "recipe": repr(settings),
        "objective": told,
        "adapters": repr((adapters, own.active_setup)),
        "number of processes": str(processes.count()),
        "model": hashlib.blake2b(repr((shapes, frozen)).encode(), digest_size=16).hexdigest(),
        "batches": batches.fingerprint(),
    }


def save(
    folder: Path,
    state: State,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    known: Mapping[str, str],
    scaler: Mapping[str, Any],
) -> None:
    """Writes the checkpoint of a run. Raises FileError, and leaves the last one, if it cannot."""
    make_folder(folder)
    _write(
        folder / LAST,
        {
            "state": asdict(state),
            "weights": weights_of(model),
            "temperatures": _temperatures(model),
            "optimizer": optimizer.state_dict(),
            "scaler": dict(scaler),
            "identity": dict(known),
            "threads": torch.get_num_threads(),
        },
    )


def save_best(folder: Path, step: int, weights: Mapping[str, Tensor]) -> None:
    """Writes the weights of the best evaluation, after `step` updates."""
    make_folder(folder)
    _write(folder / BEST, {"step": step, "weights": dict(weights)})


def load(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    known: Mapping[str, str],
    scaler: Any,
) -> State:
    """Takes a run up where its last checkpoint left it, or at its start where there is none.

    Raises FileError for a damaged checkpoint, InputError for one of another run; the model is then
    as it was.
    """
    if not (folder / LAST).is_file():
        return State()
    found = _read(folder / LAST)
    for what, own in known.items():
        before = found["identity"].get(what)
        if before != own:
            shown = f" (it had {before:.300})" if before and what not in _HASHED else ""
            raise InputError(
                f"{str(folder / LAST)!r} is of a run with another {what}; resume with what that "
                f"run had{shown}, or give another folder for a new run"
            )
    if found["threads"] != torch.get_num_threads():
        warnings.warn(
            f"the run had {found['threads']} threads so far and goes on with "
            f"{torch.get_num_threads()}: its numbers will differ by rounding from those of a run "
            "with one number of threads",
            stacklevel=2,
        )
    optimizer.load_state_dict(found["optimizer"])
    scaler.load_state_dict(found["scaler"])
    give_weights(model, found["weights"])
    modules = dict(model.named_modules())
    for name, temperature in found["temperatures"].items():
        modules[name].temperature = temperature
    return State(**found["state"])


def _write(path: Path, what: Mapping[str, Any]) -> None:
    with writing(path) as temporary:
        try:
            torch.save(what, temporary)
        except RuntimeError as error:  # how PyTorch tells that a disk is full
            raise OSError(str(error).partition("\n")[0]) from error


def tidy(folder: Path) -> None:
    """Removes what a run that was killed while it wrote has left."""
    for name in (LAST, BEST):
        for left in folder.glob(f".{name}.*.tmp"):
            left.unlink(missing_ok=True)


def load_best(folder: Path, step: int) -> dict[str, Tensor] | None:
    """The weights of the best evaluation, if these are of `step` updates."""
    if not (folder / BEST).is_file():
        return None
    found = _read(folder / BEST)
    return found["weights"] if found["step"] == step else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    except Exception as error:  # what a damaged file raises is anything
        first = str(error).partition("\n")[0][:200]
        raise FileError(
            f"{str(path)!r} is no checkpoint that can be read: {first}; delete it to begin anew"
        ) from error
