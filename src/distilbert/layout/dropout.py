"""Dropout whose masks are cheap to draw, for layouts that have no reference to agree with."""

import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 1 << 16


def drop(x: Tensor, share: float) -> Tensor:
    """`x` with a share of its values zeroed and the others raised to keep the mean."""
    if share and cheap(x):
        return x * factors(x.numel(), share, x).view_as(x)
    return F.dropout(x, share)


def cheap(x: Tensor) -> bool:
    """Whether `factors` is the faster way: on processors, where nothing fuses the drawing."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def factors(count: int, share: float, like: Tensor) -> Tensor:
    """What dropout multiplies `count` values by: 0, or what keeps their mean. → (count,)

    Four values are drawn from one 64-bit number, a third of the time of one draw for each; so
    the share is one of 65,536 levels, the nearest. Follows torch's generator and its seed.
    """
    dropped = round(share * _LEVELS)
    if dropped == _LEVELS:
        return like.new_zeros(count)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    keep = words.view(torch.int16)[:count] >= dropped - _LEVELS // 2
    return keep.to(like.dtype).mul_(_LEVELS / (_LEVELS - dropped))
