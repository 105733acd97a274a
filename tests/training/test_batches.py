"""Batches hold every example once an epoch, in an order that the seed decides."""

import pytest

from distilbert import InputError
from distilbert.data.examples import Feature
from distilbert.data.kinds import KINDS
from distilbert.training.batches import Batches, _draw
from problems import MASK, batches_of, features_of


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 5}, {"batch_size": None, "token_budget": 40}]
)
def test_every_feature_comes_once_an_epoch(options):
    batches = batches_of("classification", **options)
    for epoch in range(3):
        found = batches.epoch(epoch)
        assert len(found) == len(batches)
        assert sorted(n for batch in found for n in batch) == list(range(24))
    assert batches.epoch(0) != batches.epoch(1)
    assert batches.epoch(1) == batches_of("classification", **options).epoch(1)
    assert batches.epoch(1) != batches_of("classification", seed=1, **options).epoch(1)


def test_epochs_of_batches_by_tokens_have_the_same_number_and_every_feature():
    features = features_of("classification", 400)
    batches = Batches(features, "classification", batch_size=None, token_budget=20)
    drawn = {len(batches._drawn(_draw(42, epoch))) for epoch in range(40)}
    assert min(drawn) < len(batches) < max(drawn)  # some epochs join, and some halve
    for epoch in range(40):
        found = batches.epoch(epoch)
        assert len(found) == len(batches)
        assert all(found)
        assert sorted(n for batch in found for n in batch) == list(range(400))


def test_neighbours_are_of_like_length():
    """Ordered by length in large blocks, a batch of many rows spans few lengths."""
    features = features_of("classification", 400)
    spread = [
        max(lengths) - min(lengths)
        for batch in Batches(features, "classification", batch_size=8).epoch(0)
        for lengths in [[features[n].tokens for n in batch]]
    ]
    assert max(spread) <= 1


def test_a_batch_is_cut_by_the_token_budget_and_a_longer_row_goes_alone():
    batches = batches_of("classification", token_budget=20)
    numbers = batches.epoch(0)[0]
    parts = [*batches.parts(numbers, 0)]
    assert len(parts) > 1
    assert all(len(part.ids) <= 20 for part in parts)
    assert sorted(n for part in parts for n in part.lengths) == sorted(
        batches.features[n].tokens for n in numbers
    )
    alone = batches_of("classification", token_budget=1)
    assert [len(part.lengths) for part in alone.parts(numbers, 0)] == [1] * len(numbers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_weighs_what_it_scores(kind):
    batches = batches_of(kind)
    part = next(batches.parts(range(6), 0))
    if kind == "tags":
        assert part.weight == sum(n - 2 for n in part.lengths)
    elif kind == "words":
        assert part.weight == sum(max(1, round(0.3 * (n - 2))) for n in part.lengths)
    else:
        assert part.weight == 6
    assert len(part.ids) == sum(part.lengths)
    assert part.choices == ((3,) * 6 if kind == "choice" else ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"token_budget": 1.5}, "token_budget is 1.5"),
        ({"kind": "sorting"}, "no kind of problem 'sorting'"),
        ({"features": []}, "at least one example"),
        ({"masking": MASK}, "nothing else is"),
        ({"features": [Feature(((2, 3),), None, 7)]}, "example 7 has no label"),
        (
            {"kind": "choice", "features": [Feature(((2, 3), (2, 3)), 2, 7)]},
            "choice 2 of example 7 .* 0 to 1",
        ),
    ],
)
def test_what_makes_no_batches_is_refused(given, message):
    arguments = {"features": features_of("classification"), "kind": "classification", **given}
    with pytest.raises(InputError, match=message):
        Batches(**arguments)
