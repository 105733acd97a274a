"""Invertible adapters: a bijection of the embeddings, undone before a language-model head.

Sources: Pfeiffer et al. 2020, "MAD-X"; Dinh et al. 2015, "NICE"; Kingma and Dhariwal 2018, "Glow".
"""

from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.build import register, seeded
from distilbert.adapters.configs import BnConfig
from distilbert.adapters.methods.activation import activation
from distilbert.adapters.site import HiddenState, Site
from distilbert.flow import Flow

CLAMP = 5.0  # a factor of Glow lies between exp(-CLAMP) and exp(CLAMP)


@register(BnConfig)
def invertible(config: BnConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """The invertible adapter of a configuration, or None where it has none."""
    if site.name != "invertible" or config.inv_adapter is None:
        return None
    with seeded(config.init_weights_seed):
        return (Nice if config.inv_adapter == "nice" else Glow)(config, site.width)


class Half(nn.ModuleDict):
    """A small network from one part of a vector to what changes the other: (…, width) → (…, out)"""

    def __init__(self, config: BnConfig, width: int, out: int) -> None:
        factor = config.inv_adapter_reduction_factor
        assert factor is not None, "a configuration with an invertible adapter has one"
        inner = max(int(width // factor), 1)
        linears = [nn.Linear(width, inner), nn.Linear(inner, out)]
        for linear in linears:
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        super().__init__(dict(zip("02", linears, strict=True)))
        self.activation = activation(config.non_linearity)

    def forward(self, x: Tensor) -> Tensor:
        own = x.to(self["0"].weight.dtype)  # type: ignore[arg-type]
        out: Tensor = self["2"](self.activation(self["0"](own)))
        return out.to(x.dtype)


class Coupling(nn.Module):
    """A bijection that changes each part of a vector by what the other part says.

    The first part has dim // 2 of the dimensions.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.sizes = [dim // 2, dim - dim // 2]

    def forward(self, state: HiddenState, flow: Flow) -> HiddenState:
        first, second = torch.split(state.hidden, self.sizes, -1)
        return state._replace(hidden=torch.cat(self.couple(first, second), -1))

    def inverse(self, x: Tensor) -> Tensor:
        """What the adapter made x of: (…, dim) → (…, dim)"""
        first, second = torch.split(x, self.sizes, -1)
        return torch.cat(self.uncouple(first, second), -1)

    def couple(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def uncouple(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class Nice(Coupling):
    """Each part is shifted."""

    def __init__(self, config: BnConfig, dim: int) -> None:
        super().__init__(dim)
        first, second = self.sizes
        self.F = Half(config, second, first)
        self.G = Half(config, first, second)

    def couple(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        first = first + self.F(second)
        return first, second + self.G(first)

    def uncouple(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        second = second - self.G(first)
        return first - self.F(second), second


class Glow(Coupling):
    """Each part is scaled and shifted; one network says both, the factors before the shifts."""

    def __init__(self, config: BnConfig, dim: int) -> None:
        super().__init__(dim)
        first, second = self.sizes
        self.s1 = Half(config, first, second * 2)
        self.s2 = Half(config, second, first * 2)

    def couple(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.s2(second).chunk(2, -1)
        first = first * _factor(scale) + shift
        scale, shift = self.s1(first).chunk(2, -1)
        return first, second * _factor(scale) + shift

    def uncouple(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.s1(first).chunk(2, -1)
        second = (second - shift) / _factor(scale)
        scale, shift = self.s2(second).chunk(2, -1)
        return (first - shift) / _factor(scale), second


def _factor(scale: Tensor) -> Tensor:
    """A factor above 0, near exp(scale) for small ones."""
    return torch.exp(CLAMP * 0.636 * torch.atan(scale / CLAMP))  # 0.636 ≈ 2 / π
