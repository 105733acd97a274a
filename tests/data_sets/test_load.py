"""One's own files become examples of the kind that their columns and labels say."""

import json

import pytest

import distilbert
from distilbert.data.examples import Answer, Dataset
from distilbert.data.kinds import KINDS
from distilbert.data.load import load
from distilbert.errors import DistilBertError, FileError, InputError


def file(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def lines(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


def labels(data):
    return [example.label for example in data.examples]


def texts(data):
    return [example.texts for example in data.examples]


def test_every_kind_names_a_class_that_is_there():
    for kind in KINDS.values():
        model = getattr(distilbert, kind.model)
        assert KINDS[kind.name] is kind
        assert model.__doc__


def test_texts_and_names_are_a_classification(tmp_path):
    path = file(tmp_path, "a.csv", 'text,label\n"So, good.",pos\nBad.,neg\n')
    data = load(path)
    assert (data.kind, data.labels) == ("classification", ("neg", "pos"))
    assert texts(data) == [("So, good.",), ("Bad.",)]
    assert labels(data) == ["pos", "neg"]
    assert [example.where for example in data.examples] == [f"{path}, line 2", f"{path}, line 3"]
    assert [example.id for example in data.examples] == ["0", "1"]


def test_columns_have_names(tmp_path):
    path = file(tmp_path, "a.tsv", "n\tgold\ts1\ts2\n7\t1\ta\tb\n")
    data = load(path, text=["s1", "s2"], label="gold", id="n")
    assert (texts(data), labels(data), data.examples[0].id) == ([("a", "b")], ["1"], "7")


def test_the_only_column_beside_the_label_is_the_text(tmp_path):
    assert texts(load(file(tmp_path, "a.tsv", "id\tlabel\tbody\n7\tx\tone\n"))) == [("one",)]


def test_whole_numbers_are_classes_in_the_order_of_numbers(tmp_path):
    data = load(file(tmp_path, "a.jsonl", lines(*({"text": "", "label": n} for n in (10, 9, -1)))))
    assert (data.kind, data.labels) == ("classification", ("-1", "9", "10"))


def test_values_that_json_has_as_labels_are_spelled(tmp_path):
    rows = ({"text": "a", "label": label} for label in (True, 1.0, "b", 2))
    data = load(file(tmp_path, "a.jsonl", lines(*rows)))
    assert labels(data) == ["true", "1", "b", "2"]


@pytest.mark.parametrize("found", [["1", "2.5"], ["-0.1", "3"], ["1e-1", "2"], ["1e-100", "2"]])
def test_numbers_with_a_fraction_are_a_regression(tmp_path, found):
    data = load(file(tmp_path, "a.tsv", "text\tlabel\n" + "".join(f"a\t{n}\n" for n in found)))
    assert data == Dataset("regression", data.examples)
    assert labels(data) == [float(n) for n in found]


@pytest.mark.parametrize("found", [["1.0", "2.0"], ["1", "nan"], ["1.5", "1_000"], ["0.5", "a"]])
def test_other_labels_are_classes(tmp_path, found):
    data = load(file(tmp_path, "a.tsv", "text\tlabel\n" + "".join(f"a\t{n}\n" for n in found)))
    assert (data.kind, data.labels) == ("classification", tuple(sorted(found)))


@pytest.mark.parametrize("bad", ["nan", "-Inf", "1e300", "1e999", "", "n/a"])
def test_a_damaged_number_does_not_make_classes_of_the_others(tmp_path, bad):
    found = ["0.5", bad, *("1" for _ in range(8))]
    path = file(tmp_path, "a.tsv", "text\tlabel\n" + "".join(f"a\t{n}\n" for n in found))
    with pytest.raises(FileError, match=rf"a\.tsv, line 3: '{bad}' as a label, where a number"):
        load(path)
    if bad:
        assert load(path, "classification").labels == tuple(sorted({*found}))


@pytest.mark.parametrize("bad", [None, float("nan"), 10**400])
def test_a_damaged_number_of_json_is_told(tmp_path, bad):
    rows = ({"text": "a", "label": label} for label in (bad, 0.5))
    with pytest.raises(FileError, match=r"a\.jsonl, line 1"):
        load(file(tmp_path, "a.jsonl", lines(*rows)))


def test_a_kind_that_is_named_holds(tmp_path):
    path = file(tmp_path, "a.tsv", "text\tlabel\na\t1\n")
    assert labels(load(path, "regression")) == [1.0]
    assert labels(load(path, "multi_label")) == [("1",)]


def test_lists_of_names_are_several_labels(tmp_path):
    path = file(
        tmp_path,
        "a.jsonl",
        lines({"text": "a", "label": ["y", "x", "y"]}, {"text": "b", "label": []}),
    )
    data = load(path)
    assert (data.kind, data.labels) == ("multi_label", ("x", "y"))
    assert labels(data) == [("y", "x"), ()]


def test_several_labels_of_a_table_stand_in_one_column(tmp_path):
    path = file(tmp_path, "a.tsv", "text\tlabel\na\tx; y\nb\t\n")
    assert labels(load(path, "multi_label", separator=";")) == [("x", "y"), ()]


def test_choices_are_columns_or_a_list(tmp_path):
    columns = file(tmp_path, "a.csv", "s,t,one,two,label\nA,b,c,d,1\n")
    data = load(columns, text=["s", "t"], choices=["one", "two"])
    assert (data.kind, texts(data), labels(data)) == ("choice", [("A b", "c", "d")], [1])
    rows = ({"text": "A", "choices": ["x", "y", "z"], "label": label} for label in (2, "C", "1"))
    assert labels(load(file(tmp_path, "a.jsonl", lines(*rows)))) == [2, 2, 1]


def test_words_and_tags_are_columns_or_lists(tmp_path):
    expected = [("Anna", "runs")], [("B-PER", "O")], ("B-PER", "O")
    rows = [
        load(file(tmp_path, "a.conll", "Anna B-PER\nruns O\n")),
        load(file(tmp_path, "a.tsv", "Anna\tB-PER\nruns\tO\n"), "tags"),
        load(file(tmp_path, "b.txt", "x Anna B-PER y\nx runs O y\n"), "tags", word=1, tag=2),
        load(
            file(tmp_path, "a.jsonl", lines({"tokens": ["Anna", "runs"], "tags": ["B-PER", "O"]}))
        ),
        load(
            file(tmp_path, "a.json", lines({"w": ["Anna", "runs"], "n": ["B-PER", "O"]})),
            text="w",
            label="n",
        ),
    ]
    for data in rows:
        assert data.kind == "tags"
        assert (texts(data), labels(data), data.labels) == expected


def test_questions_come_in_the_form_of_squad_or_in_rows(tmp_path):
    asked = {"id": "7", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]}
    squad = {"data": [{"paragraphs": [{"context": "Anna runs.", "qas": [asked]}]}]}
    flat = {"id": "7", "question": "Who?", "context": "Anna runs."}
    columns = {"text": ["Anna"], "answer_start": [0]}
    for path in (
        file(tmp_path, "a.json", json.dumps(squad)),
        file(tmp_path, "a.jsonl", lines({**flat, "answers": columns})),
        file(tmp_path, "b.json", json.dumps({"data": [{**flat, "answers": asked["answers"]}]})),
    ):
        data = load(path)
        assert (data.kind, data.examples[0].id) == ("spans", "7")
        assert texts(data) == [("Who?", "Anna runs.")]
        assert labels(data) == [(Answer("Anna", 0),)]


def test_plain_text_is_documents_of_texts(tmp_path):
    data = load(file(tmp_path, "a.txt", "one\ntwo\n\nthree\n"))
    assert data.kind == "words"
    assert texts(data) == [("one", "two"), ("three",)]
    rows = load(file(tmp_path, "a.csv", "text\none\ntwo\n"), "words")
    assert texts(rows) == [("one",), ("two",)]


def test_labels_of_the_training_data_hold_for_other_data(tmp_path):
    path = file(tmp_path, "dev.csv", "text,label\na,x\nb,y\n")
    assert load(path, labels=("z", "y", "x")).labels == ("z", "y", "x")
    with pytest.raises(
        FileError, match=r"dev\.csv, line 3: label 'y' is not among the 2 that are known: 'x', 'z'"
    ):
        load(path, labels=("x", "z"))


def test_texts_are_read_without_labels(tmp_path):
    data = load(file(tmp_path, "a.csv", "text,n\na,1\n"), labelled=False)
    assert data == Dataset("classification", data.examples)
    assert (texts(data), labels(data)) == ([("a",)], [None])
    assert labels(load(file(tmp_path, "a.conll", "a\nb\n"), labelled=False)) == [None]


BAD = {
    "no label": ("a.csv", "text,label\na,\n", {}, r"a\.csv, line 2: an empty text as a label"),
    "null": ("a.jsonl", '{"text": "a", "label": null}\n', {}, r"line 1: null as a label"),
    "no text": ("a.jsonl", '{"text": 3, "label": "a"}\n', {}, r"line 1: number, where a text"),
    "no number": (
        "a.csv",
        "text,label\na,inf\n",
        {"kind": "regression"},
        r"line 2: 'inf' as a label",
    ),
    "huge": (
        "a.jsonl",
        '{"text": "a", "label": 1' + "0" * 400 + "}\n",
        {"kind": "regression"},
        "line 1: 1000",
    ),
    "no column": (
        "a.csv",
        "a,b,label\n1,2,3\n",
        {},
        r"no column 'text'; it has: .*name one with text= in Python, --text on the command line",
    ),
    "no label column": (
        "a.csv",
        "text,b\n1,2\n",
        {},
        r"no column 'label'; .*label= in Python, --label on",
    ),
    "no such id": (
        "a.csv",
        "text,label\n1,2\n",
        {"id": "x"},
        r"no column 'x'; .*name one with id=",
    ),
    "column gone": (
        "a.jsonl",
        lines({"text": "a", "label": "b"}, {"text": "a"}),
        {},
        "line 2 has no column 'label'",
    ),
    "no choice": (
        "a.jsonl",
        lines({"text": "a", "choices": ["b", "c"], "label": "C"}),
        {},
        r"line 1: 'C' as the right one of 2 choices; allowed: 0 to 1, or A to B",
    ),
    "one choice": (
        "a.jsonl",
        lines({"text": "a", "choices": ["b"], "label": 0}),
        {},
        "array as choices",
    ),
    "tags missing": (
        "a.jsonl",
        lines({"tokens": ["a", "b"], "tags": ["x"]}),
        {},
        "1 as tags of 2 words",
    ),
    "no names": (
        "a.csv",
        "text,label\na,b\n",
        {"kind": "regression", "labels": ["a"]},
        "no names of labels",
    ),
    "name twice": ("a.csv", "text,label\na,b\n", {"labels": ["a", "a"]}, "names one twice"),
    "three texts": (
        "a.csv",
        "a,b,c,label\n1,2,3,4\n",
        {"text": ["a", "b", "c"]},
        "1 or 2 columns of texts, and 3",
    ),
    "kind": (
        "a.csv",
        "text,label\n",
        {"kind": "class"},
        r"no kind 'class' of problem; allowed: classification,",
    ),
    "form": (
        "a.csv",
        "text,label\n",
        {"form": "xml"},
        r"no form 'xml' of files; allowed: txt, csv",
    ),
    "separator": ("a.csv", "text,label\na,b\n", {"separator": ""}, "separator is empty"),
    "choices of words": (
        "a.csv",
        "text,b,c,label\n1,2,3,4\n",
        {"kind": "regression", "choices": ["b", "c"]},
        "regression has no choices",
    ),
    "labels of plain text": (
        "a.csv",
        "text,label\n1,2\n",
        {"kind": "words", "label": "label"},
        "words has no labels",
    ),
    "plain text with columns": ("a.txt", "a\n", {"text": "a"}, "form txt has no named columns"),
    "plain text of another kind": (
        "a.txt",
        "a\n",
        {"kind": "spans"},
        "form txt holds words, not spans",
    ),
    "empty": ("a.csv", "", {}, r"no example in .*a\.csv"),
    "only a head": ("a.csv", "text,label\n", {}, r"no example in .*a\.csv"),
    "suffix": ("a.doc", "x", {}, r"what kind of file is .*form= in Python, --format on"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_one_clear_error(tmp_path, what):
    name, text, options, message = BAD[what]
    with pytest.raises(DistilBertError, match=message) as caught:
        load(file(tmp_path, name, text), **options)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileError, match="is a folder, where a file is needed"):
        load(tmp_path)


def _asked(*answers):
    qas = [{"id": f"q{n}", "question": "Who?", "answers": [a]} for n, a in enumerate(answers)]
    return json.dumps({"data": [{"paragraphs": [{"context": "Anna runs.", "qas": qas}]}]})


@pytest.mark.parametrize("answer", [("anna", 0), ("Anna", 1), ("Anna", -10), ("runs.!", 5)])
def test_an_answer_that_does_not_stand_in_its_context_is_named(tmp_path, answer):
    good, bad = {"text": "Anna", "answer_start": 0}, {"text": answer[0], "answer_start": answer[1]}
    message = (
        rf"a\.json, question 'q1': answer '{answer[0]}' does not stand at character {answer[1]}"
    )
    with pytest.raises(FileError, match=message):
        load(file(tmp_path, "a.json", _asked(good, bad)))


def test_an_id_is_given_once(tmp_path):
    row = {"id": "q", "question": "Who?", "context": "Anna", "answers": []}
    with pytest.raises(FileError, match=r"line 2: id 'q' was given before \(.*line 1\)"):
        load(file(tmp_path, "a.jsonl", lines(row, row)))


def test_arguments_that_fit_no_file_change_nothing(tmp_path):
    with pytest.raises(InputError, match="list of names"):
        load(file(tmp_path, "a.csv", "text,label\na,b\n"), labels="ab")
