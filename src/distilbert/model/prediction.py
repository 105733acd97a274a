"""What every head that can be added has: a name, numbered layers, and options that files hold."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from distilbert.activations import ACTIVATIONS
from distilbert.adapters.methods.activation import ALIASES, activation
from distilbert.config import DistilBertConfig
from distilbert.errors import AdapterError, ConfigError
from distilbert.flow import Flow
from distilbert.model.encoder import Encoded
from distilbert.model.heads import Undo, answer
from distilbert.model.layers import Linear, initialise
from distilbert.model.passed import reported
from distilbert.model.tasks import Task
from distilbert.outputs import BaseModelOutput, Output
from distilbert.settings import labels

if TYPE_CHECKING:
    from distilbert.model.pretrained import DistilBertPreTrainedModel


class Activation(nn.Module):
    """A function by its name, which has a number among the layers: (…) → (…)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.function = activation(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.name


class PredictionHead(nn.Sequential):
    """Layers on top of the encoder. Their keys are `heads.{name}.{number}.…`.

    A class of one's own, for `register_custom_head`, is called with the model, the head's name and
    the options, stores these in `self.config` and calls `build(model)`, or makes its own layers.
    It has a `task`, or else a method
    `forward(outputs, cls_output=None, attention_mask=None, return_dict=False, **labels)`, which
    gets the encoder's `BaseModelOutput`, or without `return_dict` its plain tuple, and may run the
    layers by `super().forward(x)`. What it leaves out of the pass (hidden states, attentions,
    gates) is added to its output.
    """

    task: ClassVar[Task]
    takes: ClassVar[tuple[str, ...]] = ("labels",)  # arguments of the model's forward pass

    problem_type: str | None = None

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.config: dict[str, Any] = {}

    # Building --------------------------------------------------------------------------------

    def build(self, model: "DistilBertPreTrainedModel") -> None:
        """Makes the layers that the options ask for: fresh, on the model's device, in its mode.

        Inside `with torch.device("meta")` they have shapes and no values, whatever the model has.
        """
        device = torch.device("meta") if torch.empty(0).is_meta else model.device
        with device:
            for number, layer in enumerate(self._layers(model.config)):
                self.add_module(str(number), layer)
        if device.type != "meta":
            self._initialise(model.config.initializer_range)
        self.to(model.dtype)
        self.train(model.training)

    def _initialise(self, spread: float) -> None:
        for key, _ in self.named_parameters():
            owner, _, name = key.rpartition(".")
            initialise(self.get_submodule(owner), name, spread)

    def _layers(self, config: DistilBertConfig) -> Iterator[nn.Module]:
        options, dim = self.config, config.dim
        dropout = self._dropout(config)
        for _ in range(options["layers"] - 1):
            yield nn.Dropout(dropout)
            yield Linear(dim, dim)
            yield from self._activation()
        yield nn.Dropout(dropout)
        if "num_labels" in options or "num_choices" in options:
            outputs = options.get("num_labels", 1)  # a choice has a score
            yield Linear(dim, outputs, bias=options.get("bias", True))
        else:
            yield Linear(dim, dim, bias=options.get("bias", True))
            yield from self._activation()

    def _activation(self) -> Iterator[nn.Module]:
        name = self.config["activation_function"]
        if name:  # none at all has no number
            yield Activation(name)

    def _dropout(self, config: DistilBertConfig) -> float:
        own = self.config.get("dropout_prob")
        return config.seq_classif_dropout if own is None else float(own)

    # Labels ----------------------------------------------------------------------------------

    @property
    def num_labels(self) -> int:
        """How many labels, or choices, it tells apart; 0 for one that tells words apart."""
        count: int = self.config.get("num_labels") or self.config.get("num_choices") or 0
        return count

    @property
    def id2label(self) -> dict[int, str] | None:
        """The names of its labels, in the order of their numbers; None where they have none."""
        numbers = self.config.get("label2id")
        if numbers is None:
            return None
        return dict(sorted((number, label) for label, number in numbers.items()))

    def get_output_embeddings(self) -> nn.Linear | None:
        """The projection to the vocabulary, where it has one."""
        return None

    # Running ---------------------------------------------------------------------------------

    @property
    def runs_itself(self) -> bool:
        """Whether its class has a `forward` of its own, which then decides everything."""
        return type(self).forward is not nn.Sequential.forward

    def logits(self, hidden: Tensor) -> Tensor:
        """What the task reads, (…, dim) → (…, labels)"""
        return nn.Sequential.forward(self, hidden)  # type: ignore[no-any-return, no-untyped-call]

    def answer(
        self,
        encoded: Encoded,
        flow: Flow,
        given: Mapping[str, Any],
        choices: int = 0,
        undo: Undo | None = None,
    ) -> Output:
        """The output for one pass through the encoder, with a loss where it is given labels.

        given: What it `takes` of the arguments of the pass, by name; None and names may lack. One
            that runs itself takes all, and a `return_dict` of False too.
        choices: How many neighbouring rows compete, for a head whose task is choosing.
        undo: What takes invertible adapters back, for a head whose answers are words.
        """
        if self.runs_itself:
            outputs = BaseModelOutput(
                encoded.own(), encoded.hidden_states, encoded.attentions, *reported(encoded, flow)
            )
            rest = {k: v for k, v in given.items() if v is not None}
            mask, named = rest.pop("attention_mask", None), rest.pop("return_dict", True)
            own = self(outputs if named else outputs.to_tuple(), None, mask, named, **rest)
            completed: Output = _completed(own, outputs)
            return completed
        return answer(self, encoded, flow, self.targets(given), self, choices, undo)

    def targets(self, given: Mapping[str, Any]) -> Any:
        """The labels as the task's loss takes them; None for no loss."""
        return given.get("labels")


def _completed(own: Any, outputs: BaseModelOutput) -> Any:
    """What a head says, with what it has left out of the encoder's output, where it is no tuple."""
    if isinstance(own, OrderedDict):
        for name, value in outputs.items():
            if name != "last_hidden_state" and name not in own:
                with suppress(KeyError):  # a class that has no place for it
                    own[name] = value
    return own


class FlexibleHead(PredictionHead):
    """A head of a published type, whose options are those that AdapterHub's files hold.

    Raises AdapterError for options that are unknown or cannot work.
    """

    head_type: ClassVar[str]
    options: ClassVar[Mapping[str, Any]]  # with what they are where nothing is said

    def __init__(self, model: "DistilBertPreTrainedModel", head_name: str, **options: Any) -> None:
        super().__init__(head_name)
        self.config = self._checked(options, model.config)
        self.build(model)

    def _checked(self, given: Mapping[str, Any], config: DistilBertConfig) -> dict[str, Any]:
        """All options. Raises AdapterError for one that is unknown or cannot work."""
        given = dict(given)
        names = given.pop("id2label", None)
        if names is not None:
            given["label2id"] = _numbers(names)
        unknown = sorted(given.keys() - self.options.keys())
        if unknown:
            raise AdapterError(
                f"head {self.name!r} of type {self.head_type!r} has no option {unknown[0]!r}; "
                f"allowed: {', '.join(self.options)}, and id2label"
            )
        options = {"head_type": self.head_type, **self.options, **given}
        for name, value in options.items():
            accepts, allowed = _CHECKS.get(name, (_anything, ""))
            if not accepts(value):
                raise self.refusal(name, value, allowed)
        if options["label2id"] is None:
            count = options.get("num_labels", options.get("num_choices"))
            if count is not None:
                options["label2id"] = {f"LABEL_{i}": i for i in range(count)}
        return options

    def refusal(self, option: str, value: Any, allowed: str) -> AdapterError:
        """The error for an option that cannot work."""
        return AdapterError(
            f"head {self.name!r} of type {self.head_type!r} has {option} {value!r:.100}; "
            f"allowed: {allowed}"
        )


# Options -----------------------------------------------------------------------------------------


_MOST_LABELS = 1_000_000  # so that a file cannot ask for all the memory
_MOST_LAYERS = 100


def _count(most: int) -> tuple[Callable[[Any], bool], str]:
    def accepts(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most

    return accepts, f"a whole number from 1 to {most}"


def _anything(value: object) -> bool:
    return True


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _share(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (number and 0 <= value <= 1)  # type: ignore[operator]


def _known_activation(value: object) -> bool:
    known = {*ACTIVATIONS, *ALIASES}
    return value is None or (isinstance(value, str) and value.lower() in known)


def _label_numbers(value: object) -> bool:
    return value is None or (
        isinstance(value, dict)
        and all(isinstance(number, int) for number in value.values())
        and len(set(value.values())) == len(value)
        and all(map(_is_label, value))
    )


def _is_label(label: object) -> bool:
    text = isinstance(label, str) and not any("\ud800" <= char <= "\udfff" for char in label)
    return text or isinstance(label, (int, float))  # no file can hold half a character


def label_names(given: Any, count: Any, head: str | None = None) -> dict[int, str]:
    """The names that a caller gives a head's labels, by number, which may be text.

    Raises AdapterError unless there is one for each of `count` labels, all different.
    """
    what = "the head" if head is None else f"head {head!r}"
    try:
        names = labels(None, given, None)[0]
    except ConfigError as error:
        raise AdapterError(f"{what}: {error}") from None
    different = len(set(names.values()))
    if len(names) != count or different != count:
        raise AdapterError(
            f"id2label of {what} names {different} labels, and it has {count}; give as many names, "
            "all different"
        )
    return names


def _numbers(names: Any) -> Any:
    """id2label, of a file perhaps, whose keys are text → label2id, or what its check refuses."""
    try:
        numbers = {label: int(number) for number, label in names.items()}
    except (AttributeError, TypeError, ValueError):
        return names
    return numbers if len(numbers) == len(names) else names


_LABELS, _FLAG = _count(_MOST_LABELS), (_flag, "True or False")
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("num_labels", "num_choices", "vocab_size", "embedding_size"), _LABELS),
    **dict.fromkeys(("bias", "layer_norm", "shift_labels"), _FLAG),
    "layers": _count(_MOST_LAYERS),
    "activation_function": (_known_activation, f"None, {', '.join(ACTIVATIONS)}"),
    "dropout_prob": (_share, "None for that of the model, or a number from 0 to 1"),
    "label2id": (_label_numbers, "None, or a number for each label, none of them twice"),
    "use_pooler": (lambda value: value is False, "False: a DistilBERT has no pooler"),
}
