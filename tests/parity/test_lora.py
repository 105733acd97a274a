"""LoRA's family against adapters, as installed: values and gradients, and where it goes wrong.

In float64, so that a wrong formula cannot hide in rounding: values reach 10 and gradients 1000,
rounded at 1e-16 in sums of a few thousand terms.
"""

import pytest
import torch
import transformers

import adapters
from adapters import composition as their_compositions
from distilbert.adapters.composition import Average, BatchSplit, Stack
from low_rank import EVERYWHERE, GATED, IDS, LORAS, MASK, TINY, make, outputs

pytestmark = pytest.mark.usefixtures("one_thread")
CLOSE = {"rtol": 1e-8, "atol": 1e-10}
OURS_ALONE = {  # adapters has no such option, or fails with it
    "lora-out",
    "rslora",
    "vera-all",  # its shared matrices fit one width
    "mtl-linear",
    "mtl-dora",
}


def theirs_of(ours, *parts: tuple[str, dict]):
    """Their model, of the weights of ours."""
    model = transformers.DistilBertModel(transformers.DistilBertConfig(**TINY))
    adapters.init(model)
    for name, (preset, settings) in zip("abcd", parts, strict=False):
        known = {k: v for k, v in settings.items() if k not in ("rank_pattern", "alpha_pattern")}
        if "attn_matrices" in known:
            known["attn_matrices"] = [m for m in known["attn_matrices"] if m != "out"]
        model.add_adapter(name, adapters.AdapterConfig.load(preset, **known))
    weights = {
        key: torch.diag(value) if key.endswith(("vera_D", "vera_B")) else value
        for key, value in ours.state_dict().items()
        if "out_lin.loras" not in key
    }
    found = model.load_state_dict(weights, strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) <= {"prompt_tuning.base_model_embeddings.weight"}
    return model.double().eval()


def pair(*parts: tuple[str, dict]):
    ours = make(*parts)
    return ours.double(), theirs_of(ours, *parts)


def without_out(part: tuple[str, dict]) -> tuple[str, dict]:
    """The same without out_lin, which adapters never adapts."""
    preset, settings = part
    if "attn_matrices" in settings:
        kept = [m for m in settings["attn_matrices"] if m != "out"]
        settings = {**settings, "attn_matrices": kept}
    return preset, settings


def assert_same(ours, theirs, mask=MASK) -> None:
    """Both have the same adapters active; every value and every gradient agrees."""
    torch.manual_seed(3)
    weight = torch.randn(*IDS.shape, TINY["dim"], dtype=torch.float64) * mask[..., None]
    values = [model(IDS, mask).last_hidden_state for model in (ours, theirs)]
    torch.testing.assert_close(*values, **CLOSE)
    for value in values:
        (value * weight).sum().backward()
    expected = dict(theirs.named_parameters())
    seen = 0
    for key, parameter in ours.named_parameters():
        other = expected[key].grad
        assert (parameter.grad is None) == (other is None), key
        if other is not None:
            if key.endswith(("vera_D", "vera_B")) and parameter.ndim == 1:
                other = other.diagonal()
            torch.testing.assert_close(
                parameter.grad, other, **CLOSE, msg=lambda m, k=key: f"{k}: {m}"
            )
            seen += ".loras." in key and bool((other != 0).any())
    assert seen > 0


@pytest.mark.parametrize("kind", [kind for kind in LORAS if kind not in OURS_ALONE])
def test_values_and_gradients_agree(kind):
    part = without_out(LORAS[kind])
    ours, theirs = pair(part)
    for model in (ours, theirs):
        model.set_active_adapters("a")
    assert_same(ours, theirs)


@pytest.mark.parametrize("kind", GATED)
def test_gated_ones_agree_where_there_is_no_padding(kind):
    ours, theirs = pair(GATED[kind])
    for model in (ours, theirs):
        model.set_active_adapters("a")
    assert_same(ours, theirs, torch.ones_like(MASK))


STACKS = (
    *(("lora", "lora"), ("lora", "mtl"), ("lora", "dora"), ("dora", "lora"), ("dora", "dora")),
    *(("vera", "dora"), ("dvora", "dora"), ("dora", "dvora"), ("dora", "lora", "dora")),
)


