"""A process that is killed while it saves: at every point, the folder loads as one whole model."""

import json
import os
import subprocess
import sys

import pytest
import torch

from checkpoints import tiny
from distilbert import DistilBertForQuestionAnswering as Model
from distilbert.errors import FileError
from distilbert.files import atomic
from distilbert.files.checkpoint import load_pretrained, save_pretrained

# Forks once for each point: the child saves and is killed as it is about to touch a file for the
# n-th time, or in the middle of writing the weights.
SCRIPT = """
import os, shutil, signal, sys
import safetensors.torch
from pathlib import Path
from distilbert import DistilBertForQuestionAnswering as Model
from distilbert.files import shards

old, new, out, size, work = sys.argv[1:]
os.fsync = lambda descriptor: None  # a killed process loses nothing that it has written
model = Model.from_pretrained(new)
write = shards.save_file
EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod"}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(point):
    count = 0

    def hook(event, args):
        nonlocal count
        if event in EVENTS:
            count += 1
            if count == point:
                die()

    sys.addaudithook(hook)


def half(tensors, path, metadata):
    write(tensors, path, metadata)
    os.truncate(path, path.stat().st_size // 2)
    die()


def killed(folder, prepare):
    shutil.copytree(old, folder)
    child = os.fork()
    if child == 0:
        prepare()
        if work == "save":
            model.save_pretrained(folder, max_shard_size=size)
        else:
            Model.from_pretrained(folder)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


if work == "save":
    assert killed(Path(out, "half"), lambda: setattr(shards, "save_file", half))
point = 1
while killed(Path(out, f"{point:04}"), lambda: kill_at(point)):
    point += 1
"""


CHANGES = [("1GB", "1GB"), ("4KB", "4KB"), ("1GB", "4KB"), ("4KB", "1GB")]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture
def old():
    return tiny(Model, seed=1)


@pytest.fixture
def new():
    return tiny(Model, seed=2, vocab_size=57)  # so that neither configuration fits both weights


@pytest.fixture
def kill(tmp_path, old, new):
    """Saves or loads a folder, killed at one point after another; the folders that are left."""
    save_pretrained(new, tmp_path / "new")

    def run(folder, work, size):
        out = tmp_path / f"killed-{work}-{folder.name}"
        out.mkdir()
        arguments = [str(path) for path in (folder, tmp_path / "new", out, size, work)]
        command = [sys.executable, "-c", SCRIPT, *arguments]
        subprocess.run(command, check=True, timeout=300)
        return sorted(out.iterdir())

    def start(before, after):
        save_pretrained(old, tmp_path / "old", max_shard_size=before)
        (tmp_path / "old" / "vocab.txt").write_text("mine")
        return run(tmp_path / "old", "save", after)

    start.load = lambda folder: run(folder, "load", "")
    return start


@forks
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_kill_at_any_point_leaves_the_old_model_or_the_new_one_whole(
    kill, old, new, before, after
):
    folders = kill(before, after)
    found = []
    for folder in folders:
        first = load_pretrained(Model, folder)[0]
        model, report = load_pretrained(Model, folder)
        assert report.complete
        assert same(first, model)
        assert (folder / "vocab.txt").read_text() == "mine"
        kinds = [name for name, whole in {"old": old, "new": new}.items() if same(model, whole)]
        assert len(kinds) == 1, f"{folder.name} holds a mixture"
        found += kinds
    assert len(folders) > 15
    assert {"old", "new"} == {*found}
    assert found == [*sorted(found[:-1], reverse=True), "old"]  # new from some point on
    for folder in (folders[0], folders[-2], folders[len(folders) // 2]):
        save_pretrained(new, folder, max_shard_size=after)  # the next save tidies up
        assert not list(folder.glob(".saving-*"))
        assert same(load_pretrained(Model, folder)[0], new)


@forks
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_load_that_is_killed_while_it_finishes_a_save_is_finished_by_the_next(
    kill, new, before, after
):
    begun = [folder for folder in kill(before, after) if list(folder.glob(".saving-*/.journal"))]
    again = kill.load(begun[0])
    assert len(again) > 3
    for folder in again:
        assert same(load_pretrained(Model, folder)[0], new)
        assert not list(folder.glob(".saving-*/.journal"))


@forks
def test_a_save_that_cannot_be_finished_is_told_and_nothing_is_mixed(kill, monkeypatch):
    begun = [folder for folder in kill("1GB", "1GB") if list(folder.glob(".saving-*/.journal"))]

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(FileError, match=r"was killed before .* Permission denied\. Load it once"):
        load_pretrained(Model, begun[0])


@forks
def test_a_living_save_is_waited_for(kill, new, monkeypatch):
    begun = [folder for folder in kill("1GB", "1GB") if list(folder.glob(".saving-*/.journal"))]
    (stage,) = begun[0].glob(".saving-*")
    unlock = atomic._lock(stage)
    monkeypatch.setattr(atomic, "_PATIENCE", 0.05)
    with pytest.raises(FileError, match="another process is saving into"):
        load_pretrained(Model, begun[0])
    unlock()
    assert same(load_pretrained(Model, begun[0])[0], new)


def test_the_journal_of_a_stranger_moves_and_removes_nothing_outside(tmp_path):
    folder, mine = tmp_path / "folder", tmp_path / "mine"
    save_pretrained(tiny(Model), folder)
    mine.write_text("mine")
    for new, old in (([], ["../mine"]), ([str(mine)], []), ([""], [".."]), ({}, 5), (["\0"], [])):
        (folder / ".saving-x").mkdir(exist_ok=True)
        (folder / ".saving-x" / ".journal").write_text(json.dumps({"new": new, "old": old}))
        load_pretrained(Model, folder)
        save_pretrained(tiny(Model), folder)
        assert mine.read_text() == "mine"
        assert not (folder / ".saving-x").exists()


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return all(a[key].shape == b[key].shape and torch.equal(a[key], b[key]) for key in a)
