"""What the model reads of examples: rows of ids that fit, and what the loss compares with."""

from distilbert.data.examples import Dataset, Feature
from distilbert.text.face import TokenizerBase


def features(
    dataset: Dataset,
    tokenizer: TokenizerBase,
    *,
    max_length: int | None = None,
    stride: int = 128,
    max_query: int = 64,
) -> list[Feature]:
    """The features of every example, in order; several for an example of several windows.

    max_length: Most tokens of a row, special ones included; None: as many as the tokenizer says,
    512 at most (384 for spans).
    """
    raise NotImplementedError
