"""A recipe says what may be said, and its learning rate rises and falls as it is written."""

from itertools import pairwise

import pytest
import torch

from distilbert import InputError
from distilbert.training import Recipe
from distilbert.training.optim import optimizer, trained
from problems import model_for


def rates(steps=20, **options):
    recipe = Recipe(learning_rate=1.0, **options)
    return [recipe.rate(step, steps) for step in range(steps)]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant", "wsd"])
def test_the_rate_rises_to_its_highest_and_never_is_nothing(schedule):
    found = rates(schedule=schedule, warmup=0.2)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert min(found) > 0
    assert max(found) == 1.0
    assert all(a >= b for a, b in pairwise(found[4:]))


def test_the_rate_falls_as_its_schedule_says():
    assert rates(schedule="constant", warmup=0)[-1] == 1.0
    assert rates(schedule="linear", warmup=4)[12] == pytest.approx(0.5)
    assert rates(schedule="cosine", warmup=4)[8] == pytest.approx((1 + 2**-0.5) / 2)
    falling = rates(schedule="wsd", warmup=2, decay=0.2)
    assert falling[2:17] == [1.0] * 15
    assert falling[17:] == pytest.approx([1 - (n / 4) ** 0.5 for n in (1, 2, 3)])


def test_updates_are_counted_by_epochs_or_named():
    assert Recipe(epochs=2).count(10) == 20
    assert Recipe(epochs=2, accumulate=4).count(10) == 6  # the last of an epoch has two batches
    assert Recipe(epochs=0.25).count(10) == 2
    assert Recipe(steps=7).count(10) == 7


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("epochs", value) for value in (0, -1, "3", float("nan"), float("inf"), True)),
        *(("steps", value) for value in (0, 2.5, True)),
        *(("learning_rate", value) for value in (0, -1e-5, None)),
        ("schedule", "stairs"),
        *(("warmup", value) for value in (-0.1, 1.5)),
        ("decay", 2.5),
        ("weight_decay", -1),
        *(("betas", value) for value in ((0.9, 1.0), (0.9,), 0.9)),
        ("epsilon", 0),
        ("clip", 0),
        ("accumulate", 0),
        ("seed", -1),
        ("precision", "int8"),
        ("gradient_checkpointing", 1),
        ("evaluate_every", 0),
        ("metric", 3),
        ("lower_is_better", "yes"),
        ("patience", 0),
        ("keep_best", None),
        ("checkpoint_every", 0.5),
    ],
)
def test_a_setting_that_cannot_be_is_named(setting, value):
    with pytest.raises(InputError, match=f"{setting} is .*; allowed: "):
        Recipe(**{setting: value})


def test_matrices_decay_and_vectors_do_not():
    model = model_for("classification")
    model.add_adapter("a", "ia3")
    model.add_adapter("b", "seq_bn[scaling='learned']")
    model.add_adapter("c", "dora[r=1]")
    names = {p: n for n, p in model.named_parameters()}
    groups = optimizer(model, Recipe(weight_decay=0.1)).param_groups
    kinds = [({names[p] for p in g["params"]}, g["weight_decay"]) for g in groups]
    (matrices, first), (vectors, second) = kinds
    assert (first, second) == (0.1, 0.0)
    assert matrices | vectors == set(names.values())
    factors = (".a.lora_B", ".m.weight", ".scaling", "bias", "norm.weight")
    assert all(name.lower().endswith(tuple(map(str.lower, factors))) for name in vectors)
    assert not any(name.lower().endswith(tuple(map(str.lower, factors))) for name in matrices)
    assert sum(name.endswith(".a.lora_B") for name in vectors) == 3 * 2  # k, v, lin1; two layers
    assert sum(name.endswith(".m.weight") for name in vectors) == 2 * 2  # q and v


def test_a_frozen_model_cannot_be_trained():
    model = model_for("classification").requires_grad_(False)
    with pytest.raises(InputError, match="call train_adapter"):
        trained(model)


def test_decay_is_apart_from_the_gradient():
    layer = torch.nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    steps = optimizer(layer, Recipe(learning_rate=0.1, weight_decay=0.5))
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    steps.step()
    torch.testing.assert_close(layer.weight.detach(), before * (1 - 0.1 * 0.5))
