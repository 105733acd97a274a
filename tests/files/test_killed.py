"""A process that is killed while it saves: at every point, the folder holds one whole model."""

import os
import subprocess
import sys

import pytest
import torch

from checkpoints import tiny
from distilbert import DistilBertForQuestionAnswering as Model
from distilbert.files.checkpoint import load_pretrained, save_pretrained

# Forks once for each point: the child saves and is killed as it is about to touch a file for the
# n-th time, or in the middle of writing the weights.
SCRIPT = """
import os, shutil, signal, sys
import safetensors.torch
from pathlib import Path
from distilbert import DistilBertForQuestionAnswering as Model
from distilbert.files import shards

old, new, out, size = sys.argv[1:]
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
        model.save_pretrained(folder, max_shard_size=size)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


assert killed(Path(out, "half"), lambda: setattr(shards, "save_file", half))
point = 1
while killed(Path(out, f"{point:04}"), lambda: kill_at(point)):
    point += 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(
    ("before", "after"), [("1GB", "1GB"), ("4KB", "4KB"), ("1GB", "4KB"), ("4KB", "1GB")]
)
def test_a_kill_at_any_point_leaves_the_old_model_or_the_new_one_whole(tmp_path, before, after):
    old, new = tiny(Model, seed=1), tiny(Model, seed=2)
    save_pretrained(old, tmp_path / "old", max_shard_size=before)
    (tmp_path / "old" / "vocab.txt").write_text("mine")
    save_pretrained(new, tmp_path / "new")
    out = tmp_path / "out"
    arguments = [tmp_path / "old", tmp_path / "new", out, after]
    subprocess.run([sys.executable, "-c", SCRIPT, *map(str, arguments)], check=True, timeout=300)

    folders = sorted(out.iterdir())
    found = []
    for folder in folders:
        model, report = load_pretrained(Model, folder)
        assert report.complete
        assert (folder / "vocab.txt").read_text() == "mine"
        kinds = [name for name, whole in {"old": old, "new": new}.items() if same(model, whole)]
        assert len(kinds) == 1, f"{folder.name} holds a mixture"
        found += kinds
    assert len(folders) > 15
    assert found[-1] == "half" or {"old", "new"} == {*found}
    assert found == [*sorted(found[:-1], reverse=True), "old"]  # new from some point on

    last = folders[0]
    save_pretrained(new, last, max_shard_size=after)  # the next save tidies up
    assert not list(last.glob(".saving-*"))
    assert same(load_pretrained(Model, last)[0], new)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return all(torch.equal(a[key], b[key]) for key in a)
