"""Between an encoder and what files hold of it: weights of adapters and fusions, checked."""

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from distilbert.adapters import fusing, manage, walk
from distilbert.adapters.configs import (
    ADAPTERFUSION_CONFIG_MAP,
    AdapterConfig,
    ConfigUnion,
    PrefixTuningConfig,
    PromptTuningConfig,
    ReftConfig,
    check_places,
    members,
    preset_name,
    resolve,
    resolve_fusion,
)
from distilbert.adapters.foreign import rename, split_key
from distilbert.adapters.naming import check_name
from distilbert.adapters.saving import warn_of_own_options
from distilbert.adapters.stored import MODEL_TYPE, StoredAdapter, StoredFusion, check_numbers
from distilbert.adapters.traits import FusionEntry
from distilbert.errors import AdapterError

logger = logging.getLogger("distilbert")
Place = TypeVar("Place")
Part = TypeVar("Part", bound=nn.Module)


def info_of(encoder: Any, model_class: str) -> dict[str, Any]:
    """What a file says of the model that its adapter, fusion or head belongs to."""
    return {
        "hidden_size": encoder.config.dim,
        "model_class": model_class,
        "model_name": encoder.config.name_or_path,
        "model_type": MODEL_TYPE,
    }


# Out ---------------------------------------------------------------------------------------------


def stored_adapter(encoder: Any, name: str, model_class: str) -> StoredAdapter:
    """An adapter as data; its tensors are those of the model. Raises AdapterError for none."""
    config = walk.registry(encoder).require(name)
    weights = {
        f"{path}.{name}.{rest}": tensor.detach()
        for path, _, module in walk.modules(encoder, name)
        for rest, tensor in module.state_dict().items()
    }
    return StoredAdapter(name, config, info_of(encoder, model_class), weights)


def stored_fusion(encoder: Any, name: str, model_class: str) -> StoredFusion:
    """A fusion as data. Raises AdapterError if there is none of this name."""
    own = walk.registry(encoder)
    if name not in own.fusions:
        raise AdapterError(f"no fusion {name!r}; this model has {sorted(own.fusions)}")
    entry = own.fusions[name]
    weights = {
        f"{path}.{name}.{rest}": tensor.detach()
        for path, fusion in fusing.fusion_modules(encoder, name)
        for rest, tensor in fusion.state_dict().items()
    }
    info = info_of(encoder, model_class)
    return StoredFusion(name, entry.adapters, entry.config, info, weights)


# In ----------------------------------------------------------------------------------------------


def load_adapter(
    encoder: Any,
    stored: StoredAdapter,
    name: str,
    *,
    leave_out: Sequence[int] | None = None,
    strict: bool = True,
) -> None:
    """Adds a stored adapter under a name, in place of one that has it.

    Raises AdapterError, and changes nothing, if it was made for another model, or, if `strict`,
    where its weights are not exactly those that its configuration asks for.
    """
    check_name(name)
    check_made_for(encoder, stored.info, f"the adapter {stored.name!r}")
    weights = rename(stored.weights, stored.name, name)
    config = stored.config
    if leave_out:
        config = _leaving_out(config, leave_out, encoder.config.n_layers)
        weights = {key: t for key, t in weights.items() if _layer(key) not in set(leave_out)}
    paths = {id(slot): path for path, slot, _ in walk.slots(encoder)}
    ready = filled(
        lambda device: manage.built(encoder, name, config, device),
        lambda slot: f"{paths[id(slot)]}.{name}",
        weights,
        f"the adapter {stored.name!r}",
        encoder,
        strict=strict,
    )
    manage.hang(encoder, name, config, ready)


def load_fusion(encoder: Any, stored: StoredFusion, name: str, *, strict: bool = True) -> None:
    """Adds a stored fusion over adapters that are there. Raises AdapterError; see load_adapter."""
    check_name(name, "a fusion")
    check_made_for(encoder, stored.info, f"the fusion {stored.name!r}")
    weights = rename(stored.weights, stored.name, name)
    for adapter in stored.adapters:
        walk.registry(encoder).require(adapter)
    paths = {id(residual): path for path, residual in walk.residuals(encoder)}
    ready = filled(
        lambda device: fusing.built_fusion(encoder, stored.adapters, stored.config, device),
        lambda residual: f"{paths[id(residual)]}.adapter_fusion_layer.{name}",
        weights,
        f"the fusion {stored.name!r}",
        encoder,
        strict=strict,
    )
    for _, fusion in ready:
        fusion.temperature = 1.0  # it has been trained
    fusing.hang_fusion(encoder, name, FusionEntry(stored.adapters, stored.config), ready)


