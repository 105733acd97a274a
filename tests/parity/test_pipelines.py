"""Answers of the pipelines against those of the installed reference, on tiny random models.

Scores agree to 1e-5: both compute in float32, in batches of other shapes. Everything else (keys,
their order, labels, words, characters, nesting) is equal.
"""

import random
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
import transformers

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast, pipeline
from distilbert.errors import InputError
from distilbert.files.backbones import cache_home
from tiny import LABELS, WORDS

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # NumPy complains of how the reference makes arrays of tensors when it looks for answers.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TEXTS = [
    "Anna sees the old river in Paris.",
    "cat",
    "The unbelievable dogs, 7 of 12, never sleep!",
    "Ben's film was \"very good\" - don't question it",
    "",
    "zzz 東京 qqq Clara 2024",
    "The small mouse finds a big blue stone in the house of Clara and Ben, in London.",
]
CLASSES = {
    "feature-extraction": "DistilBertModel",
    "text-classification": "DistilBertForSequenceClassification",
    "token-classification": "DistilBertForTokenClassification",
    "question-answering": "DistilBertForQuestionAnswering",
    "fill-mask": "DistilBertForMaskedLM",
}


@pytest.fixture
def pair(tiny_folder):
    """`pair(task, **settings)`: the reference's pipeline and ours, on one folder."""

    def both(task, options=None, tokenizer=DistilBertTokenizerFast, **settings):
        name = CLASSES[task]
        folder = tiny_folder(name, **settings)
        reference = transformers.pipeline(
            task,
            model=getattr(transformers, name).from_pretrained(folder),
            tokenizer=transformers.DistilBertTokenizerFast.from_pretrained(folder),
            device="cpu",
            **(options or {}),
        )
        own = pipeline(
            task, str(folder), tokenizer=tokenizer.from_pretrained(folder), **(options or {})
        )
        return reference, own

    return both


def agree(found, wanted, at="answer"):
    """Equal in shape, keys, their order and values; numbers to 1e-5."""
    if isinstance(wanted, torch.Tensor):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    elif isinstance(wanted, float | np.floating):
        assert type(found) is float, at
        assert found == pytest.approx(float(wanted), abs=1e-5, rel=1e-4), at
    elif isinstance(wanted, list):
        assert type(found) is list, at
        assert len(found) == len(wanted), at
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            agree(one, other, f"{at}[{number}]")
    elif isinstance(wanted, dict):
        assert type(found) is dict, at
        assert list(found) == list(wanted), at
        for key in wanted:
            agree(found[key], wanted[key], f"{at}[{key!r}]")
    else:
        assert type(found) is type(wanted), at
        assert found == wanted, at


BOTH_TOKENIZERS = pytest.mark.parametrize(
    "tokenizer", [DistilBertTokenizerFast, DistilBertTokenizer]
)


@BOTH_TOKENIZERS
def test_features_agree(pair, tokenizer):
    reference, own = pair("feature-extraction", tokenizer=tokenizer)
    agree(own(TEXTS[0]), reference(TEXTS[0]))
    agree(own(TEXTS), reference(TEXTS))
    agree(own(TEXTS[:1]), reference(TEXTS[:1]))
    agree(own(TEXTS, return_tensors=True), reference(TEXTS, return_tensors=True))
    long = " ".join(WORDS)
    for options in (
        {"truncation": True},
        {"tokenize_kwargs": {"truncation": True, "max_length": 9}},
        {"tokenize_kwargs": {"truncation": True, "add_special_tokens": False}},
    ):
        agree(own(long, **options), reference(long, **options))


CLASSIFYING = [
    {},
    {"top_k": 1},
    {"top_k": 2},
    {"top_k": 99},
    {"top_k": None},
    {"function_to_apply": "sigmoid"},
    {"function_to_apply": "none", "top_k": None},
    {"function_to_apply": "softmax"},
    {"truncation": True, "max_length": 5},
    {"max_length": 5},
    {"function_to_apply": "NONE"},
    {"num_workers": 0},
    {"padding": True, "truncation": True},
]


