"""The other methods of both tokenizers against transformers, and where its own two disagree."""

import inspect
import logging
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.errors import InputError
from words import TEXTS, VOCABULARY

transformers = pytest.importorskip("transformers")

OURS = [DistilBertTokenizerFast, DistilBertTokenizer]


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def reference(vocab_file: str) -> Any:
    return transformers.DistilBertTokenizerFast(vocab_file)


@pytest.fixture(scope="module")
def slow(vocab_file: str) -> Any:
    return transformers.DistilBertTokenizer(vocab_file)


@pytest.fixture(params=OURS, ids=["fast", "python"])
def ours(request: pytest.FixtureRequest, vocab_file: str) -> Any:
    return request.param(vocab_file)


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    "method",
    ["__init__", "__call__", "encode", "encode_plus", "batch_encode_plus", "prepare_for_model",
     "pad", "tokenize", "decode", "batch_decode", "convert_ids_to_tokens", "convert_tokens_to_ids",
     "convert_tokens_to_string", "add_tokens", "add_special_tokens", "truncate_sequences",
     "build_inputs_with_special_tokens", "create_token_type_ids_from_sequences",
     "get_special_tokens_mask", "num_special_tokens_to_add", "train_new_from_iterator",
     "save_pretrained", "save_vocabulary", "get_vocab", "get_added_vocab",
     "clean_up_tokenization"],
)  # fmt: skip
def test_parameters_have_the_same_names_order_and_defaults(method: str, kind: Any) -> None:
    theirs = transformers.DistilBertTokenizerFast
    if kind is DistilBertTokenizer and method == "__init__":
        theirs = transformers.DistilBertTokenizer
    wanted = inspect.signature(getattr(theirs, method)).parameters
    found = inspect.signature(getattr(kind, method)).parameters
    named = [
        (parameter.name, parameter.default)
        for parameter in wanted.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name != "push_to_hub"
    ]
    if method == "batch_encode_plus":  # theirs alone does not ask the attribute of that name
        named[-1] = ("split_special_tokens", None)
    ours = [(name, parameter.default) for name, parameter in found.items()]
    assert ours[: len(named)] == named


def test_every_public_attribute_of_the_field_is_there(ours: Any, reference: Any) -> None:
    elsewhere = {
        # chat templates, the hub's upload, switches that transformers itself calls deprecated,
        # and its inner workings
        "apply_chat_template", "chat_template", "encode_message_with_chat_template",
        "get_chat_template", "save_chat_templates", "response_schema", "parse_response",
        "push_to_hub", "register_for_auto_class", "as_target_tokenizer", "sanitize_special_tokens",
        "prepare_seq2seq_batch", "deprecation_warnings", "init_inputs", "verbose",
        "add_prefix_space",
        "can_save_slow_tokenizer", "slow_tokenizer_class", "convert_added_tokens",
        "pretrained_vocab_files_map", "set_truncation_and_padding", "extra_special_tokens",
    }  # fmt: skip
    if not ours.is_fast:
        elsewhere |= {"backend_tokenizer", "decoder"}
    names = {name for name in dir(reference) if not name.startswith("_")}
    assert {name for name in names if not hasattr(ours, name)} <= elsewhere


def test_decoding_is_the_same(ours: Any, reference: Any) -> None:
    rows = reference(TEXTS)["input_ids"]
    for skip in (True, False):
        for clean in (True, False, None):
            wanted = reference.batch_decode(rows, skip, clean)
            assert ours.batch_decode(rows, skip, clean) == wanted
            assert ours.decode(torch.tensor(rows[0]), skip, clean) == wanted[0]
    assert ours.convert_ids_to_tokens(rows[0]) == reference.convert_ids_to_tokens(rows[0])
    assert ours.convert_ids_to_tokens(rows[0], True) == reference.convert_ids_to_tokens(
        rows[0], True
    )
    assert ours.decode(7) == reference.decode(7)


@given(ids=st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=30), skip=st.booleans(),
       clean=st.booleans())  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_ids_are_decoded_the_same(ids: list[int], skip: bool, clean: bool) -> None:
    wanted = _MADE["reference"].decode(ids, skip, clean)
    for kind in OURS:
        assert _MADE[kind.__name__].decode(ids, skip, clean) == wanted
    if clean:
        assert _MADE["slow"].decode(ids, skip, clean) == wanted


