"""The adapters that are active act in a session: each row equals the padded forward pass of it."""

from types import SimpleNamespace

import pytest
import torch

from adapted import METHODS, WORDS, shake, tiny, with_adapters
from distilbert import Session
from distilbert.adapters import AdapterSetup, Average, Fuse, Split, Stack
from distilbert.model.call import Call

pytestmark = pytest.mark.usefixtures("one_thread")

MASK_ID = 4
TOKENIZER = SimpleNamespace(mask_token_id=MASK_ID)
CLASSES = {
    "DistilBertModel": {},
    "DistilBertForSequenceClassification": {"num_labels": 3},
    "DistilBertForTokenClassification": {"num_labels": 3},
    "DistilBertForMaskedLM": {},
    "DistilBertForQuestionAnswering": {},
    "DistilBertForMultipleChoice": {},
}
SOME = ["seq_bn", "glow", "gated prefix", "prompt behind", "lora", "noreft", "unipelt"]


def texts():
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(5, WORDS, (n,), generator=generator).tolist() for n in (7, 4, 5, 2, 4, 9)]
    for place, row in enumerate(rows):
        row[place % len(row)] = MASK_ID
    return rows


def alone(model, row):
    """The last layer of a row and what the head says of it, by a padded batch of that row."""
    ids, name = torch.tensor([row]), type(model).__name__
    flow = model.base_model.flow(Call(ids))
    hidden = model.base_model.encode(ids, flow).own()[0]
    if name == "DistilBertModel":
        return hidden, None
    output = model(ids[None] if "Choice" in name else ids)
    if "Question" in name:
        return hidden, torch.stack([output.start_logits, output.end_logits], -1)[0]
    return hidden, output.logits[0][ids[0] == MASK_ID] if "Masked" in name else output.logits[0]


def assert_answers(session, model):
    rows = texts()
    means, hidden = session.means(rows, normalize=False), session.hidden(rows)
    logits = session.logits(rows) if type(model).__name__ != "DistilBertModel" else [None] * 6
    for row, mean, own, said in zip(rows, means, hidden, logits, strict=True):
        expected, head = alone(model, row)
        assert_close(own, expected)
        assert_close(mean, expected.mean(0))
        if head is not None:
            assert_close(said, head)


def assert_close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_acts_in_a_session_of_words(method):
    model = with_adapters(tiny("DistilBertForMaskedLM", n_layers=2), {"a": method})
    model.set_active_adapters("a")
    assert_answers(Session(model, TOKENIZER, token_budget=12), model)


@pytest.mark.parametrize("method", SOME)
@pytest.mark.parametrize("name", CLASSES)
def test_adapters_act_in_a_session_of_every_class(name, method):
    model = with_adapters(tiny(name, n_layers=2, **CLASSES[name]), {"a": method})
    model.set_active_adapters("a")
    assert_answers(Session(model, TOKENIZER, token_budget=12), model)


@pytest.mark.parametrize(
    "setup",
    [
        Stack("a", "b"),
        Fuse("a", "b"),
        Average("a", "b"),
        Split("a", "b", splits=[3, 1]),
    ],
)
def test_compositions_of_whole_batches_act_in_a_session(setup):
    model = with_adapters(
        tiny("DistilBertForSequenceClassification"),
        {"a": "seq_bn", "b": "seq_bn[reduction_factor=4]"},
    )
    model.add_adapter_fusion(["a", "b"])
    model.set_active_adapters(setup, skip_layers=[1])
    assert_answers(Session(model, TOKENIZER, token_budget=12), model)


def test_a_session_keeps_the_setup_it_was_made_in():
    model = with_adapters(tiny(), {"a": "seq_bn", "b": "lora"})
    with AdapterSetup("b"):
        session = Session(model, TOKENIZER)
    with AdapterSetup("a"):
        found = session.means(texts())
    model.set_active_adapters("b")
    assert_close(found, Session(model, TOKENIZER).means(texts()))
    model.delete_adapter("b")
    assert_close(session.means(texts()), found)


def test_merging_and_unmerging_afterwards_changes_no_session():
    model = with_adapters(tiny(), {"a": "lora all"})
    model.set_active_adapters("a")
    before = Session(model, TOKENIZER)
    expected = before.means(texts())
    model.merge_adapter("a")
    merged = Session(model, TOKENIZER)
    assert_close(before.means(texts()), expected)
    assert_close(merged.means(texts()), expected)
    model.reset_adapter()
    assert_close(merged.means(texts()), expected)
    assert_close(before.means(texts()), expected)


def test_training_an_adapter_reaches_its_session():
    model = with_adapters(tiny(), {"a": "seq_bn"})
    model.set_active_adapters("a")
    session = Session(model, TOKENIZER)
    before = session.means(texts())
    shake(model, "a", seed=1)
    assert not torch.allclose(session.means(texts()), before, atol=1e-3)
    assert_answers(session, model)
