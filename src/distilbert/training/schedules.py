"""How the learning rate changes: factors in [0, 1] of the highest one, as rows of a table."""

import math
from collections.abc import Callable

Schedule = Callable[[int, int, int, int], float]
"""(update counted from 0, updates of warm-up, of all, of the decay at the end) → factor"""


def _warming(step: int, warmup: int) -> float | None:
    """The factor while the rate rises: 1 / warmup in the first update, so that none is lost."""
    return (step + 1) / (warmup + 1) if step < warmup else None


def constant(step: int, warmup: int, steps: int, decay: int) -> float:
    """Stays after the warm-up."""
    return _warming(step, warmup) or 1.0


def linear(step: int, warmup: int, steps: int, decay: int) -> float:
    """Falls to 0, in a straight line. Source: BERT paper, appendix A.2."""
    return _warming(step, warmup) or (steps - step) / max(1, steps - warmup)


def cosine(step: int, warmup: int, steps: int, decay: int) -> float:
    """Falls to 0 along half a cosine. Source: Loshchilov and Hutter 2017, "SGDR"."""
    done = (step - warmup) / max(1, steps - warmup)
    return _warming(step, warmup) or (1 + math.cos(math.pi * done)) / 2


def wsd(step: int, warmup: int, steps: int, decay: int) -> float:
    """Stays, and falls at the end as 1 - √(share of the decay that is done).

    Source: Hägele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training
    durations".
    """
    start = max(warmup, steps - decay)
    if step < start:
        return _warming(step, warmup) or 1.0
    return _warming(step, warmup) or 1 - math.sqrt((step - start) / max(1, steps - start))


SCHEDULES: dict[str, Schedule] = {
    "linear": linear,
    "cosine": cosine,
    "constant": constant,
    "wsd": wsd,
}
