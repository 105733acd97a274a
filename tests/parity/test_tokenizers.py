"""Both tokenizers against the fast one of transformers: same answers, call for call."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from data import shared
from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.errors import DistilBertError
from words import TEXTS, VOCABULARY, real_vocabulary

transformers = pytest.importorskip("transformers")

OURS = [DistilBertTokenizerFast, DistilBertTokenizer]
ROW_VALUES = ("ids", "tokens", "offsets", "word_ids", "sequence_ids", "type_ids",
              "attention_mask", "special_tokens_mask")  # fmt: skip


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    path = real_vocabulary(folder)
    if path is None:
        path = folder / "vocab.txt"
        path.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def reference(vocab_file: Path) -> Any:
    return transformers.DistilBertTokenizerFast(str(vocab_file))


@pytest.fixture(scope="module", params=OURS, ids=["fast", "python"])
def ours(request: pytest.FixtureRequest, vocab_file: Path) -> Any:
    return request.param(str(vocab_file))


def assert_same(found: Any, wanted: Any) -> None:
    """Same names and values in the same order, and rows that lie the same in their texts."""
    assert list(found) == list(wanted)
    for name in wanted:
        if hasattr(wanted[name], "tolist"):
            assert type(found[name]) is type(wanted[name])
            assert found[name].dtype == wanted[name].dtype
            assert found[name].tolist() == wanted[name].tolist(), name
        else:
            assert found[name] == wanted[name], name
    if wanted.encodings is not None:
        assert len(found.encodings) == len(wanted.encodings)
        for one, other in zip(found.encodings, wanted.encodings, strict=True):
            for name in ROW_VALUES:
                assert getattr(one, name) == getattr(other, name), name


EVERYTHING = {
    "return_token_type_ids": True,
    "return_special_tokens_mask": True,
    "return_offsets_mapping": True,
    "return_length": True,
}
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "one text": (("Hello world, the quick",), {}),
    "one text with everything": (("Hello world, the quick",), EVERYTHING),
    "one pair": (("Hello world", "the lazy dogs"), EVERYTHING),
    "a batch": ((["Hello", "the quick brown fox", ""],), EVERYTHING),
    "a batch of pairs": ((["Hello", "the quick"], ["fox", "jumped over"]), EVERYTHING),
    "pairs in one list": (([("Hello", "fox"), ("the quick", "jumped over")],), EVERYTHING),
    "lists of two": (([["Hello", "fox"], ["the quick", "jumped over"]],), {}),
    "words": ((["Hello", "worlds", "", "a-b"],), {"is_split_into_words": True, **EVERYTHING}),
    "no words": (([],), {"is_split_into_words": True}),
    "a batch of words": (
        ([["Hello", "worlds"], [], ["jumping"]],),
        {"is_split_into_words": True, "padding": True, **EVERYTHING},
    ),
    "a batch of pairs of words": (
        ([["Hello", "worlds"], ["fox"]], [["a"], ["jumping", "over"]]),
        {"is_split_into_words": True, "padding": True, **EVERYTHING},
    ),
    "padded right": ((["Hello", "the quick brown fox"],), {"padding": True}),
    "padded left": (
        (["Hello", "the quick brown fox"], ["a", "b"]),
        {"padding": "longest", "padding_side": "left", **EVERYTHING},
    ),
    "padded to a maximum": (
        (["Hello", "the quick brown fox"],),
        {"padding": "max_length", "max_length": 5},
    ),
    "padded and cut": (
        (["Hello", "the quick brown fox"],),
        {"padding": "max_length", "max_length": 5, "truncation": True, "return_tensors": "pt"},
    ),
    "padded to a multiple": (
        (["Hello", "the quick brown fox"],),
        {"padding": True, "pad_to_multiple_of": 8, "return_tensors": "np", **EVERYTHING},
    ),
    "one padded": (("Hello",), {"padding": "max_length", "max_length": 7}),
    "tensors of one": (("Hello world",), {"return_tensors": "pt"}),
    "windows of one": (
        ("the quick brown fox jumped over",),
        {"truncation": True, "max_length": 5, "stride": 1, "return_overflowing_tokens": True},
    ),
    "windows of a batch in tensors": (
        (["the quick brown fox jumped over", "Hello"],),
        {
            "truncation": True,
            "max_length": 6,
            "stride": 2,
            "padding": True,
            "return_tensors": "pt",
            "return_overflowing_tokens": True,
            **EVERYTHING,
        },
    ),
    "windows without truncation": ((["a", "b c"],), {"return_overflowing_tokens": True}),
    "windows of second texts": (
        (["who jumped", "what"], ["the quick brown fox jumped over the lazy dog", "a b"]),
        {
            "truncation": "only_second",
            "max_length": 12,
            "stride": 2,
            "return_overflowing_tokens": True,
            **EVERYTHING,
        },
    ),
    "windows of both": (
        ("the quick brown fox jumped over", "Hello world in the city of york"),
        {
            "truncation": "longest_first",
            "max_length": 9,
            "stride": 1,
            "return_overflowing_tokens": True,
            **EVERYTHING,
        },
    ),
    "first text cut": (
        ("the quick brown fox jumped over", "Hello world"),
        {"truncation": "only_first", "max_length": 8},
    ),
    "max_length alone": (("the quick brown fox jumped over",), {"max_length": 5}),
    "no special tokens": (
        (["Hello [MASK] world"], ["fox"]),
        {"add_special_tokens": False, **EVERYTHING},
    ),
    "no attention mask": (("Hello",), {"return_attention_mask": False}),
    "targets too": (("Hello",), {"text_target": "world the"}),
    "targets only": ((), {"text_target": ["world the", "a"], "text_pair_target": ["x", "y"]}),
    "split special tokens": (("a [MASK] b [SEP]",), {"split_special_tokens": True, **EVERYTHING}),
    "no room": (("Hello world",), {"truncation": True, "max_length": 2}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
def test_calls_answer_the_same(name: str, ours: Any, reference: Any) -> None:
    arguments, options = CALLS[name]
    assert_same(ours(*arguments, **options), reference(*arguments, **options))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("max_length", range(8, 20))
def test_every_strategy_cuts_the_same(
    strategy: str, side: str, max_length: int, vocab_file: Path, ours: Any, reference: Any
) -> None:
    first, second = "the quick brown fox jumps over", "hello world in new york and over the dog"
    options = {"truncation": strategy, "max_length": max_length, **EVERYTHING}
    ours.truncation_side = reference.truncation_side = side
    try:
        for stride in (0, 1):
            for overflow in (False, True):
                more = {"stride": stride, "return_overflowing_tokens": overflow}
                try:
                    wanted = reference(first, second, **options, **more)
                except BaseException as error:  # also the panics of the library
                    if type(error).__name__ not in ("Exception", "PanicException"):
                        raise
                    if overflow or "too short" in str(error):
                        with pytest.raises(DistilBertError):
                            ours(first, second, **options, **more)
                    continue
                assert_same(ours(first, second, **options, **more), wanted)
    finally:
        ours.truncation_side = reference.truncation_side = "right"


@pytest.mark.parametrize(
    "options",
    [{"do_lower_case": False}, {"strip_accents": False}, {"strip_accents": True,
     "do_lower_case": False}, {"tokenize_chinese_chars": False}],
    ids=str,
)  # fmt: skip
def test_steps_clean_and_cut_the_same(options: dict[str, Any], small_file: Path) -> None:
    wanted = transformers.DistilBertTokenizerFast(str(small_file), **options)(TEXTS)
    for kind in OURS:
        assert_same(kind(str(small_file), **options)(TEXTS), wanted)


def test_maps_lead_to_the_same_places(ours: Any, reference: Any) -> None:
    texts = ["Hello jumping world", "a naïve café"], ["the lazy dogs!", "unaffable 中国"]
    found, wanted = ours(*texts, padding=True), reference(*texts, padding=True)
    assert found.is_fast
    assert found.n_sequences == wanted.n_sequences == 2
    for row in range(2):
        assert found.tokens(row) == wanted.tokens(row)
        assert found.word_ids(row) == wanted.word_ids(row)
        assert found.sequence_ids(row) == wanted.sequence_ids(row)
        for token in range(len(found.tokens(row))):
            assert found.token_to_sequence(row, token) == wanted.token_to_sequence(row, token)
            assert found.token_to_word(row, token) == wanted.token_to_word(row, token)
            assert found.token_to_chars(row, token) == wanted.token_to_chars(row, token)
        for text in range(2):
            for place in range(25):
                assert found.char_to_token(row, place, text) == wanted.char_to_token(
                    row, place, text
                )
                assert found.char_to_word(row, place, text) == wanted.char_to_word(row, place, text)
                span = wanted.word_to_tokens(row, place, text)
                assert found.word_to_tokens(row, place, text) == span
                if span is not None:
                    chars = wanted.word_to_chars(row, place, text)
                    assert found.word_to_chars(row, place, text) == chars


def _squad() -> Iterator[tuple[str, str]]:
    path = shared("squad/dev-v1.1.half_a.json.gz")
    if path is None:
        for text in TEXTS:
            yield "who jumped?", text * 30
        return
    for article in json.loads(gzip.decompress(path.read_bytes()))["data"]:
        for paragraph in article["paragraphs"]:
            yield paragraph["qas"][0]["question"], paragraph["context"]


def test_squad_windows_are_the_same(ours: Any, reference: Any) -> None:
    pairs = list(_squad())
    options = {
        "truncation": "only_second",
        "max_length": 128,
        "stride": 32,
        "padding": "max_length",
        "return_overflowing_tokens": True,
        "return_offsets_mapping": True,
    }
    for start in range(0, len(pairs), 64):
        questions, contexts = map(list, zip(*pairs[start : start + 64], strict=True))
        assert_same(ours(questions, contexts, **options), reference(questions, contexts, **options))


@pytest.mark.skipif(shared("tok") is None, reason="the texts are not beside the repository")
def test_hostile_and_human_texts_are_the_same(ours: Any, reference: Any) -> None:
    blns = shared("tok/blns.json")
    udhr = shared("tok/udhr2.zip")
    assert blns is not None
    assert udhr is not None
    texts = json.loads(blns.read_text(encoding="utf-8"))
    with zipfile.ZipFile(udhr) as archive:
        for name in archive.namelist()[::8]:
            if name.endswith(".txt"):
                texts.append(archive.read(name).decode("utf-8", errors="replace")[:3000])
    options = {"truncation": True, "max_length": 64, "stride": 7, **EVERYTHING}
    found = ours(texts, return_overflowing_tokens=True, **options)
    assert_same(found, reference(texts, return_overflowing_tokens=True, **options))


_ALPHABET = st.sampled_from(
    [*"abcdeghijklnorstuwxyz", *" .,!?-'\"()", *"éßİıçñ", "中", "国", "ｱ", "\u0301", "\u200d", "😀",
     "\n", "\t", "\u00a0", " the ", " jumping ", "[MASK]", "[SEP]", "[mask]", "##s",
     " hello world "]
)  # fmt: skip
TEXT = st.lists(_ALPHABET, max_size=25).map("".join) | st.text(
    st.characters(exclude_categories=("Cs",)), max_size=20
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "add_special_tokens": st.booleans(),
        "padding": st.sampled_from([True, False, "longest", "max_length", "do_not_pad"]),
        "truncation": st.sampled_from(
            [True, False, None, "longest_first", "only_first", "only_second", "do_not_truncate"]
        ),
        "max_length": st.integers(5, 24),
        "stride": st.integers(0, 3),
        "pad_to_multiple_of": st.sampled_from([None, 4]),
        "padding_side": st.sampled_from(["left", "right"]),
        "return_token_type_ids": st.booleans(),
        "return_attention_mask": st.booleans(),
        "return_overflowing_tokens": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_offsets_mapping": st.booleans(),
        "return_length": st.booleans(),
        "split_special_tokens": st.booleans(),
    },
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), options=OPTIONS, data=st.data()
)
@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
def test_made_up_calls_are_the_same(
    rows: list[tuple[str, str]], options: dict[str, Any], data: Any, ours: Any, reference: Any
) -> None:
    form = data.draw(st.sampled_from(["one", "pair", "batch", "pairs", "words", "pairs of words"]))
    firsts, seconds = map(list, zip(*rows, strict=True))
    arguments: dict[str, tuple[Any, ...]] = {
        "one": (firsts[0],),
        "pair": (firsts[0], seconds[0]),
        "batch": (firsts,),
        "pairs": (firsts, seconds),
        "words": ([text.split(" ") for text in firsts],),
        "pairs of words": (
            [text.split(" ") for text in firsts],
            [text.split(" ") for text in seconds],
        ),
    }
    assume(form != "pair" or seconds[0])  # a difference, pinned below
    if "words" in form:
        options = {**options, "is_split_into_words": True}
    try:
        wanted = reference(*arguments[form], **options)
    except BaseException as error:  # also the panics of the library
        if type(error).__name__ not in ("Exception", "PanicException", "ValueError"):
            raise
        if options.get("return_overflowing_tokens") or options.get("stride", 0) == 0:
            with pytest.raises(DistilBertError):
                ours(*arguments[form], **options)
        return
    assert_same(ours(*arguments[form], **options), wanted)
