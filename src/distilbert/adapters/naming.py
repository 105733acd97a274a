"""What adapters, fusions and heads can be called: names of modules, and of folders."""

from typing import Any

from distilbert.adapters.site import Site, Slot
from distilbert.errors import AdapterError

_LONGEST = 255  # bytes, of a folder's name
_ALLOWED = (
    f"text of 1 to {_LONGEST} bytes without dots, slashes, backslashes and control characters"
)
_FORBIDDEN = frozenset(dir(Slot(Site("", 0, 0, 0))))  # what a module would hide


def check_name(name: Any, what: str = "an adapter") -> str:
    """Raises AdapterError unless modules and folders can have this name."""
    if not _fits(name):
        raise AdapterError(
            f"{name!r:.100} is no name for {what}; allowed: {_ALLOWED}, as it becomes part of the "
            "names of weights and files"
        )
    if name in _FORBIDDEN:
        raise AdapterError(
            f"{what} cannot be called {name!r}: modules of PyTorch have an attribute of that name; "
            "choose another, or load it under another with load_as"
        )
    return str(name)


def check_stored_name(name: object, where: str) -> str:
    """The same of a name in a file, `where` it is, under which nothing need be loaded."""
    if not _fits(name):
        raise AdapterError(
            f"{where} names {name!r:.100}; allowed: {_ALLOWED}. Change the name in the file if you "
            "trust it"
        )
    return str(name)


def _fits(name: object) -> bool:
    if not isinstance(name, str) or not name or not name.isprintable() or {*"./\\"} & {*name}:
        return False
    try:
        return len(name.encode()) <= _LONGEST
    except UnicodeEncodeError:  # half a surrogate pair
        return False