@pytest.mark.parametrize("options", CLASSIFYING, ids=str)
@BOTH_TOKENIZERS
def test_labels_agree_in_every_form_of_call(pair, options, tokenizer):
    reference, own = pair("text-classification", tokenizer=tokenizer, num_labels=3)
    older = [[[TEXTS[0], TEXTS[1]]]]
    for inputs in (TEXTS[0], TEXTS, TEXTS[:1], {"text": TEXTS[0], "text_pair": TEXTS[1]}, older):
        agree(own(inputs, **options), reference(inputs, **options))
    pairs = [{"text": one, "text_pair": other} for one, other in pairwise(TEXTS) if other]
    agree(own(pairs, **options), reference(pairs, **options))


@pytest.mark.diverges("transformers 4.57.6: an empty second text is dropped with its [SEP]")
def test_an_empty_second_text_stays_a_pair(pair):
    reference, own = pair("text-classification", num_labels=3)
    given = {"text": "a cat", "text_pair": ""}
    agree(reference(given), reference("a cat")[0])
    agree(own(given), reference("a cat [SEP]")[0])


@pytest.mark.parametrize("options", [{"top_k": None}, {"top_k": 1}, {"top_k": 2}], ids=str)
def test_labels_agree_where_the_number_was_given_when_the_pipeline_was_made(pair, options):
    reference, own = pair("text-classification", options, num_labels=3)
    for inputs in (TEXTS[0], TEXTS[:3]):
        agree(own(inputs), reference(inputs))


@pytest.mark.filterwarnings("ignore:`return_all_scores` is now deprecated")
def test_all_scores_agree(pair):
    reference, own = pair("text-classification", num_labels=3)
    for inputs in (TEXTS[0], TEXTS[:3]):
        agree(own(inputs, return_all_scores=True), reference(inputs, return_all_scores=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
        {"num_labels": 3, "problem_type": "regression"},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        {"id2label": {0: "BAD", 1: "GOOD"}},
    ],
    ids=str,
)
def test_the_problem_of_a_model_decides_what_makes_its_scores(pair, settings):
    reference, own = pair("text-classification", **settings)
    agree(own(TEXTS), reference(TEXTS))
    agree(own(TEXTS, top_k=None), reference(TEXTS, top_k=None))


def _number(entities):
    """The reference's scores are NumPy scalars, which no JSON encoder takes; ours are floats."""
    return [
        [{**one, "score": float(one["score"])} for one in text] if isinstance(text, list) else text
        for text in entities
    ]


STRATEGIES = ["none", "simple", "first", "average", "max"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@BOTH_TOKENIZERS
def test_entities_agree(pair, strategy, tokenizer):
    reference, own = pair("token-classification", tokenizer=tokenizer, id2label=LABELS)
    for options in ({}, {"ignore_labels": []}, {"ignore_labels": ["LOC", "B-LOC"]}):
        wanted = reference(TEXTS, aggregation_strategy=strategy, **options)
        found = own(TEXTS, aggregation_strategy=strategy, **options)
        agree(found, _number(wanted))
        assert any(found)
        agree(own(TEXTS[0], aggregation_strategy=strategy, **options), _number(wanted)[0])
        agree(own(TEXTS[:1], aggregation_strategy=strategy, **options), _number(wanted)[:1])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_of_words_agree(pair, strategy):
    reference, own = pair("token-classification", id2label=LABELS)
    words = [["Anna", "sees", "Ben's", "mouse"], ["unbelievable", "zzz", "."]]
    for more in ({}, {"delimiter": "--"}):
        options = {"is_split_into_words": True, "aggregation_strategy": strategy, **more}
        agree(own(words, **options), _number(reference(words, **options)))
        agree(own(words[0], **options), _number(reference(words[0], **options)))


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 7, 30])
def test_entities_in_windows_agree(pair, strategy, stride):
    reference, own = pair("token-classification", id2label=LABELS)
    draw = random.Random(stride)
    texts = [" ".join(draw.choices(WORDS, k=length)) for length in (3, 62, 63, 100, 400)]
    options = {"stride": stride, "aggregation_strategy": strategy}
    for text in texts:
        agree(own(text, **options), _number([reference(text, **options)])[0])


@pytest.mark.diverges("transformers 4.57.6: tagging cuts a long text silently without a stride")
def test_a_long_text_is_tagged_whole_without_a_stride(pair):
    reference, own = pair("token-classification", {"ignore_labels": []}, id2label=LABELS)
    text = " ".join(WORDS * 2)
    assert len(reference(text)) == 62
    assert len(own(text)) > 120