def check_made_for(encoder: Any, info: Mapping[str, Any], what: str) -> None:
    """Raises AdapterError if a file says that it belongs to another kind or width of model."""
    kind = info.get("model_type", MODEL_TYPE)
    if kind != MODEL_TYPE:
        raise AdapterError(f"{what} was made for a {kind!r}; this model is a {MODEL_TYPE!r}")
    width = info.get("hidden_size", encoder.config.dim)
    if width != encoder.config.dim:
        raise AdapterError(
            f"{what} was made for a model of width {width!r}; this one's width is "
            f"{encoder.config.dim}; load the model that it was trained with"
        )


def filled(
    make: Callable[[str | None], list[tuple[Place, Part]]],
    path: Callable[[Place], str],
    weights: Mapping[str, Tensor],
    what: str,
    encoder: Any,
    *,
    strict: bool = True,
    passed_over: Collection[str] = (),
) -> list[tuple[Place, Part]]:
    """Modules that hold weights of a file, and their places, where none of them hangs yet.

    No memory is taken for them, and nothing is drawn, before the weights are known to fit.

    Args:
        make: Builds them on a device; None for that of the model.
        path: The key of a place, below which a module's weights stand.
        passed_over: Keys that no file needs to have.

    Raises AdapterError if, `strict`, a weight is missing or left over, and always for one that is
    not finite, or has another shape than its module.
    """
    ready = make("meta")
    complete = _compare(
        [(path(place), module) for place, module in ready],
        weights,
        what,
        encoder,
        strict=strict,
        passed_over=passed_over,
    )
    if complete:
        for _, module in ready:
            _give_memory(module, encoder.device)
    else:  # what the file lacks starts as in a new one
        ready = make(None)
    for place, module in ready:
        for rest, own in module.state_dict().items():
            value = weights.get(f"{path(place)}.{rest}")
            if value is not None:
                _take(module, rest, value, own)
    return ready


def _give_memory(module: nn.Module, device: torch.device) -> None:
    """Room for the values of all that has shapes only; a head's own class may have values."""

    def given(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)

    module._apply(given)  # type: ignore[no-untyped-call]


def _compare(
    parts: Iterable[tuple[str, nn.Module]],
    weights: Mapping[str, Tensor],
    what: str,
    encoder: Any,
    *,
    strict: bool,
    passed_over: Collection[str],
) -> bool:
    """Whether the weights are all that modules without values need; see `filled`."""
    left = dict(weights)
    missing: list[str] = []
    layers: set[int] = set()  # that have one of the weights
    for path, module in parts:
        for rest, own in module.state_dict().items():
            key = f"{path}.{rest}"
            if key not in left:
                missing += [key] if key not in passed_over else []
                continue
            value = left.pop(key)
            layers.add(_layer(key))
            if not _take(module, rest, value, own):
                raise AdapterError(
                    f"{what} does not fit: {key!r} has the shape {list(value.shape)} in the file "
                    f"and {list(own.shape)} in this model"
                )
    problem = _mismatch(missing, list(left), layers, what, encoder.config.n_layers)
    if problem and strict:
        raise AdapterError(f"{problem}. Pass strict=False to load what fits all the same")
    if problem:
        logger.warning("%s", problem)
    return not missing


def _take(module: nn.Module, rest: str, value: Tensor, own: Tensor) -> bool:
    """Copies one weight into a module; False if it has no such shape."""
    owner_path, _, name = rest.rpartition(".")
    owner = module.get_submodule(owner_path)
    take = getattr(owner, "take", None)
    if take is not None and take(name, value):  # a method that knows several shapes of it
        return True
    if value.shape != own.shape:
        return False
    with torch.no_grad():
        getattr(owner, name).copy_(value)
    return True


def _mismatch(missing: list[str], left: list[str], layers: set[int], what: str, depth: int) -> str:
    deepest = max(map(_layer, left), default=-1)
    if deepest >= depth:
        return f"{what} was made for a model of {deepest + 1} layers; this one has {depth}"
    last, lacking = max(layers, default=-1), {_layer(key) for key in missing}
    if not left and 0 <= last < depth - 1 and lacking == set(range(last + 1, depth)):
        return (
            f"{what} was made for a model of fewer than {depth} layers: {missing[0]!r} is missing"
        )
    problems = []
    if missing:
        problems.append(f"{_listed(missing)} missing, so the model would keep random weights there")
    if left:
        problems.append(f"{_listed(left)} left over, with no place in the adapter's configuration")
    return f"{what}: " + "; ".join(problems) if problems else ""


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return f"{', '.join(map(repr, keys[:4]))}{more} {'is' if len(keys) == 1 else 'are'}"


