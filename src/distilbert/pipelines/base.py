"""What every pipeline shares: how it is called, how texts become rows, and what is too long."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar, cast

from distilbert.errors import InputError

Progress = Callable[[int], None]  # called with the number of inputs just finished

_NO_LISTS = (Mapping, bytes, bytearray, Set)  # they iterate over what is no text, or in no order

TOKENIZER_OPTIONS = (
    "add_special_tokens",
    "split_special_tokens",
    "padding",
    "pad_to_multiple_of",
    "padding_side",
)

READ_AHEAD = 256  # texts taken at a time from an iterator, so that they can be batched by length


TRUNCATIONS = (None, True, False, "longest_first", "only_first", "only_second", "do_not_truncate")

WITHOUT_EFFECT: dict[str, Collection[Any]] = {
    "framework": ("pt",),
    "num_workers": range(1025),
    "padding": (True, False, "longest", "max_length", "do_not_pad"),
    "trust_remote_code": (False,),
    "binary_output": (False,),
    "offset_mapping": (),
    "device_map": (),
    "feature_extractor": (),
    "processor": (),
    "image_processor": (),
    "use_auth_token": (),
    "pipeline_class": (),
}
"""Options of other libraries' pipelines, and the values (None too) that ask for nothing here."""


class TextError(InputError):
    """An input that cannot be used: `number` of those in the call, from 0."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


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
    max_length: cut to this many tokens, unless truncation is False.
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
        if self.truncation not in TRUNCATIONS:
            raise InputError(
                f"unknown truncation {self.truncation!r}; it is one of "
                + ", ".join(map(str, TRUNCATIONS))
            )
        if self.tokenizer_options is not None:
            check_tokenizer_options("tokenizer_options", self.tokenizer_options)
        if self.on_cut is not None and not callable(self.on_cut):
            raise InputError(f"on_cut must be a function, not {self.on_cut!r}")

    @property
    def cuts(self) -> bool | str:
        """How a text that is too long is cut, False where it is not."""
        if self.truncation is None:
            return "longest_first" if self.max_length is not None else False
        return False if self.truncation == "do_not_truncate" else self.truncation

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

    @property
    def device(self) -> Any:
        """Where the model's weights are."""
        return next(self.model.parameters()).device

    framework: ClassVar[str] = "pt"

    def predict(self, inputs: Any) -> Any:
        """What a call gives, under the name that scikit-learn knows."""
        return self(inputs)

    transform = predict

    def save_pretrained(self, folder: Any) -> None:
        """Save the model and its tokenizer in one folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """One answer for one input, a list for a list, an iterator for any other iterable."""
        chosen = self.choose(options)
        if self.is_one(inputs):
            return self.answers([inputs], chosen)[0]
        if isinstance(inputs, list | tuple):
            return self._answer_all(inputs, chosen)
        if isinstance(inputs, _NO_LISTS):
            raise self._wrong(inputs)
        if isinstance(inputs, Iterable):
            return self._answer_each(inputs, chosen)
        if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):  # a torch Dataset
            return self._answer_each((inputs[at] for at in range(len(inputs))), chosen)
        raise self._wrong(inputs)

    def run(
        self, inputs: Sequence[Any], *, progress: Progress | None = None, **options: Any
    ) -> list[Any]:
        """The answers to a list of inputs, in a list: one each, in order.

        `progress` is called with the number of inputs just finished.
        """
        if isinstance(inputs, (str, *_NO_LISTS)):
            raise self._wrong(inputs)
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
        for name in WITHOUT_EFFECT.keys() & given.keys():
            value, allowed = given.pop(name), WITHOUT_EFFECT[name]
            if not (value is None or value in allowed):
                raise InputError(
                    f"{name}={value!r} is nothing that {self.task} can do here; leave {name} out"
                )
        names = [field.name for field in fields(self.option_type)]
        for name in given:
            if name not in names:
                raise InputError(
                    f"unknown option {name!r} for {self.task}; its options are: {', '.join(names)}"
                )
        return given

    def _wrong(self, inputs: Any) -> InputError:
        return InputError(
            f"the {self.task} pipeline takes a text, a list or an iterable of texts; "
            f"it was given {_kind(inputs)}"
        )

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
        try:
            return self.answers(inputs, cast("Chosen", options.counted_from(start)), progress)
        except TextError as error:
            error.number += start
            raise


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


def list_of_texts(name: str, values: Any) -> None:
    """Raise InputError, naming it, for what is no list (tuple, set) of texts."""
    if not isinstance(values, list | tuple | Set) or not all(isinstance(v, str) for v in values):
        raise InputError(f"{name} must be a list of texts, not {values!r}")


def at_least(least: int, **values: Any) -> None:
    """Raise InputError, naming it, for a value that is not a whole number of at least `least`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}")


def counted(progress: Progress | None, rows: int, inputs: int) -> Progress | None:
    """Progress in inputs, of which each is one or more of `rows`: as many inputs as rows in part.

    The rows are not finished in their order, so no one knows which inputs are finished.
    """
    if progress is None or rows == inputs:
        return progress
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        progress(done * inputs // rows - before * inputs // rows)

    return tell


def check_tokenizer_options(name: str, options: Any) -> None:
    """Raise InputError unless `options` is a mapping of what a pipeline passes to a tokenizer."""
    if not isinstance(options, Mapping):
        raise InputError(f"{name} must be a dictionary of a tokenizer's options, not {options!r}")
    for one in options:
        if one not in TOKENIZER_OPTIONS:
            raise InputError(
                f"{name} cannot hold {one!r}; it may hold {', '.join(TOKENIZER_OPTIONS)}"
            )


def unpack_tokenizer_options(options: dict[str, Any], name: str) -> dict[str, Any]:
    """Move `options[name]` (`truncation` and `max_length` among them) to where pipelines read it.

    Raises InputError if an option is given both there and by itself.
    """
    inner = options.pop(name, None) or {}
    if not isinstance(inner, Mapping):
        raise InputError(f"{name} must be a dictionary of a tokenizer's options, not {inner!r}")
    inner = dict(inner)
    for own in ("truncation", "max_length"):
        if own in inner:
            if own in options:
                raise InputError(f"{own} is given twice: by itself and in {name}; give it once")
            options[own] = inner.pop(own)
    if inner:
        options["tokenizer_options"] = {**(options.get("tokenizer_options") or {}), **inner}
    return options


def gather_tokenizer_options(options: dict[str, Any]) -> dict[str, Any]:
    """Move options that are a tokenizer's from beside the others into their place."""
    inner = {name: options.pop(name) for name in TOKENIZER_OPTIONS if name in options}
    if inner:
        options["tokenizer_options"] = {**(options.get("tokenizer_options") or {}), **inner}
    return options


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
