"""Tuning a model for a task: from a name and data sets to a folder that can be loaded."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from distilbert import processes
from distilbert.adapters.store import read_adapter
from distilbert.data.examples import Dataset, Example
from distilbert.data.features import features, row_length
from distilbert.data.kinds import KINDS
from distilbert.data.masking import Masking
from distilbert.errors import InputError
from distilbert.evaluation.evaluate import evaluate
from distilbert.evaluation.metrics import check_metrics, find_metric, usual_metrics
from distilbert.evaluation.report import Report
from distilbert.files.report import unsaid
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
        if len(set(self.fuse)) != len(self.fuse) or len(self.fuse) == 1:
            raise InputError(
                f"a fusion is of several adapters, and {', '.join(self.fuse)} is given; give others"
            )
        if self.train.kind == "classification" and len(self.train.labels) < 2:
            raise InputError(
                f"all training data are of one class, {self.train.labels}: there is nothing to "
                "tell apart; give data of several, or all labels that there may be"
            )
        if self.train.kind == "multi_label" and not self.train.labels:
            raise InputError("no training example has a label; give data that have some")
        self._check_options()
        for name, dev in self.dev.items():
            if dev.kind != self.train.kind:
                raise InputError(
                    f"the training data are of kind {self.train.kind!r}, and {name} of kind "
                    f"{dev.kind!r}; give data of one kind"
                )

    def _check_options(self) -> None:
        """Raises InputError for settings that would do nothing."""
        kind, recipe = self.train.kind, self.recipe
        usual = type(self)
        whole = self.adapter is None and not self.fuse
        idle = {
            "masked": kind != "words" and self.masked != usual.masked,
            "stride": kind not in ("spans", "tags") and self.stride != usual.stride,
            "adapter_drop": whole and self.adapter_drop > 0,
            "decay": recipe.schedule != "wsd" and recipe.decay != Recipe.decay,
            **{
                name: not self.dev and getattr(recipe, name) is not None
                for name in ("patience", "evaluate_every", "metric")
            },
        }
        reasons = {
            "masked": "is for plain text",
            "stride": "is for texts that are read in windows: questions, and words with tags",
            "adapter_drop": "is for adapters, and the whole model is trained",
            "decay": "is for the schedule wsd",
            **dict.fromkeys(("patience", "evaluate_every", "metric"), "needs dev data"),
        }
        for name, is_idle in idle.items():
            if is_idle:
                raise InputError(f"{name} {reasons[name]}; here it does nothing: leave it out")


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
        self.recipe, self.metrics = tuning.recipe, tuning.metrics
        if tuning.dev:  # before a model is loaded: there may be no such score, or library
            self.metrics, self.recipe = _measured(tuning)
        self.model = load(tuning)
        layers = self.model.config.n_layers
        if tuning.adapter_drop > layers:
            raise InputError(
                f"adapter_drop is {tuning.adapter_drop}; the model has {layers} layers"
            )
        self.tokenizer = DistilBertTokenizerFast.from_pretrained(tuning.model)
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
        self._try()

    def _try(self) -> None:
        """The loss of one example, so that what does not fit is told before a run begins."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            batch = self.batches.smallest().to(self.model.device)
            self.objective(self.model.eval(), batch)

    def features(self, data: Dataset) -> Sequence[Any]:
        positions = self.model.config.max_position_embeddings
        length = row_length(data.kind, self.tokenizer, positions, self.tuning.max_length)
        return features(data, self.tokenizer, max_length=length, stride=self.tuning.stride)

    def evaluate(self) -> dict[str, Report]:
        """What the model says of each of the data sets that it is evaluated on."""
        tuning = self.tuning
        return {
            name: evaluate(
                self.model,
                self.tokenizer,
                data,
                metrics=self.metrics,
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
            alike={"dev data": hash_of(self.tuning.dev)},
        )
        self.model.eval()
        return Tuned(self.model, self.tokenizer, end, self.evaluate())

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


def _measured(tuning: Tuning) -> tuple[tuple[str, ...], Recipe]:
    """What evaluations measure, and the recipe with the whole name of the score that decides.

    Raises InputError for a score that there is not, or whose library is missing.
    """
    data = tuning.train
    outside = "outside" in tuning.evaluation
    names = tuple(tuning.metrics or usual_metrics(data.kind, data.labels, outside=outside))
    decides = tuning.recipe.metric or names[0]
    first = next(iter(tuning.dev))
    for dev in tuning.dev:
        if decides.startswith(f"{dev}_"):
            first, decides = dev, decides.removeprefix(f"{dev}_")
    if decides not in names:
        names = (*names, decides)
    check_metrics(names, data.kind)
    whole = f"{first}_{decides}" if len(tuning.dev) > 1 else decides
    higher = find_metric(decides, data.kind).higher
    return names, replace(tuning.recipe, metric=whole, lower_is_better=not higher)


def hash_of(data: Mapping[str, Dataset]) -> str:
    """What differs where other examples, or labels, are evaluated on."""
    found = hashlib.blake2b(digest_size=16)
    for name, part in data.items():
        found.update(repr((name, part.kind, part.labels)).encode())
        for example in part.examples:
            found.update(repr((example.texts, example.label)).encode())
    return found.hexdigest()


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
    with torch.random.fork_rng(), unsaid():  # that a head is new is what tuning is for
        torch.manual_seed(tuning.recipe.seed)
        model: for_tasks.ForTask = model_class.from_pretrained(
            tuning.model, ignore_mismatched_sizes=True, **settings
        ).to(processes.own_device(tuning.device))
        if tuning.fuse:
            names = [_loaded(model, folder) for folder in tuning.fuse]
            model.add_adapter_fusion(names, tuning.fusion)
            model.train_adapter_fusion([names])
        elif tuning.adapter is not None:
            model.add_adapter(tuning.name, tuning.adapter)
            model.train_adapter(tuning.name)
    return model


def _loaded(model: for_tasks.ForTask, folder: str) -> str:
    """Loads an adapter that is to be fused, under a name that none before it has."""
    name = read_adapter(folder, with_head=False).name
    taken = {*model.adapters_config}
    others = (f"{name}_{number}" for number in itertools.count(2))
    free = next(one for one in itertools.chain([name], others) if one not in taken)
    return model.load_adapter(folder, load_as=free, with_head=False)


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
