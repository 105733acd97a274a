"""New adapters out of others: means, matrices that several share, prefixes made plain."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from torch import nn

from distilbert.adapters import manage, walk
from distilbert.adapters.build import seeded
from distilbert.adapters.configs import (
    AdapterConfig,
    ConfigUnion,
    LoRAConfig,
    MTLLoRAConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    members,
)
from distilbert.adapters.means import cut_products, means
from distilbert.adapters.naming import check_name
from distilbert.adapters.registry import Adapters
from distilbert.adapters.sharing import share, unshare
from distilbert.adapters.site import Site, Slot
from distilbert.adapters.summary import summary
from distilbert.errors import AdapterError

__all__ = ["average", "counts_of", "eject", "share", "summary", "unshare"]

LINEAR, NEGATE_B, DELTA = "linear", "lora_linear_only_negate_b", "lora_delta_w_svd"
STRATEGIES = (LINEAR, NEGATE_B, DELTA)

# Settings that are over when training is, or that do nothing in an encoder.
_NO_MATTER = frozenset(
    {
        *("architecture", "cross_adapter", "cross_prefix", "encoder_prefix"),
        *("dropout", "stochastic_depth"),
        *("init_weights", "init_weights_seed", "phm_c_init", "phm_init_range"),
        *("hypercomplex_nonlinearity", "prompt_init", "prompt_init_text", "random_uniform_scale"),
    }
)
_ONLY_WHETHER = ("vera_d", "vera_b")  # given, they are where weights start


def average(
    encoder: Any,
    name: Any,
    adapter_list: Sequence[str] | Mapping[str, float],
    weights: Sequence[float] | None = None,
    combine_strategy: str = LINEAR,
    normalize_weights: bool = True,
    overwrite_ok: bool = False,
    svd_rank: int | None = None,
) -> None:
    """Adds an adapter that is the weighted mean of others.

    "linear" is the mean of each weight; of orthonormal projections (LoReFT), the orthonormal one
    nearest to it. "lora_linear_only_negate_b" takes the amount of a negative weight for A, and its
    sign for B alone. "lora_delta_w_svd" is the mean of scale · B·A, cut to rank `svd_rank`: the
    nearest of that rank.

    Raises AdapterError, and changes nothing, if the adapters are of different configurations, or
    the strategy cannot take them. Sources: Chronopoulou et al. 2023, arXiv:2302.07027; Zhang et al.
    2023, arXiv:2306.14870.
    """
    own = walk.registry(encoder)
    check_name(name)
    if name in own and not overwrite_ok:
        raise AdapterError(
            f"this model already has an adapter {name!r}; choose another name, delete_adapter "
            "first, or pass overwrite_ok=True"
        )
    counts = counts_of("adapter_list", adapter_list, weights, normalize_weights)
    config = _common_config(own, list(counts))
    _check_strategy(combine_strategy, config, svd_rank)
    if svd_rank is not None:
        _check_rank(svd_rank, own.traits[next(iter(counts))].sites)
        config = config.replace(r=svd_rank, rank_pattern={})
    with seeded(0):  # what is drawn now is overwritten, and moves nobody's generator
        ready = manage.built(encoder, name, _drawn_plainly(config))
    for slot, fresh in ready:
        modules = _modules(slot, counts)
        values = (
            cut_products(fresh, modules)
            if combine_strategy == DELTA
            else means(modules, negate_b=combine_strategy == NEGATE_B)
        )
        fresh.load_state_dict(values)
    manage.hang(encoder, name, config, ready)


def _drawn_plainly(config: AdapterConfig) -> AdapterConfig:
    """The same without the text that a prompt was made from: it is not read again."""
    prompts = any(isinstance(part, PromptTuningConfig) for part in members(config))
    return config.replace(prompt_init="random_uniform") if prompts else config


def _modules(slot: Slot, counts: Mapping[str, float]) -> list[tuple[nn.Module, float]]:
    """The modules at a place, and what each counts. Raises AdapterError if one is not there."""
    for name in counts:
        if name not in slot:
            raise AdapterError(
                f"{name!r} has nothing at {slot.site.name!r} of layer {slot.site.layer}, unlike "
                "the others; allowed: adapters that hang at the same places"
            )
    return [(slot[name], count) for name, count in counts.items()]


def counts_of(what: str, given: Any, weights: Any, normalize: bool) -> dict[str, float]:
    """What each of the adapters or heads counts; one that is named twice counts for both.

    Raises AdapterError, naming the argument `what`, for what is no list, and for no weights.
    """
    listed = isinstance(given, (Sequence, Mapping)) and not isinstance(given, str)
    if not listed or not given or not all(isinstance(name, str) for name in given):
        raise AdapterError(
            f"{what} is {given!r:.100}; allowed: a list of names, or a map from names to weights"
        )
    if isinstance(given, Mapping):
        if weights is not None:
            raise AdapterError(f"weights are given twice: in {what}, a map, and as weights")
        weights = given.values()
    elif weights is None:
        weights = [1 / len(given)] * len(given)
    values = list(weights)
    if len(values) != len(given):
        raise AdapterError(
            f"weights are {values!r:.100}, and {what} names {len(given)}; give one for each"
        )
    for value in values:
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise AdapterError(f"weights hold {value!r:.50}; allowed: finite numbers")
    total = float(sum(values)) if normalize else 1.0
    if abs(total) <= 1e-9 * sum(map(abs, values)):
        raise AdapterError(
            f"weights are {values!r:.100}, whose sum is 0, so that it cannot be scaled to 1; pass "
            "normalize_weights=False, or other weights"
        )
    counts: dict[str, float] = {}
    for name, value in zip(given, values, strict=True):
        counts[name] = counts.get(name, 0.0) + float(value) / total
    return counts


# What can be averaged ----------------------------------------------------------------------------


def _common_config(own: Adapters, names: list[str]) -> AdapterConfig:
    """The configuration of the first, if those of the others differ in nothing that matters."""
    configs = [own.require(name) for name in names]
    for name, config in zip(names, configs, strict=True):
        unequal = _differences(configs[0], config)
        if unequal:
            shown = "; ".join(f"{key}: {a!r:.50} and {b!r:.50}" for key, a, b in unequal[:5])
            raise AdapterError(
                f"cannot average {names[0]!r} and {name!r}, whose configurations differ in "
                f"{shown}; allowed: adapters of one configuration, up to dropout and how weights "
                "were drawn"
            )
    return configs[0]


def _differences(one: AdapterConfig, other: AdapterConfig) -> list[tuple[str, Any, Any]]:
    """The settings in which the weights of trained adapters mean different things."""
    methods = ["|".join(part.method for part in members(config)) for config in (one, other)]
    if methods[0] != methods[1]:
        return [("method", methods[0], methods[1])]
    return [
        (key, part[key], fellow[key])
        for part, fellow in zip(members(one), members(other), strict=True)
        for key in part
        if key not in _NO_MATTER and key not in part.unknown
        if _setting(part, key) != _setting(fellow, key)
    ]


def _setting(config: AdapterConfig, key: str) -> Any:
    value = config[key]
    return value is not None if key in _ONLY_WHETHER else value


def _check_strategy(strategy: Any, config: AdapterConfig, svd_rank: Any) -> None:
    """Raises AdapterError if adapters of this configuration cannot be averaged so."""
    if strategy not in STRATEGIES:
        raise AdapterError(
            f"combine_strategy is {strategy!r:.50}; allowed: {', '.join(STRATEGIES)}"
        )
    if (svd_rank is None) == (strategy == DELTA):
        raise AdapterError(
            f"svd_rank is {svd_rank!r:.50} with combine_strategy {strategy!r}; give a rank with "
            f"{DELTA!r}, and none with the others"
        )
    reason = "" if strategy == LINEAR else _against(strategy, config)
    if reason:
        raise AdapterError(
            f"{strategy!r} cannot average adapters of {config!r:.200}: {reason}; use {LINEAR!r}"
        )


def _check_rank(rank: Any, sites: Sequence[Site]) -> None:
    """Raises AdapterError for a rank that a matrix at one of the sites cannot have."""
    most = min(min(site.width, site.out) for site in sites)
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= most:
        raise AdapterError(
            f"svd_rank is {rank!r:.50}; allowed: a whole number from 1 to {most}, the rank of the "
            "smallest matrix beside which the adapters hang"
        )


def _against(strategy: str, config: AdapterConfig) -> str:
    """Why a strategy that is for plain LoRAs does not fit a configuration, or ""."""
    if isinstance(config, ConfigUnion):
        return "it is for a LoRA alone, and these are unions"
    if not isinstance(config, LoRAConfig):
        return f"it is for LoRAs, and these are {config.method}"
    reasons = {
        "tasks have matrices of their own beside A and B": isinstance(config, MTLLoRAConfig),
        "VeRA trains vectors, not A and B": config.is_vera,
        "DoRA trains lengths beside A and B": config.use_dora,
        "gates are neither A nor B": config.use_gating,
        "a scale has no product of A and B": (
            strategy == DELTA and config.composition_mode == "scale"
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


# Prefixes ----------------------------------------------------------------------------------------


def eject(encoder: Any, name: Any) -> None:
    """Replaces the network that makes a prefix by what it makes, which can then train itself.

    Outputs stay as they are. The configuration becomes `flat`, so that files of it load. A prefix
    that is flat stays as it is. Raises AdapterError for an adapter without a prefix.
    """
    own = walk.registry(encoder)
    config = own.require(name)
    prefixes = [part for part in members(config) if isinstance(part, PrefixTuningConfig)]
    if not prefixes:
        has = " and ".join(sorted(own.traits[name].methods))
        raise AdapterError(f"{name!r} has {has}, and no prefix that could be ejected")
    if prefixes[0].flat:
        return
    for _, slot, module in [*walk.modules(encoder, name)]:
        if slot.site.name == "prefixes":
            network: Any = module
            flat: nn.Module = network.ejected()
            trains = any(parameter.requires_grad for parameter in network.parameters())
            slot[name] = flat.requires_grad_(trains)
    own.configs[name] = config.replace(flat=True)
