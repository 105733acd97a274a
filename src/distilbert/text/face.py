"""The face that both tokenizers share: text in, `input_ids` and what else was asked for out."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, cast

from distilbert.errors import InputError, TokenizerError
from distilbert.text.added import AddedToken
from distilbert.text.assemble import assemble
from distilbert.text.calls import Calling
from distilbert.text.decoding import Decoding
from distilbert.text.encoding import BatchEncoding
from distilbert.text.given import Batch, Item, surrogate_in, to_ids
from distilbert.text.options import LARGE, Notes, Options, check_side
from distilbert.text.pieces import Backend
from distilbert.text.row import Encoded
from distilbert.text.saved import read_added, read_token
from distilbert.text.saving import Saving
from distilbert.text.settings import check_bert_steps
from distilbert.text.special import MORE, NAMES, Token, check_token
from distilbert.text.template import Template

VERY_LARGE_INTEGER = int(1e30)


class TokenizerBase(Calling, Decoding, Saving):
    """What `DistilBertTokenizer` and `DistilBertTokenizerFast` have in common: nearly everything.

    A text that is longer than `model_max_length` is encoded whole, and said so once in the log
    ("distilbert", a warning); `verbose=False` keeps that quiet, `truncation=True` cuts the text,
    and `return_overflowing_tokens=True` beside it gives all of it in windows.
    """

    is_fast = False
    padding_side = "right"
    truncation_side = "right"
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012  # as users override it

    def __init__(self, backend: Backend, options: dict[str, Any]) -> None:
        """options: keyword options of the classes that are not steps of the backend.

        Unknown ones are kept, and saved with the tokenizer.
        """
        super().__init__()
        self.backend = backend
        self.notes = Notes()
        self._fixed_template: Template | None = None
        self._usual_template: Template | None = None
        self.init_kwargs = {
            name: value for name, value in options.items() if name != "added_tokens_decoder"
        }
        self.name_or_path = str(options.get("name_or_path", ""))
        longest = options.get("model_max_length", options.get("max_len"))
        self.model_max_length = VERY_LARGE_INTEGER if longest is None else _length(longest)
        self.padding_side = check_side(
            options.get("padding_side") or self.padding_side, "padding_side"
        )
        self.truncation_side = check_side(
            options.get("truncation_side") or self.truncation_side, "truncation_side"
        )
        self.model_input_names = _names(options.get("model_input_names") or self.model_input_names)
        self.clean_up_tokenization_spaces = bool(options.get("clean_up_tokenization_spaces", False))
        self.split_special_tokens = bool(options.get("split_special_tokens", False))
        for name in (*NAMES, MORE):
            if options.get(name) is not None:
                setattr(self, name, options[name])
        self.extra_special_tokens = _extra(options.get("extra_special_tokens") or {})
        self._add_known(options.get("added_tokens_decoder") or {})

    @property
    def template(self) -> Template:
        """Where special tokens stand around texts.

        Raises TokenizerError if `cls_token` or `sep_token` is not set.
        """
        if self._fixed_template is not None:
            return self._fixed_template
        if self._usual_template is None:
            self._usual_template = self._usual()
        if self._usual_template is None:
            raise TokenizerError(
                "this tokenizer has no cls_token or no sep_token to put around texts; "
                "set both, or pass add_special_tokens=False"
            )
        return self._usual_template

    def _use_template(self, template: Template) -> None:
        """Keep to a template, unless it is the usual one: that goes with cls_token, sep_token."""
        self._fixed_template = None if template == self._usual() else template

    def _check_legacy(self, content: Mapping[str, Any]) -> None:
        if self._fixed_template is not None:
            raise InputError(
                "legacy_format=True would lose where this tokenizer puts special tokens, which "
                "only tokenizer.json can hold; leave it out"
            )
        try:
            check_bert_steps(content, "this tokenizer")
        except TokenizerError as error:
            raise InputError(
                f"legacy_format=True would lose steps that only tokenizer.json can hold: {error}"
            ) from error

    def _usual(self) -> Template | None:
        if self.cls_token_id is None or self.sep_token_id is None:
            return None
        return Template.bert(self.cls_token_id, self.sep_token_id)

    @property
    def vocab_size(self) -> int:
        """How many tokens the vocabulary has, without those added on top."""
        return len(self._vocabulary())

    @property
    def vocab(self) -> dict[str, int]:
        """From token to id, added tokens included."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id, special ones of the vocabulary among them."""
        return dict(sorted(self.backend.added.items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return {token.content: id for id, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return self.added_tokens_encoder

    def get_vocab(self) -> dict[str, int]:
        """A fresh dictionary from token to id, added tokens included."""
        return self.backend.vocabulary()

    def __getstate__(self) -> dict[str, Any]:  # what use leaves behind is no part of it
        return {**self.__dict__, "notes": Notes(), "_usual_template": None}

    def __len__(self) -> int:
        """How many tokens there are, added ones included: as many as the model needs embeddings."""
        return len(self.backend)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, "
            f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

    def _encode(self, batch: Batch, options: Options) -> BatchEncoding:
        template = self.template if options.add_special_tokens else Template.bare()
        pairs = [number for number, item in enumerate(batch.seconds) if item is not None]
        items = [*batch.firsts, *(item for item in batch.seconds if item is not None)]
        try:
            encoded = self._encode_items(items, options)
        except InputError as error:
            raise surrogate_in(batch) or error from error
        firsts = encoded[: len(batch.firsts)]
        seconds: list[Encoded | None] = [None] * len(firsts)
        for number, second in zip(pairs, encoded[len(firsts) :], strict=True):
            seconds[number] = second
        encoding = assemble(
            firsts,
            seconds,
            options,
            template=template,
            pad_id=self.pad_token_id if options.padding != "do_not_pad" else 0,
            spell=self.backend.id_token,
            alone=batch.alone,
        )
        if options.verbose and options.max_length is None:
            self._note_length(encoding)
        return encoding

    def _encode_items(self, items: list[Item], options: Options) -> list[Encoded]:
        backend = self.backend.splitting_special() if options.split_special_tokens else self.backend
        if options.is_split_into_words:
            words = cast("list[list[str]]", items)  # `given` has seen to it
            return [Encoded(found.ids, pieces=found) for found in backend.batch_of_words(words)]
        texts = [item for item in items if isinstance(item, str)]
        found: list[Encoded]
        if options.return_offsets_mapping:
            found = [Encoded(pieces.ids, pieces=pieces) for pieces in backend.batch(texts)]
        else:
            rows = zip(backend.batch_ids(texts), texts, strict=True)
            found = [Encoded(ids, backend=backend, given=text) for ids, text in rows]
        if len(texts) == len(items):
            return found
        of_texts = iter(found)
        return [
            next(of_texts) if isinstance(item, str) else Encoded(self._known_ids(item))
            for item in items
        ]

    def _known_ids(self, item: list[str] | list[int]) -> list[int]:
        """The ids of an item of tokens or ids. Raises InputError for an id that no token has."""
        ids = to_ids(item, self.convert_tokens_to_ids)
        for id in set(ids):
            self._token_of(id)
        return ids

    def _note_length(self, encoding: BatchEncoding) -> None:
        if self.model_max_length > LARGE:
            return
        longest = max(len(row) for row in encoding.encodings or ())
        if longest > self.model_max_length:
            self.notes.say(
                "too long",
                f"a row has {longest} tokens, and the model takes {self.model_max_length}: pass "
                "truncation=True to cut it, and return_overflowing_tokens=True to have the rest in "
                "windows",
            )

    def _special_changed(self, name: str) -> None:
        if name in ("cls_token", "sep_token"):
            self._usual_template = None

    def _add_known(self, decoder: Any) -> None:
        """Tell the backend of the added tokens of a file, and of the special ones."""
        named = set(self.all_special_tokens)
        known = self.backend.added
        tokens = read_added(decoder, "the options")
        for id, token in sorted(tokens.items()):
            tokens[id] = AddedToken.of(token, special=token.content in named)
        new = [token for id, token in sorted(tokens.items()) if known.get(id) != token]
        contents = {token.content for token in (*known.values(), *new)}
        new += [
            AddedToken.of(token, special=True)
            for token in self.all_special_tokens_extended
            if str(token) not in contents
        ]
        if new:
            self.backend.add(new)
            self._usual_template = None
        for id, token in tokens.items():
            found = self.backend.token_id(token.content)
            if found != id:
                raise TokenizerError(
                    f"the added token {token.content!r} should have id {id}, but this vocabulary "
                    f"gives it {found}: the files of this tokenizer do not belong together"
                )


def _extra(tokens: Any) -> dict[str, Token]:
    """The special tokens of other names. Raises TokenizerError if these are none."""
    if not isinstance(tokens, Mapping):
        raise TokenizerError(f"extra_special_tokens={tokens!r} has to be names and their tokens")
    return {
        str(name): read_token(token, f"extra_special_tokens[{name!r}]", special=True)
        if isinstance(token, Mapping)
        else check_token(token, f"extra_special_tokens[{name!r}]")
        for name, token in tokens.items()
    }


def _names(value: Any) -> list[str]:
    """A model_input_names. Raises TokenizerError if it is no list of names."""
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return list(value)
    raise TokenizerError(
        f"model_input_names={value!r} has to be a list of names, such as ['input_ids', "
        "'attention_mask']"
    )


def _length(value: Any) -> int:
    """A model_max_length. Raises TokenizerError if it is no positive number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1:
        if value > LARGE:
            return min(int(value), VERY_LARGE_INTEGER) if value < inf else VERY_LARGE_INTEGER
        if value == int(value):
            return int(value)
    raise TokenizerError(f"model_max_length={value!r} has to be a whole number, 1 or more")
