"""Reading, checking and writing vocabularies."""

import copy
import errno
import pickle
from pathlib import Path

import pytest

from distilbert.errors import FileError, TokenizerError
from distilbert.text.vocabulary import Vocabulary


def _file(folder: Path, content: bytes | str) -> Path:
    path = folder / "vocab.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_ids_are_line_numbers(tmp_path: Path) -> None:
    vocabulary = Vocabulary.read(_file(tmp_path, "[PAD]\n[UNK]\nhello\n##s\n"))
    assert dict(vocabulary) == {"[PAD]": 0, "[UNK]": 1, "hello": 2, "##s": 3}
    assert [vocabulary.token(id) for id in range(5)] == ["[PAD]", "[UNK]", "hello", "##s", None]
    assert vocabulary.unk_id == 1
    assert len(vocabulary) == 4
    assert "hello" in vocabulary
    assert vocabulary.get("none") is None


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=ascii)
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_as_python_text_files_do(end: str, last: bool, tmp_path: Path) -> None:
    content = end.join(["[UNK]", "a", "b"]) + (end if last else "")
    assert list(Vocabulary.read(_file(tmp_path, content))) == ["[UNK]", "a", "b"]


@pytest.mark.parametrize(
    "char", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"], ids=ascii
)
def test_other_line_separators_are_part_of_a_token(char: str, tmp_path: Path) -> None:
    """They end lines for `str.splitlines`, which would move every id after them."""
    vocabulary = Vocabulary.read(_file(tmp_path, f"[UNK]\n{char}\na{char}b\nlast\n"))
    assert list(vocabulary) == ["[UNK]", char, f"a{char}b", "last"]


def test_white_space_around_a_token_belongs_to_it(tmp_path: Path) -> None:
    assert list(Vocabulary.read(_file(tmp_path, "[UNK]\n a\nb \n\u3000\n"))) == [
        "[UNK]",
        " a",
        "b ",
        "\u3000",
    ]


def test_a_blank_line_keeps_its_id(tmp_path: Path) -> None:
    vocabulary = Vocabulary.read(_file(tmp_path, "[UNK]\n\nb\n"))
    assert dict(vocabulary) == {"[UNK]": 0, "": 1, "b": 2}


@pytest.mark.diverges("transformers 4.57.6: the mark becomes part of the first token")
def test_a_byte_order_mark_is_no_part_of_the_first_token(tmp_path: Path) -> None:
    assert list(Vocabulary.read(_file(tmp_path, b"\xef\xbb\xbf[UNK]\na\n"))) == ["[UNK]", "a"]


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    with pytest.raises(FileError, match=rf"{path}.*vocab\.txt"):
        Vocabulary.read(path)


def test_a_folder_is_no_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=rf"{tmp_path} is a folder.*vocab\.txt"):
        Vocabulary.read(tmp_path)


def test_a_file_that_may_not_be_read_is_an_error_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    path = _file(tmp_path, "[UNK]\n")
    with pytest.raises(FileError, match=f"{path} cannot be read: Permission denied"):
        Vocabulary.read(path)


def test_a_path_through_a_file_is_an_error_of_files(tmp_path: Path) -> None:
    path = _file(tmp_path, "[UNK]\n") / "vocab.txt"
    with pytest.raises(FileError, match=str(path)):
        Vocabulary.read(path)


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path) -> None:
    path = _file(tmp_path, b"[UNK]\nabc\nd\xffe\n")
    with pytest.raises(TokenizerError, match=rf"{path}, line 3: byte 0xff is not UTF-8"):
        Vocabulary.read(path)


@pytest.mark.diverges("transformers 4.57.6: the last of two lines wins, and an id has no token")
def test_a_token_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = _file(tmp_path, "[UNK]\na\nb\na\n")
    with pytest.raises(TokenizerError, match=rf"{path}: 'a' stands in line 2 and again in line 4"):
        Vocabulary.read(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, "")
    with pytest.raises(TokenizerError, match=rf"{path} is empty"):
        Vocabulary.read(path)


def test_a_file_without_the_unknown_token_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, "[PAD]\nhello\n")
    with pytest.raises(TokenizerError, match=rf"{path} has no unknown token '\[UNK\]'.*unk_token"):
        Vocabulary.read(path)


def test_the_unknown_token_may_have_another_name(tmp_path: Path) -> None:
    vocabulary = Vocabulary.read(_file(tmp_path, "a\n<unk>\n"), unk="<unk>")
    assert (vocabulary.unk, vocabulary.unk_id) == ("<unk>", 1)


def test_a_mapping_may_leave_ids_out() -> None:
    vocabulary = Vocabulary({"[UNK]": 3, "a": 9})
    assert (vocabulary["a"], vocabulary.token(9), vocabulary.token(0)) == (9, "a", None)


def test_two_tokens_of_one_id_are_refused() -> None:
    with pytest.raises(TokenizerError, match="'a' and 'b' both have id 1"):
        Vocabulary({"[UNK]": 0, "a": 1, "b": 1})


def test_a_lone_surrogate_in_a_token_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"'a\\ud800' \(id 1\) holds a lone surrogate"):
        Vocabulary(["[UNK]", "a\ud800"])


def test_a_later_change_of_the_source_changes_nothing() -> None:
    source = {"[UNK]": 0, "a": 1}
    vocabulary = Vocabulary(source)
    source["a"] = 7
    assert vocabulary["a"] == 1


@pytest.mark.parametrize("char", ["é", "\u2028", "中", "😀", " "])
def test_what_was_written_reads_back(char: str, tmp_path: Path) -> None:
    vocabulary = Vocabulary(["[UNK]", char, f"##{char}", ""])
    vocabulary.write(tmp_path / "vocab.txt")
    assert dict(Vocabulary.read(tmp_path / "vocab.txt")) == dict(vocabulary)
    content = (tmp_path / "vocab.txt").read_bytes().decode()
    assert content == f"[UNK]\n{char}\n##{char}\n\n"


def test_gaps_cannot_be_written_as_lines_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no token of id 1.*tokenizer\.json"):
        Vocabulary({"[UNK]": 0, "a": 2}).write(tmp_path / "vocab.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("token", ["a\nb", "\r"], ids=ascii)
def test_line_ends_in_a_token_cannot_be_written(token: str, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"\(id 1\) holds a line end.*tokenizer\.json"):
        Vocabulary(["[UNK]", token]).write(tmp_path / "vocab.txt")
    assert list(tmp_path.iterdir()) == []


def test_copies_are_equal() -> None:
    vocabulary = Vocabulary(["[UNK]", "a"])
    for other in (copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))):
        assert other == vocabulary
        assert other.unk_id == 0


def test_its_repr_says_how_large_it_is() -> None:
    assert repr(Vocabulary(["[UNK]", "a"])) == "Vocabulary(2 tokens, unk='[UNK]')"
