"""The bricks of the encoder: embeddings, attention, feed-forward, block.

Shapes are written for padded rows, (rows, columns, dim); packed ones are (tokens, dim).
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.activations import ACTIVATIONS
from distilbert.adapters.methods.fusion import Residual
from distilbert.adapters.site import HiddenState, Holder, LinearState, Notes, Site, Slot
from distilbert.config import DistilBertConfig
from distilbert.flow import Flow
from distilbert.layout import Attend, Prefix, Read
from distilbert.products import linear

EPSILON = 1e-12  # of every layer norm, as in the published models


class Linear(nn.Linear):
    """x: (…, in) → (…, out). The model initialises its weights, once, or reads them."""

    def reset_parameters(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class AdaptedLinear(Linear):
    """A projection with a slot beside it: q, k, v, out, lin1, lin2. x: (…, in) → (…, out)."""

    def __init__(self, width: int, out: int, name: str, layer: int, **place: Any) -> None:
        super().__init__(width, out, **place)
        self.loras = Slot(Site(name, layer, width, out))

    def forward(self, x: Tensor, flow: Flow | None = None) -> Tensor:
        if flow is None or not flow.parts:
            return super().forward(x)
        return self.noted(x, flow)[0]

    def noted(self, x: Tensor, flow: Flow) -> tuple[Tensor, Notes]:
        """The same, with what the adapters note of it."""
        y = super().forward(x)
        adapted = flow.adapt(self.loras, LinearState(x, y, x, self.weight, self.bias))
        return (y, ()) if adapted is None else adapted

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, value in self.loras.plain.items():  # a merged adapter is saved beside, not within
            destination[prefix + name] = value if keep_vars else value.detach()


def _project(linear: AdaptedLinear, x: Tensor, flow: Flow) -> tuple[Tensor, Notes]:
    return linear.noted(x, flow) if flow.noting and flow.parts else (linear(x, flow), ())


def _dropped(dropout: nn.Dropout, x: Tensor, flow: Flow) -> Tensor:
    return flow.layout.drop(x, dropout.p) if dropout.training else x


def embedding(count: int, dim: int, padding: int | None = None) -> nn.Embedding:
    """An embedding whose weights the model initialises, once, or reads."""
    return nn.Embedding(count, dim, padding_idx=padding, _weight=torch.empty(count, dim))


def sinusoids(count: int, dim: int) -> Tensor:
    """Fixed position vectors, (count, dim): even columns sines, odd ones cosines.

    Source: "Attention is all you need", section 3.5; computed in float64 as the published ones.
    """
    position = torch.arange(count, dtype=torch.float64)[:, None]
    column = torch.arange(dim, dtype=torch.float64)[None]
    angle = position / 10000 ** (2 * (column // 2) / dim)  # (count, dim)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


class Embeddings(nn.Module):
    """Words and positions, normalised: ids (rows, columns) → (rows, columns, dim)."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.word_embeddings = embedding(config.vocab_size, config.dim, config.pad_token_id)
        self.position_embeddings = embedding(config.max_position_embeddings, config.dim)
        self.position_embeddings.weight.requires_grad_(not config.sinusoidal_pos_embds)
        self.LayerNorm = nn.LayerNorm(config.dim, eps=EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor | None, flow: Flow, embeds: Tensor | None = None) -> Tensor:
        """`embeds`, (rows, columns, dim), stands in for the vectors of the words."""
        words = self.word_embeddings(ids) if embeds is None else embeds
        x = words + self.position_embeddings(flow.layout.positions(words))
        return _dropped(self.dropout, self.LayerNorm(x), flow)


class Attention(nn.Module):
    """Self-attention of a block: x (rows, columns, dim) → the same."""

    def __init__(
        self, config: DistilBertConfig, layer: int = 0, pruned: Iterable[int] = ()
    ) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.dim // config.n_heads
        self.pruned_heads = frozenset(pruned)
        self.n_heads = config.n_heads - len(self.pruned_heads)
        inner = self.n_heads * self.head_dim
        self.q_lin = AdaptedLinear(config.dim, inner, "q", layer)
        self.k_lin = AdaptedLinear(config.dim, inner, "k", layer)
        self.v_lin = AdaptedLinear(config.dim, inner, "v", layer)
        self.out_lin = AdaptedLinear(inner, config.dim, "out", layer)
        self.prefix_tuning = Holder("prefix_gates", Site("prefix", layer, config.dim, inner))
        self.dropout = config.attention_dropout

    def forward(
        self, x: Tensor, flow: Flow, read: Read | None = None
    ) -> tuple[Tensor, Tensor | None, Notes]:
        """The context of every token, or of those read, and the probabilities if asked for."""
        asking = flow if read is None else flow.reading(read)
        # each (rows, columns, heads × width)
        q, q_notes = _project(self.q_lin, x if read is None else read.take(x), asking)
        k, k_notes = _project(self.k_lin, x, flow)
        v, v_notes = _project(self.v_lin, x, flow)
        prefixes, prefix_notes = self._prefixes(x, flow)
        context, probabilities = flow.layout.attend(
            q,
            k,
            v,
            Attend(
                self.n_heads,
                self.dropout if self.training else 0.0,
                None if flow.head_mask is None else flow.head_mask[self.layer],
                flow.attentions,
            ),
            read,
            prefixes,
        )
        out, out_notes = _project(self.out_lin, context, asking)
        return out, probabilities, q_notes + k_notes + v_notes + prefix_notes + out_notes

    def _prefixes(self, x: Tensor, flow: Flow) -> tuple[list[Prefix], Notes]:
        if not flow.parts:
            return [], ()
        states, notes = flow.prefix(self.prefix_tuning.slot, x)
        both = zip(states, flow.parts, strict=False)  # no states: nothing hangs here
        return [Prefix(part.rows, state.keys, state.values) for state, part in both], notes

    def prune_heads(self, heads: Iterable[int]) -> None:
        """Removes heads, numbered as before any pruning; those already gone are passed over."""
        count = self.n_heads + len(self.pruned_heads)
        before = [head for head in range(count) if head not in self.pruned_heads]
        gone = self.pruned_heads | set(heads)
        kept = [i for i, head in enumerate(before) if head not in gone]
        columns = torch.arange(self.head_dim * len(before)).view(len(before), self.head_dim)
        index = columns[kept].flatten().to(self.q_lin.weight.device)
        for name in ("q_lin", "k_lin", "v_lin"):
            setattr(self, name, _cut(getattr(self, name), index, rows=True))
        self.out_lin = _cut(self.out_lin, index, rows=False)
        self.pruned_heads, self.n_heads = frozenset(gone), len(kept)


