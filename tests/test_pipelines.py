"""Pipelines: how they are made and called, what they refuse, and that batches do not matter."""

import json

import numpy as np
import pytest
import torch

import distilbert
from distilbert import (
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    pipeline,
    pipelines,
)
from distilbert.errors import InputError
from distilbert.pipelines import rows
from distilbert.pipelines.base import TextOptions
from distilbert.pipelines.tasks import TASKS
from tiny import CLASSES, INPUTS, LABELS, LONG, POSITIONS, TEXTS, WORDS

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(answer):
    """All numbers of a nested answer, and everything else with the numbers taken out."""
    if isinstance(answer, np.ndarray | torch.Tensor):
        return numbers(answer.tolist())
    if isinstance(answer, float):
        return [answer], 0
    if isinstance(answer, list):
        parts = [numbers(one) for one in answer]
        return [n for found, _ in parts for n in found], [rest for _, rest in parts]
    if isinstance(answer, dict):
        parts = {key: numbers(one) for key, one in answer.items()}
        return [n for found, _ in parts.values() for n in found], {
            key: rest for key, (_, rest) in parts.items()
        }
    return [], answer


def agree(found, wanted):
    found_numbers, found_rest = numbers(found)
    wanted_numbers, wanted_rest = numbers(wanted)
    assert found_rest == wanted_rest
    np.testing.assert_allclose(found_numbers, wanted_numbers, atol=2e-6, rtol=2e-5)


# Batches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", CLASSES)
def test_an_answer_does_not_depend_on_its_batch(tiny_pipeline, task):
    pipe = tiny_pipeline(task)
    inputs = INPUTS[task]
    together = pipe.run(inputs)
    assert len(together) == len(inputs)
    agree(
        [pipe(one) if task != "text-classification" else pipe.run([one])[0] for one in inputs],
        together,
    )
    agree(pipe.run(inputs[::-1])[::-1], together)
    agree(tiny_pipeline(task, token_budget=1).run(inputs), together)
    agree(tiny_pipeline(task, batch_size=2).run(inputs), together)


@pytest.mark.parametrize("task", CLASSES)
def test_an_iterator_gives_the_answers_of_a_list_as_it_goes(tiny_pipeline, task):
    pipe = tiny_pipeline(task)
    inputs, taken = INPUTS[task], []

    def source():
        for one in inputs:
            taken.append(one)
            yield one

    answers = pipe(source(), batch_size=2)
    first = next(answers)
    assert len(taken) == 2
    agree([first, *answers], pipe.run(inputs))


@pytest.mark.parametrize("task", CLASSES)
def test_no_inputs_give_no_answers(tiny_pipeline, task):
    pipe = tiny_pipeline(task)
    assert len(pipe([])) == 0
    assert list(pipe(iter([]))) == []


@pytest.mark.parametrize("task", CLASSES)
def test_both_tokenizers_give_the_same_answers(tiny_pipeline, task):
    assert isinstance(tiny_pipeline(task).tokenizer, DistilBertTokenizerFast)
    python = tiny_pipeline(task, use_fast=False)
    assert isinstance(python.tokenizer, DistilBertTokenizer)
    agree(python.run(INPUTS[task]), tiny_pipeline(task).run(INPUTS[task]))


@pytest.mark.parametrize("task", CLASSES)
def test_answers_go_into_json(tiny_pipeline, task):
    answers = tiny_pipeline(task).run(INPUTS[task])
    if task == "sentence-embedding":
        answers = [one.tolist() for one in answers]
    assert json.loads(json.dumps(answers)) == answers


def test_progress_counts_every_row_once(tiny_pipeline):
    seen = []
    tiny_pipeline("text-classification", token_budget=20).run(TEXTS, progress=seen.append)
    assert len(seen) > 1
    assert sum(seen) == len(TEXTS)


# Making -------------------------------------------------------------------------------------------


def test_other_names_of_a_task_mean_the_same(tiny_folder):
    folder = tiny_folder("DistilBertForSequenceClassification")
    assert pipeline("sentiment-analysis", folder).task == "text-classification"
    folder = tiny_folder("DistilBertForTokenClassification", id2label=LABELS)
    assert pipeline("ner", folder).task == "token-classification"


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("DistilBertModel", "feature-extraction"),
        ("DistilBertForSequenceClassification", "text-classification"),
        ("DistilBertForTokenClassification", "token-classification"),
        ("DistilBertForQuestionAnswering", "question-answering"),
        ("DistilBertForMaskedLM", "fill-mask"),
    ],
)
def test_without_a_task_it_is_that_of_the_models_class(tiny_folder, name, task):
    settings = {"id2label": LABELS} if task == "token-classification" else {}
    folder = tiny_folder(name, **settings)
    assert pipeline(model=folder).task == task
    model = getattr(distilbert, name).from_pretrained(folder)
    assert pipeline(model=model, tokenizer=folder).task == task


