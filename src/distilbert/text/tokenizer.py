"""`DistilBertTokenizer`: the tokenizer in Python."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distilbert.errors import TokenizerError
from distilbert.text.face import TokenizerBase
from distilbert.text.saved import Saved, read_vocabulary
from distilbert.text.settings import Settings, check_bert_steps
from distilbert.text.template import read_template, write_template
from distilbert.text.vocabulary import Vocabulary
from distilbert.text.wordpiece import WordPieceBackend


class DistilBertTokenizer(TokenizerBase):
    """Text to ids and back, in Python.

    vocab_file: path of a vocab.txt (or of a tokenizer.json), or the vocabulary itself: tokens in
        the order of their ids, or a mapping from token to id.
    do_lower_case, strip_accents (None: as do_lower_case), tokenize_chinese_chars (every Chinese
        character is a word): how text is cleaned.
    do_basic_tokenize: False cuts at white space only and cleans nothing.
    never_split: words that stay whole; in lower case, if the text is lowered.
    clean_up_tokenization_spaces: `decode` also closes the gaps of English contractions.
    kwargs: clean_text, wordpieces_prefix and max_input_chars_per_word as for
        `DistilBertTokenizerFast`; model_max_length, padding_side, truncation_side,
        model_input_names, split_special_tokens, bos_token, eos_token, additional_special_tokens.

    Raises FileError for a missing or damaged file, TokenizerError for a vocabulary or setting that
    cannot work.

    >>> from distilbert import DistilBertTokenizer
    >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s"]
    >>> tokenizer = DistilBertTokenizer(vocabulary, never_split=["hellos"])
    >>> tokenizer.tokenize("Hello worlds"), tokenizer.tokenize("Hellos world")
    (['hello', 'world', '##s'], ['[UNK]', 'world'])
    """

    vocab_files_names = {"vocab_file": "vocab.txt"}  # noqa: RUF012
    backend: WordPieceBackend

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | Sequence[str],
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: Any = "[UNK]",
        sep_token: Any = "[SEP]",
        pad_token: Any = "[PAD]",
        cls_token: Any = "[CLS]",
        mask_token: Any = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_up_tokenization_spaces: bool = True,
        **kwargs: Any,
    ) -> None:
        self.settings = Settings(
            do_lower_case=do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
            unk_token=str(unk_token),
            **{name: kwargs.pop(name) for name in _RARE if name in kwargs},
        )
        self.do_basic_tokenize = do_basic_tokenize
        self.never_split = None if never_split is None else _words(never_split)
        self._base = read_vocabulary(vocab_file, str(unk_token))
        backend = WordPieceBackend(
            self._base,
            lowercase=do_lower_case,
            strip_accents=strip_accents,
            chinese=tokenize_chinese_chars,
            clean=self.settings.clean_text,
            never_split=self.never_split or (),
            basic=do_basic_tokenize,
            prefix=self.settings.wordpieces_prefix,
            max_chars=self.settings.max_input_chars_per_word,
        )
        special = {
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        }
        super().__init__(backend, {**kwargs, **special})

    @classmethod
    def _from_saved(cls, saved: Saved, options: dict[str, Any]) -> DistilBertTokenizer:
        given = saved.all_options(options)
        if saved.content is None:
            return cls(saved.require_vocabulary(), **given)
        check_bert_steps(saved.content, str(saved.tokenizer_file))
        tokenizer = cls(saved.require_vocabulary(), **given)
        processor = saved.content.get("post_processor")
        tokenizer._use_template(read_template(processor, tokenizer.backend.token_id))
        return tokenizer

    @property
    def do_lower_case(self) -> bool:
        """Whether letters are lowered."""
        return self.settings.do_lower_case

    @property
    def vocab(self) -> dict[str, int]:
        """From token to id, without the tokens added on top."""
        return dict(self._base)

    @property
    def ids_to_tokens(self) -> dict[int, str]:
        """From id to token, without the tokens added on top."""
        return {id: token for token, id in self._base.items()}

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[Sequence[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[Any] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> DistilBertTokenizer:
        """A new tokenizer of the same kind, with a vocabulary of one's own.

        The options are those of `DistilBertTokenizerFast.train_new_from_iterator`, and the trainer
        is that of the `tokenizers` library, which cuts words as do_basic_tokenize=True does.
        """
        from distilbert.text.train import options_after, train

        trained = train(
            self._as_json(),
            text_iterator,
            vocab_size,
            length=length,
            new_special_tokens=new_special_tokens,
            special_tokens_map=special_tokens_map,
            **kwargs,
        )
        options = options_after(self, new_special_tokens, special_tokens_map)
        vocabulary = trained.get_vocab(with_added_tokens=False)
        made = type(self)(vocabulary, **{**options, **self._steps()})
        if self._fixed_template is not None:
            processor = json.loads(trained.to_str())["post_processor"]
            made._use_template(read_template(processor, made.backend.token_id))
        return made

    def _tokenizer_json(self) -> dict[str, Any] | None:
        """Only a template that is not the usual one needs it."""
        return None if self._fixed_template is None else self._as_json()

    def _as_json(self) -> dict[str, Any]:
        from distilbert.text.library import LibraryBackend, build

        library = LibraryBackend(build(self._base, self.settings))
        library.add(token for _, token in sorted(self.backend.added.items()))
        content: dict[str, Any] = json.loads(library.tokenizer.to_str())
        if self._fixed_template is not None:
            processor = write_template(self._fixed_template, self.backend.id_token)
            content["post_processor"] = processor
        return content

    def _vocabulary(self) -> Vocabulary:
        return self._base

    def _steps(self) -> dict[str, Any]:
        return {
            **self.settings.options(),
            "do_basic_tokenize": self.do_basic_tokenize,
            "never_split": self.never_split,
        }


def _words(words: Any) -> list[str]:
    """A list of words. Raises TokenizerError if it is none."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise TokenizerError(f"never_split={words!r} has to be a list of words")
    found = list(words)
    if not all(isinstance(word, str) for word in found):
        raise TokenizerError(f"never_split={words!r} has to be a list of words")
    return found


_RARE = ("clean_text", "wordpieces_prefix", "max_input_chars_per_word")
