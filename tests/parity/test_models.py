"""Every model class against transformers, as installed: values, losses, gradients, state dicts.

Tolerance: float32 rounding. A dot product of n terms near 1 carries a relative error of about
√n × 6e-8, which is 3e-6 at n = 3072; layer norms divide by spreads near 1. So 1e-5 relative and
2e-6 absolute; gradients pass through every layer twice, so 1e-4 relative and 2e-6 absolute.
"""

import copy

import pytest
import torch
import transformers
from torch import Tensor

import distilbert
from distilbert.model import layers

TINY = {
    "vocab_size": 120,
    "dim": 24,  # heads of width 6: scaling by 1/√6 rounds, unlike 1/8
    "hidden_dim": 40,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,  # far from linear, so that a wrong activation shows
}
VARIANTS = {
    "tiny": {},
    "sinusoidal-relu": {"sinusoidal_pos_embds": True, "activation": "relu", "n_heads": 2},
    "one-head-gelu-new": {"n_heads": 1, "activation": "gelu_new", "n_layers": 1},
    "no-pad-silu": {"pad_token_id": None, "activation": "silu", "hidden_dim": 17},
    "no-dropout": {
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "qa_dropout": 0.0,
        "seq_classif_dropout": 0.0,
        "pad_token_id": 3,
    },
    "untied": {"tie_word_embeddings": False},
}
CLASSES = (
    "DistilBertModel",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForQuestionAnswering",
    "DistilBertForTokenClassification",
    "DistilBertForMultipleChoice",
)
ROWS, COLUMNS, CHOICES = 3, 7, 2
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] * 2 + [0] * 5])
LEFT = MASK.flip(1)


def pair(name: str, **settings):
    """Our model and theirs, of the same random weights, none of them zero."""
    settings = {**TINY, **settings}
    torch.manual_seed(0)
    ours = getattr(distilbert, name)(distilbert.DistilBertConfig(**settings))
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.ndim == 1:  # biases and norms start at 0 and 1, which hides mistakes
                parameter.add_(torch.randn_like(parameter) / 5)
    theirs = getattr(transformers, name)(transformers.DistilBertConfig(**settings))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def batch(name: str, mask: Tensor | None = MASK, labels: bool = True) -> dict[str, Tensor]:
    torch.manual_seed(1)
    inputs = {"input_ids": torch.randint(1, 120, (ROWS, COLUMNS))}
    if mask is not None:
        inputs["attention_mask"] = mask
    if name == "DistilBertForMultipleChoice":
        inputs = {k: torch.stack([v, v.roll(1, 0)], 1) for k, v in inputs.items()}
    if labels and name != "DistilBertModel":
        inputs |= {
            "DistilBertForMaskedLM": {"labels": torch.where(MASK == 1, 5, -100)},
            "DistilBertForSequenceClassification": {"labels": torch.tensor([0, 1, 1])},
            "DistilBertForQuestionAnswering": {
                "start_positions": torch.tensor([1, 0, 99]),
                "end_positions": torch.tensor([3, -1, 7]),
            },
            "DistilBertForTokenClassification": {"labels": torch.where(MASK == 1, 1, -100)},
            "DistilBertForMultipleChoice": {"labels": torch.tensor([0, 1, 0])},
        }[name]
    return inputs


def assert_same(ours, theirs) -> None:
    assert list(ours.keys()) == list(theirs.keys())
    for a, b in zip(ours.to_tuple(), theirs.to_tuple(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)


def assert_same_gradients(ours, theirs) -> None:
    gradients = dict(theirs.named_parameters())
    assert ours.get_input_embeddings().weight.grad.abs().sum() > 0
    for key, parameter in ours.named_parameters():
        assert parameter.requires_grad == gradients[key].requires_grad, key
        expected = gradients[key].grad
        assert (parameter.grad is None) == (expected is None), key
        if expected is not None:
            torch.testing.assert_close(
                parameter.grad, expected, rtol=1e-4, atol=2e-6, msg=lambda m, k=key: k + m
            )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CLASSES)
def test_values_losses_and_gradients_agree_in_eval_mode(name, variant):
    ours, theirs = pair(name, **VARIANTS[variant])
    inputs = batch(name)
    a, b = ours.eval()(**inputs), theirs.eval()(**inputs)
    assert_same(a, b)
    for output in (a, b):
        (output[0].sum() if name == "DistilBertModel" else output.loss).backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("variant", ["tiny", "no-dropout"])
