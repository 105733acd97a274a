"""The published classes: an encoder and one head, whose layers stand at the top level.

Each class is a head (a task, and `logits(hidden)`), so that the keys of its state dict are the
published ones. Arguments that all share are told at `DistilBertModel.forward`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from distilbert.activations import ACTIVATIONS
from distilbert.adapters.store import StoredHead
from distilbert.config import DistilBertConfig
from distilbert.errors import ConfigError, InputError
from distilbert.model import tasks
from distilbert.model.call import Call
from distilbert.model.encoder import DistilBertModel
from distilbert.model.head_files import checked_fixed, stored_fixed
from distilbert.model.heads import Undo, answer, repeated
from distilbert.model.inputs import check_tensor
from distilbert.model.layers import EPSILON, Linear
from distilbert.model.passed import check_undo, undo
from distilbert.model.pretrained import DistilBertPreTrainedModel
from distilbert.outputs import Output

Outputs = Output | tuple[Any, ...]


class ForTask(DistilBertPreTrainedModel):
    """An encoder and the head for one task."""

    task: ClassVar[tasks.Task]

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)

    @property
    def num_labels(self) -> int:
        return self.config.num_labels  # type: ignore[no-any-return]

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """hidden: what the task reads, (…, dim) → (…, labels)"""

    def _stored_head(self, name: Any) -> StoredHead | None:
        return stored_fixed(self)

    def _checked_head(
        self, stored: StoredHead | None, name: str | None, id2label: Mapping[int, str] | None
    ) -> Any:
        return None if stored is None else checked_fixed(self, stored, id2label)

    def _run(self, call: Call, labels: Any, return_dict: bool | None, choices: int = 0) -> Outputs:
        encoder = self.distilbert
        flow = encoder.flow(call, choices or 1)
        if self.task.reads == "masks":
            check_undo(encoder, flow)
        encoded = encoder.encode(call.ids, flow, embeds=call.embeds)
        labels = repeated(labels, flow.plan.copies)
        undone = undo(encoder, flow, encoded) if self.task.reads == "masks" else None
        output = answer(self, encoded, flow, labels, self.config, choices, undone)
        return output if self.returns_dict(return_dict) else output.to_tuple()


class ForLabels(ForTask):
    """A class whose forward pass takes one tensor of labels."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        position_ids: Tensor | None = None,
        adapter_names: Any = None,
        task_ids: Any = None,
        output_adapter_gating_scores: bool = False,
        output_adapter_fusion_attentions: bool = False,
        adapter_input_parallelized: bool | None = None,
    ) -> Outputs:
        """The task's output; with labels, as the class describes them, also the loss."""
        call = Call(
            input_ids,
            attention_mask,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            position_ids,
            adapter_names,
            task_ids,
            output_adapter_gating_scores,
            output_adapter_fusion_attentions,
            adapter_input_parallelized,
        )
        return self._run(call, labels, return_dict)


class DistilBertForMaskedLM(ForLabels):
    """Predicts the words behind masks; its projection shares the table of the embeddings.

    `labels` of its forward pass: (rows, columns) ids, -100 where no loss is asked for.

    >>> import torch
    >>> from distilbert import DistilBertConfig, DistilBertForMaskedLM
    >>> config = DistilBertConfig(vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4)
    >>> model = DistilBertForMaskedLM(config).eval()
    >>> ids = torch.tensor([[2, 15, 4, 3]])
    >>> labels = torch.tensor([[-100, -100, 27, -100]])
    >>> outputs = model(ids, labels=labels)
    >>> outputs.logits.shape, outputs.loss.shape
    (torch.Size([1, 4, 100]), torch.Size([]))
    """

    task = tasks.MASKED_LM

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.activation = ACTIVATIONS[config.activation]
        self.vocab_transform = Linear(config.dim, config.dim)
        self.vocab_layer_norm = nn.LayerNorm(config.dim, eps=EPSILON)
        self.vocab_projector = Linear(config.dim, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.vocab_projector

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replaces the projection to the vocabulary."""
        self.vocab_projector = value  # type: ignore[assignment]

    def tied_keys(self) -> set[str]:
        return {"vocab_projector.weight"} if self.config.tie_word_embeddings else set()

    def tie_weights(self) -> None:
        if not self.config.tie_word_embeddings:
            return
        table, projector = self.get_input_embeddings().weight, self.vocab_projector
        projector.weight = table
        more = len(table) - len(projector.bias)
        if more:
            bias = nn.functional.pad(projector.bias.data, (0, more))
            projector.bias = nn.Parameter(bias, projector.bias.requires_grad)
            projector.out_features = len(table)

    def logits(self, hidden: Tensor, undo: Undo | None = None) -> Tensor:
        """(…, dim) → (…, vocabulary); `undo` takes invertible adapters back before the words."""
        transformed = self.vocab_layer_norm(self.activation(self.vocab_transform(hidden)))
        return self.vocab_projector(transformed if undo is None else undo(transformed))  # type: ignore[no-any-return]


class DistilBertForSequenceClassification(ForLabels):
    """One label, a number, or several labels for each text.

    `labels` of its forward pass: (rows,) classes or numbers, or (rows, labels) shares.
    `config.problem_type` says which; left None, the first labels settle it: with one label a
    number (regression), whole numbers are classes, floats are several labels at once.

    >>> import torch
    >>> from distilbert import DistilBertConfig, DistilBertForSequenceClassification
    >>> config = DistilBertConfig(vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4)
    >>> model = DistilBertForSequenceClassification(config).eval()
    >>> outputs = model(torch.tensor([[2, 15, 3]]), labels=torch.tensor([1]))
    >>> loss, logits = outputs[:2]
    >>> logits.shape
    torch.Size([1, 2])
    """

    task = tasks.SEQUENCE_CLASSIFICATION

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.pre_classifier = Linear(config.dim, config.dim)
        self.classifier = Linear(config.dim, config.num_labels)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.post_init()

    def logits(self, hidden: Tensor) -> Tensor:
        """(rows, dim) of the first tokens → (rows, labels)"""
        return self.classifier(self.dropout(self.pre_classifier(hidden).relu()))  # type: ignore[no-any-return]


class DistilBertForQuestionAnswering(ForTask):
    """Where in a context the answer starts and ends.

    >>> import torch
    >>> from distilbert import DistilBertConfig, DistilBertForQuestionAnswering
    >>> config = DistilBertConfig(vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4)
    >>> model = DistilBertForQuestionAnswering(config).eval()
    >>> outputs = model(torch.tensor([[2, 15, 3, 27, 28, 3]]))
    >>> outputs.start_logits.shape
    torch.Size([1, 6])
    """

    task = tasks.QUESTION_ANSWERING

    def __init__(self, config: DistilBertConfig) -> None:
        if getattr(config, "num_labels", 2) != 2:
            raise ConfigError(
                f"num_labels is {config.num_labels}; allowed for question answering: 2, the start "
                "and the end of the answer"
            )
        super().__init__(config)
        self.qa_outputs = Linear(config.dim, config.num_labels)
        self.dropout = nn.Dropout(config.qa_dropout)
        self.post_init()

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, 2), start and end"""
        return self.qa_outputs(self.dropout(hidden))  # type: ignore[no-any-return]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        position_ids: Tensor | None = None,
        adapter_names: Any = None,
        task_ids: Any = None,
        output_adapter_gating_scores: bool = False,
        output_adapter_fusion_attentions: bool = False,
        adapter_input_parallelized: bool | None = None,
    ) -> Outputs:
        """start_positions, end_positions: (rows,) columns; those beyond the row carry no loss."""
        asked = start_positions is not None and end_positions is not None
        call = Call(
            input_ids,
            attention_mask,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            position_ids,
            adapter_names,
            task_ids,
            output_adapter_gating_scores,
            output_adapter_fusion_attentions,
            adapter_input_parallelized,
        )
        return self._run(call, (start_positions, end_positions) if asked else None, return_dict)


