"""What a call answers, and what it refuses; tests/parity compares with transformers."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.errors import DistilBertError, InputError, TokenizerError
from words import TEXTS, VOCABULARY

CLS, SEP, PAD = 2, 3, 0
EVERYTHING = {
    "return_token_type_ids": True,
    "return_special_tokens_mask": True,
    "return_offsets_mapping": True,
    "return_length": True,
}


def test_both_tokenizers_answer_the_same() -> None:
    fast, python = DistilBertTokenizerFast(VOCABULARY), DistilBertTokenizer(VOCABULARY)
    for options in (
        {},
        {"padding": True, "padding_side": "left", "return_tensors": "np"},
        {"truncation": True, "max_length": 6, "stride": 1, "return_overflowing_tokens": True},
        {"split_special_tokens": True, "add_special_tokens": False},
    ):
        one, other = (made(TEXTS, **options, **EVERYTHING) for made in (fast, python))
        assert list(one) == list(other)
        for name in one:
            assert repr(one[name]) == repr(other[name]), name
        assert [row.word_ids for row in one.encodings] == [row.word_ids for row in other.encodings]
        assert [row.tokens for row in one.encodings] == [row.tokens for row in other.encodings]


def test_token_type_ids_come_only_when_asked(tokenizer: Any) -> None:
    assert list(tokenizer("a")) == ["input_ids", "attention_mask"]
    found = tokenizer("a", "the", return_token_type_ids=True)
    assert found["token_type_ids"] == [0, 0, 0, 1, 1]


def test_offsets_point_into_the_text_as_given(tokenizer: Any) -> None:
    text = "  Naïve CAFÉ, 中国!"
    found = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    spans = [text[start:end] for start, end in found["offset_mapping"]]
    assert spans == ["Naïve", "CAFÉ", ",", "中", "国", "!"]


def test_offsets_of_given_words_point_into_the_word(tokenizer: Any) -> None:
    found = tokenizer(["jumps", "a"], is_split_into_words=True, return_offsets_mapping=True)
    assert found.tokens() == ["[CLS]", "jump", "##s", "a", "[SEP]"]
    assert found["offset_mapping"] == [(0, 0), (0, 4), (4, 5), (0, 1), (0, 0)]
    assert found.word_ids() == [None, 0, 0, 1, None]


def test_windows_say_which_text_they_are_of(tokenizer: Any) -> None:
    found = tokenizer(
        ["the quick brown fox", "a"],
        truncation=True,
        max_length=4,
        stride=1,
        return_overflowing_tokens=True,
    )
    assert found["overflow_to_sample_mapping"] == [0, 0, 0, 1]
    assert [len(ids) for ids in found["input_ids"]] == [4, 4, 4, 3]


def test_what_is_asked_later_is_what_was_encoded(tokenizer: Any) -> None:
    found = tokenizer("jumping over")
    assert found.token_to_chars(2) == (4, 7)
    assert found.word_to_tokens(1) == (3, 4)
    assert found.char_to_token(5) == 2


def test_a_text_in_which_an_added_token_was_found_since_is_not_answered_wrongly(
    tokenizer: Any,
) -> None:
    touched, untouched = tokenizer("jumping over"), tokenizer("a fox")
    tokenizer.add_tokens(["jumping"])
    with pytest.raises(InputError, match="has changed since"):
        touched.word_ids()
    assert untouched.word_ids() == [None, 0, 1, None]


def test_ids_and_tokens_are_taken_as_they_are(tokenizer: Any) -> None:
    ids = tokenizer.convert_tokens_to_ids(["jump", "##s"])
    assert tokenizer.encode(ids) == tokenizer.encode(["jump", "##s"]) == [CLS, *ids, SEP]
    assert tokenizer.encode_plus(ids, [8])["input_ids"] == [CLS, *ids, SEP, 8, SEP]
    many = tokenizer.batch_encode_plus([(ids, [8]), ([5], ["a"])], padding=True)
    assert many["input_ids"][0] == [CLS, *ids, SEP, 8, SEP]
    with pytest.raises(InputError, match="made from ids, not from text"):
        tokenizer.encode_plus(ids).word_ids()
    with pytest.raises(InputError, match="made from ids, not from text"):
        tokenizer.encode_plus(ids, return_offsets_mapping=True)


@pytest.mark.diverges("transformers 4.57.6: its fast tokenizer drops an empty second text here")
def test_an_empty_second_text_is_a_second_text_alone_as_in_a_batch(tokenizer: Any) -> None:
    alone = tokenizer("a", "")
    assert alone["input_ids"] == tokenizer(["a"], [""])["input_ids"][0]
    assert alone.tokens() == ["[CLS]", "a", "[SEP]", "[SEP]"]


@pytest.mark.diverges("transformers 4.57.6: negative token numbers are an AttributeError")
def test_negative_token_numbers_count_from_the_end(tokenizer: Any) -> None:
    found = tokenizer("jumping over")
    assert found.token_to_word(-2) == 1
    assert found.token_to_chars(0, -2) == (8, 12)


BAD_CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "nothing": ((), {}, "give text or text_target"),
    "None": ((None,), {}, "give text or text_target"),
    "an empty batch": (([],), {}, "empty batch"),
    "an empty batch of pairs": (([], []), {}, "empty batch"),
    "None in a batch": ((["a", None],), {}, r"text\[1\] is None"),
    "None in a batch of pairs": ((["a"], [None]), {}, r"text_pair\[0\] is None"),
    "a number": ((5,), {}, "text is of type int"),
    "bytes": ((b"a",), {}, "text is of type bytes"),
    "a number in a batch": ((["a", 5],), {}, r"text\[1\] is of type int"),
    "ids": (([[1, 2]],), {}, r"text\[0\] is a list"),
    "words without saying so": (([["a", "b", "c"]],), {}, "is_split_into_words=True"),
    "a string as words": (("a b",), {"is_split_into_words": True}, "list of words"),
    "a number among words": ((["a", 5],), {"is_split_into_words": True}, "list of words"),
    "strings among lists of words": (
        ([["a"], "b"],),
        {"is_split_into_words": True},
        r"text\[1\]",
    ),
    "unequal batches": ((["a", "b"], ["c"]), {}, "2 texts and text_pair 1"),
    "a batch with one second text": ((["a", "b"], "c"), {}, "text_pair is of type str"),
    "a lone surrogate": (("a\ud800b",), {}, r"lone surrogate.*character 1"),
    "a lone surrogate in a batch": ((["a", "b\udc00"],), {}, r"text\[1\] holds a lone surrogate"),
    "a lone surrogate in a second text": (
        (["a", "b"], ["c", "\ud800"]),
        {},
        r"text_pair\[1\] holds a lone surrogate",
    ),
    "a lone surrogate among words": (
        (["a", "\ud800"],),
        {"is_split_into_words": True},
        "surrogate",
    ),
    "unknown padding": (("a",), {"padding": "all"}, "padding='all'"),
    "unknown truncation": (("a",), {"truncation": "middle"}, "truncation='middle'"),
    "unknown side": (("a",), {"padding_side": "top"}, "padding_side='top'"),
    "unknown tensors": (("a",), {"return_tensors": "tf"}, "return_tensors='tf'"),
    "a negative length": (("a",), {"max_length": -1}, "max_length=-1"),
    "a length in words": (("a",), {"max_length": "10"}, "max_length='10'"),
    "half a stride": (("a",), {"stride": 0.5}, "stride=0.5"),
    "a multiple of nothing": (("a",), {"pad_to_multiple_of": 0}, "pad_to_multiple_of=0"),
    "no room for special tokens": (
        ("a",),
        {"truncation": True, "max_length": 1},
        "too small for the 2 special tokens",
    ),
    "a stride that fills the row": (
        ("a b c",),
        {"truncation": True, "max_length": 5, "stride": 4},
        "stride=4 is more than the 3 tokens",
    ),
    "a maximum that is no multiple": (
        ("a",),
        {"truncation": True, "padding": True, "max_length": 7, "pad_to_multiple_of": 4},
        "multiple of 4",
    ),
    "tensors of unequal rows": ((["a", "a b"],), {"return_tensors": "pt"}, "padding=True"),
    "no second text to cut": (
        ("a b c d",),
        {"truncation": "only_second", "max_length": 4},
        "no second text",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_one_clear_error(name: str, tokenizer: Any) -> None:
    arguments, options, message = BAD_CALLS[name]
    with pytest.raises(InputError, match=message):
        tokenizer(*arguments, **options)
    assert tokenizer("a")["input_ids"] == [CLS, VOCABULARY.index("a"), SEP]


@pytest.mark.diverges("transformers 4.57.6, Python: logs unknown options and goes on")
def test_an_unknown_option_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(TypeError, match="pad_to_max_length"):
        tokenizer("a", pad_to_max_length=True)
    with pytest.raises(TypeError, match="pad_to_max_length"):
        tokenizer.encode_plus("a", pad_to_max_length=True)


def test_padding_without_a_pad_token_is_an_error(tokenizer: Any) -> None:
    tokenizer.pad_token = None
    with pytest.raises(InputError, match=r"no pad_token.*add_special_tokens"):
        tokenizer(["a"], padding=True)


def test_a_template_without_its_tokens_is_an_error(tokenizer: Any) -> None:
    tokenizer.cls_token = None
    with pytest.raises(TokenizerError, match="no cls_token"):
        tokenizer("a")
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == [VOCABULARY.index("a")]


@pytest.mark.diverges("transformers 4.57.6: its fast tokenizer keeps the template it was made with")
def test_the_template_follows_cls_token_and_sep_token(tokenizer: Any) -> None:
    tokenizer.cls_token, tokenizer.sep_token = "fox", "dog"
    assert tokenizer("a").tokens() == ["fox", "a", "dog"]
    tokenizer.add_special_tokens({"cls_token": "<s>"})
    assert tokenizer("a")["input_ids"][0] == len(VOCABULARY)


@pytest.mark.diverges("transformers 4.57.6: the library panics, though no window needs the stride")
def test_a_stride_matters_only_where_windows_are_asked(tokenizer: Any) -> None:
    options = {"truncation": "only_second", "max_length": 7, "stride": 2}
    assert len(tokenizer("a b", "the quick fox jumped", **options)["input_ids"]) == 7
    with pytest.raises(InputError, match="stride=2"):
        tokenizer("a b", "the quick fox jumped", return_overflowing_tokens=True, **options)


@pytest.mark.diverges("transformers 4.57.6: gives the whole text as one overlong window")
def test_windows_without_any_room_are_an_error(tokenizer: Any) -> None:
    options = {"truncation": True, "max_length": 2}
    assert tokenizer("a b", **options)["input_ids"] == [CLS, SEP]
    with pytest.raises(InputError, match="the 0 tokens"):
        tokenizer("a b", return_overflowing_tokens=True, **options)


def test_an_overlong_text_is_said_once(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = kind(VOCABULARY, model_max_length=4)
    with caplog.at_level(logging.WARNING, "distilbert"):
        assert len(tokenizer("a a a a", verbose=False)["input_ids"]) == 6
        tokenizer("a a", truncation=True)
        assert not caplog.records
        tokenizer("a a a a")
        tokenizer("a a a a a")
    assert [record.getMessage() for record in caplog.records] == [
        "a row has 6 tokens, and the model takes 4: pass truncation=True to cut it, and "
        "return_overflowing_tokens=True to have the rest in windows"
    ]


def test_the_longest_length_is_the_maximum_where_none_is_given(kind: Any) -> None:
    tokenizer = kind(VOCABULARY, model_max_length=4)
    assert len(tokenizer("a a a a", truncation=True)["input_ids"]) == 4
    assert tokenizer("a", padding="max_length")["input_ids"][3:] == [PAD]


def test_without_any_maximum_nothing_is_cut_or_padded_and_that_is_said(
    tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "distilbert"):
        found = tokenizer("a a", truncation=True, padding="max_length")
    assert len(found["input_ids"]) == 4
    assert "no max_length was given" in caplog.text


def test_threads_get_the_answers_of_their_own_calls(tokenizer: Any) -> None:
    def work(number: int) -> bool:
        side, split = ("left", True) if number % 2 else ("right", False)
        for text in TEXTS:
            found = tokenizer(
                text + " [MASK]",
                padding="max_length",
                max_length=12,
                truncation=True,
                padding_side=side,
                split_special_tokens=split,
            )
            expected = alone[text, side]
            if found["input_ids"] != expected:
                return False
        return True

    alone = {
        (text, side): tokenizer(
            text + " [MASK]",
            padding="max_length",
            max_length=12,
            truncation=True,
            padding_side=side,
            split_special_tokens=side == "left",
        )["input_ids"]
        for text in TEXTS
        for side in ("left", "right")
    }
    assert len({str(ids) for ids in alone.values()}) > len(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(32)))


def test_torch_is_imported_only_for_tensors() -> None:
    code = (
        "import sys; from distilbert import DistilBertTokenizer, DistilBertTokenizerFast\n"
        "for kind in (DistilBertTokenizer, DistilBertTokenizerFast):\n"
        "    t = kind(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a'])\n"
        "    t(['a', 'a a'], padding=True, return_tensors='np', return_offsets_mapping=True)\n"
        "    assert 'torch' not in sys.modules\n"
        "t('a', return_tensors='pt')\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


JUNK = [None, 5, 99999, 10**20, -1, 1.5, True, "\ud800", b"a", [None], ["a", None], [1, 2], [99999],
        [10**20], [True], [-1], [["a"], 5], {"a": None}, object, float("inf")]  # fmt: skip
METHODS: dict[str, Any] = {
    "__call__": lambda t, junk: t(junk),
    "words": lambda t, junk: t(junk, is_split_into_words=True),
    "pairs": lambda t, junk: t("a", junk),
    "encode": lambda t, junk: t.encode(junk),
    "encode_plus": lambda t, junk: t.encode_plus(junk).tokens(),
    "batch_encode_plus": lambda t, junk: t.batch_encode_plus(junk),
    "prepare_for_model": lambda t, junk: t.prepare_for_model(junk),
    "pad": lambda t, junk: t.pad(junk),
    "pad a value": lambda t, junk: t.pad({"input_ids": [1, 2], "attention_mask": junk}),
    "pad ids": lambda t, junk: t.pad({"input_ids": junk}),
    "decode": lambda t, junk: t.decode(junk),
    "batch_decode": lambda t, junk: t.batch_decode(junk),
    "convert_ids_to_tokens": lambda t, junk: t.convert_ids_to_tokens(junk),
    "convert_tokens_to_ids": lambda t, junk: t.convert_tokens_to_ids(junk),
    "add_tokens": lambda t, junk: t.add_tokens(junk),
    "add_special_tokens": lambda t, junk: t.add_special_tokens(junk),
    "get_special_tokens_mask": lambda t, junk: t.get_special_tokens_mask(junk),
    "max_length": lambda t, junk: t("a", truncation=True, max_length=junk),
    "from_pretrained": lambda t, junk: type(t).from_pretrained(junk),
    "added_tokens_decoder": lambda t, junk: type(t)(VOCABULARY, added_tokens_decoder=junk),
    "model_max_length": lambda t, junk: type(t)(VOCABULARY, model_max_length=junk),
    "train": lambda t, junk: t.train_new_from_iterator(junk, 60, show_progress=False),
    "train on one": lambda t, junk: t.train_new_from_iterator([junk], 60, show_progress=False),
}


@pytest.mark.parametrize("method", METHODS)
def test_junk_works_or_is_one_error_of_this_package(method: str, kind: Any) -> None:
    refused = 0
    for junk in JUNK:
        try:
            METHODS[method](kind(VOCABULARY), junk)
        except DistilBertError:
            refused += 1
    assert refused >= 6


def test_a_value_that_is_no_text_or_id_is_named_by_its_place(tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"text\[1\] is None"):
        tokenizer(["a", None], is_split_into_words=True)
    with pytest.raises(InputError, match=r"text\[1\] is None"):
        tokenizer.encode(["a", None])
    for id in (len(VOCABULARY), 10**9, 10**20):
        with pytest.raises(InputError, match=f"id {id} is not in the vocabulary, which has"):
            tokenizer.encode([5, id])
    with pytest.raises(InputError, match=r"text 1 of text_iterator holds a lone surrogate"):
        tokenizer.train_new_from_iterator(["a", "\ud800"], 60)


def test_every_refusal_is_an_error_of_this_package() -> None:
    assert issubclass(InputError, DistilBertError)
    assert issubclass(InputError, ValueError)  # what callers of the reference catch


@pytest.mark.diverges("transformers 4.57.6, fast: encode takes a list of two strings for a pair")
def test_a_list_of_strings_is_a_list_of_tokens_to_encode(tokenizer: Any) -> None:
    assert tokenizer.encode_plus(["a", "b"]).tokens() == ["[CLS]", "a", "b", "[SEP]"]


@pytest.mark.diverges("transformers 4.57.6, Python: tokenize leaves options of truncation out")
def test_tokenize_cuts_when_asked(tokenizer: Any) -> None:
    assert tokenizer.tokenize("a b c", max_length=2, truncation=True) == ["a", "b"]


@pytest.mark.diverges("transformers 4.57.6: gives the row uncut")
@pytest.mark.parametrize("length", [0, 1])
def test_a_row_too_short_for_special_tokens_is_an_error(length: int, tokenizer: Any) -> None:
    with pytest.raises(InputError, match=f"max_length={length} is too small"):
        tokenizer("a b", truncation=True, max_length=length)


@pytest.mark.diverges("transformers 4.57.6, fast: a slice gives its encodings, not values")
def test_a_slice_gives_the_values_of_some_rows(tokenizer: Any) -> None:
    assert tokenizer(["a", "b"])[:1] == {
        name: value[:1] for name, value in tokenizer(["a", "b"]).items()
    }