@pytest.mark.parametrize("name", CLASSES)
def test_training_mode_agrees_and_draws_the_same_dropout_from_the_same_seed(name, variant):
    ours, theirs = pair(name, **VARIANTS[variant])
    outputs = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(7)
        outputs.append(model(**batch(name)))
    assert_same(*outputs)
    for output in outputs:
        (output[0].square().sum() if name == "DistilBertModel" else output.loss).backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("mask", [MASK, LEFT, MASK.float(), None], ids=["right", "left", "f", "no"])
def test_every_kind_of_mask_agrees(name, mask):
    ours, theirs = pair(name)
    inputs = batch(name, mask, labels=False)
    assert_same(ours.eval()(**inputs), theirs.eval()(**inputs))


@pytest.mark.parametrize("name", CLASSES)
def test_attentions_hidden_states_and_tuples_agree(name):
    ours, theirs = pair(name)
    inputs = batch(name)
    asked = {"output_attentions": True, "output_hidden_states": True}
    a, b = ours.eval()(**inputs, **asked), theirs.eval()(**inputs, **asked)
    assert_same(a, b)
    assert len(a.hidden_states) == 4
    assert len(a.attentions) == 3
    plain = ours(**inputs, **asked, return_dict=False)
    reference = theirs(**inputs, **asked, return_dict=False)
    assert type(plain) is tuple
    torch.testing.assert_close(plain, reference, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_head_masks_agree(shape):
    ours, theirs = pair("DistilBertModel")
    head_mask = torch.rand(shape).round(decimals=1)
    inputs = batch("DistilBertModel")
    assert_same(
        ours.eval()(**inputs, head_mask=head_mask), theirs.eval()(**inputs, head_mask=head_mask)
    )


@pytest.mark.parametrize("asked", [{}, {"output_attentions": True}], ids=["fused", "plain"])
def test_a_row_that_is_all_padding_is_finite_and_agrees(asked):
    ours, theirs = pair("DistilBertModel")
    inputs = batch("DistilBertModel", torch.cat([MASK[:2], torch.zeros(1, 7).long()]))
    a = ours.eval()(**inputs, **asked)
    assert a.last_hidden_state.isfinite().all()
    assert_same(a, theirs.eval()(**inputs, **asked))


def test_inputs_embeds_agree():
    ours, theirs = pair("DistilBertForMaskedLM")
    embeds = torch.randn(ROWS, COLUMNS, 24)
    a = ours.eval()(inputs_embeds=embeds, attention_mask=MASK)
    assert_same(a, theirs.eval()(inputs_embeds=embeds, attention_mask=MASK))


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"num_labels": 1}, torch.tensor([0.5, -1.0, 2.0])),
        ({"num_labels": 1}, torch.tensor([[0.5], [-1.0], [2.0]])),
        ({"num_labels": 3}, torch.tensor([2, 0, 1])),
        ({"num_labels": 3}, torch.tensor([[2], [0], [1]])),
        ({"num_labels": 3}, torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]])),
        ({"num_labels": 3, "problem_type": "regression"}, torch.randn(3, 3)),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, torch.rand(3, 3)),
    ],
)
def test_each_problem_type_agrees_and_is_remembered(settings, labels):
    ours, theirs = pair("DistilBertForSequenceClassification", **settings)
    inputs = batch("DistilBertForSequenceClassification", labels=False)
    assert_same(ours.eval()(**inputs, labels=labels), theirs.eval()(**inputs, labels=labels))
    assert ours.config.problem_type == theirs.config.problem_type is not None


def test_places_of_answers_with_an_extra_axis_agree():
    ours, theirs = pair("DistilBertForQuestionAnswering")
    inputs = batch("DistilBertForQuestionAnswering")
    inputs |= {k: inputs[k][:, None] for k in ("start_positions", "end_positions")}
    assert_same(ours.eval()(**inputs), theirs.eval()(**inputs))


def test_all_places_of_answers_out_of_reach_give_no_number_as_in_the_reference():
    ours, theirs = pair("DistilBertForQuestionAnswering")
    inputs = batch("DistilBertForQuestionAnswering", labels=False)
    far = {"start_positions": torch.full((3,), 99), "end_positions": torch.full((3,), 99)}
    assert ours.eval()(**inputs, **far).loss.isnan()
    assert theirs.eval()(**inputs, **far).loss.isnan()


@pytest.mark.parametrize("name", CLASSES)
def test_positional_arguments_have_the_documented_order(name):
    ours, theirs = pair(name)
    inputs = batch(name)
    labels = [v for k, v in inputs.items() if k not in {"input_ids", "attention_mask"}]
    arguments = [inputs["input_ids"], inputs["attention_mask"], torch.ones(4), None, *labels]
    arguments += [True, True, False]
    torch.testing.assert_close(
        ours.eval()(*arguments), theirs.eval()(*arguments), rtol=1e-5, atol=2e-6
    )