def _layer(key: str) -> int:
    """The number of the layer in a key, or -1."""
    place = split_key(key)
    parts = (place[0] if place else key).split(".")
    found = parts[2] if parts[:2] == ["transformer", "layer"] and len(parts) > 2 else ""
    return int(found) if found.isdigit() else -1


def _leaving_out(config: AdapterConfig, layers: Sequence[int], depth: int) -> AdapterConfig:
    """The configuration without these layers of so many. Raises AdapterError if that cannot be."""
    wrong = [layer for layer in layers if type(layer) is not int or not 0 <= layer < depth]
    if wrong:
        raise AdapterError(
            f"leave_out holds {wrong[0]!r}; allowed: numbers of layers, 0 to {depth - 1}"
        )
    if isinstance(config, PromptTuningConfig):
        raise AdapterError(
            f"leave_out={list(layers)} has no meaning for a prompt, which stands before all layers"
        )
    parts = [_member_without(member, {*layers}, depth) for member in members(config)]
    return ConfigUnion(*parts) if isinstance(config, ConfigUnion) else parts[0]


def _member_without(member: Any, gone: set[int], depth: int) -> Any:
    if isinstance(member, PromptTuningConfig):
        return member
    if isinstance(member, PrefixTuningConfig) and not gone <= {*member.leave_out}:
        raise AdapterError(
            f"leave_out={sorted(gone)} cannot be for a prefix, whose weights are those of all its "
            "layers together; pass skip_layers to set_active_adapters instead"
        )
    if isinstance(member, ReftConfig):
        own = range(depth) if member.layers == "all" else member.layers
        return member.replace(layers=[layer for layer in own if layer not in gone])
    changes: dict[str, Any] = {"leave_out": sorted({*member["leave_out"], *gone})}
    for name in ("rank_pattern", "alpha_pattern"):
        if member.get(name):
            changes[name] = {m: n for m, n in member[name].items() if _layer(m) not in gone}
    return member.replace(**changes)


# The configuration of a whole model --------------------------------------------------------------


def described(encoder: Any) -> dict[str, Any] | None:
    """The adapters and fusions of a model as its configuration file holds them; None for none."""
    own = walk.registry(encoder)
    if not own.configs:
        return None
    data: dict[str, dict[str, Any]] = {
        "adapters": {},
        "config_map": {},
        "fusions": {},
        "fusion_config_map": {},
        "fusion_name_map": {},
    }
    for name, config in own.configs.items():
        warn_of_own_options(name, config)
        label = preset_name(config)
        if label is None:
            label = _digest(config)
            data["config_map"][label] = config.to_dict()
        data["adapters"][name] = label
    for name, entry in own.fusions.items():
        presets = [
            key for key, preset in ADAPTERFUSION_CONFIG_MAP.items() if preset == entry.config
        ]
        label = presets[0] if presets else _digest(entry.config)
        if not presets:
            data["fusion_config_map"][label] = entry.config.to_dict()
        data["fusions"][name] = label
        data["fusion_name_map"][name] = list(entry.adapters)
    return data


def restore(encoder: Any, data: Any) -> None:
    """Adds the adapters and fusions that a configuration file describes, with fresh weights.

    Raises AdapterError for a description that is none.
    """
    parts = {}
    for key in ("adapters", "config_map", "fusions", "fusion_config_map", "fusion_name_map"):
        parts[key] = (data.get(key) or {}) if isinstance(data, Mapping) else data
        if not isinstance(parts[key], Mapping):
            raise AdapterError(
                f"{key} of the configuration's adapters is {parts[key]!r:.100}; allowed: a "
                "dictionary. Correct config.json, or take it anew"
            )
    check_numbers(data, "the configuration, under 'adapters',")
    for name, label in parts["adapters"].items():
        config = resolve(_labelled(parts["config_map"], label))
        check_name(name)
        check_places(config, encoder.config.n_layers)
        manage.hang(encoder, name, config, manage.built(encoder, name, config))
    for name, label in parts["fusions"].items():
        adapters = parts["fusion_name_map"].get(name) or str(name).split(",")
        config = resolve_fusion(_labelled(parts["fusion_config_map"], label))
        fusing.add_fusion(encoder, adapters, config, name)


def _labelled(configs: Mapping[str, Any], label: Any) -> Any:
    """The configuration of this label, or what is one itself: the name of a preset."""
    return configs.get(label, label) if isinstance(label, str) else label


def _digest(config: Mapping[str, Any]) -> str:
    text = json.dumps(config.to_dict(), sort_keys=True)  # type: ignore[attr-defined]
    return hashlib.sha256(text.encode()).hexdigest()[:16]
