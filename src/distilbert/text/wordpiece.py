"""The WordPiece tokenizer in Python: text to ids, offsets and word numbers.

A text is cut at white space into chunks, and what a chunk becomes is remembered: words repeat, and
nothing in a chunk depends on its neighbours. So the usual text costs one look-up per chunk.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

from distilbert.text.added import AddedToken, AddedTokens, Search, Stretch
from distilbert.text.normalize import Normalizer
from distilbert.text.pieces import Pieces
from distilbert.text.vocabulary import Vocabulary
from distilbert.text.words import BertWords, Cut, KeptWords, PlainWords, Words

_CHUNKS = 1 << 16
"""How many chunks are remembered, each way, before remembering starts anew."""
_LONGEST_CHUNK = 48
"""Longer chunks (a line of Chinese, a link) hardly repeat, so they are not remembered."""


class WordPiece:
    """Cuts one word to the longest pieces of a vocabulary, from its start to its end.

    prefix: what a piece that does not begin a word begins with in the vocabulary.
    max_chars: longer words are unknown.
    kept: words that are one piece, the unknown token if the vocabulary lacks them.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        prefix: str = "##",
        max_chars: int = 100,
        kept: frozenset[str] = frozenset(),
    ) -> None:
        self._starts = dict(vocabulary)
        self._rests = {
            token[len(prefix) :]: id for token, id in vocabulary.items() if token.startswith(prefix)
        }
        self._longest = max(map(len, vocabulary))
        self._unknown = vocabulary.unk_id
        self._max_chars = max_chars
        self._kept = kept

    def ids(self, word: str) -> tuple[int, ...]:
        """The ids of a word's pieces."""
        known = self._starts.get(word)
        if known is not None and len(word) <= self._max_chars:
            return (known,)
        return tuple(id for id, _, _ in self.pieces(word))

    def pieces(self, word: str) -> list[tuple[int, int, int]]:
        """The id of each piece, and the characters [start, end) of the word that it covers."""
        whole = len(word)
        known = self._starts
        id = known.get(word)
        if id is not None and whole <= self._max_chars:
            return [(id, 0, whole)]
        if word in self._kept:
            return [(known.get(word, self._unknown), 0, whole)]
        if whole > self._max_chars:
            return [(self._unknown, 0, whole)]
        pieces = []
        start = 0
        while start < whole:
            for end in range(min(whole, start + self._longest), start, -1):
                id = known.get(word[start:end])
                if id is not None:
                    break
            else:
                return [(self._unknown, 0, whole)]
            pieces.append((id, start, end))
            start, known = end, self._rests
        return pieces


