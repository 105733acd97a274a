"""Heads between models and files: what a fixed class and what a named head write, and take."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from distilbert.adapters import transfer
from distilbert.adapters.store import StoredHead
from distilbert.errors import AdapterError
from distilbert.model.conversion import FIXED, fixed_from_flexible, flexible_from_fixed, renames
from distilbert.model.flexible import HEAD_TYPES, LanguageModelHead
from distilbert.model.prediction import PredictionHead, label_names

if TYPE_CHECKING:
    from distilbert.model.for_tasks import ForTask
    from distilbert.model.named_heads import NamedHeads

logger = logging.getLogger("distilbert")
Put = Callable[[bool], str | None]  # whether the head becomes active → its name


# Of a fixed class --------------------------------------------------------------------------------


def stored_fixed(model: "ForTask") -> StoredHead:
    """The head of a class for one task as data; the table of words may be the encoder's too."""
    info = transfer.info_of(model.base_model, type(model).__name__)
    info |= {"label2id": model.config.label2id, "num_labels": model.num_labels}
    return StoredHead(None, None, info, _of_head(model), frozenset(model.tied_keys()))


def _of_head(model: "ForTask") -> dict[str, Tensor]:
    inner = f"{model.base_model_prefix}."
    own = model.state_dict()
    return {key: tensor.detach() for key, tensor in own.items() if not key.startswith(inner)}


def checked_fixed(
    model: "ForTask", stored: StoredHead, id2label: Mapping[int, str] | None
) -> Put | None:
    """What puts a stored head into a class for one task; None, and a warning, if it is another.

    Raises AdapterError if it is that of this class and does not fit.
    """
    kind = type(model).__name__
    transfer.check_made_for(model.base_model, stored.info, "the head")
    try:
        weights, names = _for_fixed(model, stored)
    except AdapterError as error:
        logger.warning(
            "the file's head is left out: %s. Load the adapter into DistilBertModelWithHeads to "
            "have both",
            error,
        )
        return None
    own = _of_head(model)
    tied = model.tied_keys()
    missing = sorted(own.keys() - weights.keys() - tied)
    left = sorted(weights.keys() - own.keys())
    if missing or left:
        raise AdapterError(
            f"the head does not fit {kind}: missing {missing}, left over {left}; pass "
            "with_head=False to load the adapter alone"
        )
    for key, value in weights.items():
        if value.shape != own[key].shape:
            raise AdapterError(
                f"the head does not fit {kind}: {key!r} has the shape {list(value.shape)} in the "
                f"file and {list(own[key].shape)} in this model; load the model with as many "
                "labels (num_labels=…), or pass with_head=False"
            )
        if key in tied:
            _check_table(key, value, own[key])
    labels = names if id2label is None else label_names(id2label, model.num_labels)

    def put(active: bool) -> None:
        with torch.no_grad():
            for key, value in weights.items():
                if key not in tied:
                    own[key].copy_(value)
        if labels and len(labels) == model.num_labels:
            model.config.update({"id2label": labels})

    return put


def _for_fixed(
    model: "ForTask", stored: StoredHead
) -> tuple[dict[str, Tensor], dict[int, str] | None]:
    """The weights of a head under the keys of a class for one task, and its labels' names.

    Raises AdapterError, with the reason, if the head is not that of this class.
    """
    kind = type(model).__name__
    if stored.config is None:
        written = stored.info.get("model_class", kind)
        if written in FIXED and FIXED[written].layers.keys() != FIXED[kind].layers.keys():
            raise AdapterError(f"it is that of a {written}, and this is a {kind}")
        label2id = stored.info.get("label2id") or {}
        return dict(stored.weights), {number: label for label, number in label2id.items()}
    named, settings = fixed_from_flexible(str(stored.name), stored.config, model.config)
    if named != kind:
        raise AdapterError(
            f"it is of type {stored.config.get('head_type')!r}, that of a {named}, and this is a "
            f"{kind}"
        )
    keys = {new: old for old, new in renames(kind, str(stored.name)).items()}
    return {keys.get(key, key): value for key, value in stored.weights.items()}, settings.get(
        "id2label"
    )


