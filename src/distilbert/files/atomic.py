"""Writes that happen whole or not at all: a temporary name beside the target, then a rename.

Live models are mapped from their files, so a file is never overwritten in place: a rename leaves
the old bytes to whoever still maps them.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from distilbert.errors import FileError, InputError

_STAGING = ".saving-"
_JOURNAL = ".journal"
_PATIENCE = 10.0  # seconds that a load waits for the renames of a living save


def to_path(given: object) -> Path:
    """The path that a caller named to write to. Raises InputError for what is no path.

    An empty one is none either: `Path("")` would mean the folder one happens to be in.
    """
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        if isinstance(path, str) and path and "\0" not in path:
            return Path(path)
    raise InputError(
        f"cannot write to {given!r}; allowed: a path, as a string or pathlib.Path; name a folder "
        "or file of yours"
    )


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to `path` when the block ends without error.

    The parent folder is made where it is missing. On an error, a full disk included, the temporary
    file is removed and what stood at `path` stays as it was. Raises FileError if `path` is a folder
    or cannot be written.
    """
    path = Path(path)
    if os.path.isdir(path):
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
def staging(
    folder: str | os.PathLike[str],
    last: Container[str] = (),
    replaced: Callable[[list[str]], Iterable[str]] = lambda names: (),
) -> Iterator[Path]:
    """Yield an empty folder inside `folder`; when the block ends, its files move to `folder`.

    For several files that belong together: all are written and synced before the first is renamed,
    and those named in `last` after the others; files that `replaced` names, given the new names,
    go away with the same step. An error puts the old files back. After a kill, the old files are
    whole, or `finish_saves` makes the new ones so. Raises FileError if `folder` is a file or cannot
    be written.
    """
    folder = Path(folder)
    make_folder(folder)
    finish_saves(folder)
    _remove_left_overs(folder)
    stage = folder / f"{_STAGING}{secrets.token_hex(6)}"
    unlock: Callable[[], None] | None = None
    try:
        stage.mkdir()
        with suppress(BlockingIOError):
            unlock = _lock(stage)
        yield stage
        _swap(stage, folder, last, replaced)
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        if not (stage / _JOURNAL).exists():
            shutil.rmtree(stage, ignore_errors=True)
        if unlock:
            unlock()


def finish_saves(folder: Path) -> None:
    """Finish what a process was killed in the middle of: the renames at the end of a save.

    Every load and every save of a folder starts with this; where nothing was broken off it only
    lists the names. A save that lives is waited for, since its renames take no time. Raises
    FileError if the renames cannot be finished, in a folder that may only be read.
    """
    for stage in _stages(folder):
        if _journal(stage) is None:
            continue  # nothing was renamed: the files of the folder are the old ones, whole
        unlock = _wait_for_lock(stage)
        try:
            _finish(stage, folder)
        except OSError as error:
            raise FileError(
                f"a save into {str(folder)!r} was killed before its last files took their places, "
                f"and they cannot be moved now: {error.strerror or error}. Load it once where the "
                f"folder can be written, or copy it there with its hidden folder {stage.name!r}"
            ) from error
        finally:
            if unlock:
                unlock()


def _remove_left_overs(folder: Path) -> None:
    """Remove the staging folders that a killed process left in `folder`, and no living one's."""
    for stage in _stages(folder):
        with suppress(BlockingIOError):
            unlock = _lock(stage)
            if unlock:
                if _journal(stage) is None:
                    shutil.rmtree(stage, ignore_errors=True)
                unlock()


def _stages(folder: Path) -> list[Path]:
    try:
        names = [name for name in os.listdir(folder) if name.startswith(_STAGING)]
    except OSError:  # no such folder, or one whose files can only be opened by name
        return []
    return [folder / name for name in names if not (folder / name).is_symlink()]


@dataclass
class _Journal:
    """What a save still has to do. It is written when all files of the stage are on the disk."""

    new: list[str]  # files that move from the stage into the folder, in this order
    old: list[str]  # files of the folder that then go away


def _journal(stage: Path) -> _Journal | None:
    """The journal of a stage; None if it has none, or none of ours: folders come from strangers."""
    path = stage / _JOURNAL
    try:
        value = json.loads(path.read_bytes()) if path.is_file() else {}
        journal = _Journal([*value["new"]], [*value["old"]])
        inside = all(map(_is_inside, [*journal.new, *journal.old]))
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
    return journal if inside else None


def _is_inside(name: str) -> bool:
    return Path(name).name == name and name not in {"", ".."} and "\0" not in name


def _swap(
    stage: Path,
    folder: Path,
    last: Container[str],
    replaced: Callable[[list[str]], Iterable[str]],
) -> None:
    names = sorted((path.name for path in stage.iterdir()), key=lambda name: (name in last, name))
    undo = stage / ".old"
    undo.mkdir()
    fresh = undo.stat().st_mode & 0o666  # what the umask allows
    for name in names:
        _settle(stage / name, folder / name, fresh)
        with suppress(FileNotFoundError):
            _keep(folder / name, undo / name)
    journal = _Journal(names, [name for name in replaced(names) if name not in names])
    for name in journal.old:
        _keep(folder / name, undo / name)
    with writing(stage / _JOURNAL) as temporary:
        temporary.write_text(json.dumps(asdict(journal)), encoding="utf-8")
    try:
        _move(stage, folder, journal)
    except BaseException:
        _undo(stage, folder, journal)
        raise
    (stage / _JOURNAL).unlink(missing_ok=True)


def _finish(stage: Path, folder: Path) -> None:
    journal = _journal(stage)
    if journal is not None:  # else a living process was quicker
        _move(stage, folder, journal)
        (stage / _JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, folder: Path, journal: _Journal) -> None:
    """Do what the journal says, or the rest of it."""
    for name in journal.new:
        with suppress(FileNotFoundError):  # moved before
            os.replace(stage / name, folder / name)
    for name in journal.old:
        (folder / name).unlink(missing_ok=True)
    _sync_folder(folder)


def _undo(stage: Path, folder: Path, journal: _Journal) -> None:
    """Put the old files back. Until the journal goes, the new ones are in folder or stage: a kill
    here leaves what can still be finished."""
    for name in reversed([*journal.new, *journal.old]):
        if name in journal.new and not (stage / name).exists():
            os.replace(folder / name, stage / name)
        if (stage / ".old" / name).exists() and not (folder / name).exists():
            os.replace(stage / ".old" / name, folder / name)
    _sync_folder(folder)
    (stage / _JOURNAL).unlink()


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

    None where the system has no such locks. Raises BlockingIOError where another process holds it.
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
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return lambda: os.close(descriptor)


def _wait_for_lock(stage: Path) -> Callable[[], None] | None:
    """The lock of a stage; None if its save ends meanwhile, or where there are no such locks and no
    living save would have taken so long."""
    end = time.monotonic() + _PATIENCE
    while (stage / _JOURNAL).exists():
        late = time.monotonic() > end
        try:
            unlock = _lock(stage)
            if unlock or late:
                return unlock
        except BlockingIOError as error:
            if late:
                raise FileError(
                    f"another process is saving into {str(stage.parent)!r} and has not finished "
                    f"within {_PATIENCE:.0f} seconds; try again, or end that process"
                ) from error
        time.sleep(0.01)
    return None


def _not_written(path: Path, error: OSError) -> FileError:
    if isinstance(error, FileError):
        return error
    return FileError(
        f"cannot write {str(path)!r}: {error.strerror or error}; what was there before is "
        "untouched. Free some space, or choose a folder that can be written"
    )
