"""Models that share their weights: what is merged into one is not seen by another."""

import pytest
import torch

from adapted import batch, shake, tiny
from distilbert import DistilBertModelWithHeads, Session

pytestmark = pytest.mark.usefixtures("one_thread")
HEAD = {"activation_function": "relu"}


def adapted(name, method="lora[r=4,alpha=6]"):
    model = tiny(name)
    model.add_adapter("a", method)
    shake(model, "a")
    if name == "DistilBertModelWithHeads":
        model.add_classification_head("default", **HEAD)
    return model.eval()


def by_as_fixed(method):
    model = adapted("DistilBertModelWithHeads", method)
    return model, model.as_fixed()


def by_from_fixed(method):
    model = adapted("DistilBertForSequenceClassification", method)
    return model, DistilBertModelWithHeads.from_fixed(model)


SHARED = {
    "as_fixed": by_as_fixed,
    "as_fixed, the other way": lambda method: by_as_fixed(method)[::-1],
    "from_fixed": by_from_fixed,
    "from_fixed, the other way": lambda method: by_from_fixed(method)[::-1],
}


@torch.no_grad()
def says(model, *names):
    return model(*batch(), adapter_names=names[0] if names else None).logits


def parameters(model):
    return dict(model.distilbert.named_parameters())


def assert_shared(one, other):
    found, expected = parameters(one), parameters(other)
    assert found.keys() == expected.keys()
    assert all(value is expected[key] for key, value in found.items())


@pytest.mark.parametrize("method", ["lora[r=4,alpha=6]", "ia3", "dora[r=4]"])
@pytest.mark.parametrize("way", SHARED)
def test_merging_into_one_of_two_is_not_seen_by_the_other(way, method):
    one, other = SHARED[way](method)
    plain, active = says(other, []), says(other, "a")
    saved = {key: value.clone() for key, value in other.state_dict().items()}
    one.merge_adapter("a")
    torch.testing.assert_close(says(one), active, rtol=1e-4, atol=1e-4)
    assert (active - plain).abs().max() > 0.01
    assert torch.equal(says(other, []), plain)
    assert torch.equal(says(other, "a"), active)
    assert other.adapters_config.merged is None
    assert all(torch.equal(value, saved[key]) for key, value in other.state_dict().items())
    one.reset_adapter()
    assert torch.equal(says(one, []), plain)
    assert_shared(one, other)


@pytest.mark.parametrize("way", SHARED)
def test_both_may_merge_and_each_is_reset_by_itself(way):
    one, other = SHARED[way]("lora[r=4,alpha=6]")
    plain = says(one, [])
    one.merge_adapter("a")
    other.merge_adapter("a")
    merged = says(other)
    one.reset_adapter()
    assert torch.equal(says(one), plain)
    assert torch.equal(says(other), merged)
    other.reset_adapter()
    assert torch.equal(says(other), plain)
    assert_shared(one, other)


def test_a_model_made_of_a_merged_one_is_merged_and_can_be_reset_alone():
    model = adapted("DistilBertModelWithHeads")
    plain = says(model)
    model.merge_adapter("a")
    merged = says(model)
    fixed = model.as_fixed()
    again = DistilBertModelWithHeads.from_fixed(fixed)
    for each in (fixed, again):
        assert each.adapters_config.merged == "a"
        assert torch.equal(says(each), merged)
        each.reset_adapter()
        assert torch.equal(says(each), plain)
    assert torch.equal(says(model), merged)
    model.reset_adapter()
    assert_shared(model, fixed)
    assert_shared(model, again)


def test_training_the_other_meanwhile_trains_what_reset_puts_back():
    one, other = by_as_fixed("lora[r=4,alpha=6]")
    one.merge_adapter("a")
    query = "transformer.layer.0.attention.q_lin.weight"
    with torch.no_grad():
        parameters(other)[query].mul_(2)
    one.reset_adapter()
    assert torch.equal(says(one, []), says(other, []))


def test_freezing_while_merged_holds_after_resetting():
    one, _ = by_as_fixed("lora[r=4,alpha=6]")
    one.merge_adapter("a")
    one.freeze_model()
    one.reset_adapter()
    assert not any(value.requires_grad for value in parameters(one).values())


def test_what_is_saved_by_either_while_one_is_merged_is_without_the_adapter(tmp_path):
    one, other = by_as_fixed("lora[r=4,alpha=6]")
    plain = says(other, [])
    one.merge_adapter("a")
    for number, model in enumerate((one, other)):
        model.save_pretrained(tmp_path / str(number))
        again = type(model).from_pretrained(tmp_path / str(number))
        assert torch.equal(says(again.eval(), []), plain)


def test_a_session_keeps_the_weights_that_it_was_made_of():
    _, fixed = by_as_fixed("lora[r=4,alpha=6]")
    rows = [[2, 15, 27, 3], [2, 8, 3]]

    def answers(session):
        return torch.stack(session.logits(rows))

    before = Session(fixed, None)
    plain = answers(before)
    fixed.merge_adapter("a")
    after = Session(fixed, None)
    merged = answers(after)
    assert (merged - plain).abs().max() > 0.01
    assert torch.equal(answers(before), plain)
    fixed.reset_adapter()
    assert torch.equal(answers(after), merged)
    assert torch.equal(answers(Session(fixed, None)), plain)
    after.model.reset_adapter()
    assert torch.equal(answers(after), plain)
