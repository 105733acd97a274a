"""Vocabularies, positions and heads can change after a model is made; what was there stays."""

import copy

import numpy as np
import pytest
import torch

from distilbert import DistilBertConfig, DistilBertForMaskedLM, DistilBertModel, InputError
from distilbert.model.layers import drawn_like, sinusoids

SIZES = {"vocab_size": 50, "dim": 24, "hidden_dim": 40, "n_layers": 2, "n_heads": 4}


def tiny(model_class=DistilBertModel, **settings):
    torch.manual_seed(0)
    sizes = {**SIZES, "max_position_embeddings": 8, "initializer_range": 0.3}
    return model_class(DistilBertConfig(**{**sizes, **settings})).eval()


IDS = torch.tensor([[2, 15, 3, 49]])


@pytest.mark.parametrize("tied", [True, False])
def test_more_words_keep_the_old_ones_and_start_near_their_mean(tied):
    model = tiny(DistilBertForMaskedLM, tie_word_embeddings=tied)
    with torch.no_grad():
        model.vocab_projector.bias.normal_()
    old = copy.deepcopy(model)
    words = model.resize_token_embeddings(53)
    assert words is model.get_input_embeddings()
    assert (words.num_embeddings, model.config.vocab_size) == (53, 53)
    assert torch.equal(words.weight[:50], old.get_input_embeddings().weight)
    mean = old.get_input_embeddings().weight.mean(0)
    torch.testing.assert_close(words.weight[50:], mean.expand(3, 24), rtol=0, atol=1e-3)
    assert len({tuple(row.tolist()) for row in words.weight[50:]}) == 3  # near it, and apart
    projection = model.get_output_embeddings()
    assert (projection.weight is words.weight) is tied
    assert projection.out_features == len(projection.bias) == 53
    assert torch.equal(projection.bias[:50], old.vocab_projector.bias)
    logits = model(torch.tensor([[2, 15, 52]])).logits
    assert logits.shape == (1, 3, 53)
    torch.testing.assert_close(model(IDS).logits[..., :50], old(IDS).logits)


def test_fresh_words_are_drawn_as_in_a_fresh_model_where_that_is_asked():
    words = tiny().resize_token_embeddings(1050, mean_resizing=False)
    torch.testing.assert_close(words.weight[50:].std(), torch.tensor(0.3), rtol=0.05, atol=0)


def test_new_rows_have_the_mean_and_the_scaled_covariance_of_the_old():
    torch.manual_seed(0)
    old = torch.randn(200, 3, dtype=torch.float64) @ torch.tensor(
        [[2.0, 1, 0], [0, 1, 0], [0, 0, 3]], dtype=torch.float64
    )
    new = drawn_like(old, 20000)
    torch.testing.assert_close(new.mean(0), old.mean(0), rtol=0, atol=1e-5)
    expected = 1e-9 * old.T.cov(correction=0)
    torch.testing.assert_close(new.T.cov(), expected, rtol=0.05, atol=2e-10)


def test_fewer_words_cut_the_last_ones():
    model = tiny(DistilBertForMaskedLM)
    old = model.get_input_embeddings().weight.clone()
    model.resize_token_embeddings(40)
    assert torch.equal(model.get_input_embeddings().weight, old[:40])
    with pytest.raises(InputError, match="vocabulary of 40 ids"):
        model(IDS)


def test_sizes_round_up_to_a_multiple_and_none_keeps_the_size():
    assert tiny().resize_token_embeddings(51, pad_to_multiple_of=8).num_embeddings == 56
    assert tiny().resize_token_embeddings(pad_to_multiple_of=16).num_embeddings == 64
    assert tiny().resize_token_embeddings().num_embeddings == 50


@pytest.mark.parametrize("arguments", [(0,), (-1,), (2.5,), (True,), (10, 0)])
def test_sizes_that_cannot_be_change_nothing(arguments):
    model = tiny()
    with pytest.raises(InputError, match="allowed: a whole number of at least 1"):
        model.resize_token_embeddings(*arguments)
    assert model.get_input_embeddings().weight.shape == (50, 24)


def test_the_padding_id_cannot_be_cut_away():
    with pytest.raises(InputError, match="loses the padding id 9; allowed: at least 10"):
        tiny(pad_token_id=9).resize_token_embeddings(9)


