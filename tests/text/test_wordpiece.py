"""The Python tokenizer's inside: text to ids, offsets and words."""

import copy
import gzip
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import shared
from distilbert.errors import InputError
from distilbert.text import wordpiece
from distilbert.text.added import AddedToken
from distilbert.text.pieces import Backend, Pieces
from distilbert.text.vocabulary import Vocabulary
from distilbert.text.wordpiece import WordPieceBackend
from library import assert_alike, pair, vocabulary_of_characters
from words import TEXTS, VOCABULARY

SMALL = {token: id for id, token in enumerate(VOCABULARY)}
STEPS = [
    {"lowercase": lowercase, "strip_accents": strip, "chinese": chinese}
    for lowercase, strip, chinese in product((True, False), (None, True, False), (True, False))
]


def backend(**options: Any) -> WordPieceBackend:
    return WordPieceBackend(Vocabulary(VOCABULARY), **options)


def test_pieces_say_where_they_lie_and_of_which_word_they_are() -> None:
    found = backend().pieces("Hello worlds, foxes!")
    assert found == Pieces(
        ids=[SMALL[token] for token in ["hello", "world", "##s", ",", "fox", "##e", "##s", "!"]],
        offsets=[(0, 5), (6, 11), (11, 12), (12, 13), (14, 17), (17, 18), (18, 19), (19, 20)],
        words=[0, 1, 1, 2, 3, 3, 3, 4],
    )


def test_it_is_a_backend() -> None:
    tokenizer: Backend = backend()
    assert tokenizer.tokens("worlds") == ["world", "##s"]
    assert tokenizer.batch(["a", ""]) == [tokenizer.pieces("a"), Pieces([], [], [])]
    assert tokenizer.batch_ids(["a", ""]) == [tokenizer.ids("a"), []]
    assert tokenizer.batch_of_words([["a"], []]) == [
        tokenizer.pieces_of_words(["a"]),
        Pieces([], [], []),
    ]


def test_a_piece_is_the_longest_that_fits() -> None:
    tokenizer = WordPieceBackend(Vocabulary(["[UNK]", "un", "una", "##a", "##aff", "##ble"]))
    assert tokenizer.tokens("unaffble unaffable") == ["[UNK]", "[UNK]"]  # una leaves ffble
    assert tokenizer.tokens("unaff unaaff") == ["[UNK]", "una", "##aff"]


def test_a_word_that_cannot_be_pieced_is_unknown_as_a_whole() -> None:
    found = backend().pieces("the wor€ld!")
    assert found.ids == [SMALL["the"], SMALL["[UNK]"], SMALL["!"]]
    assert found.offsets == [(0, 3), (4, 10), (10, 11)]


@pytest.mark.parametrize(("length", "known"), [(99, True), (100, True), (101, False)])
def test_overlong_word_becomes_unknown(length: int, known: bool) -> None:
    found = backend().pieces("x" * length)
    assert (SMALL["[UNK]"] not in found.ids) == known
    assert found.offsets[-1][1] == length


def test_the_limit_counts_normalized_characters() -> None:
    tokenizer = backend(max_chars=3)
    assert tokenizer.tokens("the e\u0301e\u0301e\u0301 hello") == [
        "the",
        "e",
        "##e",
        "##e",
        "[UNK]",
    ]


@pytest.mark.parametrize("prefix", ["##", "@@", "_", ""])
def test_the_prefix_marks_what_goes_on_a_word(prefix: str) -> None:
    tokens = dict.fromkeys(["[UNK]", "a", "b", f"{prefix}b", f"{prefix}c"])
    vocabulary = {token: id for id, token in enumerate(tokens)}
    ours, library = pair({**vocabulary, "[PAD]": 7, "[CLS]": 8, "[SEP]": 9, "[MASK]": 10},
                         prefix=prefix)  # fmt: skip
    assert_alike(ours, library, ["ab", "abc", "ba", "c", "bb a", "@@b", "_c"])
    assert ours.tokens("abc") == ["a", f"{prefix}b", f"{prefix}c"]


@pytest.mark.parametrize("steps", STEPS, ids=str)
@pytest.mark.parametrize("clean", [True, False])
def test_texts_become_what_they_do_in_the_library(steps: dict[str, Any], clean: bool) -> None:
    assert_alike(*pair(SMALL, clean=clean, **steps), TEXTS)
    assert_alike(*pair(vocabulary_of_characters(TEXTS), clean=clean, **steps), TEXTS)


_PARTS = st.sampled_from(
    [*"abzAZ09.,!?'()[]#_-$ \t\n", *"éÉİıßΣςſǕ", *"中国가각ｱ。ﬁ①😀", "\u0301", "\u0323", "\u1dfb",
     "\u200d", "\ufe0f", "\u1b44", "\u302e", "\U0001d15e", "\u3000", "\u2028", "\x85", "\x1c",
     "\x00", "\ufffd", "\u00ad", "👩‍👩‍👧‍👦", "hello ", " World", "[MASK]", "[mask]", "##s",
     "\x0b", "x" * 60]
)  # fmt: skip
TEXT = st.lists(_PARTS, max_size=20).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=5), steps=st.sampled_from(STEPS),
       clean=st.booleans(), max_chars=st.sampled_from([2, 100]))  # fmt: skip
