"""Load a model class from a checkpoint, and save a model as one."""

import copy
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from distilbert.adapters.foreign import published
from distilbert.config import CONFIG_NAME, DistilBertConfig
from distilbert.errors import ConfigError, FileError, InputError
from distilbert.files.atomic import staging, to_path
from distilbert.files.find import HUB_OPTIONS, Source, locate, read_json
from distilbert.files.finite import finite_tensor
from distilbert.files.foreign import Translated, depth_of_bert, looks_like_bert, translate
from distilbert.files.options import (
    WITHOUT_EFFECT,
    WITHOUT_EFFECT_ON_SAVING,
    floating_dtype,
    read_device,
    read_dtype,
    without_ineffective,
)
from distilbert.files.report import LoadReport
from distilbert.files.shards import index_name, obsolete, write_weights
from distilbert.files.weights import Weights, open_weights


class Loadable(Protocol):
    """What a model class must have so that it can be loaded and saved."""

    base_model_prefix: str
    config: DistilBertConfig

    def state_dict(self) -> dict[str, Tensor]: ...
    def tie_weights(self) -> None: ...
    def tied_keys(self) -> set[str]: ...
    def initialise(self, keys: Iterable[str]) -> None: ...
    def saved_config(self) -> DistilBertConfig: ...
    def fit(self, tensors: Mapping[str, Tensor]) -> None: ...


Model = TypeVar("Model", bound=nn.Module)