def test_the_vocabulary_follows_embeddings_that_are_replaced():
    model = tiny(DistilBertForMaskedLM)
    with torch.no_grad():
        model.vocab_projector.bias.normal_()
    bias = model.vocab_projector.bias.clone()
    model.set_input_embeddings(torch.nn.Embedding(60, 24))
    assert model.config.vocab_size == 60
    assert model(IDS).logits.shape == (1, 4, 60)
    assert model.vocab_projector.bias.tolist() == [*bias.tolist(), *[0.0] * 10]
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    model.set_output_embeddings(torch.nn.Linear(24, 60))
    assert model(IDS).logits.shape == (1, 4, 60)
    with pytest.raises(InputError, match="has no projection"):
        tiny().set_output_embeddings(torch.nn.Linear(24, 60))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.nn.Embedding(60, 5), "are 5 wide; this model's width is 24"),
        (torch.zeros(60, 24), "is of type Tensor; allowed: a torch.nn.Embedding"),
        (None, "is of type NoneType"),
    ],
)
def test_embeddings_that_do_not_fit_change_nothing(table, message):
    model = tiny(DistilBertForMaskedLM)
    with pytest.raises(InputError, match=message):
        model.set_input_embeddings(table)
    assert model.config.vocab_size == 50
    assert model(IDS).logits.shape == (1, 4, 50)


@pytest.mark.diverges(
    "transformers 4.57.6: new rows are N(0, 1), longer rows still fail, sinusoids raise"
)
def test_more_positions_let_longer_rows_run():
    model = tiny()
    long = torch.randint(0, 50, (2, 12))
    with pytest.raises(InputError, match=r"positions for 8; .*resize_position_embeddings\(12\)"):
        model(long)
    short = model(long[:, :8])[0]
    old = model.get_position_embeddings().weight.clone()
    model.resize_position_embeddings(1012)
    assert model.config.max_position_embeddings == 1012
    table = model.get_position_embeddings().weight
    assert torch.equal(table[:8], old)
    torch.testing.assert_close(table[8:].std(), torch.tensor(0.3), rtol=0.05, atol=0)
    assert table.requires_grad
    assert model(long)[0].shape == (2, 12, 24)
    torch.testing.assert_close(model(long[:, :8])[0], short)
    model.resize_position_embeddings(4)
    assert torch.equal(model.get_position_embeddings().weight, old[:4])


@pytest.mark.diverges("transformers 4.57.6: AttributeError for sinusoids")
def test_sinusoids_are_continued_and_stay_frozen():
    model = tiny(sinusoidal_pos_embds=True)
    model.get_position_embeddings().weight.data[0] = 7.0  # a checkpoint's own value stays
    model.resize_position_embeddings(20)
    table = model.get_position_embeddings().weight
    assert not table.requires_grad
    assert (table[0] == 7).all()
    assert torch.equal(table[1:], sinusoids(20, 24)[1:])


def test_learned_positions_are_not_continued_by_sinusoids_whatever_the_configuration_says():
    model = tiny(sinusoidal_pos_embds=True)  # as published models that a teacher's positions fill
    model.get_position_embeddings().weight.data.normal_(0, 0.3)
    model.resize_position_embeddings(1008)
    new = model.get_position_embeddings().weight[8:]
    torch.testing.assert_close(new.std(), torch.tensor(0.3), rtol=0.05, atol=0)


def test_sizes_may_be_whole_numbers_of_numpy():
    model = tiny()
    model.resize_token_embeddings(np.int64(60))
    model.resize_position_embeddings(np.int32(10))
    assert type(model.config.vocab_size) is type(model.config.max_position_embeddings) is int


@pytest.mark.parametrize("count", [0, -3, "9", True])
def test_a_number_of_positions_that_cannot_be_changes_nothing(count):
    model = tiny()
    with pytest.raises(InputError, match="new_num_position_embeddings is"):
        model.resize_position_embeddings(count)
    assert model.config.max_position_embeddings == 8


def test_pruned_heads_are_those_masked():
    model = tiny()
    factors = torch.tensor([[1.0, 0, 1, 0], [1, 1, 1, 0]])
    masked = model(IDS, head_mask=factors)[0]
    model.prune_heads({0: [1, 3]})
    model.prune_heads({1: [3], 0: [1]})
    torch.testing.assert_close(model(IDS)[0], masked, rtol=1e-5, atol=2e-6)
    assert model.config.pruned_heads == {0: [1, 3], 1: [3]}
    assert model.transformer.layer[0].attention.q_lin.weight.shape == (12, 24)
    assert model.transformer.layer[0].attention.out_lin.weight.shape == (24, 12)
    with pytest.raises(InputError, match=r"layers \[0, 1\] are pruned"):
        model(IDS, head_mask=factors)


def test_a_configuration_with_pruned_heads_builds_the_smaller_model():
    model = tiny()
    model.prune_heads({0: [1, 3], 1: [0]})
    again = DistilBertModel(model.config).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(IDS)[0], model(IDS)[0])


@pytest.mark.parametrize(
    "heads",
    [{2: [0]}, {0: [4]}, {0: [0, 1, 2, 3]}, {0: "x"}, {"a": [0]}, {0: 0}, [0], None],
)
def test_heads_that_cannot_be_pruned_change_nothing(heads):
    model = tiny()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match="heads_to_prune is"):
        model.prune_heads(heads)
    assert model.config.pruned_heads == {}
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
