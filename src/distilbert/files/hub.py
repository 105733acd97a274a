"""A repository on the model hub, through huggingface_hub and its cache."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilbert.errors import FileError
from distilbert.files.sources import Source, plain_name

if TYPE_CHECKING:
    import os

logger = logging.getLogger("distilbert")
_COMMIT = re.compile("[0-9a-f]{40}")


class Repository(Source):
    """The files of one hub repository, all of one commit.

    The hub is asked once which commit the revision is; every file then comes from that commit, from
    the cache if it lies there. Where the hub does not answer within its time-out
    (HF_HUB_ETAG_TIMEOUT, 10 s by default), the cache is used, and nothing is tried again.
    """

    def __init__(
        self,
        name: str,
        *,
        cache_dir: "str | os.PathLike[str] | None" = None,
        revision: str | None = None,
        token: bool | str | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        timeout: float | None = None,
    ) -> None:
        super().__init__(name)
        self.revision = revision or "main"
        self.subfolder = subfolder.strip("/")
        self._cache_dir = None if cache_dir is None else str(cache_dir)
        self._token = token
        self._force = force_download
        self._timeout = timeout
        self._commit: str | None = None  # set once the hub has answered
        self._absent: str | None = None  # why the hub is not asked
        _check_id(name)
        if local_files_only:
            self._absent = "local_files_only=True"
        elif offline():
            self._absent = "HF_HUB_OFFLINE is set"
        if self._force and self._absent:
            raise FileError(
                f"cannot download {name!r} again: {self._absent}. "
                "Leave out force_download, or allow the network"
            )

    def path(self, filename: str) -> Path | None:
        name = plain_name(filename, self.where())
        if self.subfolder:
            name = f"{self.subfolder}/{name}"
        if self._commit is None and self._absent is None:
            if _COMMIT.fullmatch(self.revision) and self._snapshot() and not self._force:
                known = self._cached(name)  # a commit never changes: no need to ask
                if known is not None:
                    return known
            self._ask(name)
        if self._absent is not None:
            return self._cached(name)
        return self._download(name)

    @property
    def unreachable(self) -> str | None:
        """Why the hub is not asked, or did not answer; None if it did."""
        return self._absent

    def where(self) -> str:
        inside = f", subfolder {self.subfolder!r}" if self.subfolder else ""
        why = f", looked up in the local cache because {self._absent}" if self._absent else ""
        return f"the hub repository {self.name!r} (revision {self.revision!r}{inside}{why})"

    def names(self) -> list[str]:
        snapshot = self._snapshot()
        if snapshot is None:
            return []
        return sorted(str(path.relative_to(snapshot)) for path in snapshot.rglob("*.*"))[:20]

    def _ask(self, name: str) -> None:
        """Learn the commit of the revision, or why the cache has to do."""
        from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import (
            EntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        url = hf_hub_url(self.name, name, revision=self.revision)
        timeout = self._timeout or constants.HF_HUB_ETAG_TIMEOUT
        try:
            _knock(url, timeout)
            self._commit = get_hf_file_metadata(url, token=self._token, timeout=timeout).commit_hash
        except EntryNotFoundError as error:
            self._commit = _commit_of(error)
        except RevisionNotFoundError as error:
            raise FileError(
                f"the hub repository {self.name!r} has no revision {self.revision!r}; "
                "give the name of one of its branches or tags, or a commit"
            ) from error
        except RepositoryNotFoundError as error:
            self._fall_back(_why_refused(error), error)
            return
        except _failures() as error:
            self._fall_back(f"the hub did not answer ({_in_short(error)})", error)
            return
        if self._commit is None:
            self._fall_back(f"the answer from {url} names no commit, so it is no hub", None)

    def _fall_back(self, reason: str, error: Exception | None) -> None:
        self._absent = reason
        if self._force or self._snapshot() is None:
            raise FileError(self._nothing_here()) from error
        logger.warning("%s: %s; using the files in the local cache", self.name, reason)

    def _cached(self, name: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        if self._snapshot() is None:
            raise FileError(self._nothing_here())
        found = try_to_load_from_cache(
            self.name, name, cache_dir=self._cache_dir, revision=self.revision
        )
        return Path(found) if isinstance(found, str) else None

    def _download(self, name: str) -> Path | None:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
        )

        options: dict[str, Any] = {"revision": self._commit, "cache_dir": self._cache_dir}
        known = try_to_load_from_cache(self.name, name, **options)
        if known is not None and not self._force:
            return Path(known) if isinstance(known, str) else None  # else: known not to exist
        try:
            path = hf_hub_download(
                self.name, name, token=self._token, force_download=self._force, **options
            )
        except LocalEntryNotFoundError as error:
            raise self._broken_off(name, error) from error
        except EntryNotFoundError:
            return None
        except _failures(ValueError) as error:
            raise self._broken_off(name, error) from error
        self._remember_revision()
        return Path(path)

    def _remember_revision(self) -> None:
        """Note which commit the branch is, so that the cache alone answers the next time.

        huggingface_hub does so when it is asked for the branch; here it is asked for the commit.
        """
        from distilbert.files.atomic import write_text

        if self._commit is None or self.revision == self._commit:
            return
        reference = self._cache() / "refs" / self.revision
        if not reference.exists() or reference.read_text() != self._commit:
            write_text(reference, self._commit)

    def _broken_off(self, name: str, error: Exception) -> FileError:
        return FileError(
            f"could not download {name} of {self.where()}: {_in_short(error)}. "
            "Check the network and the space on the disk, and try again"
        )

    def _nothing_here(self) -> str:
        return (
            f"cannot load {self.name!r}: there is no such folder here, and as a hub id its files "
            f"are not in the local cache {str(self._cache())!r} at revision {self.revision!r}, "
            f"while {self._absent}. Give a folder that exists, check the name, or try again where "
            "there is a network"
        )

    def _cache(self) -> Path:
        from huggingface_hub import constants

        root = Path(self._cache_dir or constants.HF_HUB_CACHE)
        return root / f"models--{self.name.replace('/', '--')}"

    def _snapshot(self) -> Path | None:
        """The folder of this revision in the cache, if any."""
        commit = self._commit or self.revision
        reference = self._cache() / "refs" / commit
        if reference.is_file():
            commit = reference.read_text().strip()
        snapshot = self._cache() / "snapshots" / commit
        return snapshot if snapshot.is_dir() else None


def _check_id(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise FileError(
            f"{name!r} is neither a folder that exists nor the id of a hub repository "
            "('name' or 'owner/name', of letters, digits, '-', '_' and '.'); check the spelling"
        ) from error


def offline() -> bool:
    """Whether the environment forbids to ask the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _knock(url: str, timeout: float) -> None:
    """Make one request, so that a missing network is noticed within `timeout` seconds:
    huggingface_hub itself would try six times, with pauses. Raises what a request can raise."""
    from huggingface_hub import get_session

    response = get_session().request("HEAD", url, timeout=timeout)
    if response.status_code >= 500:
        raise OSError(f"status {response.status_code} for {url}")


def _failures(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What a request can raise: OSError, and the root of the errors of the HTTP library beneath,
    which differs between versions of huggingface_hub (requests, httpx, …)."""
    from huggingface_hub.errors import HfHubHTTPError

    roots = [base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)]
    return (OSError, *roots, *more)


def _commit_of(error: Exception) -> str | None:
    response = getattr(error, "response", None)
    commit = response.headers.get("x-repo-commit") if response is not None else None
    return commit or None


def _why_refused(error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return "the hub gives it only to accounts that have accepted its terms (pass `token`)"
    return "the hub has no repository of this name, or shows it only with a `token`"


def _in_short(error: BaseException) -> str:
    """The innermost cause, on one line."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".")
