"""The bricks of the encoder: embeddings, attention, feed-forward, block.

Shapes are written for padded rows, (rows, columns, dim); packed ones are (tokens, dim).
"""

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.config import DistilBertConfig
from distilbert.flow import Flow
from distilbert.layout import Attend, Read

EPSILON = 1e-12  # of every layer norm, as in the published models


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": F.gelu,
    "gelu_pytorch_tanh": _gelu_tanh,
    "leaky_relu": F.leaky_relu,
    "linear": _identity,
    "mish": F.mish,
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "relu2": _relu2,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


class Linear(nn.Linear):
    """x: (…, in) → (…, out). The model initialises its weights, once, or reads them."""

    def reset_parameters(self) -> None:
        pass


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
        out: Tensor = self.dropout(self.LayerNorm(x))
        return out


class Attention(nn.Module):
    """Self-attention of a block: x (rows, columns, dim) → the same."""

    def __init__(self, config: DistilBertConfig, pruned: Iterable[int] = ()) -> None:
        super().__init__()
        self.head_dim = config.dim // config.n_heads
        self.pruned_heads = frozenset(pruned)
        self.n_heads = config.n_heads - len(self.pruned_heads)
        inner = self.n_heads * self.head_dim
        self.q_lin = Linear(config.dim, inner)
        self.k_lin = Linear(config.dim, inner)
        self.v_lin = Linear(config.dim, inner)
        self.out_lin = Linear(inner, config.dim)
        self.dropout = config.attention_dropout

    def forward(
        self, x: Tensor, flow: Flow, layer: int, read: Read | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The context of every token, or of those read, and the probabilities if asked for."""
        q = self.q_lin(x if read is None else read.take(x))  # (rows, columns, heads × width)
        k, v = self.k_lin(x), self.v_lin(x)
        context, probabilities = flow.layout.attend(
            q,
            k,
            v,
            Attend(
                self.n_heads,
                self.dropout if self.training else 0.0,
                None if flow.head_mask is None else flow.head_mask[layer],
                flow.attentions,
            ),
            read,
        )
        return self.out_lin(context), probabilities

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


def _cut(linear: Linear, index: Tensor, *, rows: bool) -> Linear:
    """The layer with only the outputs (rows of its weight) or inputs (columns) at `index`."""
    weight = linear.weight[index] if rows else linear.weight[:, index]
    bias = linear.bias[index] if rows else linear.bias
    small = Linear(weight.shape[1], weight.shape[0], device="meta")
    for name, old, value in (("weight", linear.weight, weight), ("bias", linear.bias, bias)):
        parameter = nn.Parameter(value.detach().clone(), requires_grad=old.requires_grad)
        setattr(small, name, parameter)
    return small


class FeedForward(nn.Module):
    """Token by token: (…, dim) → (…, dim)."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.lin1 = Linear(config.dim, config.hidden_dim)
        self.activation = ACTIVATIONS[config.activation]
        self.lin2 = Linear(config.hidden_dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.chunk = config.chunk_size_feed_forward

    def forward(self, x: Tensor, flow: Flow) -> Tensor:
        if self.chunk:  # less memory at once, for the same numbers
            return torch.cat([self._transform(part) for part in torch.split(x, self.chunk, -2)], -2)
        return self._transform(x)

    def _transform(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.lin2(self.activation(self.lin1(x))))
        return out


class Block(nn.Module):
    """Attention and feed-forward, each added to what came in and then normalised."""

    def __init__(self, config: DistilBertConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.attention = Attention(config, config.pruned_heads.get(layer, ()))
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=EPSILON)
        self.ffn = FeedForward(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=EPSILON)

    def forward(
        self, x: Tensor, flow: Flow, read: Read | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(rows, columns, dim) → the same and attention probabilities; of the tokens read alone."""
        attended, probabilities = self.attention(x, flow, self.layer, read)
        x = self.sa_layer_norm(attended + (x if read is None else read.take(x)))
        return self.output_layer_norm(self.ffn(x, flow) + x), probabilities


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
