"""Added tokens: their ids, their rules, and the search for them."""

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.text.added import AddedToken, AddedTokens
from distilbert.text.normalize import Normalizer
from distilbert.text.pieces import Pieces
from distilbert.text.vocabulary import Vocabulary
from distilbert.text.wordpiece import WordPieceBackend
from library import SPECIAL, assert_alike, pair, to_library, vocabulary_of_characters
from words import VOCABULARY

SMALL = {token: id for id, token in enumerate(VOCABULARY)}


def tokens(text: str, *added: AddedToken) -> list[str]:
    backend = WordPieceBackend(Vocabulary(VOCABULARY))
    backend.add(added)
    return backend.tokens(text)


def test_a_special_token_is_not_normalized_unless_asked() -> None:
    assert AddedToken("a").normalized is True
    assert AddedToken("a", special=True).normalized is False
    assert AddedToken("a", special=True, normalized=True).normalized is True
    assert AddedToken("a", normalized=False).normalized is False


def test_tokens_are_made_of_strings_and_of_the_librarys() -> None:
    assert AddedToken.of("a") == AddedToken("a")
    assert AddedToken.of("a", special=True) == AddedToken("a", special=True)
    library = tokenizers.AddedToken("a", lstrip=True, normalized=False)
    assert AddedToken.of(library) == AddedToken("a", lstrip=True, normalized=False)
    assert AddedToken.of(library, special=True).special
    assert str(AddedToken("a")) == "a"


def test_tokens_of_the_vocabulary_keep_their_ids_and_others_get_the_next() -> None:
    added = AddedTokens(Vocabulary(["[UNK]", "a", "b"]), Normalizer())
    assert added.add([AddedToken("b"), AddedToken("x"), AddedToken("y")]) == 3
    assert added.ids == {"b": 1 + 1, "x": 3, "y": 4}
    assert added.beyond == 2


def test_only_what_is_new_in_some_way_is_counted() -> None:
    added = AddedTokens(Vocabulary(["[UNK]"]), Normalizer())
    assert added.add([AddedToken("x"), AddedToken("x"), AddedToken("")]) == 1
    assert added.add([AddedToken("x")]) == 0
    assert added.add([AddedToken("x", lstrip=True)]) == 1
    assert added.by_id == {1: AddedToken("x", lstrip=True)}
    assert added.beyond == 1


@pytest.mark.diverges("tokenizers 0.23.3: the next id may be one that a gappy vocabulary has")
def test_no_two_tokens_share_an_id() -> None:
    added = AddedTokens(Vocabulary({"[UNK]": 0, "a": 2, "b": 4}), Normalizer())
    added.add([AddedToken("x"), AddedToken("y")])
    assert added.ids == {"x": 3, "y": 5}


def test_an_added_token_is_never_cut() -> None:
    assert tokens("the foxes-den!", AddedToken("foxes-den")) == ["the", "foxes-den", "!"]


def test_the_longest_of_several_is_found() -> None:
    found = tokens("<e12><e1,", AddedToken("<e1"), AddedToken("<e12>"))
    assert found == ["<e12>", "<e1", ","]


def test_a_normalized_token_is_found_in_any_case_and_accent() -> None:
    added = AddedToken("Über den")
    assert tokens("ÜBER DEN uber den", added) == ["Über den", "Über den"]
    assert "Über den" not in tokens("ÜBER DEN", AddedToken("Über den", normalized=False))


@pytest.mark.parametrize(
    ("text", "is_found"),
    [("fox", True), ("a fox!", True), ("foxes", False), ("1fox", False), ("_fox", False),
     ("fox\u0301", False), ("fox\u200d", False), ("中fox", False), ("(fox)", True)],
)  # fmt: skip
def test_a_single_word_is_not_found_within_a_word(text: str, is_found: bool) -> None:
    backend = WordPieceBackend(Vocabulary(["[UNK]"]))
    backend.add([AddedToken("fox", single_word=True, normalized=False)])
    assert ("fox" in backend.tokens(text)) == is_found


def test_stripping_tokens_swallow_white_space() -> None:
    backend = WordPieceBackend(Vocabulary(VOCABULARY))
    backend.add([AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True)])
    found = backend.pieces("a \t<l> a\n<r>\u3000 a")
    assert found.offsets == [(0, 1), (1, 6), (7, 8), (9, 14), (14, 15)]


