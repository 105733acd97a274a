import copy
import pickle
from typing import Any

import pytest
import tokenizers

from distilbert.errors import DistilBertError, InputError, TokenizerError
from distilbert.text.added import AddedToken
from words import SPECIAL, VOCABULARY

SIZE = len(VOCABULARY)


def test_special_tokens_are_attributes_with_ids(tokenizer: Any) -> None:
    for name, token in zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True):
        assert getattr(tokenizer, f"{name}_token") == token
        assert getattr(tokenizer, f"{name}_token_id") == VOCABULARY.index(token)
    assert tokenizer.bos_token is tokenizer.bos_token_id is None
    assert tokenizer.eos_token is tokenizer.eos_token_id is None
    assert tokenizer.additional_special_tokens == tokenizer.additional_special_tokens_ids == []
    assert sorted(tokenizer.all_special_tokens) == sorted(SPECIAL)
    assert sorted(tokenizer.all_special_ids) == [0, 1, 2, 3, 4]
    assert tokenizer.special_tokens_map == {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }  # fmt: skip


def test_special_tokens_can_be_set_by_token_and_by_id(tokenizer: Any) -> None:
    tokenizer.pad_token = "fox"
    assert tokenizer.pad_token_id == VOCABULARY.index("fox")
    tokenizer.pad_token_id = VOCABULARY.index("dog")
    assert tokenizer.pad_token == "dog"
    tokenizer.additional_special_tokens = ["the", "a"]
    assert tokenizer.additional_special_tokens_ids == [VOCABULARY.index("the"), 22]
    tokenizer.additional_special_tokens_ids = [22]
    assert tokenizer.additional_special_tokens == ["a"]
    tokenizer.pad_token = None
    assert tokenizer.pad_token_id is None
    assert tokenizer(["a", "a a"], padding=False)["input_ids"]


@pytest.mark.parametrize("value", ["", 5, "\ud800", ["a"]])
def test_what_is_no_token_cannot_be_set(value: Any, tokenizer: Any) -> None:
    with pytest.raises(DistilBertError):
        tokenizer.pad_token = value
    assert tokenizer.pad_token == "[PAD]"
    with pytest.raises(DistilBertError):
        tokenizer.add_tokens([value])
    assert len(tokenizer) == SIZE


def test_an_id_that_no_token_has_cannot_be_set(tokenizer: Any) -> None:
    for id in (SIZE, -1, "5"):
        with pytest.raises(InputError, match=f"{SIZE} tokens"):
            tokenizer.pad_token_id = id


def test_added_tokens_get_the_next_ids_and_are_found_whole(tokenizer: Any) -> None:
    assert tokenizer.add_tokens(["covid", "new york", "fox"]) == 3
    assert (len(tokenizer), tokenizer.vocab_size) == (SIZE + 2, SIZE)
    found = tokenizer("a COVID fox in New York", add_special_tokens=False)
    assert found.tokens() == ["a", "covid", "fox", "in", "new york"]
    assert found["input_ids"][-1] == SIZE + 1
    assert tokenizer.get_vocab()["covid"] == tokenizer.get_added_vocab()["covid"] == SIZE
    assert tokenizer.added_tokens_decoder[SIZE] == AddedToken("covid")
    assert tokenizer.convert_ids_to_tokens(SIZE) == "covid"
    assert tokenizer.add_tokens([]) == tokenizer.add_tokens("") == 0
    assert tokenizer.add_tokens("covid") == 0


def test_tokens_of_the_library_are_taken(tokenizer: Any) -> None:
    token = tokenizers.AddedToken("<x>", lstrip=True, rstrip=True, single_word=True)
    assert tokenizer.add_tokens(token) == 1
    found = tokenizer("a <x> b", add_special_tokens=False, return_offsets_mapping=True)
    assert found["offset_mapping"] == [(0, 1), (1, 6), (6, 7)]
    assert tokenizer.tokenize("a<x>b").count("<x>") == 0


@pytest.mark.diverges("transformers 4.57.6: gives the matched text, spaces and all, as the token")
def test_an_added_token_has_its_own_spelling_however_it_was_matched(tokenizer: Any) -> None:
    tokenizer.add_tokens(AddedToken("Covid", lstrip=True))
    assert tokenizer.tokenize("a  COVID") == ["a", "Covid"]


def test_special_tokens_are_added_by_name(tokenizer: Any) -> None:
    count = tokenizer.add_special_tokens(
        {"eos_token": "</s>", "cls_token": "[CLS]", "additional_special_tokens": ["<a>", "<b>"]}
    )
    assert count == 3
    assert tokenizer.eos_token_id == SIZE
    assert tokenizer.additional_special_tokens == ["<a>", "<b>"]
    assert tokenizer.decode([SIZE, 22, SIZE + 1], skip_special_tokens=True) == "a"
    more = {"additional_special_tokens": ["<b>", "<c>"]}
    assert tokenizer.add_special_tokens(more, replace_additional_special_tokens=False) == 1
    assert tokenizer.additional_special_tokens == ["<a>", "<b>", "<c>"]
    tokenizer.add_special_tokens(more)
    assert tokenizer.additional_special_tokens == ["<b>", "<c>"]


