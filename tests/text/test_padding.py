from typing import Any

import numpy as np
import pytest
import torch

from distilbert.errors import InputError


def test_rows_are_padded_to_the_longest(tokenizer: Any) -> None:
    rows = [tokenizer("a", return_special_tokens_mask=True), tokenizer("a b c")]
    del rows[0]["special_tokens_mask"]
    found = tokenizer.pad(rows)
    assert found["input_ids"] == [[2, 22, 3, 0, 0], tokenizer("a b c")["input_ids"]]
    assert found["attention_mask"] == [[1, 1, 1, 0, 0], [1] * 5]


def test_every_known_value_is_padded_and_others_pass(tokenizer: Any) -> None:
    row = {
        "input_ids": [2, 3], "token_type_ids": [1, 1], "special_tokens_mask": [0, 0], "labels": [7]
    }  # fmt: skip
    found = tokenizer.pad(row, padding="max_length", max_length=3, padding_side="left")
    assert dict(found) == {
        "input_ids": [0, 2, 3],
        "token_type_ids": [0, 1, 1],
        "special_tokens_mask": [1, 0, 0],
        "labels": [7],
        "attention_mask": [0, 1, 1],
    }
    assert row["input_ids"] == [2, 3]  # what was given is as it was


def test_lengths_are_rounded_up(tokenizer: Any) -> None:
    found = tokenizer.pad({"input_ids": [[2, 3], [2]]}, pad_to_multiple_of=8)
    assert [len(row) for row in found["input_ids"]] == [8, 8]
    assert len(tokenizer.pad({"input_ids": [2, 3]}, pad_to_multiple_of=4)["input_ids"]) == 4
    assert tokenizer.pad({"input_ids": [2]}, False, return_attention_mask=False) == {
        "input_ids": [2]
    }


def test_tensors_come_back_as_tensors(tokenizer: Any) -> None:
    rows = [{"input_ids": torch.tensor([2, 3])}, {"input_ids": torch.tensor([2])}]
    assert torch.equal(tokenizer.pad(rows)["input_ids"], torch.tensor([[2, 3], [2, 0]]))
    found = tokenizer.pad({"input_ids": np.array([[2, 3]])}, "max_length", 3)
    assert found["input_ids"].tolist() == [[2, 3, 0]]
    assert tokenizer.pad(rows, return_tensors="np")["input_ids"].tolist() == [[2, 3], [2, 0]]


def test_labels_of_numbers_become_tensors(tokenizer: Any) -> None:
    rows = [{"input_ids": [2, 3], "label": 0.5}, {"input_ids": [2], "label": 1.0}]
    found = tokenizer.pad(rows, return_tensors="pt")
    assert found["label"].dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "empty batch"),
        ({"input_ids": []}, "empty batch"),
        ({"ids": [1]}, r"no 'input_ids' to pad, only \['ids'\]"),
        (5, "not int"),
        ([5], "list of dictionaries"),
        ([{"input_ids": [1], "label": 1}, {"input_ids": [1]}], r"row 1 lacks \['label'\]"),
        ({"input_ids": [[1], [2]], "label": [1]}, "others differ"),
    ],
)
def test_what_are_no_encoded_rows_is_an_error(given: Any, message: str, tokenizer: Any) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer.pad(given)


def test_pairs_stay_pairs(tokenizer: Any) -> None:
    rows = [tokenizer(text, return_offsets_mapping=True) for text in ("a", "a the")]
    assert tokenizer.pad(rows)["offset_mapping"] == [row["offset_mapping"] for row in rows]
    assert tokenizer.pad({"input_ids": ((1, 2), (3,))})["input_ids"] == [[1, 2], [3, 0]]


@pytest.mark.parametrize(
    "given",
    [
        [{"input_ids": [1, 2]}, {"input_ids": None}],
        {"input_ids": [[1], 2]},
        {"input_ids": [1, [2]]},
        {"input_ids": [1, None]},
        {"input_ids": [1, 2], "attention_mask": 5},
        {"input_ids": [1, 2], "attention_mask": [1]},
        {"input_ids": [[1, 2], [3]], "attention_mask": [[1, 1], [1, 1]]},
        {"input_ids": [[1, 2], [3]], "special_tokens_mask": [[1, 1], None]},
        {"input_ids": "ab"},
        {"input_ids": None},
        None,
        5,
        "ab",
    ],
    ids=repr,
)
def test_damaged_rows_are_an_error_that_names_the_value(given: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"input_ids|attention_mask|special_tokens_mask|pad takes"):
        tokenizer.pad(given)
