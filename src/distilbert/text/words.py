"""Cutting a text to words: at white space and around punctuation, as BERT does, or plainly."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from distilbert.text import characters
from distilbert.text.normalize import Normalizer, refuse_surrogates


class Word(NamedTuple):
    """A normalized word, and for each of its characters the index in the text it stands for."""

    text: str
    where: Sequence[int]


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

    def cut(self, normalized: str) -> list[str]:
        """The words of a text that is normalized already."""
        ...

    def spans(self, normalized: str) -> list[tuple[int, int]]:
        """Where the words of a text that is normalized already begin and end."""
        ...

    def strings(self, text: str) -> list[str]:
        """The words of a text."""
        ...

    def words(self, text: str) -> Iterable[Word]:
        """The words of a text, and where they stand."""
        ...


_MARK = characters.PUNCTUATION.pattern()
_SPACE = characters.SPACES.pattern()
_WORD = re.compile(f"[^{_MARK}{_SPACE}]+|[{_MARK}]")
_NOT_SPACE = re.compile(f"[^{_SPACE}]+")
_ASCII_WORD = re.compile(r"[^!-/:-@\[-`{-~\t-\r ]+|[!-/:-@\[-`{-~]")


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

    def cut(self, normalized: str) -> list[str]:
        return _word_pattern(normalized).findall(normalized)

    def spans(self, normalized: str) -> list[tuple[int, int]]:
        return [match.span() for match in _word_pattern(normalized).finditer(normalized)]

    def strings(self, text: str) -> list[str]:
        return self.cut(self.normalize(text))

    def words(self, text: str) -> Iterator[Word]:
        normalized, where = self.aligned(text)
        for start, end in self.spans(normalized):
            yield Word(normalized[start:end], where[start:end])


class KeptWords(BertWords):
    """As `BertWords`, but words of `kept` stay whole, as the reference's Python tokenizer has it.

    A kept word stands between white space or ideographs, as it is written or as it is normalized.
    """

    def __init__(self, normalizer: Normalizer, cleaner: Normalizer, kept: frozenset[str]) -> None:
        """cleaner: cleans and spaces out ideographs as `normalizer` does, and nothing else."""
        super().__init__(normalizer)
        self._cleaner = cleaner
        self._kept = kept

    def strings(self, text: str) -> list[str]:
        return [word.text for word in self.words(text)]

    def words(self, text: str) -> Iterator[Word]:
        cleaned, sources = self._cleaner.aligned(text)
        for match in _NOT_SPACE.finditer(cleaned):
            where = sources[match.start() : match.end()]
            written = unicodedata.normalize("NFC", match[0])
            normalized, inside = self.aligned(match[0])
            if written in self._kept:
                yield Word(written, where)
            elif normalized in self._kept:
                yield Word(normalized, where)
            else:
                for start, end in self.spans(normalized):
                    yield Word(normalized[start:end], [where[at] for at in inside[start:end]])


class PlainWords:
    """Cut at white space and left as they are: the reference's `do_basic_tokenize=False`."""

    joins: frozenset[str] = frozenset()

    def normalize(self, text: str) -> str:
        return text

    def aligned(self, text: str) -> tuple[str, Sequence[int]]:
        return text, range(len(text))

    def cut(self, normalized: str) -> list[str]:
        return normalized.split()

    def spans(self, normalized: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", normalized)]

    def strings(self, text: str) -> list[str]:
        refuse_surrogates(text)
        return text.split()

    def words(self, text: str) -> Iterator[Word]:
        refuse_surrogates(text)
        for start, end in self.spans(text):
            yield Word(text[start:end], range(start, end))


def _word_pattern(normalized: str) -> re.Pattern[str]:
    return _ASCII_WORD if normalized.isascii() else _WORD
