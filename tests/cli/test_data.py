"""The options that say which data a command reads."""

import pytest

from distilbert import InputError
from distilbert.cli.data import DataForm, DataKind, check_no_columns, read_own
from distilbert.data.kinds import KINDS
from distilbert.data.load import FORMS


def test_options_name_what_there_is():
    assert [kind.value for kind in DataKind] == list(KINDS)
    assert {form.value for form in DataForm} == set(FORMS.values())


def test_a_file_is_read_as_the_options_say(tmp_path):
    table = tmp_path / "table"
    table.write_text("one\ttwo\tmood\na\tb\tx; y\nc\td\tz\n")
    data = read_own(
        table,
        DataKind.MULTI_LABEL,
        ["one", "two"],
        "mood",
        None,
        separator=";",
        form=DataForm.TSV,
        labels=("z", "y", "x"),
    )
    assert (data.kind, data.labels) == ("multi_label", ("z", "y", "x"))
    assert [one.texts for one in data.examples] == [("a", "b"), ("c", "d")]
    assert [one.label for one in data.examples] == [("x", "y"), ("z",)]


def test_words_and_tags_are_read_from_the_columns_that_are_named(tmp_path):
    lines = tmp_path / "a.conll"
    lines.write_text("B-X 1 Anna\nO 2 runs\n")
    (example,) = read_own(lines, None, None, None, None, word=-1, tag=0).examples
    assert (example.texts, example.label) == (("Anna", "runs"), ("B-X", "O"))


def test_a_folder_needs_a_task(tmp_path):
    with pytest.raises(InputError, match="is a folder; give a file, or say with --task"):
        read_own(tmp_path, None, None, None, None)


def test_a_task_takes_no_columns():
    check_no_columns(text=None, word=False)
    with pytest.raises(InputError, match="leave --text, --word out, or leave --task out"):
        check_no_columns(text=["a"], word=True, label=None)