@pytest.mark.diverges("transformers 4.57.6: an accent of two characters joins a word to the last")
def test_a_decomposed_accent_does_not_continue_the_word_before(pair):
    options = {"ignore_labels": []}
    reference, own = pair("token-classification", options, id2label=LABELS)
    first, second = next(
        words
        for words in permutations([word for word in WORDS if "e" in word], 2)
        if len({one["entity"].split("-")[-1] for one in own(" ".join(words))}) == 2
    )
    text = f"{first} " + second.replace("e", "e\u0301")
    (joined,) = reference(text, aggregation_strategy="first")
    assert (joined["start"], joined["end"]) == (0, len(text))
    found = own(text, aggregation_strategy="first")
    assert [one["word"] for one in found] == [first, second]
    assert [one["start"] for one in found] == [0, len(first) + 1]


QUESTIONS = [
    ("Who sees the river?", "Anna sees the old river in Paris. Ben sleeps in the house of Clara."),
    ("Where is the unbelievable mouse", "The mouse lives in London, and the cat in Berlin."),
    ("why?", "Because."),
    ("What", "東京 2024 don't"),
]
ANSWERING = [
    {},
    {"top_k": 1, "align_to_words": False},
    {"max_answer_len": 1},
    {"max_answer_len": 4, "handle_impossible_answer": True},
    {"top_k": 3},
    {"top_k": 3, "align_to_words": False},
    {"top_k": 2, "handle_impossible_answer": True},
]


@pytest.mark.parametrize("options", ANSWERING, ids=str)
@BOTH_TOKENIZERS
def test_answers_agree(pair, options, tokenizer):
    reference, own = pair("question-answering", tokenizer=tokenizer)
    for question, context in QUESTIONS[:2]:
        given = {"question": question, "context": context}
        agree(own(**given, **options), reference(**given, **options))
    questions, contexts = map(list, zip(*QUESTIONS[:2], strict=True))
    wanted = reference(question=questions, context=contexts, **options)
    agree(own(question=questions, context=contexts, **options), wanted)
    agree(own(question=questions[:1], context=contexts[:1], **options), wanted[0])
    one = contexts[0]
    wanted = reference(question=questions, context=one, **options)
    agree(own(question=questions, context=one, **options), wanted)


@pytest.mark.filterwarnings("ignore:Passing a list of SQuAD examples:FutureWarning")
def test_answers_agree_for_dictionaries(pair):
    reference, own = pair("question-answering")
    given = [{"question": q, "context": c} for q, c in QUESTIONS]
    agree(own(given), reference(given))
    agree(own(given[0]), reference(given[0]))
    agree(own(given[:1]), reference(given[:1]))
    agree(own(*QUESTIONS[0]), reference(*QUESTIONS[0]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_seq_len": 30, "doc_stride": 10},
        {"max_seq_len": 40, "doc_stride": 0, "handle_impossible_answer": True},
        {"max_seq_len": 64, "top_k": 4},
    ],
    ids=str,
)
def test_answers_in_windows_agree(pair, options):
    reference, own = pair("question-answering")
    draw = random.Random(0)
    # Words of one token: see the divergence below for words that a window cuts.
    whole = [word for word in WORDS if not set(word) <= set("0123456789")]
    for length in (20, 70, 300):
        context = " ".join(draw.choices(whole, k=length))
        given = {"question": "who sees the cat?", "context": context}
        agree(own(**given, **options), reference(**given, **options))


@pytest.mark.diverges("transformers 4.57.6: max_question_len is ignored with fast tokenizers")
def test_a_long_question_is_cut(pair):
    reference, own = pair("question-answering")
    question, context = "who sees the cat " * 3, QUESTIONS[0][1]
    wanted = reference(question="who sees the", context=context)
    agree(own(question=question, context=context, max_question_len=3), wanted)
    assert reference(question=question, context=context, max_question_len=3) != wanted


@pytest.mark.diverges(
    "transformers 4.57.6: fills up the answers with spans that end before they begin"
)
def test_there_are_no_answers_beyond_those_possible(pair):
    reference, own = pair("question-answering")
    given = {"question": "who?", "context": "anna sees", "top_k": 9, "align_to_words": False}
    found, wanted = own(**given), reference(**given)
    assert {one["answer"] for one in found} == {"anna", "sees", "anna sees"}
    assert any(one["score"] == 0 for one in wanted)
    agree(found, [one for one in wanted if one["score"] > 0])


