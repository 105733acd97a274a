"""Answers go to tables, JSON lines, .csv, .tsv, .parquet and .npy, whole or not at all."""

import csv
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from distilbert.cli.answers import answers_to
from distilbert.errors import DistilBertError, InputError
from distilbert.files import records
from distilbert.files.records import Field, Form, check_out

FORM = Form((Field("text"), Field("label"), Field("score", "number")), many="labels")
RECORDS = [
    {
        "text": 'a "b", c',
        "labels": [{"label": "GOOD", "score": 0.75}, {"label": "BAD", "score": 0.25}],
    },
    {"text": "ü\nv", "labels": [{"label": "BAD", "score": 1.0}]},
    {"text": "none", "labels": []},
]
FLAT = [('a "b", c', "GOOD", 0.75), ('a "b", c', "BAD", 0.25), ("ü\nv", "BAD", 1.0)]
VECTORS = Form((Field("text"), Field("embedding", "vector")))


def _write(out, form=FORM, records=RECORDS):
    with answers_to(out, form) as sink:
        for record in records:
            sink.write(record)
        sink.flush()


def _vectors(rows=3, dim=4):
    random = np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)
    return random, [{"text": f"t{at}", "embedding": one} for at, one in enumerate(random)]


def test_json_lines_keep_a_record_together(tmp_path):
    _write(tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == RECORDS
    assert "ü" in lines[1]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t")])
def test_delimited_files_have_a_row_an_answer(tmp_path, name, delimiter):
    _write(tmp_path / name)
    with (tmp_path / name).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter=delimiter))
    assert rows == [["text", "label", "score"], *([a, b, str(c)] for a, b, c in FLAT)]


def test_parquet_files_have_a_row_an_answer_and_fixed_types(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    _write(tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.schema.types == [pyarrow.string(), pyarrow.string(), pyarrow.float64()]
    assert [tuple(row.values()) for row in table.to_pylist()] == FLAT
    _write(tmp_path / "none.parquet", records=[])
    assert parquet.read_table(tmp_path / "none.parquet").column_names == ["text", "label", "score"]


def test_vectors_are_an_array_as_numpy_reads_it(tmp_path):
    wanted, records = _vectors()
    _write(tmp_path / "a.npy", VECTORS, records)
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), wanted)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_vectors_lose_nothing_in_any_form(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    wanted, records = _vectors()
    path = tmp_path / f"a{suffix}"
    _write(path, VECTORS, records)
    if suffix == ".jsonl":
        found = [json.loads(line)["embedding"] for line in path.read_text().splitlines()]
    elif suffix == ".csv":
        head, *rows = csv.reader(path.read_text().splitlines())
        assert head == ["text", "embedding_0", "embedding_1", "embedding_2", "embedding_3"]
        found = [[float(cell) for cell in row[1:]] for row in rows]
    else:
        from pyarrow import parquet

        found = parquet.read_table(path).column("embedding").to_pylist()
    np.testing.assert_array_equal(np.array(found, np.float32), wanted)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet", ".npy"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_file_leaves_the_old_one_and_nothing_else(tmp_path, suffix, error):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"a{suffix}"
    path.write_text("old")

    def write_and_fail():
        _, records = _vectors()
        with answers_to(path, VECTORS) as sink:
            sink.write(records[0])
            sink.flush()
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_down_a_pipe_go_json_lines(capsys):
    _write(None)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == RECORDS


def _shown(form, records, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stdout(Terminal()) as stream:
        _write(None, form, records)
    return stream.getvalue()


def test_on_a_terminal_a_table_is_shown(monkeypatch):
    shown = _shown(FORM, RECORDS, monkeypatch)
    assert "text" in shown
    assert "0.7500" in shown
    assert "{" not in shown


def test_square_brackets_of_a_text_are_shown_as_they_are(monkeypatch):
    records = [{"text": "the [MASK] [red]sea[/red]"}]
    assert "the [MASK] [red]sea[/red]" in _shown(Form((Field("text"),)), records, monkeypatch)


def test_a_hidden_field_is_not_on_terminals(monkeypatch):
    form = Form((Field("text"), Field("secret", shown=False)))
    assert "secret" not in _shown(form, [{"text": "a", "secret": "b"}], monkeypatch)


def test_a_table_without_rows_says_so(monkeypatch):
    assert "nothing found" in _shown(FORM, [], monkeypatch)


def test_vectors_are_abbreviated_on_a_terminal(monkeypatch):
    _, records = _vectors(1, 9)
    assert "…" in _shown(VECTORS, records, monkeypatch)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("suffix", [*records.SUFFIXES, ".npy"])
def test_an_answer_that_is_not_finite_is_never_written(tmp_path, suffix, number):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    record = {"text": "a", "labels": [{"label": "GOOD", "score": float(number)}]}
    vector = {"text": "a", "embedding": np.array([0, number, 1], np.float32)}
    for form, one in ((FORM, record), (VECTORS, vector)):
        if suffix == ".npy" and form is FORM:
            continue
        with pytest.raises(DistilBertError, match="not a finite number, so the model's weights"):
            _write(tmp_path / f"a{suffix}", form, [one])
        assert not list(tmp_path.iterdir())


def test_an_answer_that_is_not_finite_is_never_shown(monkeypatch, capsys):
    record = {"text": "a", "labels": [{"label": "GOOD", "score": float("nan")}]}
    with pytest.raises(DistilBertError, match="not a finite number"):
        _shown(FORM, [record], monkeypatch)
    with pytest.raises(DistilBertError, match="not a finite number"):
        _write(None, records=[record])
    assert capsys.readouterr().out == ""


def test_vectors_of_the_largest_numbers_are_finite(tmp_path):
    largest = np.full(9, np.finfo(np.float32).max)
    _write(tmp_path / "a.npy", VECTORS, [{"text": "a", "embedding": largest}])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), [largest])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2Jgone", r"\x9b2Jgone"),
        ("a\rb\x7f\x00", r"a\x0db\x7f\x00"),
    ],
    ids=["colour", "title", "C1", "others"],
)
def test_control_characters_do_not_reach_a_terminal(monkeypatch, text, shown):
    found = _shown(Form((Field("text"),)), [{"text": text}], monkeypatch)
    assert shown in found
    assert not set(found) & {"\x1b", "\x07", "\x9b", "\r", "\x7f", "\x00"}


