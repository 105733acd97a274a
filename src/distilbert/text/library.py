"""The `tokenizers` library as what turns text to pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import tokenizers
import tokenizers.processors

from distilbert.errors import TokenizerError
from distilbert.text.added import AddedToken
from distilbert.text.given import find_surrogate
from distilbert.text.pieces import Backend, Pieces
from distilbert.text.settings import Settings
from distilbert.text.template import Template


class LibraryBackend:
    """A `tokenizers.Tokenizer` with a WordPiece model, without its own truncation and padding."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self._added = {
            id: AddedToken.of(token) for id, token in tokenizer.get_added_tokens_decoder().items()
        }
        self._ever_special = {token.content for token in self._added.values() if token.special}
        self._splitting: LibraryBackend | None = None
        self._template: Template | None = None  # the last that the library was told

    def pieces(self, text: str) -> Pieces:
        return self.batch([text])[0]

    def batch(self, texts: Sequence[str]) -> list[Pieces]:
        return [_pieces(found) for found in self._encode(self.tokenizer.encode_batch, texts)]

    def batch_ids(self, texts: Sequence[str]) -> list[list[int]]:
        # without offsets the library needs an eighth less time; not all versions can leave them out
        encode = getattr(self.tokenizer, "encode_batch_fast", self.tokenizer.encode_batch)
        return [found.ids for found in self._encode(encode, texts)]

    def batch_of_words(self, texts: Sequence[Sequence[str]]) -> list[Pieces]:
        lists = [list(words) for words in texts]
        self._quiet()
        try:
            found = self.tokenizer.encode_batch(
                lists, is_pretokenized=True, add_special_tokens=False
            )
        except TypeError as error:
            raise _refused(chain.from_iterable(lists), error) from error
        return [_pieces(encoding) for encoding in found]

    def _encode(self, encode: Callable[..., Any], texts: Sequence[str]) -> list[Any]:
        self._quiet()
        try:
            return list(encode(list(texts), add_special_tokens=False))
        except TypeError as error:
            raise _refused(texts, error) from error

    def _quiet(self) -> None:
        """Undo what a caller who has the library's tokenizer may have told it."""
        if self.tokenizer.truncation is not None:
            self.tokenizer.no_truncation()
        if self.tokenizer.padding is not None:
            self.tokenizer.no_padding()

    def splitting_special(self) -> Backend:
        # The library has a switch for this, but it is one for all threads
        if self._splitting is None:
            copy = self._copy()
            copy.tokenizer.encode_special_tokens = True
            self._splitting = copy
        return self._splitting

    def _copy(self) -> LibraryBackend:
        copy = LibraryBackend(tokenizers.Tokenizer.from_str(self.tokenizer.to_str()))
        copy._mark(self._ever_special)
        return copy

    def _mark(self, special: Iterable[str]) -> None:
        """Let the library know tokens that were special, and are plain now: it writes that not."""
        for content in sorted(special):
            id = self.token_id(content)
            token = None if id is None else self._added.get(id)
            if token is not None and not token.special:
                marked = [replace(token, special=True), token]
                self.tokenizer.add_tokens([to_library(form) for form in marked])
        self._ever_special |= set(special)

    def set_template(self, template: Template) -> None:
        """Let the library's tokenizer, used on its own, put `[CLS]` and `[SEP]` around texts."""
        if template != self._template:  # the library refuses changes while another thread encodes
            (cls,), (sep,) = template.single.before, template.single.after
            pairs = [(str(self.id_token(id)), id) for id in (sep, cls)]
            self.tokenizer.post_processor = tokenizers.processors.BertProcessing(*pairs)
            self._template = template

    def add(self, tokens: Iterable[AddedToken]) -> int:
        new = [token for token in tokens if token.content]
        count = int(self.tokenizer.add_tokens([to_library(token) for token in new]))
        for token in new:
            id = self.token_id(token.content)
            if id is not None:
                self._added[id] = token
            if token.special:
                self._ever_special.add(token.content)
        self._splitting = None
        return count

    @property
    def added(self) -> dict[int, AddedToken]:
        return dict(self._added)

    def token_id(self, token: str) -> int | None:
        try:
            id: int | None = self.tokenizer.token_to_id(token)
        except UnicodeEncodeError:  # half a surrogate pair is no token
            return None
        return id

    def id_token(self, id: int) -> str | None:
        added = self._added.get(id)  # some versions of the library answer with a normalized form
        token: str | None = added.content if added else self.tokenizer.id_to_token(id)
        return token

    def vocabulary(self) -> dict[str, int]:
        return dict(self.tokenizer.get_vocab(with_added_tokens=True))

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    def __getstate__(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.to_str(), "special": sorted(self._ever_special)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(tokenizers.Tokenizer.from_str(state["tokenizer"]))  # type: ignore[misc]
        self._mark(state["special"])


def build(vocabulary: Mapping[str, int], settings: Settings) -> tokenizers.Tokenizer:
    """A tokenizer of the library with BERT's steps, over a vocabulary."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    tokenizer = tokenizers.Tokenizer(
        models.WordPiece(
            dict(vocabulary),
            unk_token=settings.unk_token,
            max_input_chars_per_word=settings.max_input_chars_per_word,
            continuing_subword_prefix=settings.wordpieces_prefix,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=settings.clean_text,
        handle_chinese_chars=settings.tokenize_chinese_chars,
        strip_accents=settings.strip_accents,
        lowercase=settings.do_lower_case,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=settings.wordpieces_prefix)
    return tokenizer


def from_json(content: Mapping[str, Any], source: str) -> tokenizers.Tokenizer:
    """The tokenizer that a tokenizer.json describes. Raises TokenizerError if it cannot be read."""
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(
            f"{source} cannot be read by the tokenizers library {tokenizers.__version__}: {error}; "
            "take the file anew, or load from vocab.txt"
        ) from error


def _refused(texts: Iterable[str], error: TypeError) -> Exception:
    """What the library means by refusing texts that are strings: half a surrogate pair."""
    found = (find_surrogate(text) for text in texts)
    return next((refusal for refusal in found if refusal is not None), error)


def _pieces(encoding: Any) -> Pieces:
    return Pieces(encoding.ids, encoding.offsets, encoding.word_ids)


def to_library(token: AddedToken) -> tokenizers.AddedToken:
    return tokenizers.AddedToken(
        token.content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=token.special,
    )
