"""What every pipeline shares: how it is called, how texts become rows, and what is too long."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar, cast

from distilbert.errors import InputError

Progress = Callable[[int], None]
Rows = list[list[int]]

READ_AHEAD = 256  # texts taken at a time from an iterator, so that they can be batched by length


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every pipeline takes, when it is made or in one call.

    batch_size: how many texts go to the model together; the session batches those by length within
        its budget of tokens. Without it, all texts of a list, and 256 at a time of an iterator.
    """

    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            at_least(1, batch_size=self.batch_size)

    def counted_from(self, start: int) -> "Options":
        """These options for a batch whose first input is number `start` of all."""
        return self


@dataclass(frozen=True, kw_only=True)
class TextOptions(Options):
    """Options of the pipelines that give a text one answer.

    truncation: True cuts a text that is longer than the model reads (or than `max_length`); without
        it such a text is an error. The tokenizer's own strategies for pairs may be named.
    max_length: cut to this many tokens, with truncation.
    tokenizer_options: anything else that the tokenizer's call takes.
    on_cut: called with the numbers (from 0) of the texts that were cut, if any was.
    """

    truncation: bool | str | None = None
    max_length: int | None = None
    tokenizer_options: Mapping[str, Any] | None = None
    on_cut: Callable[[list[int]], None] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length is not None:
            at_least(1, max_length=self.max_length)

    def counted_from(self, start: int) -> "TextOptions":
        report = self.on_cut
        if report is None or start == 0:
            return self
        return replace(self, on_cut=lambda numbers: report([start + n for n in numbers]))


Chosen = TypeVar("Chosen", bound=Options)


class Pipeline(Generic[Chosen]):
    """Texts in, answers out, on one session. The base of one class a task.

    Options may be given when the pipeline is made, and overridden in a call. One input gives one
    answer, a list gives a list, and any other iterable gives an iterator of answers that reads
    ahead a little. An answer does not depend on what it is batched with.
    """

    task: ClassVar[str]
    option_type: type[Chosen]

    def __init__(
        self, model: Any, tokenizer: Any, *, token_budget: int | None = None, **options: Any
    ) -> None:
        """Raise InputError for an unknown option, a bad value, or a model of another task."""
        from distilbert.engine.session import Session
        from distilbert.pipelines.tasks import check_model

        check_model(self.task, model)
        self.options = self.option_type(**self._known(options))
        budget = {} if token_budget is None else {"token_budget": token_budget}
        self.session = Session(model, tokenizer, **budget)

    @property
    def model(self) -> Any:
        return self.session.model

    @property
    def tokenizer(self) -> Any:
        return self.session.tokenizer

    @property
    def limit(self) -> int:
        """How many tokens the model reads at once: its positions, or what its tokenizer allows."""
        positions: int = self.session.config.max_position_embeddings
        return min(positions, int(self.tokenizer.model_max_length))

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """One answer for one input, a list for a list, an iterator for any other iterable."""
        chosen = self.choose(options)
        if self.is_one(inputs):
            return self.answers([inputs], chosen)[0]
        if isinstance(inputs, list | tuple):
            return self._answer_all(inputs, chosen)
        if isinstance(inputs, Iterable):
            return self._answer_each(inputs, chosen)
        raise InputError(
            f"the {self.task} pipeline takes a text, a list or an iterable of texts; "
            f"it was given {_kind(inputs)}"
        )

    def run(
        self, inputs: Sequence[Any], *, progress: Progress | None = None, **options: Any
    ) -> list[Any]:
        """The answers to a list of inputs, in a list: one each, in order.

        `progress` is called with the number of rows (texts, or windows of long ones) just finished.
        """
        return self._answer_all(inputs, self.choose(options), progress)

    def answers(
        self, inputs: Sequence[Any], options: Chosen, progress: Progress | None = None
    ) -> list[Any]:
        """One answer an input. What a task does: written by each pipeline."""
        raise NotImplementedError

    def is_one(self, inputs: Any) -> bool:
        """Whether `inputs` is one input, and not a list of them."""
        return isinstance(inputs, str)

    def choose(self, options: Mapping[str, Any]) -> Chosen:
        """The options of one call: those given now, else those given when the pipeline was made."""
        return replace(self.options, **self._known(options)) if options else self.options

    def spelled(self, options: dict[str, Any]) -> dict[str, Any]:
        """Rewrite other spellings that users of the field bring to this pipeline's own."""
        return options

    def _known(self, options: Mapping[str, Any]) -> dict[str, Any]:
        given = self.spelled(dict(options))
        names = [field.name for field in fields(self.option_type)]
        for name in given:
            if name not in names:
                raise InputError(
                    f"unknown option {name!r} for {self.task}; its options are: {', '.join(names)}"
                )
        return given

    def _answer_all(
        self, inputs: Sequence[Any], options: Chosen, progress: Progress | None = None
    ) -> list[Any]:
        size = options.batch_size or max(len(inputs), 1)
        return [
            answer
            for start in range(0, len(inputs), size)
            for answer in self._batch(inputs[start : start + size], start, options, progress)
        ]

    def _answer_each(self, inputs: Iterable[Any], options: Chosen) -> Iterator[Any]:
        waiting, start = iter(inputs), 0
        while chunk := list(islice(waiting, options.batch_size or READ_AHEAD)):
            yield from self._batch(chunk, start, options)
            start += len(chunk)

    def _batch(
        self, inputs: Sequence[Any], start: int, options: Chosen, progress: Progress | None = None
    ) -> list[Any]:
        return self.answers(inputs, cast("Chosen", options.counted_from(start)), progress)


