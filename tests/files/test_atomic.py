import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import contents
from distilbert.errors import FileError, InputError
from distilbert.files.atomic import staging, to_path, write_text, writing


def test_a_finished_block_puts_the_file_in_place(tmp_path):
    with writing(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("x")
        assert temporary.parent == tmp_path / "new"  # the same file system, so a rename is enough
    assert contents(tmp_path) == {"new/a.txt": b"x"}


def test_an_error_in_the_block_leaves_the_old_file_and_no_litter(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def write():
        with writing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert contents(tmp_path) == {"a.txt": b"old"}


def test_a_full_disk_is_a_file_error_and_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def write():
        with writing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FileError, match=r"a\.txt.*No space left.*untouched"):
        write()
    assert contents(tmp_path) == {"a.txt": b"old"}


def test_a_folder_in_the_way_is_refused(tmp_path):
    with pytest.raises(FileError, match="it is a folder"):
        write_text(tmp_path, "x")


def test_a_folder_that_may_not_be_entered_is_a_file_error(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    for name in ("stat", "is_dir", "touch"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(FileError, match="Permission denied"):
        write_text(tmp_path / "a", "x")


def test_a_file_where_a_folder_is_needed_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(FileError, match="cannot make the folder"):
        write_text(tmp_path / "a" / "b", "x")


def test_permissions_of_the_replaced_file_are_kept(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "blob").write_text("old")
    (tmp_path / "a").symlink_to(tmp_path / "blob")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "blob").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"


def test_a_stage_moves_all_its_files(tmp_path):
    (tmp_path / "a").write_text("old")
    with staging(tmp_path) as stage:
        (stage / "a").write_text("new")
        (stage / "b").write_text("b")
        assert (tmp_path / "a").read_text() == "old"
    assert contents(tmp_path) == {"a": b"new", "b": b"b"}


def test_new_files_get_the_permissions_that_the_umask_allows(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    with staging(tmp_path) as stage:
        (stage / "a").write_text("x")
        (stage / "a").chmod(0o600)  # as some writers leave their files
    assert (tmp_path / "a").stat().st_mode == plain.stat().st_mode


def test_a_file_that_may_only_be_read_is_replaced_and_stays_so(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o444)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_a_stage_with_an_error_changes_nothing(tmp_path):
    (tmp_path / "a").write_text("old")

    def write():
        with staging(tmp_path) as stage:
            (stage / "a").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert contents(tmp_path) == {"a": b"old"}


def test_a_rename_that_fails_puts_the_earlier_ones_back(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "c").mkdir()  # a file cannot replace a folder

    def write():
        with staging(tmp_path, last=("c",)) as stage:
            for name in "abc":
                (stage / name).write_text("new")

    with pytest.raises(FileError):
        write()
    assert contents(tmp_path) == {"a": b"old"}


def test_the_last_file_is_renamed_last(tmp_path, monkeypatch):
    order = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(Path(b).name), replace(a, b))[1])
    with staging(tmp_path, last=("a",)) as stage:
        for name in "abc":
            (stage / name).write_text("new")
    assert order == [".journal", "b", "c", "a"]


@pytest.mark.parametrize("failing", ["a", "b", "c"])
def test_a_rename_that_fails_for_the_disk_puts_all_back(tmp_path, monkeypatch, failing):
    for name in ("b", "c", "gone"):
        (tmp_path / name).write_text("old")
    replace = os.replace

    def broken(source, target):
        if Path(target) == tmp_path / failing and ".old" not in Path(source).parts:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    def write():
        with staging(tmp_path, replaced=lambda names: ["gone"]) as stage:
            for name in "abc":
                (stage / name).write_text("new")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(FileError, match="untouched"):
        write()
    monkeypatch.undo()
    assert contents(tmp_path) == {"b": b"old", "c": b"old", "gone": b"old"}
    with staging(tmp_path, replaced=lambda names: ["gone"]) as stage:
        (stage / "a").write_text("new")
    assert contents(tmp_path) == {"a": b"new", "b": b"old", "c": b"old"}


def test_a_file_that_cannot_be_removed_puts_all_back(tmp_path, monkeypatch):
    for name in ("a", "gone"):
        (tmp_path / name).write_text("old")
    unlink = Path.unlink

    def broken(path, missing_ok=False):
        if path == tmp_path / "gone":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(path, missing_ok)

    def write():
        with staging(tmp_path, replaced=lambda names: ["gone"]) as stage:
            (stage / "a").write_text("new")

    monkeypatch.setattr(Path, "unlink", broken)
    with pytest.raises(FileError, match="untouched"):
        write()
    monkeypatch.undo()
    assert contents(tmp_path) == {"a": b"old", "gone": b"old"}


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path):
    kill = (
        "import os, sys\nfrom distilbert.files.atomic import staging\n"
        "with staging(sys.argv[1]) as stage:\n"
        "    (stage / 'a').write_text('half')\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", kill, tmp_path], check=False, env=os.environ)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".saving-")
    with staging(tmp_path) as first:
        (first / "b").write_text("b")
        assert not left.exists()
        with staging(tmp_path) as second:
            (second / "c").write_text("c")
            assert first.exists()
    assert contents(tmp_path) == {"b": b"b", "c": b"c"}


@pytest.mark.parametrize("given", [None, 3, b"folder", "", "a\0b", ["a"]])
def test_what_is_no_path_to_write_to_is_refused_with_what_is_allowed(given):
    with pytest.raises(InputError, match=r"cannot write to .*; allowed: a path"):
        to_path(given)