@pytest.mark.parametrize("kinds", STACKS, ids=str)
def test_stacked_ones_chain_their_products(kinds):
    parts = [LORAS[kind] for kind in kinds]
    ours, theirs = pair(*parts)
    names = "abc"[: len(parts)]
    ours.set_active_adapters(Stack(*names))
    theirs.set_active_adapters(their_compositions.Stack(*names))
    assert_same(ours, theirs)


def test_stacked_vectors_of_ia3_agree():
    ours, theirs = pair(LORAS["ia3"], LORAS["ia3"])
    ours.set_active_adapters(Stack("a", "b"))
    theirs.set_active_adapters(their_compositions.Stack("a", "b"))
    assert_same(ours, theirs)


@pytest.mark.parametrize("kind", ["lora", "ia3", "vera", "mtl"])
def test_each_run_of_a_split_batch_agrees(kind):
    ours, theirs = pair(LORAS[kind], LORAS[kind])
    ours.set_active_adapters(BatchSplit("a", "b", batch_sizes=[2, 1]))
    theirs.set_active_adapters(their_compositions.BatchSplit("a", "b", batch_sizes=[2, 1]))
    assert_same(ours, theirs)


def test_a_whole_matrix_of_vera_trains_as_one():
    ours, theirs = pair(LORAS["vera"])
    torch.manual_seed(5)
    weights = {
        key: value + torch.randn_like(value) / 10 if key.endswith(("vera_D", "vera_B")) else value
        for key, value in theirs.state_dict().items()
    }
    theirs.load_state_dict(weights)
    del weights["prompt_tuning.base_model_embeddings.weight"]
    ours.load_state_dict(weights)
    assert ours.transformer.layer[0].attention.q_lin.loras["a"].vera_B.shape == (24, 24)
    for model in (ours, theirs):
        model.set_active_adapters("a")
    assert_same(ours, theirs)


@pytest.mark.parametrize("seed", [1, 37])
@pytest.mark.parametrize(
    "part",
    [
        ("lora", {**EVERYWHERE}),
        ("lora", {"init_weights": "bert", "use_gating": True}),
        ("lora", {"init_weights": "vera", "use_gating": True}),
        ("ia3", {"init_weights": "bert", "use_gating": True}),
        ("vera", {}),
        ("vera", {"init_weights": "bert", "use_gating": True}),
        ("dvora", {"use_gating": True}),
        ("dora", {"init_weights": "bert", "use_gating": True}),
        ("mtl_lora", {"init_weights": "bert", "n_up_projection": 2, "use_gating": True}),
    ],
    ids=str,
)
def test_a_seed_draws_the_same_weights(part, seed):
    preset, settings = without_out(part)
    config = {**settings, "init_weights_seed": seed}
    base = make()
    ours, theirs = make(), theirs_of(base)
    ours.add_adapter("a", adapters_config(preset, config))
    torch.manual_seed(99)
    theirs.add_adapter("a", adapters.AdapterConfig.load(preset, **config))
    expected = theirs.state_dict()
    compared = 0
    for key, value in ours.state_dict().items():
        if ".a." in key:
            other = expected[key]
            other = other.diagonal() if other.shape != value.shape else other
            torch.testing.assert_close(value, other, rtol=1e-6, atol=1e-7, msg=key)
            compared += 1
    assert compared


def adapters_config(preset: str, settings: dict):
    from distilbert.adapters.configs import resolve

    return resolve(preset, **settings)


# Merging -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lora", "lora-lin1", "vera"])
def test_merged_weights_agree(kind):
    ours, theirs = pair(LORAS[kind])
    for model in (ours, theirs):
        model.merge_adapter("a")
    expected = theirs.state_dict()
    compared = 0
    for key, parameter in ours.named_parameters():
        if key.endswith(("_lin.weight", "lin1.weight", "lin2.weight")):
            torch.testing.assert_close(parameter.detach(), expected[key], **CLOSE)
            compared += 1
    assert compared


@pytest.mark.diverges(
    "adapters 1.3.0: merging IA3 and DoRA leaves the bias, and DoRA its scale, out"
)
@pytest.mark.parametrize("kind", ["ia3", "dora"])
def test_merging_gives_what_the_active_adapter_gives(kind):
    ours, theirs = pair(LORAS[kind])
    for model in (ours, theirs):
        model.set_active_adapters("a")
    active = outputs(ours)
    torch.testing.assert_close(outputs_of(theirs), active, **CLOSE)
    ours.merge_adapter("a")
    torch.testing.assert_close(outputs(ours), active, **CLOSE)
    theirs.merge_adapter("a")
    assert (outputs_of(theirs) - active).abs().max() > 0.1