def test_made_up_texts_become_what_they_do_in_the_library(
    texts: list[str], steps: dict[str, Any], clean: bool, max_chars: int
) -> None:
    options = {**steps, "clean": clean, "max_chars": max_chars}
    ours, library = pair(vocabulary_of_characters(texts), **options)
    assert_alike(ours, library, texts)
    wanted = library.encode(texts, is_pretokenized=True, add_special_tokens=False)
    assert ours.pieces_of_words(texts) == Pieces(wanted.ids, wanted.offsets, wanted.word_ids)
    assert_alike(*pair(SMALL, **options), texts)


def _lines() -> Iterator[str]:
    """Every line of the texts beside the repository, and the strings that Unicode's tests spell."""
    folder = shared("tok")
    assert folder is not None
    with zipfile.ZipFile(folder / "udhr2.zip") as archive:
        for name in archive.namelist():
            yield from archive.read(name).decode().split("\n")
    yield from json.loads((folder / "blns.json").read_text(encoding="utf-8"))
    yield from (folder / "blns.txt").read_bytes().decode().split("\n")
    for path in sorted((folder / "unicode").iterdir()):
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().split("\n")
        yield from lines
        yield from filter(None, map(_spelled, lines))


def _spelled(line: str) -> str:
    """What a line of Unicode's tests spells in hexadecimal numbers, its fields side by side."""
    fields = line.partition("#")[0].replace(";", " 20 ")
    try:
        codes = [int(number, 16) for number in re.split(r"[\s÷×]+", fields) if number]
    except ValueError:
        return ""
    return "".join(map(chr, codes)) if all(_is_character(code) for code in codes) else ""


def _is_character(code: int) -> bool:
    return code < 0xD800 or 0xE000 <= code < 0x110000


@pytest.fixture(scope="module")
def real() -> dict[str, int]:
    packed = shared("tok/bert-base-uncased-vocab.txt.gz")
    assert packed is not None
    lines = gzip.decompress(packed.read_bytes()).decode().split("\n")[:-1]
    return {token: id for id, token in enumerate(lines)}


beside = pytest.mark.skipif(shared("tok") is None, reason="the texts are not beside the repository")


@beside
def test_every_line_of_the_world_becomes_what_it_does_in_the_library(real: dict[str, int]) -> None:
    assert_alike(*pair(real), dict.fromkeys(_lines()))


@beside
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_all_steps_do_to_some_of_the_world_what_they_do_in_the_library(
    number: int, real: dict[str, int]
) -> None:
    some = list(dict.fromkeys(_lines()))[number :: 4 * len(STEPS)]
    assert_alike(*pair(real, **STEPS[number]), some)
    assert_alike(*pair(vocabulary_of_characters(some), **STEPS[number]), some)


@beside
def test_contexts_of_questions_become_what_they_do_in_the_library(real: dict[str, int]) -> None:
    path = shared("squad/dev-v1.1.half_a.json.gz")
    assert path is not None
    articles = json.loads(gzip.decompress(path.read_bytes()))["data"]
    contexts = [part["context"] for article in articles for part in article["paragraphs"]]
    assert len(contexts) > 500
    assert_alike(*pair(real), contexts)


@pytest.mark.parametrize("text", ["a \ud800", "\udc00", "the x\udfffy!"], ids=ascii)
@pytest.mark.parametrize("options", [{}, {"basic": False}, {"never_split": ["a"]}], ids=str)
def test_a_lone_surrogate_is_refused_every_time(text: str, options: dict[str, Any]) -> None:
    tokenizer = backend(**options)
    for _ in range(2):
        for ask in (tokenizer.ids, tokenizer.pieces, tokenizer.tokens):
            with pytest.raises(InputError, match="lone surrogate, U\\+D"):
                ask(text)
        with pytest.raises(InputError, match="lone surrogate"):
            tokenizer.pieces_of_words(["the", text])


def test_offsets_of_words_are_counted_within_each_word() -> None:
    found = backend().pieces_of_words(["Hello", "", " worlds a", "fox"])
    assert found.offsets == [(0, 5), (1, 6), (6, 7), (8, 9), (0, 3)]
    assert found.words == [0, 2, 2, 2, 3]


def test_without_basic_steps_only_white_space_cuts() -> None:
    tokenizer = backend(basic=False)
    found = tokenizer.pieces("hello  worlds\x1cHello hello, ##s é")
    assert [tokenizer.id_token(id) for id in found.ids] == [
        "hello", "world", "##s", "Hello", "[UNK]", "##s", "é",
    ]  # fmt: skip
    assert found.offsets == [(0, 5), (7, 12), (12, 13), (14, 19), (20, 26), (27, 30), (31, 32)]
    assert found.words == [0, 1, 1, 2, 3, 4, 5]


