"""The loss of packed rows is that of the published forward pass, and so is its gradient."""

from dataclasses import replace

import pytest
import torch

from distilbert import DistilBertModel, InputError
from distilbert.adapters import Parallel
from distilbert.data.kinds import KINDS
from distilbert.training import Supervised
from distilbert.training.batches import Batches
from problems import LABELS, PLAIN, batches_of, features_of, model_for, weights


def padded(batch):
    rows = batch.ids.split(batch.lengths)
    ids = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    mask = torch.arange(ids.shape[1]) < torch.tensor(batch.lengths)[:, None]
    return ids, mask.long()


def published(model, batch):
    """The loss by the class's own forward pass, over padded rows."""
    ids, mask = padded(batch)
    targets = batch.targets
    if batch.kind in ("tags", "words"):
        parts = targets.split(batch.lengths)
        targets = torch.nn.utils.rnn.pad_sequence(list(parts), True, -100)
    if batch.kind == "choice":
        ids, mask = (x.view(len(targets), -1, x.shape[1]) for x in (ids, mask))
    if batch.kind == "spans":
        start, end = targets.unbind(-1)
        return model(ids, mask, start_positions=start, end_positions=end).loss
    return model(ids, mask, labels=targets).loss


@pytest.mark.parametrize("adapter", [None, "seq_bn", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_and_its_gradient_are_those_of_the_forward_pass(kind, adapter):
    model = model_for(kind, **PLAIN).double()
    if adapter:
        model.add_adapter("a", adapter)
        model.train_adapter("a")
    numbers = range(5)
    if kind == "spans":  # of one length: padding takes part in the published choice of tokens
        features = batches_of(kind).features
        numbers = [n for n, f in enumerate(features) if f.tokens == features[0].tokens]
    batch = next(batches_of(kind).parts(numbers, 0))
    if batch.targets.is_floating_point():
        batch = type(batch)(batch.kind, batch.ids, batch.lengths, batch.targets.double())
    model.train()
    gradients = []
    for loss in (published(model, batch), Supervised()(model, batch).total):
        model.zero_grad()
        loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    # The objective's loss is in float32, whatever the model computes in.
    torch.testing.assert_close(loss.double(), published(model, batch), rtol=1e-6, atol=1e-6)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-6)


def test_padding_takes_no_part_in_the_choice_of_an_answer():
    model = model_for("spans", **PLAIN).eval()
    whole = next(batches_of("spans").parts(range(6), 0))
    alone = [next(batches_of("spans").parts([n], 0)) for n in range(6)]
    losses = torch.stack([Supervised()(model, batch).total for batch in alone])
    torch.testing.assert_close(Supervised()(model, whole).total, losses.mean())


@pytest.mark.parametrize("adapter", [None, ["a", "b"]])
def test_examples_of_more_and_of_fewer_choices_are_trained_together(adapter):
    model = model_for("choice", **PLAIN).double()
    if adapter:  # rows are copied, one batch of them after the other
        for name in adapter:
            model.add_adapter(name, "lora[init_weights='bert']")
        model.set_active_adapters(Parallel(*adapter))
        model.requires_grad_(True)
    features = [
        replace(feature, rows=feature.rows[: 2 + number % 2], target=number % 2)
        for number, feature in enumerate(features_of("choice", 6))
    ]
    batches = Batches(features, "choice")
    gradients = []
    for parts in ([[n] for n in range(6)], [[*range(6)]]):
        model.zero_grad()
        for numbers in parts:
            (batch,) = batches.parts(numbers, 0)
            (Supervised()(model, batch).total / len(parts)).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert set(batch.choices) == {2, 3}
    alone = [Supervised()(model, next(batches.parts([n], 0))).total for n in range(6)]
    torch.testing.assert_close(Supervised()(model, batch).total, torch.stack(alone).mean())
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_class_weights_and_smoothing_are_those_of_cross_entropy():
    model = model_for("tags", **PLAIN).eval()
    batch = next(batches_of("tags").parts(range(6), 0))
    ids, mask = padded(batch)
    logits = model(ids, mask).logits[mask.bool()]
    given = [0.5, 2.0, 1.0]
    expected = torch.nn.functional.cross_entropy(
        logits, batch.targets, torch.tensor(given), label_smoothing=0.2
    )
    objective = Supervised(class_weights=given, label_smoothing=0.2)
    torch.testing.assert_close(objective(model, batch).total, expected)
    scored = batch.targets[batch.targets >= 0]
    assert objective.weight(batch) == pytest.approx(sum(given[i] for i in scored))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["classification", "tags"])
