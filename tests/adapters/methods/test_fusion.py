"""AdapterFusion: attention over the outputs of bottlenecks, token by token."""

import copy
import pickle

import pytest
import torch

from adapted import LENGTHS, batch
from distilbert import AdapterError
from distilbert.adapters import Fuse, PerRow, Stack
from distilbert.adapters.configs import AdapterFusionConfig, resolve_fusion
from distilbert.adapters.methods.fusion import Fusion
from distilbert.flow import Flow
from distilbert.layout import Packed
from effects import options, same, stir

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
BN = "double_seq_bn[reduction_factor=4]"


def fused(config="dynamic", method=BN, names=("a", "b", "c"), **settings):
    """A tiny model with adapters and a fusion over them, none of their weights 0."""
    from adapted import tiny

    model = tiny(**{"dropout": 0.0, "attention_dropout": 0.0, **settings})
    torch.manual_seed(5)
    for name in names:
        model.add_adapter(name, method)
    model.add_adapter_fusion(list(names), config, name="fusion")
    stir(model)
    for number, name in enumerate(names[1:], 1):  # alike by name, but not in their values
        for places in model.get_adapter(name).values():
            for module in places.values():
                for parameter in module.parameters():
                    torch.nn.init.normal_(parameter, std=0.2 + 0.1 * number)
    return model.eval()


ALL = Fuse("a", "b", "c", name="fusion")


def output(config, **settings):
    model = fused(config, **settings)
    return model(*batch(), adapter_names=ALL).last_hidden_state[batch()[1].bool()]


def training(config):
    model = fused(config).train()
    torch.manual_seed(6)
    return model(*batch(), adapter_names=ALL).last_hidden_state


def fresh(config):
    torch.manual_seed(0)
    return Fusion(config, 8, 0.0).state_dict()


def loss(config):
    model = fused(config)
    model.train_adapter_fusion(ALL)
    found = model.get_fusion_regularization_loss()
    return 0.0 if found is None else found.detach()


CHANGES = [
    (output, "key", False),
    (output, "query", False),
    (output, "value", False),
    (output, "query_before_ln", True),
    (loss, "regularization", False),
    (output, "residual_before", True),
    (output, "temperature", True),
    (fresh, "value_initialized", False),
    (training, "dropout_prob", 0.5),
]


@pytest.mark.parametrize(("effect", "option", "value"), CHANGES)
def test_an_option_changes_the_result(effect, option, value):
    settings = {"method": BN.replace("]", ",original_ln_before=True]")} if effect is output else {}
    before = resolve_fusion("dynamic")
    after = before.replace(**{option: value})
    assert before != after
    expected = effect(before, **settings)
    assert same(effect(before, **settings), expected)
    assert not same(effect(after, **settings), expected)


def test_every_option_stands_in_the_table():
    linear = {"value_before_softmax"}
    assert {option for _, option, _ in CHANGES} | linear == options(AdapterFusionConfig)


@pytest.mark.parametrize("residual_before", [True, False])
def test_the_order_of_a_sum_and_a_matrix_changes_nothing(residual_before):
    config = resolve_fusion("dynamic", residual_before=residual_before)
    after = config.replace(value_before_softmax=False)
    torch.testing.assert_close(output(after), output(config), **CLOSE)


def test_static_fusion_has_no_values():
    assert {name.split(".")[0] for name in fresh(resolve_fusion("static"))} == {"query", "key"}
    assert {name.split(".")[0] for name in fresh(resolve_fusion("dynamic"))} == {
        "query",
        "key",
        "value",
    }


def test_dropout_is_that_of_the_models_attention_unless_the_configuration_says_otherwise():
    def rate(config, **settings):
        model = fused(config, **settings)
        return (
            model.transformer.block(0).attention_adapters.adapter_fusion_layer["fusion"].dropout.p
        )

    assert rate("dynamic", attention_dropout=0.25) == 0.25
    assert rate(resolve_fusion("dynamic", dropout_prob=0.5), attention_dropout=0.25) == 0.5
    assert rate(resolve_fusion("dynamic", dropout_prob=0.0), attention_dropout=0.25) == 0.0


# One layer ---------------------------------------------------------------------------------------


