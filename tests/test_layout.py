"""Padded and packed rows give the same numbers, to rounding, and so do their gradients."""

import pytest
import torch

from distilbert import DistilBertConfig, DistilBertForMaskedLM, DistilBertModel, InputError
from distilbert.flow import Flow
from distilbert.layout import Attend, Packed, Padded

LENGTHS = (5, 5, 2, 7, 1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=50, dim=24, hidden_dim=40, n_layers=2, n_heads=4, initializer_range=0.3
    )
    return DistilBertModel(config).eval()


@pytest.fixture
def rows():
    torch.manual_seed(1)
    return [torch.randint(1, 50, (n,)) for n in LENGTHS]


def padded(rows):
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return ids, Padded(torch.arange(ids.shape[1]) < torch.tensor(LENGTHS)[:, None])


def assert_close(a, b):
    # The same float32 sums in another order, through two layers: a few units in the last place.
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)


def test_packed_rows_answer_as_padded_ones(model, rows):
    ids, layout = padded(rows)
    wide = model.encode(ids, layout).hidden
    tight = model.encode(torch.cat(rows), Packed(LENGTHS)).hidden
    assert_close(tight, wide[layout.real])


def test_packed_rows_have_the_gradients_of_padded_ones(model, rows):
    ids, layout = padded(rows)
    gradients = []
    for hidden in (
        model.encode(ids, layout).hidden[layout.real],
        model.encode(torch.cat(rows), Packed(LENGTHS)).hidden,
    ):
        model.zero_grad()
        (hidden * torch.linspace(-1, 1, 24)).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-5)


def test_a_row_does_not_depend_on_its_batch(model, rows):
    together = model.encode(torch.cat(rows), Packed(LENGTHS)).hidden.split(LENGTHS)
    for row, answer in zip(rows, together, strict=True):
        assert_close(model.encode(row, Packed((len(row),))).hidden, answer)
        assert_close(model(row[None]).last_hidden_state[0], answer)


def test_padding_of_any_content_and_width_changes_nothing(model, rows):
    ids, layout = padded(rows)
    wider = torch.cat([ids, torch.full((5, 3), 9)], 1)
    wider[:, :7][~layout.real] = 11
    real = torch.cat([layout.real, torch.zeros(5, 3).bool()], 1)
    answer = model(wider, real).last_hidden_state[real]
    assert_close(answer, model(ids, layout.real).last_hidden_state[layout.real])


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_the_last_layer_of_chosen_tokens_alone_is_the_same(model, rows, packed):
    ids, layout = (torch.cat(rows), Packed(LENGTHS)) if packed else padded(rows)
    whole = model.encode(ids, layout).hidden
    chosen = ids % 3 == 0  # some rows have none
    if not packed:
        chosen &= layout.real
    read = layout.read(chosen)
    assert 0 in read.counts
    assert max(read.counts) > 1
    assert sum(read.counts) == len(read.index)
    found = model.encode(ids, layout, chosen)
    assert_close(found.hidden, whole[chosen])
    assert found.counts == read.counts
    first = model.encode(ids, layout, "first").hidden
    assert_close(first, layout.first(whole))
    assert first.shape == (5, 24)


def test_choosing_no_token_at_all_gives_none(model, rows):
    ids, layout = torch.cat(rows), Packed(LENGTHS)
    none = torch.zeros_like(ids).bool()
    assert model.encode(ids, layout, none).hidden.shape == (0, 24)


def test_means_are_over_real_tokens_in_both_layouts(rows):
    _, layout = padded(rows)
    x = torch.randn(5, 7, 3)
    expected = torch.stack([x[i, :n].mean(0) for i, n in enumerate(LENGTHS)])
    assert_close(layout.means(x), expected)
    assert_close(Packed(LENGTHS).means(x[layout.real]), expected)
    assert_close(Padded().means(x), x.mean(1))


def test_the_mean_of_a_row_of_padding_alone_is_finite():
    assert not Padded(torch.zeros(1, 4).bool()).means(torch.ones(1, 4, 3)).any()


def test_positions_are_columns_whatever_the_mask():
    left = Padded(torch.tensor([[False, True, True]]))
    assert left.positions(torch.zeros(1, 3, 8)).tolist() == [[0, 1, 2]]
    assert Packed((2, 3)).positions(torch.zeros(5)).tolist() == [0, 1, 0, 1, 2]


def test_head_masks_reach_both_layouts(model, rows):
    ids, layout = padded(rows)
    factors = torch.tensor([[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 2.0]])
    wide = model.encode(ids, Flow(layout, head_mask=factors)).hidden
    tight = model.encode(torch.cat(rows), Flow(Packed(LENGTHS), head_mask=factors)).hidden
    assert_close(tight, wide[layout.real])
    assert (tight - model.encode(torch.cat(rows), Packed(LENGTHS)).hidden).abs().max() > 0.01


def test_dropout_of_attention_drops_in_both_layouts():
    x = torch.randn(2, 5, 8)
    for layout, tokens in ((Padded(), x), (Packed((5, 5)), x.flatten(0, 1))):
        kept, _ = layout.attend(tokens, tokens, tokens, Attend(2))
        dropped, _ = layout.attend(tokens, tokens, tokens, Attend(2, dropout=0.5))
        assert (kept - dropped).abs().max() > 0.01


def test_packed_rows_refuse_attention_probabilities(model, rows):
    with pytest.raises(InputError, match="use padded rows"):
        model.encode(torch.cat(rows), Flow(Packed(LENGTHS), attentions=True))


@pytest.mark.parametrize("lengths", [(), (3, 0), (-1,)])
def test_packed_rows_need_tokens(lengths):
    with pytest.raises(InputError, match="at least 1"):
        Packed(lengths)


def test_gradients_flow_through_chosen_tokens_as_through_all(rows):
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=50, dim=24, hidden_dim=40, n_layers=2, n_heads=4)
    model = DistilBertForMaskedLM(config).eval()
    ids, layout = torch.cat(rows), Packed(LENGTHS)
    chosen = ids % 2 == 0
    gradients = []
    for wanted in (None, chosen):
        model.zero_grad()
        hidden = model.distilbert.encode(ids, layout, wanted).hidden
        logits = model.logits(hidden[chosen] if wanted is None else hidden)
        torch.nn.functional.cross_entropy(logits, ids[chosen]).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)
