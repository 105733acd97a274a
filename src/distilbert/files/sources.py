"""Places that have files: what `find.locate` returns."""

from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath, PureWindowsPath

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

    def require(self, *filenames: str) -> Path:
        """The first of the files that is there. Raises FileError if none is."""
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
        if path.is_dir():
            raise FileError(
                f"{str(path)!r} is a folder, where a file is needed; remove or rename it"
            )
        if path.is_symlink() and not path.exists():
            raise FileError(
                f"{str(path)!r} is a link to {str(path.readlink())!r}, which does not exist; "
                "copy the file itself into the folder"
            )
        if not path.exists():
            return None
        if not path.is_file():  # a pipe or a device would be read for ever
            raise FileError(f"{str(path)!r} is not a regular file; replace it by one")
        return path

    def where(self) -> str:
        return f"the folder {str(self.folder)!r}"

    def names(self) -> list[str]:
        found = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        return found if len(found) <= 20 else [*found[:20], f"and {len(found) - 20} more"]


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
