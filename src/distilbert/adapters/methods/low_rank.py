"""What methods beside a projection share: where they hang, their rank and scale, gates, DoRA."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.configs import LoRAConfig
from distilbert.adapters.methods.gate import Gate
from distilbert.adapters.site import LinearState, Note, Site
from distilbert.flow import Flow

Shared = Mapping[str, Tensor]  # what all layers of one adapter share
NOTHING: Shared = {}


def hangs(config: LoRAConfig, site: Site) -> bool:
    """Whether an adapter of this configuration hangs at a site."""
    if site.layer in config.leave_out:
        return False
    if site.name in ("lin1", "lin2"):
        return config.intermediate_lora if site.name == "lin1" else config.output_lora
    return config.selfattn_lora and site.name in config.attn_matrices


def rank_of(config: LoRAConfig, site: Site) -> int:
    """The width between the two matrices at a site."""
    return config.rank_pattern.get(_path(site), config.r)


def scale_of(config: LoRAConfig, site: Site) -> float:
    """What an adapter's output is multiplied by at a site."""
    alpha = config.alpha_pattern.get(_path(site), config.alpha)
    if config.composition_mode == "scale":
        return float(alpha)
    rank = rank_of(config, site)
    return alpha / (math.sqrt(rank) if config.use_rslora else rank)


def _path(site: Site) -> str:
    module = f"ffn.{site.name}" if site.name.startswith("lin") else f"attention.{site.name}_lin"
    return f"transformer.layer.{site.layer}.{module}"


def draw(matrix: Tensor, how: str, *, up: bool = False) -> None:
    """Fills a matrix (out, in) as `init_weights` says; `up` is the second of two."""
    if how == "bert":
        nn.init.normal_(matrix, std=0.02)
    elif how == "ia3":
        nn.init.ones_(matrix)
    elif how == "vera":
        nn.init.kaiming_uniform_(matrix)
    elif up:  # "lora": the adapter starts by adding nothing
        nn.init.zeros_(matrix)
    else:
        nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))


def times(x: Tensor, factor: float | Tensor) -> Tensor:
    """x · factor, at no cost for 1."""
    return x if isinstance(factor, float) and factor == 1.0 else x * factor


class Beside(nn.Module):
    """Something beside a projection W x + b; W is (out, in)."""

    def __init__(self, config: LoRAConfig, site: Site, name: str) -> None:
        super().__init__()
        self.name = name
        self.scale = scale_of(config, site)
        self.gated = config.use_gating
        self.own_dtype = None if config.dtype is None else getattr(torch, config.dtype)

    def add_gate(self, site: Site) -> None:
        """Adds what weighs it row by row, in place of the scale."""
        self.gate = Gate(site.width)

    def factor(self, x: Tensor, flow: Flow) -> tuple[float | Tensor, tuple[Note, ...]]:
        """What to multiply by: the scale, or the gates of the rows of x, (…, in)."""
        if not self.gated:
            return self.scale, ()
        gate = self.gate(x.to(self.gate.weight.dtype), flow)  # (rows, 1)
        return flow.layout.spread(gate), self.gate.notes(gate, self.name, flow)

    def merged(
        self, weight: Tensor, bias: Tensor | None, shared: Shared
    ) -> tuple[Tensor, Tensor | None]:
        """The W and b of a projection that says alone what the two say together. Without gates."""
        raise NotImplementedError


class LowRank(Beside):
    """Adds scale · Δ x to the projection, where Δ (out, in) is a product of thin matrices.

    With DoRA it is the rows of the sum that get another length: y = m / ‖W + Δ‖ · (W x + b +
    scale · Δ x). The length is that of the unscaled sum and the bias is scaled too, since published
    adapters were trained so. In a stack it is the last one's length that counts, as it is the last
    one's Δ that adds: those before it say what it reads.
    """

    def __init__(self, config: LoRAConfig, site: Site, name: str) -> None:
        super().__init__(config, site, name)
        self.dropout = nn.Dropout(config.dropout)
        self.dora = config.use_dora

    def finish(self, config: LoRAConfig, site: Site, host: Any) -> None:
        """Adds what comes after the matrices: the order in which AdapterHub draws."""
        if config.use_dora:
            self.m = nn.Linear(1, site.out, bias=False)
            weight = host.loras.plain.get("weight", host.weight)  # not what is merged into it
            lengths = weight.new_empty(site.out, 1)
            if not weight.is_meta:  # where they would take PyTorch's compiler to have shapes alone
                lengths = weight.detach().norm(dim=1, keepdim=True)
            self.m.weight = nn.Parameter(lengths)
        if config.use_gating:
            self.add_gate(site)

    @property
    def dtype(self) -> torch.dtype:
        """Of its parameters."""
        raise NotImplementedError

    def said(self, x: Tensor, factor: float | Tensor, shared: Shared) -> Tensor:
        """factor · Δ x. x: (…, in) → (…, out)"""
        raise NotImplementedError

    def change(self, shared: Shared = NOTHING) -> Tensor:
        """Δ, (out, in), without the scale."""
        raise NotImplementedError

    def forward(self, state: LinearState, flow: Flow) -> LinearState:
        """Reads `source`, which in a stack is what the one before it said, and writes `delta`."""
        factor, notes = self.factor(state.x, flow)
        shared = flow.shared.get(self.name, NOTHING)
        source = self.dropout(state.source.to(self.dtype))
        said = self.said(source, factor, shared).to(state.y.dtype)
        notes = state.notes + notes
        if not self.dora:
            return state._replace(source=said, delta=said, notes=notes)
        lengthened = self._lengths(state.weight, shared) * (state.y + said)
        delta = lengthened.to(state.y.dtype) - state.y  # y stays: in a stack the last alone adds
        return state._replace(source=said, delta=delta, notes=notes)

    def _lengths(self, weight: Tensor, shared: Shared) -> Tensor:
        """(out,): the trained length of each row of W + Δ over the one that it has."""
        m: Tensor = self.m.weight[:, 0]
        lengths: Tensor = torch.linalg.vector_norm(weight + self.change(shared), dim=1)
        return m / lengths

    def merged(
        self, weight: Tensor, bias: Tensor | None, shared: Shared
    ) -> tuple[Tensor, Tensor | None]:
        both = weight + times(self.change(shared), self.scale)
        if not self.dora:
            return both, bias
        lengths = self._lengths(weight, shared)
        return lengths[:, None] * both, None if bias is None else lengths * bias
