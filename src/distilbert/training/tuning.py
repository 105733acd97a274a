"""Tuning a model for a task: from a name and data sets to a folder that can be loaded."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from distilbert import processes
from distilbert.data.examples import Dataset, Example
from distilbert.data.features import features
from distilbert.data.kinds import KINDS
from distilbert.data.masking import Masking
from distilbert.errors import InputError
from distilbert.evaluation.evaluate import evaluate
from distilbert.evaluation.metrics import find_metric, usual_metrics
from distilbert.evaluation.report import Report
from distilbert.model import for_tasks
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.training.batches import Batches
from distilbert.training.events import End, Observer
from distilbert.training.fit import fit
from distilbert.training.objectives import Supervised
from distilbert.training.recipe import Recipe

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One run of tuning.

    model: A folder, a hub id or a backbone (`minilm`).
    train: What it is trained on. dev: What it is evaluated on, by name; nothing for no evaluation.
    adapter: The configuration of an adapter to train with its head, such as "seq_bn"; None to train
        the whole model. name: What the adapter, or the head beside a fusion, is called.
    fuse: Folders of trained adapters; what is trained is an AdapterFusion of them, and a head.
    fusion: Its configuration.
    recipe: How.
    batch_size, token_budget: See `Batches`. max_length, stride: See `features`.
    masked: Of plain text, the share of tokens that are to be guessed while training.
    class_weights: "balanced", so that every class counts alike, or a number for each, by name.
    label_smoothing, adapter_drop: See `Supervised`.
    metrics: What evaluations tell, the first decides; None for the usual ones. evaluation: More
        options of `evaluate`.
    device: Where it is trained.
    """

    model: str
    train: Dataset
    dev: Mapping[str, Dataset] = field(default_factory=dict)
    adapter: Any = None
    name: str = "adapter"
    fuse: tuple[str, ...] = ()
    fusion: Any = "dynamic"
    recipe: Recipe = field(default_factory=Recipe)
    batch_size: int | None = 32
    token_budget: int = 8192
    max_length: int | None = None
    stride: int = 128
    masked: float = 0.15
    class_weights: Any = None
    label_smoothing: float = 0.0
    adapter_drop: int = 0
    metrics: tuple[str, ...] | None = None
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.adapter is not None and self.fuse:
            raise InputError("give an adapter to train, or adapters to fuse, not both")
        if len(self.fuse) == 1:
            raise InputError("a fusion is of several adapters, and one is given; give another")
        if self.train.kind == "classification" and len(self.train.labels) < 2:
            raise InputError(
                f"all training data are of one class, {self.train.labels}: there is nothing to "
                "tell apart; give data of several, or all labels that there may be"
            )
        for name, dev in self.dev.items():
            if dev.kind != self.train.kind:
                raise InputError(
                    f"the training data are of kind {self.train.kind!r}, and {name} of kind "
                    f"{dev.kind!r}; give data of one kind"
                )


@dataclass(frozen=True, eq=False)
class Tuned:
    """What came of it: the model with its best weights, how the run ended, and its scores."""

    model: for_tasks.ForTask
    tokenizer: Any
    end: End
    reports: Mapping[str, Report]

    @property
    def scores(self) -> dict[str, float]:
        return scores_of(self.reports)


