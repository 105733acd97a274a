"""Writes that happen whole or not at all: a temporary name beside the target, then a rename.

Live models are mapped from their files, so a file is never overwritten in place: a rename leaves
the old bytes to whoever still maps them.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distilbert.errors import FileError

_STAGING = ".saving-"


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to `path` when the block ends without error.

    The parent folder is made where it is missing. On an error, a full disk included, the temporary
    file is removed and what stood at `path` stays as it was. Raises FileError if `path` is a folder
    or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise FileError(f"cannot write the file {str(path)!r}: it is a folder; give a file name")
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.touch()
        fresh = temporary.stat().st_mode & 0o666  # what the umask allows; some writers leave less
        yield temporary
        _settle(temporary, path, fresh)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with plain newlines, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents. Raises FileError if a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"cannot make the folder {str(folder)!r}: {error.strerror or error}; "
            "give a path where a folder can be made"
        ) from error


@contextmanager
def staging(folder: str | os.PathLike[str], last: Container[str] = ()) -> Iterator[Path]:
    """Yield an empty folder inside `folder`; when the block ends, its files move to `folder`.

    For several files that belong together: all are written and synced before the first is renamed,
    those named in `last` after the others, and an error during the renames puts the old files back.
    What a killed process left is removed
    by the next one. Raises FileError if `folder` is a file or cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    remove_left_overs(folder)
    stage = folder / f"{_STAGING}{secrets.token_hex(6)}"
    unlock: Callable[[], None] | None = None
    try:
        stage.mkdir()
        unlock = _lock(stage)
        yield stage
        _move_all(stage, folder, last)
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if unlock:
            unlock()


def remove_left_overs(folder: Path) -> None:
    """Remove the staging folders that a killed process left in `folder`, and no living one's."""
    for stage in folder.glob(f"{_STAGING}*"):
        unlock = _lock(stage)
        if unlock:
            shutil.rmtree(stage, ignore_errors=True)
            unlock()


def _move_all(stage: Path, folder: Path, last: Container[str]) -> None:
    names = sorted((path.name for path in stage.iterdir()), key=lambda name: (name in last, name))
    undo = stage / ".old"
    undo.mkdir()
    fresh = undo.stat().st_mode & 0o666  # what the umask allows
    for name in names:
        _settle(stage / name, folder / name, fresh)
    moved: list[str] = []
    try:
        for name in names:
            with suppress(FileNotFoundError):
                _keep(folder / name, undo / name)
            os.replace(stage / name, folder / name)
            moved.append(name)
    except OSError:
        for name in reversed(moved):
            if (undo / name).exists():
                os.replace(undo / name, folder / name)
            else:
                (folder / name).unlink()
        raise
    _sync_folder(folder)


def _keep(old: Path, kept: Path) -> None:
    """Give the old file a second name; a copy where the file system knows no links."""
    try:
        os.link(old, kept, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except (OSError, NotImplementedError):
        shutil.copy2(old, kept, follow_symlinks=False)


def _settle(written: Path, target: Path, fresh: int) -> None:
    """Bring the bytes to the disk, with the permissions of the file that they replace, if any."""
    descriptor = os.open(written, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.chmod(written, target.stat().st_mode & 0o7777)
    except FileNotFoundError:
        os.chmod(written, fresh)


def _sync_folder(folder: Path) -> None:
    """Bring the renames to the disk, where the system can open folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(folder: Path) -> Callable[[], None] | None:
    """Lock a staging folder until the returned function is called or the process dies.

    None where another process holds it, or where the system has no such locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows: left-overs stay
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return lambda: os.close(descriptor)


def _not_written(path: Path, error: OSError) -> FileError:
    if isinstance(error, FileError):
        return error
    return FileError(
        f"cannot write {str(path)!r}: {error.strerror or error}; what was there before is "
        "untouched. Free some space, or choose a folder that can be written"
    )
