"""Bottleneck adapters: a narrow layer and its way back up, in each block of the encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from distilbert.adapters.configs.base import AdapterConfig
from distilbert.adapters.configs.rules import (
    ACTIVATION,
    FACTOR,
    FLAG,
    LAYERS,
    NUMBER,
    POSITIVE,
    RATE,
    SEED,
    SPREAD,
    Rule,
    either,
    one_of,
    shown,
    whole,
)
from distilbert.errors import AdapterError

if TYPE_CHECKING:
    from typing_extensions import Self

_FLAGS = (
    "mh_adapter",
    "output_adapter",
    "original_ln_before",
    "original_ln_after",
    "ln_before",
    "ln_after",
    "is_parallel",
    "use_gating",
    "adapter_residual_before_ln",
    "cross_adapter",
    "phm_layer",
    "factorized_phm_W",
    "shared_W_phm",
    "shared_phm_rule",
    "factorized_phm_rule",
    "learn_phm",
    "phm_bias",
)
_OLD_NAMES = {
    "MH_Adapter": "mh_adapter",
    "Output_Adapter": "output_adapter",
    "LN_Before": "ln_before",
    "LN_After": "ln_after",
}


@dataclass(frozen=True, eq=False, repr=False)
class BnConfig(AdapterConfig, method="bottleneck"):
    """A bottleneck adapter, every option free. The classes below are its published forms.

    Args:
        mh_adapter: Whether one hangs after the attention of each layer.
        output_adapter: Whether one hangs after the feed-forward part of each layer.
        reduction_factor: Width of the model through width of the bottleneck, or a map of such
            from layers ("0", "1", …) and "default"; below 1, the adapter is wider than the model.
        non_linearity: Between the two layers; one of `NON_LINEARITIES`.
        original_ln_before: Whether the model adds its residual and normalises before the adapter.
            Of no effect in parallel.
        original_ln_after: The same, after the adapter.
        ln_before: Whether the adapter has a layer norm of its own before its layers.
        ln_after: The same, after its layers.
        init_weights: How fresh weights are drawn: "bert" (normal, 0.02), "mam_adapter" (uniform
            down, zeros up) or "houlsby" (truncated normal, 0.01).
        init_weights_seed: Given, every module of the adapter is drawn from this seed anew.
        is_parallel: Whether the adapter reads what the attention or feed-forward part reads.
        scaling: Factor of the adapter's output; "learned", or "channel" for one of each value.
        use_gating: Whether a trained gate weighs the adapter's output, row by row.
        residual_before_ln: With `original_ln_before`, whether the adapter's own residual is taken
            before the model's residual and norm (true), after both (false), or between them
            ("post_add").
        adapter_residual_before_ln: With `ln_after`, whether the adapter's own residual is added
            before that norm.
        inv_adapter: An invertible adapter after the embeddings: "nice", "glow" or None.
        inv_adapter_reduction_factor: Its width through the width of its bottlenecks.
        cross_adapter: Of no effect in an encoder.
        leave_out: Layers, counted from 0, where no adapter hangs.
        dropout: Rate, on the adapter's output.
        phm_layer: Whether both layers are sums of Kronecker products (compacter).
        phm_dim: Number of products; divides both widths.
        factorized_phm_W: Whether the right factors are products of thin matrices.
        shared_W_phm: Whether all layers share them.
        shared_phm_rule: Whether all layers share the left factors, the rule.
        factorized_phm_rule: Whether the rule is a product of vectors.
        phm_c_init: How the rule is drawn: "normal" or "uniform".
        phm_init_range: Standard deviation of a shared rule that is drawn "normal".
        learn_phm: Whether the rule is trained.
        hypercomplex_nonlinearity: How the right factors are drawn: "phm", "glorot-normal",
            "glorot-uniform" or "normal".
        phm_rank: Width of the thin matrices.
        phm_bias: Whether both layers have a bias.
        stochastic_depth: Share of rows for which the adapter is left out, while training.

    Raises AdapterError if a value cannot work.
    """

    mh_adapter: bool
    output_adapter: bool
    reduction_factor: float | Mapping[str, float]
    non_linearity: str
    original_ln_before: bool = False
    original_ln_after: bool = True
    ln_before: bool = False
    ln_after: bool = False
    init_weights: str = "bert"
    init_weights_seed: int | None = None
    is_parallel: bool = False
    scaling: float | str = 1.0
    use_gating: bool = False
    residual_before_ln: bool | str = True
    adapter_residual_before_ln: bool = False
    inv_adapter: str | None = None
    inv_adapter_reduction_factor: float | None = None
    cross_adapter: bool = False
    leave_out: Sequence[int] = ()
    dropout: float = 0.0
    phm_layer: bool = False
    phm_dim: int = 4
    factorized_phm_W: bool = True  # noqa: N815  # AdapterHub's spelling
    shared_W_phm: bool = False  # noqa: N815
    shared_phm_rule: bool = True
    factorized_phm_rule: bool = False
    phm_c_init: str = "normal"
    phm_init_range: float = 0.0001
    learn_phm: bool = True
    hypercomplex_nonlinearity: str = "glorot-uniform"
    phm_rank: int = 1
    phm_bias: bool = True
    stochastic_depth: float = 0.0

    _rules: ClassVar[Mapping[str, Rule]] = {
        **dict.fromkeys(_FLAGS, FLAG),
        "reduction_factor": FACTOR,
        "non_linearity": ACTIVATION,
        "init_weights": one_of("bert", "mam_adapter", "houlsby"),
        "init_weights_seed": SEED,
        "scaling": either("learned", either("channel", NUMBER)),
        "residual_before_ln": either("post_add", FLAG),
        "inv_adapter": either(None, one_of("nice", "glow")),
        "inv_adapter_reduction_factor": either(None, POSITIVE),
        "leave_out": LAYERS,
        "dropout": RATE,
        "phm_dim": whole(1),
        "phm_c_init": one_of("normal", "uniform"),
        "phm_init_range": SPREAD,
        "hypercomplex_nonlinearity": one_of("phm", "glorot-normal", "glorot-uniform", "normal"),
        "phm_rank": whole(1),
        "stochastic_depth": RATE,
    }

    def _check(self) -> None:
        if self.inv_adapter and self.inv_adapter_reduction_factor is None:
            self._refuse("inv_adapter_reduction_factor", "a number above 0 beside an inv_adapter")
        if (
            self.residual_before_ln == "post_add"
            and not self.is_parallel
            and not self.original_ln_before
        ):
            self._refuse(
                "residual_before_ln",
                "true or false without original_ln_before, since nothing is added before the "
                "adapter then",
            )
        if self.phm_layer and self.shared_W_phm and isinstance(self.reduction_factor, Mapping):
            self._refuse(
                "reduction_factor", "one number, as shared_W_phm gives all layers one matrix"
            )

    @classmethod
    def _read(cls, data: dict[str, Any]) -> "Self":
        """Beside today's, reads version 1: its nested `invertible_adapter` and older spellings."""
        nested = data.pop("invertible_adapter", None)
        if nested:
            try:
                data["inv_adapter"] = nested["block_type"]
                data["inv_adapter_reduction_factor"] = nested["reduction_factor"]
            except (KeyError, TypeError, IndexError):
                raise AdapterError(
                    f"invertible_adapter is {shown(nested)}; allowed: None, or a map with "
                    "block_type and reduction_factor"
                ) from None
        for old, name in _OLD_NAMES.items():
            if old in data:
                data.setdefault(name, data.pop(old))
        return super()._read(data)

    def _places(self) -> frozenset[str]:
        return frozenset(name for name in ("mh_adapter", "output_adapter") if getattr(self, name))

    def _once(self) -> frozenset[str]:
        taken = {
            "the invertible adapter": self.inv_adapter is not None,
            "the shared rule of its phm layers": self.phm_layer and self.shared_phm_rule,
            "the shared weights of its phm layers": self.phm_layer and self.shared_W_phm,
        }
        return frozenset(name for name, takes in taken.items() if takes)


