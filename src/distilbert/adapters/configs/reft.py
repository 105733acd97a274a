"""ReFT: small changes of the hidden vectors after chosen layers, at chosen positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from distilbert.adapters.configs.base import AdapterConfig
from distilbert.adapters.configs.rules import (
    ACTIVATION,
    DTYPE,
    FLAG,
    RATE,
    SEED,
    SOME_LAYERS,
    Rule,
    either,
    whole,
)


@dataclass(frozen=True, eq=False, repr=False)
class ReftConfig(AdapterConfig, method="reft"):
    """Representation fine-tuning, every option free. Wu et al. 2024, arXiv:2404.03592.

    Args:
        layers: "all", or the layers, counted from 0, after which the vectors are changed.
        prefix_positions: How many of a row's first tokens are changed.
        suffix_positions: How many of its last.
        r: Rank of the change.
        orthogonality: Whether the rows of the projection stay orthonormal.
        tied_weights: Whether first and last tokens share their weights.
        dropout: Rate, on the changed vectors.
        non_linearity: On the learned source; one of `NON_LINEARITIES`, or None.
        dtype: Of the parameters; None for that of the model.
        output_reft: Whether it hangs in the model at all.
        init_weights_seed: Given, every module of the adapter is drawn from this seed anew.
        subtract_projection: Whether what the projection reads is taken away before the learned
            source is put in its place. AdapterHub neither writes this nor reads it from a file, so
            its DiReFT files come back with true, there and here, and no file can tell: load one
            with `config=AdapterConfig.load("….json", subtract_projection=False)`. Here it is always
            written.

    Raises AdapterError if a value cannot work.
    """

    layers: str | Sequence[int]
    prefix_positions: int
    suffix_positions: int
    r: int
    orthogonality: bool
    tied_weights: bool = False
    dropout: float = 0.05
    non_linearity: str | None = None
    dtype: str | None = None
    architecture: str | None = "reft"
    output_reft: bool = True
    init_weights_seed: int | None = None
    subtract_projection: bool = field(default=True, kw_only=True)

    _rules: ClassVar[Mapping[str, Rule]] = {
        "layers": either("all", SOME_LAYERS),
        "prefix_positions": whole(0),
        "suffix_positions": whole(0),
        "r": whole(1),
        "orthogonality": FLAG,
        "tied_weights": FLAG,
        "dropout": RATE,
        "non_linearity": either(None, ACTIVATION),
        "dtype": DTYPE,
        "output_reft": FLAG,
        "init_weights_seed": SEED,
        "subtract_projection": FLAG,
    }

    def _check(self) -> None:
        if not self.prefix_positions and not self.suffix_positions:
            self._refuse("prefix_positions", "at least 1, or suffix_positions of at least 1")

    def _places(self) -> frozenset[str]:
        return frozenset({"the output of a layer"} if self.output_reft else ())

    def _listed(self) -> frozenset[int] | None:
        return None if isinstance(self.layers, str) else frozenset(self.layers)


@dataclass(frozen=True, eq=False, repr=False)
class LoReftConfig(ReftConfig):
    """ReFT with an orthonormal projection."""

    layers: str | Sequence[int] = "all"
    prefix_positions: int = 3
    suffix_positions: int = 0
    r: int = 1
    orthogonality: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class NoReftConfig(ReftConfig):
    """ReFT with a projection that is free."""

    layers: str | Sequence[int] = "all"
    prefix_positions: int = 3
    suffix_positions: int = 0
    r: int = 1
    orthogonality: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class DiReftConfig(ReftConfig):
    """ReFT with a projection that is free, which only adds: nothing is taken away first."""

    layers: str | Sequence[int] = "all"
    prefix_positions: int = 3
    suffix_positions: int = 0
    r: int = 1
    orthogonality: bool = False
    subtract_projection: bool = field(default=False, kw_only=True)
