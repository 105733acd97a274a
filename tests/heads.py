"""A small model with heads of every type, and what tests give it."""

import copy
from typing import Any

import torch

from distilbert import DistilBertConfig
from distilbert.model.with_heads import DistilBertModelWithHeads

ADD: dict[str, tuple[str, dict[str, Any]]] = {  # each type under its own name
    "classes": ("add_classification_head", {"num_labels": 3}),
    "shares": ("add_classification_head", {"num_labels": 4, "multilabel": True}),
    "number": ("add_classification_head", {"num_labels": 1}),
    "choice": ("add_multiple_choice_head", {"num_choices": 2}),
    "tags": ("add_tagging_head", {"num_labels": 5}),
    "spans": ("add_qa_head", {}),
    "trees": ("add_dependency_parsing_head", {"num_labels": 6}),
    "masks": ("add_masked_lm_head", {}),
    "next": ("add_causal_lm_head", {}),
}
ROWS, COLUMNS = 4, 6
IDS = torch.randint(1, 50, (ROWS, COLUMNS), generator=torch.Generator().manual_seed(1))
MASK = (torch.arange(COLUMNS) < torch.tensor([6, 4, 2, 5])[:, None]).long()
STARTS = torch.tensor([[1, 2, 5], [1, 3, -1], [1, 2, -1], [1, 2, 5]])
CLASSES = torch.tensor([2, 0, 1, 0])
TAGS = torch.where(MASK == 1, 3, -100)


def config(**settings: Any) -> DistilBertConfig:
    sizes = {"vocab_size": 50, "dim": 24, "hidden_dim": 40, "n_layers": 2, "n_heads": 4}
    return DistilBertConfig(
        **{**sizes, "max_position_embeddings": 16, "initializer_range": 0.3, **settings}
    )


def add(model: Any, *names: str) -> None:
    """Adds heads of these names to a model."""
    for name in names:
        method, options = ADD[name]
        getattr(model, method)(name, **options)


def with_heads(*names: str, **settings: Any) -> Any:
    """A random model in eval mode with these heads, no weight of which is 0."""
    torch.manual_seed(0)
    model = DistilBertModelWithHeads(config(**settings)).eval()
    add(model, *names)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or "biaffine" in name:
                parameter.add_(torch.randn_like(parameter) / 5)
    return model


def state_of(model: Any) -> tuple[Any, ...]:
    """What nothing that fails may change."""
    return (
        copy.deepcopy(model.config.to_dict()),
        {name: value.clone() for name, value in model.state_dict().items()},
        copy.deepcopy(model.active_head),
    )


def assert_same_state(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert one[0] == other[0]
    assert one[2] == other[2]
    torch.testing.assert_close(one[1], other[1], rtol=0, atol=0)


def assert_close(a: Any, b: Any) -> None:
    assert list(a.keys()) == list(b.keys())
    torch.testing.assert_close(a.to_tuple(), b.to_tuple(), rtol=1e-5, atol=4e-6)


def needs(name: str) -> dict[str, torch.Tensor]:
    """What the head needs beside the batch."""
    return {"word_starts": STARTS.clone()} if name == "trees" else {}
