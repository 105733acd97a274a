"""Bottleneck adapters: down to few dimensions, an activation, and up again.

Sources: Houlsby et al. 2019; Pfeiffer et al. 2021 (`seq_bn`); He et al. 2022 (`par_bn`); Mao et
al. 2022 (gates); Steitz and Roth 2024 (AdapterPlus).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.build import register, seeded
from distilbert.adapters.configs import BnConfig
from distilbert.adapters.methods.activation import activation
from distilbert.adapters.methods.gate import Gate
from distilbert.adapters.methods.phm import PHMLinear, inner_width
from distilbert.adapters.site import ResidualState, Site
from distilbert.flow import Flow


@register(BnConfig)
def bottleneck(config: BnConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """The bottleneck of a config at a site, or None where it has none."""
    here = site.name in ("mh_adapter", "output_adapter") and getattr(config, site.name)
    if not here or site.layer in config.leave_out:
        return None
    return Bottleneck(config, site, name)


class Bottleneck(nn.Module):
    """(…, dim) → (…, dim), beside the stream or in it."""

    def __init__(self, config: BnConfig, site: Site, name: str) -> None:
        super().__init__()
        self.config, self.name = config, name
        self.after: bool = config.original_ln_after
        dim, inner = site.width, inner_width(config, site.width, site.layer)
        if config.ln_before:
            self.adapter_norm_before = nn.LayerNorm(dim)
        down: nn.Module
        if config.phm_layer:
            down = PHMLinear(config, dim, inner, "down", name)
            self.adapter_up: nn.Module = PHMLinear(config, inner, dim, "up", name)
        else:
            down = nn.Linear(dim, inner)
            self.adapter_up = nn.Linear(inner, dim)
        # published files number the projection by what stands before it
        self.adapter_down = nn.ModuleDict({"1" if config.ln_before else "0": down})
        self.activation = activation(config.non_linearity)
        if config.scaling == "learned":
            self.scaling: float | nn.Parameter = nn.Parameter(torch.ones(1))
        elif config.scaling == "channel":
            self.scaling = nn.Parameter(torch.ones(dim))
        else:
            self.scaling = float(config.scaling)
        if config.ln_after:
            self.adapter_norm_after = nn.LayerNorm(dim)
        if config.use_gating:
            self.gate = Gate(dim)
        self.dropout = nn.Dropout(config.dropout)
        with seeded(config.init_weights_seed):
            self._initialise(down)

    def _initialise(self, down: nn.Module) -> None:
        for linear in (down, self.adapter_up):
            if isinstance(linear, nn.Linear):
                _initialise(linear, self.config.init_weights, up=linear is self.adapter_up)
        if self.config.use_gating:
            nn.init.normal_(self.gate.weight, std=0.02)
            nn.init.zeros_(self.gate.bias)

    def enter(self, state: ResidualState) -> tuple[Tensor, Tensor]:
        """What the bottleneck reads, and what is added around it: (…, dim) each."""
        config, hidden = self.config, state.hidden
        if config.is_parallel:
            return state.skip, hidden
        residual = hidden
        if config.original_ln_before:
            hidden = hidden + state.skip
            if config.residual_before_ln == "post_add":
                residual = hidden
            hidden = state.norm(hidden)
        if not config.residual_before_ln:
            residual = hidden
        return hidden, residual

    def forward(self, state: ResidualState, flow: Flow) -> ResidualState:
        """Adds what the bottleneck says: `hidden` and `skip` of the state are (…, dim)."""
        config = self.config
        x, residual = self.enter(state)
        x = x.to(next(self.parameters(), x).dtype)  # `adapter_to` may have changed it
        inner = self.adapter_norm_before(x) if config.ln_before else x
        (down,) = self.adapter_down.values()
        up: Tensor
        if config.phm_layer:
            shared = flow.shared
            up = self.adapter_up(self.activation(down(inner, shared)), shared)
        else:
            up = self.adapter_up(self.activation(down(inner)))
        if self.training and config.stochastic_depth:
            up = up * _kept_rows(up, flow, config.stochastic_depth)
        up = up * self.scaling
        out, notes = self.dropout(up), state.notes
        if config.use_gating:
            gate = self.gate(x, flow)
            out, notes = (
                out * flow.layout.spread(gate),
                notes + self.gate.notes(gate, self.name, flow),
            )
        # beside the stream, what is added around it stays outside the adapter's own norm
        within = config.adapter_residual_before_ln and not config.is_parallel
        if within:
            out = out + residual.to(out.dtype)
        if config.ln_after:
            out = self.adapter_norm_after(out)
        out = out.to(residual.dtype)
        if not within:
            out = out + residual
        up = up.to(residual.dtype)
        return state._replace(hidden=out, after=self.after, up=up, notes=notes)


def _kept_rows(x: Tensor, flow: Flow, rate: float) -> Tensor:
    """A factor for each row: 0 for a share of `rate`, drawn at random, or what makes up for it."""
    rows = flow.layout.count(x)
    kept = torch.rand(rows, 1, device=x.device) >= rate
    return flow.layout.spread(kept.to(x.dtype) / (1 - rate))


def _initialise(linear: nn.Linear, how: str, *, up: bool) -> None:
    if how == "bert":
        nn.init.normal_(linear.weight, std=0.02)
    elif how == "houlsby":
        nn.init.trunc_normal_(linear.weight, std=0.01, a=-0.02, b=0.02)
    elif up:  # "mam_adapter": the adapter starts by adding nothing
        nn.init.zeros_(linear.weight)
    else:
        nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5))
    nn.init.zeros_(linear.bias)
