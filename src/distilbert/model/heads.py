"""What makes a head, and the one function that turns what it computes into loss and output."""

from typing import Any, ClassVar, Protocol

from torch import Tensor

from distilbert.flow import Flow
from distilbert.model.encoder import Encoded
from distilbert.model.tasks import Labelled, Task
from distilbert.outputs import Output


class Head(Protocol):
    """Layers on top of the encoder, for one task."""

    task: ClassVar[Task]

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden: what the task reads, (…, dim) → (…, labels)"""
        ...


def answer(
    head: Head, encoded: Encoded, flow: Flow, labels: Any, config: Labelled, choices: int = 0
) -> Output:
    """The task's output for one pass through the encoder, with a loss where labels are given.

    `choices`, where the task has them, is how many neighbouring rows compete with each other.
    """
    logits = head.logits(head.task.select(encoded.hidden, flow.layout))
    if choices:
        logits = logits.view(-1, choices)  # (rows, choices)
    loss = None if labels is None else head.task.loss(logits, labels, config)
    return head.task.output(loss, logits, encoded.hidden_states, encoded.attentions)
