"""A session answers as the model does row by row, in the caller's order, whatever the batch."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import distilbert
from distilbert import DistilBertConfig, InputError, Session

MASK_ID = 4
TOKENIZER = SimpleNamespace(mask_token_id=MASK_ID)
ROWS = [
    [2, 15, 4, 3],
    [2, 3],
    [2, 4, 17, 4, 8, 30, 3],
    [2, 15, 9, 3],
    [2, 21, 22, 23, 24, 3],
    [2, 4, 4, 3],
]


def session(name="DistilBertModel", budget=9, **settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "dim": 24, "hidden_dim": 40, "n_layers": 2, "n_heads": 4}
    config = DistilBertConfig(
        **{**sizes, "max_position_embeddings": 8, "initializer_range": 0.3, **settings}
    )
    return Session(getattr(distilbert, name)(config), TOKENIZER, token_budget=budget)


def alone(session, row, field="logits"):
    return getattr(session.model(torch.tensor([row])), field)[0]


def assert_close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("budget", [1, 9, 1000])
def test_hidden_states_and_their_means_are_those_of_each_row_alone(budget):
    s = session(budget=budget)
    means = s.means(ROWS, normalize=False)
    assert means.shape == (6, 24)
    for row, hidden, mean in zip(ROWS, s.hidden(ROWS), means, strict=True):
        assert_close(hidden, alone(s, row, "last_hidden_state"))
        assert_close(mean, hidden.mean(0))
    assert_close(s.means(ROWS).norm(dim=1), torch.ones(6))


@pytest.mark.parametrize("budget", [1, 9, 1000])
def test_logits_are_those_of_each_row_alone_where_the_head_reads(budget):
    s = session("DistilBertForSequenceClassification", budget, num_labels=3)
    for row, logits in zip(ROWS, s.logits(ROWS), strict=True):
        assert_close(logits, alone(s, row))
    s = session("DistilBertForTokenClassification", budget, num_labels=3)
    for row, logits in zip(ROWS, s.logits(ROWS), strict=True):
        assert_close(logits, alone(s, row))
    s = session("DistilBertForQuestionAnswering", budget)
    for row, logits in zip(ROWS, s.logits(ROWS), strict=True):
        assert_close(logits[:, 0], alone(s, row, "start_logits"))
        assert_close(logits[:, 1], alone(s, row, "end_logits"))
    s = session("DistilBertForMaskedLM", budget)
    for row, logits in zip(ROWS, s.logits(ROWS), strict=True):
        assert_close(logits, alone(s, row)[torch.tensor(row) == MASK_ID])
    s = session("DistilBertForMultipleChoice", budget)
    choices = torch.cat(s.logits([ROWS[0], ROWS[3]]))
    assert_close(choices[None], s.model(torch.tensor([[ROWS[0], ROWS[3]]])).logits)


def test_rows_without_masks_have_no_logits_even_alone():
    s = session("DistilBertForMaskedLM")
    assert [tuple(x.shape) for x in s.logits([ROWS[1], ROWS[3]])] == [(0, 50), (0, 50)]


def test_batches_keep_to_the_token_budget():
    s = session(budget=9)
    batches = list(s._batches(ROWS))
    assert sorted(row for batch in batches for row in batch) == list(range(6))
    lengths = [[len(ROWS[row]) for row in batch] for batch in batches]
    assert lengths == [[7], [6], [4, 4], [4, 2]]


def test_progress_counts_every_row():
    done = []
    session().hidden(ROWS, progress=done.append)
    assert sum(done) == len(ROWS)
    assert len(done) > 1


def test_answers_are_float32_whatever_the_precision_of_the_weights():
    s = session()
    s.model.bfloat16()
    assert s.means(ROWS).dtype == torch.float32


def test_a_session_shares_the_weights_and_leaves_the_model_as_it_was():
    torch.manual_seed(0)
    model = distilbert.DistilBertModel(
        DistilBertConfig(vocab_size=50, dim=24, hidden_dim=40, n_layers=1, n_heads=4)
    ).train()
    s = Session(model, TOKENIZER)
    assert model.training
    both = zip(model.parameters(), s.model.parameters(), strict=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in both)
    first = s.means(ROWS)
    assert torch.equal(first, s.means(ROWS))  # no dropout
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(2)
    assert not torch.equal(first, s.means(ROWS))
    assert not s.means(ROWS).requires_grad
    weight = torch.ones(24, requires_grad=True)
    (s.hidden(ROWS)[0] @ weight).sum().backward()  # answers can be trained on
    assert weight.grad.abs().sum() > 0


def test_threads_share_a_session():
    s = session()
    expected = s.means(ROWS)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda i: s.means(ROWS[i:] + ROWS[:i]), range(6)))
    for i, answer in enumerate(answers):
        assert_close(answer, torch.cat([expected[i:], expected[:i]]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no rows"),
        ([[2, 3], []], "row 1 has 0 tokens; this model reads 1 to 8"),
        ([[2] * 9], "row 0 has 9 tokens; .* cut the text"),
        ([[2, 50]], "id 50 is not in the vocabulary of 50"),
        ([[2, -1]], "row 0: id -1 is not in the vocabulary of 50"),
        ([[2, 3], [2**70]], "row 1: id 1180591620717411303424 is not in the vocabulary"),
        ([[2, 3], [2, None]], r"row 1 is \[2, None\]: .* allowed: a list of ids"),
        ([None], "row 0 is None"),
        ([2, 3], "row 0 is 2"),
        ([[2.5]], r"row 0 is \[2.5\]"),
        (["abc"], "row 0 is 'abc': text is no list of ids"),
        (None, "rows are a NoneType; allowed: a list of lists of ids"),
        ({"a": [1]}, "rows are a dict"),
    ],
)
def test_rows_that_cannot_be_read_are_told(rows, message):
    with pytest.raises(InputError, match=message):
        session().hidden(rows)


def test_a_model_without_a_head_has_no_logits():
    with pytest.raises(InputError, match="a DistilBertModel has no head; load a class that has"):
        session().logits(ROWS)


def test_a_model_with_heads_by_name_says_how_one_of_them_answers():
    model = session("DistilBertModelWithHeads").model
    with pytest.raises(InputError, match="a DistilBertModelWithHeads has no head; load a class"):
        Session(model, None).logits(ROWS)
    model.add_classification_head("mood", activation_function="relu")
    with pytest.raises(InputError, match=r"\['mood'\], and a session .* model\.as_fixed\('mood'\)"):
        Session(model, None).logits(ROWS)
    assert len(Session(model.as_fixed("mood"), None).logits(ROWS)) == len(ROWS)


def test_rows_may_be_tensors_arrays_and_come_from_a_generator():
    s = session()
    expected = s.means(ROWS)
    assert torch.equal(s.means(torch.tensor(row) for row in ROWS), expected)
    assert torch.equal(s.means([np.array(row, np.int32) for row in ROWS]), expected)
    assert torch.equal(s.means([list(np.array(row)) for row in ROWS]), expected)


def test_a_session_is_made_of_a_model_and_the_tokenizer_that_belongs_to_it():
    with pytest.raises(InputError, match="runs a model of this package, not a str"):
        Session("minilm", TOKENIZER)
    model = session("DistilBertForMaskedLM").model
    with pytest.raises(InputError, match=r"answers at masks, but the tokenizer \(NoneType\)"):
        Session(model, None)


@pytest.mark.parametrize("budget", [0, -5, 1.5, True])
def test_a_budget_must_be_a_number_of_tokens(budget):
    with pytest.raises(InputError, match="token_budget is"):
        session(budget=budget)


# Adapters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["seq_bn", "prompt", "gated prefix", "unipelt"])
def test_active_adapters_act_in_a_session(method):
    from adapted import LENGTHS, batch, tiny, with_adapters

    model = with_adapters(tiny("DistilBertForTokenClassification", num_labels=3), {"a": method})
    ids, mask = batch()
    model.set_active_adapters("a")
    session = Session(model, None, token_budget=8)
    model.set_active_adapters(None)  # which the session does not mind
    wanted = model(ids, mask, adapter_names="a").logits
    rows = [row[:n].tolist() for row, n in zip(ids, LENGTHS, strict=True)]
    for found, own, n in zip(session.logits(rows), wanted, LENGTHS, strict=True):
        torch.testing.assert_close(found, own[:n], rtol=1e-4, atol=1e-5)
    assert [len(hidden) for hidden in session.hidden(rows)] == list(LENGTHS)


def test_compositions_by_rows_are_refused_where_a_session_cuts_batches():
    from adapted import tiny, with_adapters
    from distilbert import AdapterError
    from distilbert.adapters import BatchSplit, MultiTask, Parallel, PerRow

    model = with_adapters(tiny(), {"a": "seq_bn", "b": "lora"})
    for setup in (
        PerRow(["a", None, "b"]),
        BatchSplit("a", "b", batch_sizes=[1, 2]),
        Parallel("a", "b"),
        MultiTask("a", "b"),
    ):
        model.set_active_adapters(setup)
        with pytest.raises(AdapterError, match="a session cuts batches"):
            Session(model, None)
