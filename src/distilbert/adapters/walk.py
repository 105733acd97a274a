"""Walks over an encoder: its adapters, its slots, its add-and-norms."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from distilbert.adapters.build import Undrawn
from distilbert.adapters.methods.fusion import Residual
from distilbert.adapters.registry import Adapters
from distilbert.adapters.site import Slot


def registry(encoder: Any) -> Adapters:
    """The adapters of an encoder."""
    found: Adapters = encoder.own_adapters
    return found


def slots(encoder: nn.Module) -> Iterator[tuple[str, Slot, nn.Module]]:
    """Every slot of an encoder: its path, itself, and what it belongs to."""

    def walk(
        module: nn.Module, path: str, host: nn.Module
    ) -> Iterator[tuple[str, Slot, nn.Module]]:
        for name, child in module.named_children():
            below = f"{path}.{name}" if path else name
            if isinstance(child, Slot):
                yield below, child, module if path else host
            elif not isinstance(child, (nn.Embedding, nn.LayerNorm)):
                yield from walk(child, below, host)

    return walk(encoder, "", encoder)


def modules(encoder: Any, name: str) -> Iterator[tuple[str, Slot, nn.Module]]:
    """What hangs anywhere of an adapter: the path of the slot, the slot, the module."""
    for path, slot, _ in slots(encoder):
        if name in slot:
            yield path, slot, slot[name]


def residuals(encoder: nn.Module) -> Iterator[tuple[str, Residual]]:
    """Every add-and-norm of an encoder, with its path."""
    for name, module in encoder.named_modules():
        if isinstance(module, Residual):
            yield name, module


@contextmanager
def made_on(device: str | None) -> Iterator[None]:
    """Modules that are made inside have shapes alone if the device is "meta".

    All others are made where torch makes them, mostly the CPU, and brought to their device after.
    """
    if device == "meta" or torch.empty(0).is_meta:
        with torch.device("meta"), Undrawn():
            yield
    else:
        yield
