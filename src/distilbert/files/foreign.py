"""Every foreign layout, in one place: old names, BERT checkpoints, the base's prefix on or off."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distilbert.errors import ConfigError, FileError

if TYPE_CHECKING:
    from torch import Tensor

# Configuration -----------------------------------------------------------------------------------

_BERT_SETTINGS = {  # BERT's name → ours, and the value where a BERT file says nothing
    "vocab_size": ("vocab_size", 30522),
    "hidden_size": ("dim", 768),
    "num_hidden_layers": ("n_layers", 12),
    "num_attention_heads": ("n_heads", 12),
    "intermediate_size": ("hidden_dim", 3072),
    "hidden_act": ("activation", "gelu"),
    "hidden_dropout_prob": ("dropout", 0.1),
    "attention_probs_dropout_prob": ("attention_dropout", 0.1),
    "max_position_embeddings": ("max_position_embeddings", 512),
    "initializer_range": ("initializer_range", 0.02),
    "pad_token_id": ("pad_token_id", 0),
}
_ONLY_EXACT = {  # setting → what is allowed, what a BERT file without it means, why
    "position_embedding_type": (
        ("absolute", None),
        "absolute",
        "positions are added, not relative",
    ),
    "is_decoder": ((False, None), False, "every token sees every other"),
    "add_cross_attention": ((False, None), False, "there is no second input to attend to"),
    "layer_norm_eps": ((1e-12,), 1e-12, "the layer norms add 1e-12; another value changes answers"),
}
_ONLY_OF_BERT = {"type_vocab_size", "use_cache", "gradient_checkpointing", "directionality"}
_ONLY_OF_BERT_PREFIXES = ("pooler_",)


def settings_from_bert(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the DistilBERT that computes what this BERT computes, pooler apart.

    Settings that both kinds share, and unknown ones, are kept. Raises ConfigError, with the reason,
    for a BERT that no DistilBERT equals.
    """
    for name, (allowed, default, why) in _ONLY_EXACT.items():
        value = settings.get(name, default)
        if value not in allowed:
            raise ConfigError(
                f"a BERT with {name} {value!r} cannot be read as a DistilBERT, where {why}; "
                f"allowed: {allowed[0]!r}. Use a checkpoint that has it"
            )
    width = settings.get("hidden_size", 768)
    narrow = settings.get("embedding_size", width)
    if narrow != width:
        raise ConfigError(
            f"a BERT with embedding_size {narrow!r} and hidden_size {width!r} cannot be read as a "
            "DistilBERT, whose embeddings are as wide as its layers; allowed: two equal sizes"
        )
    ours = {to: settings.get(name, default) for name, (to, default) in _BERT_SETTINGS.items()}
    dropped = {*_BERT_SETTINGS, *_ONLY_EXACT, *_ONLY_OF_BERT, "embedding_size", "model_type"}
    kept = {
        name: value
        for name, value in settings.items()
        if name not in dropped and not name.startswith(_ONLY_OF_BERT_PREFIXES)
    }
    classifier_dropout = kept.pop("classifier_dropout", None)
    if classifier_dropout is not None:
        ours["seq_classif_dropout"] = classifier_dropout
    return {**kept, **ours, "model_type": "distilbert"}


# Weights -----------------------------------------------------------------------------------------

_BERT_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
_BERT_LAYER_PARTS = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
_BERT_HEAD = {
    "cls.predictions.transform.dense.weight": "vocab_transform.weight",
    "cls.predictions.transform.dense.bias": "vocab_transform.bias",
    "cls.predictions.transform.LayerNorm.weight": "vocab_layer_norm.weight",
    "cls.predictions.transform.LayerNorm.bias": "vocab_layer_norm.bias",
    "cls.predictions.decoder.weight": "vocab_projector.weight",
    "cls.predictions.bias": "vocab_projector.bias",
    "cls.predictions.decoder.bias": "vocab_projector.bias",  # newer files hold the bias twice
}
_NO_PLACE = {  # keys of a BERT that a DistilBERT has no layer for → why that is exact
    "pooler.": "the pooler: a DistilBERT has none; its hidden states are the same without it",
    "cls.seq_relationship.": "the next-sentence head: a DistilBERT has none",
}
_INEXACT = {  # parts of keys that say that the model computes something else
    "distance_embedding": "relative position embeddings",
    "crossattention": "attention to a second input (a decoder)",
    "embeddings_project": "embeddings narrower than its layers",
}
_OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}
_POSITIONS = "embeddings.position_embeddings.weight"
_SEGMENTS = "embeddings.token_type_embeddings.weight"
_BUFFER = "embeddings.position_ids"  # 0, 1, 2, …: older files hold it, nobody needs it


@dataclass
class Translated:
    """Tensors by the keys of the model that is wanted, and what the file said."""

    tensors: "dict[str, Tensor]" = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)  # key of the model → key of the file
    left_out: dict[str, str] = field(default_factory=dict)  # key of the file → why it is not used
    is_bert: bool = False


