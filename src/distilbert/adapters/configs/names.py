"""Known configurations by their names, and whatever a user writes for a configuration."""

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from distilbert.adapters.configs.base import AdapterConfig, nearest
from distilbert.adapters.configs.bottleneck import (
    CompacterConfig,
    CompacterPlusPlusConfig,
    DoubleSeqBnConfig,
    DoubleSeqBnInvConfig,
    ParBnConfig,
    SeqBnConfig,
    SeqBnInvConfig,
)
from distilbert.adapters.configs.fusion import (
    AdapterFusionConfig,
    DynamicAdapterFusionConfig,
    StaticAdapterFusionConfig,
)
from distilbert.adapters.configs.language import parse
from distilbert.adapters.configs.lora import (
    DoRAConfig,
    DvoRAConfig,
    IA3Config,
    LoRAConfig,
    MTLLoRAConfig,
    VeraConfig,
)
from distilbert.adapters.configs.prefix import PrefixTuningConfig, PromptTuningConfig
from distilbert.adapters.configs.reft import DiReftConfig, LoReftConfig, NoReftConfig
from distilbert.adapters.configs.rules import shown
from distilbert.adapters.configs.union import ConfigUnion, MAMConfig, UniPELTConfig
from distilbert.errors import AdapterError
from distilbert.files.find import is_file, read_json

_Given = str | os.PathLike[str] | Mapping[str, Any] | None

_PRESETS: dict[str, AdapterConfig] = {
    "seq_bn": SeqBnConfig(),
    "double_seq_bn": DoubleSeqBnConfig(),
    "par_bn": ParBnConfig(),
    "scaled_par_bn": ParBnConfig(scaling="learned"),
    "seq_bn_inv": SeqBnInvConfig(),
    "double_seq_bn_inv": DoubleSeqBnInvConfig(),
    "compacter++": CompacterPlusPlusConfig(),
    "compacter": CompacterConfig(),
    "prefix_tuning": PrefixTuningConfig(),
    "prefix_tuning_flat": PrefixTuningConfig(flat=True),
    "prompt_tuning": PromptTuningConfig(),
    "mtl_lora": MTLLoRAConfig(),
    "lora": LoRAConfig(),
    "ia3": IA3Config(),
    "vera": VeraConfig(),
    "dora": DoRAConfig(),
    "dvora": DvoRAConfig(),
    "loreft": LoReftConfig(),
    "noreft": NoReftConfig(),
    "direft": DiReftConfig(),
    "mam": MAMConfig(),
    "unipelt": UniPELTConfig(),
}
_OLD_NAMES = {
    "pfeiffer": "seq_bn",
    "houlsby": "double_seq_bn",
    "parallel": "par_bn",
    "scaled_parallel": "scaled_par_bn",
    "pfeiffer+inv": "seq_bn_inv",
    "houlsby+inv": "double_seq_bn_inv",
}

ADAPTER_CONFIG_MAP: Mapping[str, AdapterConfig] = MappingProxyType(
    {**_PRESETS, **{old: _PRESETS[name] for old, name in _OLD_NAMES.items()}}
)
"""The known configurations by name, the older names last."""

ADAPTERFUSION_CONFIG_MAP: Mapping[str, AdapterFusionConfig] = MappingProxyType(
    {"static": StaticAdapterFusionConfig(), "dynamic": DynamicAdapterFusionConfig()}
)
"""The known configurations of AdapterFusion by name."""

DEFAULT_ADAPTER_CONFIG = "seq_bn"
DEFAULT_ADAPTERFUSION_CONFIG = "dynamic"

_NAMES: Mapping[AdapterConfig, str] = {
    config: name for name, config in (*_PRESETS.items(), *ADAPTERFUSION_CONFIG_MAP.items())
}

# Before versions were written, "gelu" was what is now called "gelu_new".
_UNVERSIONED_ACTIVATIONS = {"gelu": "gelu_new", "gelu_orig": "gelu"}
_VERSION = re.compile(r"adapters\.(\d{1,9})\.(\d{1,9})")
_FIRST_SCALED = (1, 1)  # versions before this one trained a LoRA as if alpha were r


def preset_name(config: AdapterConfig) -> str | None:
    """The name of the known configuration that is equal to this one, or None."""
    return _NAMES.get(config)