def test_a_loaded_model_answers_with_its_tokenizer_and_stays_as_it_was(tiny_folder):
    folder = tiny_folder("DistilBertForSequenceClassification")
    model = DistilBertForSequenceClassification.from_pretrained(folder).train()
    tokenizer = DistilBertTokenizerFast.from_pretrained(folder)
    pipe = pipeline("text-classification", model, tokenizer=tokenizer)
    agree(pipe(TEXTS), pipeline("text-classification", folder)(TEXTS))
    assert model.training
    classes = pipelines.TextClassificationPipeline(model, tokenizer, top_k=1)
    agree(classes("cat", top_k=1), pipe("cat", top_k=1))


def test_options_of_making_are_overridden_by_those_of_a_call(tiny_pipeline):
    pipe = tiny_pipeline("fill-mask", top_k=2)
    assert len(pipe("[MASK]")) == 2
    assert len(pipe("[MASK]", top_k=3)) == 3
    assert len(pipe("[MASK]")) == 2


def test_weights_come_in_the_precision_that_was_asked_for(tiny_folder):
    folder = tiny_folder("DistilBertModel")
    for name in ("dtype", "torch_dtype"):
        pipe = pipeline("feature-extraction", folder, **{name: torch.bfloat16})
        assert pipe.model.dtype == torch.bfloat16
        features = pipe("cat", return_tensors=True)
        assert features.dtype == torch.float32
    assert pipeline("feature-extraction", folder, device=-1).model.device.type == "cpu"


def test_answers_of_a_half_precision_model_are_near_those_of_the_whole(tiny_folder):
    folder = tiny_folder("DistilBertModel")
    half = pipeline("sentence-embedding", folder, dtype="bfloat16")(TEXTS)
    whole = pipeline("sentence-embedding", folder)(TEXTS)
    assert half.dtype == np.float32
    assert np.sum(half * whole, axis=1).min() > 0.99


def test_every_task_is_listed_once_and_has_its_classes():
    names = [name for task in TASKS for name in (task.name, *task.aliases)]
    assert len(names) == len(set(names))
    for task in TASKS:
        assert task.pipeline_class().task == task.name
        assert task.model_class().__name__ == task.model
        assert getattr(pipelines, task.pipeline) is task.pipeline_class()
        assert bool(task.default) != bool(task.example)


# Long texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", ["feature-extraction", "sentence-embedding", "text-classification"]
)
def test_a_long_text_is_an_error_or_cut_and_said(tiny_pipeline, task):
    pipe = tiny_pipeline(task)
    with pytest.raises(
        InputError, match=rf"the text 'the a of .*…' has \d+ tokens, .* {POSITIONS};"
    ):
        pipe(["cat", LONG])
    seen = []
    cut = pipe(["cat", LONG], truncation=True, on_cut=seen.append)
    assert seen == [[1]]
    agree(cut[1], pipe([" ".join(WORDS[: POSITIONS - 2])])[0])
    seen.clear()
    pipe(["cat"] * 3 + [LONG] * 2, truncation=True, batch_size=2, on_cut=seen.append)
    assert seen == [[3], [4]]
    with pytest.raises(InputError, match="has 65 tokens"):
        pipe(LONG, truncation=True, max_length=65)


def test_a_long_text_is_tagged_whole_and_every_token_once(tiny_pipeline):
    pipe = tiny_pipeline("token-classification", ignore_labels=())
    words = WORDS * 5
    text = " ".join(words)
    found = pipe(text)
    assert [one["word"] for one in found] == words
    assert [one["index"] for one in found] == list(range(1, len(words) + 1))
    assert all(text[one["start"] : one["end"]] == one["word"] for one in found)
    grouped = pipe(text, aggregation_strategy="simple")
    assert [one["start"] for one in grouped] == sorted(one["start"] for one in grouped)
    assert " ".join(one["word"] for one in grouped) == text


def test_tokens_far_from_the_edges_of_a_long_text_have_the_scores_of_their_window(tiny_pipeline):
    pipe = tiny_pipeline("token-classification", ignore_labels=())
    words = WORDS * 2
    found = pipe(" ".join(words))
    alone = pipe(" ".join(words[:62]))
    agree([one["score"] for one in found[:40]], [one["score"] for one in alone[:40]])


def test_an_answer_is_found_in_the_last_window_of_a_long_context(tiny_folder):
    """A reader whose logits depend on the word alone finds it wherever it stands."""
    folder = tiny_folder("DistilBertForQuestionAnswering")
    model = DistilBertForQuestionAnswering.from_pretrained(folder)
    tokenizer = DistilBertTokenizerFast.from_pretrained(folder)
    wanted = tokenizer.convert_tokens_to_ids("berlin")
    with torch.no_grad():
        model.distilbert.embeddings.position_embeddings.weight.zero_()
        for layer in model.distilbert.transformer.layer:
            layer.attention.out_lin.weight.zero_()
            layer.attention.out_lin.bias.zero_()
        pipe = pipeline("feature-extraction", model, tokenizer=tokenizer)
        word = pipe("berlin", return_tensors=True)[0, 1]
        model.qa_outputs.weight.copy_(torch.stack([word, word]))
    assert wanted in tokenizer("berlin")["input_ids"]
    pipe = pipeline("question-answering", model, tokenizer=tokenizer)
    filler = " ".join(["cat dog mouse"] * 60)
    context = f"{filler} Berlin {filler} river"
    answer = pipe(question="where?", context=context)
    assert answer["answer"] == "Berlin"
    assert context[answer["start"] : answer["end"]] == "Berlin"


@pytest.mark.diverges("transformers 4.57.6: a word at a window's edge is widened to its part there")
def test_an_answer_is_widened_to_a_whole_word_across_the_edge_of_a_window(tiny_pipeline):
    pipe = tiny_pipeline("question-answering")
    context = "unbelievable " * 40
    options = {"max_answer_len": 1, "max_seq_len": 20, "doc_stride": 0, "top_k": 5}
    answer = pipe(question="who?", context=context, **options)
    assert answer["answer"] == "unbelievable"  # whichever of its tokens, in whichever window


# Sentences ----------------------------------------------------------------------------------------


def test_an_embedding_is_the_mean_of_the_features(tiny_pipeline):
    features = tiny_pipeline("feature-extraction")(TEXTS, return_tensors=True)
    plain = tiny_pipeline("sentence-embedding", normalize=False)(TEXTS)
    assert plain.dtype == np.float32
    np.testing.assert_allclose(
        plain, np.stack([one[0].mean(0).numpy() for one in features]), 1e-4, 1e-5
    )
    unit = tiny_pipeline("sentence-embedding")(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), 1e-4, 1e-6
    )


def test_embeddings_come_as_arrays_or_tensors_that_can_be_trained_on(tiny_pipeline):
    pipe = tiny_pipeline("sentence-embedding")
    assert pipe("cat").shape == (16,)
    assert pipe([]).shape == (0, 16)
    assert pipe([], return_tensors=True).shape == (0, 16)
    tensor = pipe(["cat", "dog"], return_tensors=True)
    assert tensor.shape == (2, 16)
    torch.nn.Linear(16, 2)(tensor).sum().backward()
    features = tiny_pipeline("feature-extraction")("cat", return_tensors=True)
    torch.nn.Linear(16, 2)(features).sum().backward()


def test_similarity_is_the_cosine_of_embeddings(tiny_pipeline):
    embed, compare = tiny_pipeline("sentence-embedding"), tiny_pipeline("sentence-similarity")
    source, others = "a cat sleeps", ["a cat sleeps", "the sun", "Paris in the rain"]
    found = compare({"source_sentence": source, "sentences": others})
    np.testing.assert_allclose(found, embed(others) @ embed(source), atol=1e-5)
    assert found[0] == pytest.approx(1)
    assert max(found) <= 1
    with pytest.raises(InputError, match=r'takes \{"source_sentence": text, "sentences": \[texts'):
        compare({"source": source})
    with pytest.raises(InputError, match="at least one text"):
        compare({"source_sentence": source, "sentences": []})


def test_old_spellings_of_options_mean_what_they_meant(tiny_pipeline):
    tag = tiny_pipeline("token-classification")
    agree(tag(TEXTS, grouped_entities=True), tag(TEXTS, aggregation_strategy="simple"))
    agree(tag(TEXTS, aggregation_strategy="SIMPLE"), tag(TEXTS, aggregation_strategy="simple"))
    answer = tiny_pipeline("question-answering")
    given = {"question": "who?", "context": "Anna sees the cat."}
    agree(answer(**given, topk=2), answer(**given, top_k=2))


# Forms that users of other libraries know ---------------------------------------------------------


