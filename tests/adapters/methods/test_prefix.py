"""Prefix tuning: keys and values that every row attends to beside its own."""

import copy
import pickle

import pytest
import torch

from adapted import batch, tiny
from distilbert import AdapterError
from distilbert.adapters.configs import PrefixTuningConfig, resolve
from distilbert.adapters.methods.prefix import GatedPrefix, Prefix, Prefixes
from distilbert.adapters.site import PrefixState
from distilbert.flow import Flow
from distilbert.layout import Packed, Padded
from effects import assert_changes, fresh, options, output, training, weights, with_adapter

BASE = "prefix_tuning[prefix_length=3,bottleneck_size=8]"
GATED = "prefix_tuning[prefix_length=3,bottleneck_size=8,use_gating=True]"
SEEDED = "prefix_tuning[prefix_length=3,bottleneck_size=8,init_weights_seed=1]"
CHANGES = [
    (BASE, output, "leave_out", [1]),
    (BASE, output, "flat", True),
    (BASE, output, "prefix_length", 4),
    (BASE, output, "bottleneck_size", 9),
    (BASE, output, "non_linearity", "relu"),
    (BASE, training, "dropout", 0.5),
    (GATED, training, "dropout", 0.5),
    (BASE, output, "use_gating", True),
    (GATED, output, "shared_gating", False),
    (SEEDED, weights, "init_weights_seed", 2),
    (SEEDED, weights, "init_weights_seed", 0),
    (SEEDED.replace("tuning", "tuning_flat"), weights, "init_weights_seed", 2),
]
IDLE = {"encoder_prefix", "cross_prefix"}  # an encoder has one kind of attention


@pytest.mark.parametrize(("base", "effect", "option", "value"), CHANGES)
def test_an_option_changes_the_result(base, effect, option, value):
    assert_changes(base, effect, option, value)


def test_every_option_stands_in_the_table():
    assert {option for _, _, option, _ in CHANGES} == options(PrefixTuningConfig) - IDLE


# Keys and values ---------------------------------------------------------------------------------


def pool(**settings):
    torch.manual_seed(0)
    settings = {"prefix_length": 3, "bottleneck_size": 5, **settings}
    return Prefixes(PrefixTuningConfig(**settings), 4, 2)


def test_a_small_network_makes_each_layers_keys_then_its_values():
    made = pool(non_linearity="relu")
    down, up = made.pool.control_trans["0"], made.pool.control_trans["2"]
    wide = up(down(made.pool.wte.weight).relu())  # (3, layers × 2 × 4)
    found = made()
    assert found.shape == (2, 2, 3, 4)
    for layer in range(2):
        for part in range(2):
            start = (layer * 2 + part) * 4
            torch.testing.assert_close(found[layer, part], wide[:, start : start + 4])


def test_flat_values_lie_as_the_network_would_make_them():
    made = pool(flat=True)
    rows = made.pool.control_trans.view(3, 16)
    torch.testing.assert_close(made()[1, 0], rows[:, 8:12])


@pytest.mark.parametrize("flat", [False, True])
def test_ejected_values_are_the_same_and_parameters_of_their_own(flat):
    made = pool(flat=flat).eval()
    state = torch.random.get_rng_state()
    ejected = made.ejected()
    assert torch.equal(torch.random.get_rng_state(), state), "nothing is drawn"
    assert [*ejected.state_dict()] == ["self.control_trans"]
    assert ejected.pool.config == made.pool.config.replace(flat=True)
    assert not ejected.training
    assert torch.equal(ejected(), made())
    with torch.no_grad():
        ejected.pool.control_trans.add_(1)
    assert not torch.equal(ejected(), made())


def test_ejected_values_train_where_the_network_did():
    made = pool()
    assert made.ejected().pool.control_trans.requires_grad
    assert not made.requires_grad_(False).ejected().pool.control_trans.requires_grad


def test_pools_can_be_copied_pickled_and_built_without_memory():
    made = pool()
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(other(), made())
    with torch.device("meta"):
        empty = Prefixes(made.pool.config, 4, 2)
    empty.load_state_dict(made.state_dict(), assign=True)
    assert torch.equal(empty(), made())


# A layer -----------------------------------------------------------------------------------------

VALUES = torch.arange(2 * 2 * 3 * 4.0).view(2, 2, 3, 4)
X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))


def flow(layout=None, **settings):
    return Flow(layout or Padded(), prefixes={"a": VALUES, "b": VALUES + 100}, **settings)


def test_a_layer_takes_its_own_keys_and_values():
    layer = Prefix(PrefixTuningConfig(), "a", 1)
    assert [*layer.parameters()] == []
    end = layer(PrefixState(X), flow())
    assert torch.equal(end.keys, VALUES[1, 0][None])
    assert torch.equal(end.values, VALUES[1, 1][None])


def test_more_prefixes_come_in_front():
    first, second = (Prefix(PrefixTuningConfig(), name, 0) for name in "ab")
    end = second(first(PrefixState(X), flow()), flow())
    assert torch.equal(end.keys[0], torch.cat([VALUES[0, 0] + 100, VALUES[0, 0]]))
    assert torch.equal(end.values[0], torch.cat([VALUES[0, 1] + 100, VALUES[0, 1]]))