class DistilBertForTokenClassification(ForLabels):
    """A label for every token: entities, parts of speech.

    `labels` of its forward pass: (rows, columns) classes, -100 where no loss is asked for.

    >>> import torch
    >>> from distilbert import DistilBertConfig, DistilBertForTokenClassification
    >>> config = DistilBertConfig(
    ...     vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4, num_labels=5
    ... )
    >>> model = DistilBertForTokenClassification(config).eval()
    >>> model(torch.tensor([[2, 15, 3]])).logits.shape
    torch.Size([1, 3, 5])
    """

    task = tasks.TOKEN_CLASSIFICATION

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = Linear(config.dim, config.num_labels)
        self.post_init()

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, dim) → (…, labels)"""
        return self.classifier(self.dropout(hidden))  # type: ignore[no-any-return]


class DistilBertForMultipleChoice(ForLabels):
    """Which of several texts is the right one.

    >>> import torch
    >>> from distilbert import DistilBertConfig, DistilBertForMultipleChoice
    >>> config = DistilBertConfig(vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4)
    >>> model = DistilBertForMultipleChoice(config).eval()
    >>> choices = torch.tensor([[[2, 15, 3, 27, 3], [2, 15, 3, 28, 3]]])  # one row of two
    >>> model(choices, labels=torch.tensor([0])).logits.shape
    torch.Size([1, 2])
    """

    task = tasks.MULTIPLE_CHOICE

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.pre_classifier = Linear(config.dim, config.dim)
        self.classifier = Linear(config.dim, 1)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.post_init()

    def logits(self, hidden: Tensor) -> Tensor:
        """(choices, dim) of the first tokens → (choices, 1)"""
        return self.classifier(self.dropout(self.pre_classifier(hidden).relu()))  # type: ignore[no-any-return]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        position_ids: Tensor | None = None,
        adapter_names: Any = None,
        task_ids: Any = None,
        output_adapter_gating_scores: bool = False,
        output_adapter_fusion_attentions: bool = False,
        adapter_input_parallelized: bool | None = None,
    ) -> Outputs:
        """input_ids: (rows, choices, columns), as all inputs; labels: (rows,) the right choice."""
        for name, given in (("attention_mask", attention_mask), ("position_ids", position_ids)):
            _choices(name, given, 3)
        choices = _choices("input_ids", input_ids, 3) or _choices("inputs_embeds", inputs_embeds, 4)
        call = Call(
            _flat(input_ids),
            _flat(attention_mask),
            head_mask,
            _flat(inputs_embeds),
            output_attentions,
            output_hidden_states,
            _flat(position_ids),
            adapter_names,
            task_ids,
            output_adapter_gating_scores,
            output_adapter_fusion_attentions,
            adapter_input_parallelized,
        )
        return self._run(call, labels, return_dict, choices)


def _choices(name: str, x: Tensor | None, axes: int) -> int:
    """How many choices each row of a batch has; 0 where there is no batch."""
    if x is None:
        return 0
    check_tensor(name, x)
    if x.ndim != axes:
        allowed = "(rows, choices, columns" + (", dim)" if axes == 4 else ")")
        raise InputError(f"{name} has shape {tuple(x.shape)}; allowed: {allowed}")
    return x.shape[1]


def _flat(x: Tensor | None) -> Tensor | None:
    """(rows, choices, …) → (rows × choices, …)"""
    return None if x is None else x.flatten(0, 1)
