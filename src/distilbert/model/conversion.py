"""Between the published classes, whose head stands at the top level, and heads that can be added.

Both say the same with other keys: a row of the table for each class. What stands first speaks of
names and settings alone; models are converted by `DistilBertModelWithHeads.from_fixed`, `as_fixed`.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from distilbert.adapters.methods.activation import activation
from distilbert.adapters.site import held
from distilbert.config import DistilBertConfig
from distilbert.errors import AdapterError


@dataclass(frozen=True)
class Fixed:
    """A published class, as a head that can be added.

    layers: The number among the head's layers of each layer that the class has.
    options: What the head's options must be, beside labels and the number of them.
    dropout: The setting of the class's dropout before its last layer, or None.
    """

    head_type: str
    layers: Mapping[str, int]
    options: Mapping[str, Any]
    dropout: str | None = None


_TWO_LAYERS = {"pre_classifier": 1, "classifier": 4}
_RELU = {"layers": 2, "activation_function": "relu", "bias": True}
_ONE_LAYER = {"layers": 1}

FIXED: Mapping[str, Fixed] = {
    "DistilBertForSequenceClassification": Fixed(
        "classification", _TWO_LAYERS, _RELU, "seq_classif_dropout"
    ),
    "DistilBertForMultipleChoice": Fixed(
        "multiple_choice", _TWO_LAYERS, _RELU, "seq_classif_dropout"
    ),
    "DistilBertForTokenClassification": Fixed("tagging", {"classifier": 1}, _ONE_LAYER, "dropout"),
    "DistilBertForQuestionAnswering": Fixed(
        "question_answering", {"qa_outputs": 1}, _ONE_LAYER, "qa_dropout"
    ),
    "DistilBertForMaskedLM": Fixed(
        "masked_lm",
        {"vocab_transform": 0, "vocab_layer_norm": 2, "vocab_projector": 3},
        {"layers": 2, "layer_norm": True, "bias": True, "shift_labels": False},
    ),
}


def renames(class_name: str, head_name: str) -> dict[str, str]:
    """The keys of the class's head → those of the head of this name."""
    return {
        f"{layer}.{part}": f"heads.{head_name}.{number}.{part}"
        for layer, number in FIXED[class_name].layers.items()
        for part in ("weight", "bias")
    }


def flexible_from_fixed(class_name: str, config: DistilBertConfig) -> dict[str, Any]:
    """The options, with `head_type`, of the head that answers as this class does.

    Answers are the same. While training, a head with two layers drops values before the first too.

    Raises AdapterError where no type of head has the loss of this configuration.
    """
    row = FIXED[class_name]
    options: dict[str, Any] = {"head_type": row.head_type, **row.options}
    if row.head_type == "masked_lm":
        return {**options, "activation_function": config.activation}
    options["label2id"] = {label: number for number, label in config.id2label.items()}
    if row.head_type == "multiple_choice":
        options.pop("bias")
        return {**options, "num_choices": config.num_labels}
    options["num_labels"] = config.num_labels
    if row.head_type == "classification":
        several = config.problem_type == "multi_label_classification"
        usual = "regression" if config.num_labels == 1 else "single_label_classification"
        if config.problem_type not in (None, usual, "multi_label_classification"):
            raise AdapterError(
                f"problem_type is {config.problem_type!r} with {config.num_labels} labels, which "
                f"no head has; allowed: {usual!r} or 'multi_label_classification'"
            )
        return {**options, "head_type": f"multilabel_{row.head_type}" if several else row.head_type}
    dropout = getattr(config, row.dropout or "")
    same = dropout == config.seq_classif_dropout
    return {**options, "activation_function": None, "dropout_prob": None if same else dropout}


def fixed_from_flexible(
    head_name: str, options: Mapping[str, Any], config: DistilBertConfig
) -> tuple[str, dict[str, Any]]:
    """The class that answers as this head does, and what its configuration says beside the model's.

    Raises AdapterError, with the reason, for a head that is no published class.
    """
    kind = options.get("head_type")
    several = kind == "multilabel_classification"
    single = "classification" if several else kind
    found = [name for name, row in FIXED.items() if row.head_type == single]
    if not found:
        raise AdapterError(
            f"head {head_name!r} is of type {kind!r}, which no published class has; allowed: "
            f"{', '.join(row.head_type for row in FIXED.values())}, multilabel_classification"
        )
    row = FIXED[found[0]]
    wanted = dict(row.options)
    if single == "masked_lm":
        wanted |= {
            "activation_function": config.activation,
            "embedding_size": config.dim,
            "vocab_size": config.vocab_size,
        }
    for name, value in wanted.items():
        given = options.get(name, value)
        if given != value and not (name == "activation_function" and _same(given, value)):
            raise AdapterError(
                f"head {head_name!r} has {name} {given!r}, and a {found[0]} computes with "
                f"{value!r}; keep it as a head, or train one with {name}={value!r}"
            )
    settings: dict[str, Any] = {}
    count = options.get("num_labels", options.get("num_choices"))
    names = {number: label for label, number in (options.get("label2id") or {}).items()}
    if count is not None and sorted(names) == list(range(count)):
        settings["id2label"] = names
    elif count is not None:
        settings["num_labels"] = count
    if single == "classification":
        one = options["num_labels"] == 1
        usual = "regression" if one else "single_label_classification"
        settings["problem_type"] = "multi_label_classification" if several else usual
    own = options.get("dropout_prob")
    if row.dropout not in (None, "dropout"):  # that one is the encoder's too
        settings[str(row.dropout)] = config.seq_classif_dropout if own is None else own
    return found[0], settings


def _same(one: str | None, other: str) -> bool:
    """Whether two names of activations mean one function."""
    return one is not None and activation(one) is activation(other)


# Models ------------------------------------------------------------------------------------------

Module = TypeVar("Module", bound=nn.Module)


def shared(module: Module, config: DistilBertConfig) -> Module:
    """A copy of an encoder, adapters and all: the same parameters, another configuration.

    What is merged into the one is merged into the other, and each can be reset by itself.
    """
    kept = {id(tensor): tensor for tensor in (*held(module), *module.buffers())}
    return copy.deepcopy(module, {**kept, id(module.config): config})


def move(source: nn.Module, old: str, target: nn.Module, new: str) -> None:
    """Lets a parameter of one module be that of another too."""
    owner, _, name = new.rpartition(".")
    setattr(target.get_submodule(owner), name, source.get_parameter(old))