def test_special_tokens_can_be_cut_like_text() -> None:
    backend = WordPieceBackend(Vocabulary(VOCABULARY))
    backend.add([AddedToken("[MASK]", special=True), AddedToken("<e>")])
    assert backend.tokens("a [MASK]<e>") == ["a", "[MASK]", "<e>"]
    splitting = backend.splitting_special()
    assert splitting.tokens("a [MASK]<e>")[-1] == "<e>"
    assert "[MASK]" not in splitting.tokens("a [MASK]<e>")
    assert backend.tokens("a [MASK]<e>") == ["a", "[MASK]", "<e>"]
    assert splitting.pieces("a [MASK]").ids == splitting.ids("a [MASK]")


@pytest.mark.diverges("tokenizers 0.23.3: such a token cuts every character off, or panics")
def test_a_token_of_which_nothing_is_left_is_never_found() -> None:
    assert tokens("worlds ab", AddedToken("\u0301")) == ["world", "##s", "a", "##b"]


@pytest.mark.diverges("tokenizers 0.23.3: which of them is found changes from run to run")
def test_the_first_of_two_that_are_normalized_alike_is_found() -> None:
    assert tokens("FOO foo", AddedToken("Foo"), AddedToken("foo")) == ["Foo", "Foo"]


@pytest.mark.diverges("tokenizers 0.23.3: panics, as the second token lies in what the first took")
def test_white_space_that_was_swallowed_is_not_found_again() -> None:
    backend = WordPieceBackend(Vocabulary(VOCABULARY))
    backend.add([AddedToken("<e>", rstrip=True), AddedToken("  ", lstrip=True)])
    assert backend.pieces("<e>     a").offsets == [(0, 8), (8, 9)]


@pytest.mark.diverges("transformers 4.57.6, fast: spells a token with the white space it swallowed")
def test_tokens_are_spelled_as_they_were_added() -> None:
    assert tokens("a [MASK]", AddedToken("[MASK]", lstrip=True, special=True)) == ["a", "[MASK]"]


CONTENTS = [
    "a", "ab", "abc", "New York", "é", "[X]", " [Y] ", "中", "가", "ᄀ", "<e1>", "<e>", "1", "_",
    "foo bar", "ß", "İ", "--",
]  # fmt: skip
PARTS = [
    "a", "b", "c", "A", " ", "  ", "\t", "New York", "new  york", "É", "e\u0301", "[X]", " [Y] ",
    "中", "가", "<e1>", "<e>", "1", "_", "\u0301", "\x00", "[MASK]", "[mask]", "\u3000", "İ", "ß",
    "foo bar", "\x1c", "١", "\u200d", "-", "\u1dfb", "Ⓐ", "\U00010d50",
]  # fmt: skip
TOKEN = st.builds(
    AddedToken,
    st.sampled_from(CONTENTS),
    single_word=st.booleans(),
    lstrip=st.booleans(),
    rstrip=st.booleans(),
    normalized=st.booleans(),
    special=st.booleans(),
)
CHARACTERS = vocabulary_of_characters([*CONTENTS, *PARTS])


@settings(max_examples=500, deadline=None)
@given(
    added=st.lists(TOKEN, min_size=1, max_size=5, unique_by=lambda token: token.content),
    texts=st.lists(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), min_size=1),
    lowercase=st.booleans(),
    clean=st.booleans(),
    splitting=st.booleans(),
)
def test_made_up_tokens_are_found_where_the_library_finds_them(
    added: list[AddedToken], texts: list[str], lowercase: bool, clean: bool, splitting: bool
) -> None:
    ours, library = pair(CHARACTERS, lowercase=lowercase, clean=clean, added=added)
    assert ours.vocabulary() == library.get_vocab()
    assert len(ours) == library.get_vocab_size()
    assert {id: to_library(token) for id, token in ours.added.items()} == (
        library.get_added_tokens_decoder()
    )
    if splitting:
        ours, library.encode_special_tokens = ours.splitting_special(), True
    wanted = library.encode(texts, is_pretokenized=True, add_special_tokens=False)
    assert ours.pieces_of_words(texts) == Pieces(wanted.ids, wanted.offsets, wanted.word_ids)
    assert_alike(ours, library, texts)


def test_marking_tokens_of_the_vocabulary_as_special_adds_none() -> None:
    ours, library = pair(SMALL)
    assert len(ours) == library.get_vocab_size() == len(SMALL)
    assert [ours.added[SMALL[token]].content for token in SPECIAL] == SPECIAL
