"""Texts are read from arguments, standard input and files, and bad ones are named."""

import gzip
import io
import json
import os
import sys
import threading

import pytest

from distilbert.cli.tables import Column
from distilbert.cli.texts import TEXT, Texts
from distilbert.data.reading import read_whole
from distilbert.errors import DistilBertError, FileError, InputError


def _read(path, column=None, form=None, columns=None):
    columns = columns or [TEXT.named(column)]
    return [(row.line, row.values) for row in Texts(None, [path], columns=columns, form=form)]


def _file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def standard_input(monkeypatch):
    def give(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return give


def test_a_text_file_has_one_text_a_line(tmp_path):
    path = _file(tmp_path, "a.txt", "one\r\n\ntwo \u2028 still two\nthree")
    assert _read(path) == [
        (1, ("one",)),
        (2, ("",)),
        (3, ("two \u2028 still two",)),
        (4, ("three",)),
    ]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    assert _read(_file(tmp_path, "a.txt", "\ufeffone\n")) == [(1, ("one",))]
    assert _read(_file(tmp_path, "a.csv", "\ufefftext,n\none,1\n")) == [(2, ("one",))]


def test_a_csv_file_has_quoted_fields_over_several_lines(tmp_path):
    path = _file(tmp_path, "a.csv", 'id,text\n1,"a ""b"",\nc"\n\n2,d\n')
    assert _read(path) == [(2, ('a "b",\nc',)), (5, ("d",))]


def test_a_quotation_mark_in_a_tsv_file_is_a_character(tmp_path):
    path = _file(tmp_path, "a.tsv", 'text\tn\n"one\t1\ntwo"\t2\n')
    assert _read(path) == [(2, ('"one',)), (3, ('two"',))]


def test_json_lines_hold_objects_or_plain_strings(tmp_path):
    path = _file(tmp_path, "a.jsonl", '{"text": "one", "n": 1}\n\n"two"\n')
    assert _read(path) == [(1, ("one",)), (3, ("two",))]


def test_compressed_files_are_read_like_plain_ones(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"text\none\ntwo\n"))
    assert _read(path) == [(2, ("one",)), (3, ("two",))]


def test_a_column_is_named_or_is_the_only_one(tmp_path):
    path = _file(tmp_path, "a.csv", "body,title\nb,t\n")
    assert _read(path, "title") == [(2, ("t",))]
    assert _read(_file(tmp_path, "b.csv", "body\nb\n")) == [(2, ("b",))]


def test_two_columns_are_read_together(tmp_path):
    path = _file(tmp_path, "a.jsonl", '{"question": "q", "context": "c"}\n')
    columns = [Column("question", "--q"), Column("context", "--c")]
    assert _read(path, columns=columns) == [(1, ("q", "c"))]


def test_files_follow_one_another_and_are_counted_in_bytes(tmp_path):
    first, second = _file(tmp_path, "a.txt", "one\ntwo\n"), _file(tmp_path, "b.txt", "three\n")
    texts = Texts(None, [first, second])
    assert texts.total == 14
    assert [row.text for row in texts] == ["one", "two", "three"]
    assert texts.done == 14


def test_a_long_file_is_read_bit_by_bit(tmp_path):
    path = _file(tmp_path, "a.txt", "x" * 99 + "\n")
    path.write_bytes(path.read_bytes() * 20_000)
    texts = Texts(None, [path])
    next(iter(texts))
    assert texts.done < 100_000 < texts.total


def test_arguments_are_texts_and_counted(monkeypatch):
    texts = Texts(["one", "two"], None)
    assert texts.total == 2
    assert [(row.text, row.where) for row in texts] == [
        ("one", "arguments, line 1"),
        ("two", "arguments, line 2"),
    ]


def test_lines_of_standard_input_are_read_where_nothing_else_is_given(standard_input):
    standard_input("ä\nb\n".encode())
    texts = Texts(None, None)
    assert texts.total is None
    assert [row.text for row in texts] == ["ä", "b"]


def test_standard_input_may_be_a_table(standard_input):
    standard_input(b'{"text": "one"}\n')
    assert [row.text for row in Texts(None, None, form="jsonl")] == ["one"]


def test_the_whole_of_a_file_is_one_text(tmp_path):
    assert read_whole(_file(tmp_path, "a.md", "one\n\ntwo\n")) == "one\n\ntwo\n"


