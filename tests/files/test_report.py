import logging

import pytest

from distilbert.files.report import LoadReport


def test_a_report_without_findings_says_so():
    report = LoadReport("x", "DistilBertModel")
    assert report.complete
    assert str(report) == "DistilBertModel loaded from 'x': every weight found its place."


def test_every_finding_is_named_with_what_follows_from_it():
    report = LoadReport(
        "x",
        "M",
        missing=["a"],
        unexpected=["b", "c"],
        mismatched=[("d", (2, 3), (4, 3)), ("e", (), (1,))],
        left_out={"f": "why f", "g": "why f", "h": "why h"},
        not_finite=["i"],
    )
    assert str(report) == (
        "M loaded from 'x': a is not in the checkpoint and newly initialised, so train the model "
        "before you use its answers. d 2×3 for 4×3, e scalar for 1 are of another shape and newly "
        "initialised. i is not finite (NaN or infinity), so answers will not be either; the "
        "checkpoint is damaged, or overflows in this dtype. b, c are in the checkpoint only and "
        "not used. Left out f, g (why f). Left out h (why h)."
    )
    assert report.as_dict() == {
        "missing_keys": ["a"],
        "unexpected_keys": ["b", "c", "f", "g", "h"],
        "mismatched_keys": ["d", "e"],
        "error_msgs": [],
        "not_finite_keys": ["i"],
    }


def test_long_lists_are_cut():
    keys = [f"k{n}" for n in range(30)]
    assert "k0, k1, k2, k3, k4, k5 and 24 more are in" in str(LoadReport("x", "M", unexpected=keys))


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        ({"missing": ["a"]}, "WARNING"),
        ({"mismatched": [("a", (1,), (2,))]}, "WARNING"),
        ({"not_finite": ["a"]}, "WARNING"),
        ({"unexpected": ["a"]}, "INFO"),
        ({"left_out": {"a": "b"}}, "INFO"),
        ({}, "INFO"),
    ],
)
def test_only_what_changes_answers_is_a_warning(caplog, finding, level):
    caplog.set_level(logging.INFO, logger="distilbert")
    LoadReport("x", "M", **finding).log()
    assert [record.levelname for record in caplog.records] == [level]
