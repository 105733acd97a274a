"""ReFT: small changes of hidden vectors, at the first and last tokens of each row.

Source: Wu et al. 2024, "ReFT: Representation Finetuning for Language Models".
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.adapters.build import register, seeded
from distilbert.adapters.configs import ReftConfig
from distilbert.adapters.methods.activation import activation
from distilbert.adapters.site import HiddenState, Site
from distilbert.flow import Flow
from distilbert.layout import Padded


@register(ReftConfig)
def reft(config: ReftConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """What ReFT hangs behind a layer, or None."""
    here = site.name == "reft" and config.output_reft
    if not here or (config.layers != "all" and site.layer not in config.layers):
        return None
    return Reft(config, site.width)


class Reft(nn.Module):
    """Changes each row's first tokens by one unit and its last by another, or all by the same.

    Where a row is too short for both, a token counts as one of the last.
    """

    def __init__(self, config: ReftConfig, dim: int) -> None:
        super().__init__()
        self.first, self.last = config.prefix_positions, config.suffix_positions
        self.own_dtype = None if config.dtype is None else getattr(torch, config.dtype)
        count = 1 if config.tied_weights else 2
        self.units = nn.ModuleList(Unit(config, dim) for _ in range(count))

    def forward(self, state: HiddenState, flow: Flow) -> HiddenState:
        tokens = state.hidden.flatten(0, -2)  # (tokens, dim)
        places, there = self.places(state.hidden, flow)
        index = places.flatten()
        chosen = tokens[index].view(*places.shape, -1)  # (rows, first + last, dim)
        tied = len(self.units) == 1
        parts = [chosen] if tied else torch.split(chosen, [self.first, self.last], 1)
        both = zip(self.units, parts, strict=True)
        changes = torch.cat([unit(part) for unit, part in both if part.shape[1]], 1)
        changes = torch.where(there[..., None], changes, 0)
        hidden = tokens.index_add(0, index, changes.flatten(0, 1))
        return state._replace(hidden=hidden.view_as(state.hidden))

    def places(self, x: Tensor, flow: Flow) -> tuple[Tensor, Tensor]:
        """Where each row's first and last tokens lie among all tokens, and whether it has them.

        (rows, first + last) each; sizes do not depend on the batch's values, so that this compiles.
        """
        layout, count = flow.layout, self.first + self.last
        rows = layout.count(x)
        before, behind = layout.offsets(x)  # as the tokens lie
        column = torch.where(before < self.first, before, count)
        column = torch.where(behind < self.last, self.first + behind, column)
        if isinstance(layout, Padded) and layout.real is not None:
            column = torch.where(layout.real, column, count)
        row = layout.spread(torch.arange(rows, device=x.device)[:, None])[..., 0]
        # tokens that are not chosen share a last column, which is cut off
        found = torch.full((rows * (count + 1),), -1, device=x.device)
        numbers = torch.arange(column.numel(), device=x.device)
        found = found.scatter(0, (row * (count + 1) + column).flatten(), numbers)
        places = found.view(rows, count + 1)[:, :count]
        return places.clamp(min=0), places >= 0


class Unit(nn.Module):
    """What is added to vectors: (…, dim) → (…, dim), within a space of few dimensions."""

    def __init__(self, config: ReftConfig, dim: int) -> None:
        super().__init__()
        self.subtract = config.subtract_projection
        with seeded(config.init_weights_seed):
            self.learned_source = nn.Linear(dim, config.r)
            projection = nn.Linear(dim, config.r, bias=False)
            self.projection = Orthogonal(projection) if config.orthogonality else projection
        self.activation = activation(config.non_linearity or "linear")
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        source = self.learned_source
        own = x.to(source.weight.dtype)
        projection = self.projection.weight.to(own.dtype)  # (rank, dim)
        inner = self.activation(source(own))
        if self.subtract:
            inner = inner - F.linear(own, projection)
        change: Tensor = inner @ projection
        if self.training and self.dropout.p:  # it takes the vector away, not the change alone
            change = self.dropout(own + change) - own
        return change.to(x.dtype)


class Orthogonal(nn.Module):
    """A matrix (rank, dim) whose rows stay orthonormal, whatever values its parameter has.

    The first columns of `base`, (dim, dim) and orthogonal, are turned by as many reflections as
    the rank; `original` holds their vectors below its diagonal, and signs on it. Keys and values
    are those of PyTorch's `orthogonal`, which cannot be pickled. Where the rank is the dimension,
    the matrix is base × exp of a skew-symmetric matrix; where it is greater, columns are
    orthonormal.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        original = weight.new_zeros(weight.shape)
        original.diagonal().fill_(-1.0)  # no turn: the matrix starts as the base
        slot, inner = nn.Module(), nn.Module()
        slot.original = nn.Parameter(original)
        inner.register_buffer("base", _base(weight))
        slot.add_module("0", inner)
        self.parametrizations = nn.ModuleDict({"weight": slot})

    @property
    def weight(self) -> Tensor:
        """(rank, dim)"""
        slot: Any = self.parametrizations["weight"]
        original: Tensor = slot.original
        base: Tensor = slot.get_submodule("0").base
        exact = torch.promote_types(original.dtype, torch.float32)  # none of this works in halves
        wide = original.shape[0] < original.shape[1]
        tall = (original.mT if wide else original).to(exact)
        if tall.shape[0] == tall.shape[1]:
            skew = tall.tril()
            turned = torch.matrix_exp(skew - skew.mT)
        else:
            vectors = tall.tril(-1)
            turned = torch.linalg.householder_product(vectors, 2 / (1 + vectors.square().sum(0)))
            # signs, and not the values: weight decay may have made these smaller
            diagonal = (tall.detach() * torch.eye(*tall.shape, device=tall.device)).sum(0)
            turned = turned * diagonal.sign()
        weight = base.to(exact) @ turned
        return weight.mT if wide else weight


def _base(weight: Tensor) -> Tensor:
    """The orthogonal matrix whose first columns span those of a matrix, or of its transpose."""
    tall = weight.mT if weight.shape[0] < weight.shape[1] else weight
    count, columns = tall.shape
    if tall.is_meta:
        return tall.new_empty(count, count)
    if columns < count:
        tall = torch.cat([tall, torch.randn(count, count - columns, device=tall.device)], 1)
    q, r = torch.linalg.qr(tall)
    # in the order that files have, so that products of what is loaded round as before
    return torch.mul(q, r.diagonal().sgn()).contiguous()
