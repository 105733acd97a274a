"""Several processes that train one model together: who does what, and what they tell each other."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _together() else 1


def number() -> int:
    """The number of this one, counted from 0."""
    return dist.get_rank() if _together() else 0


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Joins the processes that `torchrun` started, if it did.

    What lies on GPUs goes by nccl, all else (counts, losses, answers) by gloo.
    """
    if _together() or not dist.is_torchelastic_launched():
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_device(device: str) -> str:
    """The device of this process: of several on GPUs, each has one of its own."""
    if device == "cuda" and count() > 1:
        return f"cuda:{os.environ.get('LOCAL_RANK', number())}"
    return device


def share(items: Sequence[T]) -> Sequence[T]:
    """Those that this process takes care of: every `count()`-th one."""
    return items[number() :: count()]


def gathered(own: Iterable[T]) -> list[T]:
    """What all processes have of their shares, in the order of the whole, in each of them."""
    mine = list(own)
    if count() == 1:
        return mine
    parts: list[Any] = [None] * count()
    dist.all_gather_object(parts, mine)
    whole: list[Any] = [None] * sum(map(len, parts))
    for first, part in enumerate(parts):
        whole[first :: count()] = part
    return whole


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, in each of them."""
    if count() > 1:
        dist.all_reduce(values)
    return values
