"""Cleaning, spacing out ideographs, stripping accents and lower-casing, and where each character
of the outcome came from.

Nearly all of it works character by character, so a text is normalized by one look-up table that
fills itself. Only canonical ordering looks further: it moves marks past each other. That shows
where a moved mark is one that stays (`characters.ORDERED`), and such texts take the long way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from distilbert.errors import InputError
from distilbert.text import characters

_REORDERING = re.compile(f"[{characters.REORDERING.pattern()}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REMEMBERED = 1 << 16
"""How many characters' spellings one normalizer keeps."""


class Normalizer:
    """What BERT does to a text before cutting it to words.

    lowercase: to lower case, character by character (so no final sigma).
    strip_accents: decompose, and remove nonspacing marks; None: as `lowercase`.
    chinese: put spaces around ideographs.
    clean: remove controls, formats and private characters; each white space becomes a space.
    Calls may come from several threads. Raises InputError for a lone surrogate.
    """

    def __init__(
        self,
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        chinese: bool = True,
        clean: bool = True,
    ) -> None:
        self._lowercase = lowercase
        self._strip = lowercase if strip_accents is None else strip_accents
        self._chinese = chinese
        self._clean = clean
        self._spellings = _Spellings(self)

    def __call__(self, text: str) -> str:
        """The normalized text."""
        if self._reorders(text):
            return self._in_order(text)[0]
        return text.translate(self._spellings)

    def aligned(self, text: str) -> tuple[str, Sequence[int]]:
        """The normalized text, and for each of its characters the index in `text` it stands for."""
        if self._reorders(text):
            return self._in_order(text)
        normalized = text.translate(self._spellings)
        if text.isascii() and len(normalized) == len(text):
            return normalized, range(len(text))
        spellings = self._spellings
        return normalized, [at for at, char in enumerate(text) for _ in spellings[ord(char)]]

    def spelling(self, code: int) -> str:
        """What one code point becomes when it stands alone: none, one or more characters."""
        first = self._spaced(code)
        if self._strip:
            first = "".join(
                part
                for char in first
                for part in characters.decomposed(char)
                if ord(part) not in characters.MARKS
            )
        return self._cased(first)

    def __reduce__(self) -> tuple[object, ...]:
        return _normalizer, (self._lowercase, self._strip, self._chinese, self._clean)

    def _spaced(self, code: int) -> str:
        """The first half: cleaned, and spaced out if it is an ideograph."""
        if code in characters.SURROGATES:
            raise _lone_surrogate(code)
        if self._clean:
            if code in characters.REMOVED:
                return ""
            if code in characters.SPACES:
                return " "
        char = chr(code)
        return f" {char} " if self._chinese and code in characters.IDEOGRAPHS else char

    def _cased(self, text: str) -> str:
        return "".join(map(characters.lower, text)) if self._lowercase else text

    def _reorders(self, text: str) -> bool:
        return self._strip and not text.isascii() and _REORDERING.search(text) is not None

    def _in_order(self, text: str) -> tuple[str, list[int]]:
        """`aligned`, where canonical ordering shows.

        Alignment goes by place, as in the reference: the n-th character that stands for a source
        character of its own belongs to the n-th source character, whichever was moved there.
        """
        sources: list[int] = []
        parts: list[tuple[str, bool]] = []  # decomposed; whether it is the first of its source
        for at, char in enumerate(text):
            for spaced in self._spaced(ord(char)):
                sources.append(at)
                decomposed = characters.decomposed(spaced)
                parts.extend((part, n == 0) for n, part in enumerate(decomposed))
        normalized: list[str] = []
        where: list[int] = []
        source = -1
        for part, is_first in _ordered(parts):
            source += is_first
            if ord(part) not in characters.MARKS:
                cased = self._cased(part)
                normalized.append(cased)
                where.extend([sources[source]] * len(cased))
        return "".join(normalized), where


def refuse_surrogates(text: str) -> None:
    """Raise InputError if `text` holds a lone surrogate."""
    found = None if text.isascii() else _SURROGATE.search(text)
    if found:
        raise _lone_surrogate(ord(found[0]))


def _lone_surrogate(code: int) -> InputError:
    return InputError(
        f"the text holds a lone surrogate, U+{code:04X}, which is half a character; "
        "decode it with errors='replace', or drop it, before tokenizing"
    )


def _ordered(parts: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Canonical ordering: each run of marks sorted by combining class, ties left as they are."""
    run = 0  # counts what is no mark, and so tells the runs of marks apart
    keys = []
    for char, _ in parts:
        order = characters.order(char)
        run += order == 0
        keys.append((run, order))
    return [parts[at] for at in sorted(range(len(parts)), key=keys.__getitem__)]


class _Spellings(dict[int, str]):
    """A table for `str.translate` that fills itself from `Normalizer.spelling`."""

    def __init__(self, normalizer: Normalizer) -> None:
        super().__init__((code, normalizer.spelling(code)) for code in range(128))
        self._normalizer = normalizer

    def __missing__(self, code: int) -> str:
        spelling = self._normalizer.spelling(code)
        if len(self) < _REMEMBERED:
            self[code] = spelling
        return spelling


def _normalizer(lowercase: bool, strip: bool, chinese: bool, clean: bool) -> Normalizer:
    return Normalizer(lowercase=lowercase, strip_accents=strip, chinese=chinese, clean=clean)