@dataclass(frozen=True, eq=False, repr=False)
class SeqBnConfig(BnConfig):
    """One bottleneck after the feed-forward part. Pfeiffer et al. 2020, arXiv:2005.00247."""

    mh_adapter: bool = False
    output_adapter: bool = True
    reduction_factor: float | Mapping[str, float] = 16
    non_linearity: str = "relu"
    original_ln_before: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class SeqBnInvConfig(SeqBnConfig):
    """`SeqBnConfig` with an invertible adapter. Pfeiffer et al. 2020, arXiv:2005.00052."""

    inv_adapter: str | None = "nice"
    inv_adapter_reduction_factor: float | None = 2


@dataclass(frozen=True, eq=False, repr=False)
class DoubleSeqBnConfig(BnConfig):
    """Bottlenecks after attention and feed-forward part. Houlsby et al. 2019, arXiv:1902.00751."""

    mh_adapter: bool = True
    output_adapter: bool = True
    reduction_factor: float | Mapping[str, float] = 16
    non_linearity: str = "swish"


@dataclass(frozen=True, eq=False, repr=False)
class DoubleSeqBnInvConfig(DoubleSeqBnConfig):
    """`DoubleSeqBnConfig` with an invertible adapter."""

    inv_adapter: str | None = "nice"
    inv_adapter_reduction_factor: float | None = 2


@dataclass(frozen=True, eq=False, repr=False)
class ParBnConfig(BnConfig):
    """A bottleneck beside the feed-forward part. He et al. 2021, arXiv:2110.04366."""

    mh_adapter: bool = False
    output_adapter: bool = True
    reduction_factor: float | Mapping[str, float] = 2
    non_linearity: str = "relu"
    init_weights: str = "mam_adapter"
    is_parallel: bool = True
    scaling: float | str = 4.0


@dataclass(frozen=True, eq=False, repr=False)
class AdapterPlusConfig(BnConfig):
    """Scaled by channel, with stochastic depth. Steitz and Roth 2024, arXiv:2406.06820."""

    mh_adapter: bool = False
    output_adapter: bool = True
    reduction_factor: float | Mapping[str, float] = 96
    non_linearity: str = "gelu"
    original_ln_before: bool = True
    original_ln_after: bool = False
    init_weights: str = "houlsby"
    scaling: float | str = "channel"
    residual_before_ln: bool | str = False
    stochastic_depth: float = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class CompacterConfig(DoubleSeqBnConfig):
    """Two bottlenecks of Kronecker products. Mahabadi et al. 2021, arXiv:2106.04647."""

    reduction_factor: float | Mapping[str, float] = 32
    non_linearity: str = "gelu"
    phm_layer: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class CompacterPlusPlusConfig(SeqBnConfig):
    """`CompacterConfig` with only the bottleneck after the feed-forward part."""

    reduction_factor: float | Mapping[str, float] = 32
    non_linearity: str = "gelu"
    phm_layer: bool = True


PfeifferConfig = SeqBnConfig
PfeifferInvConfig = SeqBnInvConfig
HoulsbyConfig = DoubleSeqBnConfig
HoulsbyInvConfig = DoubleSeqBnInvConfig
ParallelConfig = ParBnConfig