class Run:
    """A run of tuning that is set up: its model, batches and objective can be looked at.

    Raises InputError, FileError, ConfigError or AdapterError for what cannot be.
    """

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        data = tuning.train
        self.recipe = tuning.recipe
        if tuning.dev:  # before a model is loaded: there may be no such score
            self.recipe = replace(tuning.recipe, lower_is_better=not self._higher())
        self.model = load(tuning)
        self.tokenizer = DistilBertTokenizerFast.from_pretrained(tuning.model)
        longest = self.model.config.max_position_embeddings
        self.max_length = min(tuning.max_length or longest, longest)
        seed = tuning.recipe.seed
        masking = None
        if data.kind == "words":
            masking = Masking.of(self.tokenizer, share=tuning.masked, seed=seed)
        self.batches = Batches(
            self.features(data),
            data.kind,
            batch_size=tuning.batch_size,
            token_budget=tuning.token_budget,
            seed=seed,
            masking=masking,
        )
        weights = class_weights(tuning.class_weights, data)
        self.objective = Supervised(weights, tuning.label_smoothing, tuning.adapter_drop)

    def features(self, data: Dataset) -> Sequence[Any]:
        longest = self.max_length if self.tuning.max_length or data.kind != "spans" else None
        return features(data, self.tokenizer, max_length=longest, stride=self.tuning.stride)

    def evaluate(self) -> dict[str, Report]:
        """What the model says of each of the data sets that it is evaluated on."""
        tuning = self.tuning
        return {
            name: evaluate(
                self.model,
                self.tokenizer,
                data,
                metrics=tuning.metrics,
                max_length=tuning.max_length,
                stride=tuning.stride,
                **tuning.evaluation,
            )
            for name, data in tuning.dev.items()
        }

    def scores(self) -> dict[str, float]:
        """The scores of the model as it is."""
        return scores_of(self.evaluate())

    def run(
        self,
        folder: Path | None = None,
        *,
        resume: bool = False,
        observers: Sequence[Observer] = (),
    ) -> Tuned:
        """Trains the model, and evaluates its best weights. `folder` is where checkpoints go."""
        end = fit(
            self.model,
            self.batches,
            self.objective,
            self.recipe,
            evaluate=self.scores if self.tuning.dev else None,
            folder=None if folder is None else folder / CHECKPOINTS,
            resume=resume,
            observers=observers,
        )
        self.model.eval()
        return Tuned(self.model, self.tokenizer, end, self.evaluate())

    def _higher(self) -> bool:
        """Whether more is better of the score that decides. It may have the name of a data set."""
        tuning, data = self.tuning, self.tuning.train
        outside = "outside" in tuning.evaluation
        usual = tuning.metrics or usual_metrics(data.kind, data.labels, outside=outside)
        name = tuning.recipe.metric or usual[0]
        for dev in tuning.dev:
            name = name.removeprefix(f"{dev}_")
        return find_metric(name, data.kind).higher

    def save(self, folder: Path) -> None:
        """Writes what was trained: the model with its tokenizer, or the adapter or fusion."""
        if processes.number():
            return
        tuning, model = self.tuning, self.model
        if tuning.fuse:
            model.save_adapter_setup(folder, model.active_adapters, head_setup=True)
        elif tuning.adapter is not None:
            model.save_adapter(folder, tuning.name)
        else:
            model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)


def scores_of(reports: Mapping[str, Report]) -> dict[str, float]:
    """The scores of all data sets, with their names before them where there are several."""
    if len(reports) == 1:
        return next(iter(reports.values())).scores
    return {
        f"{name}_{score}": value
        for name, report in reports.items()
        for score, value in report.scores.items()
    }


def load(tuning: Tuning) -> for_tasks.ForTask:
    """The model with a head for the data, and what is to be trained of it."""
    kind = KINDS[tuning.train.kind]
    labels = dict(enumerate(tuning.train.labels))
    settings: dict[str, Any] = {}
    if labels:
        settings["id2label"] = labels
        settings["label2id"] = {name: id for id, name in labels.items()}
    elif kind.name == "regression":
        settings["num_labels"] = 1
    if kind.problem_type:
        settings["problem_type"] = kind.problem_type
    model_class = getattr(for_tasks, kind.model)
    with torch.random.fork_rng(), _quietly_new_heads():
        torch.manual_seed(tuning.recipe.seed)
        model: for_tasks.ForTask = model_class.from_pretrained(
            tuning.model, ignore_mismatched_sizes=True, **settings
        ).to(tuning.device)
        if tuning.fuse:
            names = [model.load_adapter(folder, with_head=False) for folder in tuning.fuse]
            model.add_adapter_fusion(names, tuning.fusion)
            model.train_adapter_fusion([names])
        elif tuning.adapter is not None:
            model.add_adapter(tuning.name, tuning.adapter)
            model.train_adapter(tuning.name)
    return model


@contextmanager
def _quietly_new_heads() -> Iterator[None]:
    """Without the message that the weights of a head are new, which is what tuning is for."""
    logger = logging.getLogger("distilbert")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def class_weights(given: Any, data: Dataset) -> list[float] | None:
    """A weight for each class. Raises InputError for classes or numbers that cannot be.

    "balanced" gives a class examples / (classes × examples of the class), so that every class
    counts alike in all.
    """
    if given is None:
        return None
    if not data.labels:
        raise InputError(f"class_weights are for classes, and {data.kind} data have none")
    if given == "balanced":
        counts = Counter(label for example in data.examples for label in _labels(example))
        total = sum(counts.values())
        return [total / (len(data.labels) * max(1, counts[name])) for name in data.labels]
    if not isinstance(given, Mapping) or not set(given) <= set(data.labels):
        raise InputError(
            f"class_weights are {given!r:.100}; allowed: 'balanced', or a number for each of "
            f"{', '.join(data.labels)} (1 where left out)"
        )
    return [float(given.get(name, 1.0)) for name in data.labels]


def _labels(example: Example) -> tuple[str, ...]:
    return (example.label,) if isinstance(example.label, str) else tuple(example.label)