BAD_FILES = {
    "not UTF-8": (
        "a.txt",
        b"good\nbad \xff\n",
        r"a\.txt, line 2: not UTF-8 \(byte 0xff at place 5",
    ),
    "no such column": ("a.csv", "id,body\n1,b\n", r"no column 'text'; it has: 'id', 'body'; name"),
    "fields too many": ("a.csv", "id,text\n1,b,c\n", r"a\.csv, line 2: 3 fields, .* names 2"),
    "open quotation": ("a.csv", 'id,text\n1,"b\n', r"a\.csv, line 2: unexpected end of data"),
    "not JSON": ("a.jsonl", '{"text": "a"}\n{"text": \n', r"a\.jsonl, line 2: not JSON"),
    "JSON of another kind": ("a.jsonl", "[1]\n", r"a\.jsonl, line 1: a JSON array, where an obj"),
    "no text": ("a.jsonl", '{"text": null}\n', r"a\.jsonl, line 1: null, where a text is needed"),
    "a number": ("a.jsonl", '{"text": 3}\n', r"a\.jsonl, line 1: number, where a text is needed"),
    "column missing in a line": (
        "a.jsonl",
        '{"text":"a"}\n{"b":"a","c":1}\n',
        r"line 2 has no col",
    ),
    "lone surrogate": ("a.jsonl", '{"text": "\\ud800"}\n', r"line 1: a lone surrogate \(U\+D800\)"),
    "deep JSON": ("a.jsonl", "[" * 100_000 + "\n", r"a\.jsonl, line 1: not JSON"),
    "empty": ("a.txt", "", r"there is no text in .*a\.txt: nothing to do"),
    "only a head": ("a.csv", "text\n", r"there is no text in .*a\.csv"),
    "column twice": ("a.csv", "text,text\na,b\n", r"has 2 columns 'text'"),
    "unknown suffix": (
        "a.docx",
        "x",
        r"what kind of file is .*a\.docx'\? Known are \.txt, .*--format",
    ),
    "no gzip": ("a.txt.gz", "x\n", r"a\.txt\.gz' is no whole gzip file"),
    "cut gzip": ("a.txt.gz", gzip.compress(b"x\n" * 99)[:-9], r"a\.txt\.gz' is no whole gzip file"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_one_clear_error(tmp_path, what):
    name, content, message = BAD_FILES[what]
    with pytest.raises(DistilBertError, match=message) as caught:
        _read(_file(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileError, match=r"there is no file .*nowhere\.txt'; check the path"):
        Texts(None, [tmp_path / "nowhere.txt"])
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(FileError, match=r"b\.txt' is a folder, where a file is needed"):
        Texts(None, [tmp_path / "b.txt"])


def test_the_second_of_two_files_is_checked_before_the_first_is_read(tmp_path):
    with pytest.raises(FileError, match="there is no file"):
        Texts(None, [_file(tmp_path, "a.txt", "one\n"), tmp_path / "nowhere.txt"])


def test_plain_lines_have_no_columns(tmp_path):
    path = _file(tmp_path, "a.txt", "one\n")
    with pytest.raises(InputError, match=r"plain lines, which have no columns 'body'"):
        _read(path, "body")
    columns = [Column("question", "--q"), Column("context", "--c")]
    with pytest.raises(InputError, match=r"no columns 'question' and 'context'"):
        _read(path, columns=columns)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("63", "one\ntwo\n", None),
        ("a.jsonl", '"one"\n"two"\n', None),
        ("7", '"one"\n"two"', "jsonl"),
    ],
)
def test_a_pipe_with_a_name_is_read_once_and_has_no_size(tmp_path, name, content, form):
    path = tmp_path / name
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(content,))
    writer.start()
    texts = Texts(None, [path], form=form)
    assert texts.total is None
    assert [row.text for row in texts] == ["one", "two"]
    writer.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_parquet_is_not_read_from_a_pipe_with_a_name(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="Parquet is read from plain files only"):
        Texts(None, [tmp_path / "a.parquet"])


def test_what_is_said_of_a_file_is_refused_where_texts_are_arguments():
    for options in (
        {"columns": [TEXT.named("body")]},
        {"columns": [TEXT, Column("text_pair", "--pair-column")]},
        {"form": "csv"},
    ):
        with pytest.raises(InputError, match=r"--format and --column .*the texts are arguments"):
            Texts(["a"], None, **options)


def test_a_closed_standard_input_is_no_text(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="no text was given"):
        Texts(None, None)


def test_texts_come_from_one_place(tmp_path):
    with pytest.raises(InputError, match=r"from arguments or from --in, not from both"):
        Texts(["a"], [_file(tmp_path, "a.txt", "one\n")])


def test_an_argument_that_is_not_utf8_is_refused():
    with pytest.raises(InputError, match="argument 2 is not UTF-8"):
        list(Texts(["a", "b\udcff"], None))


def test_a_terminal_that_brings_no_text_is_told_what_to_do(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(InputError, match=r"no text was given: write texts as arguments, .* --in"):
        Texts(None, None)


def test_columns_of_a_parquet_file_are_read(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"n": [1, 2], "body": ["one", "zwei ü"]}), path)
    assert _read(path, "body") == [(1, ("one",)), (2, ("zwei ü",))]
    with pytest.raises(InputError, match=r"no column 'text'; it has: 'n', 'body'"):
        _read(path)
    with pytest.raises(FileError, match=r"row 1: number, where a text is needed"):
        _read(path, "n")
    texts = Texts(None, [path], columns=[TEXT.named("body")])
    assert len(list(texts)) == 2
    assert texts.done == texts.total


def test_a_damaged_parquet_file_is_one_clear_error(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(FileError, match=r"cannot read .*a\.parquet' as Parquet"):
        _read(_file(tmp_path, "a.parquet", b"PAR1 nothing PAR1"))


def test_a_parquet_file_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DistilBertError, match=r"pip install 'distilbert\[parquet\]'"):
        _read(_file(tmp_path, "a.parquet", b""))


def test_parquet_is_not_read_from_a_pipe(standard_input):
    standard_input(b"")
    with pytest.raises(InputError, match="Parquet is read from plain files only"):
        Texts(None, None, form="parquet")


def test_every_shape_of_json_line_is_a_text_or_an_error(tmp_path):
    for value in (True, 1.5, [], {}, {"a": "b"}, {"a": "b", "c": "d"}):
        path = _file(tmp_path, "a.jsonl", json.dumps(value) + "\n")
        if value == {"a": "b"}:
            assert _read(path) == [(1, ("b",))]
        else:
            with pytest.raises(DistilBertError, match=r"a\.jsonl, line 1"):
                _read(path)
