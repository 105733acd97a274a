"""What the pipelines refuse, each with one clear error that names the remedy."""

import pytest

from distilbert import DistilBertModel, pipeline, zoo
from distilbert.errors import DistilBertError, FileError, InputError
from distilbert.pipelines.base import TextError
from distilbert.pipelines.tasks import TASKS
from tiny import INPUTS, write_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("task", [task.name for task in TASKS if not task.default])
def test_a_task_with_a_head_needs_a_model_and_names_one_where_none_is_shipped(monkeypatch, task):
    monkeypatch.setattr(zoo, "DEFAULTS", {})
    with pytest.raises(InputError, match=rf"{task} needs a model, .* a hub id such as '.*'"):
        pipeline(task)


@pytest.mark.parametrize("task", [task.name for task in TASKS if not task.default])
def test_a_checkpoint_without_the_head_is_refused_with_what_it_lacks(tiny_folder, task):
    folder = tiny_folder("DistilBertModel")
    with pytest.raises(InputError, match=rf"holds no weights for .*, so it cannot do {task}; give"):
        pipeline(task, folder)


def test_a_checkpoint_with_another_head_is_refused(tiny_folder):
    folder = tiny_folder("DistilBertForQuestionAnswering")
    with pytest.raises(InputError, match=r"holds no weights for classifier\.bias, classifier\.w"):
        pipeline("text-classification", folder)


def test_a_loaded_model_of_another_class_is_refused(tiny_folder):
    folder = tiny_folder("DistilBertModel")
    model = DistilBertModel.from_pretrained(folder)
    with pytest.raises(InputError, match="needs a DistilBertForQuestionAnswering, not a Dis"):
        pipeline("question-answering", model, tokenizer=folder)
    with pytest.raises(InputError, match="not a dict"):
        pipeline("feature-extraction", {}, tokenizer=folder)


def test_a_loaded_model_needs_its_tokenizer_and_takes_no_device(tiny_folder):
    folder = tiny_folder("DistilBertModel")
    model = DistilBertModel.from_pretrained(folder)
    with pytest.raises(InputError, match="does not say which tokenizer it belongs to"):
        pipeline("feature-extraction", model)
    with pytest.raises(InputError, match=r"move the loaded one: model\.to\('cpu'\)"):
        pipeline("feature-extraction", model, tokenizer=folder, device="cpu")


@pytest.mark.parametrize("given", [3, ["minilm"], DistilBertModel])
def test_what_is_no_tokenizer_is_refused(tiny_folder, given):
    with pytest.raises(InputError, match=r"tokenizer is .*; allowed: a tokenizer, such as"):
        pipeline("feature-extraction", tiny_folder("DistilBertModel"), tokenizer=given)


def test_an_unknown_task_or_option_names_those_there_are(tiny_pipeline):
    with pytest.raises(InputError, match=r"unknown task 'translation'; the tasks are: feature-"):
        pipeline("translation")
    with pytest.raises(InputError, match=r"unknown option 'topk' for text-classification; its opt"):
        tiny_pipeline("text-classification", topk=1)
    with pytest.raises(InputError, match="needs a task, a model, or both"):
        pipeline()


def test_a_model_that_does_not_say_its_task_is_refused(tmp_path):
    folder = write_model(tmp_path, "DistilBertForMultipleChoice")
    with pytest.raises(InputError, match=r"DistilBertForMultipleChoice.*name a task"):
        pipeline(model=folder)


def test_a_missing_folder_is_a_file_error(tmp_path):
    with pytest.raises(FileError, match="no folder"):
        pipeline("feature-extraction", tmp_path / "nowhere")


