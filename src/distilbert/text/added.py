"""Tokens that were put on top of a vocabulary: what they are, and where they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from distilbert.text.characters import SPACES, in_word
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


class Stretch(NamedTuple):
    """The characters [start, end) of a searched text, and the token found there, if it is one."""

    id: int | None
    start: int
    end: int


class AddedTokens:
    """The added tokens of one tokenizer: their ids, and the search for them.

    normalize: how the text is normalized in which `normalized` tokens are looked for.
    """

    def __init__(self, vocabulary: Vocabulary, normalize: Callable[[str], str]) -> None:
        self._vocabulary = vocabulary
        self._normalize = normalize
        self._special: set[int] = set()  # a token that was special once is never plain again
        self.ids: dict[str, int] = {}
        self.by_id: dict[int, AddedToken] = {}
        self.beyond = 0
        """How many of them the vocabulary does not have."""
        self._next = len(vocabulary)  # no added token has this id or a higher one
        self._searches: tuple[Search | None, Search | None] | None = None  # made when needed

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_searches": None}

    @property
    def in_text(self) -> Search | None:
        """Finds the tokens that are looked for in the text as given."""
        return (self._searches or self._prepare())[0]

    @property
    def in_normalized(self) -> Search | None:
        """Finds the tokens that are looked for in the normalized text."""
        return (self._searches or self._prepare())[1]

    def add(self, tokens: Iterable[AddedToken]) -> int:
        """Add tokens; how many of them were not there before in just this form.

        What the vocabulary has keeps its id; others get the next ones that are free.
        A token without content is not added.
        """
        count = 0
        for token in tokens:
            id = self._id(token.content)
            if not token.content or self.by_id.get(id) == token:
                continue
            self.beyond += token.content not in self.ids and token.content not in self._vocabulary
            self.ids[token.content] = id
            self.by_id[id] = token
            self._next = max(self._next, id + 1)
            if token.special:
                self._special.add(id)
            count += 1
        if count:
            self._searches = None
        return count

    def _id(self, content: str) -> int:
        known = self.ids.get(content, self._vocabulary.get(content))
        if known is not None:
            return known
        id = self._next
        while self._vocabulary.token(id) is not None:  # ids of a mapping may have gaps
            id += 1
        return id

    def _prepare(self) -> tuple[Search | None, Search | None]:
        raw: dict[str, int] = {}
        normalized: dict[str, int] = {}
        for id, token in self.by_id.items():
            if token.normalized:
                normalized.setdefault(self._normalize(token.content), id)
            else:
                raw[token.content] = id
        normalized.pop("", None)  # nothing is left of it to look for
        special = frozenset(self._special)
        self._searches = (
            Search(raw, self.by_id, special) if raw else None,
            Search(normalized, self.by_id, special) if normalized else None,
        )
        return self._searches


class Search:
    """Finds spellings in a text: the leftmost first, of those the longest, without overlap.

    spellings: to the id of the token that each means.
    tokens: every id's token, with the rules of where it may stand.
    special: ids that `plain_specials` leaves alone.
    """

    def __init__(
        self, spellings: dict[str, int], tokens: dict[int, AddedToken], special: frozenset[int]
    ) -> None:
        longest_first = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        self._spellings = spellings
        self._tokens = tokens
        self._special = special

    def any(self, text: str) -> bool:
        """Whether a spelling stands anywhere in the text: the quick question."""
        return self._pattern.search(text) is not None

    def parts(self, text: str, *, plain_specials: bool) -> Iterator[Stretch]:
        """The whole text in its order: tokens that were found, and what is between them.

        plain_specials: special tokens are text like any other.
        """
        done = 0
        for found in self._found(text, plain_specials):
            if found.start > done:
                yield Stretch(None, done, found.start)
            yield found
            done = found.end
        if done < len(text):
            yield Stretch(None, done, len(text))

    def _found(self, text: str, plain_specials: bool) -> Iterator[Stretch]:
        done = 0
        for match in self._pattern.finditer(text):
            id = self._spellings[match[0]]
            token = self._tokens[id]
            start, end = match.span()
            if plain_specials and id in self._special:
                continue
            if token.single_word and not _stands_alone(text, start, end):
                continue
            if token.lstrip:
                while start > 0 and ord(text[start - 1]) in SPACES:
                    start -= 1
                start = max(start, done)  # the token before may have swallowed the rest
            if token.rstrip:
                while end < len(text) and ord(text[end]) in SPACES:
                    end += 1
            if start < end:
                yield Stretch(id, start, end)
                done = end


def _stands_alone(text: str, start: int, end: int) -> bool:
    before = start > 0 and in_word(text[start - 1])
    after = end < len(text) and in_word(text[end])
    return not before and not after
