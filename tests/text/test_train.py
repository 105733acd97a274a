from pathlib import Path
from typing import Any

import pytest

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.errors import DistilBertError
from words import VOCABULARY

TEXTS = ["the cat sat on the mat", "a cat and a hat", "THE Hat of the cats"] * 5


def test_a_vocabulary_of_ones_own_knows_its_texts(kind: Any) -> None:
    made = kind(VOCABULARY).train_new_from_iterator(TEXTS, 60, show_progress=False)
    assert isinstance(made, kind)
    assert 5 < made.vocab_size <= 60
    assert made.tokenize("the CAT") == ["the", "cat"]
    assert made("cat")["input_ids"][0] == made.cls_token_id
    assert sorted(made.all_special_ids) == [0, 1, 2, 3, 4]


def test_the_steps_of_the_old_tokenizer_are_kept(kind: Any, tmp_path: Path) -> None:
    old = kind(VOCABULARY, do_lower_case=False, padding_side="left", model_max_length=9)
    made = old.train_new_from_iterator([TEXTS, TEXTS], 80, length=2, show_progress=False)
    assert made.tokenize("THE the")[-1] == "the"
    assert made.tokenize("THE the")[0] != "the"
    assert (made.padding_side, made.model_max_length) == ("left", 9)
    made.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert again("THE cats")["input_ids"] == made("THE cats")["input_ids"]


def test_special_tokens_are_renamed_and_added(kind: Any) -> None:
    old = kind(VOCABULARY)
    old.add_special_tokens({"additional_special_tokens": ["<old>"]})
    made = old.train_new_from_iterator(
        TEXTS, 60, new_special_tokens=["<new>"], show_progress=False,
        special_tokens_map={"[CLS]": "<s>", "[UNK]": "<unk>"},
    )  # fmt: skip
    assert (made.cls_token, made.unk_token) == ("<s>", "<unk>")
    assert made.additional_special_tokens == ["<old>", "<new>"]
    found = made("cat<new>zebra!")
    assert found.tokens()[0] == "<s>"
    assert "<new>" in found.tokens()
    assert made.tokenize("中") == ["<unk>"]
    assert old.cls_token == "[CLS]"


def test_both_tokenizers_learn_the_same() -> None:
    made = [
        kind(VOCABULARY).train_new_from_iterator(TEXTS, 60, show_progress=False)
        for kind in (DistilBertTokenizer, DistilBertTokenizerFast)
    ]
    tokens = [set(tokenizer.get_vocab()) for tokenizer in made]
    assert tokens[0] == tokens[1]  # ids may differ: the trainer breaks ties at random
    assert made[0].tokenize("the cats hat") == made[1].tokenize("the cats hat")


def test_another_prefix_is_learned_with(kind: Any) -> None:
    old = kind(VOCABULARY, wordpieces_prefix="@")
    made = old.train_new_from_iterator(TEXTS, 60, show_progress=False)
    assert any(token.startswith("@") for token in made.get_vocab())
    assert made.decode(made("mats cats")["input_ids"], True) == "mats cats"


@pytest.mark.parametrize("size", [5, 0, "many"])
def test_a_size_that_holds_no_words_is_an_error(size: Any, kind: Any) -> None:
    with pytest.raises(DistilBertError, match="5 special tokens"):
        kind(VOCABULARY).train_new_from_iterator(TEXTS, size)
