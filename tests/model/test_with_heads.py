"""What a model with heads can go through, and how fixed classes become heads and back."""

import copy
import pickle

import pytest
import torch

import distilbert
from distilbert.adapters.composition import PerRow
from distilbert.errors import AdapterError
from distilbert.model.conversion import FIXED
from distilbert.model.with_heads import DistilBertModelWithHeads
from heads import (
    ADD,
    CLASSES,
    COLUMNS,
    IDS,
    MASK,
    TAGS,
    add,
    assert_close,
    config,
    needs,
    with_heads,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# What the model can go through ---------------------------------------------------------------


@pytest.mark.parametrize("name", ADD)
def test_models_pickle_and_copy_with_their_heads(name):
    model = with_heads("tags", name) if name != "tags" else with_heads("tags")
    expected = model(IDS, MASK, head=name, **needs(name))
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert again.active_head == model.active_head
        assert_close(again(IDS, MASK, head=name, **needs(name)), expected)
        if name in ("masks", "next"):
            assert again.heads[name].decoder.weight is again.get_input_embeddings().weight
        again.delete_head(name)
        assert name in model.heads


@pytest.mark.parametrize("name", ADD)
def test_models_compile_whole_with_dynamic_shapes(name):
    torch._dynamo.reset()
    model = with_heads(name)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    inputs = (IDS, MASK)
    if name == "choice":
        inputs = tuple(x.view(2, 2, COLUMNS) for x in inputs)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert_close(compiled(*inputs, **needs(name)), model(*inputs, **needs(name)))
        if name != "choice":
            shorter = [x[:3, :5].clone() for x in inputs]
            own = {key: value[:3].clone() for key, value in needs(name).items()}
            assert_close(compiled(*shorter, **own), model(*shorter, **own))


def test_several_heads_and_heads_by_row_compile():
    torch._dynamo.reset()
    model = with_heads("classes", "tags")
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for head in (["classes", "tags"], PerRow(["tags", "classes", "tags", "tags"])):
        a, b = compiled(IDS, MASK, head=head), model(IDS, MASK, head=head)
        assert a.rows == b.rows
        for one, other in zip(a, b, strict=True):
            assert_close(one, other)


@pytest.mark.parametrize("name", [name for name in ADD if name not in ("choice", "trees")])
def test_models_export_with_dynamic_shapes(name):
    model = with_heads(name)
    axes = {0: torch.export.Dim("rows", max=64), 1: torch.export.Dim("columns", max=16)}
    program = torch.export.export(model, (IDS, MASK), dynamic_shapes=(axes, axes))
    assert_close(program.module()(IDS, MASK), model(IDS, MASK))
    shorter = (IDS[:2, :5], MASK[:2, :5])
    assert_close(program.module()(*shorter), model(*shorter))


@pytest.mark.parametrize("name", ADD)
def test_heads_take_the_dtype_of_the_model(name):
    model = with_heads().to(torch.bfloat16)
    add(model, name)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    output = model(IDS, MASK, **needs(name))
    assert all(value.isfinite().all() for value in output.values())
    assert next(iter(output.values())).dtype == torch.bfloat16


def test_heads_take_the_mode_of_the_model():
    model = with_heads().train()
    model.add_classification_head("x")
    assert model.heads["x"].training
    model.eval().add_classification_head("y")
    assert not model.heads["y"].training


def test_gradient_checkpointing_changes_nothing():
    model = with_heads("tags").train()
    gradients = []
    for again in (False, True):
        if again:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        torch.manual_seed(3)
        model(IDS, MASK, labels=TAGS).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


# Fixed classes -------------------------------------------------------------------------------

LABELS = {
    "DistilBertForSequenceClassification": {"labels": CLASSES},
    "DistilBertForMultipleChoice": {"labels": torch.tensor([1, 0])},
    "DistilBertForTokenClassification": {"labels": TAGS},
    "DistilBertForQuestionAnswering": {
        "start_positions": torch.tensor([1, 2, 9, 0]),
        "end_positions": torch.tensor([1, 3, 9, 4]),
    },
    "DistilBertForMaskedLM": {"labels": IDS},
}


def fixed(name, **settings):
    torch.manual_seed(0)
    count = {"TokenClassification": 5, "SequenceClassification": 3}
    labels = {"num_labels": count.get(name.removeprefix("DistilBertFor"), 2)}
    model = getattr(distilbert, name)(config(**{**labels, **settings})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / 5)
    return model


def inputs_of(name):
    inputs = {"input_ids": IDS, "attention_mask": MASK, **LABELS[name]}
    if name == "DistilBertForMultipleChoice":
        inputs |= {k: inputs[k].view(2, 2, COLUMNS) for k in ("input_ids", "attention_mask")}
    return inputs


def test_every_fixed_class_has_a_row_in_the_table():
    assert set(FIXED) == {name for name in distilbert.__all__ if name.startswith("DistilBertFor")}
    assert set(FIXED) == set(LABELS)


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_class_becomes_a_head_and_goes_back(name):
    model = fixed(name, id2label=None)
    expected = model(**inputs_of(name))
    flexible = DistilBertModelWithHeads.from_fixed(model, "x")
    assert flexible.active_head == "x"
    assert_close(flexible(**inputs_of(name)), expected)
    back = flexible.as_fixed()
    assert type(back) is type(model)
    assert_close(back(**inputs_of(name)), expected)
    assert back.state_dict().keys() == model.state_dict().keys()
    ours, theirs = back.config.to_dict(), model.config.to_dict()
    if name == "DistilBertForSequenceClassification":
        theirs["problem_type"] = "single_label_classification"
    assert ours == theirs


@pytest.mark.parametrize("name", FIXED)
def test_training_agrees_but_for_the_dropout_of_two_layers(name):
    model = fixed(name, qa_dropout=0.4, dropout=0.3, seq_classif_dropout=0.0)
    flexible = DistilBertModelWithHeads.from_fixed(model)
    losses = []
    for each in (model.train(), flexible.train()):
        torch.manual_seed(5)
        losses.append(each(**inputs_of(name)).loss)
    torch.testing.assert_close(*losses)


def test_both_ways_share_their_parameters_and_nothing_else():
    model = fixed("DistilBertForMaskedLM")
    flexible = DistilBertModelWithHeads.from_fixed(model)
    back = flexible.as_fixed("default")
    own = dict(model.named_parameters())
    for name, parameter in back.named_parameters():
        assert parameter is own[name], name
    assert {id(p) for p in flexible.parameters()} == {id(p) for p in own.values()}
    assert flexible.distilbert.config is flexible.config is not model.config
    assert back.distilbert.config is back.config is not flexible.config
    assert "prediction_heads" not in back.config.to_dict()
    flexible.resize_token_embeddings(60)
    assert model(IDS, MASK).logits.shape[-1] == back(IDS, MASK).logits.shape[-1] == 50
    assert flexible(IDS, MASK).logits.shape[-1] == 60


def test_adapters_go_along():
    model = with_heads("classes", "tags")
    model.add_adapter("x", "double_seq_bn")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "adapters" in name:
                parameter.copy_(torch.randn_like(parameter) / 3)
    model.set_active_adapters("x")
    back = model.eval().as_fixed("tags")
    assert_close(back(IDS, MASK), model(IDS, MASK, head="tags"))
    assert (back(IDS, MASK, adapter_names=[]).logits - back(IDS, MASK).logits).abs().max() > 0.01
    again = DistilBertModelWithHeads.from_fixed(back)
    assert_close(again(IDS, MASK), back(IDS, MASK))
    again.delete_adapter("x")
    assert back.has_adapters()


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"num_labels": 1}, torch.tensor([0.5, -1.0, 2.0, 0.0])),
        (
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            torch.rand(4, 3, generator=torch.Generator().manual_seed(3)),
        ),
    ],
)
def test_numbers_and_shares_keep_their_loss(settings, labels):
    model = fixed("DistilBertForSequenceClassification", **settings)
    flexible = DistilBertModelWithHeads.from_fixed(model)
    expected = model(IDS, MASK, labels=labels)
    assert_close(flexible(IDS, MASK, labels=labels), expected)
    assert_close(flexible.as_fixed()(IDS, MASK, labels=labels), expected)


