"""Windows over long texts, and values put together from them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.engine.windows import stitch, windows
from distilbert.errors import InputError

sizes = st.integers(1, 60).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@given(st.integers(1, 400), sizes)
def test_windows_cover_the_text_without_a_gap_and_overlap_as_asked(length, size_overlap):
    size, overlap = size_overlap
    found = windows(length, size, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(end - start <= size for start, end in found)
    for (_, end), (start, _) in pairwise(found):
        assert end - start == overlap
    assert all(end < length for _, end in found[:-1])  # no window lies within the last one


def test_a_text_that_fits_is_one_window():
    assert windows(5, 5, 4) == [(0, 5)]
    assert windows(0, 5, 2) == [(0, 0)]


@pytest.mark.parametrize("overlap", [5, 6, -1])
def test_an_overlap_that_leaves_no_step_is_refused(overlap):
    with pytest.raises(InputError, match=rf"windows of 5 tokens cannot overlap by {overlap}"):
        windows(20, 5, overlap)


@given(st.integers(0, 300), sizes)
def test_every_token_takes_the_value_of_a_window_with_most_context(length, size_overlap):
    ranges = windows(length, *size_overlap)

    def context(window: tuple[int, int], position: int) -> int:
        return min(position - window[0], window[1] - 1 - position)

    values = [[(window, at) for at in range(*window)] for window in ranges]
    joined = stitch(ranges, values)
    assert [at for _, at in joined] == list(range(length))
    for window, at in joined:
        others = [one for one in ranges if one[0] <= at < one[1]]
        assert context(window, at) == max(context(one, at) for one in others)
