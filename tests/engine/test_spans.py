"""The best spans of a context, against trying all of them."""

import numpy as np
import pytest

from distilbert.engine.spans import best_spans, best_sums


def _by_trying_all(first, last, null, longest):
    start = np.exp(np.append(first, null[0]).astype(np.float64))
    end = np.exp(np.append(last, null[1]).astype(np.float64))
    start, end = start / start.sum(), end / end.sum()
    spans = [
        (start[a] * end[b], a, b)
        for a in range(len(first))
        for b in range(a, min(a + longest, len(first)))
    ]
    return sorted(spans, reverse=True), start[-1] * end[-1]


@pytest.mark.parametrize("tokens", [1, 2, 7, 40])
@pytest.mark.parametrize("longest", [1, 3, 15])
def test_spans_are_those_that_trying_all_finds(tokens, longest):
    random = np.random.default_rng(tokens * 100 + longest)
    first, last = random.normal(size=(2, tokens)).astype(np.float32) * 3
    spans, null = best_spans(first, last, (0.5, -0.25), count=12, longest=longest)
    wanted, wanted_null = _by_trying_all(first, last, (0.5, -0.25), longest)
    assert [(one.first, one.last) for one in spans] == [(a, b) for _, a, b in wanted[:12]]
    np.testing.assert_allclose([one.score for one in spans], [s for s, _, _ in wanted[:12]], 1e-5)
    assert null == pytest.approx(wanted_null, rel=1e-5)


def test_no_span_ends_before_it_begins_even_where_all_others_are_used_up():
    spans, _ = best_spans(
        np.zeros(3, np.float32), np.zeros(3, np.float32), (0, 0), count=50, longest=2
    )
    assert sorted((one.first, one.last) for one in spans) == [
        (0, 0),
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 2),
    ]


def test_spans_of_equal_score_come_in_the_order_of_the_text():
    spans, _ = best_spans(
        np.zeros(4, np.float32), np.zeros(4, np.float32), (0, 0), count=3, longest=2
    )
    assert [(one.first, one.last) for one in spans] == [(0, 0), (0, 1), (1, 1)]


def test_large_logits_give_finite_scores():
    spans, null = best_spans(
        np.array([9e4, 0], np.float32), np.array([0, 9e4], np.float32), (0, 0), count=1, longest=2
    )
    assert spans[0] == (1.0, 0, 1)
    assert null == 0


def test_sums_of_logits_order_spans_as_their_probabilities_do():
    random = np.random.default_rng(5)
    first, last = random.normal(size=(2, 20)).astype(np.float32) * 3
    sums = best_sums(first, last, count=9, longest=4)
    spans, _ = best_spans(first, last, (0.5, -0.25), count=9, longest=4)
    assert [one[1:] for one in sums] == [one[1:] for one in spans]
    assert sums[0].score == pytest.approx(first[sums[0].first] + last[sums[0].last])


def test_a_window_without_context_has_no_span():
    nothing = np.zeros(0, np.float32)
    assert best_sums(nothing, nothing, count=3, longest=2) == []
