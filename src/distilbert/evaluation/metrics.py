"""What is measured of a model's answers: one row a metric, from libraries where they have it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.errors import InputError
from distilbert.evaluation import squad


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model says of examples, beside what is right of them.

    | kind           | right and said                                                   |
    |----------------|------------------------------------------------------------------|
    | classification | arrays of numbers of classes, (examples,)                        |
    | choice         | the same, of choices                                             |
    | regression     | arrays of numbers, (examples,)                                   |
    | multi_label    | arrays of 0 and 1, (examples, labels)                            |
    | tags           | lists of names, one for each word, of each sentence              |
    | spans          | right answers to each question (none: unanswerable), and one each |
    | words          | arrays of ids of the words behind masks, (masks,)                |

    labels: Names of classes or tags, by number.
    chances: Log-likelihoods of the right words, (masks,). For words alone.
    outside: The number of the class of what belongs to no other, if there is one.
    nulls: How much more speaks for "no answer", (questions,); None: every question has an answer.
    threshold: Where nulls above it are no answer; of a model without the class `outside`, below
        which share of the best class it was taken; None for a model that has it.
    """

    kind: str
    right: Any
    said: Any
    labels: tuple[str, ...] = ()
    chances: NDArray[np.floating[Any]] | None = None
    outside: int | None = None
    nulls: Sequence[float] | None = None
    threshold: float | None = None

    @cached_property
    def squad(self) -> dict[str, float]:
        """SQuAD's scores: of version 2.0 where `nulls` are there, else of 1.1."""
        names = [str(number) for number in range(len(self.right))]
        right, said = (
            dict(zip(names, self.right, strict=True)),
            dict(zip(names, self.said, strict=True)),
        )
        if self.nulls is None:
            return squad.score_v1(right, said)
        nulls = dict(zip(names, self.nulls, strict=True))
        return squad.score_v2(right, said, nulls, self.threshold or 0.0)


@dataclass(frozen=True)
class Metric:
    """One metric of some kinds of problems.

    measure: What it is; None where it means nothing for these data or this model.
    library: The package it comes from. higher: Whether more is better.
    """

    name: str
    kinds: tuple[str, ...]
    measure: Callable[[Judged], float | None]
    library: str | None = None
    higher: bool = True


# Classes and numbers ------------------------------------------------------------------------------


def _accuracy(judged: Judged) -> float:
    return float(np.mean(np.asarray(judged.right) == np.asarray(judged.said)))


def _matching_rows(judged: Judged) -> float:
    return float(np.mean(np.all(judged.right == judged.said, axis=1)))


def _f1(average: str) -> Callable[[Judged], float]:
    def measure(judged: Judged) -> float:
        metrics = _library("sklearn.metrics")
        found = metrics.f1_score(judged.right, judged.said, average=average, zero_division=0)
        return float(found)

    return measure


def _f1_of_class_1(judged: Judged) -> float:
    if len(judged.labels) != 2:
        raise InputError(
            f"f1 is that of the second of two classes, and these data have {len(judged.labels)}: "
            f"{_some(judged.labels)}; take macro_f1, micro_f1 or weighted_f1"
        )
    return _f1("binary")(judged)


def _matthews(judged: Judged) -> float:
    if len(np.union1d(judged.right, judged.said)) < 2:
        return 0.0  # as where the model alone always says the same
    return float(_library("sklearn.metrics").matthews_corrcoef(judged.right, judged.said))


def _correlation(name: str) -> Callable[[Judged], float]:
    def measure(judged: Judged) -> float:
        """0.0 where one side does not vary: nothing goes together with it."""
        stats = _library("scipy.stats")
        if _is_constant(judged.right) or _is_constant(judged.said):
            return 0.0
        return float(getattr(stats, name)(judged.right, judged.said)[0])

    return measure


def _is_constant(values: NDArray[Any]) -> bool:
    """Whether what numbers differ by is nothing but rounding."""
    mean = values.mean()
    return bool(np.linalg.norm(values - mean) <= 1e-12 * abs(mean))


def _mse(judged: Judged) -> float:
    return float(np.mean(np.square(np.asarray(judged.right) - np.asarray(judged.said))))


# What belongs to no class -------------------------------------------------------------------------


def _in_scope_accuracy(judged: Judged) -> float | None:
    inside = judged.right != judged.outside
    return float(np.mean((judged.right == judged.said)[inside])) if inside.any() else None


