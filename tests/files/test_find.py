import json
import os
import subprocess
import sys

import pytest

from distilbert.errors import FileError, InputError
from distilbert.files.find import HUB_OPTIONS, Folder, is_file, locate, plain_name, read_json


def test_a_folder_gives_its_files_and_none_for_others(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    source = locate(tmp_path)
    assert source.path("config.json") == tmp_path / "config.json"
    assert source.path("vocab.txt") is None
    assert source.require("vocab.txt", "config.json") == tmp_path / "config.json"
    assert source.name == str(tmp_path)


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        FileError, match=r"no a\.txt or b\.txt in the folder .* it has config\.json"
    ):
        locate(tmp_path).require("a.txt", "b.txt")


def test_a_subfolder_is_looked_into(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "config.json").write_text("{}")
    assert locate(tmp_path, subfolder="inner").path("config.json") is not None
    with pytest.raises(FileError, match="no subfolder 'other'"):
        locate(tmp_path, subfolder="other")


def test_a_folder_named_like_a_backbone_is_the_folder(tmp_path, monkeypatch):
    (tmp_path / "minilm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert isinstance(locate("minilm"), Folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "../x", "a/b/c", "~/nowhere-x"])
def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_id(name):
    with pytest.raises(FileError, match="there is no folder"):
        locate(name)


@pytest.mark.parametrize("name", ["", "two words", "a--b", "x" * 200, "owner/na:me"])
def test_a_name_that_no_hub_has_is_refused(name):
    with pytest.raises(FileError, match=r"give a folder or a hub id|neither a folder"):
        locate(name)


@pytest.mark.parametrize("given", [5, None, b"folder", ["x"], object])
def test_what_is_no_path_is_refused_with_what_is_allowed(given):
    with pytest.raises(InputError, match="allowed: the path of a folder"):
        locate(given)
    assert not is_file(given)


@pytest.mark.parametrize("name", ["x" * 300, "./" + "x" * 300, "~nosuchuser/x", "a\0b", "/\0"])
def test_a_path_that_no_system_can_hold_is_a_missing_one(name):
    assert not is_file(name)
    with pytest.raises(FileError, match=r"there is no folder|neither a folder"):
        locate(name)


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder that may not be entered; made so for the superuser too, who runs tests at times."""
    stat = os.stat

    def refuse(path, **options):
        if str(path).startswith(f"{tmp_path / 'locked'}{os.sep}"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "stat", refuse)
    return tmp_path / "locked"


def test_a_folder_that_may_not_be_entered_is_told(locked):
    assert not is_file(locked / "config.json")
    for look in (
        lambda: locate(locked).path("config.json"),
        lambda: locate(locked / "inner"),
        lambda: locate(locked, subfolder="inner"),
        lambda: read_json(locked / "config.json"),
    ):
        with pytest.raises(FileError, match=r"cannot look at .*Permission denied; get the"):
            look()


def test_a_folder_that_may_not_be_listed_gives_its_files_by_name(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(os, "listdir", refuse)
    assert locate(tmp_path).path("config.json") is not None
    with pytest.raises(FileError, match=r"no vocab\.txt in .* no files that are known"):
        locate(tmp_path).require("vocab.txt")


def test_a_file_is_a_file(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert is_file(tmp_path / "config.json")
    assert is_file(str(tmp_path / "config.json"))
    assert not is_file(tmp_path)
    assert not is_file("minilm")


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(FileError, match="is a file; give the folder"):
        locate(tmp_path / "model.safetensors")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(FileError, match="is a folder, where a file is needed"):
        locate(tmp_path).path("config.json")


def test_a_broken_link_says_where_it_points(tmp_path):
    (tmp_path / "vocab.txt").symlink_to(tmp_path / "gone")
    with pytest.raises(FileError, match=r"is a link to .*gone"):
        locate(tmp_path).path("vocab.txt")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "a\\b", "C:x", "", None, "\0"]
)
def test_a_name_that_leads_out_of_its_place_is_refused(tmp_path, name):
    with pytest.raises(FileError, match="not the name of a file inside"):
        Folder("x", tmp_path).path(name)


def test_a_name_in_a_folder_below_is_fine():
    assert plain_name("1_Pooling/config.json", "x") == "1_Pooling/config.json"


def test_the_hub_options_are_those_of_locate():
    assert set(locate.__kwdefaults__) == HUB_OPTIONS


def test_json_with_a_byte_order_mark_and_any_script_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"β": ["é", 1]}', encoding="utf-8-sig")
    assert read_json(path) == {"β": ["é", 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[1, 2]", "holds a JSON array"),
        (b'"text"', "holds a JSON string"),
        (b"null", "holds a JSON value"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nests too deeply|is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 0xff at 7"),
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8"),
    ],
)
def test_json_that_is_no_plain_object_is_refused(tmp_path, content, message):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        read_json(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", ['{"a": 1, "a": 2}', '{"a": 2, "x": {"b": 1, "b": 1}}'])
def test_of_repeated_keys_the_last_counts_unless_they_are_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    assert read_json(path)["a"] == 2
    with pytest.raises(FileError, match=r"the key '[ab]' stands twice"):
        read_json(path, repeats=False)


def test_json_that_is_missing_or_a_folder_is_refused(tmp_path):
    with pytest.raises(FileError, match="there is no file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileError, match="is a folder"):
        read_json(tmp_path)


def test_json_too_large_for_settings_is_not_read(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(257 * 2**20)  # sparse
    with pytest.raises(FileError, match="269,484,032 bytes"):
        read_json(path)


def test_finding_a_folder_imports_neither_torch_nor_the_hub(tmp_path):
    code = (
        "import sys, json\nfrom distilbert.files.find import locate\nlocate(sys.argv[1])\n"
        "import distilbert.files.foreign, distilbert.files.backbones, distilbert.files.atomic\n"
        "print(json.dumps([m for m in ('torch', 'huggingface_hub', 'pip') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == []
