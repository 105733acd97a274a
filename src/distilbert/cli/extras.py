"""What an optional part needs, said where it is missing."""

from distilbert.errors import DistilBertError


def parquet_missing(what: str) -> DistilBertError:
    """The error for `what`, such as "reading 'a.parquet'", where pyarrow is not installed."""
    return DistilBertError(
        f"{what} needs pyarrow, which is not installed; run: pip install 'distilbert[parquet]'"
    )
