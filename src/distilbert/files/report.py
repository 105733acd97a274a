"""What loading a checkpoint found: a report that a person can read."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger("distilbert")


@contextmanager
def unsaid(least: int = logging.ERROR) -> Iterator[None]:
    """Without the messages below this level, where they tell what is meant to be so."""
    before = logger.level
    logger.setLevel(least)
    try:
        yield
    finally:
        logger.setLevel(before)


@dataclass
class LoadReport:
    """How a checkpoint and a model fit together. All lists are sorted."""

    source: str  # what the user wrote
    model: str  # name of the class
    missing: list[str] = field(default_factory=list)  # keys of the model, initialised anew
    unexpected: list[str] = field(default_factory=list)  # keys of the file that have no place
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    """Key, shape in the file, shape in the model; initialised anew."""
    left_out: dict[str, str] = field(default_factory=dict)  # keys of a BERT file → why
    not_finite: list[str] = field(default_factory=list)  # keys of weights with NaN or infinity

    @property
    def complete(self) -> bool:
        """Whether every weight of the model came from the file and is a finite number."""
        return not (self.missing or self.mismatched or self.not_finite)

    def as_dict(self) -> dict[str, Any]:
        """As `output_loading_info` gives it; what was left out of a BERT counts as unexpected.

        `not_finite_keys` is ours; the other names are those of transformers.
        """
        return {
            "missing_keys": list(self.missing),
            "unexpected_keys": sorted([*self.unexpected, *self.left_out]),
            "mismatched_keys": [key for key, _, _ in self.mismatched],
            "error_msgs": [],
            "not_finite_keys": list(self.not_finite),
        }

    def __str__(self) -> str:
        parts = [f"{self.model} loaded from {self.source!r}:"]
        if self.missing:
            parts.append(
                f"{_these(self.missing)} not in the checkpoint and newly initialised, so train the "
                "model before you use its answers."
            )
        if self.mismatched:
            shapes = [f"{key} {_by(found)} for {_by(own)}" for key, found, own in self.mismatched]
            parts.append(f"{_these(shapes)} of another shape and newly initialised.")
        if self.not_finite:
            parts.append(
                f"{_these(self.not_finite)} not finite (NaN or infinity), so answers will not be "
                "either; the checkpoint is damaged, or overflows in this dtype."
            )
        if self.unexpected:
            parts.append(f"{_these(self.unexpected)} in the checkpoint only and not used.")
        for why in dict.fromkeys(self.left_out.values()):
            keys = [key for key, reason in self.left_out.items() if reason == why]
            parts.append(f"Left out {_listed(keys)} ({why}).")
        if len(parts) == 1:
            parts.append("every weight found its place.")
        return " ".join(parts)

    def log(self) -> None:
        """Tell the logger `distilbert`: a warning if weights of the model are not the file's."""
        logger.log(logging.INFO if self.complete else logging.WARNING, "%s", self)


def _these(keys: list[str]) -> str:
    return f"{_listed(keys)} {'is' if len(keys) == 1 else 'are'}"


def _listed(keys: Iterable[str]) -> str:
    shown = list(keys)
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"
