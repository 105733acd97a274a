"""Configurations of adapters: one fixed, checked class for each method, and their names."""

from distilbert.adapters.configs.base import AdapterConfig
from distilbert.adapters.configs.bottleneck import (
    AdapterPlusConfig,
    BnConfig,
    CompacterConfig,
    CompacterPlusPlusConfig,
    DoubleSeqBnConfig,
    DoubleSeqBnInvConfig,
    HoulsbyConfig,
    HoulsbyInvConfig,
    ParallelConfig,
    ParBnConfig,
    PfeifferConfig,
    PfeifferInvConfig,
    SeqBnConfig,
    SeqBnInvConfig,
)
from distilbert.adapters.configs.fusion import (
    AdapterFusionConfig,
    DynamicAdapterFusionConfig,
    StaticAdapterFusionConfig,
)
from distilbert.adapters.configs.lora import (
    DoRAConfig,
    DvoRAConfig,
    IA3Config,
    LoRAConfig,
    MTLLoRAConfig,
    MultiTaskConfig,
    VeraConfig,
)
from distilbert.adapters.configs.names import (
    ADAPTER_CONFIG_MAP,
    ADAPTERFUSION_CONFIG_MAP,
    DEFAULT_ADAPTER_CONFIG,
    DEFAULT_ADAPTERFUSION_CONFIG,
    config_of_file,
    preset_name,
    resolve,
    resolve_fusion,
)
from distilbert.adapters.configs.prefix import PrefixTuningConfig, PromptTuningConfig
from distilbert.adapters.configs.reft import DiReftConfig, LoReftConfig, NoReftConfig, ReftConfig
from distilbert.adapters.configs.rules import NON_LINEARITIES
from distilbert.adapters.configs.union import (
    ConfigUnion,
    MAMConfig,
    UniPELTConfig,
    check_layers,
    check_places,
    members,
)

AdapterConfigBase = AdapterConfig

__all__ = [
    "ADAPTERFUSION_CONFIG_MAP",
    "ADAPTER_CONFIG_MAP",
    "DEFAULT_ADAPTERFUSION_CONFIG",
    "DEFAULT_ADAPTER_CONFIG",
    "NON_LINEARITIES",
    "AdapterConfig",
    "AdapterConfigBase",
    "AdapterFusionConfig",
    "AdapterPlusConfig",
    "BnConfig",
    "CompacterConfig",
    "CompacterPlusPlusConfig",
    "ConfigUnion",
    "DiReftConfig",
    "DoRAConfig",
    "DoubleSeqBnConfig",
    "DoubleSeqBnInvConfig",
    "DvoRAConfig",
    "DynamicAdapterFusionConfig",
    "HoulsbyConfig",
    "HoulsbyInvConfig",
    "IA3Config",
    "LoRAConfig",
    "LoReftConfig",
    "MAMConfig",
    "MTLLoRAConfig",
    "MultiTaskConfig",
    "NoReftConfig",
    "ParBnConfig",
    "ParallelConfig",
    "PfeifferConfig",
    "PfeifferInvConfig",
    "PrefixTuningConfig",
    "PromptTuningConfig",
    "ReftConfig",
    "SeqBnConfig",
    "SeqBnInvConfig",
    "StaticAdapterFusionConfig",
    "UniPELTConfig",
    "VeraConfig",
    "check_layers",
    "check_places",
    "config_of_file",
    "members",
    "preset_name",
    "resolve",
    "resolve_fusion",
]
