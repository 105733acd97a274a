"""Adding heads to a model: one method for each type, and types of one's own."""

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from distilbert.adapters.composition import Composition
from distilbert.adapters.naming import check_name
from distilbert.config import DistilBertConfig
from distilbert.errors import AdapterError
from distilbert.model.encoder import DistilBertModel
from distilbert.model.flexible import HEAD_TYPES
from distilbert.model.prediction import PredictionHead, label_names
from distilbert.model.pretrained import DistilBertPreTrainedModel

Active = str | list[str] | Composition | None
Names = Mapping[int, str] | None


class AddedHeads(DistilBertPreTrainedModel):
    """An encoder and its heads, `heads[name]`. Files hold their options in `prediction_heads`.

    The model has a configuration of its own, a copy of the one that it is built of, since its heads
    are part of it.
    """

    head_types: ClassVar[list[str]] = [*HEAD_TYPES]
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
        if not (isinstance(kind, str) and kind in HEAD_TYPES):
            return self._built_custom(kind, head_name, options)
        try:
            return HEAD_TYPES[kind](self, head_name, **options)
        except TypeError as error:  # names that are no options but arguments, or no text
            raise _no_options(head_name, kind, options, error) from error

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
        try:
            head: PredictionHead = kind(self, head_name, **options)
        except TypeError as error:
            raise _no_options(head_name, head_type, options, error) from error
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
        self._list_heads()
        self.tie_weights()
        if set_active or self._active_head == head.name:
            self._activate(head.name)

    def _list_heads(self) -> None:
        self.config.prediction_heads = {name: head.config for name, head in self.heads.items()}

    def _add(self, kind: str, name: str, overwrite_ok: bool, **options: Any) -> None:
        count = options.get("num_labels", options.get("num_choices"))
        names = options.get("id2label")
        if names is not None:
            options["id2label"] = label_names(names, count, name)
        self.add_prediction_head_from_config(name, {"head_type": kind, **options}, overwrite_ok)

    def _check_new(self, name: str, overwrite_ok: bool) -> None:
        check_name(name, "a head")
        if name in self.heads and not overwrite_ok:
            raise AdapterError(
                f"there is a head {name!r} already; take another name, delete_head it, or pass "
                "overwrite_ok=True"
            )

    @abstractmethod
    def _activate(self, head: Active) -> None:
        """Lets a pass use this head where it names none."""


def _no_options(name: str, kind: str, options: Any, error: TypeError) -> AdapterError:
    given = sorted(map(str, options))
    return AdapterError(
        f"head {name!r} of type {kind!r} cannot be made of the options {given}: {error}"
    )
