"""MTL-LoRA: a LoRA with a small matrix of the task, and several ways up that are mixed.

Source: Yang et al. 2024, "MTL-LoRA".
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.adapters.build import seeded
from distilbert.adapters.configs import MTLLoRAConfig
from distilbert.adapters.methods.low_rank import NOTHING, LowRank, Shared, draw, rank_of, times
from distilbert.adapters.site import Site


class TaskMatrix(nn.Module):
    """The small matrix of a task: (rank, rank), or its diagonal (rank,). It starts as identity."""

    def __init__(self, rank: int, kind: str) -> None:
        super().__init__()
        whole = kind == "linear"
        # ones everywhere, as AdapterHub has it, would keep the columns of B equal for ever
        self.values = nn.Parameter(torch.eye(rank) if whole else torch.ones(rank))

    def forward(self, low: Tensor) -> Tensor:
        """low: (…, rank) → the same"""
        return low * self.values if self.values.ndim == 1 else low @ self.values


class MTLLoRA(LowRank):
    """Δ = (Σ wᵢ Bᵢ) Tᵀ A: w is the softmax of `weights` / sharpness, T the task's own matrix.

    Several such adapters may share A and B.
    """

    def __init__(self, config: MTLLoRAConfig, site: Site, host: Any, name: str) -> None:
        super().__init__(config, site, name)
        rank, ways = rank_of(config, site), config.n_up_projection
        self.sharpness = float(config.weights_sharpness)
        self.lora_A = nn.Parameter(torch.empty(rank, site.width))
        self.lora_B = nn.Parameter(torch.empty(ways, site.out, rank))
        self.task_specific = TaskMatrix(rank, config.task_specific_matrix_type)
        self.weights = nn.Parameter(torch.ones(ways))
        with seeded(config.init_weights_seed):
            draw(self.lora_A, config.init_weights)
            draw(torch.empty(site.out, rank), config.init_weights, up=True)  # a LoRA's B, unused
            self.finish(config, site, host)
            draw(self.lora_B, config.init_weights, up=True)

    @property
    def dtype(self) -> torch.dtype:
        return self.lora_A.dtype

    def up(self) -> Tensor:
        """The mixed way up, (out, rank)."""
        shares = (self.weights / self.sharpness).softmax(0)
        return torch.einsum("n,nor->or", shares, self.lora_B)

    def said(self, x: Tensor, factor: float | Tensor, shared: Shared) -> Tensor:
        low = times(self.task_specific(F.linear(x, self.lora_A)), factor)  # (…, rank)
        return F.linear(low, self.up())

    def change(self, shared: Shared = NOTHING) -> Tensor:
        down: Tensor = self.task_specific(self.lora_A.T).T  # (rank, in)
        return self.up() @ down
