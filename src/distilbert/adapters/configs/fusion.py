"""AdapterFusion: attention over the outputs of several adapters."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from distilbert.adapters.configs.base import AdapterConfig
from distilbert.adapters.configs.rules import FLAG, RATE, Rule, either


@dataclass(frozen=True, eq=False, repr=False)
class AdapterFusionConfig(AdapterConfig):
    """How adapters are fused, every option free. Pfeiffer et al. 2020, arXiv:2005.00247.

    Args:
        key: Whether the adapters' outputs pass a matrix before they are compared.
        query: Whether the hidden vector does.
        value: Whether the adapters' outputs pass one before they are mixed.
        query_before_ln: Whether the query is the hidden vector before the model's layer norm.
        regularization: Whether the value matrix is held near the identity by a loss.
        residual_before: Whether the residual is added to each output rather than to their mix.
        temperature: Whether the mix starts even and becomes sharp while training.
        value_before_softmax: Whether the value matrix comes before the mixing rather than after.
            It is linear, so that both give the same numbers: kept for the files that say it.
        value_initialized: Whether the value matrix starts near the identity.
        dropout_prob: Rate, on the scores; None for the model's `attention_dropout`.

    Raises AdapterError if a value cannot work.
    """

    method: ClassVar[str] = "fusion"

    key: bool
    query: bool
    value: bool
    query_before_ln: bool
    regularization: bool
    residual_before: bool
    temperature: bool
    value_before_softmax: bool
    value_initialized: bool
    dropout_prob: float | None

    _rules: ClassVar[Mapping[str, Rule]] = {
        "key": FLAG,
        "query": FLAG,
        "value": FLAG,
        "query_before_ln": FLAG,
        "regularization": FLAG,
        "residual_before": FLAG,
        "temperature": FLAG,
        "value_before_softmax": FLAG,
        "value_initialized": FLAG,
        "dropout_prob": either(None, RATE),
    }

    @classmethod
    def load(
        cls, config: "str | os.PathLike[str] | Mapping[str, Any] | None", **overrides: Any
    ) -> "AdapterFusionConfig":
        """As `resolve_fusion`."""
        from distilbert.adapters.configs.names import resolve_fusion

        return resolve_fusion(config, **overrides)


@dataclass(frozen=True, eq=False, repr=False)
class StaticAdapterFusionConfig(AdapterFusionConfig):
    """Fusion without a value matrix."""

    key: bool = True
    query: bool = True
    value: bool = False
    query_before_ln: bool = False
    regularization: bool = False
    residual_before: bool = False
    temperature: bool = False
    value_before_softmax: bool = True
    value_initialized: bool = False
    dropout_prob: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class DynamicAdapterFusionConfig(AdapterFusionConfig):
    """Fusion with a value matrix, which is held near the identity."""

    key: bool = True
    query: bool = True
    value: bool = True
    query_before_ln: bool = False
    regularization: bool = True
    residual_before: bool = False
    temperature: bool = False
    value_before_softmax: bool = True
    value_initialized: bool = True
    dropout_prob: float | None = None
