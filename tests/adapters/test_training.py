"""Training adapters: what trains, what drops, what recomputing and packing must not change."""

from itertools import pairwise

import pytest
import torch
from torch.utils import _pytree as pytree

from adapted import LENGTHS, METHODS, batch, tiny, with_adapters
from distilbert import AdapterError
from distilbert.adapters import (
    AdapterFusionConfig,
    Average,
    BatchSplit,
    Fuse,
    Parallel,
    PerRow,
    Split,
    Stack,
)
from distilbert.flow import Flow
from distilbert.layout import Packed
from distilbert.model.passed import reported

pytestmark = pytest.mark.usefixtures("one_thread")

STILL = {"dropout": 0.0, "attention_dropout": 0.0}  # the encoder itself drops nothing
GATED = "seq_bn[reduction_factor=4,use_gating=True]"
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32 sums in another order
NOTING = {"output_adapter_gating_scores": True, "output_adapter_fusion_attentions": True}


def three(**settings):
    """A model whose adapters have gates, and a fusion of two of them."""
    model = with_adapters(tiny(**settings), {"a": GATED, "b": GATED, "c": "unipelt"})
    with_adapters(model, {"p": "prompt"})
    model.add_adapter_fusion(["a", "b"])
    return model


COMPOSED = {
    "stack": Stack("a", "c"),
    "fusion": Fuse("a", "b"),
    "average": Average("a", "b"),
    "split": Split("a", "b", splits=[3, 3]),
    "parallel": Stack("p", Parallel("a", "b")),
    "batch split": BatchSplit("a", "c", batch_sizes=[1, 3]),
    "per row": PerRow(["a", None, "c", "a"]),
    "fusions per row": PerRow([Fuse("a", "b"), "p", None, Fuse("a", "b")]),
}

# Checkpointing -----------------------------------------------------------------------------------


def trained(model, setup, recompute):
    """Loss, gradients and notes of one pass of training."""
    model.zero_grad()
    if recompute is None:
        model.gradient_checkpointing_disable()
    else:
        model.gradient_checkpointing_enable({"use_reentrant": recompute})
    torch.manual_seed(0)  # the same values are dropped
    output = model(*batch(), adapter_names=setup, **NOTING)
    loss = (output.last_hidden_state * torch.linspace(-1, 1, 24)).sum()
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    notes = (output.get("adapter_gating_scores"), output.get("adapter_fusion_attentions"))
    return loss.detach(), gradients, notes


def assert_recomputing_changes_nothing(model, setup):
    model.train()
    expected = trained(model, setup, None)
    for reentrant in (False, True):
        found = trained(model, setup, reentrant)
        assert found[1].keys() == expected[1].keys()
        for a, b in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_recomputing_layers_changes_no_gradient(method, frozen):
    model = with_adapters(tiny(), {"a": method})
    if frozen:
        model.train_adapter("a")
    assert_recomputing_changes_nothing(model, "a")


@pytest.mark.parametrize("name", COMPOSED)
def test_recomputing_layers_changes_no_gradient_and_no_note_of_a_composition(name):
    assert_recomputing_changes_nothing(three(), COMPOSED[name])


# Notes -------------------------------------------------------------------------------------------


def notes_of(model, setup, lengths=LENGTHS, **options):
    output = model(*batch(lengths), adapter_names=setup, **NOTING, **options)
    return output.adapter_gating_scores, output.adapter_fusion_attentions


@pytest.mark.parametrize("name", [name for name in COMPOSED if name != "fusions per row"])
def test_packed_rows_tell_what_padded_ones_do(name):
    model, setup = three(), COMPOSED[name]
    ids, mask = batch()
    gates, fusions = notes_of(model, setup)
    flow = Flow(Packed(LENGTHS), plan=model.plan(setup), gates=True, fusions=True)
    encoded = model.encode(ids[mask.bool()], flow)
    own_gates, own_fusions = reported(encoded, flow)
    assert gates.keys() == own_gates.keys() != set()
    for a, b in zip(pytree.tree_leaves(own_gates), pytree.tree_leaves(gates), strict=True):
        expected = b[b != 0][:, None] if name == "split" else b  # rows that end before have none
        torch.testing.assert_close(a, expected, **CLOSE)
    for layer, places in fusions.get("a,b", {}).items():
        tight = own_fusions["a,b"][layer]["output_adapter"]
        torch.testing.assert_close(tight, places["output_adapter"][mask.bool()], **CLOSE)


