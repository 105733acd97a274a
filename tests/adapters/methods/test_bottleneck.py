"""Bottlenecks: what each option does, and where padding and read tokens must not matter."""

import pytest
import torch

from adapted import LENGTHS, batch
from distilbert import AdapterError
from distilbert.adapters.configs import BnConfig, resolve
from distilbert.adapters.methods.bottleneck import Bottleneck
from distilbert.adapters.site import ResidualState, Site
from distilbert.flow import Flow
from distilbert.layout import Packed, Padded
from effects import assert_changes, fresh, options, output, training, weights, with_adapter

BN = "double_seq_bn[reduction_factor=4]"
BEFORE = "double_seq_bn[reduction_factor=4,original_ln_before=True]"
OWN_NORM = "double_seq_bn[reduction_factor=4,ln_after=True]"
NICE = "seq_bn_inv[reduction_factor=4]"
SEEDED = "double_seq_bn[init_weights_seed=3]"
CHANGES = [
    (BN, output, "mh_adapter", False),
    (BN, output, "output_adapter", False),
    (BN, output, "reduction_factor", 2),
    (BN, output, "reduction_factor", {"1": 2, "default": 4}),
    (BN, output, "non_linearity", "gelu"),
    (BN, output, "original_ln_before", True),
    (BN, output, "original_ln_after", False),
    (BEFORE, output, "residual_before_ln", False),
    (BEFORE, output, "residual_before_ln", "post_add"),
    (BN, output, "ln_before", True),
    (BN, output, "ln_after", True),
    (OWN_NORM, output, "adapter_residual_before_ln", True),
    (BN, output, "is_parallel", True),
    (BN, output, "scaling", 2.0),
    (BN, output, "scaling", "learned"),
    (BN, output, "scaling", "channel"),
    (BN, output, "use_gating", True),
    (BN, output, "leave_out", [1]),
    (BN, training, "dropout", 0.3),
    (BN, training, "stochastic_depth", 0.5),
    ("par_bn", training, "stochastic_depth", 0.5),
    (BN, weights, "init_weights", "mam_adapter"),
    (BN, weights, "init_weights", "houlsby"),
    (SEEDED, weights, "init_weights_seed", 4),
    (SEEDED, weights, "init_weights_seed", 0),
    (BN.replace("]", ",inv_adapter_reduction_factor=2]"), output, "inv_adapter", "nice"),
    (NICE, output, "inv_adapter", "glow"),
    (NICE, output, "inv_adapter_reduction_factor", 4),
]
OF_PHM = {name for name in options(BnConfig) if "phm" in name} | {"hypercomplex_nonlinearity"}
IDLE = {"cross_adapter"}  # an encoder has no attention to another model


@pytest.mark.parametrize(("base", "effect", "option", "value"), CHANGES)
def test_an_option_changes_the_result(base, effect, option, value):
    assert_changes(base, effect, option, value)


def test_every_option_stands_in_a_table():
    assert {option for _, _, option, _ in CHANGES} == options(BnConfig) - OF_PHM - IDLE


# One module --------------------------------------------------------------------------------------


def bottleneck(text, dim=8, **settings):
    torch.manual_seed(0)
    config = resolve(text, reduction_factor=2, **settings)
    module = Bottleneck(config, Site("output_adapter", 0, dim, dim), "a")
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    norm = torch.nn.LayerNorm(dim)
    torch.nn.init.normal_(norm.weight)
    state = ResidualState(torch.randn(2, 3, dim), torch.randn(2, 3, dim), norm)
    return module.eval(), state, Flow(Padded())


def between(module, x):
    (down,) = module.adapter_down.values()
    return module.adapter_up(torch.relu(down(x)))


def test_a_sequential_one_works_on_the_normalised_stream_and_adds_what_came():
    module, state, flow = bottleneck("seq_bn")
    summed = state.hidden + state.skip
    expected = state.norm(state.skip + state.hidden + between(module, state.norm(summed)))
    torch.testing.assert_close(module(state, flow).end(), expected)


def test_a_parallel_one_works_on_what_the_layer_read():
    module, state, flow = bottleneck("par_bn")
    expected = state.norm(state.skip + state.hidden + 4 * between(module, state.skip))
    torch.testing.assert_close(module(state, flow).end(), expected)


def test_without_a_norm_after_it_the_output_is_its_own():
    module, state, flow = bottleneck("seq_bn", original_ln_after=False, residual_before_ln=False)
    normal = state.norm(state.hidden + state.skip)
    torch.testing.assert_close(module(state, flow).end(), normal + between(module, normal))


def test_channels_are_scaled_one_by_one():
    module, state, flow = bottleneck("seq_bn", scaling="channel", original_ln_before=False)
    expected = state.hidden + between(module, state.hidden) * module.scaling
    torch.testing.assert_close(module(state, flow).hidden, expected)


def test_two_in_a_row_each_add_to_the_stream():
    first, state, flow = bottleneck("par_bn")
    second, _, _ = bottleneck("par_bn")
    expected = state.hidden + 4 * between(first, state.skip) + 4 * between(second, state.skip)
    torch.testing.assert_close(second(first(state, flow), flow).hidden, expected)


