"""What a forward pass returns: dictionaries that are dataclasses, tuples by slice, and pytrees.

Every class ends with what adapters may be asked for, `{adapter: {layer: {place: …}}}` each:
adapter_gating_scores: where asked for, the gates of each row, (rows, …) each.
adapter_fusion_attentions: where asked for, how much each token took of each fused adapter.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils._pytree import Context, GetAttrKey, KeyEntry, register_pytree_node


class Output(OrderedDict[str, Any]):
    """Base of the outputs. A subclass is a dataclass; its items are its fields that are not None.

    `output.logits`, `output["logits"]`, `output[0]` and `output[:2]` all work. As in any
    dictionary, iterating yields names: unpack with a slice or `to_tuple()`.
    """

    def __init_subclass__(cls) -> None:
        register_pytree_node(
            cls,
            _flatten,
            partial(_unflatten, cls),
            serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
            flatten_with_keys_fn=_flatten_with_keys,
        )

    def __post_init__(self) -> None:
        # Others rebuild an output as they would a dictionary: from a mapping, or from pairs.
        first = fields(self)[0].name  # type: ignore[arg-type]
        items = getattr(self, first)
        if isinstance(items, Iterator):
            items = list(items)
        if isinstance(items, Mapping) or (isinstance(items, list) and all(map(_is_item, items))):
            setattr(self, first, None)
            for name, value in dict(items).items():
                setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        if name in names:
            super().clear()  # so that items keep the order of the fields, whichever came last
            for each in names:
                if self.__dict__.get(each) is not None:
                    super().__setitem__(each, self.__dict__[each])

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in (field.name for field in fields(self)):  # type: ignore[arg-type]
            raise KeyError(f"{type(self).__name__} has no field {name!r}")
        setattr(self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __delitem__(self, *args: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot lose items; set them to None")

    def pop(self, *args: Any) -> NoReturn:
        self.__delitem__()

    def popitem(self, *args: Any, **kwargs: Any) -> NoReturn:
        self.__delitem__()

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are not None, in the order of the fields."""
        return tuple(self.values())

    def __reduce__(self) -> Any:
        return type(self), tuple(self.__dict__[f.name] for f in fields(self))  # type: ignore[arg-type]


def _is_item(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)


def _flatten(output: Output) -> tuple[list[Any], Context]:
    return list(output.values()), list(output.keys())


def _flatten_with_keys(output: Output) -> tuple[list[tuple[KeyEntry, Any]], Context]:
    return [(GetAttrKey(name), value) for name, value in output.items()], list(output.keys())


def _unflatten(cls: type[Output], values: Iterable[Any], names: Context) -> Output:
    return cls(**dict(zip(names, values, strict=True)))


Tensors = tuple[Tensor, ...]


@dataclass
class BaseModelOutput(Output):
    """Of `DistilBertModel`.

    last_hidden_state: (rows, columns, dim).
    hidden_states: where asked for, the embeddings and each layer, (rows, columns, dim) each.
    attentions: where asked for, of each layer, (rows, heads, columns, columns) each.
    """

    last_hidden_state: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class MaskedLMOutput(Output):
    """Of `DistilBertForMaskedLM`. loss: (); logits: (rows, columns, vocabulary)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class SequenceClassifierOutput(Output):
    """Of `DistilBertForSequenceClassification`. loss: (); logits: (rows, labels)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class QuestionAnsweringModelOutput(Output):
    """Of `DistilBertForQuestionAnswering`. loss: (); start and end logits: (rows, columns)."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class TokenClassifierOutput(Output):
    """Of `DistilBertForTokenClassification`. loss: (); logits: (rows, columns, labels)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class MultipleChoiceModelOutput(Output):
    """Of `DistilBertForMultipleChoice`. loss: (); logits: (rows, choices)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class CausalLMOutput(Output):
    """Of a head for causal language modelling. loss: (); logits: (rows, columns, vocabulary)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class DependencyParsingOutput(Output):
    """Of a head for dependency parsing: word 0 of those that a word may hang on is the root.

    loss: (). rel_preds: (rows, words, 1 + words, labels), what a word is to another.
    arc_preds: (rows, words, 1 + words), whether it hangs on it.
    """

    loss: Tensor | None = None
    rel_preds: Tensor | None = None
    arc_preds: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None


@dataclass
class MultiHeadOutput(Output):
    """Of several heads in one pass. It is counted, indexed and iterated by head.

    loss: (), the sum of the heads' losses, where each has one.
    head_outputs: One output for each head.
    rows: For each head the numbers of its rows in the caller's order; None: each has every row.

    >>> output = MultiHeadOutput(None, ["first", "second"])
    >>> output[1], len(output), [*output]
    ('second', 2, ['first', 'second'])
    """

    loss: Tensor | None = None
    head_outputs: Any = None
    rows: Any = None
    adapter_gating_scores: Any = None
    adapter_fusion_attentions: Any = None

    def __getitem__(self, key: Any) -> Any:
        return self.head_outputs[key] if isinstance(key, int) else super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.head_outputs)

    def __len__(self) -> int:
        return len(self.head_outputs)

    @property
    def logits(self) -> Tensor:
        """Those of all heads, one head's rows after the other's.

        Raises AttributeError if they have different widths.
        """
        each = [output["logits"] for output in self.head_outputs]
        if len({logits.shape[1:] for logits in each}) > 1:
            raise AttributeError(
                "the heads' logits have different shapes; take them from head_outputs"
            )
        return torch.cat(each)
