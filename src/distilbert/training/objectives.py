"""What training makes smaller: functions of a model and a batch, each giving a `Loss`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from distilbert.adapters.plan import Plan
from distilbert.data.examples import IGNORED
from distilbert.data.kinds import KINDS
from distilbert.errors import InputError
from distilbert.flow import Flow
from distilbert.layout import Packed
from distilbert.model import for_tasks
from distilbert.model.for_tasks import ForTask
from distilbert.model.heads import repeated
from distilbert.model.passed import undo
from distilbert.training.batches import OF_TOKENS, Batch


class Loss(NamedTuple):
    """total: The mean over what the batch scores. parts: Means by name, to be shown."""

    total: Tensor
    parts: Mapping[str, Tensor] = {}


class Objective(Protocol):
    """A loss of a model on a batch."""

    def __call__(self, model: Any, batch: Batch) -> Loss: ...

    def weight(self, batch: Batch) -> float:
        """How much the batch counts beside others of its update: how much it scores."""
        ...


@dataclass(frozen=True, eq=False)
class Supervised:
    """The loss of the model's own task, the last layer computed only where the head reads.

    class_weights: How much each class counts, (classes,), or each label of several. What is of a
        class of weight 0 counts nothing, also where labels are smoothed.
    label_smoothing: How much of the target is spread over all classes, from 0 to below 1.
    adapter_drop: The adapters of so many first layers, at most, are left out: 0 to `adapter_drop`,
        drawn anew for each batch. Source: Rücklé et al. 2021, "AdapterDrop".

    The loss is that of the class's `forward(labels=…)`, but padding takes no part in the choice of
    an answer's first and last token.
    """

    class_weights: Sequence[float] | None = None
    label_smoothing: float = 0.0
    adapter_drop: int = 0
    _weights: Tensor | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"label_smoothing is {self.label_smoothing}; allowed: from 0 to below 1"
            )
        if type(self.adapter_drop) is not int or self.adapter_drop < 0:
            raise InputError(
                f"adapter_drop is {self.adapter_drop!r}; allowed: a whole number of layers from 0"
            )
        if self.class_weights is not None:
            weights = torch.tensor(self.class_weights, dtype=torch.float32)
            if weights.ndim != 1 or not bool((weights >= 0).all()) or not bool(weights.any()):
                raise InputError(
                    f"class_weights are {self.class_weights!r:.100}; allowed: a number of at least "
                    "0 for each class"
                )
            object.__setattr__(self, "_weights", weights)

    def __call__(self, model: Any, batch: Batch) -> Loss:
        """The mean loss. Raises InputError for a model or targets that do not fit each other."""
        check_fit(model, batch.kind)
        plan = self._plan(model)
        logits, targets = read(model, batch, plan)
        loss = _LOSSES[batch.kind](logits.float(), targets, self._options(batch.kind, logits))
        fusion = model.get_fusion_regularization_loss() if _trains_fusion(model) else None
        if fusion is None:
            return Loss(loss)
        return Loss(loss + fusion, {"task": loss.detach(), "fusion": fusion.detach()})

    def weight(self, batch: Batch) -> float:
        if self._weights is None or batch.kind not in _OF_CLASSES:
            return batch.weight
        return float(self._weights[batch.targets[batch.targets != IGNORED].cpu()].sum())

    def _options(self, kind: str, logits: Tensor) -> dict[str, Any]:
        """What the function of the loss is given. Raises InputError for what it cannot be."""
        options: dict[str, Any] = {}
        if self.label_smoothing:
            if kind not in _OF_CLASSES:
                raise InputError(
                    f"label_smoothing is for {' and '.join(_OF_CLASSES)}, and this problem is of "
                    f"kind {kind!r}; leave it out"
                )
            options["label_smoothing"] = self.label_smoothing
        if self._weights is not None:
            if kind not in (*_OF_CLASSES, "multi_label"):
                raise InputError(f"class_weights are for classes, not for kind {kind!r}")
            if len(self._weights) != logits.shape[-1]:
                raise InputError(
                    f"class_weights has {len(self._weights)} numbers, and the model tells "
                    f"{logits.shape[-1]} classes apart; give one for each"
                )
            options["weight"] = self._weights.to(logits.device)
        return options

    def _plan(self, model: ForTask) -> Plan:
        plan = model.plan()
        if not self.adapter_drop or plan.setup is None:
            return plan
        count = int(torch.randint(0, self.adapter_drop + 1, ()))
        return replace(plan, skip_layers=plan.skip_layers | frozenset(range(count)))


def check_fit(model: Any, kind: str) -> None:
    """Raises InputError unless the model's head answers this kind of problem."""
    if not isinstance(model, ForTask):
        raise InputError(
            f"a {type(model).__name__} has no task of its own; give a class that has, or for a "
            "named head model.as_fixed(head_name), which shares its parameters"
        )
    wanted = KINDS[kind].model
    if model.task is not getattr(for_tasks, wanted).task:
        raise InputError(
            f"a {type(model).__name__} is for {model.task.name}, and the batches are of kind "
            f"{kind!r}; give a {wanted}"
        )