@pytest.mark.parametrize(
    "task", ["feature-extraction", "sentence-embedding", "text-classification"]
)
def test_what_is_no_text_is_refused_by_its_number(tiny_pipeline, task):
    pipe = tiny_pipeline(task)
    for wrong, kind in ((None, "None"), (3, "of type int"), (b"x", "of type bytes")):
        with pytest.raises(InputError, match=rf"number 2 of 2 is {kind}"):
            pipe(["a", wrong])
    for wrong in (None, 3):
        with pytest.raises(InputError, match="takes a text, a list or an iterable"):
            pipe(wrong)
    with pytest.raises(DistilBertError, match="surrogate"):
        pipe("a \ud800")


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("text-classification", {"top_k": 0}),
        ("text-classification", {"function_to_apply": "argmax"}),
        ("text-classification", {"batch_size": 0}),
        ("text-classification", {"max_length": 0}),
        ("token-classification", {"aggregation_strategy": "last"}),
        ("token-classification", {"stride": -1}),
        ("token-classification", {"stride": 62}),
        ("question-answering", {"top_k": 0}),
        ("question-answering", {"max_answer_len": 0}),
        ("question-answering", {"max_seq_len": 65}),
        ("question-answering", {"max_seq_len": 8}),
        ("question-answering", {"doc_stride": 60}),
        ("fill-mask", {"top_k": 0}),
        ("fill-mask", {"tokenizer_kwargs": {"return_tensors": "pt"}}),
        ("feature-extraction", {"truncation": True, "tokenize_kwargs": {"truncation": True}}),
    ],
    ids=str,
)
def test_a_value_that_cannot_work_is_refused(tiny_pipeline, task, options):
    pipe = tiny_pipeline(task)
    with pytest.raises(InputError):
        pipe.run(INPUTS[task], **options)


def test_pairs_are_dictionaries_and_lists_are_told_so(tiny_pipeline):
    pipe = tiny_pipeline("text-classification")
    with pytest.raises(InputError, match=r'write a pair of texts as \{"text": "…", "text_pair"'):
        pipe([["a", "b"]])
    with pytest.raises(InputError, match="has the keys 'text' and 'text_pair'"):
        pipe({"text": "a", "pair": "b"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"question": "", "context": "a"}, "the question is empty"),
        ({"question": "a", "context": " \n"}, "the context is empty"),
        ({"question": "a", "context": "\x00"}, "holds no word"),
        ({"question": None, "context": "a"}, "question and context are texts"),
        ({"question": ["a", "b"], "context": ["a"]}, "2 questions and 1 contexts do not pair"),
        ({"question": "a"}, "needs both a question and a context"),
        ({"context": "a"}, "needs both a question and a context"),
        ({}, "needs both a question and a context"),
    ],
    ids=str,
)
def test_a_question_needs_words_and_a_context_with_words(tiny_pipeline, given, message):
    with pytest.raises(InputError, match=message):
        tiny_pipeline("question-answering")(**given)


def test_a_list_of_questions_is_checked_one_by_one(tiny_pipeline):
    pipe = tiny_pipeline("question-answering")
    with pytest.raises(InputError, match="the question must be a text"):
        pipe([{"question": 1, "context": "a"}])
    with pytest.raises(InputError, match=r'takes \{"question": text, "context": text\}'):
        pipe([{"question": "a"}])
    with pytest.raises(InputError, match=r'takes \{"question": text, "context": text\}'):
        pipe("who?")


def test_words_are_needed_where_words_were_promised(tiny_pipeline):
    pipe = tiny_pipeline("token-classification", is_split_into_words=True)
    with pytest.raises(InputError, match="an input is a list of words; number 1 of 1 is 'a b'"):
        pipe("a b")
    with pytest.raises(InputError, match="number 2 of 2 is None"):
        pipe([["a", None]])


def test_a_text_without_a_mask_is_told_how_masks_are_written(tiny_pipeline):
    with pytest.raises(InputError, match=r"no \[MASK\] in 'a cat'; write \[MASK\] where"):
        tiny_pipeline("fill-mask")(["[MASK]", "a cat"])


