"""LoRA's family beside a projection: formulas, options, what trains, shapes of VeRA."""

import copy
import dataclasses
import pickle

import pytest
import torch

from distilbert.adapters import walk
from distilbert.adapters.composition import Stack
from distilbert.adapters.configs import LoRAConfig, MTLLoRAConfig, resolve
from distilbert.adapters.methods.mtl import TaskMatrix
from distilbert.adapters.site import LinearState
from distilbert.errors import AdapterError
from distilbert.flow import Flow
from distilbert.layout import Packed, Padded
from low_rank import (
    EVERYWHERE,
    GATED,
    IDS,
    LORAS,
    MASK,
    add,
    make,
    outputs,
    packed_outputs,
    stir,
)

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = {**LORAS, **GATED}


def at(model, site: str = "q_lin", layer: int = 0):
    block = model.transformer.layer[layer]
    return getattr(block.ffn if site.startswith("lin") else block.attention, site)


def run(model, x: torch.Tensor, site: str = "q_lin", names=("a",), layout=None) -> LinearState:
    """What the adapters make of the state beside a projection. x: (…, in)"""
    linear = at(model, site)
    shared = {name: module.values() for name, module in model.shared_parameters.items()}
    flow = Flow(layout or Padded(), shared=shared)
    y = torch.nn.functional.linear(x, linear.weight, linear.bias)
    state = LinearState(x, y, x, linear.weight, linear.bias)
    for name in names:
        state = linear.loras[name](state, flow)
    return state


def doubled(*parts):
    model = make(*parts).double()
    torch.manual_seed(7)
    return model, torch.randn(2, 5, 24, dtype=torch.float64)


def assert_close(found, expected) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


# Formulas ----------------------------------------------------------------------------------------


def test_lora_adds_its_scaled_product():
    model, x = doubled(("lora", {"r": 4, "alpha": 6}))
    lora, linear = at(model).loras["a"], at(model)
    state = run(model, x)
    assert_close(state.delta, 1.5 * x @ (lora.lora_B @ lora.lora_A).T)
    assert_close(state.end(), x @ (linear.weight + 1.5 * lora.lora_B @ lora.lora_A).T + linear.bias)


def test_a_stacked_lora_reads_what_the_one_before_it_said():
    model, x = doubled(("lora", {"r": 4, "alpha": 6}), ("lora", {"r": 2}))
    a, b = at(model).loras["a"], at(model).loras["b"]
    first = 1.5 * x @ a.lora_A.T @ a.lora_B.T
    state = run(model, x, names=("a", "b"))
    assert_close(state.delta, 4 * first @ b.lora_A.T @ b.lora_B.T)
    assert_close(state.y, x @ at(model).weight.T + at(model).bias)


def test_rank_stabilised_scale_divides_by_the_root():
    settings = {"r": 4, "alpha": 6, "use_rslora": True}
    path = "transformer.layer.0.attention.q_lin"
    model, x = doubled(
        ("lora", settings),
        ("lora", {**settings, "rank_pattern": {path: 9}, "alpha_pattern": {path: 2}}),
    )
    for name, scale in (("a", 3.0), ("b", 2 / 3)):
        lora = at(model).loras[name]
        assert_close(run(model, x, names=name).delta, scale * x @ lora.lora_A.T @ lora.lora_B.T)
        assert at(model, "v_lin").loras[name].scale == 3.0
    assert at(model).loras["b"].lora_A.shape == (9, 24)
    assert at(model, "v_lin").loras["b"].lora_A.shape == (4, 24)


def test_ia3_scales_what_the_projection_and_others_say():
    model, x = doubled(("lora", {}), ("ia3", {"attn_matrices": ["q"], "alpha": 3}))
    vector = 3 * at(model).loras["b"].lora_B[:, 0]
    y = x @ at(model).weight.T + at(model).bias
    assert_close(run(model, x, names=("b",)).end(), y * vector)
    state = run(model, x, names=("a", "b"))
    assert_close(state.end(), (y + run(model, x).delta) * vector)
    assert state.delta is None


@pytest.mark.parametrize("kind", ["dora", "dvora", "mtl-dora"])
def test_dora_gives_rows_another_length(kind):
    model, x = doubled(LORAS[kind])
    module, linear = at(model).loras["a"], at(model)
    scale, shared = module.scale, {}
    if kind == "dvora":
        shared = model.shared_parameters["a"].values()
    change = module.change(shared)
    lengths = module.m.weight[:, 0] / (linear.weight + change).square().sum(1).sqrt()
    expected = lengths * (x @ (linear.weight + scale * change).T + linear.bias)
    state = run(model, x)
    assert_close(state.end(), expected)
    assert_close(state.source, scale * x @ change.T)
    assert scale != 1


