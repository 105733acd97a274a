"""The tasks, one row each: names, pipeline, model class, and what to give where nothing fits."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from distilbert.errors import InputError


@dataclass(frozen=True)
class Task:
    """One task: its name and other names, where its pipeline and model classes are.

    `default` is the model taken where none is given, and `example` a published one with a head
    trained for the task.
    """

    name: str
    aliases: tuple[str, ...]
    home: str
    pipeline: str
    model: str
    default: str | None = None
    example: str = ""

    def pipeline_class(self) -> Any:
        return getattr(import_module(f"distilbert.pipelines.{self.home}"), self.pipeline)

    def model_class(self) -> Any:
        return getattr(import_module("distilbert"), self.model)


TASKS = (
    Task(
        "feature-extraction",
        (),
        "features",
        "FeatureExtractionPipeline",
        "DistilBertModel",
        "minilm",
    ),
    Task(
        "sentence-embedding",
        ("sentence-embeddings",),
        "sentences",
        "SentenceEmbeddingPipeline",
        "DistilBertModel",
        "minilm",
    ),
    Task(
        "sentence-similarity",
        (),
        "sentences",
        "SentenceSimilarityPipeline",
        "DistilBertModel",
        "minilm",
    ),
    Task(
        "text-classification",
        ("sentiment-analysis",),
        "classification",
        "TextClassificationPipeline",
        "DistilBertForSequenceClassification",
        example="distilbert-base-uncased-finetuned-sst-2-english",
    ),
    Task(
        "token-classification",
        ("ner",),
        "tagging",
        "TokenClassificationPipeline",
        "DistilBertForTokenClassification",
        example="elastic/distilbert-base-uncased-finetuned-conll03-english",
    ),
    Task(
        "question-answering",
        (),
        "answering",
        "QuestionAnsweringPipeline",
        "DistilBertForQuestionAnswering",
        example="distilbert-base-cased-distilled-squad",
    ),
    Task(
        "fill-mask",
        (),
        "filling",
        "FillMaskPipeline",
        "DistilBertForMaskedLM",
        example="distilbert-base-uncased",
    ),
)

CLASSES = frozenset(task.model for task in TASKS) | {"DistilBertForMultipleChoice"}
"""The names of the model classes that a checkpoint may have been saved from."""

_BY_NAME = {name: task for task in TASKS for name in (task.name, *task.aliases)}
_READS_ANY_HEAD = "DistilBertModel"  # the encoder is in every model


def find_task(name: str) -> Task:
    """The task called `name`. Raises InputError naming the tasks there are."""
    if not isinstance(name, str) or name not in _BY_NAME:
        raise InputError(f"unknown task {name!r}; the tasks are: {', '.join(sorted(_BY_NAME))}")
    return _BY_NAME[name]


def task_of_class(name: str) -> Task | None:
    """The task that a model class of this name is for, if there is one."""
    return next((task for task in TASKS if task.model == name), None)


def check_model(task_name: str, model: Any) -> None:
    """Raise InputError unless `model` is of a class that answers the task."""
    task = find_task(task_name)
    if task.model == _READS_ANY_HEAD:
        allowed = import_module("distilbert.model.pretrained").DistilBertPreTrainedModel
    else:
        allowed = task.model_class()
    if not isinstance(model, allowed):
        raise InputError(
            f"{task_name} needs a {allowed.__name__}, not a {type(model).__name__}; "
            f"load the checkpoint with {allowed.__name__}.from_pretrained, or give its name"
        )


def check_head(task: Task, name: str, absent: Iterable[str]) -> None:
    """Raise InputError if weights are absent: a fresh head would answer at random."""
    absent = sorted(absent)
    if not absent:
        return
    shown = ", ".join(absent[:6]) + (f" and {len(absent) - 6} more" if len(absent) > 6 else "")
    raise InputError(
        f"{name!r} holds no weights for {shown}, so it cannot do {task.name}; {remedy(task)}"
    )


def remedy(task: Task) -> str:
    """What to give instead, in one sentence."""
    if not task.example:
        return "give the folder or hub id of a whole checkpoint"
    return (
        "give a model whose head was trained for this task: a folder, or a hub id such as "
        f"{task.example!r}"
    )
