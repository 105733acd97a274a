"""SQuAD's scores on the edge cases of its official scripts, worked out by hand."""

import pytest

from distilbert.errors import InputError
from distilbert.evaluation.squad import (
    exact_match,
    normalized,
    overlap_v1,
    overlap_v2,
    score_v1,
    score_v2,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The Cat, a dog  and\tAN owl!", "cat dog and owl"),
        ("theatre an-other", "theatre another"),
        ("U.S.A.", "usa"),
        ("$1,000.50", "100050"),
        ("the", ""),
        ("a-the", "athe"),
        ("“quoted” – yes", "“quoted” – yes"),  # punctuation beyond ASCII stays
        ("the\u00a0end", "end"),  # any white space parts words
        ("ÉCOLE", "école"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_texts_are_compared_without_case_punctuation_and_articles(text, wanted):
    assert normalized(text) == wanted


def test_exact_match_is_of_normalized_texts():
    assert exact_match("The Eiffel-Tower.", "EiffelTower") == 1
    assert exact_match("Eiffel Tower", "EiffelTower") == 0


def test_overlap_counts_words_as_often_as_both_have_them():
    assert overlap_v1("one two two", "two two two three") == pytest.approx(2 * 2 / (3 + 4))
    assert overlap_v1("cat", "dog") == overlap_v2("cat", "dog") == 0


def test_the_versions_differ_where_no_word_is_left():
    assert (overlap_v1("the", "a"), overlap_v2("the", "a")) == (0, 1)
    assert (overlap_v1("", "cat"), overlap_v2("", "cat"), overlap_v2("cat", "")) == (0, 0, 0)


def test_version_1_takes_the_nearest_answer_and_counts_what_is_missing_as_wrong():
    right = {"q1": ["Paris", "the city of Paris"], "q2": ["1789"], "q3": ["a"]}
    found = score_v1(right, {"q1": "City of Paris!", "q3": "the", "other": "x"})
    assert found["exact_match"] == pytest.approx(2 / 3)  # of q3, no word is left on both sides
    assert found["f1"] == pytest.approx(1 / 3)


def test_version_1_refuses_what_has_no_answer():
    with pytest.raises(InputError, match=r"question 'q2' has no answer.*version 2\.0"):
        score_v1({"q1": ["x"], "q2": []}, {})
    with pytest.raises(InputError, match="no questions"):
        score_v1({}, {})


RIGHT = {"q1": ["the end", "."], "q2": [], "q3": ["a red fox", "fox"], "q4": []}
SAID = {"q1": "end", "q2": "", "q3": "red dog", "q4": "cat"}


def test_version_2_scores_what_has_an_answer_and_what_has_none_apart():
    found = score_v2(RIGHT, SAID)
    assert found == {
        "exact_match": 0.5,
        "f1": pytest.approx((1 + 1 + 0.5 + 0) / 4),
        "HasAns_exact": 0.5,
        "HasAns_f1": pytest.approx(0.75),
        "NoAns_exact": 0.5,
        "NoAns_f1": 0.5,
    }


def test_version_2_takes_an_empty_answer_for_one_without_words():
    assert score_v2({"q": ["?!"]}, {"q": ""})["HasAns_f1"] == 1
    assert "NoAns_f1" not in score_v2({"q": ["x"]}, {"q": ""})
    assert "HasAns_f1" not in score_v2({"q": []}, {"q": ""})


def test_a_threshold_turns_answers_into_none():
    nulls = {"q1": -3.0, "q2": 0.0, "q3": 2.0, "q4": 5.0}
    found = score_v2(RIGHT, SAID, nulls, threshold=2.0)
    assert found["exact_match"] == pytest.approx(3 / 4)  # q4 is right now; q3 lies at the threshold
    assert found["best_exact"] == pytest.approx(3 / 4)
    assert found["best_exact_thresh"] == -3.0  # the first value that gives the best score
    assert found["best_f1"] == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert found["best_f1_thresh"] == 2.0


def test_no_answer_at_all_may_be_best():
    found = score_v2({"q1": [], "q2": ["x"]}, {"q1": "y", "q2": "z"}, {"q1": -4.0, "q2": -5.0})
    assert (found["best_f1"], found["best_f1_thresh"]) == (0.5, 0.0)


def test_version_2_refuses_questions_of_which_nothing_is_said():
    with pytest.raises(InputError, match=r"question 'q2' has no prediction \(2 of 4 have none\)"):
        score_v2(RIGHT, {"q1": "", "q4": ""})
    with pytest.raises(InputError, match="question 'q1' has no score of no answer"):
        score_v2(RIGHT, SAID, {})
