"""Examples become rows of ids that fit, with what the loss compares with."""

import json

import pytest

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.data.examples import Answer, Dataset, Example
from distilbert.data.features import features, row_length
from distilbert.data.kinds import KINDS
from distilbert.data.load import load
from distilbert.errors import InputError
from tiny import VOCABULARY


@pytest.fixture(params=[DistilBertTokenizerFast, DistilBertTokenizer], ids=["fast", "python"])
def tokenizer(request):
    return request.param(VOCABULARY)


def dataset(kind, *examples, labels=()):
    return Dataset(
        kind, tuple(Example(t, label, "a", str(n)) for n, (t, label) in enumerate(examples)), labels
    )


def spelled(tokenizer, row):
    return " ".join(tokenizer.convert_ids_to_tokens(row))


def test_texts_and_pairs_are_rows_as_the_tokenizer_makes_them(tokenizer):
    texts = [("the cat",), ("a dog sleeps", "the cat runs."), ("",)]
    data = dataset("classification", *((t, "x") for t in texts), labels=("y", "x"))
    found = features(data, tokenizer)
    assert [f.rows for f in found] == [(tuple(tokenizer(*t)["input_ids"]),) for t in texts]
    assert [(f.target, f.example) for f in found] == [(1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize("lengths", [(9, 9), (20, 3), (3, 20), (1, 1), (5, 6)])
def test_of_a_pair_the_longer_text_is_cut_first(tokenizer, lengths):
    texts = tuple(" ".join(["cat"] * n) for n in lengths)
    (found,) = features(dataset("regression", (texts, 0.5)), tokenizer, max_length=12)
    expected = tokenizer(*texts, truncation="longest_first", max_length=12)["input_ids"]
    assert found.rows == (tuple(expected),)
    assert found.target == 0.5


def test_a_text_is_cut_where_the_tokenizer_cuts():
    for side in ("left", "right"):
        tokenizer = DistilBertTokenizerFast(VOCABULARY, truncation_side=side)
        data = dataset("classification", (("the cat sees a dog",), None))
        (found,) = features(data, tokenizer, max_length=5)
        expected = tokenizer("the cat sees a dog", truncation=True, max_length=5)["input_ids"]
        assert found.rows == (tuple(expected),)


def test_several_labels_are_a_number_for_each_name(tokenizer):
    data = dataset("multi_label", (("a",), ("z", "x")), (("a",), ()), labels=("x", "y", "z"))
    assert [f.target for f in features(data, tokenizer)] == [(1.0, 0.0, 1.0), (0.0, 0.0, 0.0)]


def test_a_choice_has_a_row_for_each(tokenizer):
    data = dataset("choice", (("where", "in paris", "in london", "in a house"), 2))
    (found,) = features(data, tokenizer)
    assert [spelled(tokenizer, row) for row in found.rows] == [
        f"[CLS] where [SEP] {choice} [SEP]" for choice in ("in paris", "in london", "in a house")
    ]
    assert (found.target, found.tokens) == (2, sum(map(len, found.rows)))


def test_the_first_piece_of_a_word_has_its_tag(tokenizer):
    data = dataset("tags", (("cats", "in", "Paris."), ("x", "y", "z")), labels=("x", "y", "z"))
    (found,) = features(data, tokenizer)
    assert spelled(tokenizer, found.rows[0]) == "[CLS] cat ##s in paris . [SEP]"
    assert found.target == (-100, 0, -100, 1, 2, -100, -100)
    assert found.words == (None, 0, 0, 1, 2, 2, None)


def test_a_word_without_pieces_has_no_tag(tokenizer):
    data = dataset(
        "tags", (("\u200b", "cat"), ("x", "y")), (("\u200b",), ("x",)), labels=("x", "y")
    )
    first, second = features(data, tokenizer)
    assert (first.target, first.words) == ((-100, 1, -100), (None, 1, None))
    assert (second.target, second.words) == ((-100, -100), (None, None))


@pytest.mark.parametrize("max_length", [5, 6, 8, 13, 64])
@pytest.mark.parametrize("stride", [0, 2, 128])
def test_every_word_of_a_long_text_is_scored_once(tokenizer, max_length, stride):
    words = tuple(["cats", "see", "unbelievable", "dogs"] * 5)
    tags = tuple(str(n) for n in range(len(words)))
    found = features(
        dataset("tags", (words, tags), labels=tags), tokenizer, max_length=max_length, stride=stride
    )
    scored = [
        (target, word)
        for f in found
        for target, word in zip(f.target, f.words, strict=True)
        if target != -100
    ]
    assert scored == [(n, n) for n in range(len(words))]
    for f in found:
        assert len(f.rows[0]) == len(f.target) == len(f.words) <= max_length
        own = {w for t, w in zip(f.target, f.words, strict=True) if t != -100}
        assert {w for w in f.words if w is not None} == own


def test_where_windows_meet_a_word_is_scored_with_words_around_it(tokenizer):
    words = ("cat",) * 10
    data = dataset("tags", (words, ("x",) * 10), labels=("x",))
    first, second = features(data, tokenizer, max_length=8, stride=2)
    assert first.words == (None, 0, 1, 2, 3, 4, None, None)
    assert second.words == (None, None, 5, 6, 7, 8, 9, None)


CONTEXT = "Anna sees the old river in Paris. The small mouse finds a big blue stone."


def answered(text, found, tokenizer):
    first, last = found.target
    return text[found.offsets[first][0] : found.offsets[last][1]]


@pytest.mark.parametrize("answer", ["Paris", "Anna", "stone", "old river", "stone."])
@pytest.mark.parametrize(("max_length", "stride"), [(64, 8), (16, 4), (12, 0)])
def test_an_answer_is_found_in_the_windows_that_hold_it(tokenizer, answer, max_length, stride):
    label = (Answer(answer, CONTEXT.index(answer)), Answer("sees", 5))
    data = dataset("spans", (("who is ben", CONTEXT), label))
    found = features(data, tokenizer, max_length=max_length, stride=stride)
    holding = [f for f in found if f.target != (0, 0)]
    assert holding
    assert {answered(CONTEXT, f, tokenizer) for f in holding} == {answer}
    seen = set()
    for f in found:
        row = f.rows[0]
        assert spelled(tokenizer, row).startswith("[CLS] who is ben [SEP] ")
        assert len(row) == len(f.offsets) <= max_length
        assert f.offsets[:5] == (None,) * 5
        assert f.offsets[-1] is None
        seen |= set(f.offsets) - {None}
        if f not in holding:
            assert answer not in CONTEXT[f.offsets[5][0] : f.offsets[-2][1]]
    whole = tokenizer(CONTEXT, add_special_tokens=False, return_offsets_mapping=True)
    assert seen == set(whole["offset_mapping"])


def test_a_question_without_an_answer_points_at_the_first_token(tokenizer):
    data = dataset("spans", (("who", CONTEXT), ()), (("who", CONTEXT), None), (("who", ""), ()))
    found = features(data, tokenizer)
    assert [f.target for f in found] == [(0, 0), None, (0, 0)]
    assert [f.example for f in found] == [0, 1, 2]


def test_a_long_question_leaves_half_of_the_row_to_its_context(tokenizer):
    data = dataset("spans", ((" ".join(["who"] * 50), CONTEXT), ()))
    for max_length, max_query, kept in ((64, 64, 30), (64, 7, 7), (5, 64, 1)):
        for f in features(data, tokenizer, max_length=max_length, max_query=max_query):
            assert f.rows[0].index(tokenizer.sep_token_id) == kept + 1
            assert len(f.rows[0]) <= max_length


def test_plain_text_fills_blocks_of_one_document(tokenizer):
    data = dataset(
        "words", (("the cat sees", "a dog. a"), None), (("in paris",), None), (("",), None)
    )
    found = features(data, tokenizer, max_length=6)
    assert [(spelled(tokenizer, f.rows[0]), f.example, f.target) for f in found] == [
        ("[CLS] the cat sees a [SEP]", 0, None),
        ("[CLS] dog . a [SEP]", 0, None),
        ("[CLS] in paris [SEP]", 1, None),
    ]


def test_features_keep_the_order_and_the_numbers_of_many_examples(tokenizer):
    data = dataset("words", *(((" ".join(["cat"] * (n % 9 + 1)),), None) for n in range(2500)))
    found = features(data, tokenizer)
    assert [(f.example, f.tokens) for f in found] == [(n, n % 9 + 3) for n in range(2500)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fits_rows_of_any_length_and_needs_no_label(tokenizer, kind):
    text = "the cat sees a big dog in paris " * 5
    texts = {"words": (text,), "tags": tuple(text.split())}.get(kind, (text, text))
    if kind == "choice":
        texts = (text, text, text)
    data = dataset(kind, (texts, None), labels=("x",))
    for max_length in (5, 7, 30, None):
        found = features(data, tokenizer, max_length=max_length)
        assert {f.target for f in found} == {None}
        longest = max(len(row) for f in found for row in f.rows)
        assert longest <= (max_length or 512)


def test_rows_are_as_long_as_the_tokenizer_says(tokenizer):
    data = dataset("classification", (("cat " * 600,), None))
    assert features(data, tokenizer)[0].tokens == 512
    tokenizer.model_max_length = 20
    assert features(data, tokenizer)[0].tokens == 20
    assert features(data, tokenizer, max_length=30)[0].tokens == 30


@pytest.mark.parametrize(
    ("kind", "positions", "asked", "length"),
    [
        ("tags", 512, None, 512),
        ("tags", 1024, None, 700),
        ("tags", 512, 128, 128),
        ("tags", 512, 900, 512),
        ("spans", 512, None, 384),
        ("spans", 64, None, 64),
        ("spans", 512, 500, 500),
    ],
)
def test_a_row_is_as_long_as_is_asked_and_as_model_and_tokenizer_take(
    tokenizer, kind, positions, asked, length
):
    tokenizer.model_max_length = 700
    assert row_length(kind, tokenizer, positions, asked) == length


def test_a_file_becomes_features(tokenizer, tmp_path):
    path = tmp_path / "a.jsonl"
    rows = ({"text": "the cat", "label": ["b", "a"]}, {"text": "a dog", "label": []})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [f.target for f in features(load(path), tokenizer)] == [(1.0, 1.0), (0.0, 0.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 4}, "max_length is 4; allowed: a whole number of at least 5"),
        ({"max_length": 8.0}, "max_length is 8.0; allowed"),
        ({"stride": -1}, "stride is -1; allowed: a whole number of at least 0"),
        ({"max_query": 0}, "max_query is 0; allowed: a whole number of at least 1"),
    ],
)
def test_lengths_that_cannot_work_are_refused(tokenizer, options, message):
    with pytest.raises(InputError, match=message):
        features(dataset("classification", (("a",), None)), tokenizer, **options)
    with pytest.raises(InputError, match="no kind 'none'; allowed: classification"):
        features(dataset("none"), tokenizer)
    with pytest.raises(InputError, match="max_length is 0; allowed"):
        row_length("tags", tokenizer, 512, 0)


def test_a_label_that_the_data_does_not_name_is_refused_with_its_place(tokenizer):
    for data in (
        dataset("classification", (("a",), "x"), (("a",), "z"), labels=("x", "y")),
        dataset("multi_label", (("a",), ("x", "z")), labels=("x", "y")),
        dataset("tags", (("a", "b"), ("z", "x")), labels=("x", "y")),
    ):
        with pytest.raises(
            InputError, match=r"a: the label .*z.* is not of this data's labels, 'x'"
        ):
            features(data, tokenizer)
