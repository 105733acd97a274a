"""Every code point against the `tokenizers` library, which is what published ids were made with."""

import unicodedata
from collections import Counter
from collections.abc import Callable

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from distilbert.text import characters
from distilbert.text.characters import Ranges
from library import EVERY_CHARACTER


def _bert(step: str) -> normalizers.BertNormalizer:
    steps = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return normalizers.BertNormalizer(**{name: name == step for name in steps})


def _assert_every_character_becomes(
    normalizer: normalizers.Normalizer, spelling: Callable[[str], str]
) -> None:
    for start in range(0, len(EVERY_CHARACTER), 256):
        some = EVERY_CHARACTER[start : start + 256]
        wanted = normalizer.normalize_str("".join(f"a{char}b" for char in some))
        found = "".join(f"a{spelling(char)}b" for char in some)
        assert found == wanted, ascii("".join(some))


def test_cleaning_removes_and_spaces_what_the_library_does() -> None:
    def clean(char: str) -> str:
        if ord(char) in characters.REMOVED:
            return ""
        return " " if ord(char) in characters.SPACES else char

    _assert_every_character_becomes(_bert("clean_text"), clean)


def test_ideographs_are_those_of_the_library() -> None:
    _assert_every_character_becomes(
        _bert("handle_chinese_chars"),
        lambda char: f" {char} " if ord(char) in characters.IDEOGRAPHS else char,
    )


def test_lower_case_is_that_of_the_library() -> None:
    _assert_every_character_becomes(_bert("lowercase"), characters.lower)


def test_decompositions_are_those_of_the_library() -> None:
    _assert_every_character_becomes(normalizers.NFD(), characters.decomposed)


def test_stripped_marks_are_those_of_the_library() -> None:
    def strip(char: str) -> str:
        parts = characters.decomposed(char)
        return "".join(part for part in parts if ord(part) not in characters.MARKS)

    _assert_every_character_becomes(_bert("strip_accents"), strip)


@pytest.mark.parametrize("mark", ["\u0334", "\u0301", "\u0315", "\u0345", "\u094d"])
def test_combining_classes_order_marks_as_in_the_library(mark: str) -> None:
    """The classes of the probes are 1, 230, 232, 240 and 9."""

    def ordered(char: str) -> str:
        return "".join(sorted([*characters.decomposed(char), mark], key=characters.order))

    def starts_anew(char: str) -> bool:
        parts = characters.decomposed(char)
        return len(parts) > 1 and characters.order(parts[0]) == 0

    simple = [char for char in EVERY_CHARACTER if not starts_anew(char)]
    for start in range(0, len(simple), 256):
        some = simple[start : start + 256]
        wanted = normalizers.NFD().normalize_str("".join(f"a{char}{mark}" for char in some))
        assert "".join(f"a{ordered(char)}" for char in some) == wanted, ascii("".join(some))


def test_punctuation_and_white_space_are_those_of_the_library() -> None:
    library = pre_tokenizers.BertPreTokenizer()
    text = "".join(f"a{char}b " for char in EVERY_CHARACTER)
    words = Counter(start // 4 for _, (start, _) in library.pre_tokenize_str(text))
    for at, char in enumerate(EVERY_CHARACTER):
        is_mark, is_space = ord(char) in characters.PUNCTUATION, ord(char) in characters.SPACES
        assert words[at] == (3 if is_mark else 2 if is_space else 1), ascii(char)


def test_characters_of_words_are_those_of_the_library() -> None:
    library = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    library.add_tokens([tokenizers.AddedToken("xx", single_word=True, normalized=False)])
    found = library.encode("".join(f"{char}xx " for char in EVERY_CHARACTER))
    alone = {span[0] for id, span in zip(found.ids, found.offsets, strict=True) if id == 1}
    theirs = {char for at, char in enumerate(EVERY_CHARACTER) if 4 * at + 1 not in alone}
    ours = {char for char in EVERY_CHARACTER if characters.in_word(char)}
    assert theirs <= ours
    version = tuple(map(int, unicodedata.unidata_version.split(".")))
    assert ours == theirs or version > (16, 0, 0)  # such a Python knows letters that are younger


def test_reordering_characters_are_those_with_an_ordered_mark() -> None:
    wanted = {
        ord(char)
        for char in EVERY_CHARACTER
        if any(ord(part) in characters.ORDERED for part in characters.decomposed(char))
    }
    assert set(characters.REORDERING) == wanted


def test_ordered_marks_have_a_class_and_are_not_stripped() -> None:
    for code in characters.ORDERED:
        assert unicodedata.combining(chr(code)) > 0
        assert code not in characters.MARKS


@pytest.mark.parametrize(
    ("kind", "young"),
    [
        (characters.PUNCTUATION, "\u2e43\u2e5d\u1b7d\U0001144b\U0001e95e"),
        (characters.MARKS, "\u0898\u08ca\u1ac0\u1dfb\U0001cf00\U0001e000\U0001e944"),
        (characters.REMOVED, "\u0890\u0891\u08e2\U000110cd\U00013430"),
    ],
    ids=["punctuation", "marks", "formats"],
)
@pytest.mark.diverges("transformers 4.57.6, slow: by the Unicode version of the Python it runs on")
def test_categories_are_frozen_at_unicode_8(kind: Ranges, young: str) -> None:
    """What came later is a letter like any other, in whichever Python."""
    assert not any(ord(char) in kind for char in young)


def test_categories_that_changed_stay_as_they_were_in_unicode_8() -> None:
    assert 0x166D in characters.PUNCTUATION  # a symbol since Unicode 12
    assert 0x111C9 in characters.PUNCTUATION  # a nonspacing mark since Unicode 11
    assert 0x1734 in characters.MARKS  # a spacing mark since Unicode 14


@pytest.mark.diverges("transformers 4.57.6, slow: ideographs of extension E begin at U+2B820")
def test_a_gap_in_the_ideographs_is_that_of_the_library() -> None:
    assert 0x2B820 not in characters.IDEOGRAPHS
    assert 0x2B920 in characters.IDEOGRAPHS


def test_no_lower_case_is_a_final_sigma() -> None:
    assert "".join(map(characters.lower, "ΟΔΟΣ")) == "οδοσ"


@pytest.mark.parametrize(
    ("capital", "small"),
    [("\u1c89", "\u1c8a"), ("\ua7cb", "\u0264"), ("\ua7dc", "\u019b"), ("\u2c2f", "\u2c5f"),
     ("\U00010570", "\U00010597"), ("\U00010d65", "\U00010d85"), ("\U00016eb8", "\U00016ed3")],
)  # fmt: skip
def test_young_capitals_have_a_lower_case_in_every_python(capital: str, small: str) -> None:
    assert characters.lower(capital) == small


@pytest.mark.parametrize("char", ["\U00011938", "\U000105c9", "\U000113c5", "\U00016d6a"])
def test_young_compositions_stay_whole_in_every_python(char: str) -> None:
    assert characters.decomposed(char) == char


def test_ranges_hold_their_ends_and_nothing_beside_them() -> None:
    ranges = Ranges("41-43 5F")
    assert [code for code in range(0x70) if code in ranges] == [0x41, 0x42, 0x43, 0x5F]
    assert list(ranges) == [0x41, 0x42, 0x43, 0x5F]
    assert ranges.pattern() == "\\U00000041-\\U00000043\\U0000005f-\\U0000005f"