def resolve(config: _Given = None, **overrides: Any) -> AdapterConfig:
    """The configuration that a user means, with other values for some settings.

    Args:
        config: None for the default ("seq_bn"); a name of `ADAPTER_CONFIG_MAP`; the short-name
            language, `"lora[r=16,alpha=32]|seq_bn"`; the path of a JSON file that holds a
            configuration or, as an adapter's folder does, one under "config"; such a dictionary;
            or a configuration.
        overrides: Settings; in a union, for each member that has them.

    Raises AdapterError for a name, setting or value that cannot work, FileError for a file that
    cannot be read.

    >>> resolve("lora[r=16,alpha=32]|seq_bn", dropout=0.1)
    ConfigUnion(LoRAConfig(r=16, alpha=32, dropout=0.1), SeqBnConfig(dropout=0.1))
    >>> resolve("seq_bn", reduction_factor={"1": 8, "default": 16}).reduction_factor
    {'1': 8, 'default': 16}
    """
    if config is None:
        config = DEFAULT_ADAPTER_CONFIG
    if isinstance(config, AdapterFusionConfig):
        raise AdapterError(f"{config!r} is of a fusion; give it to add_adapter_fusion")
    if isinstance(config, AdapterConfig):
        found = config
    elif isinstance(config, Mapping):
        found = config_of_file(config)
    elif _is_path(config, ADAPTER_CONFIG_MAP):
        found = _read_file(config)
    else:
        found = _spoken(config, ADAPTER_CONFIG_MAP)
    return found.replace(**overrides)


def resolve_fusion(config: _Given = None, **overrides: Any) -> AdapterFusionConfig:
    """The configuration of a fusion that a user means: as `resolve`, with the default "dynamic".

    Raises as `resolve` does, and for a configuration that is not of a fusion.
    """
    if config is None:
        config = DEFAULT_ADAPTERFUSION_CONFIG
    if isinstance(config, Mapping):
        found = config
    elif _is_path(config, ADAPTERFUSION_CONFIG_MAP):
        found = read_json(config)
    else:
        found = _spoken(config, ADAPTERFUSION_CONFIG_MAP)
    if not isinstance(found, AdapterConfig):
        found = found.get("config", found)
    return AdapterFusionConfig.from_dict(found).replace(**overrides)


def config_of_file(content: Mapping[str, Any]) -> AdapterConfig:
    """The configuration in what an adapter's `adapter_config.json` holds, of any version.

    A plain configuration is accepted too. Files without a version call another function "gelu",
    and adapters before 1.1 scaled no LoRA: both are read as what the adapter was trained with.

    Raises AdapterError if there is no configuration, or one that cannot work.
    """
    if "config" not in content:
        return AdapterConfig.from_dict(content)
    config = content["config"]
    if isinstance(config, str):
        return _spoken(config, ADAPTER_CONFIG_MAP)
    if not isinstance(config, Mapping):
        raise AdapterError(
            f"the file's config is {shown(config)}; allowed: the configuration of an adapter"
        )
    old: dict[str, Any] = {}
    word = config.get("non_linearity")
    if "version" not in content and isinstance(word, str):
        old["non_linearity"] = _UNVERSIONED_ACTIVATIONS.get(word, word)
    version = _VERSION.match(str(content.get("version", "")))
    if version and tuple(map(int, version.groups())) < _FIRST_SCALED and _is_lora(config):
        old["alpha"] = config.get("r", LoRAConfig.r)
    return AdapterConfig.from_dict({**config, **old})


def _is_lora(config: Mapping[str, Any]) -> bool:
    return config.get("architecture") == LoRAConfig.method


def _is_path(given: str | os.PathLike[str], presets: Mapping[str, AdapterConfig]) -> bool:
    if isinstance(given, str):
        return given not in presets and is_file(given)
    return isinstance(given, os.PathLike)


def _spoken(text: Any, presets: Mapping[str, AdapterConfig]) -> AdapterConfig:
    """What a name or a text of the short-name language says."""
    if not isinstance(text, str):
        raise AdapterError(
            f"{shown(text)} is a {type(text).__name__}; allowed for a configuration: None, a name, "
            "the path of a JSON file, a dictionary, or a configuration"
        )
    if text in presets:
        return presets[text]
    configs = []
    for name, settings in parse(text):
        if name not in presets:
            raise AdapterError(
                f"{shown(name)} is no configuration, and no file; allowed: "
                f"{', '.join(name for name in presets if name not in _OLD_NAMES)}, or the path of "
                f"a JSON file{nearest(name, presets)}"
            )
        configs.append(presets[name].replace(**settings))
    return configs[0] if len(configs) == 1 else ConfigUnion(*configs)


def _read_file(path: str | os.PathLike[str]) -> AdapterConfig:
    content = read_json(path)
    try:
        return config_of_file(content)
    except AdapterError as error:
        raise AdapterError(f"{os.fspath(path)!r}: {error}") from None
