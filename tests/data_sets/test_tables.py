"""Tables give values as they stand, every row knowing its line."""

import gzip

import pytest

from distilbert.data.forms import table_rows
from distilbert.data.tables import tsv_rows
from distilbert.errors import FileError, InputError


def rows(path, form, **options):
    return [
        (dict(row.values), row.where.rpartition("/")[2])
        for row in table_rows(path, form, **options)
    ]


def file(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_values_of_json_keep_their_types(tmp_path):
    path = file(tmp_path, "a.jsonl", '{"a": 1, "b": [0.5, null]}\n\n{"a": {"c": true}, "b": ""}\n')
    assert rows(path, "jsonl") == [
        ({"a": 1, "b": [0.5, None]}, "a.jsonl, line 1"),
        ({"a": {"c": True}, "b": ""}, "a.jsonl, line 3"),
    ]


def test_values_of_parquet_keep_their_types(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"a": [1, 2], "b": [["x"], []]}), path)
    assert rows(path, "parquet") == [
        ({"a": 1, "b": ["x"]}, "a.parquet, row 1"),
        ({"a": 2, "b": []}, "a.parquet, row 2"),
    ]


def test_a_tsv_row_ends_at_a_newline_and_nowhere_else(tmp_path):
    odd = "one\u2028two\x85\rthree\x0c"
    path = file(tmp_path, "a.tsv", f'a\tb\r\n"{odd}\t1\r\n\n2"\t\n')
    assert rows(path, "tsv") == [
        ({"a": f'"{odd}', "b": "1"}, "a.tsv, line 2"),
        ({"a": '2"', "b": ""}, "a.tsv, line 4"),
    ]


def test_a_csv_row_may_go_over_several_lines(tmp_path):
    path = file(tmp_path, "a.csv", 'a,b\r\n"one\r\n""two""",1\r\n3,4\r\n')
    assert rows(path, "csv") == [
        ({"a": 'one\r\n"two"', "b": "1"}, "a.csv, line 2"),
        ({"a": "3", "b": "4"}, "a.csv, line 4"),
    ]


def test_a_file_without_a_head_gets_names(tmp_path):
    plain = file(tmp_path, "a.tsv", "x\t1\n")
    packed = tmp_path / "a.tsv.gz"
    packed.write_bytes(gzip.compress(b"x\t1\n"))
    for path in (plain, packed):
        ((values, where),) = rows(path, "tsv", names=("a", "b"))
        assert values == {"a": "x", "b": "1"}
        assert where.endswith(", line 1")


def test_broken_rows_are_an_error_or_are_left_out(tmp_path):
    path = file(tmp_path, "a.tsv", "a\tb\n1\t2\n3\n4\t5\t6\n7\t8\n")
    with pytest.raises(FileError, match=r"a\.tsv, line 3: 1 fields, where the first line names 2"):
        rows(path, "tsv")
    assert [values["a"] for values, _ in rows(path, "tsv", lenient=True)] == ["1", "7"]
    with pytest.raises(FileError, match=r"a, line 1: 2 fields, where this kind of file has 1"):
        list(tsv_rows(iter(["1\t2\n"]), lambda names, where: [0], "a", names=("a",)))


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2}]',
        '{"data": [{"a": 1}, {"a": 2}]}',
        '{"a":\n1}\n{"a": 2}',
        '{"a": 1} {"a": 2}',
    ],
)
def test_json_holds_objects_in_a_list_under_data_or_one_after_another(tmp_path, text):
    found = rows(file(tmp_path, "a.json", text), "json")
    assert [values for values, _ in found] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, 2]', r"a\.json, row 2: a JSON number, where an object is needed"),
        ('{"a": 1}\n{"a": \n', r"a\.json, line 3: not JSON"),
        ("[" * 100_000, r"a\.json, line 1: not JSON"),
    ],
)
def test_bad_json_is_an_error_with_its_place(tmp_path, text, message):
    with pytest.raises(FileError, match=message):
        rows(file(tmp_path, "a.json", text), "json")


def test_parquet_is_never_gzip(tmp_path):
    with pytest.raises(InputError, match="Parquet is read from plain files only"):
        rows(file(tmp_path, "a.parquet.gz", ""), "parquet")