def test_lines_and_tabs_of_a_text_stay_what_they_are(monkeypatch):
    found = _shown(Form((Field("text"),)), [{"text": "one\ntwo\tthree"}], monkeypatch)
    lines = [line.split() for line in found.splitlines()]
    assert ["one"] in lines
    assert ["two", "three"] in lines


@pytest.mark.parametrize("name", ["A.JSONL", "A.Csv", "A.TSV", "A.PARQUET", "A.NPY"])
def test_a_suffix_may_be_in_capitals(tmp_path, name):
    if name.endswith("PARQUET"):
        pytest.importorskip("pyarrow")
    check_out(tmp_path / name, vectors=True)
    _write(tmp_path / name, VECTORS, _vectors()[1])
    _write(tmp_path / name.lower(), VECTORS, _vectors()[1])
    assert (tmp_path / name).read_bytes() == (tmp_path / name.lower()).read_bytes()


def test_a_link_keeps_pointing_to_the_file_that_is_written(tmp_path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    _write(tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len((tmp_path / "real.jsonl").read_text().splitlines()) == len(RECORDS)


def test_the_name_of_a_file_of_answers_is_checked(tmp_path, monkeypatch):
    check_out(None)
    check_out(Path("a.npy"), vectors=True)
    for name in ("a.npy", "a", "a.xlsx"):
        with pytest.raises(InputError, match=r"--out writes \.jsonl, \.csv, \.tsv, \.parquet, by"):
            check_out(Path(name))
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match="is a folder; give a file name"):
        check_out(tmp_path / "a.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DistilBertError, match=r"pip install 'distilbert\[parquet\]'"):
        check_out(Path("a.parquet"))


def test_every_known_suffix_is_written(tmp_path):
    for suffix in records.SUFFIXES:
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        _write(tmp_path / f"a{suffix}")
        assert (tmp_path / f"a{suffix}").stat().st_size > 0
