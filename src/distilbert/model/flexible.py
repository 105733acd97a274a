"""The types of heads that a model can be given, and the table of them.

Each has the keys and options of AdapterHub's files. While training, all but those for language
modelling drop values before every layer.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from distilbert.config import DistilBertConfig
from distilbert.data.examples import IGNORED
from distilbert.errors import InputError
from distilbert.flow import Flow
from distilbert.model import tasks
from distilbert.model.encoder import Encoded
from distilbert.model.heads import Undo, shown
from distilbert.model.inputs import check_tensor
from distilbert.model.layers import EPSILON, Linear, initialise
from distilbert.model.parsing import Biaffine, words_of
from distilbert.model.prediction import FlexibleHead
from distilbert.outputs import Output

if TYPE_CHECKING:
    from distilbert.model.pretrained import DistilBertPreTrainedModel

_LAYERS = {"activation_function": "tanh", "label2id": None, "dropout_prob": None}
_CLASSES = {"num_labels": 2, "layers": 2, **_LAYERS, "use_pooler": False, "bias": True}


class ClassificationHead(FlexibleHead):
    """A class of a text, or with one label a number."""

    task = tasks.SEQUENCE_CLASSIFICATION
    head_type = "classification"
    options: ClassVar[Mapping[str, Any]] = _CLASSES

    def build(self, model: "DistilBertPreTrainedModel") -> None:
        super().build(model)
        one = self.config["num_labels"] == 1
        self.problem_type = "regression" if one else "single_label_classification"


class MultiLabelClassificationHead(FlexibleHead):
    """Several labels of a text at once, a share for each."""

    task = tasks.SEQUENCE_CLASSIFICATION
    head_type = "multilabel_classification"
    options: ClassVar[Mapping[str, Any]] = _CLASSES
    problem_type = "multi_label_classification"


class MultipleChoiceHead(FlexibleHead):
    """Which of several texts is the right one."""

    task = tasks.MULTIPLE_CHOICE
    head_type = "multiple_choice"
    options: ClassVar[Mapping[str, Any]] = {
        "num_choices": 2,
        "layers": 2,
        **_LAYERS,
        "use_pooler": False,
    }


class TaggingHead(FlexibleHead):
    """A label for every token. Padding carries no loss, whatever its label."""

    task = tasks.TOKEN_CLASSIFICATION
    head_type = "tagging"
    options: ClassVar[Mapping[str, Any]] = {"num_labels": 2, "layers": 1, **_LAYERS}
    takes = ("labels", "attention_mask")

    def targets(self, given: Mapping[str, Any]) -> Any:
        labels, mask = given.get("labels"), given.get("attention_mask")
        if labels is None or mask is None:
            return labels
        check_tensor("labels", labels)
        if labels.shape != mask.shape:
            return labels  # the loss refuses it
        return labels.masked_fill(mask == 0, IGNORED)


class QuestionAnsweringHead(FlexibleHead):
    """Where in a context the answer starts and ends."""

    task = tasks.QUESTION_ANSWERING
    head_type = "question_answering"
    options: ClassVar[Mapping[str, Any]] = {"num_labels": 2, "layers": 1, **_LAYERS}
    takes = ("start_positions", "end_positions")

    def _checked(self, given: Mapping[str, Any], config: DistilBertConfig) -> dict[str, Any]:
        options = super()._checked(given, config)
        if options["num_labels"] != 2:
            raise self.refusal("num_labels", options["num_labels"], "2, the start and the end")
        return options

    def targets(self, given: Mapping[str, Any]) -> Any:
        places = given.get("start_positions"), given.get("end_positions")
        return None if any(place is None for place in places) else places


class DependencyParsingHead(FlexibleHead):
    """On which word each word hangs, and what it is to it.

    Its words are the means of their tokens, and the first token stands for the root.
    """

    task = tasks.DEPENDENCY_PARSING
    head_type = "dependency_parsing"
    options: ClassVar[Mapping[str, Any]] = {"num_labels": 2, "label2id": None}
    takes = ("word_starts", "labels_arcs", "labels_rels")

    def _layers(self, config: DistilBertConfig) -> Iterator[nn.Module]:
        self.biaffine_arcs = Biaffine(config.dim, 1, both=False)
        self.biaffine_rels = Biaffine(config.dim, self.config["num_labels"], both=True)
        self.dropout = nn.Dropout(self._dropout(config))
        yield from ()

    def answer(
        self,
        encoded: Encoded,
        flow: Flow,
        given: Mapping[str, Any],
        choices: int = 0,
        undo: Undo | None = None,
    ) -> Output:
        starts = given.get("word_starts")
        if starts is None:
            raise InputError(
                f"head {self.name!r} parses words, and word_starts are missing; give the columns "
                "in which the words of each row start, and the one behind the last"
            )
        hidden = self.dropout(self.task.select(encoded))
        words = words_of(hidden, starts)
        heads = torch.cat([hidden[:, :1], words], 1)  # (rows, 1 + words, dim), the root first
        scores = self.biaffine_arcs(words, heads)[..., 0], self.biaffine_rels(words, heads)
        labels = given.get("labels_arcs"), given.get("labels_rels")
        asked = all(each is not None for each in labels)
        loss = self.task.loss(scores, labels, self) if asked else None
        return shown(self.task, loss, scores, encoded, flow)


class LanguageModelHead(FlexibleHead):
    """The words of a vocabulary.

    Where the model ties, the projection's table is that of the embeddings, and no file needs it.
    """

    tied: bool

    def _checked(self, given: Mapping[str, Any], config: DistilBertConfig) -> dict[str, Any]:
        sizes = {"vocab_size": config.vocab_size, "embedding_size": config.dim}
        said = {name: value for name, value in given.items() if value is not None}
        options = super()._checked({**given, **sizes, **said}, config)
        self.tied = tied = config.tie_word_embeddings
        fixed = {"vocab_size": tied, "embedding_size": tied or options["layers"] == 1}
        for name, own in sizes.items():
            if fixed[name] and options[name] != own:
                raise self.refusal(name, options[name], f"{own}, as this model's embeddings have")
        if options.get("dropout_prob") is not None:
            raise self.refusal("dropout_prob", options["dropout_prob"], "None: it drops nothing")
        return options

    def _layers(self, config: DistilBertConfig) -> Iterator[nn.Module]:
        options = self.config
        width, inner = config.dim, options["embedding_size"]
        for _ in range(options["layers"] - 1):
            yield Linear(width, inner)
            yield from self._activation()
            if options["layer_norm"]:
                yield nn.LayerNorm(inner, eps=EPSILON)
            width = inner
        yield Linear(inner, options["vocab_size"], bias=options["bias"])

    def build(self, model: "DistilBertPreTrainedModel") -> None:
        super().build(model)
        if self.tied:
            self.tie(model.get_input_embeddings().weight)

    def _initialise(self, spread: float) -> None:
        for key, _ in self.named_parameters():
            if not (self.tied and key == self.decoder_key):  # it is about to get the table
                owner, _, name = key.rpartition(".")
                initialise(self.get_submodule(owner), name, spread)

    @property
    def decoder(self) -> nn.Linear:
        """The projection to the vocabulary."""
        return self[len(self) - 1]  # type: ignore[return-value]

    @property
    def decoder_key(self) -> str:
        """The name of its weight in the head's state dict."""
        return f"{len(self) - 1}.weight"

    def get_output_embeddings(self) -> nn.Linear:
        return self.decoder

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replaces the projection to the vocabulary."""
        self[len(self) - 1] = value
        self.config["vocab_size"] = value.out_features

    def tie(self, table: Tensor) -> None:
        """Makes the projection share a table, (vocabulary, dim); new words have no bias."""
        decoder = self.decoder
        decoder.weight = table
        more = len(table) - decoder.out_features
        if more and decoder.bias is not None:
            bias = nn.functional.pad(decoder.bias.data, (0, more))
            decoder.bias = nn.Parameter(bias, decoder.bias.requires_grad)
        decoder.out_features = self.config["vocab_size"] = len(table)

    def logits(self, hidden: Tensor, undo: Undo | None = None) -> Tensor:
        """(…, dim) → (…, vocabulary); `undo` takes invertible adapters back before the words."""
        for number in range(len(self) - 1):
            hidden = self[number](hidden)
        return self.decoder(hidden if undo is None else undo(hidden))  # type: ignore[no-any-return]

    def targets(self, given: Mapping[str, Any]) -> Any:
        labels = given.get("labels")
        if labels is None or not self.config["shift_labels"]:
            return labels
        check_tensor("labels", labels)
        return nn.functional.pad(labels[..., 1:], (0, 1), value=IGNORED)  # that of the next


class MaskedLMHead(LanguageModelHead):
    """The words behind masks."""

    task = tasks.MASKED_LM
    head_type = "masked_lm"
    options: ClassVar[Mapping[str, Any]] = {
        "vocab_size": None,
        "embedding_size": None,
        "layers": 2,
        "activation_function": "gelu",
        "layer_norm": True,
        "bias": True,
        "shift_labels": False,
        "label2id": None,
    }


class CausalLMHead(LanguageModelHead):
    """The word behind each word. (The encoder sees it: it is for losses, not for writing text.)"""

    task = tasks.CAUSAL_LM
    head_type = "causal_lm"
    options: ClassVar[Mapping[str, Any]] = {
        "vocab_size": None,
        "embedding_size": None,
        "layers": 1,
        "activation_function": None,
        "layer_norm": False,
        "bias": False,
        "shift_labels": True,
        "label2id": None,
        "dropout_prob": None,
    }


HEAD_TYPES: Mapping[str, type[FlexibleHead]] = {
    kind.head_type: kind
    for kind in (
        ClassificationHead,
        MultiLabelClassificationHead,
        MultipleChoiceHead,
        TaggingHead,
        QuestionAnsweringHead,
        DependencyParsingHead,
        MaskedLMHead,
        CausalLMHead,
    )
}