def test_a_class_of_weight_0_counts_nothing_however_a_batch_is_cut(kind, smoothing):
    model = model_for(kind, **PLAIN).eval()
    objective = Supervised(class_weights=[0.0, 2.0, 1.0], label_smoothing=smoothing)
    batches = batches_of(kind)
    whole = next(batches.parts(range(12), 0))
    cut = [next(batches.parts([n], 0)) for n in range(12)]
    losses = torch.stack([objective(model, part).total for part in cut])
    shares = torch.tensor([objective.weight(part) for part in cut]) / objective.weight(whole)
    torch.testing.assert_close((losses * shares).sum(), objective(model, whole).total)
    ignored = [loss for loss, share in zip(losses, shares, strict=True) if not share]
    if kind == "classification":
        assert ignored
    for loss in ignored:
        assert loss == 0
        loss.backward(retain_graph=True)
        assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)


def test_adapter_drop_leaves_out_first_layers():
    model = model_for("classification", **PLAIN).train()
    model.add_adapter("a", "lora[init_weights='bert',alpha=80]", set_active=True)
    batch = next(batches_of("classification").parts(range(6), 0))
    expected = set()
    for count in range(3):
        model.set_active_adapters("a", skip_layers=[*range(count)])
        expected.add(round(Supervised()(model, batch).total.item(), 5))
    model.set_active_adapters("a")
    found = {round(Supervised(adapter_drop=2)(model, batch).total.item(), 5) for _ in range(40)}
    assert len(expected) == 3
    assert found == expected


def test_the_fusion_loss_is_added_while_a_fusion_is_trained():
    model = model_for("classification", **PLAIN)
    for name in ("a", "b"):
        model.add_adapter(name, "seq_bn")
    model.add_adapter_fusion(["a", "b"])
    model.train_adapter_fusion([["a", "b"]])
    for name, value in weights(model).items():
        if name.endswith("value.weight"):
            model.get_parameter(name).data.copy_(value + 0.3)
    batch = next(batches_of("classification").parts(range(6), 0))
    loss = Supervised()(model, batch)
    assert loss.parts["fusion"] > 0.01
    torch.testing.assert_close(loss.total, loss.parts["task"] + loss.parts["fusion"])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("regression", {"label_smoothing": 0.1}, "label_smoothing is for classification and tags"),
        ("spans", {"class_weights": [1, 1]}, "not for kind 'spans'"),
        ("classification", {"class_weights": [1.0, 2.0]}, "2 numbers.*tells 3 classes apart"),
    ],
)
def test_options_that_mean_nothing_for_a_problem_are_refused(kind, options, message):
    batch = next(batches_of(kind).parts(range(4), 0))
    with pytest.raises(InputError, match=message):
        Supervised(**options)(model_for(kind), batch)


@pytest.mark.parametrize(
    "options", [{"label_smoothing": 1.0}, {"adapter_drop": -1}, {"class_weights": [-1.0]}]
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Supervised(**options)


def test_a_model_for_another_problem_is_refused():
    batch = next(batches_of("tags").parts(range(4), 0))
    with pytest.raises(InputError, match="give a DistilBertForTokenClassification"):
        Supervised()(model_for("classification"), batch)
    with pytest.raises(InputError, match="as_fixed"):
        Supervised()(DistilBertModel(model_for("tags").config), batch)


@pytest.mark.parametrize("kind", ["classification", "regression", "multi_label"])
def test_too_few_labels_are_told(kind):
    batch = next(batches_of(kind).parts(range(8), 0))
    model = model_for(kind, num_labels=LABELS - 1)
    with pytest.raises(InputError, match="num_labels"):
        Supervised()(model, batch)