MASKED = ["The [MASK] sleeps.", "[MASK]", "Anna [MASK] the [MASK] river.", "a [MASK] [MASK] [MASK]"]


@pytest.mark.parametrize(
    "options", [{}, {"top_k": 2}, {"targets": ["cat", "dog"]}, {"targets": "cat"}], ids=str
)
@BOTH_TOKENIZERS
def test_fills_agree(pair, options, tokenizer):
    reference, own = pair("fill-mask", tokenizer=tokenizer)
    for text in MASKED:
        agree(own(text, **options), reference(text, **options))
        agree(own([text], **options), reference([text], **options))
    agree(own(MASKED, **options), reference(MASKED, **options))


def test_fills_agree_for_targets_that_are_no_tokens(pair, caplog):
    reference, own = pair("fill-mask")
    targets = ["Cat", "unbelievable", "dog"]
    wanted = reference(MASKED[0], targets=targets)
    with pytest.warns(UserWarning, match="is not in the vocabulary; its first") as caught:
        found = own(MASKED[0], targets=targets)
    agree(found, wanted)
    assert len(caught) == 2


def test_fills_agree_for_a_text_that_is_cut(pair):
    reference, own = pair("fill-mask")
    text, options = MASKED[0] + " ".join(WORDS), {"tokenizer_kwargs": {"truncation": True}}
    agree(own(text, **options), reference(text, **options))


@pytest.mark.diverges("transformers 4.57.6: a long text fails with an index error within the model")
@pytest.mark.parametrize("task", ["feature-extraction", "text-classification"])
def test_a_long_text_is_refused_unless_it_may_be_cut(pair, task):
    reference, own = pair(task)
    text = " ".join(WORDS)
    with pytest.raises((IndexError, RuntimeError)):
        reference(text)
    with pytest.raises(InputError, match=r"has \d+ tokens, .* reads at most 64; pass truncation"):
        own(text)
    agree(own(text, truncation=True), reference(text, truncation=True))


@pytest.mark.diverges(
    "transformers 4.57.6: feature-extraction of a model with a head gives its logits"
)
def test_features_of_a_model_with_a_head_are_those_of_its_encoder(tiny_folder):
    folder = tiny_folder("DistilBertForSequenceClassification")
    model = transformers.DistilBertForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.DistilBertTokenizerFast.from_pretrained(folder)
    base = transformers.pipeline("feature-extraction", model=model.distilbert, tokenizer=tokenizer)
    headed = transformers.pipeline("feature-extraction", model=model, tokenizer=tokenizer)
    import distilbert

    own_model = distilbert.DistilBertForSequenceClassification.from_pretrained(folder)
    own = pipeline("feature-extraction", own_model, tokenizer=str(folder))
    agree(own(TEXTS[0]), base(TEXTS[0]))
    assert np.shape(headed(TEXTS[0])) == (1, 2)


@pytest.mark.diverges("transformers 4.57.6: answers at random where the head is missing")
def test_a_model_without_the_head_is_refused(tiny_folder):
    folder = str(tiny_folder("DistilBertModel"))
    assert transformers.pipeline("text-classification", model=folder)("cat")[0]["label"]
    with pytest.raises(InputError, match=r"holds no weights for classifier.bias"):
        pipeline("text-classification", folder)


MINILM = cache_home() / "minilm"


@pytest.mark.skipif(not MINILM.exists(), reason="minilm is not in the cache")
def test_sentence_embeddings_of_minilm_are_means_of_the_bert_that_it_is():
    texts = ["A cat sleeps in the sun.", "Naïve café in 東京 🙂", "", "tax " * 200]
    tokenizer = transformers.BertTokenizerFast.from_pretrained(MINILM)
    bert = transformers.BertModel.from_pretrained(MINILM).eval()
    wanted = []
    for text in texts:
        with torch.no_grad():
            states = bert(**tokenizer(text, return_tensors="pt")).last_hidden_state
        mean = states[0].mean(0)
        wanted.append((mean / mean.norm()).numpy())
    found = pipeline("sentence-embedding", "minilm")(texts)
    np.testing.assert_allclose(found, np.stack(wanted), atol=1e-5)