def test_words_never_to_split_are_one_piece_or_unknown() -> None:
    plain, keeping = backend(), backend(never_split=["worlds", "a-b", "hello"])
    assert plain.tokens("worlds a-b hello!") == ["world", "##s", "a", "-", "b", "hello", "!"]
    assert keeping.tokens("worlds a-b hello!") == ["[UNK]", "[UNK]", "hello", "!"]
    assert keeping.pieces("a-b worlds").offsets == [(0, 3), (4, 10)]


def test_a_word_never_to_split_is_kept_between_punctuation_too() -> None:
    assert backend(never_split=["worlds"]).tokens("(worlds)") == ["(", "[UNK]", ")"]


def test_words_never_to_split_are_looked_for_in_lower_case_if_letters_are_lowered() -> None:
    assert backend(never_split=["a-b"]).tokens("A-B") == ["[UNK]"]
    assert backend(never_split=["A-B"]).tokens("A-B") == ["a", "-", "b"]
    assert backend(never_split=["A-B"], lowercase=False).tokens("A-B") == ["[UNK]"]


def test_a_kept_word_is_looked_for_with_and_without_its_accents() -> None:
    assert backend(never_split=["é"]).tokens("e\u0301 é e") == ["é", "é", "e"]
    assert backend(never_split=["é"]).pieces("e\u0301 é").offsets == [(0, 2), (3, 4)]
    assert backend(never_split=["a-e"]).tokens("a-é") == ["[UNK]"]


def test_kept_words_are_kept_beside_added_tokens() -> None:
    tokenizer = backend(never_split=["a-b"])
    tokenizer.add([AddedToken("New York"), AddedToken("[MASK]", special=True)])
    found = tokenizer.pieces("a-b new york[MASK]a-b")
    assert [tokenizer.id_token(id) for id in found.ids] == [
        "[UNK]",
        "New York",
        "[MASK]",
        "[UNK]",
    ]
    assert found.offsets == [(0, 3), (4, 12), (12, 18), (18, 21)]
    assert tokenizer.ids("a-b new york[MASK]a-b") == found.ids


@pytest.mark.parametrize(
    "text", ["a\x1cb", "hello\x85 world", "a\x0b\x0cb c", "\x1f", "the \x1d fox"], ids=ascii
)
def test_white_space_of_python_alone_joins_words(text: str) -> None:
    ours, library = pair(SMALL)
    assert_alike(ours, library, [text, text])


def test_pieces_and_ids_agree_when_remembered_and_when_new() -> None:
    text = " ".join(TEXTS)
    remembering = backend()
    remembering.ids(text)
    for tokenizer in (remembering, backend()):
        assert tokenizer.pieces(text).ids == tokenizer.ids(text) == backend().pieces(text).ids


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "_CHUNKS", 3)
    tokenizer = backend()
    for text in ["a b c d e f g", "h i", "x" * 1000]:
        assert tokenizer.ids(text) == backend().ids(text)
        assert tokenizer.pieces(text) == backend().pieces(text)
        assert len(tokenizer._ids_of) <= 3
        assert len(tokenizer._pieces_of) <= 3
    assert "x" * 1000 not in tokenizer._ids_of


def test_a_changed_answer_does_not_change_the_next() -> None:
    tokenizer = backend()
    first = tokenizer.pieces("worlds a")
    first.ids.clear()
    first.offsets.append((9, 9))
    tokenizer.ids("worlds a").clear()
    assert tokenizer.pieces("worlds a") == backend().pieces("worlds a")
    assert tokenizer.ids("worlds a") == backend().ids("worlds a")


def test_copies_tokenize_alike_and_apart() -> None:
    tokenizer = backend(lowercase=False, chinese=False, never_split=["a-b"], max_chars=20)
    tokenizer.add([AddedToken("<e>", lstrip=True), AddedToken("[MASK]", special=True)])
    text = " Hello <e>中国 a-b Über [MASK] " + "x" * 25
    wanted = tokenizer.pieces(text)
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert other.pieces(text) == wanted
        assert other.added == tokenizer.added
        other.add([AddedToken("Hello")])
        assert len(other) == len(tokenizer)
        assert other.added != tokenizer.added
    assert tokenizer.pieces(text) == wanted


def test_threads_share_one_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "_CHUNKS", 16)  # so that all of them forget all the time
    texts = [" ".join(TEXTS[at:]) for at in range(len(TEXTS))]
    wanted = [backend().pieces(text) for text in texts]
    tokenizer = backend()

    def work(_: int) -> list[Pieces]:
        assert tokenizer.batch_ids(texts) == [pieces.ids for pieces in wanted]
        return tokenizer.batch(texts)

    with ThreadPoolExecutor(8) as pool:
        assert all(found == wanted for found in pool.map(work, range(32)))


def test_a_vocabulary_with_gaps_works(tmp_path: Path) -> None:
    tokenizer = WordPieceBackend(Vocabulary({"[UNK]": 50, "a": 7, "##b": 900}))
    assert tokenizer.ids("ab c") == [7, 900, 50]
    assert tokenizer.id_token(900) == "##b"
    assert tokenizer.id_token(1) is None
    assert tokenizer.token_id("b") is None
    assert len(tokenizer) == 3
