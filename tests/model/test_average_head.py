"""Heads that are the mean of others."""

import pytest
import torch

from distilbert import AdapterError
from heads import IDS, MASK, state_of, with_heads


def three(name):
    """A model with three heads of a type, each with weights of its own."""
    from heads import ADD

    model = with_heads()
    method, options = ADD[name]
    for number, each in enumerate("abc"):
        getattr(model, method)(each, **options)
        generator = torch.Generator().manual_seed(number)
        for parameter in model.heads[each].parameters():
            if parameter is not model.get_input_embeddings().weight:
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


@pytest.mark.parametrize("name", ["classes", "shares", "number", "choice", "tags", "spans"])
def test_every_weight_is_the_mean(name):
    model = three(name)
    model.average_head("mean", ["a", "b", "c"], weights=[1, 2, 5])
    own = {key: [model.heads[n].state_dict()[key] for n in "abc"] for key in weights_of(model, "a")}
    for key, value in weights_of(model, "mean").items():
        a, b, c = own[key]
        torch.testing.assert_close(value, (a + 2 * b + 5 * c) / 8)


def test_the_mean_of_heads_for_words_has_the_table_of_the_embeddings():
    model = three("masks")
    table = model.get_input_embeddings().weight.clone()
    model.average_head("mean", {"a": 3, "b": -1}, normalize_weights=False)
    assert torch.equal(model.get_input_embeddings().weight, table)
    decoder = model.heads["mean"].get_output_embeddings()
    assert decoder.weight is model.get_input_embeddings().weight
    key = "0.weight"
    a, b = (model.heads[n].state_dict()[key] for n in "ab")
    torch.testing.assert_close(model.heads["mean"].state_dict()[key], 3 * a - b)
    assert model(IDS, MASK, head="mean").logits.isfinite().all()


def test_a_mean_becomes_active_where_that_is_asked_for():
    model = three("classes")
    model.active_head = "a"
    model.average_head("mean", ["a", "b"])
    assert model.active_head == "a"
    model.average_head("mean", ["b", "c"], overwrite_ok=True, set_active=True)
    assert model.active_head == "mean"


@pytest.mark.parametrize(
    ("name", "heads", "message"),
    [
        ("a", ["b", "c"], "there is a head 'a' already"),
        ("x.y", ["b", "c"], "no name for a head"),
        ("mean", ["a", "nobody"], "no head 'nobody'"),
        ("mean", ["a", "tags"], "differ in"),
        ("mean", ["a", "wide"], r"differ in \['num_labels'\]"),
        ("mean", [], "head_list is"),
        ("mean", "a", "head_list is"),
    ],
)
def test_heads_without_a_mean_are_refused_and_change_nothing(name, heads, message):
    model = three("classes")
    model.add_tagging_head("tags")
    model.add_classification_head("wide", num_labels=4)
    before = state_of(model)
    with pytest.raises(AdapterError, match=message):
        model.average_head(name, heads)
    after = state_of(model)
    assert after[0] == before[0]
    assert after[1].keys() == before[1].keys()


def weights_of(model, name):
    return model.heads[name].state_dict()
