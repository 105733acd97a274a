"""What becomes of a text before it is cut to words, and where its characters came from."""

import copy
import pickle
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from distilbert.errors import InputError
from distilbert.text import characters
from distilbert.text.normalize import Normalizer
from library import EVERY_CHARACTER
from words import TEXTS

STEPS = [
    {"lowercase": lowercase, "strip_accents": strip, "chinese": chinese, "clean": clean}
    for lowercase, strip, chinese, clean in product(
        (True, False), (None, True, False), (True, False), (True, False)
    )
]
MARKS = [chr(code) for code in (*characters.REORDERING, *list(characters.MARKS)[::9])]
TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(MARKS) | st.sampled_from("aÉİßΣ中가")
)


def _library(steps: dict[str, bool | None]) -> normalizers.BertNormalizer:
    return normalizers.BertNormalizer(
        lowercase=steps["lowercase"],
        strip_accents=steps["strip_accents"],
        handle_chinese_chars=steps["chinese"],
        clean_text=steps["clean"],
    )


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_every_character_becomes_what_it_does_in_the_library(steps: dict[str, bool | None]) -> None:
    ours, library = Normalizer(**steps), _library(steps)
    for start in range(0, len(EVERY_CHARACTER), 512):
        text = "".join(f"a{char}b" for char in EVERY_CHARACTER[start : start + 512])
        assert ours(text) == library.normalize_str(text), f"block of {text[1]!a}"


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_texts_become_what_they_do_in_the_library(steps: dict[str, bool | None]) -> None:
    ours, library = Normalizer(**steps), _library(steps)
    assert [ours(text) for text in TEXTS] == [library.normalize_str(text) for text in TEXTS]


@settings(max_examples=300, deadline=None)
@given(text=TEXT, steps=st.sampled_from(STEPS))
def test_made_up_texts_become_what_they_do_in_the_library(
    text: str, steps: dict[str, bool | None]
) -> None:
    assert Normalizer(**steps)(text) == _library(steps).normalize_str(text)


@settings(max_examples=300, deadline=None)
@given(text=TEXT, steps=st.sampled_from(STEPS))
def test_alignment_covers_the_normalized_text_in_order(
    text: str, steps: dict[str, bool | None]
) -> None:
    normalizer = Normalizer(**steps)
    normalized, where = normalizer.aligned(text)
    assert normalized == normalizer(text)
    assert len(where) == len(normalized)
    assert list(where) == sorted(where)
    assert all(0 <= at < len(text) for at in where)


@pytest.mark.parametrize(
    ("text", "normalized", "where"),
    [
        ("Hello", "hello", [0, 1, 2, 3, 4]),
        ("É", "e", [0]),
        ("e\u0301a", "ea", [0, 2]),
        ("a\u0000b\ufffdc\u00ad", "abc", [0, 2, 4]),
        ("a\tb\u3000c", "a b c", [0, 1, 2, 3, 4]),
        ("x中y", "x 中 y", [0, 1, 1, 1, 2]),
        ("가a", "\u1100\u1161a", [0, 0, 1]),
        ("ﬁ", "ﬁ", [0]),
        ("İ", "i", [0]),
    ],
    ids=ascii,
)
def test_each_character_knows_where_it_came_from(
    text: str, normalized: str, where: list[int]
) -> None:
    found, sources = Normalizer().aligned(text)
    assert (found, list(sources)) == (normalized, where)


def test_a_lower_case_of_two_characters_comes_from_one() -> None:
    found, sources = Normalizer(strip_accents=False).aligned("aİb")
    assert (found, list(sources)) == ("ai\u0307b", [0, 1, 1, 2])


def test_marks_that_move_take_the_places_of_those_they_pass() -> None:
    """U+0323 is stripped, but only after it has moved before U+1DFB, which stays."""
    found, sources = Normalizer().aligned("a\u1dfb\u0323b")
    assert (found, list(sources)) == ("a\u1dfbb", [0, 2, 3])


def test_accents_are_stripped_as_letters_are_lowered_unless_asked() -> None:
    assert Normalizer(lowercase=True)("É") == "e"
    assert Normalizer(lowercase=False)("É") == "É"
    assert Normalizer(lowercase=True, strip_accents=False)("É") == "é"
    assert Normalizer(lowercase=False, strip_accents=True)("É") == "E"


@pytest.mark.diverges("transformers 4.57.6, slow: composes to NFC where accents are not stripped")
def test_nothing_is_composed() -> None:
    assert Normalizer(strip_accents=False)("e\u0301") == "e\u0301"


@pytest.mark.parametrize("char", ["\x0b", "\x0c", "\x1c", "\x1f", "\x85"])
def test_controls_that_python_takes_for_white_space_are_removed(char: str) -> None:
    assert Normalizer()(f"a{char}b") == "ab"


def test_without_cleaning_controls_and_white_space_stay() -> None:
    assert Normalizer(clean=False)("a\u0000\tb\u200b") == "a\u0000\tb\u200b"


@pytest.mark.parametrize("text", ["\ud800", "ab\udfff", "\u1dfb\udc00"], ids=ascii)
@pytest.mark.parametrize("clean", [True, False])
def test_a_lone_surrogate_is_refused_by_name(text: str, clean: bool) -> None:
    surrogate = next(char for char in text if "\ud800" <= char <= "\udfff")
    for normalize in (Normalizer(clean=clean), Normalizer(clean=clean).aligned):
        with pytest.raises(InputError, match=rf"U\+{ord(surrogate):04X}.*errors='replace'"):
            normalize(text)


def test_a_copy_normalizes_alike() -> None:
    normalizer = Normalizer(lowercase=False, strip_accents=True, chinese=False, clean=False)
    text = "É中\u0000\u1dfb\u0323"
    for other in (copy.deepcopy(normalizer), pickle.loads(pickle.dumps(normalizer))):
        assert other(text) == normalizer(text)


def test_remembered_spellings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilbert.text.normalize._REMEMBERED", 130)
    normalizer = Normalizer()
    assert normalizer("ÀÈÌÒÙ") == "aeiou"
    assert len(normalizer._spellings) == 130
