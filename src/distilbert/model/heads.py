"""What makes a head, and the one function that turns what it computes into loss and output."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from distilbert.adapters.composition import PerRow
from distilbert.flow import Flow
from distilbert.model.encoder import Encoded
from distilbert.model.passed import reported
from distilbert.model.tasks import Labelled, Task
from distilbert.outputs import Output

Undo = Callable[[Tensor], Tensor]


class Head(Protocol):
    """Layers on top of the encoder, for one task."""

    task: ClassVar[Task]

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden: what the task reads, (…, dim) → (…, labels)"""
        ...


def answer(
    head: Head,
    encoded: Encoded,
    flow: Flow,
    labels: Any,
    config: Labelled,
    choices: int = 0,
    undo: Undo | None = None,
) -> Output:
    """The task's output for one pass through the encoder, with a loss where labels are given.

    `choices`, where the task has them, is how many neighbouring rows compete with each other.
    `undo` takes invertible adapters back inside a language-model head.
    """
    hidden = head.task.select(encoded)
    logits = head.logits(hidden) if undo is None else head.logits(hidden, undo)  # type: ignore[call-arg]
    if choices:
        logits = logits.view(-1, choices)  # (rows, choices)
    loss = None if labels is None else head.task.loss(logits, labels, config)
    return shown(head.task, loss, logits, encoded, flow)


def shown(task: Task, loss: Tensor | None, logits: Any, encoded: Encoded, flow: Flow) -> Output:
    """What the task gives, with what the pass was asked to show."""
    output = task.output(loss, logits, encoded.hidden_states, encoded.attentions)
    if flow.noting:
        output.adapter_gating_scores, output.adapter_fusion_attentions = reported(encoded, flow)
    return output


def repeated(labels: Any, copies: int) -> Any:
    """Labels of rows that `Parallel` copies, one batch of them after the other."""
    if copies == 1 or labels is None:
        return labels
    if isinstance(labels, tuple):
        return tuple(repeated(label, copies) for label in labels)
    if not isinstance(labels, Tensor):  # which the loss refuses
        return labels
    return labels.repeat(copies, *[1] * (labels.ndim - 1))


def of_rows(encoded: Encoded, flow: Flow, numbers: Sequence[int]) -> tuple[Encoded, Flow]:
    """One pass through the encoder, as if it had been given these rows only, in this order.

    numbers: Of rows, padded ones, as the encoder gives them. The notes of adapters stay whole.
    """
    order = torch.tensor([*numbers], device=encoded.hidden.device)
    states, attentions = encoded.hidden_states, encoded.attentions
    layout = encoded.layout.picked(numbers)
    picked = encoded._replace(
        hidden=encoded.hidden[order],
        hidden_states=None if states is None else tuple(x[order] for x in states),
        attentions=None if attentions is None else tuple(x[order] for x in attentions),
        layout=layout,
    )
    plan = flow.plan
    if plan.setup is None:
        return picked, replace(flow, layout=layout)
    rows = len(encoded.hidden) // plan.copies
    trees = [tree for tree, count in plan.runs(rows, flow.task_ids) for _ in range(count)]
    plan = replace(plan, setup=PerRow([trees[number] for number in numbers]), copies=1)
    return picked, replace(flow, layout=layout, plan=plan, task_ids=None)