@pytest.mark.parametrize(
    ("setup", "told"),
    [
        (PerRow(["b", "a", None, "b"]), {"a": {1: "a"}, "b": {0: "b", 3: "b"}}),
        (PerRow([["b", "c"], "a", "a", "b"]), {"a": {1: "a", 2: "a"}, "b": {0: "bc", 3: "b"}}),
        (BatchSplit("b", "a", batch_sizes=[1, 3]), {"a": {1: "a", 2: "a", 3: "a"}, "b": {0: "b"}}),
        (Parallel("b", "a"), {name: dict.fromkeys(range(4), name) for name in "ab"}),
        (
            Stack("p", Parallel("b", "a")),
            {name: dict.fromkeys(range(4), f"p{name}") for name in "ab"},
        ),
    ],
)
def test_gates_are_of_the_rows_that_run_the_adapter_in_the_callers_order(setup, told):
    model = three()
    found, _ = notes_of(model, setup)
    for name, rows in told.items():
        assert found[name].keys() == {0, 1, 2}
        alone = {row: notes_of(model, [*tree])[0][name] for row, tree in rows.items()}
        for layer, places in found[name].items():
            assert places.keys() == {"output_adapter"}
            expected = [alone[row][layer]["output_adapter"][row] for row in sorted(rows)]
            torch.testing.assert_close(places["output_adapter"], torch.stack(expected), **CLOSE)


@pytest.mark.parametrize(
    "name", ["DistilBertForSequenceClassification", "DistilBertModelWithHeads"]
)
def test_every_class_tells_gates_and_attentions(name):
    model = with_adapters(tiny(name), {"a": GATED, "b": GATED})
    model.add_adapter_fusion(["a", "b"])
    if name == "DistilBertModelWithHeads":
        model.add_classification_head("b")
    gates, fusions = notes_of(model, Fuse("a", "b"))
    assert gates.keys() == {"a", "b"}
    shares = fusions["a,b"][0]["output_adapter"]
    assert shares.shape == (4, 7, 2)
    torch.testing.assert_close(shares.sum(-1), torch.ones(4, 7))
    assert not shares.requires_grad
    quiet = model(*batch(), adapter_names="a")
    assert "adapter_gating_scores" not in quiet
    assert "adapter_fusion_attentions" not in quiet


# Dropping ----------------------------------------------------------------------------------------

DROPPING = [
    "seq_bn[dropout={}]",
    "par_bn[stochastic_depth={}]",
    "prefix_tuning_flat[prefix_length=3,dropout={}]",
    "lora[dropout={}]",
    "vera[r=4,dropout={}]",
    "mtl_lora[dropout={}]",
    "loreft[dropout={}]",
]


@pytest.mark.parametrize("text", DROPPING)
def test_dropout_of_an_adapter_acts_in_training_alone(text):
    models = [with_adapters(tiny(**STILL), {"a": text.format(rate)}) for rate in (0.5, 0.0)]
    for model in models:
        model.set_active_adapters("a")
    first, plain = (model.eval()(*batch()).last_hidden_state for model in models)
    assert torch.equal(first, plain)
    one, other = (models[0].train()(*batch()).last_hidden_state for _ in range(2))
    assert not torch.allclose(one, other, atol=1e-3)
    assert torch.equal(models[1].train()(*batch()).last_hidden_state, plain)


