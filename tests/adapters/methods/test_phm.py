"""Compacters: layers whose matrix is a sum of Kronecker products."""

import copy
import pickle

import pytest
import torch

from distilbert import AdapterError
from distilbert.adapters.configs import BnConfig, CompacterConfig
from distilbert.adapters.methods.phm import PHMLinear, SharedPHM, kronecker_sum
from effects import assert_changes, fresh, options, output, trained, weights

BASE = "compacter[reduction_factor=2,phm_dim=2]"
OWN_RULE = "compacter[reduction_factor=2,phm_dim=2,shared_phm_rule=False]"
NORMAL = "compacter[reduction_factor=2,phm_dim=2,hypercomplex_nonlinearity='normal']"
CHANGES = [
    (BASE, output, "phm_layer", False),
    (BASE, output, "phm_dim", 3),
    (BASE, output, "factorized_phm_W", False),
    (BASE, output, "shared_W_phm", True),
    (BASE, output, "shared_phm_rule", False),
    (BASE, output, "factorized_phm_rule", True),
    (OWN_RULE, output, "factorized_phm_rule", True),
    (BASE, output, "phm_rank", 2),
    (BASE, output, "phm_bias", False),
    (BASE, trained, "learn_phm", False),
    (OWN_RULE, trained, "learn_phm", False),
    (BASE, weights, "phm_c_init", "uniform"),
    (OWN_RULE, weights, "phm_c_init", "uniform"),
    (BASE, weights, "phm_init_range", 0.1),
    (NORMAL, weights, "phm_init_range", 0.1),
    (BASE, weights, "hypercomplex_nonlinearity", "glorot-normal"),
    (BASE, weights, "hypercomplex_nonlinearity", "normal"),
    (BASE, weights, "hypercomplex_nonlinearity", "phm"),
]


@pytest.mark.parametrize(("base", "effect", "option", "value"), CHANGES)
def test_an_option_changes_the_result(base, effect, option, value):
    assert_changes(base, effect, option, value)


def test_every_option_stands_in_the_table():
    own = {name for name in options(BnConfig) if "phm" in name} | {"hypercomplex_nonlinearity"}
    assert {option for _, _, option, _ in CHANGES} == own


# One layer ---------------------------------------------------------------------------------------


def made(width=8, out=4, place="down", **settings):
    """A layer and what it shares, drawn so that nothing is 0."""
    torch.manual_seed(0)
    config = CompacterConfig(reduction_factor=2, **settings)
    layer, shared = PHMLinear(config, width, out, place, "a"), SharedPHM(config, 8)
    for parameter in (*layer.parameters(), *shared.parameters()):
        torch.nn.init.normal_(parameter)
    return layer, shared


def test_a_sum_of_kronecker_products_is_what_torch_says_it_is():
    left, right = torch.randn(3, 2, 4), torch.randn(3, 5, 7)
    products = [torch.kron(a, b) for a, b in zip(left, right, strict=True)]
    torch.testing.assert_close(kronecker_sum(left, right), torch.stack(products).sum(0))


@pytest.mark.parametrize("shape", [(3, 8), (2, 3, 8)])
def test_a_layer_multiplies_by_the_sum_of_its_rules_and_weights(shape):
    layer, shared = made()
    x = torch.randn(shape)
    weight = layer.W_left @ layer.W_right
    pairs = zip(shared.phm_rule, weight, strict=True)
    expected = x @ torch.stack([torch.kron(a, b) for a, b in pairs]).sum(0) + layer.b
    torch.testing.assert_close(layer(x, {"a": shared.values()}), expected)


@pytest.mark.parametrize("place", ["down", "up"])
@pytest.mark.parametrize("whole", [True, False])
def test_what_layers_share_is_computed_for_them(place, whole):
    sizes = (8, 4) if place == "down" else (4, 8)
    settings = {"shared_W_phm": True, "factorized_phm_W": not whole, "factorized_phm_rule": True}
    layer, shared = made(*sizes, place, **settings)
    assert [name for name, _ in layer.named_parameters()] == ["b"]
    values = shared.values()
    rule = shared.phm_rule_left @ shared.phm_rule_right
    if whole:
        weight = getattr(shared, f"W_{place}")
    else:
        weight = getattr(shared, f"W_{place}_left") @ getattr(shared, f"W_{place}_right")
    torch.testing.assert_close(layer.matrix({"a": values}), kronecker_sum(rule, weight))
    assert layer.matrix({"a": values}).shape == sizes


