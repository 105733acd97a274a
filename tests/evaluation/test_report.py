"""What reports write and draw."""

import csv
import json
import sys

import numpy as np
import pytest

from distilbert.data.kinds import KINDS
from distilbert.errors import InputError
from distilbert.evaluation.confusion import draw
from distilbert.evaluation.report import SHOWN, Prediction, Report


def report(kind, *rows, labels=("a", "b")):
    predictions = [
        Prediction(f"id{number}", f"d.csv, line {number}", *row) for number, row in enumerate(rows)
    ]
    return Report(kind, labels, {"accuracy": 0.5}, predictions)


CLASSES = report(
    "classification",
    (("one", "two"), "a", "a", 0.9, 0.0),
    (("three",), "a", "b", 0.6, 1.0),
    (('fo"ur\nlines',), "b", "a", 0.8, 1.0),
)


def rows_of(path, delimiter=","):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def test_every_kind_is_written():
    assert SHOWN.keys() == KINDS.keys()


def test_predictions_are_json_lines(tmp_path):
    CLASSES.write(tmp_path / "a.jsonl")
    records = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert records[0] == {
        "id": "id0",
        "where": "d.csv, line 0",
        "text": "one",
        "text_pair": "two",
        "label": "a",
        "predicted": "a",
        "score": 0.9,
        "error": 0.0,
    }
    assert "text_pair" not in records[1]


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_errors_are_written_worst_and_surest_first(tmp_path, suffix, delimiter):
    path = tmp_path / f"e{suffix}"
    CLASSES.write(path, errors=True)
    rows = rows_of(path, delimiter)
    assert [row["id"] for row in rows] == ["id2", "id1"]
    assert rows[0]["text"] == 'fo"ur\nlines'
    assert "text_pair" not in rows[1]  # none of these is a pair


def test_a_report_without_errors_writes_the_head_alone(tmp_path):
    right = report("classification", (("one",), "a", "a", 0.9, 0.0))
    right.write(tmp_path / "e.csv", errors=True)
    assert (tmp_path / "e.csv").read_text().startswith("id,where,text,label")
    assert rows_of(tmp_path / "e.csv") == []


@pytest.mark.parametrize(
    ("kind", "row", "wanted"),
    [
        (
            "choice",
            (("he", "runs", "sits"), 0, 1, 0.7, 1.0),
            {"text": "he", "choices": "runs | sits", "label": "0", "predicted": "1"},
        ),
        (
            "tags",
            (("An", "na"), ("O", "B-X"), ("O", "O"), 0.7, 0.5),
            {"words": "An na", "label": "O B-X", "predicted": "O O"},
        ),
        (
            "spans",
            (("who?", "Ann"), ("Ann", "Anna"), "", 0.7, 1.0),
            {"question": "who?", "context": "Ann", "label": "Ann | Anna", "predicted": ""},
        ),
        ("multi_label", (("t",), ("a", "b"), (), 0.7, 1.0), {"label": "a,b", "predicted": ""}),
        ("regression", (("t",), 1.5, 2.0, None, 0.5), {"label": "1.5", "score": ""}),
        ("words", (("a [MASK]",), ("cat",), ("##s",), 0.1, 1.0), {"label": "cat"}),
    ],
)
def test_flat_files_hold_lists_in_one_cell(tmp_path, kind, row, wanted):
    report(kind, row).write(tmp_path / "a.csv")
    (found,) = rows_of(tmp_path / "a.csv")
    assert wanted.items() <= found.items()


def test_parquet_keeps_numbers(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    report("choice", (("he", "runs", "sits"), 0, 1, 0.7, 1.0)).write(tmp_path / "a.parquet")
    (row,) = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["label"], row["score"], row["choices"]) == (0, 0.7, "runs | sits")


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"what kind of file is .*a\.xls"):
        CLASSES.write(tmp_path / "a.xls")


def test_a_confusion_matrix_has_a_row_for_what_is_right():
    assert CLASSES.confusion().tolist() == [[1, 1], [1, 0]]
    words = report("tags", (("x", "y", "z"), ("a", "b", "b"), ("b", "b", ""), 0.5, 0.5))
    assert words.confusion().tolist() == [[0, 1], [0, 1]]
    with pytest.raises(InputError, match="choice data have no confusion matrix"):
        report("choice").confusion()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_confusion_matrices_are_drawn(tmp_path, suffix):
    CLASSES.draw_confusion(tmp_path / f"m{suffix}")
    head = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert (tmp_path / f"m{suffix}").read_bytes().startswith(head)


def test_pictures_of_many_classes_name_all_and_leave_zeros_out(tmp_path):
    labels = [f"class_{number}" for number in range(77)]
    labels[3], labels[4] = "a name that is far too long to be shown", "$x$_1"
    counts = np.diag(np.arange(1001, 1078))
    counts[2, 5] = 44
    draw(labels, counts, tmp_path / "m.svg")
    text = (tmp_path / "m.svg").read_text(encoding="utf-8")
    assert text.count("<!-- class_76 -->") == 2
    assert "<!-- a name that is far too long… -->" in text
    assert "<!-- 44 -->" in text
    assert "<!-- 1077 -->" in text
    assert "<!-- 0 -->" not in text


def test_a_picture_needs_a_known_suffix_and_its_library(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"what kind of picture is .*\.bmp.*\.png, \.svg, \.pdf"):
        CLASSES.draw_confusion(tmp_path / "m.bmp")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'distilbert\[plots\]'"):
        CLASSES.draw_confusion(tmp_path / "m.png")