@pytest.mark.parametrize("shared", [True, False])
def test_gates_weigh_keys_and_values_row_by_row(shared):
    torch.manual_seed(0)
    config = PrefixTuningConfig(use_gating=True, shared_gating=shared)
    layer = GatedPrefix(config, 4, "a", 0)
    real = torch.arange(5) < torch.tensor([[5], [3]])
    end = layer(PrefixState(X), flow(Padded(real), gates=True))
    gates = torch.nn.functional.linear(X, layer.weight, layer.bias).sigmoid()
    gates = torch.stack([gates[0].mean(0), gates[1, :3].mean(0)])  # (rows, 1 or 2)
    torch.testing.assert_close(end.keys, VALUES[0, 0] * gates[:, 0, None, None])
    torch.testing.assert_close(end.values, VALUES[0, 1] * gates[:, -1, None, None])
    assert gates.shape[1] == (1 if shared else 2)
    (note,) = end.notes
    torch.testing.assert_close(note.values, gates)
    packed = layer(PrefixState(X[real]), flow(Packed((5, 3))))
    torch.testing.assert_close(packed.keys, end.keys)


def test_a_gated_prefix_stands_before_one_without_gates():
    torch.manual_seed(0)
    gated = GatedPrefix(PrefixTuningConfig(use_gating=True), 4, "a", 0)
    plain = Prefix(PrefixTuningConfig(), "b", 0)
    one = gated(plain(PrefixState(X), flow()), flow())
    other = plain(gated(PrefixState(X), flow()), flow())
    assert one.keys.shape == other.keys.shape == (2, 6, 4)
    torch.testing.assert_close(one.keys[:, 3:], other.keys[:, :3])


def test_each_row_loses_other_keys_and_values_to_dropout():
    torch.manual_seed(0)
    layer = Prefix(PrefixTuningConfig(dropout=0.5), "a", 1).train()
    end = layer(PrefixState(X), flow())
    for found, whole in ((end.keys, VALUES[1, 0]), (end.values, VALUES[1, 1])):
        kept = found != 0
        torch.testing.assert_close(found, 2 * whole * kept)
        assert not torch.equal(kept[0], kept[1])
    assert len(layer.eval()(PrefixState(X), flow()).keys) == 1


# In the model ------------------------------------------------------------------------------------


def test_layers_that_are_left_out_take_nothing_from_the_pool():
    model = with_adapter(resolve(BASE, leave_out=[1])).eval()
    assert model.prefix_tuning.slot["a"]().shape == (2, 2, 3, 24)
    assert {layer for layer in model.get_adapter("a") if layer >= 0} == {0, 2}
    assert model.get_adapter("a")[2]["self"].number == 1


def test_every_layer_left_out_is_refused():
    with pytest.raises(AdapterError, match="hangs nowhere in this model of 3 layers"):
        tiny().add_adapter("a", resolve(BASE, leave_out=[0, 1, 2]))


def test_attention_reads_the_prefix_as_if_it_stood_before_the_row():
    model = with_adapter("prefix_tuning_flat[prefix_length=2]").eval()
    ids, mask = batch()
    shown = model(ids, mask, output_attentions=True).attentions
    assert [tuple(a.shape) for a in shown] == [(4, 4, 7, 9)] * 3  # (rows, heads, queries, keys)
    real = mask.bool()
    sums = shown[0].sum(-1).transpose(1, 2)[real]
    torch.testing.assert_close(sums, torch.ones_like(sums))
    assert (shown[0][..., :2] > 0).all()


@pytest.mark.diverges("adapters 1.3.0: its masks lift prefixes by 1, and probabilities drop them")
def test_asking_for_probabilities_changes_nothing():
    model = with_adapter(BASE).eval()
    ids, mask = batch()
    plain = model(ids, mask).last_hidden_state
    asked = model(ids, mask, output_attentions=True).last_hidden_state
    torch.testing.assert_close(asked[mask.bool()], plain[mask.bool()], rtol=1e-4, atol=1e-5)


def test_a_layer_that_has_lost_heads_is_refused_unless_it_is_left_out():
    model = tiny()
    model.transformer.block(1).attention.prune_heads([0, 2])
    with pytest.raises(AdapterError, match=r"layer 1 has lost the heads \[0, 2\].* leave_out"):
        model.add_adapter("a", BASE)
    assert "a" not in model.adapters_config
    model.add_adapter("a", resolve(BASE, leave_out=[1]))
    assert model(*batch(), adapter_names="a").last_hidden_state.shape == (4, 7, 24)


def test_weights_of_a_prefix_have_the_published_names():
    names = {name for name in fresh(GATED).state_dict() if ".a." in name}
    gates = {
        f"transformer.layer.{i}.attention.prefix_tuning.prefix_gates.a.{kind}"
        for i in range(3)
        for kind in ("weight", "bias")
    }
    place = "prefix_tuning.prefix_tunings.a.self"
    assert names - gates == {
        f"{place}.wte.weight",
        f"{place}.control_trans.0.weight",
        f"{place}.control_trans.0.bias",
        f"{place}.control_trans.2.weight",
        f"{place}.control_trans.2.bias",
    }
    assert gates <= names
