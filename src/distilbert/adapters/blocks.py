"""How adapters are combined: frozen trees, written as they are called.

The names and meanings are those of AdapterHub; `PerRow` is ours. Users import them from
`distilbert.adapters.composition`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from distilbert.errors import AdapterError

Child = "str | Composition | None"


class Composition(Sequence[Any]):
    """Base of the compositions: immutable, comparable, usable as a key, with children in order."""

    children: tuple[Any, ...]
    _options: ClassVar[tuple[str, ...]] = ()  # attributes beside the children

    def __init__(self, *children: Any) -> None:
        self._set("children", tuple(_child(type(self), child) for child in children))
        if not children:
            raise AdapterError(
                f"{type(self).__name__} has no children; give it at least one adapter's name"
            )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} is immutable; make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is immutable; make a new one")

    def __getitem__(self, index: Any) -> Any:
        return self.children[index]

    def __len__(self) -> int:
        return len(self.children)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.children)

    def _key(self) -> tuple[Any, ...]:
        return (type(self), self.children, *(getattr(self, name) for name in self._options))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Composition) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        parts = [repr(child) for child in self.children]
        parts += [f"{name.strip('_')}={getattr(self, name)!r}" for name in self._options]
        return f"{type(self).__name__}({', '.join(parts)})"

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.children, self._arguments())

    def __copy__(self) -> "Composition":
        return self

    def __deepcopy__(self, memo: Any) -> "Composition":
        return self

    def _arguments(self) -> dict[str, Any]:
        """The keywords that, with the children, make the same composition again."""
        return {}

    def first(self) -> str:
        """The name of the first adapter."""
        child = self.children[0]
        return child.first() if isinstance(child, Composition) else child

    def last(self) -> str:
        """The name of the last adapter."""
        child = self.children[-1]
        return child.last() if isinstance(child, Composition) else child

    def flatten(self) -> set[str]:
        """The names of all adapters."""
        return set(names(self))

    @property
    def parallel_channels(self) -> int:
        """How many copies of each row a `Parallel` inside makes; 1 where there is none."""
        return copies(self)

    def to_dict(self) -> dict[str, Any]:
        """As AdapterHub's files hold it."""
        children = [
            child.to_dict()
            if isinstance(child, Composition)
            else {"type": "single", "children": [child]}
            for child in self.children
        ]
        data: dict[str, Any] = {"type": type(self).__name__, "children": children}
        arguments = self._arguments()
        if arguments:
            data["kwargs"] = {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in arguments.items()
            }
        return data

    @staticmethod
    def from_dict(data: Any) -> "Composition":
        """The composition that `to_dict` wrote. Raises AdapterError for anything else."""
        try:
            kind = COMPOSITIONS[data["type"]]
            children = [
                child["children"][0] if child["type"] == "single" else Composition.from_dict(child)
                for child in data["children"]
            ]
            arguments = data.get("kwargs", {})
            if kind is Average:  # weights in a file are what they are
                arguments = {"normalize_weights": False, **arguments}
            return kind(*children, **arguments)
        except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise AdapterError(
                f"{data!r:.200} is no composition: {error!r}; allowed: what to_dict() of one of "
                f"{sorted(COMPOSITIONS)} gives"
            ) from None


class Stack(Composition):
    """One adapter after the other, in every layer."""


class Fuse(Composition):
    """AdapterFusion: attention over what several adapters say. Needs `add_adapter_fusion` first.

    name: of the fusion; left out, the adapters' names with commas between.
    """

    _options = ("name",)
    name: str

    def __init__(self, *children: Any, name: str | None = None) -> None:
        super().__init__(*children)
        if name is not None and not isinstance(name, str):
            raise AdapterError(f"name of Fuse is {name!r:.100}; allowed: a text, or None")
        self._set("_named", name is not None)
        lasts = [c.last() if isinstance(c, Composition) else c for c in self.children]
        self._set("name", ",".join(lasts) if name is None else name)

    def _arguments(self) -> dict[str, Any]:
        return {"name": self.name} if self._named else {}  # type: ignore[attr-defined]


class Split(Composition):
    """Each adapter gets some columns of every row; the last gets all that are left.

    splits: how many columns each gets, in order, or one number for all.
    """

    _options = ("splits",)
    splits: tuple[int, ...]

    def __init__(self, *children: Any, splits: int | Sequence[int]) -> None:
        super().__init__(*children)
        self._set("splits", _counts("splits", splits, len(children), smallest=1))

    def _arguments(self) -> dict[str, Any]:
        return {"splits": self.splits}


class BatchSplit(Composition):
    """Each adapter gets some neighbouring rows of the batch.

    batch_sizes: how many rows each gets, in order, or one number for all.
    """

    _options = ("batch_sizes",)
    batch_sizes: tuple[int, ...]

    def __init__(self, *children: Any, batch_sizes: int | Sequence[int]) -> None:
        super().__init__(*children)
        self._set("batch_sizes", _counts("batch_sizes", batch_sizes, len(children), smallest=0))

    def _arguments(self) -> dict[str, Any]:
        return {"batch_sizes": self.batch_sizes}


