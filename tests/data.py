"""Where tests find data that does not travel with the repository."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(name: str) -> Path | None:
    """The file or folder `name` of the data beside the repository, or None where it is missing."""
    path = SHARED / name
    return path if path.exists() else None
