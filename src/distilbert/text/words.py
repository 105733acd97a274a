"""Cutting a text to words: at white space and around punctuation, as BERT does, or plainly."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from distilbert.text import characters
from distilbert.text.normalize import Normalizer, refuse_surrogates


class Cut(NamedTuple):
    """The words of a text, and where they stand."""

    words: list[tuple[str, int, int]]
    """Each normalized word, and the range [start, end) of `where` that it has."""
    where: Sequence[int]
    """For each character of the normalized text, the index in the text it stands for."""


class Words(Protocol):
    """One way to cut a text to words.

    Cutting a text equals cutting each of its `str.split()` chunks, if it holds no `joins`.
    """

    joins: frozenset[str]
    """Characters that `str.split()` splits at, although no word ends there."""

    def normalize(self, text: str) -> str:
        """The text in which normalized added tokens are looked for."""
        ...

    def aligned(self, text: str) -> tuple[str, Sequence[int]]:
        """`normalize`, and for each of its characters the index in `text`."""
        ...

    def spans(self, normalized: str) -> list[tuple[str, int, int]]:
        """The words of a text that is normalized already, and where each begins and ends."""
        ...

    def strings(self, text: str) -> list[str]:
        """The words of a text. Raises InputError for a lone surrogate."""
        ...

    def words(self, text: str) -> Cut:
        """The words of a text, and where they stand. Raises InputError for a lone surrogate."""
        ...


def _compile_word(below: int) -> re.Pattern[str]:
    mark = characters.PUNCTUATION.pattern(below=below)
    space = characters.SPACES.pattern(below=below)
    return re.compile(f"[^{mark}{space}]+|[{mark}]")


_ASCII_WORD = _compile_word(below=0x80)
_BASIC_WORD = _compile_word(below=0x10000)  # of the basic plane: twice as quick as the next
_WORD = _compile_word(below=0x110000)
_SPACE = characters.SPACES.pattern()
_NOT_SPACE = re.compile(f"[^{_SPACE}]+")
_CHUNK = re.compile(r"\S+")  # as str.split() has it


_SPLIT_AT = [chr(code) for code in (*characters.SPACES, *range(0x1C, 0x20))]
"""Everything that `str.split()` may split at."""


class BertWords:
    """Normalized; cut at white space; each punctuation mark a word of its own."""

    def __init__(self, normalizer: Normalizer) -> None:
        self._normalizer = normalizer
        self.joins = frozenset(
            char
            for char in _SPLIT_AT
            if char.isspace() and not any(ord(c) in characters.SPACES for c in normalizer(char))
        )

    def normalize(self, text: str) -> str:
        return self._normalizer(text)

    def aligned(self, text: str) -> tuple[str, Sequence[int]]:
        return self._normalizer.aligned(text)

    def spans(self, normalized: str) -> list[tuple[str, int, int]]:
        return _spans(_word_pattern(normalized), normalized)

    def strings(self, text: str) -> list[str]:
        normalized = self._normalizer(text)
        return _word_pattern(normalized).findall(normalized)

    def words(self, text: str) -> Cut:
        normalized, where = self._normalizer.aligned(text)
        return Cut(self.spans(normalized), where)


class KeptWords(BertWords):
    """As `BertWords`, but words of `kept` stay whole, as the reference's Python tokenizer has it.

    A kept word stands between white space or ideographs, with its accents or stripped of them. It
    is looked for after lower-casing, as in the reference, so only lower case is found then.
    """

    def __init__(self, normalizer: Normalizer, cleaner: Normalizer, kept: frozenset[str]) -> None:
        """cleaner: does what `normalizer` does, but for stripping accents."""
        super().__init__(normalizer)
        self._cleaner = cleaner
        self._kept = kept

    def strings(self, text: str) -> list[str]:
        return [word for word, _, _ in self.words(text).words]

    def words(self, text: str) -> Cut:
        cleaned, sources = self._cleaner.aligned(text)
        words: list[tuple[str, int, int]] = []
        where: list[int] = []
        for written, first, last in _spans(_NOT_SPACE, cleaned):
            composed = unicodedata.normalize("NFC", written)
            normalized, inside = self.aligned(written)
            shift = len(where)
            if composed in self._kept:
                where += sources[first:last]
                words.append((composed, shift, len(where)))
                continue
            where += [sources[first + at] for at in inside]
            if normalized in self._kept:
                words.append((normalized, shift, len(where)))
            else:
                spans = self.spans(normalized)
                words += [(word, shift + start, shift + end) for word, start, end in spans]
        return Cut(words, where)


class PlainWords:
    """Cut at white space and left as they are: the reference's `do_basic_tokenize=False`."""

    joins: frozenset[str] = frozenset()

    def normalize(self, text: str) -> str:
        return text

    def aligned(self, text: str) -> tuple[str, Sequence[int]]:
        return text, range(len(text))

    def spans(self, normalized: str) -> list[tuple[str, int, int]]:
        return _spans(_CHUNK, normalized)

    def strings(self, text: str) -> list[str]:
        refuse_surrogates(text)
        return text.split()

    def words(self, text: str) -> Cut:
        refuse_surrogates(text)
        return Cut(self.spans(text), range(len(text)))


def _spans(pattern: re.Pattern[str], text: str) -> list[tuple[str, int, int]]:
    return [(match[0], match.start(), match.end()) for match in pattern.finditer(text)]


def _word_pattern(normalized: str) -> re.Pattern[str]:
    if normalized.isascii():
        return _ASCII_WORD
    return _BASIC_WORD if max(normalized) < "\U00010000" else _WORD
