"""Masks drawn four at a time drop the share they are asked for, independently, by the seed."""

import pytest
import torch

from distilbert import DistilBertConfig, DistilBertModel
from distilbert.layout import Attend, Packed, Prefix
from distilbert.layout.dropout import drop, factors


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_the_share_is_dropped_and_the_mean_kept(share):
    torch.manual_seed(0)
    drawn = factors(400_001, share, torch.ones(()))
    gone = (drawn == 0).double()
    spread = (share * (1 - share) / len(drawn)) ** 0.5
    assert abs(gone.mean() - share) < 5 * spread
    kept = drawn[drawn != 0]
    # The share is one of 65,536 levels, so what is kept is raised by nearly 1 / (1 - share).
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)), rtol=1e-2, atol=0)
    assert kept.unique().numel() == 1


def test_values_drawn_from_one_number_do_not_depend_on_each_other():
    torch.manual_seed(0)
    quarters = (factors(400_000, 0.5, torch.ones(())) == 0).double().view(-1, 4)
    correlation = torch.corrcoef(quarters.T)
    assert (correlation - torch.eye(4)).abs().max() < 5 / len(quarters) ** 0.5


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_everything_may_be_dropped(share):
    x = torch.randn(3, 5)
    torch.testing.assert_close(drop(x, share), x * (1 - share), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_stays(dtype):
    dropped = drop(torch.ones(1000, dtype=dtype), 0.2)
    assert dropped.dtype == dtype
    assert set((dropped * 0.8).round(decimals=2).tolist()) == {0.0, 1.0}


def test_gradients_pass_where_values_did():
    x = torch.ones(1000, requires_grad=True)
    dropped = drop(x, 0.3)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach(), rtol=0, atol=0)


def test_packed_attention_drops_probabilities_one_by_one():
    """With values of one coordinate each, the context shows which probabilities were dropped."""
    torch.manual_seed(0)
    lengths, heads, width = (3, 3, 2), 2, 8
    tokens = sum(lengths)
    same = torch.zeros(tokens, heads * width)  # equal scores: every probability is 1 / keys
    columns = torch.cat([torch.arange(n) for n in lengths])
    v = torch.nn.functional.one_hot(columns, width).float().repeat(1, heads)
    prefix = Prefix(3, torch.zeros(1, 2, heads * width), torch.zeros(1, 2, heads * width))
    for prefixes, more in (((), 0), ((prefix,), 2)):
        context, _ = Packed(lengths).attend(
            same, same, v, Attend(heads, dropout=0.5), prefixes=prefixes
        )
        seen = context.view(tokens, heads, width)
        keys = torch.tensor([n for n in lengths for _ in range(n)])
        shares = seen * (keys + more)[:, None, None]  # (tokens, heads, columns): 0 or 2
        own = torch.arange(width) < keys[:, None, None]
        assert set(shares.round(decimals=4).unique().tolist()) == {0.0, 2.0}
        assert not shares[~own.expand_as(shares)].any()


def test_a_packed_step_of_training_repeats_from_its_seed():
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=50, dim=24, hidden_dim=40, n_layers=2, n_heads=4)
    model = DistilBertModel(config).train()
    ids = torch.randint(1, 50, (15,))

    def hidden(seed):
        torch.manual_seed(seed)
        return model.encode(ids, Packed((5, 7, 3))).hidden

    assert torch.equal(hidden(1), hidden(1))
    assert not torch.equal(hidden(1), hidden(2))
    model.eval()
    assert torch.equal(hidden(1), hidden(2))
