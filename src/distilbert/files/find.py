"""Find the files of a model: in a folder, on the hub, or among the fetched backbones."""

import json
import os
from pathlib import Path
from typing import Any, TypeGuard

from distilbert.errors import FileError, InputError
from distilbert.files.atomic import finish_saves
from distilbert.files.sources import Folder, Source, kind_of, plain_name

__all__ = ["HUB_OPTIONS", "Folder", "Source", "is_file", "locate", "plain_name", "read_json"]

HUB_OPTIONS = frozenset(
    {"cache_dir", "revision", "token", "local_files_only", "force_download", "subfolder"}
)
"""The names of the keyword options of `locate`, so that callers can split theirs."""

_LARGEST_JSON = 256 * 2**20  # bytes; published tokenizer.json files have up to about 35 MiB


def locate(
    name_or_path: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    subfolder: str = "",
) -> Source:
    """The place that `name_or_path` means: a folder if there is one, a backbone, else a hub id.

    The options are those of huggingface_hub and matter only for hub ids; `subfolder` matters for
    folders too. Raises InputError if it is no string or path, FileError if it is a file, a missing
    or locked folder, or no possible hub id.
    """
    if not _is_name(name_or_path):
        raise InputError(
            f"cannot load from {name_or_path!r}; allowed: the path of a folder, as a string or "
            "pathlib.Path, or a hub id such as 'distilbert-base-uncased'"
        )
    name = os.fspath(name_or_path)
    if not name:
        raise FileError(f"cannot load from {name_or_path!r}: give a folder or a hub id")
    folder = Path(os.path.expanduser(name))  # leaves a home that nobody has as it is
    kind = kind_of(folder)
    if kind == "folder":
        return _inside(name, folder, subfolder)
    if kind != "nothing":
        raise FileError(
            f"{name!r} is a file; give the folder that holds it, with its config.json beside it"
        )
    if _is_only_a_path(name):
        raise FileError(f"there is no folder {name!r}; check the path, or give a hub id")

    from distilbert.files.backbones import BACKBONES, fetch

    if name in BACKBONES:
        return _inside(name, fetch(name, local_files_only=local_files_only), subfolder)

    from distilbert.files.hub import Repository

    return Repository(
        name,
        cache_dir=cache_dir,
        revision=revision,
        token=token,
        local_files_only=local_files_only,
        force_download=force_download,
        subfolder=subfolder,
    )


def is_file(name_or_path: object) -> bool:
    """Whether this is the path of a file that we may look at; False for anything else."""
    try:
        return _is_name(name_or_path) and kind_of(name_or_path) == "file"
    except FileError:
        return False


def _is_name(value: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str)


def _inside(name: str, folder: Path, subfolder: str) -> Folder:
    if subfolder and kind_of(folder / subfolder) != "folder":
        raise FileError(
            f"the folder {str(folder)!r} has no subfolder {subfolder!r}; check the name"
        )
    finish_saves(folder / subfolder)
    return Folder(name, folder / subfolder)


def _is_only_a_path(name: str) -> bool:
    starts = ("/", "./", "../", "~", ".\\", "..\\")
    return name.startswith(starts) or name in {".", ".."} or "\\" in name or name.count("/") > 1


def read_json(path: str | os.PathLike[str], *, repeats: bool = True) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises FileError unless the file is UTF-8 JSON of an object without nesting too deep to read.
    Of keys that are repeated, as in files edited by hand, the last counts; without `repeats` they
    are refused. Raises InputError if this is no path.
    """
    if not _is_name(path):
        raise InputError(
            f"cannot read {path!r}; allowed: the path of a JSON file, as a string or pathlib.Path"
        )
    path = Path(path)
    hook = None if repeats else _without_repeats
    try:
        value = json.loads(_read_text(path), object_pairs_hook=hook)
    except RecursionError as error:
        raise FileError(
            f"{str(path)!r} nests too deeply to be read; it is no settings file"
        ) from error
    except ValueError as error:
        raise FileError(
            f"{str(path)!r} is not JSON that can be used: {error}; repair it or take it anew"
        ) from error
    if not isinstance(value, dict):
        raise FileError(
            f"{str(path)!r} holds a JSON {_KINDS.get(type(value), 'value')}; "
            'a JSON object is needed: {"name": value, …}'
        )
    return value


_KINDS = {list: "array", str: "string", int: "number", float: "number", bool: "boolean"}


def _read_text(path: Path) -> str:
    try:
        if kind_of(path) == "file" and path.stat().st_size > _LARGEST_JSON:
            raise FileError(
                f"{str(path)!r} has {path.stat().st_size:,} bytes; a model's JSON file has at most "
                f"{_LARGEST_JSON:,}"
            )
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise FileError(f"there is no file {str(path)!r}; check the path") from error
    except IsADirectoryError as error:
        raise FileError(f"{str(path)!r} is a folder, where a JSON file is needed") from error
    except UnicodeDecodeError as error:
        raise FileError(
            f"{str(path)!r} is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}; "
            "save it as UTF-8"
        ) from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated!r} stands twice in one object")
    return found
