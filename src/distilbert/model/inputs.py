"""Checks of what a forward pass is given, so that an error speaks of inputs and not of tensors.

What traces a model (a compiler, `torch.jit.trace`, tensors without values) follows shapes alone:
what depends on values (the range of ids) is left out there.
"""

import torch
from torch import Tensor

from distilbert.config import DistilBertConfig
from distilbert.errors import InputError
from distilbert.products import is_followed

_WHOLE = (torch.int64, torch.int32)


def has_values(tensor: Tensor) -> bool:
    """Whether a decision may depend on what is in the tensor: nothing traces it, and it is real."""
    return not (tensor.is_meta or is_followed(tensor))


def check_inputs(
    config: DistilBertConfig,
    ids: Tensor | None,
    mask: Tensor | None,
    embeds: Tensor | None,
    positions: Tensor | None,
) -> None:
    """Raises InputError unless these can go through a model of this configuration."""
    if (ids is None) == (embeds is None):
        raise InputError(
            f"{'neither' if ids is None else 'both'} of input_ids and inputs_embeds given; "
            "give exactly one of them"
        )
    if ids is not None:
        check_whole("input_ids", ids)
        _check_shape("input_ids", ids, ("rows", "columns"))
        shape = ids.shape
    elif embeds is not None:
        check_tensor("inputs_embeds", embeds)
        _check_shape("inputs_embeds", embeds, ("rows", "columns", "dim"))
        if not embeds.is_floating_point():
            raise InputError(f"inputs_embeds are of type {embeds.dtype}; allowed: a floating type")
        if embeds.shape[2] != config.dim:
            raise InputError(
                f"inputs_embeds are {embeds.shape[2]} wide; this model's width is {config.dim}"
            )
        shape = embeds.shape[:2]
    rows, columns = shape
    _check_mask(mask, rows, columns)
    if positions is not None:
        _check_positions(positions, rows, columns, config.max_position_embeddings)
    elif columns > config.max_position_embeddings:
        raise InputError(
            f"the batch has {columns} columns; this model has positions for "
            f"{config.max_position_embeddings}; cut the texts (truncation=True, "
            f"max_length={config.max_position_embeddings}) or lengthen the model "
            f"(resize_position_embeddings({columns}))"
        )
    if ids is not None and not has_values(ids):
        return
    if 0 in shape:
        raise InputError(
            f"the batch is empty: its shape is {tuple(shape)}; give at least one token"
        )
    if ids is not None:
        check_ids(ids, config.vocab_size)


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """Raises InputError, naming the first id that is outside the vocabulary."""
    low, high = torch.aminmax(ids)
    if low < 0 or high >= vocab_size:
        wrong = ids[(ids < 0) | (ids >= vocab_size)]
        raise InputError(
            f"id {int(wrong[0])} is not in the vocabulary of {vocab_size} ids "
            f"(0 to {vocab_size - 1}); use the tokenizer that belongs to this model, or "
            "resize_token_embeddings after adding tokens"
        )


def check_head_mask(config: DistilBertConfig, head_mask: Tensor) -> None:
    """Raises InputError unless the mask has a factor for every head of the unpruned model."""
    check_tensor("head_mask", head_mask)
    allowed = [(config.n_heads,), (config.n_layers, config.n_heads)]
    if tuple(head_mask.shape) not in allowed:
        raise InputError(
            f"head_mask has shape {tuple(head_mask.shape)}; allowed: {allowed[0]} or {allowed[1]}"
        )
    if config.pruned_heads:
        raise InputError(
            "head_mask counts the heads of every layer alike, but heads of layers "
            f"{sorted(config.pruned_heads)} are pruned; mask heads before pruning"
        )


def _check_mask(mask: Tensor | None, rows: int, columns: int) -> None:
    if mask is None:
        return
    check_tensor("attention_mask", mask)
    if mask.ndim != 2 or mask.shape[0] != rows or mask.shape[1] != columns:
        raise InputError(
            f"attention_mask has shape {tuple(mask.shape)}; allowed: that of the batch, "
            f"{(rows, columns)}: 1 at real tokens, 0 at padding"
        )


def _check_positions(positions: Tensor, rows: int, columns: int, limit: int) -> None:
    check_whole("position_ids", positions)
    _check_shape("position_ids", positions, ("rows", "columns"))
    if positions.shape[1] != columns or positions.shape[0] not in (1, rows):
        raise InputError(
            f"position_ids have shape {tuple(positions.shape)}; allowed: {(rows, columns)} or "
            f"{(1, columns)}"
        )
    if not has_values(positions) or not positions.numel():
        return
    low, high = torch.aminmax(positions)
    if low < 0 or high >= limit:
        raise InputError(
            f"position_ids run from {int(low)} to {int(high)}; this model has positions "
            f"0 to {limit - 1}; resize_position_embeddings gives it more"
        )


def _check_shape(name: str, tensor: Tensor, axes: tuple[str, ...]) -> None:
    if tensor.ndim != len(axes):
        raise InputError(
            f"{name} has shape {tuple(tensor.shape)}; allowed: ({', '.join(axes)}); for one text "
            "add an axis: x[None]"
        )


def check_whole(name: str, tensor: Tensor) -> None:
    """Raises InputError unless this is a tensor of whole numbers that can index."""
    check_tensor(name, tensor)
    if tensor.dtype not in _WHOLE:
        raise InputError(f"{name} are of type {tensor.dtype}; allowed: whole numbers, torch.long")


def check_tensor(name: str, value: object) -> None:
    """Raises InputError unless this is a tensor."""
    if not isinstance(value, Tensor):
        raise InputError(
            f"{name} is a {type(value).__name__}; allowed: a torch.Tensor "
            "(tokenizers make one with return_tensors='pt')"
        )