@pytest.mark.diverges("adapters 1.3.0: parallel bottlenecks never drop a row")
@pytest.mark.parametrize("text", ["seq_bn", "par_bn"])
@pytest.mark.parametrize("layout", [Padded(torch.arange(5) < torch.tensor([[5], [2]])), "packed"])
def test_stochastic_depth_drops_whole_rows_and_makes_up_for_it(text, layout):
    module, state, _ = bottleneck(text, stochastic_depth=0.4, scaling=1.0)
    layout = Packed((5, 2)) if layout == "packed" else layout
    shape = (7, 8) if isinstance(layout, Packed) else (2, 5, 8)
    state = ResidualState(torch.randn(shape), torch.randn(shape), state.norm)
    flow = Flow(layout)
    whole = module(state, flow).up
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        up = module.train()(state, flow).up
        kept = (up != 0).flatten(0, -2).all(-1)  # (tokens,)
        torch.testing.assert_close(up, whole / 0.6 * kept.view(*shape[:-1], 1))
        rows = [kept[:5], kept[5:]]
        assert all(len(set(row.tolist())) == 1 for row in rows)
        seen.add(tuple(bool(row[0]) for row in rows))
    assert len(seen) == 4, "rows are dropped one by one"


def test_dropout_spares_what_is_added_around_the_adapter():
    module, state, flow = bottleneck("seq_bn", dropout=0.5)
    out = module.train()(state, flow).hidden - state.hidden
    assert 0 < (out == 0).sum() < out.numel()


# Widths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "widths"),
    [
        (4, [6, 6, 6]),
        (5, [4, 4, 4]),
        (100, [1, 1, 1]),
        (0.5, [48, 48, 48]),
        ({"1": 2, "default": 8}, [3, 12, 3]),
        ({"0": 2, "1": 4, "2": 6}, [12, 6, 4]),
    ],
)
def test_the_width_inside_is_that_of_the_model_through_the_factor(factor, widths):
    model = fresh(resolve("seq_bn", reduction_factor=factor))
    found = [places["output_adapter"] for _, places in sorted(model.get_adapter("a").items())]
    assert [module.adapter_up.in_features for module in found] == widths


def test_a_layer_without_a_factor_is_refused_and_nothing_is_added():
    config = resolve("seq_bn", reduction_factor={"0": 2, "1": 4})
    model = fresh("seq_bn")
    with pytest.raises(AdapterError, match=r"none for layer 2; give it one .* 'default', or leave"):
        model.add_adapter("b", config)
    assert "b" not in model.adapters_config
    model.add_adapter("b", config.replace(leave_out=[2]))


# Fresh weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["bert", "houlsby", "mam_adapter"])
def test_fresh_weights_are_drawn_as_their_name_says(how):
    config = resolve("seq_bn", reduction_factor=1, init_weights=how)
    module = Bottleneck(config, Site("output_adapter", 0, 128, 128), "a")
    (down,) = module.adapter_down.values()
    for linear in (down, module.adapter_up):
        assert not linear.bias.any()
    spread = {"bert": 0.02, "houlsby": 0.0088, "mam_adapter": 1 / (3 * 128) ** 0.5}[how]
    assert down.weight.detach().std() == pytest.approx(spread, rel=0.05)
    if how == "houlsby":
        assert down.weight.abs().max() <= 0.02
    if how == "mam_adapter":
        assert not module.adapter_up.weight.any()
    else:
        assert module.adapter_up.weight.detach().std() == pytest.approx(spread, rel=0.05)


def test_a_fresh_parallel_adapter_changes_nothing_yet():
    model = fresh("par_bn").eval()
    ids, mask = batch()
    plain = model(ids, mask, adapter_names=[]).last_hidden_state
    torch.testing.assert_close(model(ids, mask, adapter_names="a").last_hidden_state, plain)


@pytest.mark.parametrize("text", ["seq_bn", "par_bn", "compacter[reduction_factor=2,phm_dim=2]"])
def test_a_seed_draws_the_same_weights_whatever_was_drawn_before(text):
    config = resolve(text, init_weights_seed=0, use_gating=True)
    model = fresh("seq_bn")
    model.add_adapter("b", config)
    torch.randn(7)
    model.add_adapter("c", config)
    found = model.state_dict()
    names = [name for name in found if ".b." in name]
    assert len(names) > 3
    for name in names:
        if "gate.bias" not in name:
            assert torch.equal(found[name], found[name.replace(".b.", ".c.")]), name


def test_a_seed_does_not_seed_what_is_drawn_next():
    module = fresh("seq_bn")
    module.add_adapter("b", resolve("seq_bn", init_weights_seed=1))
    first = torch.randn(3)
    module.add_adapter("c", resolve("seq_bn", init_weights_seed=1))
    assert not torch.equal(torch.randn(3), first)


# In the model ------------------------------------------------------------------------------------


def test_the_tokens_read_alone_say_what_they_say_among_all():
    model = with_adapter(BN.replace("]", ",ln_before=True,scaling='learned']")).eval()
    ids, mask = batch()
    flow = Flow(Packed(LENGTHS), plan=model.plan("a"))
    whole = model.encode(ids[mask.bool()], flow)
    read = model.encode(ids[mask.bool()], flow, "first")
    torch.testing.assert_close(read.hidden, whole.layout.first(whole.hidden), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_an_adapter_has_the_dtype_of_its_model(dtype):
    model = fresh("seq_bn")
    model = model.to(dtype)
    model.add_adapter("b", "mam")
    model.set_active_adapters("b")
    ids, mask = batch()
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert model(ids, mask).last_hidden_state.dtype == dtype
