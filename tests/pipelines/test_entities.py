"""Tokens with scores become words, groups and merged entities."""

import numpy as np
import pytest

from distilbert.errors import InputError
from distilbert.pipelines.entities import (
    Token,
    check_strategy,
    entities,
    merge_overlapping,
    without_labels,
)

LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}


def _tokens(*given):
    """Tokens of (word, {label: score}), one character apart where they do not continue."""
    tokens, at = [], 0
    for index, (word, scores) in enumerate(given, 1):
        continues = word.startswith("##")
        begin = at if continues or not tokens else at + 1
        at = begin + len(word.removeprefix("##"))
        vector = np.zeros(len(LABELS), np.float32)
        for label, score in scores.items():
            vector[label] = score
        tokens.append(Token(word, vector, index, begin, at, continues))
    return tokens


def _join(words):
    return " ".join(words).replace(" ##", "")


def _found(strategy, *given):
    return entities(_tokens(*given), strategy, LABELS, _join)


MIXED = (
    ("anna", {1: 0.9}),
    ("sm", {2: 0.6, 4: 0.4}),
    ("##ith", {2: 0.1, 4: 0.7}),
    ("in", {0: 0.8}),
    ("paris", {3: 0.5}),
)


def test_without_aggregation_every_token_is_an_entity_with_its_index():
    found = _found("none", *MIXED)
    assert [one["entity"] for one in found] == ["B-PER", "I-PER", "I-LOC", "O", "B-LOC"]
    assert [one["index"] for one in found] == [1, 2, 3, 4, 5]
    assert found[2] == {
        "entity": "I-LOC",
        "score": pytest.approx(0.7),
        "index": 3,
        "word": "##ith",
        "start": 7,
        "end": 10,
    }


@pytest.mark.parametrize(
    ("strategy", "groups"),
    [
        ("simple", [("PER", "anna sm"), ("LOC", "##ith"), ("O", "in"), ("LOC", "paris")]),
        ("first", [("PER", "anna smith"), ("O", "in"), ("LOC", "paris")]),
        ("max", [("PER", "anna"), ("LOC", "smith"), ("O", "in"), ("LOC", "paris")]),
        ("average", [("PER", "anna"), ("LOC", "smith"), ("O", "in"), ("LOC", "paris")]),
    ],
)
def test_a_strategy_settles_what_the_tokens_of_a_word_disagree_on(strategy, groups):
    found = _found(strategy, *MIXED)
    assert [(one["entity_group"], one["word"]) for one in found] == groups


def test_a_label_that_begins_an_entity_starts_a_new_group():
    found = _found("simple", ("anna", {1: 1}), ("ben", {1: 1}), ("sm", {2: 1}))
    assert [one["word"] for one in found] == ["anna", "ben sm"]


def test_a_group_spans_its_tokens_and_has_their_mean_score():
    (found,) = _found("simple", ("anna", {1: 0.5}), ("sm", {2: 1.0}))
    assert (found["start"], found["end"], found["score"]) == (0, 7, pytest.approx(0.75))


def test_labels_without_prefix_continue_their_like():
    labels = {0: "NOUN", 1: "B-PER"}
    tokens = _tokens(("cat", {0: 1}), ("dog", {0: 1}), ("anna", {1: 1}))
    found = entities(tokens, "simple", labels, _join)
    assert [(one["entity_group"], one["word"]) for one in found] == [
        ("NOUN", "cat dog"),
        ("PER", "anna"),
    ]


def test_ignored_labels_are_left_out_by_label_and_by_group():
    assert [one["entity"] for one in without_labels(_found("none", *MIXED), ["O", "I-LOC"])] == [
        "B-PER",
        "I-PER",
        "B-LOC",
    ]
    found = without_labels(_found("simple", *MIXED), ["LOC"])
    assert [one["entity_group"] for one in found] == ["PER", "O"]


def test_no_tokens_give_no_entities():
    for strategy in ("none", "simple", "first", "average", "max"):
        assert _found(strategy) == []


def _entity(start, end, score, word="x"):
    return {"entity_group": "PER", "score": score, "word": word, "start": start, "end": end}


def test_of_overlapping_entities_the_longest_stays_and_of_equals_the_surest():
    short, long = _entity(0, 4, 0.9), _entity(0, 9, 0.2)
    assert merge_overlapping([short, long]) == [long]
    weak, sure = _entity(20, 24, 0.3), _entity(20, 24, 0.4)
    assert merge_overlapping([sure, weak]) == [sure]
    assert merge_overlapping([weak, sure]) == [sure]
    assert merge_overlapping([weak, short]) == [short, weak]


def test_an_unknown_strategy_names_those_there_are():
    with pytest.raises(InputError, match=r"'mean'; it is one of none, simple, first, average, max"):
        check_strategy("mean")