def _out_of_scope_recall(judged: Judged) -> float | None:
    outside = judged.right == judged.outside
    return float(np.mean((judged.right == judged.said)[outside])) if outside.any() else None


def _of_scope(measure: Callable[[Judged], float | None]) -> Callable[[Judged], float | None]:
    def checked(judged: Judged) -> float | None:
        if judged.outside is None:
            raise InputError(
                "there is no class of what is out of scope; say which it is: outside='oos'"
            )
        return measure(judged)

    return checked


def best_threshold(shares: NDArray[Any], right: NDArray[Any], outside: NDArray[Any]) -> float:
    """The share of the best class below which a text is best taken as out of scope.

    shares: Of each text's best class. right: Whether that class is right. outside: Whether the text
    is out of scope. Arrays of (texts,).

    Gives most right answers; of several such thresholds, the lowest; 0.0 where nothing is out of
    scope.
    """
    order = np.argsort(shares, kind="stable")
    gains = outside[order].astype(int) - right[order].astype(int)  # of taking one more text out
    totals = np.concatenate([[0], np.cumsum(gains)])
    cuts = np.append(shares[order], np.nextafter(shares.max(), np.inf))
    parts = np.append(True, cuts[1:] > cuts[:-1])  # texts of equal shares go together
    best = int(np.argmax(np.where(parts, totals, -len(shares) - 1)))
    return float(cuts[best]) if best else 0.0


# Tags ---------------------------------------------------------------------------------------------

_SCHEMES = (("IOB2", "BIO"), ("IOBES", "BIOES"), ("BILOU", "BIOLU"))


def _token_accuracy(judged: Judged) -> float:
    pairs = [
        one == other
        for right, said in zip(judged.right, judged.said, strict=True)
        for one, other in zip(right, said, strict=True)
    ]
    return float(sum(pairs) / len(pairs))


def _of_entities(name: str, *, strict: bool = False) -> Callable[[Judged], float]:
    def measure(judged: Judged) -> float:
        wrong = [label for label in judged.labels if not is_entity_tag(label)]
        if wrong:
            raise InputError(
                f"entities need tags such as B-PER, I-PER and O, and these data have "
                f"{_some(wrong)}; take accuracy"
            )
        options: dict[str, Any] = {"zero_division": 0}
        if strict:
            options |= {"mode": "strict", "scheme": _scheme(judged.labels)}
        found = getattr(_library("seqeval.metrics"), name)(judged.right, judged.said, **options)
        return float(found)

    return measure


def is_entity_tag(label: str) -> bool:
    """Whether this is a tag of entities: O, or a place in one and its type, such as B-PER."""
    return label == "O" or (label[:1] in set("BIESLU") and label[1:2] == "-" and len(label) > 2)


def _scheme(labels: Iterable[str]) -> Any:
    places = {label[0] for label in labels}
    for name, allowed in _SCHEMES:
        if places <= set(allowed):
            return getattr(_library("seqeval.scheme"), name)
    raise InputError(
        f"tags that begin with {', '.join(sorted(places))} follow none of the schemes "
        f"{', '.join(name for name, _ in _SCHEMES)}; take f1, precision and recall, which are not "
        "strict"
    )


# Spans and words ----------------------------------------------------------------------------------


def _of_squad(name: str) -> Callable[[Judged], float | None]:
    return lambda judged: judged.squad.get(name)


def _perplexity(judged: Judged) -> float:
    assert judged.chances is not None
    return math.exp(min(-float(np.mean(judged.chances)), 700.0))  # above that, no float holds it


_CLASSES = ("classification",)