def test_nothing_is_added_where_one_name_is_wrong(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="'tail_token' is no special token; these are: bos_token"):
        tokenizer.add_special_tokens({"eos_token": "</s>", "tail_token": "<t>"})
    with pytest.raises(TokenizerError, match="additional_special_tokens="):
        tokenizer.add_special_tokens({"eos_token": "</s>", "additional_special_tokens": "<t>"})
    assert tokenizer.eos_token is None
    assert len(tokenizer) == SIZE


def test_special_tokens_outside_the_vocabulary_are_put_on_top(kind: Any) -> None:
    tokenizer = kind(VOCABULARY, bos_token="<s>", additional_special_tokens=["<x>", "fox"])
    assert tokenizer.bos_token_id == SIZE
    assert tokenizer.additional_special_tokens_ids == [SIZE + 1, VOCABULARY.index("fox")]
    assert tokenizer.tokenize("a<x>") == ["a", "<x>"]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_are_whole_and_apart(clone: Any, kind: Any) -> None:
    tokenizer = kind(VOCABULARY, do_lower_case=False, padding_side="left", model_max_length=9)
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    other = clone(tokenizer)
    text = "Hello hello </s> Jumping"
    assert other(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (other.padding_side, other.model_max_length, other.eos_token_id) == ("left", 9, SIZE)
    other.add_tokens(["zebra"])
    other.cls_token = "</s>"
    assert len(tokenizer) == SIZE + 1
    assert tokenizer(text)["input_ids"][0] == VOCABULARY.index("[CLS]")
    assert other(text)["input_ids"][0] == SIZE


def test_a_tokenizer_is_true_and_readable(tokenizer: Any) -> None:
    assert tokenizer
    assert f"vocab_size={SIZE}" in repr(tokenizer)
    assert "'[MASK]'" in repr(tokenizer)


def test_wrong_options_of_a_tokenizer_are_errors(kind: Any) -> None:
    for options in (
        {"padding_side": "up"},
        {"truncation_side": "down"},
        {"model_max_length": 0},
        {"model_max_length": "long"},
        {"unk_token": "<unk>"},
        {"additional_special_tokens": "<x>"},
        {"model_input_names": "input_ids"},
        {"model_input_names": 3},
    ):
        with pytest.raises(DistilBertError, match=next(iter(options.values())).__str__()):
            kind(VOCABULARY, **options)


def test_a_vocabulary_that_cannot_work_is_an_error(kind: Any) -> None:
    for vocabulary in ([], ["[PAD]", "a"], ["[UNK]", "a", "a"], {"[UNK]": 0, "a": 0}):
        with pytest.raises(TokenizerError):
            kind(vocabulary)


def test_a_token_that_was_special_once_is_cut_like_text_still(kind: Any) -> None:
    tokenizer = kind(VOCABULARY)
    tokenizer.add_tokens(["<x>"], special_tokens=True)
    tokenizer.add_tokens([AddedToken("<x>", normalized=False)])
    for made in (tokenizer, copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert made.tokenize("a <x>") == ["a", "<x>"]
        assert "<x>" not in made.tokenize("a <x>", split_special_tokens=True)


def test_many_tokens_are_added_one_by_one(tokenizer: Any) -> None:
    for number in range(300):
        assert tokenizer.add_tokens([f"<{number}>"]) == 1
    assert tokenizer.add_tokens([f"<{number}>" for number in range(200, 1000)]) == 700
    assert tokenizer.added_tokens_decoder[SIZE + 999] == AddedToken("<999>")
    assert tokenizer.tokenize("a<7><999>") == ["a", "<7>", "<999>"]
    if tokenizer.is_fast:
        there = tokenizer.backend.tokenizer.get_added_tokens_decoder()
        assert {id: AddedToken.of(token) for id, token in there.items()} == tokenizer.backend.added


BAD_IDS = ["1", 1.0, None, -1, 2**32, 10**20, True, float("inf")]
BAD_VOCABULARIES = [
    *(5, None, "\ud800", b"ab", [1, "[UNK]"], ["[UNK]", None], ["[UNK]", ["a"]]),
    *({"[UNK]": 0, "a": id} for id in BAD_IDS),
    {"[UNK]": 0, 5: 1},
]


@pytest.mark.parametrize("vocabulary", BAD_VOCABULARIES, ids=repr)
def test_what_is_no_vocabulary_is_one_clear_error(vocabulary: Any, kind: Any) -> None:
    with pytest.raises(DistilBertError):
        kind(vocabulary)


def test_a_pickle_does_not_depend_on_what_was_encoded(tokenizer: Any) -> None:
    before = pickle.dumps(tokenizer)
    tokenizer(["jumping over", "a"], padding=True, truncation=True).word_ids()
    tokenizer.tokenize("a [MASK]", split_special_tokens=True)
    assert pickle.dumps(tokenizer) == before