def rows_of(
    pipeline: Pipeline[Any],
    texts: Sequence[str],
    pairs: Sequence[str | None] | None,
    options: TextOptions,
) -> Rows:
    """The ids of each text (or pair) with special tokens, cut where that was asked for.

    Raises InputError, quoting the text, for one that the model cannot read whole.
    """
    extra = dict(options.tokenizer_options or {})
    for refused in ("return_tensors", "return_overflowing_tokens", "stride"):
        if refused in extra:
            raise InputError(f"the {pipeline.task} pipeline cannot pass {refused!r} to a tokenizer")
    limit = pipeline.limit if options.max_length is None else options.max_length
    tokenizer = pipeline.tokenizer
    rows = _encode(tokenizer, texts, pairs, extra)
    long = [number for number, row in enumerate(rows) if len(row) > limit]
    if long and options.truncation not in (None, False, "do_not_truncate"):
        shorter = _encode(
            tokenizer,
            [texts[number] for number in long],
            [pairs[number] for number in long] if pairs else None,
            {**extra, "truncation": options.truncation, "max_length": limit},
        )
        for number, row in zip(long, shorter, strict=True):
            rows[number] = row
        if options.on_cut:
            options.on_cut(long)
    for text, row in zip(texts, rows, strict=True):
        if len(row) > pipeline.limit:
            raise InputError(
                f"the text {shortened(text)!r} has {len(row)} tokens, and this model reads at most "
                f"{pipeline.limit}; pass truncation=True to cut it, or split the text"
            )
    return rows


def _encode(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str | None] | None,
    options: Mapping[str, Any],
) -> Rows:
    """The ids of each text, with its pair where it has one, without padding."""
    rows: Rows = [[] for _ in texts]
    pairs = pairs or [None] * len(texts)
    for paired in (False, True):
        numbers = [n for n in range(len(texts)) if (pairs[n] is not None) == paired]
        if not numbers:
            continue
        seconds = [pairs[n] for n in numbers] if paired else None
        encoded = tokenizer(
            [texts[n] for n in numbers],
            seconds,
            return_attention_mask=True,
            verbose=False,  # what is too long is said here, not there
            **options,
        )
        for n, ids, mask in zip(
            numbers, encoded["input_ids"], encoded["attention_mask"], strict=True
        ):
            rows[n] = [token for token, real in zip(ids, mask, strict=True) if real]
    return rows


def shortened(text: str, width: int = 40) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= width else text[: width - 1] + "…"


def texts_of(inputs: Sequence[Any], task: str) -> list[str]:
    """`inputs`, checked to be texts. Raises InputError naming the first that is not."""
    for number, text in enumerate(inputs):
        if not isinstance(text, str):
            raise InputError(
                f"the {task} pipeline takes texts (str); number {number + 1} of {len(inputs)} is "
                f"{_kind(text)}"
            )
    return list(inputs)


def at_least(least: int, **values: Any) -> None:
    """Raise InputError, naming it, for a value that is not a whole number of at least `least`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
