"""(IA)³: a vector that scales what a projection says. Source: Liu et al. 2022."""

import torch
from torch import Tensor, nn

from distilbert.adapters.build import seeded
from distilbert.adapters.configs import LoRAConfig
from distilbert.adapters.methods.low_rank import Beside, Shared, draw
from distilbert.adapters.site import LinearState, Site
from distilbert.flow import Flow


class IA3(Beside):
    """y → scale · l · y, with a vector l of one value for each output."""

    def __init__(self, config: LoRAConfig, site: Site, name: str) -> None:
        super().__init__(config, site, name)
        self.lora_B = nn.Parameter(torch.empty(site.out, 1))  # l, under the published name
        with seeded(config.init_weights_seed):
            draw(self.lora_B, config.init_weights, up=True)
            if config.use_gating:
                self.add_gate(site)

    def forward(self, state: LinearState, flow: Flow) -> LinearState:
        """Scales y and what was added to it."""
        factor, notes = self.factor(state.x, flow)
        y = state.end() * (self.lora_B[:, 0] * factor)
        return state._replace(y=y.to(state.y.dtype), delta=None, notes=state.notes + notes)

    def merged(
        self, weight: Tensor, bias: Tensor | None, shared: Shared
    ) -> tuple[Tensor, Tensor | None]:
        lengths = self.lora_B * self.scale  # (out, 1)
        return lengths * weight, None if bias is None else lengths[:, 0] * bias
