"""`DistilBertTokenizerFast`: the tokenizer on the `tokenizers` library."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from distilbert.errors import TokenizerError
from distilbert.files.find import read_json
from distilbert.text.face import TokenizerBase
from distilbert.text.library import LibraryBackend, build, from_json
from distilbert.text.saved import Saved, read_vocabulary
from distilbert.text.settings import (
    Settings,
    check_wordpiece,
    read_settings,
    write_longest_word,
    write_settings,
)
from distilbert.text.template import read_template, write_template
from distilbert.text.train import options_after, train
from distilbert.text.vocabulary import Vocabulary


class DistilBertTokenizerFast(TokenizerBase):
    """Text to ids and back, on the `tokenizers` library.

    vocab_file: path of a vocab.txt, or the vocabulary itself: tokens in the order of their ids, or
        a mapping from token to id. tokenizer_file: path of a tokenizer.json instead, or what it
        holds.
    do_lower_case, strip_accents (None: as do_lower_case), tokenize_chinese_chars (every Chinese
        character is a word), clean_text (control characters are left out): how text is cleaned.
    wordpieces_prefix: what marks a piece that goes on a word.
    kwargs: model_max_length, padding_side, truncation_side, model_input_names,
        max_input_chars_per_word (longer words are unknown; by default as tokenizer_file says, else
        100), clean_up_tokenization_spaces (`decode` also closes the gaps of English contractions;
        by default so with a vocab_file only), split_special_tokens, bos_token, eos_token,
        additional_special_tokens, tokenizer_object (a `tokenizers.Tokenizer`, which is copied).

    Raises FileError for a missing or damaged file, TokenizerError for a vocabulary or setting that
    cannot work.

    >>> from distilbert import DistilBertTokenizerFast
    >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s"]
    >>> tokenizer = DistilBertTokenizerFast(vocabulary)
    >>> encoding = tokenizer("Hello worlds!", return_offsets_mapping=True)
    >>> encoding.tokens()
    ['[CLS]', 'hello', 'world', '##s', '[UNK]', '[SEP]']
    >>> encoding["offset_mapping"]
    [(0, 0), (0, 5), (6, 11), (11, 12), (12, 13), (0, 0)]
    """

    is_fast = True
    vocab_files_names = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}  # noqa: RUF012
    backend: LibraryBackend

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | Sequence[str] | None = None,
        tokenizer_file: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        do_lower_case: bool = True,
        unk_token: Any = "[UNK]",
        sep_token: Any = "[SEP]",
        pad_token: Any = "[PAD]",
        cls_token: Any = "[CLS]",
        mask_token: Any = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_text: bool = True,
        wordpieces_prefix: str = "##",
        **kwargs: Any,
    ) -> None:
        longest_word = kwargs.pop("max_input_chars_per_word", None)
        settings = Settings(
            do_lower_case=do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
            clean_text=clean_text,
            wordpieces_prefix=wordpieces_prefix,
            unk_token=str(unk_token),
            **({} if longest_word is None else {"max_input_chars_per_word": longest_word}),
        )
        given = kwargs.pop("tokenizer_object", None)
        content, source = None, "the tokenizer_object"
        if given is not None:
            content = json.loads(given.to_str())
        elif isinstance(tokenizer_file, Mapping):
            content, source = dict(tokenizer_file), str(kwargs.get("name_or_path", "the mapping"))
        elif tokenizer_file is not None:
            content, source = read_json(tokenizer_file), str(tokenizer_file)
        if content is not None:
            unk = str(read_settings(content).get("unk_token", "[UNK]"))
            Vocabulary(check_wordpiece(content, source), unk=unk, source=source)  # for its checks
            content = write_settings(content, settings)
            if longest_word is not None:
                content = write_longest_word(content, longest_word)
            settings = Settings(**{**asdict(settings), **read_settings(content)})
            backend = LibraryBackend(from_json(content, source))
        elif vocab_file is not None:
            backend = LibraryBackend(build(read_vocabulary(vocab_file, str(unk_token)), settings))
        else:
            raise TokenizerError("there is no vocabulary: give vocab_file or tokenizer_file")
        self.settings = settings
        kwargs.setdefault("clean_up_tokenization_spaces", content is None)
        special = {
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        super().__init__(backend, {**kwargs, **special})
        if kwargs.get("never_split") or kwargs.get("do_basic_tokenize") is False:
            self.notes.say(
                "slow options",
                "never_split and do_basic_tokenize=False have no effect on the fast tokenizer; "
                "use DistilBertTokenizer, which knows them",
            )
        if content is not None:
            self._use_template(read_template(content.get("post_processor"), backend.token_id))

    @classmethod
    def _from_saved(cls, saved: Saved, options: dict[str, Any]) -> DistilBertTokenizerFast:
        given = saved.all_options(options)
        if saved.content is None:
            return cls(saved.vocab_file, **given)
        given.pop("wordpieces_prefix", None)  # the file has it
        return cls(tokenizer_file=saved.content, **given)

    @property
    def do_lower_case(self) -> bool:
        """Whether letters are lowered."""
        return self.settings.do_lower_case

    @property
    def backend_tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer` beneath, with the template of this tokenizer as it is now.

        What it is told of truncation, padding or the template has no effect on this tokenizer. Add
        tokens with `add_tokens` of this tokenizer: those added to the one beneath are found in
        texts, but not known to `added_tokens_decoder` and to the spelling of ids.
        """
        usual = self._usual()
        if self._fixed_template is None and usual is not None:
            self.backend.set_template(usual)
        return self.backend.tokenizer

    @property
    def decoder(self) -> Any:
        """The decoder of the `tokenizers` library."""
        return self.backend.tokenizer.decoder

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens as text, by the decoder of the library."""
        return " ".join(tokens) if self.decoder is None else str(self.decoder.decode(list(tokens)))

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[Sequence[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[Any] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> DistilBertTokenizerFast:
        """A new tokenizer of the same kind, with a vocabulary of one's own.

        text_iterator: texts, or batches of them. length: how many, for the progress bar.
        vocab_size: how many tokens the vocabulary may have, special ones included.
        special_tokens_map: new names for old special tokens.
        kwargs: options of `tokenizers.trainers.WordPieceTrainer` (min_frequency, show_progress, …).

        The trainer breaks ties at random, so two runs may number tokens differently: keep what it
        made with `save_pretrained`.
        """
        trained = train(
            self._tokenizer_json(),
            text_iterator,
            vocab_size,
            length=length,
            new_special_tokens=new_special_tokens,
            special_tokens_map=special_tokens_map,
            **kwargs,
        )
        options = options_after(self, new_special_tokens, special_tokens_map)
        return type(self)(tokenizer_object=trained, **{**options, **self._steps()})

    def _vocabulary(self) -> Vocabulary:
        tokens = self.backend.tokenizer.get_vocab(with_added_tokens=False)
        return Vocabulary(tokens, unk=self.settings.unk_token)

    @property
    def vocab_size(self) -> int:
        return int(self.backend.tokenizer.get_vocab_size(with_added_tokens=False))

    def _tokenizer_json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.backend.tokenizer.to_str())
        return {**content, "post_processor": write_template(self.template, self.backend.id_token)}

    def _steps(self) -> dict[str, Any]:
        return self.settings.options()
