"""`evaluate(model, tokenizer, dataset)`: how good a model is on a data set."""

from collections.abc import Callable, Sequence
from typing import Any

from distilbert.data.examples import Dataset
from distilbert.data.features import features, row_length
from distilbert.data.kinds import KINDS
from distilbert.engine.session import TOKEN_BUDGET, Session
from distilbert.errors import InputError
from distilbert.evaluation.answering import WAYS, Asked
from distilbert.evaluation.labels import check_scope
from distilbert.evaluation.metrics import check_metrics, measured, usual_metrics
from distilbert.evaluation.report import Prediction, Report


def evaluate(
    model: Any,
    tokenizer: Any,
    dataset: Dataset,
    *,
    metrics: Sequence[str] | None = None,
    max_length: int | None = None,
    stride: int = 128,
    token_budget: int | None = None,
    outside: str | None = None,
    no_answer: bool | None = None,
    threshold: float | None = None,
    longest: int = 30,
    seed: int = 42,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """What a model says of a data set, and how good that is.

    The model runs packed and in inference, whatever its mode; the adapters that are active act.
    Labels of the model and of the data are matched by their names.

    Args:
        model: Of the class for this kind of data, such as DistilBertForSequenceClassification.
        tokenizer: The one that belongs to it.
        dataset: Labelled examples.
        metrics: Names of metrics, what tells most first; None: those usual for such data.
        max_length: Most tokens of a row, and no more than the model reads; None: that many (384 for
            questions).
        stride: How many tokens the windows of a context, or of a long text with tags, share.
        token_budget: Most tokens that go through the model at once.
        outside: For classes: the name of the class of what belongs to no other. Of a model that
            lacks it, texts whose best class has a share below `threshold` are taken for it.
        no_answer: For questions: whether some have none, as in SQuAD 2.0; None: if any of the data
            has none.
        threshold: See `outside`; None: the one that is best on these data. For questions, how much
            higher than the best answer "no answer" has to score to be given; 0.0 where None.
        longest: For questions: most tokens of an answer.
        seed: For plain text: decides which 15 % of the words become masks; all of these do.
        progress: Called with the share that is done, from 0 to 1.

    Raises InputError if model, data, labels or options do not fit together, or an option would do
    nothing.
    """
    _check(model, dataset)
    usual = usual_metrics(dataset.kind, dataset.labels, outside=outside is not None)
    check_metrics(metrics or usual, dataset.kind)  # before the model runs
    if longest < 1:
        raise InputError(f"longest is {longest}; allowed: at least 1 token")
    unanswerable = _some_unanswerable(dataset, no_answer)
    check_scope(dataset.kind, outside, threshold, no_answer=unanswerable)
    budget = TOKEN_BUDGET if token_budget is None else token_budget
    session = Session(model, tokenizer, token_budget=budget)
    positions = session.config.max_position_embeddings
    length = row_length(dataset.kind, tokenizer, positions, max_length)
    asked = Asked(
        session,
        dataset,
        features(dataset, tokenizer, max_length=length, stride=stride),
        outside,
        threshold,
        unanswerable,
        longest,
        seed,
        progress,
    )
    answers = WAYS[dataset.kind](asked)
    judged = answers.judged
    names = metrics or usual_metrics(dataset.kind, judged.labels, outside=outside is not None)
    numbers = answers.example or range(len(answers.said))
    predictions = []
    for place, (number, said) in enumerate(zip(numbers, answers.said, strict=True)):
        example = dataset.examples[number]
        texts = example.texts if answers.texts is None else answers.texts[place]
        predictions.append(Prediction(example.id, example.where, texts, *said))
    return Report(dataset.kind, judged.labels, measured(judged, names), predictions)


def _some_unanswerable(dataset: Dataset, given: bool | None) -> bool:
    """Whether questions may have no answer. Raises InputError if some have, and may not."""
    without = [one for one in dataset.examples if dataset.kind == "spans" and not one.label]
    if given is False and without:
        raise InputError(
            f"{without[0].where}: the question has no answer ({len(without)} of "
            f"{len(dataset.examples)} have none), and no_answer=False says that all have one; "
            "evaluate as SQuAD 2.0: no_answer=True"
        )
    return bool(without) if given is None else given


def _check(model: Any, dataset: Dataset) -> None:
    """Raises InputError unless such a model can be judged on these data."""
    needed = KINDS[dataset.kind].model
    if needed not in {one.__name__ for one in type(model).__mro__}:
        raise InputError(
            f"{dataset.kind} data are answered by a {needed}, not by a {type(model).__name__}; "
            f"load the model with {needed}.from_pretrained"
        )
    if not dataset.examples:
        raise InputError("the data set holds no examples; give one that does")
    unknown = [one for one in dataset.examples if one.label is None]
    if unknown and dataset.kind != "words":
        raise InputError(
            f"{unknown[0].where}: nobody has said what is right of it ({len(unknown)} of "
            f"{len(dataset.examples)} examples have no label); evaluate on a split that has labels"
        )