@pytest.mark.filterwarnings("ignore:the target:UserWarning")
def test_targets_that_stand_for_nothing_are_refused(tiny_pipeline):
    with pytest.raises(InputError, match="none of the targets"):
        tiny_pipeline("fill-mask")("[MASK]", targets=["", " "])


@pytest.mark.parametrize("task", INPUTS)
@pytest.mark.parametrize("given", [{"a": "b"}, b"a cat", bytearray(b"a"), {"a", "b"}], ids=str)
def test_what_iterates_over_no_texts_in_order_is_refused(tiny_pipeline, task, given):
    with pytest.raises(InputError, match=r"takes|needs|has the keys"):
        tiny_pipeline(task)(given)
    with pytest.raises(InputError, match="takes a text, a list or an iterable"):
        tiny_pipeline(task).run(given)
    with pytest.raises(InputError, match="given of type str"):
        tiny_pipeline(task).run("a cat")


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("feature-extraction", {"tokenizer_options": 3}, "must be a dictionary of a tokenizer's"),
        ("feature-extraction", {"tokenize_kwargs": "x"}, "tokenize_kwargs must be a dictionary"),
        ("feature-extraction", {"tokenizer_options": {"bogus": 1}}, "cannot hold 'bogus'; it may"),
        ("feature-extraction", {"tokenizer_options": {"verbose": True}}, "cannot hold 'verbose'"),
        ("feature-extraction", {"truncation": "first"}, "unknown truncation 'first'; it is one of"),
        ("feature-extraction", {"on_cut": 3}, "on_cut must be a function"),
        ("fill-mask", {"targets": 3}, "targets must be a list of texts, not 3"),
        ("fill-mask", {"targets": ["a", 3]}, "targets must be a list of texts"),
        ("token-classification", {"ignore_labels": 3}, "ignore_labels must be a list of texts"),
        ("token-classification", {"ignore_labels": "O"}, "ignore_labels must be a list of texts"),
        ("token-classification", {"delimiter": 3}, "delimiter must be a text, not 3"),
        ("token-classification", {"offset_mapping": [(0, 1)]}, "leave offset_mapping out"),
        ("text-classification", {"num_workers": -1}, "num_workers=-1 .*; leave num_workers out"),
        ("text-classification", {"framework": "tf"}, "framework='tf' .*; leave framework out"),
    ],
    ids=str,
)
def test_an_option_of_a_wrong_kind_is_named(tiny_pipeline, task, options, message):
    with pytest.raises(InputError, match=message):
        tiny_pipeline(task, **options)
    with pytest.raises(InputError, match=message):
        tiny_pipeline(task)(INPUTS[task], **options)


@pytest.mark.parametrize("name", [["ner"], {"ner"}, 3])
def test_a_task_that_is_no_name_is_refused(name):
    with pytest.raises(InputError, match=r"unknown task .*; the tasks are"):
        pipeline(name)


@pytest.mark.parametrize("device", ["nowhere", "cuda:99", 99, [], True], ids=str)
def test_a_device_that_is_not_there_is_one_error(tiny_folder, device):
    with pytest.raises(InputError, match=r"cannot compute on the device .*; give 'cpu', or"):
        pipeline("feature-extraction", tiny_folder("DistilBertModel"), device=device)


@pytest.mark.parametrize(
    ("task", "inputs"),
    [
        ("fill-mask", ["[MASK]", "[MASK]", "a cat"]),
        ("feature-extraction", ["a", "b", "cat " * 99]),
        ("question-answering", [{"question": "a", "context": c} for c in ("b", "c", "\x00")]),
        (
            "sentence-similarity",
            [{"source_sentence": "a", "sentences": ["b", c]} for c in ("c", "d", "cat " * 99)],
        ),
    ],
)
def test_an_error_knows_the_number_of_the_text(tiny_pipeline, task, inputs):
    for size in (None, 1, 2):
        with pytest.raises(TextError) as caught:
            tiny_pipeline(task).run(inputs, batch_size=size)
        assert caught.value.number == 2
