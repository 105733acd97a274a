"""Tiny models with adapters of LoRA's family, of random weights, none of them zero."""

import zlib
from typing import Any

import torch
from torch import Tensor

import distilbert
from distilbert.adapters.configs import resolve
from distilbert.flow import Flow
from distilbert.layout import Packed

TINY = {
    "vocab_size": 60,
    "dim": 24,
    "hidden_dim": 40,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,  # far from linear, so that what is wrong shows
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
EVERYWHERE = {
    "attn_matrices": ["q", "k", "v", "out"],
    "intermediate_lora": True,
    "output_lora": True,
}
PATTERNS = {
    "rank_pattern": {"transformer.layer.1.attention.q_lin": 2},
    "alpha_pattern": {"transformer.layer.0.attention.v_lin": 5},
}
LORAS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("lora", {}),
    "lora-k": ("lora", {"attn_matrices": ["k"], "alpha": 3}),
    "lora-out": ("lora", {"attn_matrices": ["out"], "alpha": 3}),
    "lora-lin1": ("lora", {"selfattn_lora": False, "intermediate_lora": True}),
    "lora-lin2": ("lora", {"selfattn_lora": False, "output_lora": True}),
    "lora-all": ("lora", {**EVERYWHERE, "r": 4, "alpha": 3, "leave_out": [1]}),
    "rslora": ("lora", {**PATTERNS, "use_rslora": True}),
    "ia3": ("ia3", {}),
    "ia3-all": ("ia3", {**EVERYWHERE, "alpha": 2, "init_weights": "bert"}),
    "vera": ("vera", {"alpha": 4}),
    "vera-all": ("vera", {**EVERYWHERE, "alpha": 4}),
    "dora": ("dora", {"alpha": 4}),
    "dora-all": ("dora", {**EVERYWHERE, "alpha": 4}),
    "dvora": ("dvora", {"alpha": 4}),
    "mtl": ("mtl_lora", {"alpha": 4, "n_up_projection": 3, "weights_sharpness": 0.7}),
    "mtl-linear": ("mtl_lora", {"task_specific_matrix_type": "linear"}),
    "mtl-dora": ("mtl_lora", {"use_dora": True, "alpha": 4, "n_up_projection": 2}),
}
"""Of every kind some that can be merged: preset, settings."""
GATED: dict[str, tuple[str, dict[str, Any]]] = {
    "lora-gated": ("lora", {"use_gating": True, "alpha": 3}),
    "ia3-gated": ("ia3", {"use_gating": True, "alpha": 3}),
    "vera-gated": ("vera", {"use_gating": True, "alpha": 3}),
    "dora-gated": ("dora", {"use_gating": True, "alpha": 3}),
    "mtl-gated": ("mtl_lora", {"use_gating": True, "alpha": 3}),
}

IDS = torch.tensor([[2, 9, 4, 31, 7, 3], [2, 5, 3, 0, 0, 0], [2, 8, 50, 3, 0, 0]])
MASK = (IDS != 0).long()
LENGTHS = (6, 3, 4)


def make(*adapters: tuple[str, dict[str, Any]], **settings: Any) -> distilbert.DistilBertModel:
    """A model in evaluation mode with adapters "a", "b", …, none of them active."""
    torch.manual_seed(0)
    model = distilbert.DistilBertModel(distilbert.DistilBertConfig(**{**TINY, **settings}))
    stir(model, "")
    for name, (preset, given) in zip("abcd", adapters, strict=False):
        add(model, name, preset, given)
    return model.eval()


def add(model: Any, name: str, preset: str, settings: dict[str, Any]) -> None:
    """Adds an adapter, with every weight moved a little."""
    model.add_adapter(name, resolve(preset, **settings))
    stir(model, f".{name}.")


def stir(model: torch.nn.Module, within: str) -> None:
    """Adds noise to every weight with `within` in its name, the same for a name and a shape."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if within in key:
                generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.3 * noise.to(parameter.dtype))


def outputs(model: Any, names: Any = None, **options: Any) -> Tensor:
    """(rows, columns, dim) of the padded batch, zero at padding."""
    hidden = model(IDS, MASK, adapter_names=names, **options).last_hidden_state
    return hidden * MASK[..., None]


def packed_outputs(model: Any, names: Any) -> Tensor:
    """The same, computed without padding."""
    flow = Flow(Packed(LENGTHS), plan=model.plan(names))
    hidden = model.encode(IDS[MASK.bool()], flow).hidden
    return torch.nn.utils.rnn.pad_sequence(torch.split(hidden, LENGTHS), batch_first=True)