def test_dropout_of_a_fusion_acts_in_training_alone():
    model = with_adapters(tiny(**STILL), {"a": "seq_bn", "b": "seq_bn"})
    model.add_adapter_fusion(["a", "b"], AdapterFusionConfig.load("dynamic", dropout_prob=0.5))
    model.set_active_adapters(Fuse("a", "b"))
    first, second = (model.eval()(*batch()).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    first, second = (model.train()(*batch()).last_hidden_state for _ in range(2))
    assert not torch.equal(first, second)


def test_a_new_adapter_has_the_mode_of_its_model():
    model = tiny().train()
    model.add_adapter("a", "lora[dropout=0.5]")
    assert all(module.training for module in model.modules())
    model.eval().add_adapter("b", "lora[dropout=0.5]")
    assert not any(module.training for module in model.modules())


# Freezing ----------------------------------------------------------------------------------------


def training(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def of_adapter(model, name):
    return {key for key, _ in model.named_parameters() if f".{name}." in f".{key}."}


FIXED = {
    "vera": ("shared_parameters.first.lora_A", "shared_parameters.first.lora_B"),
    "compacter[reduction_factor=2,phm_dim=2,learn_phm=False]": (
        "shared_parameters.first.phm_rule",
    ),
}


@pytest.mark.parametrize("method", [*METHODS, *FIXED])
def test_an_adapter_that_is_to_train_trains_alone_with_the_heads(method):
    model = with_adapters(
        tiny("DistilBertForSequenceClassification"),
        {"first": method, "second": method, "third": "seq_bn"},
    )
    head = {name for name in training(model) if not name.startswith("distilbert.")}
    model.eval().train_adapter("first")
    fixed = {name for name in of_adapter(model, "first") if name not in training(model)}
    expected = FIXED.get(method, FIXED["vera"] if "vera" in method or method == "dvora" else ())
    assert fixed == {f"distilbert.{name}" for name in expected}
    assert training(model) == (of_adapter(model, "first") - fixed) | head
    assert model.training
    assert model.active_adapters == Stack("first")
    model.train_adapter(["second", "third"], train_embeddings=True)
    both = of_adapter(model, "second") | of_adapter(model, "third")
    words = "distilbert.embeddings.word_embeddings.weight"
    fixed = {name.replace(".first.", ".second.") for name in fixed}
    assert training(model) == (both - fixed) | head | {words}
    model.freeze_model(False)
    never = (of_adapter(model, "first") | of_adapter(model, "second")) - training(model)
    assert never == fixed | {name.replace(".second.", ".first.") for name in fixed}
    model.freeze_model()
    assert training(model) == head
    assert model.base_model.model_frozen


@pytest.mark.parametrize("unfreeze", [False, True])
@pytest.mark.parametrize(
    "setup",
    [Fuse("a", "b"), [["a", "b"]], ["a", "b"], Stack(Fuse("a", "b"), "c")],
    ids=["fusion", "list of lists", "list", "stack"],
)
def test_a_fusion_that_is_to_train_trains_alone_with_the_heads(setup, unfreeze):
    model = with_adapters(
        tiny("DistilBertModelWithHeads"), dict.fromkeys(("a", "b", "c"), "seq_bn")
    )
    model.add_classification_head("h")
    model.add_adapter_fusion(["a", "b"])
    model.add_adapter_fusion(["b", "c"])
    model.train_adapter_fusion(setup, unfreeze_adapters=unfreeze)
    expected = {name for name, _ in model.named_parameters() if ".a,b." in name}
    expected |= {name for name, _ in model.named_parameters() if name.startswith("heads.")}
    if unfreeze:
        inside = ("a", "b", "c") if isinstance(setup, Stack) else ("a", "b")
        expected |= {key for name in inside for key in of_adapter(model, name)}
    assert training(model) == expected
    assert model.training
    loss = model(*batch(), labels=torch.tensor([0, 1, 1, 0])).loss
    loss = loss + model.get_fusion_regularization_loss()
    loss.backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == expected


def test_what_is_no_fusion_cannot_train_as_one():
    model = with_adapters(tiny(), {"a": "seq_bn", "b": "seq_bn"})
    model.add_adapter_fusion(["a", "b"])
    for setup, message in (("a", "holds no fusion"), ([["b", "a"]], "no fusion 'b,a'")):
        before = training(model)
        with pytest.raises(AdapterError, match=message):
            model.train_adapter_fusion(setup)
        assert training(model) == before
        assert model.active_adapters is None
        assert not model.training


# Fusions -----------------------------------------------------------------------------------------


def temperatures(model):
    residuals = [block.output_adapters for block in model.base_model.transformer.layer]
    return [r.adapter_fusion_layer["a,b"].temperature for r in residuals]


@pytest.mark.parametrize("recompute", [None, False, True])
def test_a_fusion_cools_once_for_each_pass_of_training(recompute):
    model = with_adapters(tiny(), {"a": "seq_bn", "b": "seq_bn"})
    model.add_adapter_fusion(["a", "b"], AdapterFusionConfig.load("dynamic", temperature=True))
    model.set_active_adapters(Fuse("a", "b"))
    hottest = temperatures(model)
    assert len(set(hottest)) == 1
    model(*batch())
    assert temperatures(model) == hottest  # no training
    model.train()
    if recompute is not None:
        model.gradient_checkpointing_enable({"use_reentrant": recompute})
    seen = [hottest[0]]
    for _ in range(3):
        model(*batch()).last_hidden_state.sum().backward()
        seen.append(temperatures(model)[0])
        assert temperatures(model) == [seen[-1]] * 3
    steps = [before - after for before, after in pairwise(seen)]
    assert steps == pytest.approx([steps[0]] * 3)
    assert steps[0] > 0
    model(*batch(), adapter_names="a")
    assert temperatures(model)[0] == seen[-1]  # it did not act


def test_only_fusions_that_train_and_are_to_be_regularised_are():
    model = with_adapters(tiny(), {"a": "seq_bn", "b": "seq_bn", "c": "seq_bn"})
    assert model.get_fusion_regularization_loss() is None
    model.add_adapter_fusion(["a", "b"])
    model.add_adapter_fusion(["b", "c"], "static")
    loose = AdapterFusionConfig.load("dynamic", regularization=False)
    model.add_adapter_fusion(["a", "c"], loose)
    model.train_adapter_fusion(Fuse("b", "c"))
    assert model.get_fusion_regularization_loss() is None
    model.train_adapter_fusion(Fuse("a", "c"))
    assert model.get_fusion_regularization_loss() is None
    model.train_adapter_fusion(Fuse("a", "b"))
    values = [p for n, p in model.named_parameters() if n.endswith("a,b.value.weight")]
    expected = 0.01 * sum((torch.eye(24) - value).square().sum() for value in values)
    torch.testing.assert_close(model.get_fusion_regularization_loss(), expected)
    model.freeze_model()
    assert model.get_fusion_regularization_loss() is None


def test_fixed_positions_stay_frozen_whatever_is_thawed():
    model = tiny(sinusoidal_pos_embds=True)
    model.add_adapter("a")
    model.freeze_model()
    model.freeze_model(False)
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad]
    assert frozen == ["embeddings.position_embeddings.weight"]
    other = tiny()
    other.freeze_model()
    other.freeze_model(False)
    assert all(value.requires_grad for value in other.parameters())
