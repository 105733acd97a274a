"""LoRA, and which module a configuration of its family builds.

Sources: Hu et al. 2021, "LoRA"; Liu et al. 2024, "DoRA"; Kalajdzievski 2023 (rank-stabilised
scale).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.adapters.build import register, seeded
from distilbert.adapters.configs import LoRAConfig, MTLLoRAConfig
from distilbert.adapters.methods.ia3 import IA3
from distilbert.adapters.methods.low_rank import (
    NOTHING,
    Beside,
    LowRank,
    Shared,
    draw,
    hangs,
    rank_of,
    times,
)
from distilbert.adapters.methods.mtl import MTLLoRA
from distilbert.adapters.methods.vera import Vera, shared_vera
from distilbert.adapters.site import Site


@register(LoRAConfig)
def beside_projection(config: LoRAConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """What a configuration of LoRA's family hangs at a site, or None."""
    if site.name == "shared":
        return shared_vera(config, host)
    if not hangs(config, site):
        return None
    made: Beside
    if config.composition_mode == "scale":
        made = IA3(config, site, name)
    elif isinstance(config, MTLLoRAConfig):
        made = MTLLoRA(config, site, host, name)
    elif config.is_vera:
        made = Vera(config, site, host, name)
    else:
        made = LoRA(config, site, host, name)
    return made


class LoRA(LowRank):
    """Δ = B A."""

    def __init__(self, config: LoRAConfig, site: Site, host: Any, name: str) -> None:
        super().__init__(config, site, name)
        rank = rank_of(config, site)
        self.lora_A = nn.Parameter(torch.empty(rank, site.width))
        self.lora_B = nn.Parameter(torch.empty(site.out, rank))
        with seeded(config.init_weights_seed):
            draw(self.lora_A, config.init_weights)
            draw(self.lora_B, config.init_weights, up=True)
            self.finish(config, site, host)

    @property
    def dtype(self) -> torch.dtype:
        return self.lora_A.dtype

    def said(self, x: Tensor, factor: float | Tensor, shared: Shared) -> Tensor:
        low = times(F.linear(x, self.lora_A), factor)  # (…, rank): the scale costs least here
        return F.linear(low, self.lora_B)

    def change(self, shared: Shared = NOTHING) -> Tensor:
        return self.lora_B @ self.lora_A
