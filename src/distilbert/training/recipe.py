"""What decides the numbers of a run of training, beside the model, the data and the objective."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from distilbert.errors import InputError
from distilbert.training.schedules import SCHEDULES

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    epochs: How often the data is seen; 0.5 is half of it. steps: Updates of the weights, instead.
    learning_rate: The highest. schedule: How it changes: a key of `SCHEDULES`.
    warmup: Updates in which it rises from 0; below 1 a share of all. decay: The same for those in
        which "wsd" lowers it, at the end.
    weight_decay: Decoupled, of matrices alone: no bias, no norm, no vector of factors decays.
    betas, epsilon: Of AdamW. clip: The longest gradient; None does not clip.
    accumulate: How many batches make one update.
    seed: Of dropout. The batches have their own.
    precision: Of the products: "bfloat16" and "float16" run them under autocast.
    gradient_checkpointing: Computes each block again in the backward pass: less memory, more time.
    evaluate_every: Updates between evaluations; None after each epoch.
    metric: The score that says which weights are best; None for the first one.
    lower_is_better: Of that score, as of a loss.
    patience: Stop after this many evaluations without a better score; None never does.
    keep_best: Give the model the weights of the best evaluation in the end, not the last ones.
    checkpoint_every: Updates between checkpoints; None at every evaluation.

    Raises InputError, naming the setting, for a value that cannot be.
    """

    epochs: float = 3.0
    steps: int | None = None
    learning_rate: float = 5e-5
    schedule: str = "linear"
    warmup: float = 0.06
    decay: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float | None = 1.0
    accumulate: int = 1
    seed: int = 42
    precision: str = "float32"
    gradient_checkpointing: bool = False
    evaluate_every: int | None = None
    metric: str | None = None
    lower_is_better: bool = False
    patience: int | None = None
    keep_best: bool = True
    checkpoint_every: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            check = _CHECKS.get(field.name)
            if check is not None and not check[0](value):
                raise InputError(f"{field.name} is {value!r}; allowed: {check[1]}")

    def count(self, batches: int) -> int:
        """How many updates a run has, of so many batches an epoch."""
        if self.steps is not None:
            return self.steps
        return max(1, round(self.epochs * self.updates(batches)))

    def updates(self, batches: int) -> int:
        """How many updates an epoch has; the last one may have fewer batches than the others."""
        return -(-batches // self.accumulate)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of update `step`, counted from 0, of `steps`."""
        warmup, decay = (round(x * steps) if x < 1 else int(x) for x in (self.warmup, self.decay))
        warmup = min(warmup, steps)
        return self.learning_rate * SCHEDULES[self.schedule](step, warmup, steps, decay)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and 0 < value < float("inf")


def _is_amount(value: Any) -> bool:
    return _is_number(value) and 0 <= value < float("inf")


def _is_span(value: Any) -> bool:
    return _is_amount(value) and (value < 1 or int(value) == value)


def _are_betas(value: Any) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(_is_amount(beta) and beta < 1 for beta in value)
    )


def _one_of(*allowed: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: isinstance(value, str) and value in allowed), ", ".join(allowed)


def _or_none(check: Callable[[Any], bool], allowed: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value is None or check(value)), f"{allowed}, or None"


_COUNT = "a whole number of at least 1"
_FLAG = (_is_flag, "True or False")
_SPAN = (_is_span, "a share from 0 to 1, or a whole number of updates")

_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epochs": (_is_positive, "a number above 0"),
    "steps": _or_none(_is_count, _COUNT),
    "learning_rate": (_is_positive, "a number above 0"),
    "schedule": _one_of(*SCHEDULES),
    "warmup": _SPAN,
    "decay": _SPAN,
    "weight_decay": (_is_amount, "a number of at least 0"),
    "betas": (_are_betas, "two numbers from 0 to below 1"),
    "epsilon": (_is_positive, "a number above 0"),
    "clip": _or_none(_is_positive, "a number above 0"),
    "accumulate": (_is_count, _COUNT),
    "seed": (lambda value: _is_amount(value) and isinstance(value, int), "a whole number from 0"),
    "precision": _one_of(*PRECISIONS),
    "gradient_checkpointing": _FLAG,
    "evaluate_every": _or_none(_is_count, _COUNT),
    "metric": _or_none(lambda value: isinstance(value, str), "the name of a score"),
    "lower_is_better": _FLAG,
    "patience": _or_none(_is_count, _COUNT),
    "keep_best": _FLAG,
    "checkpoint_every": _or_none(_is_count, _COUNT),
}
