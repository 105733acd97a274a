"""AdamW over what is to be trained, with decay for matrices alone."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from distilbert.adapters.methods.ia3 import IA3
from distilbert.adapters.methods.low_rank import LowRank
from distilbert.errors import InputError
from distilbert.training.recipe import Recipe


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are to be trained, by name. Raises InputError where there are none."""
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise InputError(
            "nothing of this model is to be trained: no parameter has requires_grad; call "
            "train_adapter(name), or freeze_model(False)"
        )
    return found


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW, with decoupled decay, over what is to be trained.

    Matrices decay. Biases, the weights of norms and factors (learned scales, the vectors of IA3,
    the lengths of DoRA) do not.
    """
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    factors = {id(p) for module in model.modules() for p in _factors(module)}
    for parameter in trained(model).values():
        is_vector = parameter.ndim < 2 or id(parameter) in factors
        (vectors if is_vector else matrices).append(parameter)
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((matrices, recipe.weight_decay), (vectors, 0.0))
        if params
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in (*matrices, *vectors))
    return torch.optim.AdamW(
        groups, recipe.learning_rate, recipe.betas, recipe.epsilon, fused=fused or None
    )


def _factors(module: nn.Module) -> Iterator[Tensor]:
    """Vectors of factors that have the shape of a matrix."""
    if isinstance(module, IA3):
        yield module.lora_B
    elif isinstance(module, LowRank) and module.dora:
        yield module.m.weight
