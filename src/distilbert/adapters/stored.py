"""Adapters, fusions and heads as data, before any model: what a folder of AdapterHub holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from distilbert.adapters.composition import Composition, fused, names
from distilbert.adapters.configs import AdapterConfig, AdapterFusionConfig
from distilbert.adapters.naming import check_stored_name
from distilbert.errors import AdapterError

MODEL_TYPE = "distilbert"
BASE_CLASS = "DistilBertModel"
FLEXIBLE_CLASS = "DistilBertAdapterModel"
VERSION = "adapters.1.3.0"  # of the format that is written; a file without one counts as version 1

# Name of the configuration, then of the weights: safe, pickled.
ADAPTER = ("adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin")
FUSION = (
    "adapter_fusion_config.json",
    "model_adapter_fusion.safetensors",
    "pytorch_model_adapter_fusion.bin",
)
HEAD = ("head_config.json", "model_head.safetensors", "pytorch_model_head.bin")
PEFT = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
SETUP = "adapter_setup.json"
FILES = frozenset({*ADAPTER, *FUSION, *HEAD, *PEFT, SETUP})


@dataclass(frozen=True)
class StoredHead:
    """A head: `head_config.json` and its weights."""

    name: str | None  # None: the head of a fixed class
    config: dict[str, Any] | None  # None: the head of a fixed class
    info: dict[str, Any]  # the rest of the file: label2id, num_labels, model_class, hidden_size, …
    weights: dict[str, Tensor]  # keys as in the file
    shared: frozenset[str] = frozenset()  # keys that are the encoder's too; PEFT's files hold them


@dataclass(frozen=True)
class StoredAdapter:
    """An adapter: `adapter_config.json`, its weights, and perhaps a head."""

    name: str
    config: AdapterConfig
    info: dict[str, Any]  # the rest of the file: model_type, model_class, model_name, …
    weights: dict[str, Tensor]  # keys of the encoder, each once, with the adapter's name in them
    head: StoredHead | None = None


@dataclass(frozen=True)
class StoredFusion:
    """An AdapterFusion: `adapter_fusion_config.json`, its weights, and perhaps a head."""

    name: str
    adapters: tuple[str, ...]
    config: AdapterFusionConfig
    info: dict[str, Any]
    weights: dict[str, Tensor]
    head: StoredHead | None = None


class StoredSetup(NamedTuple):
    """A composition with its adapters, fusions and heads, each in a subfolder of its name."""

    adapter_setup: dict[str, Any]  # what Composition.to_dict gives
    head_setup: Any  # a name, a list of names, a composition's dict, True for a fixed class, None
    adapters: tuple[str, ...] = ()
    fusions: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()  # "" for the head of a fixed class, which lies beside the setup


# What may stand in a file -------------------------------------------------------------------------


_SIZES = {  # what rows or columns of a weight are counted by, and the most that is believed
    **dict.fromkeys(("r", "rank_pattern", "n_up_projection", "phm_dim", "phm_rank"), 2**14),
    **dict.fromkeys(("bottleneck_size", "prefix_length", "prompt_length"), 2**14),
    **dict.fromkeys(("prefix_positions", "suffix_positions", "embedding_size"), 2**14),
    **dict.fromkeys(("layers", "num_choices"), 2**10),
    "num_labels": 2**16,
    "vocab_size": 2**20,
}
_SHARES = frozenset({"reduction_factor", "inv_adapter_reduction_factor"})
_SMALLEST = 1 / 16  # of a reduction factor; below 1 it widens
_LARGEST_NUMBER = 2.0**63


_DEEPEST = 16  # of a map in a list in a map …


def check_numbers(config: object, where: str, name: str = "", depth: int = 0) -> None:
    """Raises AdapterError for numbers in a file's configuration that no adapter has.

    They decide how much memory is taken, before any weight is looked at.
    """
    if depth > _DEEPEST:
        raise AdapterError(f"{where} nests too deeply; it is no configuration of an adapter")
    if isinstance(config, Mapping):
        by_place = name in (*_SIZES, *_SHARES)  # a map from layers or modules to numbers
        for key, value in config.items():
            check_numbers(value, where, name if by_place else str(key), depth + 1)
    elif isinstance(config, (list, tuple)):
        for value in config:
            check_numbers(value, where, name, depth + 1)
    elif isinstance(config, (int, float)) and not isinstance(config, bool):
        _check_number(config, where, name)


def _check_number(number: float, where: str, name: str) -> None:
    if not (abs(number) <= _LARGEST_NUMBER and math.isfinite(number)):
        raise _out_of_range(where, name, number, "a number within ±2⁶³")
    if abs(number) > _SIZES.get(name, math.inf):
        raise _out_of_range(where, name, number, f"at most {_SIZES[name]}")
    if name in _SHARES and number < _SMALLEST:
        raise _out_of_range(where, name, number, f"at least {_SMALLEST}")


def _out_of_range(where: str, name: str, value: float, allowed: str) -> AdapterError:
    return AdapterError(
        f"{where} says {name} {value!r:.60}; allowed: {allowed}. Correct the file if you trust it"
    )


def setup_parts(setup: object, heads: object, where: str) -> dict[str, tuple[str, ...]]:
    """The names of the adapters, fusions and heads of a setup: those of its subfolders.

    The head "" is that of a fixed class, which lies beside the setup. Raises AdapterError if it is
    no setup, or if no folder can have one of the names.
    """
    tree = _composition(setup, where)
    if heads is True:
        headed = [""]
    elif isinstance(heads, Mapping):
        headed = names(_composition(heads, where))
    else:
        listed = heads if isinstance(heads, list) else [heads] if heads else []
        headed = [check_stored_name(name, f"{where}, under 'head_setup',") for name in listed]
    fusions = tuple(dict.fromkeys(fused(tree)))
    return {"adapters": tuple(names(tree)), "fusions": fusions, "heads": tuple(headed)}


def _composition(data: object, where: str) -> Composition:
    try:
        tree = Composition.from_dict(data)
    except (AdapterError, RecursionError) as error:
        raise AdapterError(f"{where} is no setup that can be used: {error}") from error
    for name in [*names(tree), *fused(tree)]:
        check_stored_name(name, where)
    return tree
