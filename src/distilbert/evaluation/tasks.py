"""The tasks that a model is judged on by name, a row each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distilbert.data.layouts import find
from distilbert.errors import InputError


@dataclass(frozen=True)
class EvaluationTask:
    """One task.

    layout: The name of the files it is read from (`distilbert.data.layouts`). metrics: Its scores;
    the first tells most. dev: The splits that a model is judged on while it is made. options: More
    that `evaluate` is told.
    """

    name: str
    layout: str
    metrics: tuple[str, ...]
    dev: tuple[str, ...] = ("dev",)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """A key of `distilbert.data.kinds.KINDS`."""
        return find(self.layout).kind

    def splits(self, asked: str) -> tuple[str, ...]:
        """The splits that a user means: "dev" and "test" may be several."""
        if asked in ("dev", "test"):
            return tuple(split.replace("dev", asked) for split in self.dev)
        return (asked,)


_MATCHED = ("dev_matched", "dev_mismatched")
_CLASSES = ("accuracy", "macro_f1")
_ENTITIES = ("f1", "precision", "recall", "strict_f1", "accuracy")
_SCOPE = ("accuracy", "in_scope_accuracy", "out_of_scope_recall", "out_of_scope_threshold")
_PARTS = ("HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1")
_BEST = ("best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh")
_WORDS = ("perplexity", "accuracy")
_OUTSIDE = {"outside": "oos"}

TASKS: dict[str, EvaluationTask] = {
    task.name: task
    for task in (
        EvaluationTask("cola", "cola", ("matthews", "accuracy")),
        EvaluationTask("sst2", "sst2", ("accuracy",)),
        EvaluationTask("mrpc", "mrpc", ("f1", "accuracy")),
        EvaluationTask("stsb", "stsb", ("pearson", "spearman")),
        EvaluationTask("qqp", "qqp", ("f1", "accuracy")),
        EvaluationTask("mnli", "mnli", ("accuracy",), _MATCHED),
        EvaluationTask("qnli", "qnli", ("accuracy",)),
        EvaluationTask("rte", "rte", ("accuracy",)),
        EvaluationTask("wnli", "wnli", ("accuracy",)),
        EvaluationTask("snli", "snli", ("accuracy",)),
        EvaluationTask("squad", "squad", ("f1", "exact_match"), options={"no_answer": False}),
        EvaluationTask(
            "squad_v2",
            "squad_v2",
            ("f1", "exact_match", *_PARTS, *_BEST),
            options={"no_answer": True},
        ),
        EvaluationTask("wnut17", "wnut17", _ENTITIES),
        EvaluationTask("conll", "conll", _ENTITIES),
        EvaluationTask("ud_ewt", "ud_ewt", ("accuracy",)),
        EvaluationTask("commonsenseqa", "commonsenseqa", ("accuracy",)),
        EvaluationTask("copa", "copa", ("accuracy",)),
        EvaluationTask("swag", "swag", ("accuracy",)),
        EvaluationTask("emotion", "emotion", _CLASSES),
        EvaluationTask("trec", "trec", _CLASSES),
        EvaluationTask("trec_fine", "trec_fine", _CLASSES),
        EvaluationTask("banking77", "banking77", _CLASSES),
        EvaluationTask("clinc150", "clinc150", _SCOPE, options=_OUTSIDE),
        EvaluationTask("imdb", "imdb", ("accuracy",)),
        EvaluationTask("ag_news", "ag_news", ("accuracy",)),
        EvaluationTask("mlm", "text", _WORDS),
        EvaluationTask("wiki", "wiki", _WORDS),
        EvaluationTask("gutenberg", "gutenberg", _WORDS),
        EvaluationTask("wikitext2", "wikitext2", _WORDS),
    )
}
"""Every task, by its name."""


def find_task(name: str) -> EvaluationTask:
    """The task of this name. Raises InputError, naming those that there are."""
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}; the tasks are: {', '.join(TASKS)}")
    return TASKS[name]
