"""What a tokenizer's inside hands to its face: word pieces, and the protocol of what makes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from distilbert.text.added import AddedToken


class Pieces(NamedTuple):
    """The word pieces of one text: three lists of one length, one entry per piece."""

    ids: list[int]
    """Row of the vocabulary."""
    offsets: list[tuple[int, int]]
    """Where the piece lies in the text as it was given (in its word, if words were given):
    first character, and the one past its last."""
    words: list[int]
    """Which word the piece came from, counted from 0: a run between spaces and punctuation, or the
    word's place in the list, if words were given."""


class Backend(Protocol):
    """Turns raw text to pieces. It knows added tokens, but no template, truncation or padding.

    Every method may be called from several threads at once, but for `add`.
    Raises InputError if a text holds a lone surrogate.
    """

    def pieces(self, text: str) -> Pieces:
        """Ids, offsets and words of `text`: the unknown token's id where no piece fits."""
        ...

    def batch(self, texts: Sequence[str]) -> list[Pieces]:
        """`pieces` of each text."""
        ...

    def batch_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of `pieces`, of each text, found the quick way."""
        ...

    def batch_of_words(self, texts: Sequence[Sequence[str]]) -> list[Pieces]:
        """Of each text: ids, offsets within each word, and which word each piece came from."""
        ...

    def splitting_special(self) -> Backend:
        """The same, but special tokens that stand in a text are cut like any other characters.

        Other added tokens are still found. What is added later need not show in it.
        """
        ...

    def add(self, tokens: Iterable[AddedToken]) -> int:
        """Put tokens on top of the vocabulary; how many were not there before in this form.

        A token that the vocabulary already has keeps its id; others get the next free ones.
        """
        ...

    @property
    def added(self) -> dict[int, AddedToken]:
        """The added tokens by id, including those of the vocabulary that were named as added."""
        ...

    def token_id(self, token: str) -> int | None:
        """The id of a token of the vocabulary or an added one, None if there is none."""
        ...

    def id_token(self, id: int) -> str | None:
        """The token of an id, None if no token has it."""
        ...

    def vocabulary(self) -> dict[str, int]:
        """A fresh dictionary from token to id, added tokens included."""
        ...

    def __len__(self) -> int:
        """How many tokens there are, added ones included."""
        ...
