"""Where adapters come from: folders, the hub, and zips here or at a URL, as things of strangers."""

import os
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from torch import Tensor

from distilbert.errors import AdapterError, FileError
from distilbert.files.find import Folder, Source, is_file, locate
from distilbert.files.sources import kind_of, plain_name
from distilbert.files.weights import open_weights

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

LARGEST = 2 * 2**30  # bytes, of a zip and of all that is unpacked from it
MOST = 2000  # entries of a zip
_DEEPEST = 4  # parts of a name in a zip
_CHUNK = 2**18
_TIMEOUT = 30.0  # seconds until a server answers, or sends more
_LONGEST = 900.0  # seconds for a whole zip


class Archive(Folder):
    """The unpacked files of a zip, in a temporary folder that goes away."""

    def where(self) -> str:
        return f"the archive {self.name!r}"


@contextmanager
def opened(
    name_or_path: str | os.PathLike[str],
    known: Collection[str],
    *,
    subfolder: str = "",
    **where: Any,
) -> Iterator[Source]:
    """The place that `name_or_path` means: what `files.find.locate` finds, a zip, or a zip's URL.

    Of a zip only the files of the `known` names are unpacked; where all of them lie in one folder
    of it, that folder is the place. Raises FileError if there is no such place, or if the zip is
    damaged, hostile or too large; InputError if it is no string or path.
    """
    if is_url(name_or_path):
        with tempfile.TemporaryDirectory(prefix="distilbert-") as temporary:
            fetched = Path(temporary) / "fetched.zip"
            _download(str(name_or_path), fetched, **where)
            yield _unpacked(str(name_or_path), fetched, Path(temporary), known, subfolder)
        return
    path = os.path.expanduser(name_or_path) if isinstance(name_or_path, str) else name_or_path
    if is_file(path) and os.fspath(path).lower().endswith(".zip"):
        with tempfile.TemporaryDirectory(prefix="distilbert-") as temporary:
            name = os.fspath(name_or_path)
            yield _unpacked(name, Path(path), Path(temporary), known, subfolder)
        return
    yield locate(name_or_path, subfolder=subfolder, **where)


def is_url(name: object) -> bool:
    """Whether this is the address of something on the web."""
    return isinstance(name, str) and name.lower().startswith(("http://", "https://"))


def read_tensors(
    source: Source, files: tuple[str, str, str], use_safetensors: bool | None
) -> dict[str, Tensor]:
    """The weights beside the configuration `files[0]`; safetensors are preferred, or not if False.

    Raises FileError if there are none, AdapterError if they are no finite numbers with a point.
    """
    rather_pickled = use_safetensors is False and source.path(files[2]) is not None
    weights = open_weights(
        source, use_safetensors=False if rather_pickled else None, files=files[1:]
    )
    for key, tensor in weights.items():
        if not tensor.is_floating_point():
            raise AdapterError(
                f"{key!r} in {source.where()} holds {str(tensor.dtype).removeprefix('torch.')} "
                "values; the weights of an adapter are floating-point numbers"
            )
        if not weights.finite(key):
            raise AdapterError(
                f"{key!r} in {source.where()} is not finite (NaN or infinity); the file is "
                "damaged, or its training failed: take another"
            )
    passing = isinstance(source, Archive)  # its files go away before the tensors do
    return {key: tensor.clone() if passing else tensor for key, tensor in weights.items()}


# Unpacking ----------------------------------------------------------------------------------------

_DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,  # a compression that this Python does not know
    OSError,
    RuntimeError,  # encrypted
    ValueError,
)


