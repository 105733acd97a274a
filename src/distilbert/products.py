"""Matrix products by the library that is the faster one on this processor."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 1 << 16  # numbers of a weight; for less, the faster library saves nothing


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN multiplies float32 faster than MKL here, by what the processor is.

    On processors of AMD, MKL leaves AVX-512 unused, and oneDNN does not: it is about twice as fast.
    """
    backends = torch.backends
    return (
        bool(backends.mkl.is_available())  # type: ignore[no-untyped-call]
        and backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and backends.cpu.get_cpu_capability() == "AVX512"
        and _is_of_amd()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _is_of_amd() -> bool:
    """Whether the processor says so, as it does on Linux; elsewhere nothing is known of it."""
    information = Path("/proc/cpuinfo")
    return (
        sys.platform == "linux"
        and information.is_file()
        and "AuthenticAMD" in information.read_text(encoding="utf-8", errors="replace")[:4096]
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b, as `torch.nn.functional.linear`: (…, in) → (…, out)"""
    # First: what follows would follow the other questions too.
    if is_followed(x) or is_followed(weight) or not _may_be_faster(x, weight):
        return F.linear(x, weight, bias)
    flat = x.reshape(-1, x.shape[-1])
    needed = any(t is not None and t.requires_grad for t in (x, weight, bias))
    if needed and torch.is_grad_enabled():
        out: Tensor = _Linear.apply(flat, weight, bias)  # type: ignore[no-untyped-call]
    else:
        out = _product(flat, weight, bias)
    return out.view(*x.shape[:-1], weight.shape[0])


def _may_be_faster(x: Tensor, weight: Tensor) -> bool:
    return (
        onednn_is_faster()
        and x.dtype == weight.dtype == torch.float32
        and weight.numel() >= SMALLEST
        and x.numel() > 0
        and x.device.type == weight.device.type == "cpu"
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )


def is_followed(tensor: Tensor) -> bool:
    """Whether something follows what is done with the tensor, and knows PyTorch's operators alone.

    Compilers, tracers, function transforms, forward derivatives, and tensors of another class.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or type(tensor) not in (Tensor, torch.nn.Parameter)
        or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        or torch.autograd.forward_ad._current_level >= 0
    )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x: (rows, in); weight: (out, in) → (rows, out)"""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


class _Linear(torch.autograd.Function):
    """The product and its gradients, each by the same library."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        gradient = gradient.contiguous()  # (rows, out)
        # By `linear` again, so that gradients have gradients.
        return (
            linear(gradient, weight.t()) if wants_x else None,
            linear(gradient.t(), x.t()) if wants_weight else None,
            gradient.sum(0) if wants_bias else None,
        )