def test_a_dora_stacked_on_a_lora_reads_what_that_said_and_adds_in_its_place():
    model, x = doubled(LORAS["lora"], LORAS["dora"])
    module, linear = at(model).loras["b"], at(model)
    first = run(model, x).delta
    lengths = module.m.weight[:, 0] / (linear.weight + module.change()).norm(dim=1)
    said = 0.5 * first @ module.change().T
    expected = lengths * (x @ linear.weight.T + linear.bias + said)
    assert_close(run(model, x, names=("a", "b")).end(), expected)


def test_a_fresh_dora_changes_nothing():
    model = make()
    model.add_adapter("a", "dora")
    torch.testing.assert_close(outputs(model, "a"), outputs(model, []), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dense", [False, True])
def test_vera_scales_what_its_random_matrices_say(dense):
    model, x = doubled(("vera", {"r": 4, "alpha": 6}))
    module = at(model).loras["a"]
    shared = model.shared_parameters["a"]
    if dense:
        assert module.take("vera_D", torch.randn(4, 4))
        assert module.take("vera_B", torch.randn(24, 24))
        small, large = module.vera_D, module.vera_B
    else:
        small, large = module.vera_D.diag(), module.vera_B.diag()
    change = large @ shared.lora_B @ small @ shared.lora_A
    assert_close(module.change(shared.values()), change)
    assert_close(run(model, x).delta, 1.5 * x @ change.T)


def test_a_narrow_projection_takes_a_part_of_the_shared_matrices():
    model, _ = doubled(("vera", EVERYWHERE))
    shared = model.shared_parameters["a"]
    assert shared.lora_A.shape == (8, 40)
    assert shared.lora_B.shape == (40, 8)
    for site, width, out in (("q_lin", 24, 24), ("lin1", 24, 40), ("lin2", 40, 24)):
        module = at(model, site).loras["a"]
        x = torch.randn(3, width, dtype=torch.float64)
        low = x @ shared.lora_A[:, :width].T * module.vera_D
        expected = low @ shared.lora_B[:out].T * module.vera_B
        assert_close(run(model, x, site).delta, expected)


@pytest.mark.parametrize("kind", ["mtl", "mtl-linear"])
def test_mtl_lora_mixes_its_ways_up(kind):
    model, x = doubled(LORAS[kind])
    module = at(model).loras["a"]
    shares = (module.weights / module.sharpness).exp()
    shares = shares / shares.sum()
    values = module.task_specific.values
    task = values if values.ndim == 2 else values.diag()
    low = x @ module.lora_A.T @ task
    ups = [share * low @ up.T for share, up in zip(shares, module.lora_B, strict=True)]
    assert_close(run(model, x).delta, module.scale * sum(ups))
    assert_close(module.scale * x @ module.change().T, module.scale * sum(ups))


@pytest.mark.parametrize("kind", GATED)
def test_a_gate_stands_in_for_the_scale_row_by_row(kind):
    model, x = doubled((GATED[kind][0], {**GATED[kind][1], "attn_matrices": ["q"]}))
    module = at(model).loras["a"]
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    layout = Padded(real)
    gates = (x @ module.gate.weight.T + module.gate.bias).sigmoid()
    means = torch.stack([gates[0].mean(0), gates[1, :3].mean(0)])[:, None]  # (rows, 1, 1)
    found = run(model, x, layout=layout)
    module.gated, module.scale = False, 1.0
    alone = run(model, x)
    if kind == "ia3-gated":
        expected = means * alone.y
    elif kind == "dora-gated":
        y = x @ at(model).weight.T + at(model).bias
        expected = alone.end() / (y + alone.source) * (y + means * alone.source)
    else:
        expected = alone.y + means * alone.delta
    assert_close(found.end(), expected)


def test_gates_are_reported():
    model = make(GATED["lora-gated"])
    report = model(IDS, MASK, adapter_names="a", output_adapter_gating_scores=True)
    gates = report.adapter_gating_scores["a"][1]["selfattn_lora"]
    assert gates.shape == (3, 2)  # of queries and values
    assert ((gates > 0) & (gates < 1)).all()


def test_in_a_stack_of_doras_the_last_alone_has_the_length():
    model, x = doubled(LORAS["dora"], LORAS["dora"])
    host = at(model)
    first, second = (host.loras[name] for name in "ab")
    said = first.scale * (x @ first.change().T)
    said = second.scale * (said @ second.change().T)
    own = x @ host.weight.T + host.bias
    lengths = second.m.weight[:, 0] / (host.weight + second.change()).norm(dim=1)
    assert_close(run(model, x, names="ab").end(), lengths * (own + said))


def test_a_gate_reads_the_projections_input_even_in_a_stack():
    model, x = doubled(LORAS["lora"], GATED["lora-gated"])
    b = at(model).loras["b"]
    first = run(model, x).delta
    gate = (x @ b.gate.weight.T + b.gate.bias).sigmoid().mean(1, keepdim=True)
    assert_close(run(model, x, names=("a", "b")).delta, gate * (first @ b.lora_A.T @ b.lora_B.T))


# Layouts and compositions ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_padding_changes_nothing(kind):
    model = make(ALL[kind]).double()
    padded = outputs(model, "a")
    assert (padded - outputs(model, [])).abs().max() > 0.1
    torch.testing.assert_close(packed_outputs(model, "a"), padded, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ALL)
def test_the_last_layer_can_be_computed_for_the_first_tokens_alone(kind):
    model = make(ALL[kind]).double()
    flow = Flow(Packed((6, 3, 4)), plan=model.plan("a"))
    found = model.encode(IDS[MASK.bool()], flow, "first").hidden
    torch.testing.assert_close(found, outputs(model, "a")[:, 0], rtol=1e-10, atol=1e-10)


# Options -----------------------------------------------------------------------------------------

BASE = {"init_weights_seed": 3, "intermediate_lora": True}
VERA = {**BASE, "vera_d": 0.1, "vera_b": 0.2, "init_weights": "vera"}
SCALE = {**BASE, "r": 1, "composition_mode": "scale", "init_weights": "ia3"}
MTL = {**BASE, "n_up_projection": 2}
OPTIONS = [
    (LoRAConfig, BASE, {"selfattn_lora": False}),
    (LoRAConfig, BASE, {"intermediate_lora": False}),
    (LoRAConfig, BASE, {"output_lora": True}),
    (LoRAConfig, BASE, {"leave_out": [1]}),
    (LoRAConfig, BASE, {"r": 4}),
    (LoRAConfig, BASE, {"alpha": 4}),
    (LoRAConfig, SCALE, {"alpha": 4}),
    (LoRAConfig, VERA, {"alpha": 4}),
    (LoRAConfig, BASE, {"dropout": 0.5}),
    (LoRAConfig, VERA, {"dropout": 0.5}),
    (MTLLoRAConfig, MTL, {"dropout": 0.5}),
    (LoRAConfig, BASE, {"attn_matrices": ["q"]}),
    (LoRAConfig, BASE, {"attn_matrices": ["q", "v", "k"]}),
    (LoRAConfig, BASE, {"attn_matrices": ["q", "v", "out"]}),
    (LoRAConfig, {**BASE, "r": 1}, {"composition_mode": "scale"}),
    (LoRAConfig, BASE, {"init_weights": "bert"}),
    (LoRAConfig, BASE, {"init_weights": "ia3"}),
    (LoRAConfig, BASE, {"init_weights": "vera"}),
    (LoRAConfig, SCALE, {"init_weights": "bert"}),
    (LoRAConfig, SCALE, {"init_weights": "lora"}),
    (LoRAConfig, VERA, {"init_weights": "bert"}),
    (MTLLoRAConfig, MTL, {"init_weights": "bert"}),
    (LoRAConfig, BASE, {"init_weights_seed": 4}),
    (LoRAConfig, BASE, {"init_weights_seed": 0}),
    (LoRAConfig, VERA, {"init_weights_seed": 4}),
    (LoRAConfig, BASE, {"use_gating": True}),
    (LoRAConfig, SCALE, {"use_gating": True}),
    (LoRAConfig, VERA, {"use_gating": True}),
    (MTLLoRAConfig, MTL, {"use_gating": True}),
    (LoRAConfig, BASE, {"use_dora": True}),
    (LoRAConfig, VERA, {"use_dora": True}),
    (MTLLoRAConfig, MTL, {"use_dora": True}),
    (LoRAConfig, VERA, {"vera_d": 0.3}),
    (LoRAConfig, VERA, {"vera_b": 0.3}),
    (LoRAConfig, BASE, {"dtype": "bfloat16"}),
    (LoRAConfig, SCALE, {"dtype": "bfloat16"}),
    (LoRAConfig, VERA, {"dtype": "bfloat16"}),
    (MTLLoRAConfig, MTL, {"dtype": "bfloat16"}),
    (LoRAConfig, {**BASE, "use_gating": True, "use_dora": True}, {"dtype": "bfloat16"}),
    (LoRAConfig, BASE, {"use_rslora": True}),
    (LoRAConfig, VERA, {"use_rslora": True}),
    (LoRAConfig, BASE, {"rank_pattern": {"transformer.layer.1.ffn.lin1": 3}}),
    (LoRAConfig, BASE, {"alpha_pattern": {"transformer.layer.1.ffn.lin1": 3}}),
    (LoRAConfig, SCALE, {"alpha_pattern": {"transformer.layer.1.ffn.lin1": 3}}),
    (MTLLoRAConfig, MTL, {"rank_pattern": {"transformer.layer.1.ffn.lin1": 3}}),
    (MTLLoRAConfig, MTL, {"n_up_projection": 3}),
    (MTLLoRAConfig, MTL, {"task_specific_matrix_type": "linear"}),
    (MTLLoRAConfig, MTL, {"weights_sharpness": 0.5}),
]


def outcome(config) -> torch.Tensor:
    """What a model in training mode says with an adapter that was moved a little."""
    model = make()
    model.add_adapter("a", config)
    stir(model, ".a.")
    model.train()
    torch.manual_seed(5)
    return outputs(model, "a")


@pytest.mark.parametrize(("kind", "given", "change"), OPTIONS, ids=str)
def test_each_option_changes_the_result(kind, given, change):
    before, after = outcome(kind(**given)), outcome(kind(**{**given, **change}))
    assert (before - after).abs().max() > 1e-4
    torch.testing.assert_close(outcome(kind(**given)), before, rtol=0, atol=0)


def test_the_table_of_options_is_whole():
    tried = {(kind, name) for kind, _, change in OPTIONS for name in change}
    options = {field.name for field in dataclasses.fields(LoRAConfig)} - {"architecture"}
    own = {field.name for field in dataclasses.fields(MTLLoRAConfig)} - options - {"architecture"}
    assert {name for kind, name in tried if kind is LoRAConfig} == options
    assert own <= {name for kind, name in tried if kind is MTLLoRAConfig}


@pytest.mark.parametrize("preset", ["lora", "ia3", "vera", "dora", "dvora", "mtl_lora"])
@pytest.mark.parametrize("seed", [0, 11])
def test_a_seed_gives_the_same_weights_and_leaves_the_generator_alone(preset, seed):
    models = make(), make()
    states = []
    for i, model in enumerate(models):
        torch.manual_seed(i)
        expected = torch.rand(2)
        torch.manual_seed(i)
        config = {"init_weights_seed": seed, "init_weights": "bert", "use_gating": True}
        model.add_adapter("a", resolve(preset, **config))
        assert torch.equal(torch.rand(2), expected)
        states.append({k: v for k, v in model.state_dict().items() if ".a." in k})
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_without_a_seed_weights_differ():
    model = make()
    model.add_adapter("a", "lora")
    assert not torch.equal(at(model).loras["a"].lora_A, at(model, "v_lin").loras["a"].lora_A)


@pytest.mark.diverges("adapters 1.3.0: all ones, which keeps the columns of B equal for ever")
def test_a_full_task_matrix_starts_as_identity():
    assert torch.equal(TaskMatrix(3, "linear").values, torch.eye(3))


# What trains -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_gradients_flow_to_what_trains_and_nothing_else(kind):
    model = make(ALL[kind], LORAS["lora"])
    model.train_adapter("a")
    outputs(model).square().sum().backward()
    for key, parameter in model.named_parameters():
        trains = ".a." in key and not key.startswith("shared_parameters")
        assert (parameter.grad is not None) == trains == parameter.requires_grad, key
        if trains and "weights" not in key:  # with a single way up, its share is always 1
            assert parameter.grad.abs().max() > 0, key


def test_the_random_matrices_of_vera_stay_frozen():
    model = make(LORAS["vera"])
    shared = model.shared_parameters["a"]
    for change in (
        lambda: model.freeze_model(False),
        lambda: model.train_adapter("a"),
    ):
        change()
        assert not shared.lora_A.requires_grad
        assert not shared.lora_B.requires_grad
        assert at(model).loras["a"].vera_D.requires_grad


def test_adapters_may_share_matrices():
    model = make(LORAS["mtl"], LORAS["mtl"])
    for _, slot, module in walk.modules(model, "a"):
        slot["b"].lora_A = module.lora_A
    before = outputs(model, "b")
    with torch.no_grad():
        at(model).loras["a"].lora_A.mul_(2)
    assert (outputs(model, "b") - before).abs().max() > 1e-3


# Dtypes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("own", [None, "float32"])
def test_a_model_in_bfloat16_stays_usable(kind, own):
    model = make(dtype="bfloat16").bfloat16()
    add(model, "a", ALL[kind][0], {**ALL[kind][1], "dtype": own})
    model.set_active_adapters("a")
    output = model(IDS, MASK).last_hidden_state
    assert output.dtype == torch.bfloat16
    assert torch.isfinite(output).all()
    output.float().sum().backward()
    expected = torch.float32 if own else torch.bfloat16
    assert {p.dtype for k, p in model.named_parameters() if ".a." in k} == {expected}


# Whole models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_copies_say_the_same(kind):
    model = make(ALL[kind])
    model.set_active_adapters("a")
    expected = outputs(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(outputs(other), expected)


@pytest.mark.parametrize("kind", ALL)
def test_it_can_be_built_without_memory_and_filled(kind):
    model = make(ALL[kind])
    with torch.device("meta"):
        other = make(ALL[kind])
    assert {p.device.type for p in other.parameters()} == {"meta"}
    other.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(outputs(other, "a"), outputs(model, "a"))


@pytest.mark.parametrize("kind", ["lora", "ia3-gated", "vera-all", "mtl-dora"])
def test_it_compiles_to_one_graph(kind):
    model, x = make(ALL[kind]), torch.randn(2, 5, 24)
    flow = Flow(
        Padded(),
        plan=model.plan("a"),
        shared={name: module.values() for name, module in model.shared_parameters.items()},
    ).divided([("a", 2)])
    linear = at(model, "k_lin" if kind.startswith("ia3") else "q_lin")
    compiled = torch.compile(linear.forward, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, flow), linear(x, flow))


# Shapes of VeRA ----------------------------------------------------------------------------------


def test_vera_loads_whole_matrices_and_vectors_again():
    model = make(LORAS["vera"])
    module = at(model).loras["a"]
    module.vera_B.requires_grad_(False)
    vectors = {key: value.clone() for key, value in model.state_dict().items()}
    whole = {k: torch.diag(v) if k.endswith("_D") else v for k, v in vectors.items()}
    key = "transformer.layer.0.attention.q_lin.loras.a.vera_B"
    whole[key] = torch.randn(24, 24)
    expected = outputs(model, "a")
    model.load_state_dict(whole)
    assert module.vera_D.shape == (8, 8)
    assert torch.equal(module.vera_B, whole[key])
    assert not module.vera_B.requires_grad
    assert module.vera_D.requires_grad
    model.load_state_dict(vectors)
    assert module.vera_D.shape == (8,)
    assert torch.equal(outputs(model, "a"), expected)


def test_vera_takes_no_other_shape():
    module = at(make(LORAS["vera"])).loras["a"]
    before = module.vera_D
    for name, shape in (
        ("vera_D", (7,)),
        ("vera_D", (8, 7)),
        ("vera_B", (8, 8)),
        ("vera_B", (24, 24, 24)),
        ("dropout", (8, 8)),
    ):
        assert not module.take(name, torch.ones(shape))
    assert not module.take("vera_D", torch.ones(8)), "the ordinary shape is copied as always"
    assert module.vera_D is before
    with pytest.raises(RuntimeError, match="size mismatch for vera_D"):
        module.load_state_dict({**module.state_dict(), "vera_D": torch.ones(8, 7)})


def test_nothing_shared_is_added_for_other_methods():
    model = make(LORAS["lora"], LORAS["dora"])
    assert not list(model.shared_parameters.keys())


def test_vera_that_hangs_nowhere_is_refused():
    model = make()
    with pytest.raises(AdapterError, match="hangs nowhere"):
        model.add_adapter("a", resolve("vera", leave_out=[0, 1, 2]))
    assert not list(model.shared_parameters.keys())
    assert not model.has_adapters()


def test_a_stack_of_one_is_the_one():
    model = make(LORAS["dora"])
    assert torch.equal(outputs(model, Stack("a")), outputs(model, "a"))
