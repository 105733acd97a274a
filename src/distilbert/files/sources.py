"""Places that have files: what `find.locate` returns."""

import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from distilbert.errors import FileError


class Source(ABC):
    """A place that has files: a local folder, or a hub repository at one revision."""

    def __init__(self, name: str) -> None:
        self.name = name  # what the user wrote

    @abstractmethod
    def path(self, filename: str) -> Path | None:
        """The local path of a file, downloaded first where needed; None if there is no such file.

        Raises FileError if the place cannot be reached, or if the name leads out of it.
        """

    @abstractmethod
    def where(self) -> str:
        """The place in words, for errors."""

    def names(self) -> list[str]:
        """The names of the files that are known to lie there, for errors; empty if unknown."""
        return []

    def require(self, *filenames: str, remedy: str = "") -> Path:
        """The first of the files that is there. Raises FileError if none is, with this remedy."""
        for filename in filenames:
            path = self.path(filename)
            if path is not None:
                return path
        wanted = " or ".join(filenames)
        names = self.names()
        found = f"it has {', '.join(names)}" if names else "it has no files that are known here"
        raise FileError(
            f"no {wanted} in {self.where()}: {found}. "
            "Give the folder or hub id that holds it, or a `subfolder` or `revision` that does"
            f"{remedy}"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where()})"


class Folder(Source):
    """A local folder."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.folder = folder

    def path(self, filename: str) -> Path | None:
        path = self.folder / plain_name(filename, self.where())
        kind = kind_of(path)
        if kind == "folder":
            raise FileError(
                f"{str(path)!r} is a folder, where a file is needed; remove or rename it"
            )
        if kind == "nothing" and os.path.islink(path):
            raise FileError(
                f"{str(path)!r} is a link to {os.readlink(path)!r}, which does not exist; "
                "copy the file itself into the folder"
            )
        if kind == "special":  # a pipe or a device would be read for ever
            raise FileError(f"{str(path)!r} is not a regular file; replace it by one")
        return path if kind == "file" else None

    def where(self) -> str:
        return f"the folder {str(self.folder)!r}"

    def names(self) -> list[str]:
        try:
            found = sorted(name for name in os.listdir(self.folder) if not name.startswith("."))
        except OSError:  # its files can be opened by name, but not listed
            return []
        return found if len(found) <= 20 else [*found[:20], f"and {len(found) - 20} more"]


def kind_of(path: str | os.PathLike[str]) -> Literal["file", "folder", "special", "nothing"]:
    """What lies at a path; nothing at one that no file can have, such as an overlong one.

    Raises FileError if the permissions do not let us look.
    """
    try:
        mode = os.stat(path).st_mode
    except PermissionError as error:
        raise FileError(
            f"cannot look at {os.fspath(path)!r}: {error.strerror}; get the permission to read it "
            "and to enter its folders"
        ) from error
    except (OSError, ValueError):
        return "nothing"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "special"


def check_readable(path: Path) -> Path:
    """The path. Raises FileError if the file at it cannot be opened."""
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise FileError(
            f"cannot read {str(path)!r}: {error.strerror or error}; get the permission to read it"
        ) from error


def plain_name(filename: object, where: str) -> str:
    """`filename` if it stays inside its place: relative, no `..`, no backslash, no drive.

    Raises FileError otherwise: such names come from index files that strangers wrote.
    """
    if isinstance(filename, str) and filename and "\\" not in filename and "\0" not in filename:
        parts = PurePosixPath(filename).parts
        if (
            not filename.startswith("/")
            and ".." not in parts
            and not PureWindowsPath(filename).drive
        ):
            return filename
    raise FileError(
        f"{filename!r} is not the name of a file inside {where}: names are relative, without '..'. "
        "A file of this place names it; do not trust it before you have looked at it"
    )
