"""Prefixes, which attention reads, and prompts, which stand among the embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from distilbert.adapters.configs.base import AdapterConfig
from distilbert.adapters.configs.rules import (
    ACTIVATION,
    FLAG,
    LAYERS,
    POSITIVE,
    RATE,
    SEED,
    TEXT,
    Rule,
    either,
    one_of,
    whole,
)


@dataclass(frozen=True, eq=False, repr=False)
class PrefixTuningConfig(AdapterConfig, method="prefix_tuning"):
    """Trained keys and values before those of each layer. Li and Liang 2021, arXiv:2101.00190.

    Args:
        encoder_prefix: Of no effect in an encoder.
        cross_prefix: Of no effect in an encoder.
        leave_out: Layers, counted from 0, without a prefix.
        flat: Whether keys and values are themselves the parameters, not made by a small network.
        prefix_length: Keys and values of each layer.
        bottleneck_size: Width inside the network.
        non_linearity: In the network; one of `NON_LINEARITIES`.
        dropout: Rate, on keys and values.
        use_gating: Whether a trained gate weighs the prefix, row by row.
        shared_gating: Whether keys and values share it.
        init_weights_seed: Given, fresh weights are drawn from this seed.

    Raises AdapterError if a value cannot work.
    """

    architecture: str | None = "prefix_tuning"
    encoder_prefix: bool = True
    cross_prefix: bool = True
    leave_out: Sequence[int] = ()
    flat: bool = False
    prefix_length: int = 30
    bottleneck_size: int = 512
    non_linearity: str = "tanh"
    dropout: float = 0.0
    use_gating: bool = False
    shared_gating: bool = True
    init_weights_seed: int | None = None

    _rules: ClassVar[Mapping[str, Rule]] = {
        "encoder_prefix": FLAG,
        "cross_prefix": FLAG,
        "leave_out": LAYERS,
        "flat": FLAG,
        "prefix_length": whole(1),
        "bottleneck_size": whole(1),
        "non_linearity": ACTIVATION,
        "dropout": RATE,
        "use_gating": FLAG,
        "shared_gating": FLAG,
        "init_weights_seed": SEED,
    }

    def _once(self) -> frozenset[str]:
        return frozenset({"the prefix"})  # made once for all layers


@dataclass(frozen=True, eq=False, repr=False)
class PromptTuningConfig(AdapterConfig, method="prompt_tuning"):
    """Trained vectors among the embeddings. Lester et al. 2021, arXiv:2104.08691.

    Args:
        prompt_length: Number of vectors.
        prompt_init: Where they start: "random_uniform", or "from_string" at the embeddings of a
            text's word pieces, repeated or cut to the length.
        prompt_init_text: That text.
        combine: Where they stand: "prefix", before all tokens, or "prefix_after_bos", after the
            first.
        init_weights_seed: Given, fresh weights are drawn from this seed.
        random_uniform_scale: Half of the range around 0 in which "random_uniform" draws. AdapterHub
            has it, but does not write it; here it is written unless it is 0.5, and is read there.

    Raises AdapterError if a value cannot work.
    """

    architecture: str | None = "prompt_tuning"
    prompt_length: int = 10
    prompt_init: str = "random_uniform"
    prompt_init_text: str | None = None
    combine: str = "prefix"
    init_weights_seed: int | None = None
    random_uniform_scale: float = field(default=0.5, kw_only=True)

    _ours: ClassVar[frozenset[str]] = frozenset({"random_uniform_scale"})
    _rules: ClassVar[Mapping[str, Rule]] = {
        "prompt_length": whole(1),
        "prompt_init": one_of("random_uniform", "from_string"),
        "prompt_init_text": either(None, TEXT),
        "combine": one_of("prefix", "prefix_after_bos"),
        "init_weights_seed": SEED,
        "random_uniform_scale": POSITIVE,
    }

    def _check(self) -> None:
        if self.prompt_init == "from_string" and not (self.prompt_init_text or "").strip():
            self._refuse("prompt_init_text", "a text, as prompt_init is 'from_string'")

    def _once(self) -> frozenset[str]:
        return frozenset({"the prompt"})
