import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from distilbert.errors import InputError
from distilbert.text.encoding import BatchEncoding


@pytest.fixture
def encoding(tokenizer: Any) -> Any:
    return tokenizer(["jumping over", "a"], ["the dogs", "fox"], padding=True)


def test_it_is_a_mapping_with_attributes(encoding: Any) -> None:
    assert isinstance(encoding, Mapping)
    assert {**encoding} == encoding.data
    assert encoding.input_ids is encoding["input_ids"]
    with pytest.raises(AttributeError, match="no 'token_type_ids'"):
        _ = encoding.token_type_ids
    with pytest.raises(KeyError):
        _ = encoding["token_type_ids"]


def test_a_number_gives_a_row_and_a_slice_gives_values(encoding: Any) -> None:
    assert encoding[0].tokens == encoding.tokens(0)
    assert encoding[:1] == {name: value[:1] for name, value in encoding.items()}
    with pytest.raises(InputError, match="no row 2: this batch has 2"):
        encoding.tokens(2)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_know_the_same_and_carry_no_tokenizer(clone: Any, tokenizer: Any) -> None:
    encoding = tokenizer("jumping over", "the dogs", padding="max_length", max_length=12)
    other = clone(encoding)
    assert other.data == encoding.data
    for name in ("tokens", "offsets", "word_ids", "sequence_ids", "type_ids"):
        assert getattr(other[0], name) == getattr(encoding[0], name)
    assert len(pickle.dumps(encoding)) < 3000


def test_a_shallow_copy_has_its_own_dictionary(encoding: Any) -> None:
    other = copy.copy(encoding)
    other["labels"] = [1]
    assert "labels" not in encoding
    assert other.tokens() == encoding.tokens()


def test_a_row_that_can_no_longer_be_traced_is_still_pickled(tokenizer: Any) -> None:
    encoding = tokenizer("jumping over")
    tokenizer.add_tokens(["jumping"])
    other = pickle.loads(pickle.dumps(encoding))
    assert other.tokens() == ["[CLS]", "jump", "##ing", "over", "[SEP]"]
    with pytest.raises(InputError):
        other.word_ids()


def test_it_can_be_made_from_a_dictionary(encoding: Any) -> None:
    made = BatchEncoding({"input_ids": [1, 2]}, tensor_type="pt", prepend_batch_axis=True)
    assert made["input_ids"].tolist() == [[1, 2]]
    assert not made.is_fast
    assert made.n_sequences is None
    with pytest.raises(InputError, match="not made from texts"):
        made.word_ids()
    with pytest.raises(KeyError, match="input_ids"):
        _ = made[0]
    assert BatchEncoding({"a": [1]}, encoding[0]).n_sequences == 2


def test_tensors_move_and_other_values_stay(encoding: Any) -> None:
    encoding["names"] = ["one", "two"]
    encoding.data["input_ids"] = torch.tensor(encoding["input_ids"])
    moved = encoding.to("meta", non_blocking=True)
    assert moved is encoding
    assert encoding["input_ids"].device.type == "meta"
    assert encoding["names"] == ["one", "two"]


def test_lists_become_tensors_in_place(encoding: Any) -> None:
    assert encoding.convert_to_tensors("pt") is encoding
    assert encoding.input_ids.shape == (2, 9)
    assert encoding.convert_to_tensors(None) is encoding


def test_where_there_is_nothing_the_answer_is_none(encoding: Any) -> None:
    assert encoding.token_to_chars(0, 0) is None  # [CLS]
    assert encoding.token_to_word(1, 6) is None  # padding
    assert encoding.token_to_sequence(0, 99) is None
    assert encoding.word_to_tokens(0, 99) is None
    assert encoding.word_to_chars(0, 99) is None
    assert encoding.word_to_tokens(0, 0, sequence_index=2) is None
    assert encoding.char_to_token(0, 7) is None  # a space
    assert encoding.char_to_word(0, 7) is None


def test_what_a_caller_does_to_the_answer_does_not_reach_its_rows(tokenizer: Any) -> None:
    found = tokenizer(["a fox", "a"], padding=True)
    before = [list(row.ids) for row in found.encodings]
    found["input_ids"][0][1] = 99
    found["input_ids"][1].clear()
    assert [row.ids for row in found.encodings] == before
    assert found.tokens() == ["[CLS]", "a", "fox", "[SEP]"]
