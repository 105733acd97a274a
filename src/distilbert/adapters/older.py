"""Spellings of older versions of AdapterHub's library, so that code written for them runs."""

import functools
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, cast

from distilbert.errors import AdapterError

Method = TypeVar("Method", bound=Callable[..., Any])


class AdapterType(str, Enum):
    """The kinds of adapters that version 1 told apart; adapters of both kinds are one here."""

    text_task = "text_task"
    text_lang = "text_lang"

    @classmethod
    def has(cls, value: object) -> bool:
        """Whether this is the name of a kind."""
        return value in [kind.value for kind in cls]


def without_type(method: Method) -> Method:
    """Lets a method whose first argument is a name be called with an `AdapterType` behind it.

    As version 1 did, it takes the text of one too.
    """

    @functools.wraps(method)
    def called(self: Any, name: Any, *rest: Any, **options: Any) -> Any:
        options.pop("adapter_type", None)
        if rest and isinstance(rest[0], str) and AdapterType.has(rest[0]):
            rest = rest[1:]
        return method(self, name, *rest, **options)

    return cast(Method, called)


def load_model(
    model_name_or_path: Any, model_class: Any, interface: Any = None, **kwargs: Any
) -> Any:
    """A stored model with its adapters: `model_class.from_pretrained`, which brings them here.

    Raises AdapterError for an interface, which has no meaning here.
    """
    if interface is not None:
        raise AdapterError(
            f"interface is {interface!r:.100}; allowed: None, no model needs one here"
        )
    return model_class.from_pretrained(model_name_or_path, **kwargs)


def init(model: Any, adapters_config: Any = None, interface: Any = None) -> None:
    """Does nothing: the models of this package take adapters as they are.

    Raises AdapterError for a model of another package, or settings that have no meaning here.
    """
    if not hasattr(model, "own_adapters") and not hasattr(model, "base_model"):
        raise AdapterError(
            f"{type(model).__name__} is no model of this package; load a DistilBERT class of "
            "`distilbert`, which takes adapters as it is"
        )
    if adapters_config is not None or interface is not None:
        raise AdapterError(
            "adapters_config and interface have no meaning for the models of this package; "
            "allowed: None; call add_adapter or load_adapter on the model"
        )
