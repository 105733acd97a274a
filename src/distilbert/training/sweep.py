"""Several runs of tuning that differ in a few settings or in their seed, and what they teach."""

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from distilbert.errors import InputError
from distilbert.training.recipe import Recipe
from distilbert.training.tuning import Tuning

_OF_TUNING = ("adapter", "batch_size", "max_length", "masked", "label_smoothing", "adapter_drop")
_OF_RECIPE = tuple(field.name for field in fields(Recipe))


@dataclass(frozen=True)
class Variant:
    """One run of a sweep: what differs from the others, by name, and the whole of it."""

    settings: Mapping[str, Any]
    tuning: Tuning

    @property
    def name(self) -> str:
        """That of its folder."""
        return ",".join(f"{name}={value}" for name, value in self.settings.items()).replace(
            "/", "-"
        )


def values(given: str) -> tuple[str, list[Any]]:
    """What "learning_rate=1e-4,3e-4" says. Raises InputError unless it is of that form."""
    name, _, listed = given.partition("=")
    name = name.strip().replace("-", "_")
    if name not in (*_OF_RECIPE, *_OF_TUNING) or name == "seed":
        raise InputError(
            f"{given!r} sweeps over no setting; allowed: NAME=VALUE,VALUE,… with one of "
            f"{', '.join(sorted({*_OF_RECIPE, *_OF_TUNING} - {'seed'}))}; seeds have --seeds"
        )
    separator = ";" if ";" in listed else ","  # configurations of adapters may hold commas
    found = [_value(one.strip()) for one in listed.split(separator) if one.strip()]
    if not found:
        raise InputError(f"{given!r} names no value; write {name}=VALUE,VALUE,…")
    return name, found


def settings(given: Sequence[str]) -> dict[str, list[Any]]:
    """The settings of a sweep and their values. Raises InputError for one that comes twice."""
    found: dict[str, list[Any]] = {}
    for one in given:
        name, listed = values(one)
        if name in found or len(set(map(repr, listed))) < len(listed):
            raise InputError(f"{one!r} names a setting or a value twice; name each once")
        found[name] = listed
    return found


def _value(text: str) -> Any:
    if text in ("None", "none", "True", "true", "False", "false"):
        return {"n": None, "t": True, "f": False}[text[0].lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def variants(tuning: Tuning, swept: Mapping[str, Sequence[Any]], seeds: int) -> Iterator[Variant]:
    """Every combination of the values, each with `seeds` seeds from that of the recipe on.

    Raises InputError for a value that the setting cannot have.
    """
    first = tuning.recipe.seed
    for chosen in itertools.product(*swept.values()):
        settings = dict(zip(swept, chosen, strict=True))
        for seed in range(first, first + seeds):
            of_recipe = {k: v for k, v in settings.items() if k in _OF_RECIPE}
            of_tuning = {k: v for k, v in settings.items() if k not in _OF_RECIPE}
            recipe = replace(tuning.recipe, seed=seed, **of_recipe)
            named = {**settings, "seed": seed} if seeds > 1 or not settings else settings
            yield Variant(named, replace(tuning, recipe=recipe, **of_tuning))


@dataclass(frozen=True)
class Row:
    """What runs that differ in their seeds alone have scored: {score: one of each run}."""

    settings: Mapping[str, Any]
    scores: Mapping[str, tuple[float, ...]]

    def median(self, score: str) -> float:
        return statistics.median(self.scores[score])


def table(found: Sequence[tuple[Variant, Mapping[str, float]]]) -> list[Row]:
    """The runs of a sweep as rows, one for each combination of values, in their order."""
    rows: dict[tuple[Any, ...], tuple[dict[str, Any], dict[str, list[float]]]] = {}
    for variant, scores in found:
        settings = {k: v for k, v in variant.settings.items() if k != "seed"}
        _, kept = rows.setdefault(tuple(settings.items()), (settings, {}))
        for name, score in scores.items():
            kept.setdefault(name, []).append(score)
    return [Row(s, {n: tuple(v) for n, v in kept.items()}) for s, kept in rows.values()]