def layer(**settings):
    torch.manual_seed(0)
    made = Fusion(resolve_fusion("dynamic", **settings), 6, 0.0)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    query, residual, ups = torch.randn(4, 6), torch.randn(4, 6), torch.randn(4, 3, 6)
    return made.eval(), query, ups, residual


def test_each_token_asks_every_adapter_and_takes_the_mean_of_their_values():
    made, query, ups, residual = layer()
    hidden, shares = made(query, ups, residual)
    for token in range(4):
        scores = made.key(ups[token]) @ made.query(query[token])
        share = scores.softmax(0)
        torch.testing.assert_close(shares[token], share)
        expected = share @ made.value(ups[token]) + residual[token]
        torch.testing.assert_close(hidden[token], expected)


def test_the_residual_may_be_part_of_what_is_asked_and_mixed():
    made, query, ups, residual = layer(residual_before=True)
    kept = ups.clone()
    hidden, shares = made(query, ups, residual)
    values = ups + residual[:, None]
    expected = (made.key(values) @ made.query(query)[..., None])[..., 0].softmax(-1)
    torch.testing.assert_close(shares, expected)
    torch.testing.assert_close(hidden, made.value((expected[..., None] * values).sum(1)))
    assert torch.equal(ups, kept), "what the adapters said is still theirs"


def test_values_start_as_they_came():
    made = Fusion(resolve_fusion("dynamic"), 6, 0.0)
    x = torch.randn(3, 6)
    torch.testing.assert_close(made.value(x), x, atol=1e-4, rtol=0)
    assert made.regularization() < 1e-9


def test_values_far_from_the_identity_cost_the_square_of_their_distance():
    made = Fusion(resolve_fusion("dynamic"), 6, 0.0)
    with torch.no_grad():
        made.value.weight.copy_(torch.eye(6))
        made.value.weight[0, 3] += 2
    assert made.regularization().item() == pytest.approx(0.04)
    assert Fusion(resolve_fusion("static"), 6, 0.0).regularization() is None


@pytest.mark.diverges("adapters 1.3.0: every forward pass cools, so that no two passes agree")
def test_attention_starts_warm_and_cools_by_steps_of_training_alone():
    made, query, ups, residual = layer(temperature=True)
    hot = made(query, ups, residual)[1]
    torch.testing.assert_close(made(query, ups, residual)[1], hot)
    cold = layer()[0](query, ups, residual)[1]
    torch.testing.assert_close((hot.log() - hot.log()[:, :1]) * 50, cold.log() - cold.log()[:, :1])
    made.cool()
    assert made.temperature == pytest.approx(49.95)
    for _ in range(2000):
        made.cool()
    assert made.temperature == 1.0
    torch.testing.assert_close(made(query, ups, residual)[1], cold)


def test_layers_can_be_copied_and_pickled():
    made, *inputs = layer(temperature=True)
    made.cool()
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(other(*inputs)[0], made(*inputs)[0])


# In the model ------------------------------------------------------------------------------------


def rows(model, setup, packed=False):
    ids, mask = batch()
    if packed:
        hidden = model.encode(
            ids[mask.bool()], Flow(Packed(LENGTHS), plan=model.plan(setup))
        ).hidden
        return torch.split(hidden, LENGTHS)
    hidden = model(ids, mask, adapter_names=setup).last_hidden_state
    return [row[:n] for row, n in zip(hidden, LENGTHS, strict=True)]


