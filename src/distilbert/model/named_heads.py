"""Heads by name: adding, choosing and deleting them, and what they are called in files."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import nn

from distilbert.adapters.composition import Composition
from distilbert.adapters.registry import check_name
from distilbert.adapters.store import StoredHead
from distilbert.config import DistilBertConfig
from distilbert.errors import AdapterError, ConfigError, InputError
from distilbert.model.encoder import DistilBertModel
from distilbert.model.flexible import HEAD_TYPES, LanguageModelHead
from distilbert.model.head_files import checked_named, stored_named
from distilbert.model.prediction import PredictionHead
from distilbert.model.pretrained import DistilBertPreTrainedModel
from distilbert.model.routing import check_choice, check_head, head_of
from distilbert.settings import labels

Active = str | list[str] | Composition | None
Names = Mapping[int, str] | None


class NamedHeads(DistilBertPreTrainedModel):
    """An encoder and its heads, `heads[name]`. Files hold their options in `prediction_heads`.

    The model has a configuration of its own, a copy of the one that it is built of, since its heads
    are part of it.
    """

    custom_heads: ClassVar[Mapping[str, type[PredictionHead]]] = {}

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(copy.deepcopy(config))
        self.distilbert = DistilBertModel(self.config)
        self.heads = nn.ModuleDict()
        self._active_head: Active = None
        self._heads_of_adapters = True  # whether rows take the heads of the active adapters
        options = getattr(self.config, "prediction_heads", None) or {}
        self.config.prediction_heads = {}
        if not isinstance(options, Mapping):
            raise AdapterError(
                f"prediction_heads of the configuration is {options!r:.100}; allowed: a dictionary "
                "from names to the options of a head"
            )
        for name, each in options.items():
            self.add_prediction_head_from_config(name, each)

    # Adding ----------------------------------------------------------------------------------

    def add_classification_head(
        self,
        head_name: str,
        num_labels: int = 2,
        layers: int = 2,
        activation_function: str | None = "tanh",
        overwrite_ok: bool = False,
        multilabel: bool = False,
        id2label: Names = None,
        use_pooler: bool = False,
    ) -> None:
        """Adds a head for whole texts, and makes it the active one.

        Args:
            head_name: A new name, or with `overwrite_ok` one whose head it replaces.
            num_labels: How many classes; 1 for a number (regression).
            layers: How many linear layers; those before the last are as wide as the model.
            activation_function: Between them; one of the model's `ACTIVATIONS`, or None.
            overwrite_ok: Replace a head of this name.
            multilabel: Several labels at once, a share for each, instead of one class.
            id2label: A name for each number of a label; left out, LABEL_0, LABEL_1, ….
            use_pooler: False: a DistilBERT has no pooler.

        Raises AdapterError, and changes nothing, for a name or an option that cannot work.
        """
        self._add(
            "multilabel_classification" if multilabel else "classification",
            head_name,
            overwrite_ok,
            num_labels=num_labels,
            layers=layers,
            activation_function=activation_function,
            id2label=id2label,
            use_pooler=use_pooler,
        )

    def add_multiple_choice_head(
        self,
        head_name: str,
        num_choices: int = 2,
        layers: int = 2,
        activation_function: str | None = "tanh",
        overwrite_ok: bool = False,
        id2label: Names = None,
        use_pooler: bool = False,
    ) -> None:
        """Adds a head that chooses among texts; see `add_classification_head`.

        num_choices: How many texts compete, where a batch does not say so by an axis of its own.
        """
        self._add(
            "multiple_choice",
            head_name,
            overwrite_ok,
            num_choices=num_choices,
            layers=layers,
            activation_function=activation_function,
            id2label=id2label,
            use_pooler=use_pooler,
        )

    def add_tagging_head(
        self,
        head_name: str,
        num_labels: int = 2,
        layers: int = 1,
        activation_function: str | None = "tanh",
        overwrite_ok: bool = False,
        id2label: Names = None,
    ) -> None:
        """Adds a head that labels every token; see `add_classification_head`."""
        self._add(
            "tagging",
            head_name,
            overwrite_ok,
            num_labels=num_labels,
            layers=layers,
            activation_function=activation_function,
            id2label=id2label,
        )

    def add_qa_head(
        self,
        head_name: str,
        num_labels: int = 2,
        layers: int = 1,
        activation_function: str | None = "tanh",
        overwrite_ok: bool = False,
        id2label: Names = None,
    ) -> None:
        """Adds a head that finds answers in a context; see `add_classification_head`."""
        self._add(
            "question_answering",
            head_name,
            overwrite_ok,
            num_labels=num_labels,
            layers=layers,
            activation_function=activation_function,
            id2label=id2label,
        )

    def add_dependency_parsing_head(
        self,
        head_name: str,
        num_labels: int = 2,
        overwrite_ok: bool = False,
        id2label: Names = None,
    ) -> None:
        """Adds a biaffine head that parses sentences; see `add_classification_head`.

        num_labels: How many kinds of relation between words there are.
        """
        self._add(
            "dependency_parsing",
            head_name,
            overwrite_ok,
            num_labels=num_labels,
            id2label=id2label,
        )

    def add_masked_lm_head(
        self,
        head_name: str,
        activation_function: str | None = "gelu",
        layers: int = 2,
        overwrite_ok: bool = False,
    ) -> None:
        """Adds a head that finds the words behind masks; see `add_classification_head`."""
        self._add(
            "masked_lm",
            head_name,
            overwrite_ok,
            activation_function=activation_function,
            layers=layers,
        )

    def add_causal_lm_head(
        self,
        head_name: str,
        activation_function: str | None = "gelu",
        layers: int = 2,
        overwrite_ok: bool = False,
    ) -> None:
        """Adds a head for the word behind each word; see `add_classification_head`."""
        self._add(
            "causal_lm",
            head_name,
            overwrite_ok,
            activation_function=activation_function,
            layers=layers,
            layer_norm=True,
            bias=True,
        )

    def add_prediction_head_from_config(
        self,
        head_name: str,
        config: Mapping[str, Any],
        overwrite_ok: bool = False,
        set_active: bool = True,
    ) -> None:
        """Adds a head of the options that files hold: `head_type`, and those of this type."""
        self._check_new(head_name, overwrite_ok)
        self.add_prediction_head(self.built_head(head_name, config), overwrite_ok, set_active)

    def built_head(self, head_name: str, config: Mapping[str, Any]) -> PredictionHead:
        """A head of these options that is not added yet. Raises AdapterError for what is none."""
        if not isinstance(config, Mapping):
            raise AdapterError(
                f"the options of head {head_name!r} are {config!r:.100}; allowed: a dictionary"
            )
        options = copy.deepcopy(dict(config))
        kind = options.pop("head_type", None)
        if isinstance(kind, str) and kind in HEAD_TYPES:
            return HEAD_TYPES[kind](self, head_name, **options)
        return self._built_custom(kind, head_name, options)

    @classmethod
    def register_custom_head(cls, identifier: str, head: type[PredictionHead]) -> None:
        """Makes a class of one's own a type of head, for this class and those below it.

        identifier: What files call the type. Register it before loading a model that has it.
        head: A subclass of `PredictionHead`, which says what it needs.
        """
        if not isinstance(identifier, str) or not identifier or identifier in HEAD_TYPES:
            raise AdapterError(
                f"{identifier!r} cannot be a new type of head; allowed: text other than "
                f"{', '.join(HEAD_TYPES)}"
            )
        if not (isinstance(head, type) and issubclass(head, PredictionHead)):
            raise AdapterError(
                f"{head!r:.100} cannot be a type of head; allowed: a subclass of PredictionHead"
            )
        if not hasattr(head, "task") and head.forward is nn.Sequential.forward:
            raise AdapterError(
                f"{head.__name__} has neither a `task` nor a `forward` of its own; give it one"
            )
        cls.custom_heads = {**cls.custom_heads, identifier: head}

    def add_custom_head(
        self,
        head_type: str,
        head_name: str,
        overwrite_ok: bool = False,
        set_active: bool = True,
        **kwargs: Any,
    ) -> None:
        """Adds a head of a registered type; `kwargs` are its options."""
        self._check_new(head_name, overwrite_ok)
        head = self._built_custom(head_type, head_name, kwargs)
        self.add_prediction_head(head, overwrite_ok, set_active)

    def _built_custom(
        self, head_type: Any, head_name: str, options: Mapping[str, Any]
    ) -> PredictionHead:
        if not (isinstance(head_type, str) and head_type in self.custom_heads):
            raise AdapterError(
                f"head {head_name!r} is of type {head_type!r:.100}; allowed: "
                f"{', '.join([*HEAD_TYPES, *self.custom_heads])}; a type of one's own must be "
                f"registered first: {type(self).__name__}.register_custom_head({head_type!r:.100}, "
                "YourHead)"
            )
        kind: Any = self.custom_heads[head_type]
        head: PredictionHead = kind(self, head_name, **options)
        if getattr(head, "name", None) != head_name:
            raise AdapterError(
                f"the new head of type {head_type!r} is called {getattr(head, 'name', None)!r}, "
                f"not {head_name!r}; its class must call super().__init__(head_name)"
            )
        head.config["head_type"] = head_type
        return head

    def add_prediction_head(
        self, head: PredictionHead, overwrite_ok: bool = False, set_active: bool = True
    ) -> None:
        """Adds a head that was built for this model."""
        if not isinstance(head, PredictionHead):
            raise AdapterError(f"{head!r:.100} is no head; allowed: a PredictionHead")
        self._check_new(head.name, overwrite_ok)
        self.heads[head.name] = head.to(self.device, self.dtype).train(self.training)
        self.config.prediction_heads[head.name] = head.config
        self.tie_weights()
        if set_active or self.active_head == head.name:
            self._activate(head.name)

    def _add(self, kind: str, name: str, overwrite_ok: bool, **options: Any) -> None:
        count = options.get("num_labels", options.get("num_choices"))
        names = options.get("id2label")
        if names is not None:
            try:
                options["id2label"] = labels(None, names, None)[0]
            except ConfigError as error:
                raise AdapterError(f"head {name!r}: {error}") from None
            if len(names) != count or len(set(names.values())) != count:
                raise AdapterError(
                    f"id2label of head {name!r} names {len(set(names.values()))} labels, and it "
                    f"has {count}; give as many names, all different"
                )
        self.add_prediction_head_from_config(name, {"head_type": kind, **options}, overwrite_ok)

    def _check_new(self, name: str, overwrite_ok: bool) -> None:
        check_name(name, "a head")
        if name in self.heads and not overwrite_ok:
            raise AdapterError(
                f"there is a head {name!r} already; take another name, delete_head it, or pass "
                "overwrite_ok=True"
            )

    # Choosing --------------------------------------------------------------------------------

    def delete_head(self, head_name: str) -> None:
        """Takes a head off. Raises AdapterError where there is none of this name."""
        check_head(head_name, [*self.heads])
        del self.heads[head_name]
        del self.config.prediction_heads[head_name]
        active = self._active_head
        if head_name == active or (active is not None and head_name in active):
            self._active_head = None

    @property
    def active_head(self) -> Active:
        """Which heads a pass uses that names none: a name, several, or None.

        It takes what `head=` of the forward pass takes, and makes the labels of the configuration
        those of the head. `set_active_adapters` sets it to the head of the last adapter, if there
        is one; set afterwards, it holds whatever the active adapters are called.
        """
        return self._active_head

    @active_head.setter
    def active_head(self, head: Active) -> None:
        self._activate(head)
        self._heads_of_adapters = False

    def set_active_adapters(
        self, adapter_setup: Any, skip_layers: Iterable[int] | None = None
    ) -> None:
        """As in every class; rows then take the heads that are called as their adapters, if any."""
        super().set_active_adapters(adapter_setup, skip_layers)
        self._heads_of_adapters = True
        name = head_of(self.active_adapters)
        if name is not None and name in self.heads:
            self._activate(name)

    def _activate(self, head: Active) -> None:
        if not head:
            self._active_head = None
            return
        check_choice(head, [*self.heads])
        if isinstance(head, (list, tuple)):
            head = head[0] if len(head) == 1 else list(head)
        self._active_head = head
        if not isinstance(head, str):
            return
        names, count = self.get_labels_dict(head), self.named_head(head).num_labels
        if names is not None and list(names) == list(range(count)):
            self.config.update({"id2label": names})

    def named_head(self, name: str) -> PredictionHead:
        """The head of this name. Raises AdapterError where there is none."""
        check_head(name, [*self.heads])
        return self.heads[name]  # type: ignore[return-value]

    def get_labels_dict(self, head_name: str | None = None) -> dict[int, str] | None:
        """The names of a head's labels by number; None for a head whose labels have no names.

        head_name: Left out, that of the active head. Raises AdapterError where there is no one.
        """
        name = self.active_head if head_name is None else head_name
        if head_name is None and not isinstance(name, str):
            raise AdapterError(
                f"active_head is {name!r}; name one head whose labels you want: "
                f"{sorted(self.heads)}"
            )
        return self.named_head(name).id2label  # type: ignore[arg-type]

    def get_labels(self, head_name: str | None = None) -> list[str] | None:
        """The names of a head's labels in the order of their numbers; see `get_labels_dict`."""
        names = self.get_labels_dict(head_name)
        return None if names is None else list(names.values())

    # Files -----------------------------------------------------------------------------------

    def _head_names(self) -> list[str]:
        return [*self.heads]

    def _stored_head(self, name: Any) -> StoredHead | None:
        if name is None and isinstance(self.active_head, str):
            name = self.active_head
        return stored_named(self, name) if name in self.heads else None

    def _checked_head(
        self, stored: StoredHead | None, name: str | None, id2label: Mapping[int, str] | None
    ) -> Any:
        if stored is None:
            return None
        label = name or stored.name or "default"
        check_name(label, "a head")
        return checked_named(self, stored, label, id2label)

    # Vocabulary ------------------------------------------------------------------------------

    def _language_models(self) -> dict[str, LanguageModelHead]:
        return {n: head for n, head in self.heads.items() if isinstance(head, LanguageModelHead)}

    def get_output_embeddings(self) -> nn.Linear | None:
        """The projection to the vocabulary of the active head, where it has one."""
        active = self.active_head
        return self.named_head(active).get_output_embeddings() if isinstance(active, str) else None

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replaces that of the active head. Raises InputError if it has none."""
        head = self.heads[self.active_head] if isinstance(self.active_head, str) else None
        if not isinstance(head, LanguageModelHead):
            raise InputError(
                f"the active head, {self.active_head!r}, has no projection to the vocabulary; "
                "set active_head to one for language modelling"
            )
        head.set_output_embeddings(value)

    def tied_keys(self) -> set[str]:
        if not self.config.tie_word_embeddings:
            return set()
        heads = self._language_models()
        return {f"heads.{name}.{head.decoder_key}" for name, head in heads.items()}

    def tie_weights(self) -> None:
        if self.config.tie_word_embeddings:
            table = self.get_input_embeddings().weight
            for head in self._language_models().values():
                head.tie(table)

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """As in every class; the projections of all heads follow."""
        words = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        for head in self._language_models().values():
            head.config["vocab_size"] = head.decoder.out_features
        return words
