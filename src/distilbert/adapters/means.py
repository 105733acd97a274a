"""Means of modules that hang at one place, weight by weight or of what they do."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.errors import AdapterError

Terms = Sequence[tuple[Any, float]]  # modules or tensors, and what each counts

# The keys of a projection whose rows stay orthonormal, behind its path.
_FREE, _BASE = ".parametrizations.weight.original", ".parametrizations.weight.0.base"


def means(modules: Terms, *, negate_b: bool = False) -> dict[str, Tensor]:
    """The weighted sum of each weight, by key, in float32 at least.

    Orthonormal projections have no such sum: theirs is the orthonormal matrix nearest to it. With
    `negate_b`, A counts by the amount of its weight alone. Raises AdapterError if projections
    cancel out.
    """
    first: nn.Module = modules[0][0]
    sums: dict[str, Tensor] = {}
    for key in first.state_dict():
        tensors = [_wide(module.state_dict()[key]) for module, _ in modules]
        if len({tensor.ndim for tensor in tensors}) > 1:  # VeRA's diagonals, some of them dense
            tensors = [torch.diag(t) if t.ndim == 1 else t for t in tensors]
        counts = [abs(c) if negate_b and key == "lora_A" else c for _, c in modules]
        sums[key] = _sum([*zip(tensors, counts, strict=True)])
    for key in [key for key in sums if key.endswith(_FREE)]:
        path = key.removesuffix(_FREE)
        weights = [(_wide(m.get_submodule(path).weight), count) for m, count in modules]
        sums[path + _FREE], sums[path + _BASE] = _orthonormal(weights)
    return sums


def _orthonormal(weights: Terms) -> tuple[Tensor, Tensor]:
    """The orthonormal matrix nearest to the sum of others, (rank, dim) each.

    As the two tensors of torch's `orthogonal`: (rank, dim), and a square with the longer side.
    Source: the polar factor, Fan and Hoffman 1955.
    """
    total = _sum(weights)
    left, lengths, right = torch.linalg.svd(total, full_matrices=False)
    if lengths.min() <= 1e-5 * sum(abs(count) for _, count in weights):
        raise AdapterError(
            "the orthonormal projections of these adapters cancel out, so that none is nearest to "
            "their sum; give them other weights"
        )
    nearest = left @ right  # (rank, dim)
    tall = nearest.mT if nearest.shape[0] < nearest.shape[1] else nearest
    base = torch.linalg.qr(tall, mode="complete").Q  # its first columns are those of ±tall
    base[:, : tall.shape[1]] = tall
    # minus ones: the weight is the first columns of the base
    return -torch.eye(*total.shape).to(total), base


def cut_products(fresh: Any, modules: Terms) -> dict[str, Tensor]:
    """A and B of a fresh LoRA that does what the weighted sum of others does, cut to its rank.

    What counts is scale · B·A. Directions are orthonormal in A, and their lengths are in B.
    """
    rank = len(fresh.lora_A)
    total = _sum([(_wide(m.lora_B) @ _wide(m.lora_A), count * m.scale) for m, count in modules])
    left, lengths, right = torch.linalg.svd(total, full_matrices=False)
    up = left[:, :rank] * (lengths[:rank] / fresh.scale)
    return {"lora_A": right[:rank], "lora_B": up}


def _wide(tensor: Tensor) -> Tensor:
    """In float32 at least, so that a sum is rounded once."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))


def _sum(tensors: Terms) -> Tensor:
    total = torch.zeros_like(tensors[0][0])
    for tensor, count in tensors:
        total += count * tensor.to(total)  # an adapter may be on another device
    return total
