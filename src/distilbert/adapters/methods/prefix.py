"""Prefix tuning: trained keys and values that every row attends to beside its own tokens.

Sources: Li and Liang 2021, "Prefix-Tuning"; Mao et al. 2022, "UniPELT" (gates).
"""

from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.build import register, seeded
from distilbert.adapters.configs import PrefixTuningConfig
from distilbert.adapters.methods.activation import activation
from distilbert.adapters.methods.gate import Gate
from distilbert.adapters.site import PrefixState, Site
from distilbert.errors import AdapterError
from distilbert.flow import Flow


@register(PrefixTuningConfig)
def prefix(config: PrefixTuningConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """What prefix tuning hangs at a site, or None.

    Raises AdapterError if a layer that would get a prefix has lost heads.
    """
    if site.name == "prefixes":
        layers = [i for i in range(host.config.n_layers) if i not in config.leave_out]
        for layer in layers:
            _check_heads(host, layer)
        return Prefixes(config, site.width, len(layers)) if layers else None
    if site.name != "prefix" or site.layer in config.leave_out:
        return None
    number = sum(layer not in config.leave_out for layer in range(site.layer))
    if config.use_gating:
        return GatedPrefix(config, site.width, name, number)
    return Prefix(config, name, number)


def _check_heads(model: Any, layer: int) -> None:
    gone = model.transformer.block(layer).attention.pruned_heads
    if gone:
        raise AdapterError(
            f"layer {layer} has lost the heads {sorted(gone)}, and a prefix has one width for all "
            f"layers; put {layer} into leave_out, or add the prefix to a model with all its heads"
        )


class Prefixes(nn.Module):
    """The keys and values of all layers, computed once a pass."""

    def __init__(self, config: PrefixTuningConfig, dim: int, layers: int) -> None:
        super().__init__()
        with seeded(config.init_weights_seed):
            pool = (
                FlatPool(config, dim, layers) if config.flat else NetworkPool(config, dim, layers)
            )
        self.add_module("self", pool)  # the name that published files have

    @property
    def pool(self) -> "Pool":
        return self._modules["self"]  # type: ignore[return-value]

    def forward(self) -> Tensor:
        """Keys and values: (layers, 2, length, heads × width)"""
        pool = self.pool
        values = pool.flat().view(pool.config.prefix_length, pool.layers, 2, pool.dim)
        return values.permute(1, 2, 0, 3)

    def ejected(self) -> "Prefixes":
        """The same keys and values, as parameters of their own."""
        pool = self.pool
        with torch.device("meta"):
            flat = Prefixes(pool.config.replace(flat=True), pool.dim, pool.layers)
        trains = any(parameter.requires_grad for parameter in pool.parameters())
        values = pool.flat().detach().clone()
        flat.pool.control_trans = nn.Parameter(values, requires_grad=trains)
        return flat.train(self.training)


class Pool(nn.Module):
    """Where a prefix's keys and values come from."""

    control_trans: nn.ModuleDict | nn.Parameter

    def __init__(self, config: PrefixTuningConfig, dim: int, layers: int) -> None:
        super().__init__()
        self.config, self.dim, self.layers = config, dim, layers

    def flat(self) -> Tensor:
        """All keys and values: (length × layers × 2 × dim,)"""
        raise NotImplementedError


class NetworkPool(Pool):
    """Keys and values made from a vector for each of the prefix's tokens by a small network."""

    control_trans: nn.ModuleDict

    def __init__(self, config: PrefixTuningConfig, dim: int, layers: int) -> None:
        super().__init__(config, dim, layers)
        self.wte = nn.Embedding(config.prefix_length, dim)
        inner = config.bottleneck_size
        down, up = nn.Linear(dim, inner), nn.Linear(inner, layers * 2 * dim)
        self.control_trans = nn.ModuleDict({"0": down, "2": up})
        self.activation = activation(config.non_linearity)

    def flat(self) -> Tensor:
        inner = self.activation(self.control_trans["0"](self.wte.weight))
        values: Tensor = self.control_trans["2"](inner)  # (length, layers × 2 × dim)
        return values.flatten()


class FlatPool(Pool):
    """Keys and values that are themselves the parameters."""

    control_trans: nn.Parameter

    def __init__(self, config: PrefixTuningConfig, dim: int, layers: int) -> None:
        super().__init__(config, dim, layers)
        values = torch.empty(config.prefix_length * layers * 2 * dim)
        self.control_trans = nn.Parameter(values.normal_())

    def flat(self) -> Tensor:
        return self.control_trans


def _read(module: Any, state: PrefixState, flow: Flow) -> tuple[Tensor, Tensor]:
    """A layer's keys and values, (rows or 1, length, dim)."""
    keys, values = flow.prefixes[module.name][module.number].unbind()  # (length, dim) each
    keys, values = keys[None], values[None]
    if not module.training or not module.dropout.p:
        return keys, values
    rows = flow.layout.count(state.x)  # each row loses others
    return module.dropout(keys.expand(rows, -1, -1)), module.dropout(values.expand(rows, -1, -1))


def _put(state: PrefixState, keys: Tensor, values: Tensor) -> PrefixState:
    """The state with more keys and values before those that it has."""
    if state.keys is not None and state.values is not None:
        keys, values = _before(keys, state.keys), _before(values, state.values)
    return state._replace(keys=keys, values=values)


def _before(new: Tensor, old: Tensor) -> Tensor:
    """(rows or 1, length, dim), twice → (rows or 1, both lengths, dim)"""
    rows = max(new.shape[0], old.shape[0])
    return torch.cat([new.expand(rows, -1, -1), old.expand(rows, -1, -1)], 1)


class Prefix(nn.Module):
    """Puts a layer's keys and values before those that are there. It has no parameters.

    number: Of the layer, among those that have a prefix.
    """

    def __init__(self, config: PrefixTuningConfig, name: str, number: int) -> None:
        super().__init__()
        self.name, self.number = name, number
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, state: PrefixState, flow: Flow) -> PrefixState:
        return _put(state, *_read(self, state, flow))


class GatedPrefix(Gate):
    """The same, with keys and values weighed for each row by one gate, or by one gate each."""

    def __init__(self, config: PrefixTuningConfig, dim: int, name: str, number: int) -> None:
        with seeded(config.init_weights_seed):
            super().__init__(dim, 1 if config.shared_gating else 2)
        self.name, self.number = name, number
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, state: PrefixState, flow: Flow) -> PrefixState:  # type: ignore[override]
        gates = super().forward(state.x.to(self.weight.dtype), flow)  # (rows, 1 or 2)
        keys, values = _read(self, state, flow)
        state = state._replace(notes=state.notes + self.notes(gates, self.name, flow))
        return _put(state, keys * gates[:, :1, None], values * gates[:, -1:, None])
