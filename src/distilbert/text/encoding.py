"""What a tokenizer answers: a dictionary of lists or tensors that knows where its tokens lie."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from distilbert.errors import InputError
from distilbert.text.row import Row
from distilbert.text.tensors import to_tensors


class CharSpan(NamedTuple):
    """Characters [start, end) of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens [start, end) of a row."""

    start: int
    end: int


class BatchEncoding(UserDict[str, Any]):
    """`input_ids`, `attention_mask` and whatever else was asked for, by name or as attributes.

    `encoding[0]` is the first row, `encoding[:2]` the first two entries of every value. The methods
    from tokens to words and characters, and back, take `(row, index)`, or `index` alone for row 0;
    they answer None where there is nothing.

    >>> from distilbert import DistilBertTokenizer
    >>> tokenizer = DistilBertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"])
    >>> encoding = tokenizer("ab a", return_tensors="np")
    >>> encoding.input_ids
    array([[2, 5, 6, 5, 3]])
    >>> encoding.word_ids(), encoding.token_to_chars(2), encoding.char_to_token(3)
    ([None, 0, 0, 1, None], CharSpan(start=1, end=2), 3)
    """

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: Row | Sequence[Row] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__(data)
        rows = encoding if encoding is None or isinstance(encoding, Sequence) else [encoding]
        self._encodings: Sequence[Row] | None = rows
        if n_sequences is None and rows:
            n_sequences = rows[0].n_sequences
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def encodings(self) -> Sequence[Row] | None:
        """The rows, if this was made from texts; None if it was made by `pad` and the like."""
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Whether words and characters can be asked for: both tokenizers here know them."""
        return self._encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """1 for rows of one text, 2 for pairs, None if unknown."""
        return self._n_sequences

    def __getitem__(self, item: str | int | slice) -> Any:
        if isinstance(item, str):
            return self.data[item]
        if self._encodings is not None and isinstance(item, int):
            return self._rows()[item]
        if isinstance(item, slice):
            return {name: value[item] for name, value in self.data.items()}
        raise KeyError(
            f"{item!r}: ask for a value by its name ({', '.join(self.data)}), for some rows by a "
            "slice, or for a row by its number if this was made from texts"
        )

    def __getattr__(self, item: str) -> Any:
        if item == "data" or item not in self.data:  # "data": not there yet while unpickling
            raise AttributeError(f"this BatchEncoding has no {item!r}")
        return self.data[item]

    def __getstate__(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "_encodings": self._encodings,
            "_n_sequences": self._n_sequences,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row, special ones and padding included."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Per token: 0 for the first text, 1 for the second, None for special tokens, padding."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Per token: the number of its word in its text; None for special tokens and padding."""
        return self._row(batch_index).word_ids

    words = word_ids

    def token_to_sequence(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """Which text, 0 or 1, a token belongs to."""
        row, token = self._at(batch_or_token_index, token_index)
        return row.token_to_sequence(_from_end(token, row))

    def token_to_word(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """The number of a token's word."""
        row, token = self._at(batch_or_token_index, token_index)
        return row.token_to_word(_from_end(token, row))

    def token_to_chars(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> CharSpan | None:
        """The characters of its text (of its word, if words were given) that a token stands for."""
        row, token = self._at(batch_or_token_index, token_index)
        span = row.token_to_chars(_from_end(token, row))
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of text `sequence_index`."""
        row, word = self._at(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word of text `sequence_index`."""
        row, word = self._at(batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that a character of text `sequence_index` went into."""
        row, char = self._at(batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The number of the word that a character of text `sequence_index` belongs to."""
        row, char = self._at(batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Turn every value into a tensor, in place: "pt" for torch, "np" for numpy, None for none.

        prepend_batch_axis: the values are those of one row; make it a batch of one.
        Raises InputError if rows of different lengths make that impossible.
        """
        if tensor_type is not None:
            self.data = to_tensors(self.data, tensor_type, prepend_batch_axis)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move every torch tensor to a device, in place."""
        self.data = {
            name: value.to(device=device, non_blocking=non_blocking)
            if callable(getattr(value, "to", None))
            else value
            for name, value in self.data.items()
        }
        return self

    def _rows(self) -> Sequence[Row]:
        if self._encodings is None:
            raise InputError(
                "this BatchEncoding was not made from texts (but by `pad`, or from a dictionary), "
                "so it knows no words and characters; ask the one that the tokenizer returned"
            )
        return self._encodings

    def _row(self, index: int) -> Row:
        rows = self._rows()
        if not -len(rows) <= index < len(rows):
            raise InputError(f"there is no row {index}: this batch has {len(rows)}")
        return rows[index]

    def _at(self, first: int, second: int | None) -> tuple[Row, int]:
        """The row and the index that a caller means by `(row, index)` or `(index,)`."""
        return (self._row(0), first) if second is None else (self._row(first), second)


def _from_end(token: int, row: Row) -> int:
    return token if token >= 0 else len(row) + token