class Parallel(Composition):
    """Each adapter gets a copy of the whole batch; outputs have the copies one after the other."""


class Average(Composition):
    """The weighted mean of what several adapters say.

    weights: one for each adapter; left out, all alike.
    normalize_weights: scale the weights so that their sum is 1.
    """

    _options = ("weights",)
    weights: tuple[float, ...]

    def __init__(
        self,
        *children: Any,
        weights: Sequence[float] | None = None,
        normalize_weights: bool = True,
    ) -> None:
        super().__init__(*children)
        given = [1.0] * len(children) if weights is None else _numbers(weights)
        if len(given) != len(children):
            raise AdapterError(
                f"Average has {len(given)} weights for {len(children)} adapters; give one for each"
            )
        total = sum(given) if normalize_weights or weights is None else 1.0
        if total == 0:
            raise AdapterError(
                f"the weights {given} of Average sum to 0 and cannot be normalised; pass "
                "normalize_weights=False to use them as they are"
            )
        self._set("weights", tuple(w / total for w in given))

    def _arguments(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def __reduce__(self) -> Any:
        arguments = {"weights": self.weights, "normalize_weights": False}
        return _rebuild, (type(self), self.children, arguments)


class MultiTask(Composition):
    """Each row takes the adapter of its task: `forward(…, task_ids=…)`, numbers or names."""


class PerRow(Composition):
    """Each row of the batch its own: a name, a composition of names, or None for no adapter.

    Inside a `Stack`, which goes two levels deep, only names and stacks of them.

    >>> PerRow(["sentiment", None, "sentiment"])
    PerRow(['sentiment', None, 'sentiment'])
    """

    def __init__(self, rows: Sequence[Any], *more: Any) -> None:
        if isinstance(rows, (str, Composition)) or not isinstance(rows, Sequence) or more:
            raise AdapterError("PerRow takes one list with an entry for each row: PerRow([…])")
        super().__init__(*rows)

    def __repr__(self) -> str:
        return f"PerRow({list(self.children)!r})"

    def __reduce__(self) -> Any:
        return PerRow, (self.children,)

    def first(self) -> str:
        """The name of the first adapter that a row has."""
        return self._names()[0]

    def last(self) -> str:
        """The last of the names of adapters, each counted where it stands first."""
        return self._names()[-1]

    def _names(self) -> list[str]:
        found = names(self)
        if not found:
            raise AdapterError(f"no row of {self!r:.100} has an adapter")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Raises AdapterError: rows of one batch are no part of files."""
        raise AdapterError("PerRow belongs to one batch and cannot be saved; save the adapters")


COMPOSITIONS: dict[str, type[Composition]] = {
    kind.__name__: kind for kind in (Stack, Fuse, Split, BatchSplit, Parallel, Average, MultiTask)
}


def names(setup: Any) -> list[str]:
    """The names of all adapters of a composition, in order, each once."""
    if setup is None:
        return []
    if isinstance(setup, str):
        return [setup]
    return list(dict.fromkeys(name for child in setup.children for name in names(child)))


def copies(setup: Any) -> int:
    """How many copies of each row a composition makes."""
    if isinstance(setup, Parallel):
        return len(setup.children)
    if isinstance(setup, Composition):
        return max(copies(child) for child in setup.children)
    return 1


def _child(kind: type, child: Any) -> Any:
    if isinstance(child, (list, tuple)):
        return Stack(*child)
    if isinstance(child, (str, Composition)) or (child is None and kind is PerRow):
        return child
    raise AdapterError(
        f"{kind.__name__} holds {child!r:.100}, a {type(child).__name__}; allowed: adapters' names "
        "and compositions" + (", or None for no adapter" if kind is PerRow else "")
    )


def _numbers(weights: Any) -> list[float]:
    try:
        found = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        found = [math.nan]
    if not all(math.isfinite(weight) for weight in found):
        raise AdapterError(
            f"weights of Average are {weights!r:.100}; allowed: a finite number for each adapter"
        )
    return found


def _counts(name: str, given: Any, children: int, smallest: int) -> tuple[int, ...]:
    several = isinstance(given, Sequence) and not isinstance(given, str)
    counts = list(given) if several else [given] * children
    good = all(isinstance(n, int) and not isinstance(n, bool) and n >= smallest for n in counts)
    if not good or len(counts) != children:
        raise AdapterError(
            f"{name} is {given!r}; allowed: {children} whole numbers of at least {smallest}, one "
            "for each adapter, or one number for all"
        )
    return tuple(counts)


def _rebuild(kind: Any, children: tuple[Any, ...], arguments: dict[str, Any]) -> Composition:
    rebuilt: Composition = kind(*children, **arguments)
    return rebuilt
