"""VeRA: random matrices that all layers share, and small trained ones after each of them.

Source: Kopiczko et al. 2023.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.adapters.build import seeded
from distilbert.adapters.configs import LoRAConfig
from distilbert.adapters.methods.low_rank import NOTHING, LowRank, Shared, draw, hangs, times
from distilbert.adapters.site import Site, Slot


def shared_vera(config: LoRAConfig, encoder: nn.Module) -> "SharedVera | None":
    """The matrices that a VeRA's layers share, or None if it is no VeRA or hangs nowhere.

    They are as wide as the widest projection that it hangs at; a narrower one takes a part.
    """
    found = [getattr(module, "loras", None) for module in encoder.modules()]
    sites = [slot.site for slot in found if isinstance(slot, Slot) and hangs(config, slot.site)]
    if not config.is_vera or not sites:
        return None
    return SharedVera(config, max(s.width for s in sites), max(s.out for s in sites))


class SharedVera(nn.Module):
    """The two random matrices: lora_A (r, in) and lora_B (out, r). They never train."""

    fixed = ("lora_A", "lora_B")

    def __init__(self, config: LoRAConfig, width: int, out: int) -> None:
        super().__init__()
        self.own_dtype = None if config.dtype is None else getattr(torch, config.dtype)
        self.lora_A = nn.Parameter(torch.empty(config.r, width), requires_grad=False)
        self.lora_B = nn.Parameter(torch.empty(out, config.r), requires_grad=False)
        with seeded(config.init_weights_seed):
            draw(self.lora_A, config.init_weights)
            draw(self.lora_B, config.init_weights, up=True)

    def values(self) -> dict[str, Tensor]:
        """Both, by name."""
        return {"lora_A": self.lora_A, "lora_B": self.lora_B}


class Vera(LowRank):
    """Δ = vera_B B vera_D A, with A and B of `SharedVera`.

    vera_D and vera_B are diagonal, and kept as vectors, (r,) and (out,). Files of AdapterHub may
    hold whole matrices, (r, r) and (out, out), with values beside the diagonal: these are taken,
    run and trained as they are.
    """

    def __init__(self, config: LoRAConfig, site: Site, host: Any, name: str) -> None:
        super().__init__(config, site, name)
        assert config.vera_d is not None
        assert config.vera_b is not None
        self.vera_D = nn.Parameter(torch.full((config.r,), float(config.vera_d)))
        self.vera_B = nn.Parameter(torch.full((site.out,), float(config.vera_b)))
        self.width, self.out = site.width, site.out
        with seeded(config.init_weights_seed):
            self.finish(config, site, host)

    @property
    def dtype(self) -> torch.dtype:
        return self.vera_D.dtype

    def said(self, x: Tensor, factor: float | Tensor, shared: Shared) -> Tensor:
        down, up = self._random(shared)
        low = times(_applied(self.vera_D, F.linear(x, down)), factor)  # (…, r)
        return _applied(self.vera_B, F.linear(low, up))

    def change(self, shared: Shared = NOTHING) -> Tensor:
        down, up = self._random(shared)
        return _on_rows(self.vera_B, up) @ _on_rows(self.vera_D, down)

    def _random(self, shared: Shared) -> tuple[Tensor, Tensor]:
        """A (r, in) and B (out, r), as wide as this projection."""
        return shared["lora_A"][:, : self.width], shared["lora_B"][: self.out]

    def take(self, name: str, value: Tensor) -> bool:
        """Takes a weight whose shape is the other one that it may have; False for all others."""
        if not self._takes_shape(name, value):
            return False
        old: Tensor = getattr(self, name)
        new = torch.empty(value.shape, dtype=old.dtype, device=old.device)
        with torch.no_grad():
            new.copy_(value)
        setattr(self, name, nn.Parameter(new, requires_grad=old.requires_grad))
        return True

    def _takes_shape(self, name: str, value: Tensor) -> bool:
        if name not in ("vera_D", "vera_B"):
            return False
        old: Tensor = getattr(self, name)
        size = old.shape[0]
        return value.shape in ((size,), (size, size)) and value.shape != old.shape

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("vera_D", "vera_B"):
            if isinstance(value := state.get(prefix + name), Tensor):
                self.take(name, value)
        super()._load_from_state_dict(state, prefix, *rest)


def _applied(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix · x, for a matrix (n, n) or a diagonal (n,). x: (…, n) → the same"""
    return x * matrix if matrix.ndim == 1 else F.linear(x, matrix)


def _on_rows(matrix: Tensor, weight: Tensor) -> Tensor:
    """matrix · weight, for a matrix (n, n) or a diagonal (n,). weight: (n, …) → the same"""
    return matrix[:, None] * weight if matrix.ndim == 1 else matrix @ weight
