"""Small models and checkpoints that several tests load and save."""

import json
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from distilbert import DistilBertConfig

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "max_position_embeddings": 16,
    "n_layers": 2,
    "n_heads": 2,
    "dim": 8,
    "hidden_dim": 16,
}
BERT_SIZES: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 50,
    "max_position_embeddings": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 8,
    "intermediate_size": 16,
    "type_vocab_size": 2,
}


def tiny(model_class: Any, seed: int = 0, **settings: Any) -> Any:
    """A random model of `SIZES`, in eval mode."""
    torch.manual_seed(seed)
    return scattered(model_class(DistilBertConfig(**{**SIZES, **settings})).eval())


def scattered(model: Any) -> Any:
    """The model with random norms and biases: fresh ones are 1 and 0, wherever they end up."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) / 2)
    return model


def bert_tensors(prefix: str = "bert.") -> dict[str, Tensor]:
    """The state dict of a random BERT of `BERT_SIZES` with pooler and language-model head."""
    torch.manual_seed(0)
    dim, hidden = 8, 16
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (50, dim),
        "embeddings.position_embeddings.weight": (16, dim),
        "embeddings.token_type_embeddings.weight": (2, dim),
        "embeddings.LayerNorm.weight": (dim,),
        "embeddings.LayerNorm.bias": (dim,),
        "pooler.dense.weight": (dim, dim),
        "pooler.dense.bias": (dim,),
    }
    for layer in range(2):
        start = f"encoder.layer.{layer}."
        for name, (out, into) in {
            "attention.self.query": (dim, dim),
            "attention.self.key": (dim, dim),
            "attention.self.value": (dim, dim),
            "attention.output.dense": (dim, dim),
            "intermediate.dense": (hidden, dim),
            "output.dense": (dim, hidden),
        }.items():
            shapes |= {f"{start}{name}.weight": (out, into), f"{start}{name}.bias": (out,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{start}{name}.weight": (dim,), f"{start}{name}.bias": (dim,)}
    return {prefix + key: torch.randn(shape) for key, shape in shapes.items()}


def write_checkpoint(folder: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> Path:
    """A folder with `config.json` and `model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def safetensors_bytes(header: object, body: bytes = b"") -> bytes:
    """A safetensors file, however wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
