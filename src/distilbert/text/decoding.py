"""From ids back to tokens and text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

from distilbert.errors import InputError
from distilbert.text.settings import Settings
from distilbert.text.special import SpecialTokens
from distilbert.text.tensors import id_list, to_lists

_CONTRACTIONS = (" n't", " 'm", " 's", " 've", " 're")
_MARKS = (" .", " ?", " !", " ,")


class Decoding(SpecialTokens):
    """The part of a tokenizer that goes from ids to tokens to text, and from tokens to ids."""

    clean_up_tokenization_spaces: bool
    settings: Settings
    """How text is cleaned and cut."""

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or of each; the unknown token's where there is no such token."""
        if tokens is None:
            return None
        if isinstance(tokens, str) or not isinstance(tokens, Iterable):
            return self._id_or_unknown(tokens)
        return [self._id_or_unknown(token) for token in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str: ...

    @overload
    def convert_ids_to_tokens(
        self, ids: Sequence[int], skip_special_tokens: bool = False
    ) -> list[str]: ...

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or of each id of a list or tensor of one dimension.

        Raises InputError for an id that the vocabulary does not have.
        """
        ids = to_lists(ids)
        if isinstance(ids, int):
            return self._token_of(ids)
        skipped = self._skipped() if skip_special_tokens else frozenset()
        return [self._token_of(id) for id in id_list(ids, "ids") if id not in skipped]

    def _convert_id_to_token(self, index: int) -> str:
        """The name that whole-word collators of other packages call."""
        return self._token_of(index)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens as text: pieces joined to words, words by spaces, no space before `.,?!`.

        >>> from distilbert import DistilBertTokenizer
        >>> tokenizer = DistilBertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        >>> tokenizer.convert_tokens_to_string(["he", "##llo", ",", "world", "!"])
        'hello, world!'
        """
        return join_pieces(tokens, self.settings.wordpieces_prefix)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> str:
        """The text of ids: of one, of a list of them, or of a tensor of one dimension.

        clean_up_tokenization_spaces: also close the gaps of English contractions ("do n't"); None:
            as the attribute of that name says.
        kwargs: taken for compatibility, and without effect.
        Raises InputError for an id that the vocabulary does not have.

        >>> from distilbert import DistilBertTokenizer
        >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s"]
        >>> tokenizer = DistilBertTokenizer(vocabulary)
        >>> tokenizer.decode([2, 5, 6, 7, 3]), tokenizer.decode([2, 5, 3], skip_special_tokens=True)
        ('[CLS] hello worlds [SEP]', 'hello')
        """
        ids = to_lists(token_ids)
        ids = [ids] if isinstance(ids, int) else id_list(ids, "token_ids")
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        text = self.convert_tokens_to_string(tokens)
        clean = clean_up_tokenization_spaces
        if self.clean_up_tokenization_spaces if clean is None else clean:
            return self.clean_up_tokenization(text)
        return text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`decode` of each row of a list or tensor."""
        rows = to_lists(sequences)
        if not isinstance(rows, list):
            raise InputError(f"sequences has to be a list of rows of ids, not {rows!r}")
        return [
            self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **kwargs)
            for row in rows
        ]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Take out the spaces before punctuation and inside English contractions."""
        for found in _MARKS:
            out_string = out_string.replace(found, found[1:])
        out_string = out_string.replace(" ' ", "'")
        for found in _CONTRACTIONS:
            out_string = out_string.replace(found, found[1:])
        return out_string

    def _skipped(self) -> frozenset[int]:
        """The ids that `skip_special_tokens` leaves out."""
        added = {id for id, token in self.backend.added.items() if token.special}
        return frozenset(added.union(self.all_special_ids))


def join_pieces(tokens: Iterable[str], prefix: str) -> str:
    """Tokens as text, as the `tokenizers` library's WordPiece decoder has it."""
    text = ""
    for place, token in enumerate(tokens):
        if place == 0:
            piece = token
        elif token.startswith(prefix):
            piece = token[len(prefix) :]
        else:
            piece = f" {token}"
        text += _close_gaps(piece) if " " in piece else piece
    return text


def _close_gaps(piece: str) -> str:
    """What the library does to every single token: the gap before a punctuation mark goes."""
    piece = Decoding.clean_up_tokenization(piece)
    return piece.replace(" do not", " don't")