class WordPieceBackend:
    """A whole WordPiece tokenizer without template: a `Backend` in Python.

    lowercase, strip_accents (None: as lowercase), chinese, clean: see `Normalizer`.
    never_split: words that stay whole; in lower case, if the text is lowered.
    basic: False cuts at white space only, and normalizes nothing.
    prefix, max_chars: see `WordPiece`.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        chinese: bool = True,
        clean: bool = True,
        never_split: Iterable[str] = (),
        basic: bool = True,
        prefix: str = "##",
        max_chars: int = 100,
    ) -> None:
        kept = frozenset(never_split) if basic else frozenset[str]()
        self._words: Words = PlainWords()
        if basic:
            normalizer = Normalizer(
                lowercase=lowercase, strip_accents=strip_accents, chinese=chinese, clean=clean
            )
            self._words = BertWords(normalizer)
            if kept:
                cleaner = Normalizer(
                    lowercase=lowercase, strip_accents=False, chinese=chinese, clean=clean
                )
                self._words = KeptWords(normalizer, cleaner, kept)
        self._vocabulary = vocabulary
        self._keeps_words = bool(kept)
        self._model = WordPiece(vocabulary, prefix=prefix, max_chars=max_chars, kept=kept)
        self._added = AddedTokens(vocabulary, self._words.normalize)
        self._plain_specials = False
        self._forget()

    def ids(self, text: str) -> list[int]:
        """The ids of `pieces(text)`, found the quick way. Raises InputError for a surrogate."""
        if not self._may_hold_added(text):
            return list(chain.from_iterable(map(self._ids_of.__getitem__, self._chunks(text))))
        ids: list[int] = []
        for part in self._parts(text):
            if isinstance(part, Cut):
                ids.extend(chain.from_iterable(self._model.ids(word) for word, _, _ in part.words))
            elif part.id is None:
                chunks = self._chunks(text[part.start : part.end])
                ids.extend(chain.from_iterable(map(self._ids_of.__getitem__, chunks)))
            else:
                ids.append(part.id)
        return ids

    def pieces(self, text: str) -> Pieces:
        """Ids, offsets and words of `text`. Raises InputError for a surrogate."""
        pieces = Pieces([], [], [])
        if not self._may_hold_added(text):
            self._put_text(pieces, text, 0, 0)
            return pieces
        count = 0
        for part in self._parts(text):
            if isinstance(part, Cut):
                count = self._put_words(pieces, part, count)
            elif part.id is None:
                count = self._put_text(pieces, text[part.start : part.end], part.start, count)
            else:
                pieces.ids.append(part.id)
                pieces.offsets.append((part.start, part.end))
                pieces.words.append(count)
                count += 1
        return pieces

    def pieces_of_words(self, words: Sequence[str]) -> Pieces:
        """Ids, offsets within each word, and which of `words` each piece came from."""
        pieces = Pieces([], [], [])
        for at, word in enumerate(words):
            ids, offsets, _ = self.pieces(word)
            pieces.ids.extend(ids)
            pieces.offsets.extend(offsets)
            pieces.words.extend([at] * len(ids))
        return pieces

    def batch(self, texts: Sequence[str]) -> list[Pieces]:
        """`pieces` of each text."""
        return [self.pieces(text) for text in texts]

    def batch_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """`ids` of each text."""
        return [self.ids(text) for text in texts]

    def batch_of_words(self, texts: Sequence[Sequence[str]]) -> list[Pieces]:
        """`pieces_of_words` of each text."""
        return [self.pieces_of_words(words) for words in texts]

    def splitting_special(self) -> WordPieceBackend:
        """The same, but special tokens that stand in a text are cut like any other characters."""
        other = copy.copy(self)
        other._plain_specials = True
        other._ids_of, other._pieces_of = self._ids_of, self._pieces_of  # no chunk is special
        return other

    def tokens(self, text: str) -> list[str]:
        """The vocabulary's spelling of `ids(text)`: the unknown token where nothing fits."""
        return [str(self.id_token(id)) for id in self.ids(text)]

    def add(self, tokens: Iterable[AddedToken]) -> int:
        """Put tokens on top of the vocabulary; how many were not there before in this form.

        A token that the vocabulary already has keeps its id; others get the next free ones.
        """
        return self._added.add(tokens)

    @property
    def added(self) -> dict[int, AddedToken]:
        """The added tokens by id, including those of the vocabulary that were named as added."""
        return dict(self._added.by_id)

    def token_id(self, token: str) -> int | None:
        """The id of a token of the vocabulary or an added one, None if there is none."""
        id = self._added.ids.get(token)
        return self._vocabulary.get(token) if id is None else id

    def id_token(self, id: int) -> str | None:
        """The token of an id, None if no token has it."""
        added = self._added.by_id.get(id)
        return self._vocabulary.token(id) if added is None else added.content

    def vocabulary(self) -> dict[str, int]:
        """A fresh dictionary from token to id, added tokens included."""
        return {**self._vocabulary, **self._added.ids}

    def __len__(self) -> int:
        """How many tokens there are, added ones included."""
        return len(self._vocabulary) + self._added.beyond

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_ids_of"], state["_pieces_of"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._ids_of = _Memory(self._chunk_ids)
        self._pieces_of = _Memory(self._chunk_pieces)

    def _chunks(self, text: str) -> list[str]:
        """The text cut where words end for sure."""
        return [text] if any(map(text.__contains__, self._words.joins)) else text.split()

    def _chunk_ids(self, chunk: str) -> tuple[int, ...]:
        return tuple(chain.from_iterable(map(self._model.ids, self._words.strings(chunk))))

    def _chunk_pieces(self, chunk: str) -> int | _ChunkPieces:
        pieces = Pieces([], [], [])
        count = self._put_words(pieces, self._words.words(chunk), 0)
        if pieces.offsets == [(0, len(chunk))]:
            return pieces.ids[0]
        starts, ends = zip(*pieces.offsets, strict=True) if pieces.offsets else ((), ())
        return _ChunkPieces(tuple(pieces.ids), starts, ends, tuple(pieces.words), count)

    def _put_text(self, pieces: Pieces, text: str, shift: int, count: int) -> int:
        """Append what `text` becomes, which begins at `shift`; the count of words after it."""
        ids, offsets, words = pieces
        end = 0
        for chunk in self._chunks(text):
            at = text.index(chunk, end)
            end = at + len(chunk)
            found = self._pieces_of[chunk]
            if isinstance(found, int):
                ids.append(found)
                offsets.append((shift + at, shift + end))
                words.append(count)
                count += 1
            else:
                start = shift + at
                ids += found.ids
                for first, last in zip(found.starts, found.ends, strict=True):
                    offsets.append((start + first, start + last))
                for word in found.words:
                    words.append(count + word)
                count += found.word_count
        return count

    def _put_words(self, pieces: Pieces, cut: Cut, count: int) -> int:
        """Append the pieces of words; the count of words after them."""
        ids, offsets, numbers = pieces
        where = cut.where
        for word, first, last in cut.words:
            whole = len(word)
            for id, start, end in self._model.pieces(word):
                # A kept word may be shorter than what it stands for, so it ends where that ends.
                stop = last if end == whole else first + end
                ids.append(id)
                offsets.append((where[first + start], where[stop - 1] + 1))
                numbers.append(count)
            count += 1
        return count

    def _may_hold_added(self, text: str) -> bool:
        added = self._added
        return (added.in_text is not None and added.in_text.any(text)) or (
            added.in_normalized is not None and added.in_normalized.any(self._words.normalize(text))
        )

    def _parts(self, text: str) -> Iterator[Stretch | Cut]:
        """The text in its order: added tokens, stretches of text, and words that are normalized."""
        for part in self._split(self._added.in_text, text):
            if part.id is None and self._added.in_normalized is not None:
                yield from self._parts_of_normalized(text, part)
            else:
                yield part

    def _parts_of_normalized(self, text: str, stretch: Stretch) -> Iterator[Stretch | Cut]:
        normalized, sources = self._words.aligned(text[stretch.start : stretch.end])
        where = [stretch.start + source for source in sources]
        for id, start, end in self._split(self._added.in_normalized, normalized):
            if id is not None or self._keeps_words:
                yield Stretch(id, where[start], where[end - 1] + 1)
            else:
                yield Cut(self._words.spans(normalized[start:end]), where[start:end])

    def _split(self, search: Search | None, text: str) -> Iterable[Stretch]:
        if search is None:
            return [Stretch(None, 0, len(text))]
        return search.parts(text, plain_specials=self._plain_specials)


class _ChunkPieces(NamedTuple):
    """What one chunk becomes, if it is not one piece: all counted from the start of the chunk."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    words: tuple[int, ...]
    word_count: int


_Value = TypeVar("_Value")


class _Memory(dict[str, _Value], Generic[_Value]):
    """Remembers what was computed. It never grows beyond bounds, and threads may share it: at worst
    two of them compute the same value."""

    def __init__(self, compute: Callable[[str], _Value]) -> None:
        self._compute = compute

    def __missing__(self, chunk: str) -> _Value:
        value = self._compute(chunk)
        if len(chunk) <= _LONGEST_CHUNK:
            if len(self) >= _CHUNKS:
                self.clear()
            self[chunk] = value
        return value
