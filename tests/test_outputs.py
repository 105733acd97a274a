"""Outputs are dictionaries, dataclasses, tuples by slice, and pytrees."""

import copy
import pickle

import pytest
import torch
from torch.utils import _pytree as pytree

from distilbert.outputs import BaseModelOutput, SequenceClassifierOutput


@pytest.fixture
def output():
    return SequenceClassifierOutput(loss=torch.tensor(0.5), logits=torch.ones(2, 3))


def test_an_output_is_a_dictionary_of_what_is_not_none(output):
    assert isinstance(output, dict)
    assert list(output) == list(output.keys()) == ["loss", "logits"]
    assert len(output) == 2
    assert "attentions" not in output
    assert output.attentions is None
    assert output.get("attentions") is None
    assert dict(**output)["logits"] is output.logits
    assert [name for name, _ in output.items()] == ["loss", "logits"]
    assert list(output.values())[1] is output.logits


def test_an_output_unpacks_by_slice_and_indexes_by_place_and_name(output):
    loss, logits = output[:2]
    assert loss is output.loss is output[0] is output["loss"]
    assert logits is output.logits is output[1] is output[-1]
    assert output.to_tuple() == (loss, logits)
    with pytest.raises(IndexError):
        output[2]
    with pytest.raises(KeyError):
        output["attentions"]


def test_items_follow_attributes_and_attributes_items(output):
    output.loss = None
    assert list(output) == ["logits"]
    output["loss"] = torch.tensor(1.0)
    assert output.loss == 1
    assert list(output) == ["loss", "logits"]  # in the order of the fields, whenever it was set
    late = SequenceClassifierOutput(logits=torch.ones(2))
    late.loss = torch.zeros(1)
    assert list(late.keys()) == [name for name, _ in late.items()] == ["loss", "logits"]
    rebuilt = pytree.tree_unflatten(*pytree.tree_flatten(late))
    assert rebuilt.loss is late.loss
    assert rebuilt.logits is late.logits
    with pytest.raises(KeyError, match="has no field 'foo'"):
        late["foo"] = 3
    output.update(loss=torch.tensor(2.0))
    assert output.loss == output[0] == 2


def test_items_cannot_be_taken_away(output):
    for take in (
        lambda: output.pop("loss"),
        output.popitem,
        lambda: output.__delitem__("loss"),
    ):
        with pytest.raises(TypeError, match="set them to None"):
            take()
    assert list(output) == ["loss", "logits"]


@pytest.mark.parametrize("form", [dict, lambda o: list(o.items()), lambda o: iter(o.items())])
def test_an_output_is_rebuilt_from_a_mapping_or_pairs(output, form):
    again = type(output)(form(output))  # as DataParallel, accelerate and trainers do
    assert list(again) == ["loss", "logits"]
    assert again.logits is output.logits


def test_an_output_survives_pickle_and_copies(output):
    for again in (pickle.loads(pickle.dumps(output)), copy.deepcopy(output), copy.copy(output)):
        assert type(again) is SequenceClassifierOutput
        assert list(again) == ["loss", "logits"]
        assert torch.equal(again.logits, output.logits)


def test_an_output_is_a_pytree():
    output = BaseModelOutput(torch.ones(1), hidden_states=(torch.ones(2), torch.ones(3)))
    doubled = pytree.tree_map(lambda x: x * 2, output)
    assert type(doubled) is BaseModelOutput
    assert doubled.hidden_states[1].tolist() == [2, 2, 2]
    leaves, spec = pytree.tree_flatten(output)
    assert len(leaves) == 3
    assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec
    arrays = pytree.tree_map(lambda x: x.numpy(), BaseModelOutput(torch.ones(2, 2)))
    assert arrays.last_hidden_state.shape == (2, 2)
    assert pytree.tree_map(str, output).last_hidden_state == "tensor([1.])"
    keys = [pytree.keystr(key) for key, _ in pytree.tree_flatten_with_path(output)[0]]
    assert keys[0] == ".last_hidden_state"
