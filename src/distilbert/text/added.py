"""Tokens that were put on top of a vocabulary: what they are, and where they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from distilbert.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in the text before it is cut to words, and never cut itself.

    single_word: only where no letter, digit, mark or underscore touches it.
    lstrip, rstrip: it swallows the white space before it, after it.
    normalized: it is looked for, normalized itself, in the normalized text, else in the text as
        given; None: so unless it is special.
    special: it means something to the model and is left out of decoded text on request.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self) -> None:
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    @classmethod
    def of(cls, token: Any, *, special: bool = False) -> AddedToken:
        """From a string, or any object with these fields, such as the `tokenizers` library's."""
        if isinstance(token, str):
            return cls(token, special=special)
        return cls(
            content=token.content,
            single_word=token.single_word,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            normalized=token.normalized,
            special=token.special or special,
        )

    def __str__(self) -> str:
        return self.content


class Found(NamedTuple):
    """A token `id` at the characters [start, end) of the searched text."""

    id: int
    start: int
    end: int