def _unpacked(
    name: str, path: Path, temporary: Path, known: Collection[str], subfolder: str
) -> Archive:
    folder = temporary / "files"
    folder.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            _unpack(archive, name, folder, known)
    except FileError:
        raise
    except _DAMAGED as error:
        raise FileError(
            f"{name!r} is not a zip that can be read: {error or type(error).__name__}. "
            "Take it anew, or unpack it and give the folder"
        ) from error
    return Archive(name, _root(folder, name, subfolder))


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path, known: Collection[str]) -> None:
    entries = archive.infolist()
    if len(entries) > MOST:
        raise FileError(
            f"{name!r} has {len(entries):,} entries; an adapter's zip has at most {MOST}"
        )
    names = [_checked(entry, name) for entry in entries]
    wanted = [
        (entry, parts)
        for entry, parts in zip(entries, names, strict=True)
        if not entry.is_dir() and parts and parts[-1] in known and len(parts) <= _DEEPEST
    ]
    if len({parts for _, parts in wanted}) != len(wanted):
        raise FileError(f"{name!r} holds two files of one name; do not trust it")
    left = LARGEST
    for entry, parts in wanted:
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as packed, target.open("xb") as file:
            left = _copy(packed, file, left, name)


def _checked(entry: zipfile.ZipInfo, name: str) -> tuple[str, ...]:
    """The parts of an entry's name. Raises FileError if it leads out of the zip, or is a link."""
    # Python cuts a name at its first NUL; the one that the file holds is what counts
    written = plain_name(entry.orig_filename.rstrip("/"), f"the archive {name!r}")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise FileError(
            f"{written!r} in the archive {name!r} is a link; a zip of an adapter holds plain files"
        )
    return tuple(part for part in written.split("/") if part not in {"", "."})


def _copy(source: "IO[bytes] | _InTime", target: IO[bytes], left: int, name: str) -> int:
    """Copy all; the number of bytes that may still follow. Raises FileError beyond `left`."""
    while chunk := source.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise FileError(f"{name!r} holds more than {LARGEST:,} bytes; an adapter has fewer")
        target.write(chunk)
    return left


def _root(folder: Path, name: str, subfolder: str) -> Path:
    """The folder meant: where all lies in one folder of the zip, also one below that."""
    places = [folder]
    while [path.is_dir() for path in places[-1].iterdir()] == [True]:
        places += places[-1].iterdir()
    if not subfolder:
        return places[-1]
    below = plain_name(subfolder, f"the archive {name!r}")
    for place in places:
        if kind_of(place / below) == "folder":
            return place / below
    raise FileError(f"the archive {name!r} has no subfolder {subfolder!r}; check the name")


# Fetching -----------------------------------------------------------------------------------------


def _download(
    url: str,
    target: Path,
    *,
    local_files_only: bool = False,
    **_: Any,
) -> None:
    """Put what lies at a URL into `target`. Raises FileError if it cannot be had."""
    from http.client import HTTPException

    from distilbert.files.hub import offline

    if local_files_only or offline():
        why = "local_files_only=True" if local_files_only else "HF_HUB_OFFLINE is set"
        raise FileError(f"cannot fetch {url!r}: {why}. Fetch it where there is a network")
    try:
        with _opener().open(url, timeout=_TIMEOUT) as answer, target.open("wb") as file:
            length = answer.headers.get("Content-Length")
            received = LARGEST - _copy(_InTime(answer, url), file, LARGEST, url)
            if length is not None and received != int(length):
                raise OSError(f"{received:,} of {int(length):,} bytes came")
    except FileError:
        raise
    except (OSError, ValueError, HTTPException) as error:
        raise FileError(
            f"could not fetch {url!r}: {error}. Check the address and the network, or fetch it "
            "yourself and give the file"
        ) from error


class _InTime:
    """An answer that may be read until the time for it is over."""

    def __init__(self, answer: IO[bytes], url: str) -> None:
        self._answer, self._url = answer, url
        self._end = time.monotonic() + _LONGEST

    def read(self, size: int) -> bytes:
        if time.monotonic() > self._end:
            raise FileError(f"{self._url!r} did not come within {_LONGEST:.0f} seconds")
        return self._answer.read(size)


def _opener() -> "OpenerDirector":
    """Opens http and https, follows redirects to these, and knows no other kind of address."""
    from urllib import request

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
