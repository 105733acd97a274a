"""Adapters: small trained parts that hang in the encoder, and how they are combined.

The names are those that users of AdapterHub import from `adapters`; `PerRow` is ours. Like all
names of this package, they are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distilbert.adapters.composition import ALLOWED_NESTINGS as ALLOWED_NESTINGS
    from distilbert.adapters.composition import AdapterCompositionBlock as AdapterCompositionBlock
    from distilbert.adapters.composition import Average as Average
    from distilbert.adapters.composition import BatchSplit as BatchSplit
    from distilbert.adapters.composition import Composition as Composition
    from distilbert.adapters.composition import Fuse as Fuse
    from distilbert.adapters.composition import MultiTask as MultiTask
    from distilbert.adapters.composition import Parallel as Parallel
    from distilbert.adapters.composition import PerRow as PerRow
    from distilbert.adapters.composition import Split as Split
    from distilbert.adapters.composition import Stack as Stack
    from distilbert.adapters.composition import parse_composition as parse_composition
    from distilbert.adapters.composition import validate_composition as validate_composition
    from distilbert.adapters.configs import ADAPTER_CONFIG_MAP as ADAPTER_CONFIG_MAP
    from distilbert.adapters.configs import ADAPTERFUSION_CONFIG_MAP as ADAPTERFUSION_CONFIG_MAP
    from distilbert.adapters.configs import DEFAULT_ADAPTER_CONFIG as DEFAULT_ADAPTER_CONFIG
    from distilbert.adapters.configs import (
        DEFAULT_ADAPTERFUSION_CONFIG as DEFAULT_ADAPTERFUSION_CONFIG,
    )
    from distilbert.adapters.configs import AdapterConfig as AdapterConfig
    from distilbert.adapters.configs import AdapterFusionConfig as AdapterFusionConfig
    from distilbert.adapters.configs import AdapterPlusConfig as AdapterPlusConfig
    from distilbert.adapters.configs import BnConfig as BnConfig
    from distilbert.adapters.configs import CompacterConfig as CompacterConfig
    from distilbert.adapters.configs import CompacterPlusPlusConfig as CompacterPlusPlusConfig
    from distilbert.adapters.configs import ConfigUnion as ConfigUnion
    from distilbert.adapters.configs import DiReftConfig as DiReftConfig
    from distilbert.adapters.configs import DoRAConfig as DoRAConfig
    from distilbert.adapters.configs import DoubleSeqBnConfig as DoubleSeqBnConfig
    from distilbert.adapters.configs import DoubleSeqBnInvConfig as DoubleSeqBnInvConfig
    from distilbert.adapters.configs import DvoRAConfig as DvoRAConfig
    from distilbert.adapters.configs import DynamicAdapterFusionConfig as DynamicAdapterFusionConfig
    from distilbert.adapters.configs import HoulsbyConfig as HoulsbyConfig
    from distilbert.adapters.configs import HoulsbyInvConfig as HoulsbyInvConfig
    from distilbert.adapters.configs import IA3Config as IA3Config
    from distilbert.adapters.configs import LoRAConfig as LoRAConfig
    from distilbert.adapters.configs import LoReftConfig as LoReftConfig
    from distilbert.adapters.configs import MAMConfig as MAMConfig
    from distilbert.adapters.configs import MTLLoRAConfig as MTLLoRAConfig
    from distilbert.adapters.configs import MultiTaskConfig as MultiTaskConfig
    from distilbert.adapters.configs import NoReftConfig as NoReftConfig
    from distilbert.adapters.configs import ParallelConfig as ParallelConfig
    from distilbert.adapters.configs import ParBnConfig as ParBnConfig
    from distilbert.adapters.configs import PfeifferConfig as PfeifferConfig
    from distilbert.adapters.configs import PfeifferInvConfig as PfeifferInvConfig
    from distilbert.adapters.configs import PrefixTuningConfig as PrefixTuningConfig
    from distilbert.adapters.configs import PromptTuningConfig as PromptTuningConfig
    from distilbert.adapters.configs import ReftConfig as ReftConfig
    from distilbert.adapters.configs import SeqBnConfig as SeqBnConfig
    from distilbert.adapters.configs import SeqBnInvConfig as SeqBnInvConfig
    from distilbert.adapters.configs import StaticAdapterFusionConfig as StaticAdapterFusionConfig
    from distilbert.adapters.configs import UniPELTConfig as UniPELTConfig
    from distilbert.adapters.configs import VeraConfig as VeraConfig
    from distilbert.adapters.older import AdapterType as AdapterType
    from distilbert.adapters.older import init as init
    from distilbert.adapters.older import load_model as load_model
    from distilbert.adapters.registry import Adapters
    from distilbert.adapters.setup import AdapterSetup as AdapterSetup
    from distilbert.errors import AdapterError as AdapterError
    from distilbert.model.flexible import CausalLMHead as CausalLMHead
    from distilbert.model.flexible import ClassificationHead as ClassificationHead
    from distilbert.model.flexible import DependencyParsingHead, MaskedLMHead
    from distilbert.model.flexible import (
        MultiLabelClassificationHead as MultiLabelClassificationHead,
    )
    from distilbert.model.flexible import MultipleChoiceHead as MultipleChoiceHead
    from distilbert.model.flexible import QuestionAnsweringHead as QuestionAnsweringHead
    from distilbert.model.flexible import TaggingHead as TaggingHead
    from distilbert.model.prediction import PredictionHead as PredictionHead
    from distilbert.model.with_heads import DistilBertAdapterModel as DistilBertAdapterModel
    from distilbert.model.with_heads import DistilBertModelWithHeads
    from distilbert.outputs import DependencyParsingOutput as DependencyParsingOutput
    from distilbert.outputs import MultiHeadOutput as MultiHeadOutput

    AutoAdapterModel = DistilBertModelWithHeads
    BertStyleMaskedLMHead = MaskedLMHead
    BiaffineParsingHead = DependencyParsingHead
    ModelAdaptersConfig = Adapters

_COMPOSITION = (
    *("Average", "BatchSplit", "Fuse", "MultiTask", "Parallel", "PerRow", "Split", "Stack"),
    *("Composition", "AdapterCompositionBlock", "ALLOWED_NESTINGS"),
    *("parse_composition", "validate_composition"),
)
_HEADS = (
    *("BertStyleMaskedLMHead", "BiaffineParsingHead", "CausalLMHead", "ClassificationHead"),
    *("MultiLabelClassificationHead", "MultipleChoiceHead", "QuestionAnsweringHead"),
    "TaggingHead",
)
_CONFIGS = (
    *("ADAPTERFUSION_CONFIG_MAP", "ADAPTER_CONFIG_MAP", "AdapterConfig", "AdapterFusionConfig"),
    *("AdapterPlusConfig", "BnConfig", "CompacterConfig", "CompacterPlusPlusConfig"),
    *("ConfigUnion", "DEFAULT_ADAPTERFUSION_CONFIG", "DEFAULT_ADAPTER_CONFIG", "DiReftConfig"),
    *("DoRAConfig", "DoubleSeqBnConfig", "DoubleSeqBnInvConfig", "DvoRAConfig"),
    *("DynamicAdapterFusionConfig", "HoulsbyConfig", "HoulsbyInvConfig", "IA3Config"),
    *("LoRAConfig", "LoReftConfig", "MAMConfig", "MTLLoRAConfig", "MultiTaskConfig"),
    "NoReftConfig",
    *("ParBnConfig", "ParallelConfig", "PfeifferConfig", "PfeifferInvConfig"),
    *("PrefixTuningConfig", "PromptTuningConfig", "ReftConfig", "SeqBnConfig", "SeqBnInvConfig"),
    *("StaticAdapterFusionConfig", "UniPELTConfig", "VeraConfig"),
)
_HOMES = {
    **dict.fromkeys(_COMPOSITION, "distilbert.adapters.composition"),
    **dict.fromkeys(_CONFIGS, "distilbert.adapters.configs"),
    **dict.fromkeys(_HEADS, "distilbert.model.flexible"),
    "AdapterSetup": "distilbert.adapters.setup",
    "AdapterType": "distilbert.adapters.older",
    "init": "distilbert.adapters.older",
    "load_model": "distilbert.adapters.older",
    "ModelAdaptersConfig": "distilbert.adapters.registry",
    "AutoAdapterModel": "distilbert.model.with_heads",
    "DistilBertAdapterModel": "distilbert.model.with_heads",
    "DependencyParsingOutput": "distilbert.outputs",
    "MultiHeadOutput": "distilbert.outputs",
    "PredictionHead": "distilbert.model.prediction",
    "AdapterError": "distilbert.errors",
}
_OTHER_NAMES = {
    "AutoAdapterModel": "DistilBertModelWithHeads",
    "BertStyleMaskedLMHead": "MaskedLMHead",
    "BiaffineParsingHead": "DependencyParsingHead",
    "ModelAdaptersConfig": "Adapters",
}

__all__ = [*_HOMES]  # noqa: PLE0604

if not TYPE_CHECKING:  # a type checker would otherwise accept names that do not exist

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), _OTHER_NAMES.get(name, name))
        globals()[name] = value
        return value

    def __dir__():
        return sorted(__all__)
