"""What heads are for: each task is one row saying what it reads, its loss and its output."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from distilbert.data.examples import IGNORED
from distilbert.errors import InputError
from distilbert.model.inputs import check_tensor, check_whole, has_values
from distilbert.outputs import (
    CausalLMOutput,
    DependencyParsingOutput,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    Output,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

if TYPE_CHECKING:
    from distilbert.model.encoder import Encoded

Reads = Literal["first", "tokens", "masks"]


class Labelled(Protocol):
    """Where the number of labels and the kind of problem stand: a configuration."""

    problem_type: str | None

    @property
    def num_labels(self) -> int: ...


@dataclass(frozen=True)
class Task:
    """One kind of answer.

    reads: Which tokens the answer needs: the first of each row, every one, or the masked ones.
        The published forward pass computes every token all the same; inference computes these.
    loss: (logits, labels, config) → scalar. Dependency parsing has two tensors of each.
    output: (loss, logits, hidden states, attentions) → what a forward pass returns.
    """

    name: str
    reads: Reads
    loss: Callable[[Any, Any, Labelled], Tensor]
    output: Callable[[Tensor | None, Any, Any, Any], Output]

    def select(self, encoded: "Encoded") -> Tensor:
        """What the head reads of the last layer: (rows, columns, dim) or (rows, dim).

        The first token may be one that a prompt put in; of the others, the caller's are read.
        """
        first = self.reads == "first"
        return encoded.layout.first(encoded.hidden) if first else encoded.own()


def cross_entropy(logits: Tensor, labels: Tensor, config: Labelled) -> Tensor:
    """Mean over the labels that are not -100. logits: (…, labels); labels: (…)

    Raises InputError for a label that is no class, unless a compiler traces this.
    """
    check_whole("labels", labels)
    classes = logits.shape[-1]
    flat = labels.reshape(-1).long()
    if flat.numel() * classes != logits.numel():
        raise InputError(
            f"labels have shape {tuple(labels.shape)}; allowed: {tuple(logits.shape[:-1])}"
        )
    if has_values(flat):
        wrong = flat[((flat < 0) | (flat >= classes)) & (flat != IGNORED)]
        if len(wrong):
            raise InputError(
                f"label {int(wrong[0])} is no class; allowed: 0 to {classes - 1}, or {IGNORED} for "
                "what is not to be scored"
            )
    return F.cross_entropy(logits.flatten(0, -2), flat, ignore_index=IGNORED)


def problem_loss(logits: Tensor, labels: Tensor, config: Labelled) -> Tensor:
    """Of the configuration's `problem_type`, which the first labels settle if nothing else did.

    logits: (rows, labels). One label is regression (mean squared error); whole-number labels are
    classes (cross entropy); others are a share for each label (binary cross entropy).

    Raises InputError, and settles nothing, for labels that do not fit.
    """
    check_tensor("labels", labels)
    kind = config.problem_type
    if kind is None and config.num_labels == 1:
        kind = "regression"
    elif kind is None:
        whole = labels.dtype in (torch.long, torch.int)
        kind = "single_label_classification" if whole else "multi_label_classification"
    loss = _loss_of(kind, logits, labels, config)
    config.problem_type = kind
    return loss


def _loss_of(kind: str, logits: Tensor, labels: Tensor, config: Labelled) -> Tensor:
    if kind == "single_label_classification":
        return cross_entropy(logits, labels, config)
    _check_shares(logits, labels, kind)
    targets = labels.to(logits.dtype).reshape(logits.shape)  # (rows, labels)
    if kind == "regression":
        return F.mse_loss(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets)


def span_loss(logits: Tensor, labels: tuple[Tensor, Tensor], config: Labelled) -> Tensor:
    """Mean of the cross entropies of start and end. logits: (rows, columns, 2)

    Places beyond the row are ignored, negative ones count as the first column, as in the
    reference; if every place is ignored the loss is not a number.
    """
    rows, columns = logits.shape[:2]
    for name, places in zip(("start_positions", "end_positions"), labels, strict=True):
        check_whole(name, places)
        if places.numel() != rows:
            raise InputError(f"{name} have shape {tuple(places.shape)}; allowed: {(rows,)}")
    start, end = (places.reshape(rows).long().clamp(0, columns) for places in labels)
    starts, ends = logits.unbind(-1)  # (rows, columns) each
    first = F.cross_entropy(starts, start, ignore_index=columns)
    second = F.cross_entropy(ends, end, ignore_index=columns)
    return (first + second) / 2


def span_output(
    loss: Tensor | None, logits: Tensor, hidden_states: Any, attentions: Any
) -> QuestionAnsweringModelOutput:
    """logits: (rows, columns, 2) → start and end logits, (rows, columns) each"""
    starts, ends = (column.contiguous() for column in logits.unbind(-1))
    return QuestionAnsweringModelOutput(loss, starts, ends, hidden_states, attentions)


def parse_loss(
    scores: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor], config: Labelled
) -> Tensor:
    """Cross entropy of what each word hangs on, plus that of what it is to the right one.

    scores: (rows, words, 1 + words) and (rows, words, 1 + words, labels). labels: (rows, words)
    each, what it hangs on (0 is the root, 1 the first word) and what it is to that; where the
    first is negative, a word carries no loss. There may be fewer columns of them than words.
    """
    arcs, relations = scores
    for name, given in zip(("labels_arcs", "labels_rels"), labels, strict=True):
        check_whole(name, given)
        rows, words = arcs.shape[:2]
        if given.ndim != 2 or given.shape[0] != rows or given.shape[1] > words:
            raise InputError(f"{name} have shape {tuple(given.shape)}; allowed: {(rows, words)}")
    if labels[0].shape != labels[1].shape:
        raise InputError(
            f"labels_arcs have shape {tuple(labels[0].shape)} and labels_rels "
            f"{tuple(labels[1].shape)}; allowed: one shape"
        )
    words = labels[0].shape[1]
    places = torch.where(labels[0] < 0, IGNORED, labels[0])
    kinds = torch.where(labels[0] < 0, IGNORED, labels[1])
    chosen = places.clamp(0, arcs.shape[-1] - 1).long()[..., None, None]
    chosen = chosen.expand(-1, -1, 1, relations.shape[-1])  # (rows, words, 1, labels)
    of_arcs = cross_entropy(arcs[:, :words], places, config)
    return of_arcs + cross_entropy(relations[:, :words].gather(2, chosen)[:, :, 0], kinds, config)


def parse_output(
    loss: Tensor | None, scores: tuple[Tensor, Tensor], hidden_states: Any, attentions: Any
) -> DependencyParsingOutput:
    """scores: of arcs, (rows, words, 1 + words), and of relations, (…, labels)"""
    arcs, relations = scores
    return DependencyParsingOutput(loss, relations, arcs, hidden_states, attentions)


def _check_shares(logits: Tensor, labels: Tensor, kind: str) -> None:
    if labels.numel() != logits.numel():
        raise InputError(
            f"labels have shape {tuple(labels.shape)}; allowed for {kind} with {logits.shape[1]} "
            f"labels: {tuple(logits.shape)}"
        )


MASKED_LM = Task("fill-mask", "masks", cross_entropy, MaskedLMOutput)
SEQUENCE_CLASSIFICATION = Task(
    "text-classification", "first", problem_loss, SequenceClassifierOutput
)
QUESTION_ANSWERING = Task("question-answering", "tokens", span_loss, span_output)
TOKEN_CLASSIFICATION = Task("token-classification", "tokens", cross_entropy, TokenClassifierOutput)
MULTIPLE_CHOICE = Task("multiple-choice", "first", cross_entropy, MultipleChoiceModelOutput)
CAUSAL_LM = Task("text-generation", "tokens", cross_entropy, CausalLMOutput)
DEPENDENCY_PARSING = Task("dependency-parsing", "tokens", parse_loss, parse_output)
