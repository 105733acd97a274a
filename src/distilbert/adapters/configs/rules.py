"""What a setting of an adapter may hold, and the form in which it is kept."""

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distilbert.errors import AdapterError
from distilbert.settings import ACTIVATIONS, DTYPES, dtype_name

NON_LINEARITIES = (*ACTIVATIONS, "leakyrelu")
"""Names of activation functions. "leakyrelu" is AdapterHub's word for "leaky_relu"."""


_DEEPEST = 50
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 100


def shown(value: Any) -> str:
    """A value in a message: cut where it is long or deep, so that any can be shown."""
    return _SHOWN.repr(value)


class FixedMap(Mapping[str, Any]):
    """A dictionary that cannot change, so that it can be hashed; equal to one of the same items."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> Any:
        return FixedMap, (self._items,)


def freeze(value: Any, depth: int = 0) -> Any:
    """Plain data in a form that cannot change: lists as tuples, dictionaries as `FixedMap`.

    Raises AdapterError for what no JSON file can hold, and for what is nested absurdly.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth < _DEEPEST and isinstance(value, (list, tuple)):
        return tuple(freeze(item, depth + 1) for item in value)
    if depth < _DEEPEST and isinstance(value, Mapping) and all(map(_is_text, value)):
        return FixedMap({key: freeze(item, depth + 1) for key, item in value.items()})
    raise AdapterError(
        f"a configuration holds a {type(value).__name__}; allowed: numbers, text, true, false, "
        f"None, and lists and maps of them, at most {_DEEPEST} deep"
    )


def thaw(value: Any) -> Any:
    """What `freeze` was given, as JSON writes it: tuples as lists, maps as dictionaries."""
    if isinstance(value, tuple):
        return [thaw(item) for item in value]
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Rule:
    """What is allowed, in words and as a test that never raises; and how a good value is kept."""

    allowed: str
    fits: Callable[[Any], bool]
    keep: Callable[[Any], Any] = _same


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def whole(least: int) -> Rule:
    """A whole number of at least `least`."""
    return Rule(
        f"a whole number of at least {least}", lambda value: _is_whole(value) and value >= least
    )


def one_of(*words: str) -> Rule:
    """One of these words."""
    return Rule(
        ", ".join(map(repr, words)), lambda value: isinstance(value, str) and value in words
    )


def either(first: Any, rule: Rule) -> Rule:
    """One value that stands for itself, such as None, or what the rule allows."""

    def is_first(value: Any) -> bool:
        return type(value) is type(first) and bool(value == first)

    return Rule(
        f"{first!r}, or {rule.allowed}",
        lambda value: is_first(value) or rule.fits(value),
        lambda value: value if is_first(value) else rule.keep(value),
    )


def each(key: str, fits_key: Callable[[str], bool], rule: Rule, least: int = 0) -> Rule:
    """A map whose keys are `key` in words, and whose values follow the rule."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and len(value) >= least
            and all(_is_text(name) or _is_whole(name) for name in value)
            and all(fits_key(str(name)) for name in value)
            and len({str(name) for name in value}) == len(value)
            and all(rule.fits(item) for item in value.values())
        )

    return Rule(
        f"a map from {key} to {rule.allowed}",
        fits,
        lambda value: FixedMap({str(name): rule.keep(item) for name, item in value.items()}),
    )


def several(what: str, fits_item: Callable[[Any], bool], least: int = 0) -> Rule:
    """A list of at least `least` items, described by `what`."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple, range, set, frozenset))
            and len(value) >= least
            and all(fits_item(item) for item in value)
        )

    def keep(value: Any) -> Any:
        return tuple(sorted(value) if isinstance(value, (set, frozenset)) else value)

    return Rule(f"a list of {what}", fits, keep)


def _is_layer(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_layer_name(value: str) -> bool:
    is_number = value.isascii() and value.isdigit() and (value == "0" or value[0] != "0")
    return value == "default" or is_number


FLAG = Rule("true or false", lambda value: isinstance(value, bool))
POSITIVE = Rule("a number above 0", lambda value: _is_number(value) and value > 0)
NUMBER = Rule("a number", _is_number, float)  # AdapterHub refuses a whole number where it scales
RATE = Rule("a number from 0 up to, but not, 1", lambda value: _is_number(value) and 0 <= value < 1)
SPREAD = Rule("a number of at least 0", lambda value: _is_number(value) and value >= 0)
TEXT = Rule("text", _is_text)
SEED = either(
    None,
    Rule("a whole number of 64 bits", lambda value: _is_whole(value) and -(2**63) <= value < 2**64),
)
DTYPE = Rule(
    f"None, {', '.join(DTYPES)}",
    lambda value: value is None or dtype_name(value) in DTYPES,
    dtype_name,
)
ACTIVATION = Rule(
    ", ".join(NON_LINEARITIES),
    lambda value: _is_text(value) and value.lower() in NON_LINEARITIES,
    str.lower,
)
LAYERS = several("numbers of layers, counted from 0", _is_layer)
SOME_LAYERS = several("at least one number of a layer, counted from 0", _is_layer, least=1)
_FACTORS = each("layers ('0', '1', …) and 'default'", _is_layer_name, POSITIVE, least=1)
FACTOR = Rule(
    f"{POSITIVE.allowed}, or {_FACTORS.allowed}",
    lambda value: POSITIVE.fits(value) or _FACTORS.fits(value),
    lambda value: _FACTORS.keep(value) if isinstance(value, Mapping) else value,
)
