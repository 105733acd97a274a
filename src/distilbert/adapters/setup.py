"""`AdapterSetup`: adapters for all calls inside a `with`, in this thread alone."""

from contextvars import ContextVar
from threading import Lock
from typing import Any

import torch

from distilbert.adapters.composition import parse
from distilbert.errors import AdapterError

# Those that are entered here and now, the innermost last; None for one that changes nothing.
_ENTERED: ContextVar["tuple[AdapterSetup | None, ...]"] = ContextVar("adapter_setups", default=())
_entered = 0  # how many setups are entered now, in any thread: what a compiler can see of them
_counting = Lock()


class AdapterSetup:
    """Adapters, and heads, of all forward passes inside a `with` that name no adapters themselves.

    Other threads and tasks do not see it. Setups may stand inside each other; the innermost holds.
    Heads that a pass names come before those of the setup. A compiled model refuses to run without
    `adapter_names` while any thread is inside a setup: compilers cannot see which one it is.

    Args:
        adapter_setup: What `adapter_names` of a forward pass takes; [] for no adapter.
        head_setup: What `head` of a forward pass takes, for models with heads.
        ignore_empty: Let a setup of neither adapters nor heads change nothing; without it, such a
            setup is one of no adapter.

    >>> import torch
    >>> from distilbert import DistilBertConfig, DistilBertModel
    >>> config = DistilBertConfig(vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4)
    >>> model = DistilBertModel(config).eval()
    >>> model.add_adapter("a")
    >>> with AdapterSetup("a"):
    ...     outputs = model(torch.tensor([[2, 15, 3]]))
    """

    def __init__(
        self, adapter_setup: Any, head_setup: Any = None, ignore_empty: bool = False
    ) -> None:
        self.adapter_setup = parse(adapter_setup)
        self.head_setup = head_setup
        self.ignore_empty = ignore_empty

    def __enter__(self) -> "AdapterSetup":
        empty = self.ignore_empty and self.adapter_setup is None and self.head_setup is None
        _ENTERED.set((*_ENTERED.get(), None if empty else self))
        _count(1)
        return self

    def __exit__(self, *error: object) -> None:
        _count(-1)
        _ENTERED.set(_ENTERED.get()[:-1])

    @classmethod
    def get_context(cls) -> "AdapterSetup | None":
        """The setup that holds here and now."""
        return next((setup for setup in reversed(_ENTERED.get()) if setup is not None), None)

    @classmethod
    def get_context_adapter_setup(cls) -> Any:
        """The composition that holds here and now, or None."""
        found = cls.get_context()
        return None if found is None else found.adapter_setup

    @classmethod
    def get_context_head_setup(cls) -> Any:
        """The heads that hold here and now, or None."""
        found = cls.get_context()
        return None if found is None else found.head_setup


def current_setup() -> AdapterSetup | None:
    """The setup that holds here and now. Raises AdapterError where a compiler cannot know it."""
    if not torch.compiler.is_compiling():
        return AdapterSetup.get_context()
    if _entered:
        raise AdapterError(
            "a compiled model cannot see AdapterSetup; pass adapter_names= to the call, also in "
            "other threads, or call set_active_adapters before it and leave the setup"
        )
    return None


def _count(change: int) -> None:
    global _entered  # noqa: PLW0603
    with _counting:
        _entered += change
