"""What a run of training tells those who watch it: a progress bar, a file of metrics, a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Begin:
    """A run begins, or goes on: `step` updates of `steps` are done."""

    step: int
    steps: int
    trained: int  # parameters that are trained
    parameters: int  # of the whole model


@dataclass(frozen=True)
class Step:
    """One update of the weights is done.

    step: Counted from 1. steps: How many there will be. epoch: How much of the data was seen, in
    epochs. loss: The mean over what was scored, and `parts` of it by name. rate: The learning rate.
    norm: The length of the gradient, before clipping. tokens: How many were read, without padding.
    seconds: How long it took.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    rate: float
    norm: float
    tokens: int
    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The model was evaluated after `step` updates. better: It is the best so far, and was kept."""

    step: int
    epoch: float
    scores: Mapping[str, float]
    better: bool
    seconds: float


@dataclass(frozen=True)
class End:
    """The run is over.

    stopped: Early, since nothing became better. best: The evaluation whose weights the model has
    now; None where it was never evaluated.
    """

    step: int
    stopped: bool
    best: Evaluation | None


Event = Begin | Step | Evaluation | End


class Observer(Protocol):
    """Who watches a run. Called in the order of events, and in no other process than the first."""

    def __call__(self, event: Event) -> None: ...
