"""Which values a configuration may hold, and what holds where nothing is said."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from distilbert.errors import ConfigError

ACTIVATIONS = (
    "gelu",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_pytorch_tanh",
    "leaky_relu",
    "linear",
    "mish",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
)
DTYPES = ("float32", "float16", "bfloat16", "float64")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

# What every model of the field has, with its default; a file names only those that differ.
SHARED_DEFAULTS: Mapping[str, Any] = {
    "return_dict": True,
    "torchscript": False,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "chunk_size_feed_forward": 0,
    "output_hidden_states": False,
    "output_attentions": False,
    "tie_word_embeddings": True,
    "dtype": None,
    "pruned_heads": {},
    "architectures": None,
    "finetuning_task": None,
    "task_specific_params": None,
    "problem_type": None,
    "tokenizer_class": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "sep_token_id": None,
}
DEFAULT_LABELS = 2

# Far above all that is published. Beyond, a file of a few bytes would fill the memory with names
# and layers before its weights are looked at, or ask for tensors whose size no number holds.
LARGEST = 2**24
MOST_LAYERS = 1024
MOST_LABELS = 2**22
LABEL_SETTINGS = ("num_labels", "id2label", "label2id")


def labels(
    count: int | None = None,
    id2label: Mapping[Any, str] | None = None,
    label2id: Mapping[str, Any] | None = None,
) -> tuple[dict[int, str], dict[str, int]]:
    """Both maps from whichever is given: names, or a count of labels without names."""
    for name, given in (("id2label", id2label), ("label2id", label2id)):
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"{name} is {given!r}; allowed: a dictionary")
    if count is not None and not (_positive(count) and count <= MOST_LABELS):
        raise ConfigError(
            f"num_labels is {count!r}; allowed: {_POSITIVE} and at most {MOST_LABELS}"
        )
    try:
        names = {int(key): value for key, value in (id2label or {}).items()}
        numbers = {key: int(value) for key, value in (label2id or {}).items()}
    except (TypeError, ValueError) as error:
        raise ConfigError(f"labels must be numbered by whole numbers: {error}") from None
    if id2label is None and label2id is not None:
        names = {number: label for label, number in numbers.items()}
    elif id2label is None:
        names = {i: f"LABEL_{i}" for i in range(count or DEFAULT_LABELS)}
    if sorted(names) != list(range(len(names))) or not names:
        raise ConfigError(
            f"id2label numbers its labels {sorted(names)}; allowed: 0, 1, 2, … without gaps"
        )
    for label in names.values():
        if not _is_label(label):
            raise ConfigError(f"a label is {label!r}; allowed: text, or a number")
    names = dict(sorted(names.items()))
    return names, numbers if label2id is not None else {label: i for i, label in names.items()}


def _is_label(label: object) -> bool:
    if isinstance(label, str):
        return not any("\ud800" <= char <= "\udfff" for char in label)  # no file can hold these
    return isinstance(label, (int, float))


def one_count_of_labels(overrides: Mapping[str, Any]) -> None:
    """Raises ConfigError if a number of labels and their names are given, and disagree."""
    count, names = overrides.get("num_labels"), overrides.get("id2label")
    if count is not None and isinstance(names, Mapping) and len(names) != count:
        raise ConfigError(
            f"num_labels is {count} but id2label names {len(names)} labels; give one of the two, "
            "or make them agree"
        )


def without_replaced_labels(
    settings: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """A file's settings without its labels, unless all that is asked for is their own number.

    Labels are replaced together: new names never meet old numbers.
    """
    own = len(settings.get("id2label") or range(DEFAULT_LABELS))
    if overrides.get("num_labels") == own and not {"id2label", "label2id"} & overrides.keys():
        return dict(settings)
    return {name: value for name, value in settings.items() if name not in LABEL_SETTINGS}


def pruned_heads(heads: Any, layers: int, count: int) -> dict[int, list[int]]:
    """Heads that are gone, in order, by layer. Raises ConfigError for what cannot be pruned."""
    try:
        pruned = {int(layer): sorted({int(h) for h in hs}) for layer, hs in dict(heads).items()}
    except (TypeError, ValueError):
        pruned = {-1: []}
    fits = all(0 <= layer < layers and len(hs) < count for layer, hs in pruned.items())
    if not fits or any(not 0 <= h < count for hs in pruned.values() for h in hs):
        raise ConfigError(
            f"pruned_heads is {heads!r}; allowed: lists of heads (0 to {count - 1}, not all of "
            f"them) by layer (0 to {layers - 1})"
        )
    return {layer: hs for layer, hs in pruned.items() if hs}


def dtype_name(dtype: Any) -> Any:
    """A dtype of torch by its name: `torch.float16` → "float16"; None stays."""
    return dtype if dtype is None else str(dtype).removeprefix("torch.")


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _size(value: object) -> bool:
    return _positive(value) and value <= LARGEST  # type: ignore[operator]


def _share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _spread(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0  # type: ignore[arg-type, operator]


def _is_false(value: object) -> bool:
    return value is False


_POSITIVE = "a whole number of at least 1"
_SIZE = f"{_POSITIVE} and at most {LARGEST}"
_SHARE = "a number from 0 to 1"
_Check = tuple[str, Callable[[Any], bool], str]
CHECKS: tuple[_Check, ...] = (
    *((name, _size, _SIZE) for name in ("vocab_size", "max_position_embeddings")),
    *((name, _size, _SIZE) for name in ("n_heads", "dim", "hidden_dim")),
    (
        "n_layers",
        lambda value: _positive(value) and value <= MOST_LAYERS,
        f"{_POSITIVE} and at most {MOST_LAYERS}",
    ),
    *((name, _share, _SHARE) for name in ("dropout", "attention_dropout")),
    *((name, _share, _SHARE) for name in ("qa_dropout", "seq_classif_dropout")),
    ("initializer_range", _spread, "a finite number of at least 0"),
    ("activation", ACTIVATIONS.__contains__, ", ".join(ACTIVATIONS)),
    (
        "pad_token_id",
        lambda value: value is None or _positive(value) or (value == 0 and value is not False),
        "an id of the vocabulary, or None",
    ),
    ("dtype", (None, *DTYPES).__contains__, f"None, {', '.join(DTYPES)}"),
    *((name, _is_false, "false: an encoder") for name in ("is_decoder", "is_encoder_decoder")),
    ("chunk_size_feed_forward", lambda v: v == 0 or _size(v), f"0 for none, or {_SIZE}"),
    ("problem_type", (None, *PROBLEM_TYPES).__contains__, f"None, {', '.join(PROBLEM_TYPES)}"),
    *(
        (name, lambda value: isinstance(value, bool), "true or false")
        for name in (
            "sinusoidal_pos_embds",
            "return_dict",
            "torchscript",
            "output_hidden_states",
            "output_attentions",
            "tie_word_embeddings",
        )
    ),
)
