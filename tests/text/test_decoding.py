from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.errors import InputError
from distilbert.text.decoding import join_pieces
from words import TEXTS, VOCABULARY


def test_decoding_joins_pieces_and_closes_gaps(tokenizer: Any) -> None:
    ids = tokenizer("Jumping dogs, don't!")["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == (
        "[CLS] jumping dogs, don ' t! [SEP]"
    )
    assert tokenizer.decode(ids, True, True) == "jumping dogs, don't!"


def test_cleaning_up_is_the_default_with_a_vocabulary_but_not_with_a_tokenizer_json() -> None:
    ids = [VOCABULARY.index(token) for token in ("don", "'", "t")]
    fast = DistilBertTokenizerFast(VOCABULARY)
    assert fast.decode(ids) == DistilBertTokenizer(VOCABULARY).decode(ids) == "don't"
    given = {"tokenizer_object": fast.backend_tokenizer}
    assert DistilBertTokenizerFast(**given).decode(ids) == "don ' t"
    cleaning = DistilBertTokenizerFast(**given, clean_up_tokenization_spaces=True)
    assert cleaning.decode(ids) == "don't"


@pytest.mark.diverges(
    "transformers 4.57.6: its Python tokenizer leaves all gaps then; fast does not"
)
def test_without_cleaning_up_both_close_the_gaps_before_marks(tokenizer: Any) -> None:
    ids = tokenizer("hello , world", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == "hello, world"


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor])
def test_ids_come_in_every_form(form: Any, tokenizer: Any) -> None:
    assert tokenizer.decode(form([5, 6])) == "the quick"
    assert tokenizer.convert_ids_to_tokens(form([5, 6])) == ["the", "quick"]
    assert tokenizer.batch_decode(form([[5, 6], [7, 8]])) == ["the quick", "brown fox"]


def test_one_id_is_one_token(tokenizer: Any) -> None:
    assert tokenizer.decode(5) == tokenizer.convert_ids_to_tokens(5) == "the"
    assert tokenizer.decode(np.int64(5)) == tokenizer.decode(torch.tensor(5)) == "the"
    assert tokenizer.convert_tokens_to_ids("the") == 5
    assert tokenizer.convert_tokens_to_ids(["the", "never"]) == [5, 1]
    assert tokenizer.convert_tokens_to_ids(None) is None
    assert tokenizer.decode([]) == ""
    assert tokenizer.batch_decode([[], [5]]) == ["", "the"]


@pytest.mark.diverges("transformers 4.57.6: leaves such ids out, or says [UNK], or overflows")
@pytest.mark.parametrize("id", [len(VOCABULARY), -100])
def test_an_id_out_of_range_is_an_error_with_the_size(id: int, tokenizer: Any) -> None:
    for call in (tokenizer.decode, tokenizer.convert_ids_to_tokens):
        with pytest.raises(InputError, match=rf"id {id} is not .* {len(VOCABULARY)} tokens"):
            call([5, id])


@pytest.mark.parametrize("ids", [[[5], [6]], None, "the", [5, None], 1.5, [1.5]])
def test_what_are_no_ids_of_a_row_is_an_error(ids: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="ids of one row"):
        tokenizer.decode(ids)
    with pytest.raises(InputError, match="ids of one row"):
        tokenizer.prepare_for_model(ids)
    with pytest.raises(InputError, match=r"one row|list of rows"):
        tokenizer.batch_decode([ids] if isinstance(ids, list) else ids)


@pytest.mark.parametrize("tokens", [5, ["the", None], [b"the"]])
def test_what_are_no_tokens_is_an_error(tokens: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="no token"):
        tokenizer.convert_tokens_to_ids(tokens)


def test_special_tokens_are_left_out_on_request(tokenizer: Any) -> None:
    ids = tokenizer("a [MASK] b", padding="max_length", max_length=8)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True) == ["a", "b"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a b"


def test_what_was_encoded_is_decoded_to_itself(tokenizer: Any) -> None:
    for text in ("hello, world! the fox is over", "jumping dogs don't"):
        assert tokenizer.decode(tokenizer.encode(text), True, True) == text


def test_both_tokenizers_decode_alike() -> None:
    fast, python = DistilBertTokenizerFast(VOCABULARY), DistilBertTokenizer(VOCABULARY)
    for ids in fast(TEXTS)["input_ids"]:
        for clean in (True, False):
            assert fast.decode(ids, False, clean) == python.decode(ids, False, clean)


@given(st.lists(st.sampled_from([*VOCABULARY, "##", "a b", "x .", "do not"]), max_size=12))
def test_pieces_are_joined_as_the_library_joins_them(tokens: list[str]) -> None:
    assert join_pieces(tokens, "##") == tokenizers.decoders.WordPiece().decode(tokens)