def _cut(linear: AdaptedLinear, index: Tensor, *, rows: bool) -> AdaptedLinear:
    """The layer with only the outputs (rows of its weight) or inputs (columns) at `index`."""
    weight = linear.weight[index] if rows else linear.weight[:, index]
    bias = linear.bias[index] if rows else linear.bias
    site = linear.loras.site
    small = AdaptedLinear(weight.shape[1], weight.shape[0], site.name, site.layer, device="meta")
    for name, old, value in (("weight", linear.weight, weight), ("bias", linear.bias, bias)):
        parameter = nn.Parameter(value.detach().clone(), requires_grad=old.requires_grad)
        setattr(small, name, parameter)
    return small


class FeedForward(nn.Module):
    """Token by token: (…, dim) → (…, dim)."""

    def __init__(self, config: DistilBertConfig, layer: int = 0) -> None:
        super().__init__()
        self.lin1 = AdaptedLinear(config.dim, config.hidden_dim, "lin1", layer)
        self.activation = ACTIVATIONS[config.activation]
        self.lin2 = AdaptedLinear(config.hidden_dim, config.dim, "lin2", layer)
        self.dropout = nn.Dropout(config.dropout)
        self.chunk = config.chunk_size_feed_forward

    def forward(self, x: Tensor, flow: Flow) -> tuple[Tensor, Notes]:
        if self.chunk and not flow.parts:  # less memory at once, for the same numbers
            parts = [self._transform(part, flow)[0] for part in torch.split(x, self.chunk, -2)]
            return torch.cat(parts, -2), ()
        return self._transform(x, flow)

    def _transform(self, x: Tensor, flow: Flow) -> tuple[Tensor, Notes]:
        inner, inner_notes = _project(self.lin1, x, flow)
        out, notes = _project(self.lin2, self.activation(inner), flow)
        return _dropped(self.dropout, out, flow), inner_notes + notes


class Block(nn.Module):
    """Attention and feed-forward, each added to what came in and then normalised."""

    def __init__(self, config: DistilBertConfig, layer: int) -> None:
        super().__init__()
        dim = config.dim
        self.attention = Attention(config, layer, config.pruned_heads.get(layer, ()))
        self.sa_layer_norm = nn.LayerNorm(dim, eps=EPSILON)
        self.ffn = FeedForward(config, layer)
        self.output_layer_norm = nn.LayerNorm(dim, eps=EPSILON)
        self.attention_adapters = Residual(Site("mh_adapter", layer, dim, dim))
        self.output_adapters = Residual(Site("output_adapter", layer, dim, dim))
        self.reft_layer = Holder("refts", Site("reft", layer, dim, dim))

    def forward(
        self, x: Tensor, flow: Flow, read: Read | None = None
    ) -> tuple[Tensor, Tensor | None, Notes]:
        """(rows, columns, dim) → the same, attention probabilities and notes of adapters.

        With `read`, of those tokens alone.
        """
        attended, probabilities, notes = self.attention(x, flow, read)
        if read is not None:
            x, flow = read.take(x), flow.reading(read)
        x, more = self.attention_adapters(attended, x, self.sa_layer_norm, flow)
        notes += more
        out, more = self.ffn(x, flow)
        notes += more
        x, more = self.output_adapters(out, x, self.output_layer_norm, flow)
        notes += more
        if flow.parts:
            adapted = flow.adapt(self.reft_layer.slot, HiddenState(x))
            x = x if adapted is None else adapted[0]
        return x, probabilities, notes


def initialise(module: nn.Module, name: str, spread: float) -> None:
    """Fills parameter `name` of a layer as a fresh model has it: N(0, spread²), 0 or 1.

    Other parameters, which a class of one's own may have, keep what they were made with.
    """
    known = isinstance(module, (nn.Linear, nn.Embedding, nn.LayerNorm))
    if not known or name not in ("weight", "bias"):
        return
    parameter: Tensor = getattr(module, name)
    with torch.no_grad():
        if isinstance(module, nn.LayerNorm):
            parameter.fill_(1.0 if name == "weight" else 0.0)
        elif name == "bias":
            parameter.zero_()
        else:
            parameter.normal_(0.0, spread)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                parameter[module.padding_idx].zero_()


def drawn_like(old: Tensor, count: int) -> Tensor:
    """`count` new rows from a normal distribution around the mean of the old rows.

    Its covariance is that of the old rows scaled by 1e-9, so that new words start near the mean
    and apart from each other. (rows, dim) → (count, dim). Source: Hewitt 2021, "Initializing new
    word embeddings for pretrained language models".
    """
    centred = (old - old.mean(0)).double()
    noise = torch.randn(count, len(old), dtype=torch.float64, device=old.device)
    scale = math.sqrt(1e-9 / len(old))  # noise @ centred has covariance rows × cov(old)
    return old.mean(0) + (scale * noise @ centred).to(old.dtype)
