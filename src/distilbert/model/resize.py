"""Models of another vocabulary or another longest row: old rows stay, new ones start right."""

from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from distilbert.errors import InputError
from distilbert.model.layers import drawn_like, sinusoids

if TYPE_CHECKING:
    from distilbert.config import DistilBertConfig
    from distilbert.model.pretrained import DistilBertPreTrainedModel


Fresh = Callable[[Tensor, int], Tensor]  # old rows, how many new ones → the new rows


def check_count(name: str, count: object) -> None:
    """Raises InputError unless `count` is a whole number of at least 1."""
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise InputError(f"{name} is {count!r}; allowed: a whole number of at least 1")


def check_vocabulary(size: object, padding: int | None) -> None:
    """Raises InputError unless a vocabulary can have this size and keep its padding id."""
    check_count("new_num_tokens", size)
    if padding is not None and padding >= size:  # type: ignore[operator]
        raise InputError(
            f"new_num_tokens is {size}, which loses the padding id {padding}; allowed: at least "
            f"{padding + 1}, or set config.pad_token_id first"
        )


def check_embeddings(table: object, config: "DistilBertConfig") -> None:
    """Raises InputError unless these can be the embeddings of words of such a model."""
    if not isinstance(table, nn.Embedding):
        raise InputError(f"value is of type {type(table).__name__}; allowed: a torch.nn.Embedding")
    if table.embedding_dim != config.dim:
        raise InputError(
            f"the embeddings are {table.embedding_dim} wide; this model's width is {config.dim}"
        )


def token_embeddings(model: "DistilBertPreTrainedModel", size: int, mean_resizing: bool) -> None:
    """Resizes the embeddings of words and, where there are any, the projections to them."""
    spread = model.config.initializer_range

    def fresh(old: Tensor, count: int) -> Tensor:
        return drawn_like(old, count) if mean_resizing else _normal(old, count, spread)

    words = model.get_input_embeddings()
    old = words.weight
    size = int(size)
    words.weight = _resized(old, size, fresh)
    words.num_embeddings = size
    for projection in _projections(model):
        if projection.weight is old:
            projection.weight = words.weight
        else:
            projection.weight = _resized(projection.weight, size, fresh)
        if projection.bias is not None:
            column = nn.Parameter(projection.bias.data[:, None], projection.bias.requires_grad)
            column = _resized(column, size, drawn_like if mean_resizing else _zeros)
            projection.bias = nn.Parameter(column.data[:, 0].clone(), column.requires_grad)
        projection.out_features = size
    model.config.vocab_size = size


def _projections(model: "DistilBertPreTrainedModel") -> list[nn.Linear]:
    """Those of all heads, where a model has several, else that of its class."""
    heads: Any = getattr(model, "heads", None)
    every = [model] if heads is None else heads.values()
    found = [each.get_output_embeddings() for each in every]
    return [projection for projection in found if projection is not None]


def position_embeddings(model: "DistilBertPreTrainedModel", size: int) -> None:
    """Resizes the table of positions; sinusoids are continued."""
    table = model.get_position_embeddings()

    def fresh(old: Tensor, count: int) -> Tensor:
        table = sinusoids(len(old) + count, old.shape[1]).to(old)
        if model.config.sinusoidal_pos_embds and _mostly_equal(old, table[: len(old)]):
            return table[len(old) :]
        return _normal(old, count, model.config.initializer_range)

    size = int(size)
    table.weight = _resized(table.weight, size, fresh)
    table.num_embeddings = size
    model.config.max_position_embeddings = size


def _mostly_equal(rows: Tensor, others: Tensor) -> bool:
    """Published models may say that their positions are sinusoids, and hold learned ones."""
    return bool(((rows - others).abs().amax(1) < 1e-2).float().mean() > 0.5)


def _normal(old: Tensor, count: int, spread: float) -> Tensor:
    return torch.empty(count, old.shape[1], dtype=old.dtype, device=old.device).normal_(0, spread)


def _zeros(old: Tensor, count: int) -> Tensor:
    return old.new_zeros(count, old.shape[1])


def _resized(old: Tensor, size: int, fresh: Fresh) -> nn.Parameter:
    """The parameter with its first `size` rows, or with fresh ones after its own."""
    rows = old.data
    kept = (
        rows[:size].clone()
        if size <= len(rows)
        else torch.cat([rows, fresh(rows, size - len(rows))])
    )
    return nn.Parameter(kept, requires_grad=old.requires_grad)