def test_a_checkpoint_of_a_fixed_class_loads_as_a_head(tmp_path):
    model = fixed("DistilBertForTokenClassification", id2label=dict(enumerate("abcde")))
    model.save_pretrained(tmp_path)
    flexible, info = DistilBertModelWithHeads.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert flexible.get_labels("default") == list("abcde")
    assert_close(flexible(IDS, MASK), model(IDS, MASK))
    assert not flexible.training
    given = DistilBertModelWithHeads.from_pretrained(
        None, config=model.config, state_dict=model.state_dict()
    )
    assert given.active_head is None  # it does not say of which class it is
    weights = dict(model.state_dict())
    del weights["classifier.bias"]
    model.config.architectures = ["DistilBertForTokenClassification"]
    given, info = DistilBertModelWithHeads.from_pretrained(
        None, config=model.config, state_dict=weights, output_loading_info=True
    )
    assert info["missing_keys"] == ["heads.default.1.bias"]
    assert_close(
        given(IDS, MASK, output_hidden_states=True, head=[]),
        model.distilbert(IDS, MASK, output_hidden_states=True),
    )


def test_a_language_model_of_a_tied_fixed_class_stays_tied(tmp_path):
    fixed("DistilBertForMaskedLM", activation="silu").save_pretrained(tmp_path)
    flexible = DistilBertModelWithHeads.from_pretrained(tmp_path)
    assert flexible.heads["default"].decoder.weight is flexible.get_input_embeddings().weight
    assert flexible.heads["default"].config["activation_function"] == "silu"
    flexible.add_classification_head("x")
    assert flexible.as_fixed("default").tied_keys() == {"vocab_projector.weight"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_type": "classification"}, "has activation_function 'tanh', and a DistilBertForSeq"),
        ({"head_type": "classification", "layers": 1}, "has layers 1, and a .* computes with 2"),
        (
            {"head_type": "classification", "activation_function": "relu", "bias": False},
            "has bias False",
        ),
        ({"head_type": "tagging", "layers": 2}, "has layers 2"),
        ({"head_type": "causal_lm"}, "is of type 'causal_lm', which no published class has"),
        ({"head_type": "dependency_parsing"}, "which no published class has; allowed: class"),
        ({"head_type": "masked_lm", "activation_function": "relu"}, "computes with 'gelu'; keep"),
        ({"head_type": "masked_lm", "layer_norm": False}, "has layer_norm False"),
        ({"head_type": "masked_lm", "shift_labels": True}, "has shift_labels True"),
    ],
)
def test_heads_that_no_fixed_class_equals_are_refused_with_the_reason(options, message):
    model = with_heads()
    model.add_prediction_head_from_config("x", options)
    with pytest.raises(AdapterError, match=f"head .x. .*{message}"):
        model.as_fixed("x")


def test_another_spelling_of_an_activation_is_no_other_function():
    model = with_heads(activation="silu")
    model.add_masked_lm_head("x", activation_function="Swish")
    assert_close(model.as_fixed()(IDS, MASK), model(IDS, MASK))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problem_type": "regression"}, "'regression' with 3 labels, which no head has"),
        ({"problem_type": "single_label_classification", "num_labels": 1}, "with 1 labels"),
    ],
)
def test_losses_that_no_head_has_are_refused(settings, message):
    model = fixed("DistilBertForSequenceClassification", **settings)
    with pytest.raises(AdapterError, match=message):
        DistilBertModelWithHeads.from_fixed(model)


def test_what_is_no_fixed_class_or_name_is_refused():
    with pytest.raises(AdapterError, match="a DistilBertModel is no fixed class; allowed: Distil"):
        DistilBertModelWithHeads.from_fixed(with_heads().distilbert)
    with pytest.raises(AdapterError, match=r"'a.b' is no name for a head"):
        DistilBertModelWithHeads.from_fixed(fixed("DistilBertForMaskedLM"), "a.b")
    with pytest.raises(AdapterError, match="no head None"):
        with_heads().as_fixed()
