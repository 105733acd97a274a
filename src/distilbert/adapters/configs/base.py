"""What every configuration of an adapter is: fixed data, a mapping, checked when it is made."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from distilbert.adapters.configs.rules import FixedMap, Rule, freeze, shown, thaw
from distilbert.errors import AdapterError

if TYPE_CHECKING:
    from typing_extensions import Self

_CLASSES: dict[str, type["AdapterConfig"]] = {}  # by the "architecture" of a file


class AdapterConfig(Mapping[str, Any]):
    """Base of the configurations: one class for each method, and one for each known form of it.

    The classes, their settings and the defaults are those of AdapterHub. A configuration cannot
    change; `replace` makes another. It is a mapping from settings to values, whose lists are kept
    as tuples. Two are equal if they are of the same method and all values are equal, so a file
    that holds the values of `SeqBnConfig()` is equal to it.

    Settings of encoder-decoder models (`cross_adapter`, `cross_prefix`, `encoder_prefix`) do
    nothing here; they are kept, so that a file is written as it was read. So are keys of a file
    that no setting has: `config.unknown` holds them, and so does the mapping.

    >>> config = AdapterConfig.load("lora[r=16,alpha=32]")
    >>> config
    LoRAConfig(r=16, alpha=32)
    >>> config.r, config["alpha"], config.replace(r=8)
    (16, 32, LoRAConfig(alpha=32))
    """

    method: ClassVar[str] = ""
    """What is added: bottleneck, prefix_tuning, prompt_tuning, lora, mtl_lora, reft, union,
    or fusion. Presets share the method of the class that they are a form of."""

    architecture: str | None = None  # a file's word for the method; bottlenecks have none

    _rules: ClassVar[Mapping[str, Rule]] = {}
    _ours: ClassVar[frozenset[str]] = frozenset()  # unknown to AdapterHub: written if changed
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise AdapterError(
            f"{type(self).__name__} is only the base of configurations; allowed: the class of a "
            "method, such as BnConfig, SeqBnConfig or LoRAConfig, or AdapterConfig.load"
        )

    def __init_subclass__(cls, method: str = "") -> None:
        super().__init_subclass__()
        if method:
            cls.method = method
            _CLASSES[method] = cls

    def __post_init__(self) -> None:
        for name, rule in self._rules.items():
            value = getattr(self, name)
            if not rule.fits(value):
                self._refuse(name, rule.allowed)
            object.__setattr__(self, name, rule.keep(value))
        if self.get("architecture", self.method) != self.method:
            self._refuse("architecture", repr(self.method))
        self._check()

    def _check(self) -> None:
        """Raises AdapterError if values that are good alone cannot work together."""

    def _refuse(self, name: str, allowed: str) -> NoReturn:
        value = shown(getattr(self, name))
        raise AdapterError(f"{type(self).__name__}: {name} is {value}; allowed: {allowed}")

    # The mapping -----------------------------------------------------------------------------

    @property
    def unknown(self) -> Mapping[str, Any]:
        """Keys of the file or dictionary that was read which are no setting of the method."""
        unknown: Mapping[str, Any] = self.__dict__.get("_unknown", FixedMap())
        return unknown

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    def __getitem__(self, key: str) -> Any:
        if key in self.unknown:
            return self.unknown[key]
        if key in self._names():
            return getattr(self, key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._names(), *self.unknown))

    def __len__(self) -> int:
        return len(self._names()) + len(self.unknown)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_unknown"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no setting {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"a {type(self).__name__} is fixed; use replace({name}=…)")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"a {type(self).__name__} is fixed; use replace")

    def _key(self) -> tuple[Any, ...]:
        return self.method, FixedMap(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AdapterConfig):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: Any) -> "Self":
        return self

    def __repr__(self) -> str:
        """The settings that differ from the defaults of the class."""
        shown = [
            f"{field.name}={thaw(value)!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(shown + self._shown_unknown())})"

    def _shown_unknown(self) -> list[str]:
        return [f"unknown={thaw(self.unknown)!r}"] if self.unknown else []

    # Making others ---------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What AdapterHub writes for this configuration, as data that JSON can hold.

        Settings that AdapterHub lacks are there only if they differ from their default (but
        `subtract_projection` of ReFT always, as its default is not the same for every form).
        """
        defaults = {field.name: field.default for field in fields(self)}
        return {
            name: thaw(value)
            for name, value in self.items()
            if name not in self._ours or value != defaults[name]
        }

    def replace(self, **changes: Any) -> "Self":
        """This configuration with other values. Raises AdapterError for names it does not have."""
        if not changes:
            return self
        require_names(type(self).__name__, changes, self)
        values = {name: getattr(self, name) for name in self._names()}
        unknown = {name: v for name, v in changes.items() if name not in values}
        values |= {name: v for name, v in changes.items() if name in values}
        return type(self)(**values)._with_unknown({**self.unknown, **unknown})

    def _with_unknown(self, unknown: Mapping[str, Any]) -> "Self":
        if unknown:  # of an object that nobody else has seen
            object.__setattr__(self, "_unknown", freeze(unknown))
        return self

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "Self":
        """The configuration that a dictionary of `to_dict` or of AdapterHub describes.

        Called on `AdapterConfig`, the class follows from "architecture": a bottleneck where there
        is none. Called on another class, that class gives what the dictionary leaves out. Other
        keys are kept as `unknown`; version 1's names are translated.

        Raises AdapterError if it is of another method, lacks a setting without a default, or holds
        a value that cannot work.
        """
        if isinstance(config, cls):
            return config
        if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
            raise AdapterError(
                f"{shown(config)} is a {type(config).__name__}; allowed: a dictionary of settings"
            )
        kind = cls._for(config.get("architecture"))
        return kind._read({k: v for k, v in config.items() if k != "architecture"})

    @classmethod
    def _for(cls, architecture: Any) -> "type[Self]":
        if architecture is None and cls is not AdapterConfig:
            return cls
        method = "bottleneck" if architecture is None else architecture
        kind = _CLASSES.get(method) if isinstance(method, str) else None
        if kind is not None and issubclass(kind, cls):
            return kind
        if kind is not None and issubclass(cls, kind):
            return cls
        known = [name for name, found in _CLASSES.items() if issubclass(found, cls)]
        raise AdapterError(
            f"architecture is {shown(architecture)}; allowed for a {cls.__name__}: "
            f"{', '.join(map(repr, known or [cls.method]))}"
        )

    @classmethod
    def _read(cls, data: dict[str, Any]) -> "Self":
        values = {name: data.pop(name) for name in cls._names() if name in data}
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]
        if missing:
            raise AdapterError(
                f"a {cls.method} configuration lacks {', '.join(missing)}; give them, or the "
                '"architecture" of another method'
            )
        return cls(**values)._with_unknown(data)

    @classmethod
    def load(
        cls, config: "str | os.PathLike[str] | Mapping[str, Any] | None", **overrides: Any
    ) -> "AdapterConfig":
        """As `resolve`, but an override of None changes nothing, as in AdapterHub."""
        from distilbert.adapters.configs.names import resolve

        given = {name: value for name, value in overrides.items() if value is not None}
        return resolve(config, **given)

    # Where it hangs --------------------------------------------------------------------------

    def _places(self) -> frozenset[str]:
        """What the adapter takes in each of its layers: a place holds one thing of a name."""
        return frozenset()

    def _once(self) -> frozenset[str]:
        """What it takes once in the whole model."""
        return frozenset()

    def _listed(self) -> frozenset[int] | None:
        """The layers it hangs in, or None for all but `leave_out`."""
        return None


def require_names(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises AdapterError for a name that is none of those known, naming the nearest."""
    known = list(known)
    for name in given:
        if name not in known:
            raise AdapterError(
                f"{owner} has no setting {shown(name)}; allowed: {', '.join(known)}"
                f"{nearest(name, known)}"
            )


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a message: the word most like another, if one is like it."""
    found = get_close_matches(word.lower(), list(words), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
