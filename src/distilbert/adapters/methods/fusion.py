"""What stands before an add-and-norm: bottlenecks, and AdapterFusion over them."""

from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.composition import Fuse, names
from distilbert.adapters.configs import AdapterFusionConfig
from distilbert.adapters.plan import compose
from distilbert.adapters.site import Note, Notes, ResidualState, Site, Slot
from distilbert.flow import Flow

HOTTEST, COOLING = 50.0, 0.05  # the temperature that training starts from, and its loss by a step


class Residual(nn.Module):
    """An add-and-norm and what hangs before it: `adapters`, and fusions over them."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.adapters = Slot(site)
        self.adapter_fusion_layer = nn.ModuleDict()

    @property
    def site(self) -> Site:
        return self.adapters.site

    def acts(self, name: str) -> bool:
        """Whether the adapter hangs here."""
        return name in self.adapters

    def __getitem__(self, name: str) -> nn.Module:
        return self.adapters[name]

    def forward(
        self, hidden: Tensor, skip: Tensor, norm: nn.Module, flow: Flow
    ) -> tuple[Tensor, Notes]:
        """hidden, skip: (…, dim) → norm(hidden + skip), changed by the adapters that act here."""
        adapted = flow.adapt(self, ResidualState(hidden, skip, norm)) if flow.parts else None
        return (norm(hidden + skip), ()) if adapted is None else adapted

    def fuse(self, node: Fuse, state: ResidualState, flow: Flow) -> ResidualState:
        """Attention over what the adapters of a `Fuse` add, queried by what comes in."""
        present = [child for child in node.children if any(self.acts(n) for n in names(child))]
        if node.name not in self.adapter_fusion_layer or not present:
            return state
        fusion: Any = self.adapter_fusion_layer[node.name]
        last: Any = self.adapters[[name for name in names(node) if self.acts(name)][-1]]
        inner, residual = last.enter(state)
        query = state.hidden if fusion.config.query_before_ln else inner
        beside: bool = last.config.is_parallel
        if beside:  # what is read is asked with and added, and all of it comes on top of the stream
            query = residual = inner
        ends = [compose(child, state, self, flow) for child in present]
        ups = torch.stack([end.up for end in ends], -2)  # (…, adapters, dim)
        hidden, attentions = fusion(query, ups, residual)
        hidden = state.hidden + hidden if beside else hidden
        notes = tuple(note for end in ends for note in end.notes[len(state.notes) :])
        if flow.fusions:
            notes = (*notes, Note("fusions", node.name, attentions.detach()))
        return state._replace(hidden=hidden, after=last.after, up=None, notes=state.notes + notes)


class Fusion(nn.Module):
    """Attention from the stream to several adapters' outputs, token by token.

    Source: Pfeiffer et al. 2021, "AdapterFusion".
    """

    def __init__(self, config: AdapterFusionConfig, dim: int, dropout: float) -> None:
        super().__init__()
        self.config = config
        self.dropout = nn.Dropout(dropout if config.dropout_prob is None else config.dropout_prob)
        if not (config.query or config.key or config.value):
            self.dense = nn.Linear(dim, 1)  # published files hold it, though nothing reads it
        if config.query:
            self.query = nn.Linear(dim, dim)
        if config.key:
            self.key = nn.Linear(dim, dim)
        if config.value:
            self.value = nn.Linear(dim, dim, bias=False)
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if config.value and config.value_initialized:
            with torch.no_grad():
                self.value.weight.fill_(1e-6).fill_diagonal_(1.0)
        self.temperature = HOTTEST if config.temperature else 1.0

    def cool(self) -> None:
        """One step of training is done: the attention may become sharper."""
        self.temperature = max(self.temperature - COOLING, 1.0)

    def forward(self, query: Tensor, ups: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """query, residual: (…, dim); ups: (…, adapters, dim) → (…, dim), (…, adapters)"""
        stream, own = query.dtype, next(self.parameters(), query).dtype
        query, values, residual = (x.to(own) for x in (query, ups, residual))
        if self.config.residual_before:
            values = values + residual[..., None, :]
        keys = self.key(values) if self.config.key else values
        asked = self.query(query) if self.config.query else query
        scores = (keys @ asked[..., None])[..., 0]  # (…, adapters)
        shares = (self.dropout(scores) / self.temperature).softmax(-1)
        mean = (shares[..., None, :] @ values)[..., 0, :]  # (…, dim)
        if self.config.value:  # linear: `value_before_softmax` gives the same, adapter by adapter
            mean = self.value(mean)
        out = mean if self.config.residual_before else mean + residual
        return out.to(stream), shares.to(stream)

    def regularization(self) -> Tensor | None:
        """How far the values are from the identity: 0.01 × the squares' sum, or None."""
        if not (self.config.regularization and self.config.value):
            return None
        weight = self.value.weight
        away = torch.eye(len(weight), dtype=weight.dtype, device=weight.device) - weight
        return 0.01 * away.square().sum()
