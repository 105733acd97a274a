"""Adapters in the weights: merged is active, taken out is as before, and files never notice."""

import copy
import pickle

import pytest
import torch

from adapted import batch, tiny, with_adapters
from distilbert import DistilBertModel
from distilbert.adapters import merge
from distilbert.adapters.composition import Average, Stack
from distilbert.adapters.configs import ConfigUnion, LoRAConfig, SeqBnConfig, resolve
from distilbert.errors import AdapterError
from distilbert.flow import Flow
from distilbert.layout import Packed
from low_rank import GATED, IDS, LENGTHS, LORAS, MASK, add, make, outputs, packed_outputs

pytestmark = pytest.mark.usefixtures("one_thread")


def weights(model) -> dict[str, torch.Tensor]:
    """The parameters as they are now, which a state dict hides while one is merged."""
    return {key: value.detach().clone() for key, value in model.named_parameters()}


def assert_equal(found, expected) -> None:
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert torch.equal(value, expected[key]), key


def merged(*parts, double: bool = True):
    """A model with the first adapter merged, and what it says when that is active."""
    model = make(*parts)
    if double:
        model.double()
    active = outputs(model, "a")
    model.merge_adapter("a")
    return model, active


@pytest.mark.parametrize("kind", LORAS)
def test_merged_is_active(kind):
    model = make(LORAS[kind]).double()
    base, active = outputs(model), outputs(model, "a")
    model.merge_adapter("a")
    assert (active - base).abs().max() > 0.1
    torch.testing.assert_close(outputs(model), active, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(packed_outputs(model, "a"), active, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", LORAS)
def test_merged_is_active_to_rounding_in_float32(kind):
    model, active = merged(LORAS[kind], double=False)
    torch.testing.assert_close(outputs(model), active, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", ["lora", "ia3", "dora", "vera", "mtl"])
def test_weights_in_bfloat16_are_rounded_once(kind):
    model = make(LORAS[kind]).bfloat16()
    exact = copy.deepcopy(model).double()
    for each in (model, exact):
        each.merge_adapter("a")
    compared = weights(exact)
    for key, value in weights(model).items():
        assert torch.equal(value, compared[key].float().bfloat16()), key


@pytest.mark.parametrize("kind", LORAS)
def test_resetting_puts_back_the_very_same_tensors(kind):
    model = make(LORAS[kind])
    before, objects = weights(model), list(model.parameters())
    places = [parameter.data_ptr() for parameter in objects]
    model.merge_adapter("a")
    assert any(not torch.equal(value, before[key]) for key, value in weights(model).items())
    model.reset_adapter()
    assert_equal(weights(model), before)
    assert all(a is b for a, b in zip(model.parameters(), objects, strict=True))
    assert [parameter.data_ptr() for parameter in model.parameters()] == places
    assert not any(slot.plain or slot.merged for _, slot, _ in merge.slots(model))


@pytest.mark.parametrize("kind", ["lora-all", "ia3", "dora"])
def test_what_is_saved_is_without_the_merged_adapter(kind, tmp_path):
    model = make(LORAS[kind])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.merge_adapter("a")
    assert_equal(model.state_dict(), before)
    assert_equal({k: v.detach() for k, v in model.state_dict(keep_vars=True).items()}, before)
    model.save_pretrained(tmp_path)
    again = DistilBertModel.from_pretrained(tmp_path)
    assert_equal(again.state_dict(), {key: before[key] for key in again.state_dict()})
    assert again.adapters_config.merged is None


@pytest.mark.parametrize("kind", ["lora", "ia3", "dora", "vera"])
def test_copies_of_a_merged_model_can_be_reset_alone(kind):
    model = make(LORAS[kind])
    before = weights(model)
    model.merge_adapter("a")
    during, expected = weights(model), outputs(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(outputs(other), expected)
        assert other.adapters_config.merged == "a"
        assert_equal(other.state_dict(), before)
        other.reset_adapter()
        assert_equal(weights(other), before)
    assert_equal(weights(model), during)


def test_merging_twice_and_resetting_twice_do_nothing_more():
    model, _ = merged(LORAS["lora"])
    once = weights(model)
    model.merge_adapter("a")
    assert_equal(weights(model), once)
    model.reset_adapter()
    plain = weights(model)
    model.reset_adapter()
    assert_equal(weights(model), plain)
    model.merge_adapter("a")
    assert_equal(weights(model), once)


def test_an_optimizer_goes_on_with_the_same_parameters_after_resetting():
    model = make(LORAS["lora"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.merge_adapter("a")
    model.reset_adapter()
    before = weights(model)
    outputs(model).sum().backward()
    optimizer.step()
    key = "transformer.layer.0.attention.q_lin.weight"
    assert not torch.equal(weights(model)[key], before[key])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_that_was_turned_into_another_dtype_meanwhile_is_reset_to_that(dtype):
    model = make(LORAS["dora"])
    expected = weights(copy.deepcopy(model).to(dtype))
    model.merge_adapter("a")
    model.to(dtype)
    model.reset_adapter()
    assert_equal(weights(model), expected)


# Beside other adapters ---------------------------------------------------------------------------


def test_the_rest_of_a_union_goes_on_acting_while_active():
    model = make()
    model.add_adapter("a", ConfigUnion(LoRAConfig(r=4, alpha=3), SeqBnConfig(reduction_factor=4)))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".a." in key:
                parameter.add_(torch.randn_like(parameter) / 3)
    model.double().set_active_adapters("a")
    active = outputs(model)
    model.merge_adapter("a")
    torch.testing.assert_close(outputs(model), active, rtol=1e-10, atol=1e-10)
    merged_alone = model.encode(IDS[MASK.bool()], Flow(Packed(LENGTHS))).hidden
    away = (merged_alone - active[MASK.bool()]).abs().max()
    assert away > 0.1, "the bottleneck is not in the weights"


def test_a_merged_adapter_acts_though_none_is_active():
    model, active = merged(LORAS["lora"])
    for names in (None, "a", Stack("a")):
        torch.testing.assert_close(outputs(model, names), active, rtol=1e-10, atol=1e-10)


@pytest.mark.diverges("adapters 1.3.0: ignores other adapters while one is merged")
@pytest.mark.parametrize("names", ["b", Stack("a", "b"), Average("a", "b")])
def test_another_adapter_cannot_run_on_top(names):
    model, _ = merged(LORAS["lora"], LORAS["ia3"])
    with pytest.raises(AdapterError, match=r"'a' is merged .* call reset_adapter"):
        outputs(model, names)


def test_activating_resets():
    model = make(LORAS["lora"], LORAS["ia3"])
    before = weights(model)
    model.merge_adapter("a")
    model.set_active_adapters("b")
    assert_equal(weights(model), before)
    assert model.adapters_config.merged is None


def test_a_dora_that_is_added_meanwhile_starts_from_the_weights_without_the_other():
    model, base = make(LORAS["lora"]), make()
    model.merge_adapter("a")
    model.add_adapter("b", "dora")
    model.reset_adapter()
    torch.testing.assert_close(outputs(model, "b"), outputs(base), rtol=1e-4, atol=1e-5)


# Refused, and nothing changed --------------------------------------------------------------------


def _prepared():
    model = make(LORAS["lora"], LORAS["ia3"])
    add(model, "gated", *GATED["lora-gated"])
    model.add_adapter("unipelt", resolve("unipelt"))
    model.add_adapter("bottleneck", resolve("seq_bn"))
    model.add_adapter("mam", resolve("mam"))
    return model


REFUSED = {
    "unknown": (lambda model: None, "nobody", r"no adapter 'nobody'; this model has \['a', 'b'"),
    "no name": (lambda model: None, None, "no adapter None"),
    "a list": (lambda model: None, ["a"], "no adapter"),
    "gated": (lambda model: None, "gated", "has gates"),
    "gated union": (lambda model: None, "unipelt", "has gates"),
    "bottleneck": (lambda model: None, "bottleneck", "SeqBnConfig, which no weights can hold"),
    "union without LoRA": (lambda model: None, "mam", "which no weights can hold"),
    "another merged": (lambda model: model.merge_adapter("b"), "a", "'b' is merged .* already"),
    "another active": (lambda model: model.set_active_adapters("b"), "a", "run on top of"),
    "a stack active": (
        lambda model: model.set_active_adapters(Stack("a", "b")),
        "a",
        r"set_active_adapters\('a'\) first",
    ),
    "skipped layers": (
        lambda model: model.set_active_adapters("a", skip_layers=[1]),
        "a",
        r"layers \[1\] are skipped",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_merged_is_refused_and_changes_nothing(case):
    prepare, name, message = REFUSED[case]
    model = _prepared()
    prepare(model)
    before, was = weights(model), model.adapters_config.merged
    with pytest.raises(AdapterError, match=message):
        model.merge_adapter(name)
    assert_equal(weights(model), before)
    assert model.adapters_config.merged == was


def test_skipped_layers_without_the_adapter_do_not_matter():
    preset, settings = LORAS["lora-all"]
    assert settings["leave_out"] == [1]
    model = make((preset, settings)).double()
    model.set_active_adapters("a", skip_layers=[1])
    active = outputs(model)
    model.merge_adapter("a")
    torch.testing.assert_close(outputs(model), active, rtol=1e-10, atol=1e-10)


def test_a_lora_that_hangs_nowhere_cannot_be_merged():
    model = make()
    union = ConfigUnion(LoRAConfig(leave_out=[0, 1, 2]), SeqBnConfig(reduction_factor=4))
    model.add_adapter("a", union)
    with pytest.raises(AdapterError, match="'a' hangs nowhere"):
        model.merge_adapter("a")


def test_a_failure_on_the_way_changes_nothing(monkeypatch):
    model = make(LORAS["dora"])
    last = model.transformer.layer[2].attention.v_lin.loras["a"]

    def fail(*_):
        raise RuntimeError("out of memory")

    before = weights(model)
    monkeypatch.setattr(type(last), "merged", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.merge_adapter("a")
    assert_equal(weights(model), before)
    assert model.adapters_config.merged is None


def test_a_merged_adapter_cannot_be_deleted():
    model, _ = merged(LORAS["lora"])
    with pytest.raises(AdapterError, match="call reset_adapter"):
        model.delete_adapter("a")


@pytest.mark.parametrize(
    ("kind", "name"), [("lora", "weight"), ("dora", "weight"), ("ia3", "bias")]
)
def test_loading_into_merged_weights_is_refused(kind, name):
    model, _ = merged(LORAS[kind])
    site = "k_lin" if kind == "ia3" else "q_lin"
    key = f"transformer.layer.0.attention.{site}.{name}"
    with pytest.raises(AdapterError, match=rf"'{key}' cannot be loaded while 'a' is merged"):
        merge.check_loading(model, [key])
    merge.check_loading(model, ["embeddings.LayerNorm.bias", f"{key}s"])
    model.reset_adapter()
    merge.check_loading(model, [key])


def test_weights_are_not_loaded_into_a_model_with_a_merged_adapter():
    found = with_adapters(tiny(), {"a": "lora"})
    state = {key: value + 1 for key, value in found.state_dict().items()}
    found.merge_adapter("a")
    before = rows_of(found)
    with pytest.raises(AdapterError, match="'a' is merged"):
        found.load_state_dict(state)
    assert torch.equal(rows_of(found), before)
    found.reset_adapter()
    found.load_state_dict(state)


def test_a_merged_model_that_changes_its_dtype_saves_one_dtype():
    found = with_adapters(tiny(), {"a": "lora"})
    plain = found.state_dict()
    found.merge_adapter("a")
    saved = found.to(torch.float64).state_dict()
    assert {value.dtype for value in saved.values()} == {torch.float64}
    assert all(torch.equal(saved[key].float(), plain[key]) for key in plain)


def test_no_adapter_at_all_cannot_be_asked_of_merged_weights():
    found = with_adapters(tiny(), {"a": "lora"})
    found.merge_adapter("a")
    with pytest.raises(AdapterError, match="'a' is merged into the weights"):
        found(*batch(), adapter_names=[])


def rows_of(model):
    return model(*batch()).last_hidden_state