@pytest.mark.diverges(
    "transformers 4.57.6: new positions are N(0, 1), longer rows still fail, sinusoids raise"
)
def test_positions_resized_by_the_reference_do_not_work():
    ours, theirs = pair("DistilBertModel")
    for model in (ours, theirs):
        model.eval().resize_position_embeddings(30)
    long = torch.ones(1, 25).long()
    assert ours(long)[0].shape == (1, 25, 24)
    with pytest.raises(RuntimeError):
        theirs(long)
    assert theirs.get_position_embeddings().weight[20:].std() > 0.7  # ours: the 0.3 of the rest
    with pytest.raises(AttributeError):
        pair("DistilBertModel", sinusoidal_pos_embds=True)[1].resize_position_embeddings(30)


def test_feed_forward_in_chunks_agrees():
    ours, theirs = pair("DistilBertModel", chunk_size_feed_forward=7)
    assert_same(ours.eval()(**batch("DistilBertModel")), theirs.eval()(**batch("DistilBertModel")))


def test_pruned_heads_agree():
    ours, theirs = pair("DistilBertModel")
    for model in (ours, theirs):
        model.prune_heads({0: [1, 3], 2: [0]})
        model.prune_heads({0: [2], 2: [0]})
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    inputs = batch("DistilBertModel")
    assert_same(ours.eval()(**inputs), theirs.eval()(**inputs))


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_activations_agree(name):
    x = torch.linspace(-6, 6, 201)
    theirs = transformers.activations.ACT2FN[name](x)
    torch.testing.assert_close(layers.ACTIVATIONS[name](x), theirs)


def test_sinusoids_agree_bit_for_bit():
    table = torch.empty(50, 26)
    module = transformers.models.distilbert.modeling_distilbert
    module.create_sinusoidal_embeddings(50, 26, table)
    assert torch.equal(layers.sinusoids(50, 26), table)


def test_a_fresh_model_is_drawn_as_theirs():
    settings = {**TINY, "vocab_size": 3000, "sinusoidal_pos_embds": True}
    ours = distilbert.DistilBertForMaskedLM(distilbert.DistilBertConfig(**settings))
    theirs = transformers.DistilBertForMaskedLM(transformers.DistilBertConfig(**settings))
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        if a.std() == 0:
            assert torch.equal(a, b), key
        torch.testing.assert_close(a.std(), b.std(), rtol=0.2, atol=0, msg=key)
    words = ours.get_input_embeddings().weight
    assert not words[0].any()
    assert words is ours.get_output_embeddings().weight
    assert not ours.get_position_embeddings().weight.requires_grad


def test_a_model_of_full_size_agrees():
    torch.manual_seed(0)
    ours = distilbert.DistilBertForMaskedLM(distilbert.DistilBertConfig()).eval()
    theirs = transformers.DistilBertForMaskedLM(transformers.DistilBertConfig()).eval()
    theirs.load_state_dict(ours.state_dict())
    assert ours.num_parameters() == theirs.num_parameters() == 66_985_530
    ids = torch.randint(1, 30522, (2, 33))
    mask = torch.ones(2, 33).long()
    mask[1, 20:] = 0
    labels = torch.where(mask == 1, ids, -100)
    exact = copy.deepcopy(theirs).double()
    outputs = []
    for model in (ours, theirs, exact):
        output = model(ids, mask, labels=labels)
        output.loss.backward()
        outputs.append((output.loss.detach(), output.logits.detach()))
    # Long sums of float32, which libraries take in their own order: ours is as near to what float64
    # gives as theirs.
    for a, b, c in zip(*outputs, strict=True):
        assert (a - c).abs().max() <= 2 * (b - c).abs().max() + 1e-7
    gradients = [dict(model.named_parameters()) for model in (theirs, exact)]
    for key, parameter in ours.named_parameters():
        b, c = (own[key].grad for own in gradients)
        assert (parameter.grad - c).norm() <= 2 * (b - c).norm() + 1e-9, key


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("DistilBertModel", 66_362_880),
        ("DistilBertForSequenceClassification", 66_955_010),
        ("DistilBertForQuestionAnswering", 66_364_418),
    ],
)
def test_published_sizes_have_their_published_number_of_parameters(name, parameters):
    with torch.device("meta"):
        model = getattr(distilbert, name)(distilbert.DistilBertConfig())
    assert model.num_parameters() == parameters
