"""ReFT: changes of the first and last tokens of each row, behind a layer."""

import copy
import pickle

import pytest
import torch
from torch import nn

from adapted import batch
from distilbert import AdapterError
from distilbert.adapters.configs import LoReftConfig, NoReftConfig, ReftConfig, resolve
from distilbert.adapters.methods.reft import Orthogonal, Reft, Unit
from distilbert.adapters.site import HiddenState
from distilbert.flow import Flow
from distilbert.layout import Packed, Padded
from effects import (
    assert_changes,
    fresh,
    options,
    output,
    same,
    training,
    weights,
    with_adapter,
)

BASE = "noreft[r=2,prefix_positions=2]"
BOTH = "noreft[r=2,prefix_positions=2,suffix_positions=2]"
SEEDED = "loreft[r=2,init_weights_seed=1]"
CHANGES = [
    (BASE, output, "layers", [0, 2]),
    (BASE, output, "prefix_positions", 1),
    (BASE, output, "suffix_positions", 1),
    (BASE, output, "r", 3),
    (BASE, output, "orthogonality", True),
    (BOTH, output, "tied_weights", True),
    (BASE, training, "dropout", 0.5),
    (BASE, output, "non_linearity", "relu"),
    (BASE, weights, "dtype", "float16"),
    (SEEDED, weights, "init_weights_seed", 2),
    (SEEDED, weights, "init_weights_seed", 0),
    (BASE, output, "subtract_projection", False),
]


@pytest.mark.parametrize(("base", "effect", "option", "value"), CHANGES)
def test_an_option_changes_the_result(base, effect, option, value):
    if option == "dtype":  # their values are the same, to its rounding
        found = weights(resolve(base, dtype=value))
        assert {x.dtype for x in found.values()} == {torch.float16}
        assert {x.dtype for x in weights(base).values()} == {torch.float32}
    else:
        assert_changes(base, effect, option, value)


def test_every_option_stands_in_the_table():
    assert {option for _, _, option, _ in CHANGES} == options(ReftConfig) - {"output_reft"}


def test_an_adapter_that_is_switched_off_is_refused():
    with pytest.raises(AdapterError, match="hangs nowhere"):
        fresh(resolve(BASE, output_reft=False))


# Which tokens ------------------------------------------------------------------------------------

LENGTHS = (6, 1, 3, 4)
REAL = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
LEFT = REAL.flip(1)