_MADE: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _made(vocab_file: str, reference: Any, slow: Any) -> None:
    _MADE.update({kind.__name__: kind(vocab_file) for kind in OURS})
    _MADE.update({"reference": reference, "slow": slow})


ROWS = [
    {"input_ids": [2, 5, 3], "token_type_ids": [0, 0, 0], "labels": 1},
    {"input_ids": [2, 5, 6, 7, 3], "token_type_ids": [0, 0, 1, 1, 1], "labels": 0},
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "max_length", "max_length": 7},
        {"padding": False},
        {"pad_to_multiple_of": 4, "padding_side": "left", "return_tensors": "pt"},
        {"return_attention_mask": False, "return_tensors": "np"},
        {"padding": "max_length", "max_length": 4, "pad_to_multiple_of": 8},
    ],
    ids=str,
)
def test_padding_is_the_same(options: dict[str, Any], ours: Any, reference: Any) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    forms: list[Any] = [ROWS, columns]
    if "return_tensors" not in options:
        forms += [ROWS[0], [{"input_ids": torch.tensor(row["input_ids"])} for row in ROWS][:1],
                  {"input_ids": np.array([[2, 5, 3]])}]  # fmt: skip
    for form in forms:
        given = dict(form) if isinstance(form, dict) else [dict(row) for row in form]
        wanted, found = reference.pad(given, **options), ours.pad(form, **options)
        assert list(found) == list(wanted)
        for name in wanted:
            assert type(found[name]) is type(wanted[name])
            assert str(found[name]) == str(wanted[name])


ONE, TWO = list(range(10, 18)), list(range(20, 27))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_preparing_ids_is_the_same(strategy: str, side: str, ours: Any, reference: Any) -> None:
    ours.truncation_side = reference.truncation_side = side
    try:
        for max_length in range(12, 20):
            for second in (None, TWO):
                overflow = second is None or strategy != "longest_first"
                if second is None and strategy == "only_second":
                    continue
                options = {
                    "truncation": strategy, "max_length": max_length, "stride": 2,
                    "padding": "max_length", "return_token_type_ids": True, "return_length": True,
                    "return_special_tokens_mask": True, "return_overflowing_tokens": overflow,
                }  # fmt: skip
                if second is None:  # there the reference's fast class has no mask
                    options["return_special_tokens_mask"] = False
                    wanted = reference.prepare_for_model(ONE, second, **options)
                else:
                    wanted = _slow(side).prepare_for_model(ONE, second, **options)
                assert ours.prepare_for_model(ONE, second, **options).data == wanted.data
    finally:
        reference.truncation_side = "right"


def _slow(side: str) -> Any:
    _MADE["slow"].truncation_side = side
    return _MADE["slow"]


def test_templates_are_the_same(ours: Any, reference: Any, slow: Any) -> None:
    for second in (None, TWO):
        for method in ("build_inputs_with_special_tokens", "create_token_type_ids_from_sequences"):
            assert getattr(ours, method)(ONE, second) == getattr(reference, method)(ONE, second)
        assert ours.get_special_tokens_mask(ONE, second) == slow.get_special_tokens_mask(
            ONE, second
        )
        pair = second is not None
        assert ours.num_special_tokens_to_add(pair) == reference.num_special_tokens_to_add(pair)


def test_the_collators_of_transformers_take_it(ours: Any, reference: Any) -> None:
    from transformers import DataCollatorForLanguageModeling, DataCollatorWithPadding

    rows = [{**ours(text), "label": 1} for text in TEXTS[:3]]
    found = DataCollatorWithPadding(ours)([dict(row) for row in rows])
    wanted = DataCollatorWithPadding(reference)([dict(row) for row in rows])
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in wanted.items()
    }
    results = []
    for tokenizer in (ours, reference):
        torch.manual_seed(0)
        texts = [tokenizer(text) for text in TEXTS[:3]]
        results.append(DataCollatorForLanguageModeling(tokenizer)(texts))
    for name in results[1]:
        assert torch.equal(results[0][name], results[1][name])


