"""Labels of a model and of data are matched by name, and what does not match is told."""

import numpy as np
import pytest

from distilbert.errors import InputError
from distilbert.evaluation.labels import matched


def test_names_are_matched_whatever_their_order():
    found = matched(["yes", "no", "maybe"], ["no", "yes"])
    assert (found.names, found.columns) == (("no", "yes", "maybe"), (1, 0, 2))
    logits = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert found.ordered(logits).tolist() == [[2, 1, 3]]


def test_names_that_differ_in_case_alone_are_the_same():
    assert matched(["NEGATIVE", "POSITIVE"], ["negative", "positive"]).columns == (0, 1)


def test_case_counts_where_two_names_differ_by_it():
    assert matched(["a", "A"], ["A", "a"]).columns == (1, 0)
    with pytest.raises(InputError, match="does not know 'aB'"):
        matched(["AB", "ab"], ["aB"])
    with pytest.raises(InputError, match="does not know 'Ab', 'aB'"):
        matched(["AB", "x"], ["Ab", "aB"])


def test_other_names_are_an_error_that_lists_both():
    with pytest.raises(InputError) as error:
        matched(["joy", "fear"], ["joy", "love"])
    for piece in ("does not know 'love'", "it knows 'joy', 'fear'", "the data have 'joy', 'love'"):
        assert piece in str(error.value)


def test_labels_without_names_are_taken_by_number_with_a_warning():
    with pytest.warns(UserWarning, match="'LABEL_0', 'LABEL_1'.*'neg', 'pos'"):
        found = matched(["LABEL_0", "LABEL_1"], ["neg", "pos"])
    assert (found.names, found.columns) == (("neg", "pos"), (0, 1))
    with pytest.raises(InputError, match=r"3 labels without names .* have 2 \('neg', 'pos'\)"):
        matched(["LABEL_0", "LABEL_1", "LABEL_2"], ["neg", "pos"])


def test_numbered_names_that_the_data_have_are_names():
    assert matched(["LABEL_0", "LABEL_1"], ["LABEL_1"]).columns == (1, 0)


def test_the_class_outside_need_not_be_the_models():
    found = matched(["a", "b"], ["a", "oos", "b"], outside="oos")
    assert found.columns == (0, None, 1)
    assert found.ordered(np.array([1, 2], np.float32)).tolist() == [1, -np.inf, 2]
    with pytest.warns(UserWarning, match="by number"):
        found = matched(["LABEL_0", "LABEL_1"], ["a", "oos", "b"], outside="oos")
    assert found.columns == (0, None, 1)
    with pytest.warns(UserWarning, match="by number"):
        found = matched(["LABEL_0", "LABEL_1"], ["a", "oos"], outside="oos")
    assert found.columns == (0, 1)
