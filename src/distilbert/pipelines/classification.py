"""A label a text (or pair of texts), with its probability."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from distilbert.errors import InputError
from distilbert.pipelines.base import (
    Pipeline,
    Progress,
    TextOptions,
    at_least,
    gather_tokenizer_options,
    texts_of,
)
from distilbert.pipelines.rows import rows_of

if TYPE_CHECKING:
    import torch

FUNCTIONS = ("default", "sigmoid", "softmax", "none")


@dataclass(frozen=True, kw_only=True)
class ClassificationOptions(TextOptions):
    """top_k: how many labels to give, best first; None gives all. Without it: the best one alone.

    return_all_scores: every label in the model's order.
    function_to_apply: what makes scores of logits: "sigmoid", "softmax", "none", or "default", by
        the model's problem: none for regression, sigmoid for one label or several at once, else
        softmax.
    """

    top_k: int | Literal["best alone"] | None = "best alone"
    return_all_scores: bool = False
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k not in (None, "best alone"):
            at_least(1, top_k=self.top_k)
        if self.function_to_apply is not None and self.function_to_apply not in FUNCTIONS:
            raise InputError(
                f"unknown function_to_apply {self.function_to_apply!r}; "
                f"it is one of {', '.join(FUNCTIONS)}"
            )


class TextClassificationPipeline(Pipeline[ClassificationOptions]):
    """Labels of texts. A pair of texts is written {"text": …, "text_pair": …}.

    A text gives `[{"label": …, "score": …}]`, a list of texts a list of such dictionaries. With
    `top_k` in the call, a text gives a list of its labels, best first, and a list of texts a list
    of those.
    """

    task = "text-classification"
    option_type = ClassificationOptions

    def __call__(self, inputs: Any, **options: Any) -> Any:
        answer = super().__call__(inputs, **options)
        return [answer] if isinstance(inputs, str) and "top_k" not in options else answer

    def is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, str | Mapping)

    def answers(
        self,
        inputs: Sequence[Any],
        options: ClassificationOptions,
        progress: Progress | None = None,
    ) -> list[Any]:
        texts, pairs = _pairs(inputs)
        names: dict[int, str] = self.session.config.id2label
        scores_of = _function(options.function_to_apply, self.session.config)
        rows = rows_of(self, texts, pairs, options)
        if not rows:
            return []
        answers = []
        for logits in self.session.logits(rows, progress=progress):
            scores = scores_of(logits.float().cpu()).tolist()
            labels = [{"label": names[at], "score": score} for at, score in enumerate(scores)]
            answers.append(_chosen(labels, options))
        return answers

    def spelled(self, options: dict[str, Any]) -> dict[str, Any]:
        if isinstance(options.get("function_to_apply"), str):
            options["function_to_apply"] = options["function_to_apply"].lower()
        return gather_tokenizer_options(options)


def _chosen(labels: list[dict[str, Any]], options: ClassificationOptions) -> Any:
    if options.top_k == "best alone":
        if options.return_all_scores:
            return labels
        return max(labels, key=lambda label: label["score"])
    labels.sort(key=lambda label: label["score"], reverse=True)
    return labels[: options.top_k]


def _function(name: str | None, config: Any) -> Callable[["torch.Tensor"], "torch.Tensor"]:
    """What makes scores (labels,) of logits (labels,)."""
    if name in (None, "default"):
        if config.problem_type == "regression":
            name = "none"
        elif config.problem_type == "multi_label_classification" or config.num_labels == 1:
            name = "sigmoid"
        else:
            name = "softmax"
    if name == "sigmoid":
        return lambda logits: logits.sigmoid()
    if name == "softmax":
        return lambda logits: logits.softmax(-1)
    return lambda logits: logits


def _pairs(inputs: Sequence[Any]) -> tuple[list[str], list[str | None]]:
    """The texts and their pairs, None where a text has none."""
    texts: list[Any] = []
    pairs: list[str | None] = []
    for number, one in enumerate(inputs):
        if isinstance(one, list | tuple):
            match one:
                case [[str(text), str(pair)]]:  # a pair as it was written in the past
                    texts.append(text)
                    pairs.append(pair)
                    continue
            raise InputError(
                f"number {number + 1} of {len(inputs)} is a {type(one).__name__}; write a pair of "
                'texts as {"text": "…", "text_pair": "…"}'
            )
        if isinstance(one, Mapping):
            if not {"text"} <= set(one) <= {"text", "text_pair"}:
                raise InputError(
                    "a pair of texts has the keys 'text' and 'text_pair'; "
                    f"number {number + 1} of {len(inputs)} has {sorted(map(str, one))}"
                )
            texts.append(one["text"])
            pairs.append(one.get("text_pair"))
        else:
            texts.append(one)
            pairs.append(None)
    texts_of([pair for pair in pairs if pair is not None], "text-classification")
    return texts_of(texts, "text-classification"), pairs