def test_all_layers_of_an_adapter_share_one_rule_and_no_other_adapter_does():
    model = fresh(BASE)
    model.add_adapter("b", BASE)
    rules = [name for name in model.state_dict() if "phm_rule" in name]
    assert rules == ["shared_parameters.a.phm_rule", "shared_parameters.b.phm_rule"]


def test_weights_of_phm_layers_have_the_published_names():
    model = fresh("compacter[reduction_factor=2,phm_dim=2,shared_W_phm=True]")
    names = [name for name in model.state_dict() if ".a." in name]
    place = "transformer.layer.2.output_adapters.adapters.a"
    assert {name for name in names if name.startswith(place)} == {
        f"{place}.adapter_down.0.b",
        f"{place}.adapter_up.b",
    }
    assert {name for name in names if name.startswith("shared")} == {
        "shared_parameters.a.phm_rule",
        "shared_parameters.a.W_down_left",
        "shared_parameters.a.W_down_right",
        "shared_parameters.a.W_up_left",
        "shared_parameters.a.W_up_right",
    }


def test_rules_that_are_not_learned_stay_fixed_when_everything_is_let_train():
    model = fresh("compacter[reduction_factor=2,phm_dim=2,learn_phm=False]")
    rule = model.shared_parameters["a"].phm_rule
    assert not rule.requires_grad
    model.train_adapter("a")
    model.freeze_model(False)
    assert not rule.requires_grad


def test_layers_can_be_copied_pickled_and_built_without_memory():
    layer, shared = made()
    x, values = torch.randn(3, 8), {"a": shared.values()}
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x, values), layer(x, values))
    with torch.device("meta"):
        empty = PHMLinear(layer.config, 8, 4, "down", "a")
    empty.load_state_dict(layer.state_dict(), assign=True)
    assert torch.equal(empty(x, values), layer(x, values))


# Widths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sizes"), [("reduction_factor=2,phm_dim=5", "24 to 12"), ("phm_dim=2", "24 to 1")]
)
@pytest.mark.parametrize("preset", ["compacter", "compacter++"])
def test_widths_that_the_products_do_not_divide_are_refused(preset, settings, sizes):
    model = fresh("seq_bn")
    before = [*model.state_dict()]
    with pytest.raises(AdapterError, match=f"from {sizes} dimensions needs .* reduction_factor"):
        model.add_adapter("b", f"{preset}[{settings}]")
    assert [*model.state_dict()] == before


# Fresh weights -----------------------------------------------------------------------------------


def drawn(**settings):
    torch.manual_seed(0)
    config = CompacterConfig(
        reduction_factor=2, phm_dim=4, factorized_phm_W=False, shared_phm_rule=False, **settings
    )
    return PHMLinear(config, 512, 256, "down", "a")


GLOROT = (2 / (128 + 64)) ** 0.5


@pytest.mark.diverges("adapters 1.3.0: draws from xavier_normal whatever the configuration says")
@pytest.mark.parametrize(
    ("name", "spread", "largest"),
    [
        ("glorot-uniform", GLOROT, GLOROT * 3**0.5),
        ("glorot-normal", GLOROT, None),
        ("normal", 0.3, None),
        ("phm", GLOROT / 2, None),  # the square of all four parts together is that of the others
    ],
)
def test_right_factors_are_drawn_as_their_name_says(name, spread, largest):
    weight = drawn(hypercomplex_nonlinearity=name, phm_init_range=0.3).W.detach()
    assert weight.std() == pytest.approx(spread, rel=0.03)
    assert abs(weight.mean()) < 0.01
    beyond = (weight.abs() > spread * 3**0.5 * 1.0001).any()
    assert bool(beyond) == (largest is None)


def test_the_default_draws_the_uniform_distribution_that_its_name_promises():
    assert CompacterConfig().hypercomplex_nonlinearity == "glorot-uniform"
    weight = drawn().W.detach()
    assert weight.abs().max() <= GLOROT * 3**0.5


@pytest.mark.parametrize(("init", "spread"), [("normal", 0.01), ("uniform", 0.01 / 3**0.5)])
def test_rules_of_a_layer_are_drawn_near_zero(init, spread):
    assert drawn(phm_c_init=init).phm_rule.detach().std() == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize(("init", "spread"), [("normal", 0.2), ("uniform", 1 / 3**0.5)])
def test_shared_rules_are_drawn_as_the_configuration_says(init, spread):
    torch.manual_seed(0)
    config = CompacterConfig(phm_dim=8, phm_c_init=init, phm_init_range=0.2)
    rule = SharedPHM(config, 64).phm_rule.detach()
    assert rule.std() == pytest.approx(spread, rel=0.1)