class Plus(nn.Module):
    """Stands in for a unit: adds the same to every token."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.full_like(x, self.value)


def changed(first, last, layout, tied=False):
    """Which unit has changed each token: 1 for the first, 2 for the second, 0 for none."""
    config = NoReftConfig(prefix_positions=first, suffix_positions=last, tied_weights=tied)
    module = Reft(config, 4)
    module.units = nn.ModuleList([Plus(1)] if tied else [Plus(1), Plus(2)])
    shape = (13 + 1, 4) if isinstance(layout, Packed) else (4, 6, 4)
    x = torch.randn(shape)
    end = module(HiddenState(x), Flow(layout)).hidden - x
    return end[..., 0].round().long()


@pytest.mark.parametrize(
    ("first", "last", "rows"),
    [
        (2, 0, ["110000", "1", "110", "1100"]),
        (0, 2, ["000022", "2", "022", "0022"]),
        (2, 1, ["110002", "2", "112", "1102"]),
        (3, 3, ["111222", "2", "222", "1222"]),
        (9, 0, ["111111", "1", "111", "1111"]),
        (9, 9, ["222222", "2", "222", "2222"]),
    ],
)
@pytest.mark.parametrize("kind", ["packed", "padded", "left", "no mask"])
def test_the_first_and_last_tokens_of_each_row_are_changed(first, last, rows, kind):
    wanted = torch.tensor([int(digit) for row in rows for digit in row])
    if kind == "packed":
        assert changed(first, last, Packed(LENGTHS)).tolist() == wanted.tolist()
    elif kind == "no mask":
        row = [int(digit) for digit in rows[0]]
        assert changed(first, last, Padded()).tolist() == [row] * 4
    else:
        real = REAL if kind == "padded" else LEFT
        found = changed(first, last, Padded(real))
        assert found[real].tolist() == wanted.tolist()
        assert not found[~real].any(), "padding is left as it is"


def test_tied_units_change_all_of_them_once():
    rows = ["110111", "1", "111", "1111"]
    wanted = [int(digit) for row in rows for digit in row]
    assert changed(2, 3, Packed(LENGTHS), tied=True).tolist() == wanted


@pytest.mark.diverges("adapters 1.3.0: IndexError where rows are shorter than the positions")
def test_rows_shorter_than_the_positions_run():
    model = with_adapter("loreft[prefix_positions=3,suffix_positions=3]").eval()
    ids, mask = batch((2, 1))
    out = model(ids, mask).last_hidden_state
    alone = model(ids[1:, :1]).last_hidden_state
    torch.testing.assert_close(out[1, :1], alone[0], rtol=1e-5, atol=1e-5)


# What is added -----------------------------------------------------------------------------------


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("orthogonal", [True, False])
def test_a_unit_puts_a_learned_source_where_the_vector_was(subtract, orthogonal):
    torch.manual_seed(0)
    config = NoReftConfig(
        r=2, orthogonality=orthogonal, subtract_projection=subtract, non_linearity="tanh"
    )
    unit, x = Unit(config, 6).eval(), torch.randn(3, 6)
    projection = unit.projection.weight
    inner = unit.learned_source(x).tanh()
    if subtract:
        inner = inner - x @ projection.T
    torch.testing.assert_close(unit(x), inner @ projection)


def test_loreft_leaves_all_but_a_small_space_of_the_vector_alone():
    torch.manual_seed(0)
    unit, x = Unit(LoReftConfig(r=2), 6).eval(), torch.randn(3, 6)
    rows = unit.projection.weight
    now = x + unit(x)
    torch.testing.assert_close(now @ rows.T, unit.learned_source(x))
    away = torch.eye(6) - rows.T @ rows
    torch.testing.assert_close(now @ away, x @ away)


def test_dropout_takes_from_the_whole_vector_as_published_adapters_were_trained():
    torch.manual_seed(0)
    unit, x = Unit(NoReftConfig(r=2, dropout=0.5), 6), torch.randn(50, 6)
    whole = x + unit.eval()(x)
    now = x + unit.train()(x)
    kept = now.abs() > 1e-6
    torch.testing.assert_close(now, 2 * whole * kept, rtol=1e-4, atol=1e-5)
    assert 0.3 < kept.float().mean() < 0.7


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("preset", ["loreft", "noreft"])
def test_a_dtype_of_its_own_changes_only_the_rounding(preset, dtype):
    config = resolve(preset, r=2, init_weights_seed=1)
    ids, mask = batch()
    found = []
    for made in (config, config.replace(dtype=dtype)):
        model = fresh(made).eval()
        found.append(model(ids, mask, adapter_names="a").last_hidden_state)
        assert found[-1].dtype == torch.float32
    assert {p.dtype for p in model.get_adapter("a")[0]["reft"].parameters()} == {
        getattr(torch, dtype)
    }
    torch.testing.assert_close(*found, rtol=0.1, atol=0.1)
    assert not torch.equal(*found)


@pytest.mark.parametrize("preset", ["loreft", "noreft"])
def test_a_model_of_half_precision_runs_and_trains(preset):
    model = fresh("seq_bn").to(torch.bfloat16)
    model.add_adapter("b", resolve(preset, r=2))
    model.train_adapter("b")
    model(*batch(), adapter_names="b").last_hidden_state.sum().backward()
    unit = model.get_adapter("b")[2]["reft"].units[0]
    for name, parameter in unit.named_parameters():
        assert parameter.dtype == torch.bfloat16, name
        assert parameter.grad.isfinite().all(), name


# Orthogonal matrices -----------------------------------------------------------------------------


def turned(rank, dim):
    torch.manual_seed(0)
    made = Orthogonal(nn.Linear(dim, rank, bias=False))
    with torch.no_grad():
        original = made.parametrizations["weight"].original
        original.add_(torch.randn(rank, dim).tril(-1) + torch.randn(rank, dim).triu(1))
    return made


@pytest.mark.parametrize(("rank", "dim"), [(1, 8), (3, 8), (8, 8), (9, 8)])
def test_values_and_gradients_are_those_of_torchs_parametrisation(rank, dim):
    ours = turned(rank, dim)
    theirs = nn.utils.parametrizations.orthogonal(nn.Linear(dim, rank, bias=False))
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours.weight, theirs.weight)
    grads = torch.randn(rank, dim)
    for made in (ours, theirs):
        (made.weight * grads).sum().backward()
    (a,), (b,) = ours.parameters(), theirs.parameters()
    torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize(("rank", "dim"), [(1, 8), (3, 8), (8, 8)])
def test_fresh_matrices_are_those_of_torchs_parametrisation(rank, dim):
    torch.manual_seed(0)
    ours = Orthogonal(nn.Linear(dim, rank, bias=False))
    torch.manual_seed(0)
    theirs = nn.utils.parametrizations.orthogonal(nn.Linear(dim, rank, bias=False))
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    assert same(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize(("rank", "dim"), [(1, 8), (3, 8), (8, 8)])
def test_rows_stay_orthonormal_in_training(rank, dim):
    made = turned(rank, dim)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        (made.weight * torch.randn(rank, dim)).sum().backward()
        optimizer.step()
    torch.testing.assert_close(made.weight @ made.weight.T, torch.eye(rank), atol=1e-5, rtol=0)


@pytest.mark.diverges("torch 2: one step of weight decay turns the whole matrix into zeros")
def test_weight_decay_leaves_rows_orthonormal():
    made = turned(3, 8)
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.01, weight_decay=0.1)
    made.weight.sum().backward()
    optimizer.step()
    torch.testing.assert_close(made.weight @ made.weight.T, torch.eye(3), atol=1e-5, rtol=0)


def test_double_precision_is_kept():
    made = turned(3, 8).double()
    made.parametrizations["weight"].get_submodule("0").base.copy_(
        torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    )
    away = made.weight @ made.weight.T - torch.eye(3, dtype=torch.float64)
    assert away.abs().max() < 1e-12


@pytest.mark.diverges("torch's orthogonal parametrisation cannot be pickled")
def test_matrices_can_be_copied_pickled_and_built_without_memory():
    made = turned(3, 8)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(other.weight, made.weight)
    with torch.device("meta"):
        empty = Orthogonal(nn.Linear(8, 3, bias=False))
    empty.load_state_dict(made.state_dict(), assign=True)
    assert torch.equal(empty.weight, made.weight)


def test_weights_of_loreft_have_the_published_names():
    names = {name for name in fresh("loreft[layers=[1]]").state_dict() if ".a." in name}
    place = "transformer.layer.1.reft_layer.refts.a.units"
    assert names == {
        f"{place}.{i}.{rest}"
        for i in range(2)
        for rest in (
            "learned_source.weight",
            "learned_source.bias",
            "projection.parametrizations.weight.original",
            "projection.parametrizations.weight.0.base",
        )
    }