def test_adding_tokens_is_the_same(ours: Any, vocab_file: str) -> None:
    theirs = transformers.DistilBertTokenizerFast(vocab_file)
    for made in (ours, theirs):
        assert made.add_tokens(["covid", "fox", "New York"]) == 3
        assert made.add_tokens(["<s>"], special_tokens=True) == 1
        assert made.add_special_tokens({"eos_token": "</s>", "mask_token": "fox"}) == 2
        made.pad_token = "dog"
    text = "COVID in new york, New York, a fox <s></s>"
    assert ours(text).data == theirs(text).data
    assert ours.decode(ours.encode(text), True) == theirs.decode(theirs.encode(text), True)
    for name in ("special_tokens_map", "all_special_ids", "pad_token_id", "mask_token_id"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.get_added_vocab() == theirs.get_added_vocab()


@pytest.mark.diverges(
    "transformers 4.57.6: its Python tokenizer gives one row, and the rest as ids"
)
def test_overflow_gives_windows_as_the_fast_one(ours: Any, reference: Any, slow: Any) -> None:
    options = {"truncation": True, "max_length": 6, "stride": 1, "return_overflowing_tokens": True}
    found = ours(TEXTS[0], **options)
    assert found.data == reference(TEXTS[0], **options).data
    assert len(found["input_ids"]) > 1
    assert "overflowing_tokens" in slow(TEXTS[0], **options)


@pytest.mark.diverges("transformers 4.57.6: its Python tokenizer knows no words and no offsets")
def test_words_and_offsets_are_those_of_the_fast_one(ours: Any, reference: Any, slow: Any) -> None:
    found, wanted = ours("Jumping over"), reference("Jumping over")
    assert found.word_ids() == wanted.word_ids()
    with pytest.raises(ValueError, match="non-fast"):
        slow("Jumping over").word_ids()
    with pytest.raises(NotImplementedError):
        slow("Jumping over", return_offsets_mapping=True)


@pytest.mark.diverges("transformers 4.57.6: its Python tokenizer takes the odd token of the second")
def test_of_equally_long_texts_the_first_loses_the_odd_token(
    ours: Any, reference: Any, slow: Any
) -> None:
    options = {"truncation": True, "max_length": 8}
    call = "the quick brown", "fox jump over"
    assert ours(*call, **options).data == reference(*call, **options).data
    assert ours(*call, **options).data != slow(*call, **options).data


@pytest.mark.diverges(
    "transformers 4.57.6: its Python tokenizer logs this, and leaves the row long"
)
def test_a_text_too_short_to_cut_is_an_error_as_in_the_fast_one(
    ours: Any, reference: Any, slow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    call, options = ("a", "the quick brown fox"), {"truncation": "only_first", "max_length": 5}
    with pytest.raises(Exception, match="too short"):
        reference(*call, **options)
    with pytest.raises(InputError, match="first text has only 1"):
        ours(*call, **options)
    with caplog.at_level(logging.CRITICAL, "transformers"):
        assert len(slow(*call, **options)["input_ids"]) > 5


@pytest.mark.diverges("transformers 4.57.6: the length of one row is a list, or a number if Python")
def test_the_length_of_one_row_is_in_a_list_as_in_the_fast_one(
    ours: Any, reference: Any, slow: Any
) -> None:
    assert ours("a", return_length=True)["length"] == [3]
    assert reference("a", return_length=True)["length"] == [3]
    assert slow("a", return_length=True)["length"] == 3


@pytest.mark.diverges("transformers 4.57.6: an IndexError, or a ValueError about input_ids")
def test_an_empty_batch_is_an_error(ours: Any, reference: Any, slow: Any) -> None:
    with pytest.raises(InputError, match="empty batch"):
        ours([])
    with pytest.raises(IndexError):
        reference([])
    with pytest.raises(ValueError, match="input_ids"):
        slow([])


@pytest.mark.parametrize("kind", OURS)
def test_a_collator_that_masks_whole_words_takes_our_tokenizers(kind, vocab_file):
    tokenizer = kind(vocab_file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is made for BertTokenizer, and says so
        collate = transformers.DataCollatorForWholeWordMask(tokenizer)
        found = collate([{"input_ids": tokenizer("a fox")["input_ids"]}])
    assert found["input_ids"].shape == found["labels"].shape