@pytest.mark.parametrize("task", CLASSES)
def test_options_that_ask_for_nothing_change_nothing(tiny_pipeline, task):
    pipe = tiny_pipeline(
        task,
        framework="pt",
        num_workers=4,
        trust_remote_code=False,
        binary_output=False,
        device_map=None,
        feature_extractor=None,
        processor=None,
        image_processor=None,
        use_auth_token=None,
        pipeline_class=None,
    )
    options = {"num_workers": 0, "padding": True}
    agree(pipe.run(INPUTS[task], **options), tiny_pipeline(task).run(INPUTS[task]))
    assert (pipe.framework, pipe.device) == ("pt", torch.device("cpu"))


def test_a_dataset_with_numbers_and_a_length_is_answered_as_it_goes(tiny_pipeline):
    class Texts(torch.utils.data.Dataset):
        def __init__(self):
            self.taken = 0

        def __len__(self):
            return len(TEXTS)

        def __getitem__(self, at):
            self.taken += 1
            return TEXTS[at]

    pipe, texts = tiny_pipeline("text-classification"), Texts()
    answers = pipe(texts, batch_size=2)
    first = next(answers)
    assert texts.taken == 2
    agree([first, *answers], pipe(TEXTS))


def test_predict_and_transform_are_calls(tiny_pipeline):
    pipe = tiny_pipeline("text-classification")
    agree(pipe.predict(TEXTS), pipe(TEXTS))
    agree(pipe.transform("cat"), pipe("cat"))


def test_a_saved_pipeline_is_loaded_again(tiny_pipeline, tmp_path):
    pipe = tiny_pipeline("text-classification")
    pipe.save_pretrained(tmp_path)
    agree(pipeline("text-classification", tmp_path)(TEXTS), pipe(TEXTS))


def test_a_function_may_be_named_in_capitals(tiny_pipeline):
    pipe = tiny_pipeline("text-classification", function_to_apply="NONE")
    agree(pipe("cat"), pipe("cat", function_to_apply="none"))


def test_a_pair_in_two_lists_is_a_pair(tiny_pipeline):
    pipe = tiny_pipeline("text-classification")
    agree(pipe([[["a cat", "a dog"]]]), pipe([{"text": "a cat", "text_pair": "a dog"}]))


@pytest.mark.parametrize(
    "task", ["feature-extraction", "sentence-embedding", "text-classification"]
)
def test_a_length_alone_cuts_unless_that_is_refused(tiny_pipeline, task):
    pipe = tiny_pipeline(task)
    agree(pipe(LONG, max_length=9), pipe(LONG, max_length=9, truncation=True))
    agree(pipe(LONG, max_length=9), pipe(" ".join(WORDS[:7])))
    for refused in (False, "do_not_truncate"):
        with pytest.raises(InputError, match="this model reads at most"):
            pipe(LONG, max_length=9, truncation=refused)


@pytest.mark.parametrize("task", ["token-classification", "question-answering"])
def test_progress_of_long_texts_counts_texts(tiny_pipeline, task):
    seen = []
    inputs = ["cat", LONG * 9, "dog"]
    if task == "question-answering":
        inputs = [{"question": "who?", "context": text} for text in inputs]
    tiny_pipeline(task, token_budget=64).run(inputs, progress=seen.append)
    assert len(seen) > 3
    assert sum(seen) == len(inputs)


@pytest.mark.parametrize("use_fast", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "unbelievable cats " * 5000,
        " " * 90_000 + "the cat " * 90,
        "x" * 90_000 + " the cat" * 90,
        "the cat" + "\x00" * 90_000 + " dog" * 90,
        "the " * 90_000 + "cat",
        "é东" * 45_000,
    ],
    ids=["words", "spaces", "letters", "controls", "short words", "no spaces"],
)
def test_a_very_long_text_is_cut_as_the_tokenizer_cuts_it(tiny_pipeline, text, use_fast):
    pipe = tiny_pipeline("feature-extraction", use_fast=use_fast)
    ids = pipe.tokenizer(text, truncation=True, max_length=20)["input_ids"]
    seen = []
    options = TextOptions(truncation=True, max_length=20, on_cut=seen.append)
    assert rows.rows_of(pipe, [text], None, options) == [ids]
    assert seen == [[0]]


def test_a_text_that_is_cut_is_not_read_whole(tiny_pipeline, monkeypatch):
    pipe = tiny_pipeline("feature-extraction")
    lengths = []

    def encode(tokenizer, texts, pairs, options):
        lengths.extend(map(len, texts))
        return [[2, 5, 3] for _ in texts]

    monkeypatch.setattr(rows, "_encode", encode)
    rows.rows_of(pipe, ["the cat " * 100_000], None, TextOptions(truncation=True))
    assert max(lengths) < 10_000