def outputs_of(theirs):
    return theirs(IDS, MASK).last_hidden_state * MASK[..., None]


@pytest.mark.diverges("adapters 1.3.0: reset_adapter does not restore what DoRA was merged into")
def test_resetting_gives_the_weights_back():
    ours, theirs = pair(LORAS["dora"])
    for model, exact in ((ours, True), (theirs, False)):
        before = {key: value.clone() for key, value in model.state_dict().items()}
        model.set_active_adapters("a")
        model.merge_adapter("a")
        model.reset_adapter()
        after = model.state_dict()
        assert exact == all(torch.equal(before[key], after[key]) for key in before)
    name = "transformer.layer.0.attention.q_lin.weight"
    assert (theirs.state_dict()[name] - before[name]).abs().max() > 0.01


# Where theirs goes wrong -------------------------------------------------------------------------


@pytest.mark.diverges("adapters 1.3.0: gates average over padding")
def test_gates_do_not_see_padding():
    ours, theirs = pair(GATED["lora-gated"])
    for model in (ours, theirs):
        model.set_active_adapters("a")
    alone = ours(IDS[1:2, :3]).last_hidden_state[0]
    torch.testing.assert_close(outputs(ours)[1, :3], alone, **CLOSE)
    assert (outputs_of(theirs)[1, :3] - alone).abs().max() > 1e-3


@pytest.mark.diverges("adapters 1.3.0: (IA)³ on LoRA multiplies what the two layers say")
def test_a_vector_stacked_on_a_lora_scales_their_sum():
    settings = {"attn_matrices": ["q"], "intermediate_lora": False}
    parts = [("lora", {"attn_matrices": ["q"]}), ("ia3", settings)]
    ours, theirs = pair(*parts)
    ours.set_active_adapters(Stack("a", "b"))
    theirs.set_active_adapters(their_compositions.Stack("a", "b"))
    plain = make(*parts).double()
    plain.merge_adapter("a")
    weights = [block.attention.q_lin.weight.detach().clone() for block in plain.transformer.layer]
    plain.reset_adapter()
    with torch.no_grad():
        for block, weight in zip(plain.transformer.layer, weights, strict=True):
            block.attention.q_lin.weight.copy_(weight)
    torch.testing.assert_close(outputs(ours), outputs(plain, "b"), **CLOSE)
    assert (outputs_of(theirs) - outputs(ours)).abs().max() > 0.1


@pytest.mark.diverges("adapters 1.3.0: an average divides by the number of its parts once more")
def test_an_average_of_copies_is_the_adapter():
    ours, theirs = pair(LORAS["lora"])
    for model in (ours, theirs):
        model.set_active_adapters("a")
    alone = outputs(ours)
    ours.set_active_adapters(Average("a", "a"))
    theirs.set_active_adapters(their_compositions.Average("a", "a"))
    torch.testing.assert_close(outputs(ours), alone, **CLOSE)
    assert (outputs_of(theirs) - alone).abs().max() > 0.1


@pytest.mark.diverges("adapters 1.3.0: VeRA beside projections of two shapes crashes")
def test_vera_hangs_at_projections_of_all_shapes():
    part = ("vera", {"intermediate_lora": True})
    theirs = theirs_of(make()).float()
    theirs.add_adapter("a", adapters.AdapterConfig.load(part[0], **part[1]))
    theirs.set_active_adapters("a")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        theirs(IDS, MASK)
    assert torch.isfinite(outputs(make(part), "a")).all()


@pytest.mark.diverges("adapters 1.3.0: the full task matrix of MTL-LoRA crashes")
def test_a_full_task_matrix_works():
    with pytest.raises(AttributeError, match=r"before Module.__init__"):
        theirs_of(make(), LORAS["mtl-linear"])
    assert torch.isfinite(outputs(make(LORAS["mtl-linear"]), "a")).all()


@pytest.mark.diverges("adapters 1.3.0: seed 0 is taken for none")
def test_seed_zero_is_a_seed():
    first, second = make(), make()
    config = adapters_config("lora", {"init_weights_seed": 0})
    first.add_adapter("a", config)
    torch.rand(3)
    second.add_adapter("a", config)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
