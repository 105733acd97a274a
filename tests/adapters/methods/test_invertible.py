"""Invertible adapters: bijections of the embeddings."""

import copy
import math
import pickle

import pytest
import torch

from adapted import batch
from distilbert.adapters.configs import SeqBnInvConfig, resolve
from distilbert.adapters.methods.invertible import Glow, Nice
from distilbert.adapters.site import HiddenState
from distilbert.flow import Flow
from distilbert.layout import Padded
from effects import fresh, with_adapter

KINDS = {"nice": Nice, "glow": Glow}


def made(kind, dim, spread=0.5, factor=2):
    torch.manual_seed(0)
    config = SeqBnInvConfig(inv_adapter=kind, inv_adapter_reduction_factor=factor)
    module = KINDS[kind](config, dim).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    return module


def through(module, x):
    return module(HiddenState(x), Flow(Padded())).hidden


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [8, 7, 2, 3])
@pytest.mark.parametrize("shape", [(5,), (2, 3)])
def test_the_inverse_gives_back_what_went_in(kind, dim, shape):
    module, x = made(kind, dim), torch.randn(*shape, dim, dtype=torch.float64)
    out = through(module, x)
    assert out.shape == x.shape
    assert not torch.allclose(out[..., : dim // 2], x[..., : dim // 2])
    assert not torch.allclose(out[..., dim // 2 :], x[..., dim // 2 :])
    torch.testing.assert_close(module.inverse(out), x)
    torch.testing.assert_close(through(module, module.inverse(x)), x)


def test_nice_shifts_each_half_by_what_the_other_says():
    module, x = made("nice", 7), torch.randn(4, 7, dtype=torch.float64)
    first, second = x[:, :3], x[:, 3:]
    first = first + module.F(second)
    second = second + module.G(first)
    torch.testing.assert_close(through(module, x), torch.cat([first, second], -1))


@pytest.mark.diverges("adapters 1.3.0: takes the input for factors and shifts, and crashes")
def test_glow_scales_and_shifts_each_half_by_what_the_other_says():
    module, x = made("glow", 7), torch.randn(4, 7, dtype=torch.float64)
    first, second = x[:, :3], x[:, 3:]

    def moved(part, said):
        half = said.shape[-1] // 2
        return part * (5 * 0.636 * (said[:, :half] / 5).atan()).exp() + said[:, half:]

    first = moved(first, module.s2(second))
    second = moved(second, module.s1(first))
    torch.testing.assert_close(through(module, x), torch.cat([first, second], -1))


def test_factors_of_glow_stay_within_bounds_whatever_the_weights_are():
    module, x = made("glow", 8, spread=1e4), torch.randn(40, 8, dtype=torch.float64)
    other = torch.cat([x[:, :4] + 1, x[:, 4:]], -1)  # only what is scaled first differs
    first = (through(module, other) - through(module, x))[:, :4]
    assert first.max() <= math.exp(5)
    assert first.min() >= math.exp(-5) * 0.99
    assert first.max() > 100
    assert first.min() < 0.01


@pytest.mark.parametrize(("kind", "count"), [("nice", 4), ("glow", 4)])
def test_a_fresh_one_is_near_the_identity(kind, count):
    module = KINDS[kind](SeqBnInvConfig(inv_adapter=kind), 24)
    biases = [p for name, p in module.named_parameters() if name.endswith("bias")]
    assert len(biases) == count
    assert not any(bias.any() for bias in biases)
    x = torch.randn(3, 24)
    assert 0 < (through(module, x) - x).abs().max() < 0.1


@pytest.mark.parametrize("factor", [1, 4, 100, 0.5])
def test_the_factor_narrows_what_stands_between(factor):
    module = made("nice", 9, factor=factor)
    inner = [module.F["0"].out_features, module.G["0"].out_features]
    assert inner == [max(int(5 // factor), 1), max(int(4 // factor), 1)]


@pytest.mark.parametrize(("kind", "parts"), [("nice", "FG"), ("glow", ["s1", "s2"])])
def test_weights_have_the_published_names(kind, parts):
    names = fresh(resolve("seq_bn_inv", inv_adapter=kind)).state_dict()
    assert {name for name in names if name.startswith("invertible_adapters")} == {
        f"invertible_adapters.a.{part}.{i}.{what}"
        for part in parts
        for i in (0, 2)
        for what in ("weight", "bias")
    }


def test_the_activation_of_the_bottlenecks_is_theirs_too():
    model = with_adapter("seq_bn_inv[non_linearity='tanh']")
    half, x = model.invertible_adapters["a"].F, torch.randn(2, 12)
    expected = torch.nn.functional.linear(x, half["0"].weight, half["0"].bias).tanh()
    torch.testing.assert_close(
        half(x), torch.nn.functional.linear(expected, half["2"].weight, half["2"].bias)
    )


def test_one_seed_draws_the_same_weights_again():
    config = resolve("seq_bn_inv", init_weights_seed=0)
    model = fresh(config)
    torch.randn(5)
    model.add_adapter("b", config)
    for one, other in zip(
        model.invertible_adapters["a"].parameters(),
        model.invertible_adapters["b"].parameters(),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_embeddings_are_what_it_changes(kind):
    model = with_adapter(resolve("seq_bn_inv", inv_adapter=kind)).eval()
    ids, _ = batch((4, 4))
    shown = model(ids, output_hidden_states=True).hidden_states[0]
    plain = model(ids, output_hidden_states=True, adapter_names=[]).hidden_states[0]
    module = model.invertible_adapters["a"]
    torch.testing.assert_close(shown, through(module, plain))
    torch.testing.assert_close(module.inverse(shown), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_modules_can_be_copied_pickled_and_built_without_memory(kind):
    module, x = made(kind, 8), torch.randn(3, 8, dtype=torch.float64)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(through(other, x), through(module, x))
    with torch.device("meta"):
        empty = KINDS[kind](SeqBnInvConfig(inv_adapter=kind), 8)
    empty.load_state_dict(module.state_dict(), assign=True)
    assert torch.equal(through(empty, x), through(module, x))
