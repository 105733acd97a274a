from typing import Any

import numpy as np
import pytest
import torch

from distilbert.errors import InputError

CLS, SEP = 2, 3
ONE, TWO = list(range(10, 16)), list(range(20, 25))


def test_special_tokens_are_put_around_ids(tokenizer: Any) -> None:
    assert tokenizer.build_inputs_with_special_tokens([5]) == [2, 5, 3]
    assert tokenizer.build_inputs_with_special_tokens([5], [6]) == [2, 5, 3, 6, 3]
    assert tokenizer.create_token_type_ids_from_sequences([5], [6]) == [0, 0, 0, 1, 1]
    assert tokenizer.get_special_tokens_mask([5], [6]) == [1, 0, 1, 0, 1]
    assert tokenizer.get_special_tokens_mask([2, 5, 3], already_has_special_tokens=True) == [
        1,
        0,
        1,
    ]
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    tokenizer.model_max_length = 10
    assert (tokenizer.max_len_single_sentence, tokenizer.max_len_sentences_pair) == (8, 7)
    with pytest.raises(InputError, match="one list"):
        tokenizer.get_special_tokens_mask([2], [3], already_has_special_tokens=True)


def test_a_row_is_prepared_from_ids(tokenizer: Any) -> None:
    found = tokenizer.prepare_for_model(
        ONE, TWO, truncation="only_second", max_length=12, stride=1, padding="max_length",
        return_overflowing_tokens=True, return_token_type_ids=True, return_length=True,
        return_special_tokens_mask=True, pad_to_multiple_of=4,
    )  # fmt: skip
    assert found["input_ids"] == [2, *ONE, 3, *TWO[:3], 3]
    assert found["overflowing_tokens"] == TWO[2:]
    assert found["num_truncated_tokens"] == 2
    assert found["token_type_ids"] == [0] * 8 + [1] * 4
    assert found["special_tokens_mask"] == [1, *[0] * 6, 1, *[0] * 3, 1]
    assert found["length"] == 12
    assert list(range(10, 16)) == ONE


def test_tensors_of_one_row_have_a_batch_axis_if_asked(tokenizer: Any) -> None:
    found = tokenizer.prepare_for_model(ONE, return_tensors="pt", prepend_batch_axis=True)
    assert found["input_ids"].shape == (1, 8)
    assert tokenizer.prepare_for_model(ONE, return_tensors="pt")["input_ids"].shape == (8,)
    assert tokenizer.prepare_for_model([], add_special_tokens=False)["input_ids"] == []


def test_the_side_of_truncation_is_that_of_the_tokenizer(tokenizer: Any) -> None:
    assert tokenizer.truncate_sequences(ONE, None, 2) == (ONE[:4], None, ONE[4:])
    tokenizer.truncation_side = "left"
    assert tokenizer.truncate_sequences(ONE, None, 2, stride=1) == (ONE[2:], None, ONE[:3])
    assert tokenizer.truncate_sequences(ONE, TWO, 4) == (ONE[2:], TWO[2:], [])


def test_impossible_cuts_are_errors(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="no second text"):
        tokenizer.truncate_sequences(ONE, None, 2, "only_second")
    with pytest.raises(InputError, match="6 tokens would have to be cut from the first text"):
        tokenizer.truncate_sequences(ONE, TWO, 6, "only_first")
    with pytest.raises(InputError, match="'longest_first' cuts"):
        tokenizer.prepare_for_model(
            ONE, TWO, truncation=True, max_length=8, return_overflowing_tokens=True
        )
    with pytest.raises(InputError, match="ids have no offsets"):
        tokenizer.prepare_for_model(ONE, return_offsets_mapping=True)


def test_ids_of_tensors_are_ids(tokenizer: Any) -> None:
    ids = [CLS, 8, SEP]
    for given in (torch.tensor(ids), np.array(ids), list(torch.tensor(ids)), list(np.array(ids)),
                  (CLS, torch.tensor(8), SEP)):  # fmt: skip
        assert tokenizer.get_special_tokens_mask(given, None, True) == [1, 0, 1]
        assert tokenizer.get_special_tokens_mask(given, given) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
        built = tokenizer.build_inputs_with_special_tokens(given, given)
        assert built == [CLS, *ids, SEP, *ids, SEP]
        assert set(map(type, built)) == {int}
        types = tokenizer.create_token_type_ids_from_sequences(given, given)
        assert types == [0] * 5 + [1] * 4
        assert tokenizer.truncate_sequences(given, given, 3) == (ids[:2], ids[:1], [])
    for bad in (torch.tensor([ids]), None, 5, [None], "ab", [True]):
        for method in ("get_special_tokens_mask", "build_inputs_with_special_tokens",
                       "create_token_type_ids_from_sequences"):  # fmt: skip
            with pytest.raises(InputError, match="token_ids_0 has to be the ids of one row"):
                getattr(tokenizer, method)(bad)
