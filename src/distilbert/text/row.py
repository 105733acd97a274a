"""One row of a batch, and the way from its tokens to the words and characters of its texts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from distilbert.errors import InputError
from distilbert.text.pieces import Backend, Pieces
from distilbert.text.template import Frame


class Encoded:
    """One text as ids. Where its pieces lie is found when it is first asked for, if not given.

    given: the text, or its words; None where a caller had only ids.
    """

    __slots__ = ("_backend", "_given", "_pieces", "ids")

    def __init__(
        self,
        ids: list[int],
        *,
        backend: Backend | None = None,
        given: str | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        self.ids = ids
        self._backend = backend
        self._given = given
        self._pieces = pieces

    @property
    def pieces(self) -> Pieces:
        """Raises InputError if there was no text, or if the tokenizer has changed since."""
        if self._pieces is None:
            if self._backend is None or self._given is None:
                raise InputError(
                    "this row was made from ids, not from text, so it has no offsets and no words; "
                    "give the text itself to have them"
                )
            pieces = self._backend.pieces(self._given)
            if pieces.ids != self.ids:
                raise InputError(
                    "the tokenizer has changed since this text was encoded (were tokens added?), "
                    "so its offsets can no longer be found; encode the text again"
                )
            self._pieces = pieces
        return self._pieces

    def __getstate__(self) -> dict[str, Any]:
        with suppress(InputError):  # what cannot be found now is missing there as well
            return {"ids": self.ids, "pieces": self.pieces}
        return {"ids": self.ids, "pieces": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["ids"], pieces=state["pieces"])  # type: ignore[misc]


class Part(NamedTuple):
    """The pieces [start, end) of a text that stand in a row, from column `column` on."""

    text: Encoded
    start: int
    end: int
    column: int

    @property
    def size(self) -> int:
        return self.end - self.start


class Row:
    """One row: its ids, special tokens and padding among them, and where they come from.

    Lists have one entry per token. Offsets are characters [start, end) of the text (of the word, if
    words were given), (0, 0) for special tokens and padding. Methods that look for one thing answer
    None where there is none.
    """

    __slots__ = ("_frame", "_left", "_right", "_spell", "_tokens", "ids", "parts")

    def __init__(
        self,
        ids: list[int],
        parts: tuple[Part, ...],
        frame: Frame,
        *,
        left: int,
        right: int,
        spell: Callable[[int], str | None],
    ) -> None:
        self.ids = ids
        self.parts = parts
        """The first text, and the second if there is one."""
        self._frame = frame
        self._left = left  # padding before
        self._right = right  # padding after
        self._spell: Callable[[int], str | None] | None = spell
        self._tokens: list[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Row({len(self)} tokens of {self.n_sequences} text(s))"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "ids": self.ids,
            "parts": self.parts,
            "_frame": self._frame,
            "_left": self._left,
            "_right": self._right,
            "_spell": None,
            "_tokens": self.tokens,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def n_sequences(self) -> int:
        """1 for a row of one text, 2 for a pair."""
        return len(self.parts)

    @property
    def tokens(self) -> list[str]:
        """The vocabulary's spelling of the ids."""
        if self._tokens is None:
            assert self._spell is not None  # only a restored row has none, and that has its tokens
            self._tokens = [str(self._spell(id)) for id in self.ids]
        return list(self._tokens)

    @property
    def type_ids(self) -> list[int]:
        """0 for the first text and what belongs to it, 1 for the second; 0 for padding."""
        second = self.parts[1].size if len(self.parts) == 2 else 0
        inner = self._frame.type_ids(self.parts[0].size, second)
        return [0] * self._left + inner + [0] * self._right

    @property
    def attention_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        inner = len(self.ids) - self._left - self._right
        return [0] * self._left + [1] * inner + [0] * self._right

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for special tokens of the template and for padding, 0 for tokens of the texts."""
        return self._fill(1, lambda part: [0] * part.size)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return self._fill((0, 0), lambda part: part.text.pieces.offsets[part.start : part.end])

    @property
    def word_ids(self) -> list[int | None]:
        """Which word of its text each token came from; None for special tokens and padding."""
        return self._fill(None, lambda part: part.text.pieces.words[part.start : part.end])

    words = word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 for tokens of the first text, 1 for the second, None for special tokens and padding."""
        filled: list[int | None] = [None] * len(self.ids)
        for number, part in enumerate(self.parts):
            filled[part.column : part.column + part.size] = [number] * part.size
        return filled

    def token_to_sequence(self, token: int) -> int | None:
        """Which text, 0 or 1, a token belongs to."""
        for number, part in enumerate(self.parts):
            if part.column <= token < part.column + part.size:
                return number
        return None

    def token_to_word(self, token: int) -> int | None:
        """Which word of its text a token came from."""
        place = self._place(token)
        return None if place is None else place[0].pieces.words[place[1]]

    def token_to_chars(self, token: int) -> tuple[int, int] | None:
        """The characters that a token stands for."""
        place = self._place(token)
        return None if place is None else place[0].pieces.offsets[place[1]]

    def word_to_tokens(self, word: int, sequence: int = 0) -> tuple[int, int] | None:
        """The tokens [first, last + 1) of a word of text `sequence`."""
        part = self._part(sequence)
        if part is None:
            return None
        words = part.text.pieces.words
        first = bisect_left(words, word, part.start, part.end)
        last = bisect_left(words, word + 1, first, part.end)
        if first == last:
            return None
        return first - part.start + part.column, last - part.start + part.column

    def word_to_chars(self, word: int, sequence: int = 0) -> tuple[int, int] | None:
        """The characters of a word of text `sequence`, as far as it stands in this row."""
        tokens = self.word_to_tokens(word, sequence)
        if tokens is None:
            return None
        first, last = self.token_to_chars(tokens[0]), self.token_to_chars(tokens[1] - 1)
        return None if first is None or last is None else (first[0], last[1])

    def char_to_token(self, char: int, sequence: int = 0) -> int | None:
        """The token that a character of text `sequence` went into."""
        part = self._part(sequence)
        if part is not None:
            offsets = part.text.pieces.offsets
            for piece in range(part.start, part.end):
                if offsets[piece][0] <= char < offsets[piece][1]:
                    return piece - part.start + part.column
        return None

    def char_to_word(self, char: int, sequence: int = 0) -> int | None:
        """The word that a character of text `sequence` belongs to."""
        token = self.char_to_token(char, sequence)
        return None if token is None else self.token_to_word(token)

    def _fill(self, empty: Any, values: Callable[[Part], list[Any]]) -> list[Any]:
        filled = [empty] * len(self.ids)
        for part in self.parts:
            filled[part.column : part.column + part.size] = values(part)
        return filled

    def _part(self, sequence: int) -> Part | None:
        return self.parts[sequence] if 0 <= sequence < len(self.parts) else None

    def _place(self, token: int) -> tuple[Encoded, int] | None:
        """The text of a token and the number of its piece there."""
        sequence = self.token_to_sequence(token)
        if sequence is None:
            return None
        part = self.parts[sequence]
        return part.text, token - part.column + part.start
