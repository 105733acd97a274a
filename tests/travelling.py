"""A model with everything that travels in files, and what is compared when it has arrived."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import heads
from adapted import METHODS, batch, tiny, with_adapters
from distilbert.adapters import Average, BatchSplit, Fuse, MultiTask, Parallel, Split, Stack

FIXED = (
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering",
    "DistilBertForMultipleChoice",
    "DistilBertForMaskedLM",
)
FLEXIBLE = "DistilBertModelWithHeads"
CLASSES = ("DistilBertModel", *FIXED, FLEXIBLE)
HEADED = {  # adapter → the type of the head that is called as it is
    "seq_bn": "classes",
    "prompt": "shares",
    "dora": "number",
    "vera": "choice",
    "lora": "tags",
    "mam": "spans",
    "mtl_lora": "trees",
    "nice": "masks",
    "ia3": "next",
}
FUSED = "double_seq_bn[reduction_factor=4]"  # the adapters a, b and c
FUSIONS: dict[str, tuple[list[str], str, str | None]] = {
    "dynamic": (["a", "b"], "dynamic", None),
    "static": (["a", "b", "c"], "static", None),
    "named": (["b", "c"], "dynamic", "team"),
}
SETUPS: dict[str, Any] = {
    "stack": Stack("seq_bn", "lora"),
    "fuse": Fuse("a", "b"),
    "fuse of three": Fuse("a", "b", "c"),
    "stack, fuse": Stack("seq_bn", Fuse("b", "c", name="team")),
    "parallel": Parallel("seq_bn", "lora"),
    "parallel stacks": Parallel(Stack("a", "seq_bn"), Stack("c", "lora")),
    "split": Split("a", "seq_bn", splits=[3, 4]),
    "batch split": BatchSplit("nice", "loreft", batch_sizes=[1, 3]),
    "average": Average("a", "b", weights=[0.25, 0.75]),
    "multi task": MultiTask("a", "lora"),
}
TASKS = {"task_ids": [1, 0, 0, 1]}  # of "multi task"


def fresh(name: str = FLEXIBLE, **settings: Any) -> Any:
    """A tiny model of a class, the weights of whose encoder are always the same."""
    found, encoder = tiny(name, **settings), tiny(**settings)
    found.base_model.load_state_dict(encoder.state_dict())
    return found


def full(name: str = FLEXIBLE) -> Any:
    """A model with every method under its own name, fusions, and where it can heads."""
    found = with_adapters(fresh(name), {method: method for method in METHODS})
    with_adapters(found, dict.fromkeys("abc", FUSED))
    for names, config, given in FUSIONS.values():
        found.add_adapter_fusion(names, config, given)
    with torch.no_grad():
        for key, parameter in found.named_parameters():
            if "adapter_fusion_layer" in key:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(key)))
    for adapter, kind in HEADED.items() if name == FLEXIBLE else ():
        method, options = heads.ADD[kind]
        getattr(found, method)(adapter, **options)
    return found


def hidden(model: Any, setup: Any = None, **options: Any) -> torch.Tensor:
    """What the encoder says with adapters, or with the active ones: (rows, columns, dim)."""
    with torch.no_grad():
        found = model.base_model(*batch(), adapter_names=setup, **options)
    return found.last_hidden_state  # type: ignore[no-any-return]


def answer(model: Any, head: str, setup: Any = None) -> Any:
    """What a head says of a batch, with adapters."""
    more = {}
    if model.heads[head].config["head_type"] == "dependency_parsing":
        more["word_starts"] = torch.tensor([[1, 2, 4], [1, 2, 3], [1, 3, 4], [1, -1, -1]])
    with torch.no_grad():
        return model(*batch(), head=head, adapter_names=setup, **more)


def equal(found: Any, wanted: Any) -> None:
    """Bit for bit: tensors, lists of them, outputs, dictionaries."""
    if isinstance(found, Mapping):
        assert list(found) == list(wanted)
        found, wanted = dict(found), dict(wanted)
    assert_close(found, wanted, rtol=0, atol=0)


def state_of(model: Any) -> dict[str, Any]:
    """What nothing that is refused may change."""
    own = model.adapters_config
    return {
        "config": copy.deepcopy(model.config.to_dict()),
        "weights": {key: value.clone() for key, value in model.state_dict().items()},
        "trains": {key: p.requires_grad for key, p in model.named_parameters()},
        "adapters": (dict(own.configs), dict(own.traits), dict(own.fusions)),
        "active": (own.active, own.merged, getattr(model, "active_head", None)),
        "training": model.training,
    }


def refused(model: Any, error: Any, message: str, method: str, *args: Any, **options: Any) -> None:
    """That a method refuses, and the model then is as it was, bit for bit."""
    before = state_of(model)
    with pytest.raises(error, match=message):
        getattr(model, method)(*args, **options)
    after = state_of(model)
    equal(after.pop("weights"), before.pop("weights"))
    assert after == before
