import pytest

from distilbert.errors import InputError
from distilbert.text.truncation import first_window, limits, row_windows, shares, windows


def test_a_text_that_fits_is_one_window() -> None:
    assert windows(5, 5, 2, "right") == [(0, 5)]
    assert windows(0, 5, 2, "left") == [(0, 0)]


def test_windows_share_the_stride_and_end_with_the_text() -> None:
    assert windows(10, 4, 1, "right") == [(0, 4), (3, 7), (6, 10)]
    assert windows(9, 4, 2, "right") == [(0, 4), (2, 6), (4, 8), (6, 9)]


def test_windows_from_the_left_start_at_the_end_of_the_text() -> None:
    assert windows(9, 4, 1, "left") == [(5, 9), (2, 6), (0, 3)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("stride", [0, 1, 4])
def test_windows_cover_every_piece(side: str, stride: int) -> None:
    for length in range(40):
        found = windows(length, 5, stride, side)
        covered = {piece for start, end in found for piece in range(start, end)}
        assert covered == set(range(length))
        assert all(end - start <= 5 for start, end in found)
        assert found[0] == first_window(length, 5, side)


def test_the_longer_text_is_cut_first() -> None:
    assert shares(3, 10, 8) == (3, 5)
    assert shares(10, 3, 8) == (5, 3)


def test_of_an_odd_room_the_longer_text_gets_more() -> None:
    assert shares(9, 8, 7) == (4, 3)
    assert shares(8, 9, 7) == (3, 4)
    assert shares(8, 8, 7) == (3, 4)


def test_shares_fill_the_room_exactly() -> None:
    for first in range(12):
        for second in range(12):
            for room in range(1, first + second):
                one, two = shares(first, second, room)
                assert one + two == room
                assert one <= first
                assert two <= second


def test_only_the_named_text_is_cut() -> None:
    assert limits(6, 4, 7, "only_first", 0) == (3, 4)
    assert limits(4, 6, 7, "only_second", 0) == (4, 3)
    assert limits(4, 6, 7, "do_not_truncate", 0) == (4, 6)


@pytest.mark.parametrize(
    ("first", "second", "strategy", "message"),
    [
        (3, 9, "only_first", r"row 5 is 5 tokens too long, and its first text has only 3"),
        (9, 3, "only_second", r"row 5 is 5 tokens too long, and its second text has only 3"),
        (12, None, "only_second", r"row 5 has no second text and is 5 tokens too long"),
    ],
)
def test_a_text_too_short_to_cut_is_an_error_with_the_numbers(
    first: int, second: int | None, strategy: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        limits(first, second, 7, strategy, 5)


def test_windows_of_both_texts_are_combined_in_the_known_order() -> None:
    found = row_windows(4, 4, 4, "longest_first", stride=0, side="right", overflow=True, row=0)
    one, two = [(0, 2), (2, 4)], [(0, 2), (2, 4)]
    assert found == [
        (one[0], two[0]), (one[1], two[0]), (one[1], two[1]), (one[0], two[1])
    ]  # fmt: skip


def test_windows_that_could_not_move_on_are_an_error() -> None:
    with pytest.raises(InputError, match=r"stride=2 is not smaller than the 2 tokens"):
        row_windows(4, 4, 4, "longest_first", stride=2, side="right", overflow=True, row=0)
    cut = row_windows(4, 4, 4, "longest_first", stride=2, side="right", overflow=False, row=0)
    assert cut == [((0, 2), (0, 2))]