METHODS = {
    "seq_bn": "seq_bn[reduction_factor=4]",
    "double_seq_bn": BN,
    "par_bn": "par_bn",
    "own norms": BN.replace("]", ",ln_before=True,ln_after=True]"),
    "no norm after": "seq_bn[reduction_factor=4,original_ln_after=False]",
    "gated": BN.replace("]", ",use_gating=True]"),
    "compacter": "compacter[reduction_factor=2,phm_dim=2]",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_equals_its_rows_one_by_one(method, packed):
    model = fused(method=METHODS[method]).double()  # large scores magnify what rounding does
    ids, _ = batch()
    for row, (found, length) in enumerate(zip(rows(model, ALL, packed), LENGTHS, strict=True)):
        alone = model(ids[row : row + 1, :length], adapter_names=ALL).last_hidden_state[0]
        torch.testing.assert_close(found, alone, **CLOSE)


@pytest.mark.parametrize("method", ["seq_bn", "double_seq_bn", "compacter"])
def test_a_static_fusion_of_copies_is_the_adapter(method):
    model = fused("static", METHODS[method], ("a", "b"))
    for layer_number, places in model.get_adapter("a").items():
        for place, module in places.items():
            other = model.get_adapter("b")[layer_number][place]
            other.load_state_dict(module.state_dict())
    for found, expected in zip(
        rows(model, Fuse("a", "b", name="fusion")), rows(model, "a"), strict=True
    ):
        torch.testing.assert_close(found, expected, **CLOSE)


def test_attentions_are_those_of_each_token_layer_and_place():
    model = fused()
    ids, mask = batch()
    out = model(ids, mask, adapter_names=ALL, output_adapter_fusion_attentions=True)
    found = out.adapter_fusion_attentions
    assert found.keys() == {"fusion"}
    assert found["fusion"].keys() == {0, 1, 2}
    for places in found["fusion"].values():
        assert places.keys() == {"mh_adapter", "output_adapter"}
        for shares in places.values():
            assert shares.shape == (4, 7, 3)
            assert not shares.requires_grad
            torch.testing.assert_close(shares.sum(-1), torch.ones(4, 7))
    assert "adapter_fusion_attentions" not in model(ids, mask, adapter_names=ALL)


@pytest.mark.parametrize("packed", [False, True])
def test_a_fusion_may_hold_stacks_and_be_one_rows_own(packed):
    model = fused()
    stacked = Fuse(Stack("a", "b"), "b", "c", name="fusion")
    assert not same(torch.cat(rows(model, stacked)), torch.cat(rows(model, ALL)))
    trees = (ALL, [], "a", stacked)
    found = rows(model, PerRow([ALL, None, "a", stacked]), packed)
    for i, tree in enumerate(trees):
        torch.testing.assert_close(found[i], rows(model, tree)[i], **CLOSE)


@pytest.mark.diverges("adapters 1.3.0: all are given what the last one reads, normalised or not")
def test_each_adapter_reads_what_it_reads_alone():
    model = fused("static", names=("b", "c"))
    model.add_adapter("a", BN.replace("]", ",original_ln_before=True]"))
    model.add_adapter_fusion(["a", "b"], "static")
    said = []
    first = model.transformer.block(0).attention_adapters.adapters["a"]
    handle = first.register_forward_hook(lambda module, args, end: said.append(end.up))
    for setup in ("a", Fuse("a", "b")):
        rows(model, setup)
    handle.remove()
    alone, within = said
    torch.testing.assert_close(within, alone)


@pytest.mark.diverges("adapters 1.3.0: a stack within a fusion is normalised twice")
def test_a_stack_of_one_within_a_fusion_is_the_one():
    model = fused(method=BN.replace("]", ",original_ln_before=True]"))
    stacked = Fuse(Stack("a"), "b", "c", name="fusion")
    for found, expected in zip(rows(model, stacked), rows(model, ALL), strict=True):
        torch.testing.assert_close(found, expected, **CLOSE)


def test_layers_without_some_of_the_adapters_fuse_the_others():
    model = fused(names=("a", "b"))
    model.add_adapter("late", BN.replace("]", ",leave_out=[0,1]]"))
    model.add_adapter_fusion(["a", "late"], "dynamic")
    out = model(*batch(), adapter_names=Fuse("a", "late"), output_adapter_fusion_attentions=True)
    counts = {
        layer: places["mh_adapter"].shape[-1]
        for layer, places in out.adapter_fusion_attentions["a,late"].items()
    }
    assert counts == {0: 1, 1: 1, 2: 2}


def test_adapters_at_different_places_are_refused():
    model = fused(names=("a", "b"))
    model.add_adapter("s", "seq_bn[reduction_factor=4]")
    with pytest.raises(AdapterError, match="must hang at the same places; they hang at"):
        model.add_adapter_fusion(["a", "s"], "dynamic")


def test_a_fusion_trains_alone():
    model = fused()
    model.train_adapter_fusion(ALL)
    model(*batch()).last_hidden_state.square().sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {name for name in model.state_dict() if ".fusion." in name}