# Of a model with named heads ---------------------------------------------------------------------


def stored_named(model: "NamedHeads", name: str) -> StoredHead:
    """A named head as data; a decoder that is tied to the embeddings is not written."""
    head = model.named_head(name)
    tied = model.tied_keys()
    weights = {
        key: tensor.detach()
        for rest, tensor in head.state_dict().items()
        if (key := f"heads.{name}.{rest}") not in tied
    }
    info = transfer.info_of(model.base_model, type(model).__name__)
    return StoredHead(name, dict(head.config), info, weights)


def checked_named(
    model: "NamedHeads", stored: StoredHead, name: str, id2label: Mapping[int, str] | None
) -> Put:
    """What adds a stored head under a name, in place of one that has it.

    Raises AdapterError if it does not fit the model, or its weights do not fit its options.
    """
    transfer.check_made_for(model.base_model, stored.info, "the head")
    if stored.config is None:
        options, weights = _options_of_fixed(model, stored, name)
    else:
        options = dict(stored.config)
        old = f"heads.{stored.name}."
        weights = {
            f"heads.{name}.{key.removeprefix(old)}" if key.startswith(old) else key: value
            for key, value in stored.weights.items()
        }
    tied = set()

    def make(device: str | None) -> list[tuple[str, PredictionHead]]:
        own_class = options.get("head_type") not in HEAD_TYPES  # may need values to be built
        with nullcontext() if device is None or own_class else torch.device(device):
            return [(f"heads.{name}", model.built_head(name, options))]

    if model.config.tie_word_embeddings:
        sketch = make("meta")[0][1]
        if isinstance(sketch, LanguageModelHead):
            tied = {f"heads.{name}.{sketch.decoder_key}"}
            for key in tied & weights.keys():
                _check_table(key, weights[key], sketch.decoder.weight)
    ((_, head),) = transfer.filled(
        make,
        str,
        {key: value for key, value in weights.items() if key not in tied},
        f"the head {stored.name!r}",
        model.base_model,
        passed_over=tied,
    )

    if id2label is not None:
        labels = label_names(id2label, head.num_labels, name)
        head.config["label2id"] = {label: number for number, label in labels.items()}

    def put(active: bool) -> str:
        model.add_prediction_head(head, overwrite_ok=True, set_active=active)
        return name

    return put


def _check_table(key: str, value: Tensor, own: Tensor) -> None:
    """Raises AdapterError unless a file's projection to the vocabulary is the table it is tied to.

    They may be equal in the less exact of their dtypes only.
    """
    coarse = max(value.dtype, own.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    table = own.detach().to(coarse)
    if value.shape != own.shape or not torch.equal(value.to(table), table):
        raise AdapterError(
            f"the head has another {key!r} than the embeddings of this model, to which its "
            "projection is tied; load the embeddings that it was trained with first, load it into "
            "a model with tie_word_embeddings=False, or pass with_head=False"
        )


_LABELS = ("id2label", "label2id", "num_labels")


def _options_of_fixed(
    model: "NamedHeads", stored: StoredHead, name: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    kind = str(stored.info.get("model_class"))
    if kind not in FIXED:
        raise AdapterError(f"the file's head is of the class {kind!r}; allowed: {', '.join(FIXED)}")
    label2id = stored.info.get("label2id")
    labels: dict[str, Any] = {"num_labels": stored.info.get("num_labels")}
    if label2id:
        labels = {"id2label": {number: label for label, number in label2id.items()}}
    plain = {k: v for k, v in model.config.to_dict().items() if k not in _LABELS}
    config = model.config.from_dict({**plain, **labels})
    keys = renames(kind, name)
    weights = {keys.get(key, key): value for key, value in stored.weights.items()}
    return flexible_from_fixed(kind, config), weights
