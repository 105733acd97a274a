"""Low-rank changes of the encoder's matrices, and the methods that grew from them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from distilbert.adapters.configs.base import AdapterConfig
from distilbert.adapters.configs.rules import (
    DTYPE,
    FLAG,
    LAYERS,
    NUMBER,
    POSITIVE,
    RATE,
    SEED,
    FixedMap,
    Rule,
    each,
    either,
    one_of,
    several,
    whole,
)

_ATTENTION = {letter: f"attention.{letter}_lin" for letter in ("q", "k", "v", "out")}
_MODULE = re.compile(
    r"transformer\.layer\.(0|[1-9][0-9]{0,8})\.(attention\.(?:q|k|v|out)_lin|ffn\.lin[12])"
)
_MODULES = "modules such as 'transformer.layer.0.attention.q_lin'"


def _is_module(name: str) -> bool:
    return _MODULE.fullmatch(name) is not None


@dataclass(frozen=True, eq=False, repr=False)
class LoRAConfig(AdapterConfig, method="lora"):
    """A product of two thin matrices beside others. Hu et al. 2021, arXiv:2106.09685.

    Args:
        selfattn_lora: Whether it hangs in the attention of each layer, beside `attn_matrices`.
        intermediate_lora: Whether it hangs beside the first layer of the feed-forward part.
        output_lora: Whether it hangs beside the second.
        leave_out: Layers, counted from 0, without it.
        r: Rank: the width between the two matrices.
        alpha: Its output is scaled by alpha / r.
        dropout: Rate, on its input.
        attn_matrices: Of "q", "k", "v", and "out", which AdapterHub lacks and PEFT has.
        composition_mode: "add" the product to the matrix; "scale" the matrix's outputs by a
            vector, which needs r = 1 and allows neither dropout nor use_dora.
        init_weights: How fresh weights are drawn: "lora" (uniform, zeros), "bert" (normal, 0.02),
            "ia3" (ones) or "vera" (uniform).
        init_weights_seed: Given, every module of the adapter is drawn from this seed anew.
        use_gating: Whether a trained gate weighs it, row by row, in place of the scale. A gated
            adapter cannot be merged.
        use_dora: Whether a trained vector holds the length of each row of the changed matrix.
        vera_d, vera_b: Given, both matrices are drawn once, shared by all layers and not trained;
            trained are the vectors after them, which start at these values.
        dtype: Of the parameters; None for that of the model.
        use_rslora: Whether the scale is alpha / √r. Ours, as in PEFT.
        rank_pattern: Another r for single modules, by their paths in the encoder. Ours, as in
            PEFT, whose regular expressions are resolved when its files are read.
        alpha_pattern: Another alpha for single modules. Ours, as in PEFT.

    Raises AdapterError if a value cannot work.
    """

    architecture: str | None = "lora"
    selfattn_lora: bool = True
    intermediate_lora: bool = False
    output_lora: bool = False
    leave_out: Sequence[int] = ()
    r: int = 8
    alpha: float = 8
    dropout: float = 0.0
    attn_matrices: Sequence[str] = ("q", "v")
    composition_mode: str = "add"
    init_weights: str = "lora"
    init_weights_seed: int | None = None
    use_gating: bool = False
    use_dora: bool = False
    vera_d: float | None = None
    vera_b: float | None = None
    dtype: str | None = None
    use_rslora: bool = field(default=False, kw_only=True)
    rank_pattern: Mapping[str, int] = field(default=FixedMap(), kw_only=True)
    alpha_pattern: Mapping[str, float] = field(default=FixedMap(), kw_only=True)

    _ours: ClassVar[frozenset[str]] = frozenset({"use_rslora", "rank_pattern", "alpha_pattern"})
    _rules: ClassVar[Mapping[str, Rule]] = {
        "selfattn_lora": FLAG,
        "intermediate_lora": FLAG,
        "output_lora": FLAG,
        "leave_out": LAYERS,
        "r": whole(1),
        "alpha": POSITIVE,
        "dropout": RATE,
        "attn_matrices": several("'q', 'k', 'v', 'out'", one_of(*_ATTENTION).fits),
        "composition_mode": one_of("add", "scale"),
        "init_weights": one_of("lora", "bert", "ia3", "vera"),
        "init_weights_seed": SEED,
        "use_gating": FLAG,
        "use_dora": FLAG,
        "vera_d": either(None, NUMBER),
        "vera_b": either(None, NUMBER),
        "dtype": DTYPE,
        "use_rslora": FLAG,
        "rank_pattern": each(_MODULES, _is_module, whole(1)),
        "alpha_pattern": each(_MODULES, _is_module, POSITIVE),
    }

    @property
    def is_vera(self) -> bool:
        """Whether the matrices are shared and only vectors are trained."""
        return self.vera_d is not None

    def _check(self) -> None:
        if (self.vera_d is None) != (self.vera_b is None):
            self._refuse("vera_b", "a number if and only if vera_d is one")
        if self.composition_mode == "scale":
            self._check_scale()
        if self.is_vera and self.rank_pattern:
            self._refuse("rank_pattern", "{} in VeRA, whose matrices all layers share")
        for name in ("rank_pattern", "alpha_pattern"):
            for module in getattr(self, name):
                found = _MODULE.fullmatch(module)
                layer, place = found.groups() if found else ("", "")
                if place not in self._places() or int(layer) in self.leave_out:
                    self._refuse(name, f"modules where the adapter hangs; {module!r} is none")

    def _check_scale(self) -> None:
        for name, only in (
            ("r", 1),
            ("dropout", 0),
            ("use_dora", False),
            ("vera_d", None),
            ("use_rslora", False),
            ("rank_pattern", {}),
        ):
            if getattr(self, name) != only:
                self._refuse(name, f"{only!r} with composition_mode 'scale', or use 'add'")
        if self.init_weights == "vera":
            self._refuse("init_weights", "'lora', 'bert', 'ia3' with composition_mode 'scale'")

    def _places(self) -> frozenset[str]:
        places = {_ATTENTION[letter] for letter in self.attn_matrices if self.selfattn_lora}
        places |= {"ffn.lin1"} if self.intermediate_lora else set()
        places |= {"ffn.lin2"} if self.output_lora else set()
        return frozenset(places)

    def _once(self) -> frozenset[str]:
        return frozenset({"the shared matrices of VeRA"} if self.is_vera else ())


@dataclass(frozen=True, eq=False, repr=False)
class IA3Config(LoRAConfig):
    """Scaled keys, values and inner activations: (IA)³. Liu et al. 2022, arXiv:2205.05638."""

    intermediate_lora: bool = True
    r: int = 1
    alpha: float = 1
    attn_matrices: Sequence[str] = ("k", "v")
    composition_mode: str = "scale"
    init_weights: str = "ia3"


@dataclass(frozen=True, eq=False, repr=False)
class VeraConfig(LoRAConfig):
    """Vectors on random matrices that all layers share. Kopiczko et al. 2023, arXiv:2310.11454."""

    init_weights: str = "vera"
    vera_d: float | None = 0.1
    vera_b: float | None = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class DoRAConfig(LoRAConfig):
    """Length and direction of the matrix apart. Liu et al. 2024, arXiv:2402.09353."""

    use_dora: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class DvoRAConfig(LoRAConfig):
    """`VeraConfig` and `DoRAConfig` in one."""

    init_weights: str = "vera"
    use_dora: bool = True
    vera_d: float | None = 0.1
    vera_b: float | None = 0.0


class MultiTaskConfig(AdapterConfig):
    """Base of configurations with parts for each of several tasks."""


@dataclass(frozen=True, eq=False, repr=False)
class MTLLoRAConfig(LoRAConfig, MultiTaskConfig, method="mtl_lora"):
    """LoRA for several tasks, each with a small matrix. Yang et al. 2024, arXiv:2410.09437.

    Args:
        n_up_projection: Up-projections, whose outputs are mixed.
        task_specific_matrix_type: The task's own matrix: "singular_values" for a diagonal one,
            "linear" for a full one.
        weights_sharpness: The temperature of the mix; small makes it sharp.

    The others are those of `LoRAConfig`, in "add" mode and without VeRA.
    """

    architecture: str | None = "mtl_lora"
    n_up_projection: int = 1
    task_specific_matrix_type: str = "singular_values"
    weights_sharpness: float = 0.05

    _rules: ClassVar[Mapping[str, Rule]] = {
        **LoRAConfig._rules,
        "composition_mode": one_of("add"),
        "init_weights": one_of("lora", "bert"),
        "vera_d": Rule("None", lambda value: value is None),
        "n_up_projection": whole(1),
        "task_specific_matrix_type": one_of("singular_values", "linear"),
        "weights_sharpness": POSITIVE,
    }