def looks_like_bert(keys: Collection[str]) -> bool:
    """Whether a checkpoint's keys are those of a BERT (or of a relative of it)."""
    return any(_BERT_LAYER.match(key.removeprefix("bert.")) for key in keys)


def depth_of_bert(keys: Collection[str]) -> int:
    """How many layers the keys of a BERT checkpoint show."""
    matches = (_BERT_LAYER.match(key.removeprefix("bert.")) for key in keys)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)


def translate(
    tensors: "Mapping[str, Tensor]",
    wanted: Collection[str],
    base_prefix: str,
    architectures: Collection[str] | None = None,
) -> Translated:
    """Bring a checkpoint of any known layout to the keys of the model that is wanted.

    `wanted` are the model's keys, `architectures` what the configuration file said of the
    checkpoint's head. Keys that are not known keep their name. Raises FileError if two tensors
    would become one, or for a BERT that no DistilBERT equals.
    """
    from distilbert.adapters.foreign import checkpoint_keys, compact  # with torch, which is slow

    found = Translated(is_bert=looks_like_bert(tensors))
    headed = any(key.startswith(f"{base_prefix}.") for key in wanted)
    of_adapters = checkpoint_keys(tensors)
    for original, tensor in tensors.items():
        renamed = of_adapters.get(original, original)
        if renamed is None:  # a copy of another
            continue
        key = _renewed(renamed).removeprefix(f"{base_prefix}.")
        if found.is_bert:
            key = _from_bert(key.removeprefix("bert."))
        if key == _BUFFER:
            continue
        why = _why_left_out(key, tensors, wanted, architectures) if found.is_bert else None
        if why:
            found.left_out[original] = why
            continue
        inner = key.startswith(("embeddings.", "transformer."))
        if headed and (inner or f"{base_prefix}.{key}" in wanted):
            key = f"{base_prefix}.{key}"
        _put(found, key, original, compact(key, tensor))
    if found.is_bert:
        _fold_segments(found, f"{base_prefix}." if headed else "")
    return found


def _renewed(key: str) -> str:
    """The names of a norm's parameters were others in the first files."""
    owner, dot, name = key.rpartition(".")
    new = _OLD_NAMES.get(dot + name)
    return owner + new if new and owner.lower().endswith(("layernorm", "layer_norm")) else key


def _from_bert(key: str) -> str:
    for part, what in _INEXACT.items():
        if part in key:
            raise FileError(
                f"the checkpoint is a BERT with {what} (it holds {key!r}), which no DistilBERT "
                "equals; use a BERT encoder with absolute positions"
            )
    match = _BERT_LAYER.fullmatch(key)
    if match is None:
        return _BERT_HEAD.get(key, key)
    owner, _, name = match[2].rpartition(".")
    ours = _BERT_LAYER_PARTS.get(owner)
    return f"transformer.layer.{match[1]}.{ours}.{name}" if ours else key


def _why_left_out(
    key: str,
    tensors: "Mapping[str, Tensor]",
    wanted: Collection[str],
    architectures: Collection[str] | None,
) -> str | None:
    for start, why in _NO_PLACE.items():
        if key.startswith(start):
            return why
    if not key.startswith("classifier."):
        return None
    if "pre_classifier.weight" in wanted:
        return "a BERT's classifier reads its pooler; train the classifier of this class anew"
    pooled = any(name.removeprefix("bert.").startswith("pooler.") for name in tensors)
    tags = "BertForTokenClassification" in architectures if architectures else not pooled
    return None if tags else "a BERT's classifier of whole texts reads its pooler, not each token"


def _put(found: Translated, key: str, original: str, tensor: "Tensor") -> None:
    if key in found.tensors:
        first = found.tensors[key]
        if first.shape != tensor.shape or not bool((first == tensor).all()):
            raise FileError(
                f"the checkpoint holds {key!r} twice, as {found.originals[key]!r} and as "
                f"{original!r}, with different values; remove one of the two"
            )
        return
    found.tensors[key] = tensor
    found.originals[key] = original


def _fold_segments(found: Translated, prefix: str) -> None:
    """Add a BERT's segment 0 to its positions: the sum is what each token of a text gets."""
    import torch

    segments = found.tensors.pop(prefix + _SEGMENTS, None)
    positions = found.tensors.get(prefix + _POSITIONS)
    if segments is None or positions is None:
        return
    original = found.originals.pop(prefix + _SEGMENTS)
    fits = segments.ndim == positions.ndim == 2 and segments.shape[1] == positions.shape[1]
    if not fits or len(segments) == 0:
        raise FileError(
            f"{original!r} has the shape {tuple(segments.shape)} and the positions have "
            f"{tuple(positions.shape)}; both need at least one row, and one width"
        )
    wide = torch.promote_types(positions.dtype, torch.float32)  # a sum in 16 bits would lose some
    found.tensors[prefix + _POSITIONS] = positions.to(wide) + segments[0].to(wide)
    found.left_out[original] = (
        "segment 0 is added to the positions, which is exact; a DistilBERT has no other segments"
    )
