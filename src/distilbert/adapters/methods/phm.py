"""Linear layers whose matrix is a sum of Kronecker products: the layers of a compacter.

Sources: Zhang et al. 2021, "Beyond fully-connected layers with quaternions"; Mahabadi et al. 2021,
"Compacter".
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.build import register, seeded
from distilbert.adapters.configs import BnConfig
from distilbert.adapters.site import ROOT, Site
from distilbert.errors import AdapterError

Shared = Mapping[str, Mapping[str, Tensor]]  # by adapter, what its layers share


@register(BnConfig)
def shared_phm(config: BnConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """What the layers of a compacter share, or None where they share nothing."""
    shares = config.shared_phm_rule or config.shared_W_phm
    if site.name != "shared" or not config.phm_layer or not shares:
        return None
    return SharedPHM(config, site.width)


def inner_width(config: BnConfig, dim: int, layer: int) -> int:
    """How many of `dim` dimensions a bottleneck leaves in a layer: at least 1."""
    factor: Any = config.reduction_factor
    if not isinstance(factor, (int, float)):
        factor = factor.get(str(layer), factor.get("default"))
        if factor is None:
            raise AdapterError(
                f"reduction_factor {config.reduction_factor!r} has none for layer {layer}; give it "
                "one for this layer or a 'default', or leave the layer out"
            )
    return max(int(dim // factor), 1)


class _Factors(nn.Module):
    """Parameters in stacks of `phm_dim` matrices: rules, and what these are multiplied with."""

    fixed: tuple[str, ...] = ()  # parameters that never train

    def __init__(self, config: BnConfig) -> None:
        super().__init__()
        self.config = config

    def _add(self, name: str, rows: int, columns: int, rank: int | None) -> list[str]:
        """A stack (phm_dim, rows, columns), or two thin ones whose product it is."""
        shapes = {name: (rows, columns)}
        if rank is not None:
            shapes = {f"{name}_left": (rows, rank), f"{name}_right": (rank, columns)}
        for key, shape in shapes.items():
            setattr(self, key, nn.Parameter(torch.empty(self.config.phm_dim, *shape)))
        return list(shapes)

    def _stack(self, name: str) -> Tensor:
        """(phm_dim, rows, columns)"""
        if hasattr(self, name):
            return getattr(self, name)  # type: ignore[no-any-return]
        product: Tensor = getattr(self, f"{name}_left") @ getattr(self, f"{name}_right")
        return product

    def _add_rule(self, spread: float, width: float) -> None:
        """The left factors, drawn N(0, spread²) or uniformly from ±width."""
        config = self.config
        keys = self._add(
            "phm_rule", config.phm_dim, config.phm_dim, 1 if config.factorized_phm_rule else None
        )
        for key in keys:
            if config.phm_c_init == "normal":
                nn.init.normal_(getattr(self, key), std=spread)
            else:
                nn.init.uniform_(getattr(self, key), -width, width)
        if not config.learn_phm:
            self.fixed = tuple(keys)
            for key in keys:
                getattr(self, key).requires_grad_(False)

    def _add_weight(self, name: str, width: int, out: int) -> None:
        """The right factors of a layer from `width` to `out` dimensions."""
        config, n = self.config, self.config.phm_dim
        _check_widths(config, width, out)
        rank = config.phm_rank if config.factorized_phm_W else None
        stacks = [getattr(self, key) for key in self._add(name, width // n, out // n, rank)]
        draw = _DRAWS.get(config.hypercomplex_nonlinearity)
        with torch.no_grad():
            if draw is None:
                for stack in stacks:
                    _draw_hypercomplex(stack)
                return
            for matrices in zip(*stacks, strict=True):  # the order in which AdapterHub draws
                for matrix in matrices:
                    draw(matrix, config)


class SharedPHM(_Factors):
    """What all layers of a compacter share: their rule, their right factors, or both."""

    def __init__(self, config: BnConfig, dim: int) -> None:
        super().__init__(config)
        with seeded(config.init_weights_seed):
            if config.shared_W_phm:
                inner = inner_width(config, dim, ROOT)
                self._add_weight("W_down", dim, inner)
                self._add_weight("W_up", inner, dim)
            if config.shared_phm_rule:
                self._add_rule(config.phm_init_range, 1.0)

    def values(self) -> dict[str, Tensor]:
        """Stacks by name, computed once for all layers: (phm_dim, rows, columns) each.

        Where layers share all, their whole matrices: `down` (dim, inner) and `up` (inner, dim).
        """
        config = self.config
        shared = ("phm_rule",) if config.shared_phm_rule else ()
        if config.shared_W_phm:
            shared = (*shared, "W_down", "W_up")
        stacks = {name: self._stack(name) for name in shared}
        if len(stacks) < 3:
            return stacks
        rule = stacks["phm_rule"]
        return {name: kronecker_sum(rule, stacks[f"W_{name}"]) for name in ("down", "up")}


class PHMLinear(_Factors):
    """A layer of a compacter: (…, width) → (…, out).

    place: "down" or "up". name: Of the adapter, for what is shared.

    Raises AdapterError if phm_dim does not divide both widths.
    """

    def __init__(self, config: BnConfig, width: int, out: int, place: str, name: str) -> None:
        super().__init__(config)
        self.place, self.name = place, name
        _check_widths(config, width, out)
        with seeded(config.init_weights_seed):
            if not config.shared_W_phm:
                self._add_weight("W", width, out)
            if not config.shared_phm_rule:
                self._add_rule(0.01, 0.01)
        self.b = nn.Parameter(torch.zeros(out)) if config.phm_bias else None

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        """x: (…, width); shared: what `SharedPHM.values` gave, by adapter → (…, out)"""
        y = x @ self.matrix(shared).to(x.dtype)
        return y if self.b is None else y + self.b

    def matrix(self, shared: Shared) -> Tensor:
        """(width, out)"""
        own = shared.get(self.name, {})
        if self.place in own:
            return own[self.place]
        rule = own["phm_rule"] if self.config.shared_phm_rule else self._stack("phm_rule")
        weight = own[f"W_{self.place}"] if self.config.shared_W_phm else self._stack("W")
        return kronecker_sum(rule, weight)


def kronecker_sum(left: Tensor, right: Tensor) -> Tensor:
    """The sum over i of left[i] ⊗ right[i]. (n, a, b), (n, c, d) → (a × c, b × d)"""
    (_, a, b), (_, c, d) = left.shape, right.shape
    return torch.einsum("nab,ncd->acbd", left, right).reshape(a * c, b * d)


def _check_widths(config: BnConfig, width: int, out: int) -> None:
    n = config.phm_dim
    for size in (width, out):
        if size % n:
            raise AdapterError(
                f"phm_dim is {n}, and a phm layer from {width} to {out} dimensions needs one that "
                f"divides both; choose another phm_dim, or a reduction_factor (it is "
                f"{config.reduction_factor}) that leaves a multiple of {n}"
            )


# How right factors are drawn ---------------------------------------------------------------------


def _draw_normal(matrix: Tensor, config: BnConfig) -> None:
    nn.init.normal_(matrix, std=config.phm_init_range)


_DRAWS: Mapping[str, Callable[[Tensor, BnConfig], object]] = {
    "glorot-normal": lambda matrix, config: nn.init.xavier_normal_(matrix),
    "glorot-uniform": lambda matrix, config: nn.init.xavier_uniform_(matrix),
    "normal": _draw_normal,
}


def _draw_hypercomplex(stack: Tensor) -> None:
    """Draws the stack's n matrices as the n parts of hypercomplex numbers: "phm".

    Each number has a random direction; its squared length is 2 / (rows + columns) in the mean.
    Source: Zhang et al. 2021, after Gaudet and Maida 2018, "Deep quaternion networks".
    """
    _, rows, columns = stack.shape
    length = torch.randn_like(stack).norm(dim=0) / math.sqrt(len(stack) * (rows + columns) / 2)
    phase = torch.empty_like(length).uniform_(-math.pi, math.pi)
    axis = torch.rand_like(stack[1:]) * 2 - 1
    axis = axis / axis.norm(dim=0).clamp(min=1e-4)
    stack[0] = length * phase.cos()
    stack[1:] = length * phase.sin() * axis