def load_pretrained(
    model_class: type[Model],
    name_or_path: str | os.PathLike[str] | None,
    *,
    config: DistilBertConfig | str | os.PathLike[str] | None = None,
    dtype: torch.dtype | str | None = None,
    torch_dtype: torch.dtype | str | None = None,
    device: torch.device | str | int | None = None,
    device_map: Any = None,
    ignore_mismatched_sizes: bool = False,
    use_safetensors: bool | None = None,
    variant: str | None = None,
    state_dict: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> tuple[Model, LoadReport]:
    """A model in eval mode with the weights of a folder, a hub id or a backbone, and a report.

    Weights are views of the mapped file where neither dtype nor device change, else converted a
    tensor at a time. `dtype` is a dtype, its name, or "auto" (that of the file); without it, the
    default dtype of torch. `options` are those of `find.locate`, and settings of the configuration.

    Raises FileError if files are missing, damaged or of another kind of model, or if shapes differ
    without `ignore_mismatched_sizes`; ConfigError if the configuration cannot work; InputError for
    an option that is unknown or has no such value.
    """
    where = {name: options.pop(name) for name in HUB_OPTIONS & options.keys()}
    old_token = options.pop("use_auth_token", None)
    if old_token is not None:
        where.setdefault("token", old_token)
    overrides = without_ineffective(options, WITHOUT_EFFECT)
    wanted_dtype = read_dtype(dtype if dtype is not None else torch_dtype)
    wanted_device = read_device(device if device is not None else device_map)
    source = None if name_or_path is None else locate(name_or_path, **where)
    settings = _config(source, config, where, overrides)
    if state_dict is not None:
        weights = Weights(state_dict, {}, borrowed=True)
    elif source is not None:
        weights = open_weights(source, use_safetensors=use_safetensors, variant=variant)
    else:
        raise InputError("there is nothing to load: give a folder, a hub id, or a state_dict")
    origin = source.name if source is not None else "a state dict"

    with torch.device("meta"):  # shapes alone
        model = model_class(settings)
    own = cast(Loadable, model)
    shapes = own.state_dict()
    report = LoadReport(source=origin, model=model_class.__name__)
    _check_kind(source, weights, settings)
    found = translate(weights, shapes, own.base_model_prefix, settings.architectures)
    own.fit(found.tensors)
    shapes = own.state_dict()
    fresh = _compare(found, shapes, own.tied_keys(), report)
    _refuse_strangers(found, shapes, report)
    if report.mismatched and not ignore_mismatched_sizes:
        raise _wrong_shapes(report)
    if not _needs_only(model, {*fresh}):
        with torch.device("cpu"):
            model = model_class(settings)
        own = cast(Loadable, model)
        own.fit(found.tensors)

    target = _resolve_dtype(wanted_dtype, settings, weights)
    _assign(model, found, weights, fresh, target, wanted_device, report)
    if wanted_dtype is not None:
        _convert(model, target)
        own.config.dtype = str(target).removeprefix("torch.")
    return model.eval(), report


# Configuration -----------------------------------------------------------------------------------

_WITHOUT_CONFIG = (
    "; for weights alone, as a Trainer of transformers writes them, pass `config=model.config`, "
    "with adapters `config=model.saved_config()`"
)


def _config(
    source: Source | None,
    given: DistilBertConfig | str | os.PathLike[str] | None,
    where: dict[str, Any],
    overrides: dict[str, Any],
) -> DistilBertConfig:
    if isinstance(given, DistilBertConfig):
        config, unknown = _with_overrides(copy.deepcopy(given), overrides)
    elif given is not None:
        config, unknown = DistilBertConfig.from_pretrained(
            given, return_unused_kwargs=True, **where, **overrides
        )
    elif source is not None:
        config, unknown = DistilBertConfig.from_pretrained(
            source.require(CONFIG_NAME, remedy=_WITHOUT_CONFIG),
            return_unused_kwargs=True,
            **overrides,
        )
    else:
        raise InputError(
            "there is no folder and no hub id to take the sizes of the model from: name one, or "
            "give a `config` beside the state_dict"
        )
    if unknown:
        raise InputError(
            f"unknown options: {', '.join(sorted(unknown))}; allowed are the options of "
            "from_pretrained and the settings of the configuration; check the spelling"
        )
    if source is not None:
        config.name_or_path = source.name
    return config


def _with_overrides(
    config: DistilBertConfig, overrides: dict[str, Any]
) -> tuple[DistilBertConfig, dict[str, Any]]:
    known = {
        name: value
        for name, value in overrides.items()
        if hasattr(config, name) and not hasattr(type(config), name)
    }
    config.update(known)
    return config, {name: value for name, value in overrides.items() if name not in known}


# Building ----------------------------------------------------------------------------------------

_LAYERS = (nn.Linear, nn.Embedding, nn.LayerNorm)


def _needs_only(model: nn.Module, fresh: set[str]) -> bool:
    """Whether a model of shapes alone gets every value from a checkpoint or from `initialise`.

    Fresh values are for `initialise` where they are those of Linear, Embedding and LayerNorm. What
    else lacks in the file (of an adapter), and what a class of one's own has beside its state dict,
    only its own construction can fill.
    """
    for path, module in model.named_modules():
        usual = {"weight", "bias"} if isinstance(module, _LAYERS) else set()
        named = dict(
            [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        )
        if type(module).__module__.partition(".")[0] not in ("distilbert", "torch"):
            fresh = fresh | {f"{path}.{name}".strip(".") for name in named}
        elif module._non_persistent_buffers_set:
            return False
        if any(f"{path}.{name}".strip(".") in fresh and name not in usual for name in named):
            return False
        if any(isinstance(value, Tensor) for value in vars(module).values()):
            return False
    return True


# Comparing ---------------------------------------------------------------------------------------


def _check_kind(source: Source | None, weights: Weights, config: DistilBertConfig) -> None:
    """Raises FileError if keys like those of a BERT belong to another kind, or to another depth."""
    if not looks_like_bert(weights):
        return
    path = source.path(CONFIG_NAME) if source is not None else None
    kind = read_json(path).get("model_type", "bert") if path is not None else "bert"
    if kind not in {"bert", "distilbert"}:
        raise FileError(
            f"{str(path)!r} says model_type {kind!r}; allowed: 'distilbert', or 'bert'. The layers "
            "have the same names, but the model computes something else"
        )
    depth = depth_of_bert(weights)
    if depth != config.n_layers:
        raise FileError(
            f"the BERT checkpoint has {depth} layers and the configuration {config.n_layers}; a "
            f"BERT is read as a DistilBERT of the same depth: use n_layers={depth}"
        )


def _compare(
    found: Translated, shapes: Mapping[str, Tensor], tied: set[str], report: LoadReport
) -> list[str]:
    """Fill the report; the keys of the model that have to be initialised."""
    wanted = [key for key in shapes if key not in tied]
    report.missing = sorted(key for key in wanted if key not in found.tensors)
    report.unexpected = sorted(found.originals[key] for key in found.tensors if key not in shapes)
    report.left_out = dict(sorted(found.left_out.items()))
    report.mismatched = [
        (key, tuple(found.tensors[key].shape), tuple(shapes[key].shape))
        for key in sorted(wanted)
        if key in found.tensors and found.tensors[key].shape != shapes[key].shape
    ]
    return [*report.missing, *(key for key, _, _ in report.mismatched)]


def _refuse_strangers(found: Translated, shapes: Mapping[str, Tensor], report: LoadReport) -> None:
    if not shapes.keys() & found.tensors.keys():
        held = ", ".join(sorted(found.originals.values())[:4]) or "nothing"
        raise FileError(
            f"no weight of {report.source!r} belongs to a {report.model}: it holds {held}, …; "
            "give a DistilBERT or BERT checkpoint"
        )


def _wrong_shapes(report: LoadReport) -> FileError:
    shown = "; ".join(
        f"{key} has shape {list(found)} in the checkpoint and {list(own)} in the model"
        for key, found, own in report.mismatched[:6]
    )
    more = f"; and {len(report.mismatched) - 6} more" if len(report.mismatched) > 6 else ""
    return FileError(
        f"the weights of {report.source!r} do not fit {report.model}: {shown}{more}. Use the "
        "configuration of the checkpoint (num_labels, vocab_size, …), or pass "
        "ignore_mismatched_sizes=True to initialise these anew"
    )


# Weights -----------------------------------------------------------------------------------------


def _resolve_dtype(
    given: torch.dtype | str | None, config: DistilBertConfig, weights: Weights
) -> torch.dtype:
    if isinstance(given, torch.dtype):
        return given
    if given is None:
        return torch.get_default_dtype()
    if config.dtype is not None:
        named = floating_dtype(config.dtype)
        if named is None:
            raise ConfigError(
                f"the configuration says dtype {config.dtype!r}; allowed: the name of a floating "
                "dtype, such as 'bfloat16', or null. Pass a `dtype` other than 'auto'"
            )
        return named
    floating = (tensor.dtype for tensor in weights.values() if tensor.is_floating_point())
    return next(floating, torch.get_default_dtype())


def _assign(
    model: nn.Module,
    found: Translated,
    weights: Weights,
    fresh: list[str],
    dtype: torch.dtype,
    device: torch.device,
    report: LoadReport,
) -> None:
    own = cast(Loadable, model)
    tied, new = own.tied_keys(), {*fresh}
    ready: dict[str, Tensor] = {}
    taken: set[int] = set()
    empty = [key for key in fresh if own.state_dict()[key].is_meta]
    others = _other_dtypes(model)
    for key, shape in own.state_dict().items():
        if key in empty:
            ready[key] = torch.empty(shape.shape, dtype=others.get(key, dtype), device=device)
        elif key not in tied and key not in new:
            floating = shape.is_floating_point()  # others are counts of batches
            wanted = others.get(key, dtype) if floating else shape.dtype
            tensor, finite = _converted(key, found, weights, wanted, device)
            # training must change neither a caller's tensors nor two weights that a file shares
            shared = weights.borrowed or tensor.data_ptr() in taken
            ready[key] = tensor.clone() if shared else tensor
            taken.add(tensor.data_ptr())
            if not finite:
                report.not_finite.append(key)
    report.not_finite.sort()
    model.load_state_dict(ready, strict=False, assign=True)
    own.tie_weights()
    own.initialise(empty)
    model.to(device)  # what was there before: no layer of ours


def _convert(model: nn.Module, dtype: torch.dtype) -> None:
    """Brings what a class of one's own has beside its state dict into the dtype, as all else is."""
    others = _other_dtypes(model)
    for key, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and key not in others:
            tensor.data = tensor.data.to(dtype)


def _other_dtypes(model: nn.Module) -> dict[str, torch.dtype]:
    """The keys of adapters whose configuration asks for another dtype than the model's."""
    return {
        f"{path}.{key}": module.own_dtype
        for path, module in model.named_modules()
        if isinstance(getattr(module, "own_dtype", None), torch.dtype)
        for key in module.state_dict()
    }


def _converted(
    key: str, found: Translated, weights: Weights, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, bool]:
    """The tensor as the model wants it, and whether all its values are finite."""
    tensor = found.tensors.pop(key)
    original = found.originals[key]
    if tensor.is_floating_point() != dtype.is_floating_point:
        raise FileError(
            f"{original!r} holds {str(tensor.dtype).removeprefix('torch.')} values, and the model "
            f"{str(dtype).removeprefix('torch.')}; weights are floating-point numbers. Quantised "
            "checkpoints must be converted back first"
        )
    from_file = weights.get(original) is tensor
    if tensor.dtype == dtype and tensor.device == device:
        return tensor, weights.finite(original) if from_file else finite_tensor(tensor)
    if from_file:
        tensor = weights.apart(original)
    tensor = tensor.to(device=device, dtype=dtype)
    return tensor, finite_tensor(tensor)


# Saving ------------------------------------------------------------------------------------------


def save_pretrained(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor] | None = None,
    safe_serialization: bool = True,
    max_shard_size: int | str = "50GB",
    variant: str | None = None,
    is_main_process: bool = True,
    push_to_hub: bool = False,
    **ineffective: Any,
) -> list[Path]:
    """Write `config.json` and the weights, as transformers loads them; the paths of both.

    All files are complete before the first takes its place; after a kill the folder is as it was,
    or the next load or save of it finishes the renames. Weights of an earlier save that would now
    be loaded instead, or never again, are removed. Tied tensors are written once. A process of
    several that is not the main one writes nothing.

    Raises FileError, and changes nothing, if the folder is a file or cannot be written; InputError
    for `push_to_hub` and for options that are unknown.
    """
    if push_to_hub:
        raise InputError(
            f"push_to_hub is {push_to_hub!r}; allowed: False. Save into a folder, then upload that "
            "with huggingface_hub.upload_folder(repo_id=…, folder_path=…)"
        )
    unknown = without_ineffective(ineffective, WITHOUT_EFFECT_ON_SAVING)
    if unknown:
        raise InputError(
            f"unknown options: {', '.join(sorted(unknown))}; allowed are those of save_pretrained; "
            "check the spelling"
        )
    if not is_main_process:
        return []
    own = cast(Loadable, model)
    given = own.state_dict() if state_dict is None else state_dict
    tensors = published(
        {key: tensor for key, tensor in given.items() if key not in own.tied_keys()}
    )
    config = own.saved_config()
    config.architectures = [type(model).__name__]
    dtype = next((t.dtype for t in tensors.values() if t.is_floating_point()), None)
    config.dtype = str(dtype).removeprefix("torch.") if dtype is not None else None
    place = to_path(folder)
    replaced = partial(obsolete, place, safetensors=safe_serialization, variant=variant)
    with staging(place, (index_name(safe_serialization, variant),), replaced) as stage:
        config.save_pretrained(stage)
        written = write_weights(
            tensors,
            stage,
            place,
            safetensors=safe_serialization,
            max_shard_size=max_shard_size,
            variant=variant,
        )
    return [place / name for name in (CONFIG_NAME, *written)]
