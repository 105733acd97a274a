"""The configuration of a DistilBERT: sizes, dropouts, labels, and what a file says beside them."""

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from distilbert.errors import ConfigError
from distilbert.files.atomic import to_path, writing
from distilbert.files.find import HUB_OPTIONS, is_file, locate, read_json
from distilbert.files.foreign import settings_from_bert
from distilbert.settings import (
    CHECKS,
    LABEL_SETTINGS,
    SHARED_DEFAULTS,
    dtype_name,
    labels,
    one_count_of_labels,
    pruned_heads,
    without_replaced_labels,
)

if TYPE_CHECKING:
    from typing_extensions import Self

CONFIG_NAME = "config.json"


class DistilBertConfig:
    """What a DistilBERT is made of.

    The parameters and defaults are those of `distilbert-base-uncased`. Beside them, any setting
    shared by the models of the field is accepted (`num_labels`, `id2label`, `label2id`,
    `problem_type`, `output_attentions`, `output_hidden_states`, `return_dict`,
    `tie_word_embeddings`, `architectures`, …), the usual spellings `hidden_size`,
    `num_attention_heads` and `num_hidden_layers`, and any further key, which is kept and saved.

    Args:
        vocab_size: Number of ids.
        max_position_embeddings: Longest row, in tokens.
        sinusoidal_pos_embds: Whether a fresh model starts from fixed sinusoids for its positions.
        n_layers: Transformer blocks.
        n_heads: Attention heads of each block; must divide `dim`.
        dim: Width of a token's vector.
        hidden_dim: Width inside the feed-forward part of a block.
        dropout: Share of values dropped after embeddings and feed-forward, while training.
        attention_dropout: The same for attention probabilities.
        activation: Of the feed-forward part and the language-model head; one of `ACTIVATIONS`.
        initializer_range: Standard deviation of fresh weights.
        qa_dropout: Before the question-answering head.
        seq_classif_dropout: Inside the heads for classification and multiple choice.
        pad_token_id: The id whose embedding is zero in a fresh model, or None.

    Raises:
        ConfigError: A value cannot work.

    >>> config = DistilBertConfig(n_layers=3, num_labels=4)
    >>> config.num_hidden_layers, config.num_labels, config.dim
    (3, 4, 768)
    >>> config
    DistilBertConfig(n_layers=3, num_labels=4)
    """

    model_type = "distilbert"
    attribute_map: Mapping[str, str] = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "torch_dtype": "dtype",
        "_name_or_path": "name_or_path",
    }

    vocab_size: int
    max_position_embeddings: int
    sinusoidal_pos_embds: bool
    n_layers: int
    n_heads: int
    dim: int
    hidden_dim: int
    dropout: float
    attention_dropout: float
    activation: str
    initializer_range: float
    qa_dropout: float
    seq_classif_dropout: float
    pad_token_id: int | None
    return_dict: bool
    output_hidden_states: bool
    output_attentions: bool
    torchscript: bool
    chunk_size_feed_forward: int
    tie_word_embeddings: bool
    dtype: str | None
    pruned_heads: dict[int, list[int]]
    architectures: list[str] | None
    problem_type: str | None
    id2label: dict[int, str]
    label2id: dict[str, int]

    def __init__(
        self,
        vocab_size: int = 30522,
        max_position_embeddings: int = 512,
        sinusoidal_pos_embds: bool = False,
        n_layers: int = 6,
        n_heads: int = 12,
        dim: int = 768,
        hidden_dim: int = 4 * 768,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation: str = "gelu",
        initializer_range: float = 0.02,
        qa_dropout: float = 0.1,
        seq_classif_dropout: float = 0.2,
        pad_token_id: int | None = 0,
        **kwargs: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in OWN_DEFAULTS}
        settings = {**copy.deepcopy(dict(SHARED_DEFAULTS)), **given}
        for name, value in _canonical(kwargs).items():
            if value is not None or settings.get(name) is None:  # files say null for "the default"
                settings[name] = value
        self.name_or_path = str(settings.pop("name_or_path", ""))
        settings.pop("model_type", None)
        settings.pop("transformers_version", None)
        one_count_of_labels(settings)
        self.id2label, self.label2id = labels(
            settings.pop("num_labels", None),
            settings.pop("id2label", None),
            settings.pop("label2id", None),
        )
        for name, value in settings.items():
            if hasattr(type(self), name):
                raise ConfigError(
                    f"a configuration cannot hold the key {name!r}: it is a method of "
                    f"{type(self).__name__}; rename or remove it"
                )
            setattr(self, name, value)
        self.validate()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "num_labels":
            if len(self.id2label) != value:
                self.id2label, self.label2id = labels(value, None, None)
            return
        super().__setattr__(self.attribute_map.get(name, name), value)

    def __getattr__(self, name: str) -> Any:
        if name in type(self).attribute_map:
            return getattr(self, self.attribute_map[name])
        if name == "num_labels" and "id2label" in self.__dict__:
            return len(self.id2label)
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")

    @property
    def use_return_dict(self) -> bool:
        """Whether a forward pass returns an output object rather than a tuple."""
        return self.return_dict and not self.torchscript

    def get_text_config(self, decoder: bool = False) -> "Self":
        """This configuration: the model is all text. (Trainers ask models of every kind.)"""
        return self

    def validate(self) -> None:
        """Raises ConfigError unless a model can be built and run with these values.

        Brings those that have several spellings to one: labels, dtypes, pruned heads.
        """
        self.dtype = dtype_name(self.dtype)
        for name, accepts, allowed in CHECKS:
            value = getattr(self, name)
            if not accepts(value):
                raise ConfigError(f"{name} is {value!r}; allowed: {allowed}")
        if self.dim % self.n_heads:
            raise ConfigError(
                f"n_heads is {self.n_heads} and dim is {self.dim}; allowed: heads that divide the "
                "width evenly; change one of the two"
            )
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ConfigError(
                f"pad_token_id is {self.pad_token_id}; allowed: an id below "
                f"vocab_size ({self.vocab_size}), or None"
            )
        self.id2label, self.label2id = labels(None, self.id2label, self.label2id)
        self.pruned_heads = pruned_heads(self.pruned_heads, self.n_layers, self.n_heads)

    # Reading ---------------------------------------------------------------------------------

    @overload
    @classmethod
    def from_dict(
        cls,
        config_dict: Mapping[str, Any],
        *,
        return_unused_kwargs: Literal[True],
        **kwargs: Any,
    ) -> "tuple[Self, dict[str, Any]]": ...

    @overload
    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> "Self": ...

    @classmethod
    def from_dict(
        cls,
        config_dict: Mapping[str, Any],
        *,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> "Self | tuple[Self, dict[str, Any]]":
        """The configuration that a file's dictionary describes, with `kwargs` laid over it.

        A BERT configuration is translated where a DistilBERT can hold it. Keyword arguments that
        are no setting of this configuration are left alone: with `return_unused_kwargs` the answer
        is `(config, left_over)`.

        Raises ConfigError if a value cannot work or the dictionary is of another kind of model.
        """
        if not isinstance(config_dict, Mapping):
            raise ConfigError(
                f"config_dict is of type {type(config_dict).__name__}; allowed: a dictionary of "
                "settings, as to_dict() gives one"
            )
        settings = dict(config_dict)
        kind = settings.get("model_type", cls.model_type)
        if kind == "bert":
            settings = settings_from_bert(settings)
        elif kind != cls.model_type:
            raise ConfigError(
                f"model_type is {kind!r}; allowed: 'distilbert', or 'bert' of the same depth"
            )
        settings = _canonical(settings)
        if settings.get("id2label"):  # old files also hold a number, which nobody kept up to date
            settings.pop("num_labels", None)
        known = {*OWN_DEFAULTS, *SHARED_DEFAULTS, *LABEL_SETTINGS, *settings, "name_or_path"}
        overrides = {name: v for name, v in _canonical(kwargs).items() if name in known}
        unused = {name: v for name, v in kwargs.items() if not _canonical({name: v}).keys() & known}
        if overrides.keys() & set(LABEL_SETTINGS):
            one_count_of_labels(overrides)
            settings = without_replaced_labels(settings, overrides)
        config = cls(**{**settings, **overrides})
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> "Self":
        """The configuration in one JSON file. Raises FileError or ConfigError, naming the file."""
        return cls._from_file(json_file, {})[0]

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        return_unused_kwargs: Literal[True],
        **kwargs: Any,
    ) -> "tuple[Self, dict[str, Any]]": ...

    @overload
    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> "Self": ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> "Self | tuple[Self, dict[str, Any]]":
        """The configuration of a folder, a file, a hub id or a backbone such as `minilm`.

        `cache_dir`, `revision`, `token`, `local_files_only`, `force_download` and `subfolder` say
        where to look; every other keyword replaces a setting.

        Raises FileError if there is no such configuration, ConfigError if it cannot work.
        """
        where = {name: kwargs.pop(name) for name in HUB_OPTIONS if name in kwargs}
        if is_file(pretrained_model_name_or_path):
            path = Path(pretrained_model_name_or_path)
        else:
            path = locate(pretrained_model_name_or_path, **where).require(CONFIG_NAME)
        found = cls._from_file(path, {"name_or_path": str(pretrained_model_name_or_path), **kwargs})
        return found if return_unused_kwargs else found[0]

    @classmethod
    def _from_file(
        cls, path: str | os.PathLike[str], overrides: dict[str, Any]
    ) -> "tuple[Self, dict[str, Any]]":
        settings = read_json(path)
        try:
            return cls.from_dict(settings, return_unused_kwargs=True, **overrides)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    # Writing ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every setting as plain data that JSON can hold, `id2label` keyed by integers."""
        settings = copy.deepcopy(self.__dict__)
        settings.pop("name_or_path")
        return {"model_type": self.model_type, **settings}

    def to_diff_dict(self) -> dict[str, Any]:
        """`to_dict` without the shared settings that have their default: what a file holds."""
        defaults = {**SHARED_DEFAULTS, **dict(zip(("id2label", "label2id"), labels(), strict=True))}
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in defaults or name in OWN_DEFAULTS or value != defaults[name]
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """The configuration as JSON, keys in order; with `use_diff`, as a file holds it."""
        settings = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(_plain(settings), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Writes the configuration to a file, whole or not at all.

        Raises ConfigError, and changes nothing, if it holds what no JSON file can.
        """
        path = to_path(json_file_path)
        try:
            text = self.to_json_string(use_diff).encode()
        except (TypeError, ValueError) as error:  # ValueError: lone surrogates, cycles
            raise ConfigError(
                f"this configuration cannot be written to {path.name}: {error}; settings have to "
                "be text, numbers, true or false, None, lists or dictionaries"
            ) from error
        with writing(path) as temporary:
            temporary.write_bytes(text)

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False
    ) -> None:
        """Writes `config.json` into a folder, which is made if it is not there.

        Raises FileError if it cannot be; ConfigError for `push_to_hub`, which is not done here.
        """
        if push_to_hub:
            raise ConfigError(
                "push_to_hub is not done here; save into a folder, and upload that with "
                "huggingface_hub.upload_folder"
            )
        self.to_json_file(to_path(save_directory) / CONFIG_NAME)

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Replaces settings. Raises ConfigError, and changes nothing, if the result cannot work."""
        changes = _canonical(config_dict)
        updated = copy.deepcopy(self)
        if changes.keys() & set(LABEL_SETTINGS):
            one_count_of_labels(changes)
            kept = without_replaced_labels(self.__dict__, changes)
            if "id2label" not in kept:
                changes["id2label"], changes["label2id"] = labels(
                    *(changes.get(name) for name in LABEL_SETTINGS)
                )
            changes.pop("num_labels", None)
        for name, value in changes.items():
            setattr(updated, name, value)
        updated.validate()
        self.__dict__ = updated.__dict__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistilBertConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # a configuration can change

    def __repr__(self) -> str:
        """Only what differs from the defaults."""
        plain = type(self)().to_dict()
        shown = {k: v for k, v in self.to_dict().items() if k not in plain or v != plain[k]}
        named = shown.pop("id2label", None)
        shown.pop("label2id", None)
        if named:
            standard = named == labels(len(named))[0]
            shown |= {"num_labels": len(named)} if standard else {"id2label": named}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


OWN_DEFAULTS: Mapping[str, Any] = dict(
    zip(
        DistilBertConfig.__init__.__code__.co_varnames[1:],
        DistilBertConfig.__init__.__defaults__ or (),
        strict=False,
    )
)


def _canonical(settings: Mapping[str, Any]) -> dict[str, Any]:
    aliases = DistilBertConfig.attribute_map
    return {aliases.get(name, name): value for name, value in settings.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