METRICS = (
    Metric("accuracy", ("classification", "choice", "words"), _accuracy),
    Metric("f1", _CLASSES, _f1_of_class_1, "sklearn"),
    Metric("macro_f1", ("classification", "multi_label"), _f1("macro"), "sklearn"),
    Metric("micro_f1", ("classification", "multi_label"), _f1("micro"), "sklearn"),
    Metric("weighted_f1", ("classification", "multi_label"), _f1("weighted"), "sklearn"),
    Metric("matthews", _CLASSES, _matthews, "sklearn"),
    Metric("in_scope_accuracy", _CLASSES, _of_scope(_in_scope_accuracy)),
    Metric("out_of_scope_recall", _CLASSES, _of_scope(_out_of_scope_recall)),
    Metric("out_of_scope_threshold", _CLASSES, _of_scope(lambda judged: judged.threshold)),
    Metric("pearson", ("regression",), _correlation("pearsonr"), "scipy"),
    Metric("spearman", ("regression",), _correlation("spearmanr"), "scipy"),
    Metric("mse", ("regression",), _mse, higher=False),
    Metric("exact_match", ("multi_label",), _matching_rows),
    Metric("accuracy", ("tags",), _token_accuracy),
    Metric("f1", ("tags",), _of_entities("f1_score"), "seqeval"),
    Metric("precision", ("tags",), _of_entities("precision_score"), "seqeval"),
    Metric("recall", ("tags",), _of_entities("recall_score"), "seqeval"),
    Metric("strict_f1", ("tags",), _of_entities("f1_score", strict=True), "seqeval"),
    Metric("strict_precision", ("tags",), _of_entities("precision_score", strict=True), "seqeval"),
    Metric("strict_recall", ("tags",), _of_entities("recall_score", strict=True), "seqeval"),
    *(Metric(name, ("spans",), _of_squad(name)) for name in ("f1", "exact_match")),
    *(
        Metric(f"{part}_{name}", ("spans",), _of_squad(f"{part}_{name}"))
        for part in ("HasAns", "NoAns", "best")
        for name in ("exact", "f1")
    ),
    Metric("best_exact_thresh", ("spans",), _of_squad("best_exact_thresh")),
    Metric("best_f1_thresh", ("spans",), _of_squad("best_f1_thresh")),
    Metric("perplexity", ("words",), _perplexity, higher=False),
)
"""Every metric. Those of one name are of different kinds of problems."""

_BY_NAME = {(kind, metric.name): metric for metric in METRICS for kind in metric.kinds}


def find_metric(name: str, kind: str) -> Metric:
    """The metric of this name for a kind.

    Raises InputError, naming those that there are, or the remedy where its library is missing.
    """
    if (kind, name) not in _BY_NAME:
        known = ", ".join(own for of, own in _BY_NAME if of == kind)
        raise InputError(f"there is no metric {name!r} of {kind}; the metrics are: {known}")
    metric = _BY_NAME[kind, name]
    if metric.library is not None:
        _library(metric.library)
    return metric


def check_metrics(names: Sequence[str], kind: str) -> None:
    """Raises InputError unless all of these can be measured: see `find_metric`."""
    if isinstance(names, str):
        raise InputError(f"metrics is {names!r}; allowed: a list of names, such as [{names!r}]")
    for name in names:
        find_metric(name, kind)


def usual_metrics(kind: str, labels: Sequence[str] = (), *, outside: bool = False) -> list[str]:
    """What is measured where nothing is asked, what tells most first."""
    if kind == "tags":
        entities = any(label != "O" for label in labels) and all(map(is_entity_tag, labels))
        return ["f1", "precision", "recall", "accuracy"] if entities else ["accuracy"]
    if kind == "classification":
        more = ["in_scope_accuracy", "out_of_scope_recall", "out_of_scope_threshold"]
        two = ["f1", "matthews"] if len(labels) == 2 else []
        return ["accuracy", "macro_f1", *two, *(more if outside else [])]
    return {
        "regression": ["pearson", "spearman", "mse"],
        "multi_label": ["micro_f1", "macro_f1", "exact_match"],
        "choice": ["accuracy"],
        "spans": [metric.name for metric in METRICS if metric.kinds == ("spans",)],
        "words": ["perplexity", "accuracy"],
    }[kind]


def measured(judged: Judged, names: Sequence[str]) -> dict[str, float]:
    """These metrics by name, without those that mean nothing here.

    Raises InputError for an unknown name, one that does not fit the data, or a missing library, and
    if none means anything.
    """
    found = {name: find_metric(name, judged.kind).measure(judged) for name in names}
    scores = {name: value for name, value in found.items() if value is not None}
    if not scores:
        raise InputError(f"{', '.join(names)} mean nothing for these data; take other metrics")
    return scores


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"the metric comes from {name.partition('.')[0]}, which is not installed; "
            "pip install 'distilbert[train]'"
        ) from error


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:4]) + (" …" if len(labels) > 4 else "")