def read(model: ForTask, batch: Batch, plan: Plan) -> tuple[Tensor, Tensor]:
    """What the head says of what is scored, and the targets of that, for each copy of the rows.

    (rows, labels) and (rows, …) for texts; (examples, most choices) and (examples,) for choices;
    (tokens scored, labels) and (tokens scored,) for tokens; (rows, longest, 2) and (rows, 2) for
    answers.
    """
    encoder: Any = model.base_model
    flow = Flow(Packed(batch.lengths), plan=plan)
    targets = batch.targets
    if batch.kind == "spans":
        logits = model.logits(encoder.encode(batch.ids, flow).own())  # (tokens, 2)
        logits = _competing(logits, batch.lengths * plan.copies)
    elif batch.kind in OF_TOKENS:
        scored = targets != IGNORED
        encoded = encoder.encode(batch.ids, flow, scored)
        undone = undo(encoder, flow, encoded) if model.task.reads == "masks" else None
        logits = model.logits(encoded.hidden, *(() if undone is None else (undone,)))
        targets = targets[scored]
    else:
        logits = model.logits(encoder.encode(batch.ids, flow, "first").hidden)
        if batch.choices:
            logits = _competing(logits, batch.choices * plan.copies)[..., 0]
    return logits, repeated(targets, plan.copies)


def _competing(logits: Tensor, counts: tuple[int, ...]) -> Tensor:
    """(sum of counts, labels) → (groups, most of a group, labels), padded with what never wins."""
    if len(set(counts)) == 1:
        return logits.view(len(counts), counts[0], -1)
    groups = torch.split(logits, list(counts))
    lowest = torch.finfo(logits.dtype).min
    return torch.nn.utils.rnn.pad_sequence([*groups], batch_first=True, padding_value=lowest)


def _trains_fusion(model: Any) -> bool:
    return any(
        p.requires_grad for n, p in model.named_parameters() if ".adapter_fusion_layer." in n
    )


def _classes(logits: Tensor, targets: Tensor, options: dict[str, Any]) -> Tensor:
    if targets.device.type == "cpu" and len(targets) and int(targets.max()) >= logits.shape[-1]:
        raise InputError(
            f"class {int(targets.max())} is among the targets, and the model tells "
            f"{logits.shape[-1]} apart, 0 to {logits.shape[-1] - 1}; give it as many labels "
            "(num_labels=…)"
        )
    weight = options.get("weight")
    if weight is not None and not bool(weight.all()):
        counted = weight[targets] > 0
        logits, targets = logits[counted], targets[counted]
    if not len(targets):  # a mean over nothing is not a number
        return logits.sum() * 0
    return F.cross_entropy(logits, targets, **options)


def _number(logits: Tensor, targets: Tensor, options: dict[str, Any]) -> Tensor:
    if logits.shape != (len(targets), 1):
        raise InputError(
            f"the model gives {logits.shape[-1]} numbers for a text, and the targets are one each; "
            "give it one label (num_labels=1)"
        )
    return F.mse_loss(logits[:, 0], targets, **options)


def _labels(logits: Tensor, targets: Tensor, options: dict[str, Any]) -> Tensor:
    if logits.shape != targets.shape:
        raise InputError(
            f"the model judges {logits.shape[-1]} labels, and the targets are of "
            f"{targets.shape[-1]}; give it as many (num_labels=…)"
        )
    return F.binary_cross_entropy_with_logits(logits, targets, **options)


def _spans(logits: Tensor, targets: Tensor, options: dict[str, Any]) -> Tensor:
    # (rows, 2, longest) against (rows, 2): the mean over first and last tokens
    return F.cross_entropy(logits.transpose(1, 2).flatten(0, 1), targets.flatten(), **options)


_OF_CLASSES = ("classification", "tags")
_LOSSES: dict[str, Callable[[Tensor, Tensor, dict[str, Any]], Tensor]] = {
    "classification": _classes,
    "regression": _number,
    "multi_label": _labels,
    "choice": _classes,
    "tags": _classes,
    "spans": _spans,
    "words": _classes,
}
