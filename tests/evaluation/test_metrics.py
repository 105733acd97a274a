"""Every metric against what its definition gives by hand."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.errors import InputError
from distilbert.evaluation.metrics import (
    METRICS,
    Judged,
    best_threshold,
    check_metrics,
    find_metric,
    is_entity_tag,
    measured,
    usual_metrics,
)

SIX = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 1, 1, 1, 0, 0])


def one(name, judged):
    return measured(judged, [name])[name]


def classes(right, said, labels=("a", "b"), **options):
    return Judged("classification", np.array(right), np.array(said), labels, **options)


def test_classes_have_their_metrics():
    judged = classes(*SIX)
    assert one("accuracy", judged) == pytest.approx(4 / 6)
    assert one("f1", judged) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert one("matthews", judged) == pytest.approx((2 * 2 - 1 * 1) / 9)
    assert one("micro_f1", judged) == pytest.approx(4 / 6)


def test_f1_is_that_of_the_second_class():
    judged = classes([0, 0, 0, 1], [0, 0, 0, 0])
    assert one("f1", judged) == 0
    assert one("macro_f1", judged) == pytest.approx((6 / 7 + 0) / 2)
    assert one("weighted_f1", judged) == pytest.approx(6 / 7 * 3 / 4)


def test_f1_of_three_classes_is_refused_with_a_remedy():
    judged = classes([0, 1, 2], [0, 1, 2], ("x", "y", "z"))
    with pytest.raises(InputError, match=r"have 3: x, y, z; take macro_f1"):
        one("f1", judged)


def test_a_model_that_always_says_the_same_has_no_matthews():
    assert one("matthews", classes([0, 1, 1], [1, 1, 1])) == 0
    assert one("matthews", classes([1, 1], [1, 1])) == 0


def test_correlations_of_numbers():
    right, said = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 1.0, 8.0, 27.0])
    judged = Judged("regression", right, said)
    assert one("spearman", judged) == pytest.approx(1)
    assert one("pearson", judged) == pytest.approx(np.corrcoef(right, said)[0, 1])
    assert one("mse", judged) == pytest.approx((36 + 23**2) / 4)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_what_does_not_vary_goes_together_with_nothing(name):
    constant, varying = np.full(3, 2.0), np.array([1.0, 2.0, 3.0])
    assert one(name, Judged("regression", varying, constant)) == 0
    assert one(name, Judged("regression", constant, varying)) == 0
    rounding = np.array([1, 1 + 1e-15, 1 + 3e-15])
    assert one(name, Judged("regression", varying, rounding)) == 0


def test_sets_of_labels_count_labels_and_whole_rows():
    right, said = np.array([[1, 0, 1], [0, 1, 0]]), np.array([[1, 0, 0], [0, 1, 0]])
    judged = Judged("multi_label", right, said, ("a", "b", "c"))
    assert one("micro_f1", judged) == pytest.approx(2 * 2 / (2 * 2 + 0 + 1))
    assert one("macro_f1", judged) == pytest.approx(2 / 3)
    assert one("exact_match", judged) == 0.5


ENTITIES = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def tags(right, said, labels=ENTITIES):
    return Judged("tags", [one.split() for one in right], [one.split() for one in said], labels)


def test_entities_count_when_type_and_both_ends_are_right():
    judged = tags(["B-PER I-PER O B-LOC", "O B-PER"], ["B-PER I-PER O O", "B-PER B-PER"])
    assert one("precision", judged) == pytest.approx(2 / 3)
    assert one("recall", judged) == pytest.approx(2 / 3)
    assert one("f1", judged) == pytest.approx(2 / 3)
    assert one("accuracy", judged) == pytest.approx(4 / 6)


def test_an_entity_without_a_beginning_counts_unless_strict():
    judged = tags(["O B-PER"], ["O I-PER"])
    assert one("f1", judged) == 1
    assert [one(f"strict_{name}", judged) for name in ("f1", "precision", "recall")] == [0, 0, 0]


@pytest.mark.parametrize(
    "labels", [("B-X", "E-X", "I-X", "O", "S-X"), ("B-X", "I-X", "L-X", "O", "U-X")]
)
def test_strict_entities_know_other_schemes(labels):
    single, last = ("S-X", "E-X") if "S-X" in labels else ("U-X", "L-X")
    judged = tags([f"{single} O", f"B-X {last}"], ["B-X O", f"B-X {last}"], labels)
    assert one("strict_f1", judged) == pytest.approx(2 / 3)  # B-X alone is no entity


def test_strict_entities_of_no_scheme_are_refused():
    with pytest.raises(InputError, match=r"begin with B, E, L follow none of the schemes IOB2"):
        one("strict_f1", tags(["B-X"], ["B-X"], ("B-X", "E-X", "L-X")))


def test_entities_are_not_looked_for_in_other_tags():
    judged = tags(["NOUN VERB"], ["NOUN NOUN"], ("NOUN", "VERB"))
    assert one("accuracy", judged) == 0.5
    with pytest.raises(InputError, match="have NOUN, VERB; take accuracy"):
        one("f1", judged)
    assert not is_entity_tag("B")
    assert not is_entity_tag("X")


def test_sentences_that_hold_no_entity_at_all_score_nothing():
    assert one("f1", tags(["O O"], ["O O"])) == 0


def test_words_behind_masks_have_a_perplexity():
    judged = Judged("words", np.array([5, 6]), np.array([5, 7]), chances=np.log([0.5, 0.125]))
    assert one("perplexity", judged) == pytest.approx(4)
    assert one("accuracy", judged) == 0.5
    hopeless = Judged("words", np.array([5]), np.array([5]), chances=np.array([-1e9]))
    assert math.isfinite(one("perplexity", hopeless))


# What is out of scope -----------------------------------------------------------------------------


def test_what_is_out_of_scope_has_its_own_scores():
    judged = classes([0, 1, 1, 2, 2], [0, 1, 2, 2, 0], ("a", "b", "oos"), outside=2)
    assert one("accuracy", judged) == 0.6
    assert one("in_scope_accuracy", judged) == pytest.approx(2 / 3)
    assert one("out_of_scope_recall", judged) == 0.5
    assert "out_of_scope_threshold" not in measured(judged, ["accuracy", "out_of_scope_threshold"])


def test_scores_of_scope_need_to_know_the_class_outside():
    with pytest.raises(InputError, match="say which it is: outside='oos'"):
        one("out_of_scope_recall", classes([0], [0]))


def test_data_of_one_sort_alone_leave_the_score_of_the_other_out():
    names = ["accuracy", "in_scope_accuracy", "out_of_scope_recall"]
    inside, outside = classes([0], [0], outside=1), classes([1], [1], outside=1)
    assert list(measured(inside, names)) == names[:2]
    assert list(measured(outside, names)) == [names[0], names[2]]


rows = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9]), st.booleans(), st.booleans()), min_size=1
)


@given(rows)
def test_the_threshold_is_as_good_as_any(rows):
    shares = np.array([row[0] for row in rows])
    outside = np.array([row[1] for row in rows])
    right = np.array([row[2] for row in rows]) & ~outside

    def count(threshold):
        return np.sum(np.where(shares < threshold, outside, right))

    best = max(count(threshold) for threshold in (0, 0.15, 0.25, 0.4, 0.7, 1))
    found = best_threshold(shares, right, outside)
    assert count(found) == best
    assert outside.any() or found == 0


# The table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["classification", "regression", "multi_label", "choice", "tags", "spans", "words"]
)
def test_every_kind_has_metrics_that_exist_for_it(kind):
    for labels in ((), ("a", "b"), ("B-X", "O"), ("a", "b", "c")):
        for outside in (False, True):
            names = usual_metrics(kind, labels, outside=outside)
            assert names
            assert all(find_metric(name, kind) for name in names)


def test_names_of_metrics_are_unique_within_a_kind():
    pairs = [(kind, metric.name) for metric in METRICS for kind in metric.kinds]
    assert len(set(pairs)) == len(pairs)


def test_less_is_better_of_some():
    assert {m.name for m in METRICS if not m.higher} == {"mse", "perplexity"}


def test_metrics_of_which_none_means_anything_are_refused():
    with pytest.raises(InputError, match="HasAns_f1, best_f1 mean nothing for these data"):
        measured(Judged("spans", [["x"]], ["x"]), ["HasAns_f1", "best_f1"])


def test_an_unknown_metric_is_told_with_those_there_are():
    with pytest.raises(InputError, match=r"no metric 'bleu' of choice; the metrics are: accuracy"):
        find_metric("bleu", "choice")


def test_a_missing_library_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "seqeval", None)
    with pytest.raises(InputError, match=r"seqeval.*pip install 'distilbert\[train\]'"):
        find_metric("f1", "tags")
    assert find_metric("accuracy", "tags")


def test_every_name_is_checked_before_anything_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.metrics", raising=False)
    check_metrics(["accuracy"], "classification")
    with pytest.raises(InputError, match=r"sklearn.*pip install 'distilbert\[train\]'"):
        check_metrics(usual_metrics("classification", ("a", "b", "c")), "classification")
    with pytest.raises(InputError, match="no metric 'bleu' of classification"):
        check_metrics(["accuracy", "bleu"], "classification")
