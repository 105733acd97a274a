"""The special tokens of a tokenizer: its `cls_token`, `pad_token_id` and the like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from distilbert.errors import InputError, TokenizerError
from distilbert.text.added import AddedToken
from distilbert.text.given import find_surrogate
from distilbert.text.options import Notes
from distilbert.text.pieces import Backend

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MORE = "additional_special_tokens"
Token = str | AddedToken


class SpecialToken:
    """An attribute that is a special token: a string, or None. Set it to a string or AddedToken."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, tokenizer: None, owner: type) -> SpecialToken: ...

    @overload
    def __get__(self, tokenizer: SpecialTokens, owner: type) -> str | None: ...

    def __get__(self, tokenizer: SpecialTokens | None, owner: type) -> SpecialToken | str | None:
        if tokenizer is None:
            return self
        token = tokenizer._special.get(self.name)
        return None if token is None else str(token)

    def __set__(self, tokenizer: SpecialTokens, value: Any) -> None:
        if value is None:
            tokenizer._special.pop(self.name, None)
        else:
            tokenizer._special[self.name] = check_token(value, self.name)
        tokenizer._special_changed(self.name)


class SpecialTokenId:
    """An attribute that is the id of a special token, or None where that is not set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    @overload
    def __get__(self, tokenizer: None, owner: type) -> SpecialTokenId: ...

    @overload
    def __get__(self, tokenizer: SpecialTokens, owner: type) -> Any: ...

    def __get__(self, tokenizer: SpecialTokens | None, owner: type) -> Any:
        if tokenizer is None:
            return self
        token = getattr(tokenizer, self.name)
        return None if token is None else tokenizer._id_or_unknown(token)

    def __set__(self, tokenizer: SpecialTokens, value: int | None) -> None:
        token = None if value is None else tokenizer._token_of(value)
        setattr(tokenizer, self.name, token)


class SpecialTokens:
    """The part of a tokenizer that knows its special tokens, and adds tokens to the vocabulary."""

    bos_token = SpecialToken()
    eos_token = SpecialToken()
    unk_token = SpecialToken()
    sep_token = SpecialToken()
    pad_token = SpecialToken()
    cls_token = SpecialToken()
    mask_token = SpecialToken()
    bos_token_id = SpecialTokenId()
    eos_token_id = SpecialTokenId()
    unk_token_id = SpecialTokenId()
    sep_token_id = SpecialTokenId()
    pad_token_id = SpecialTokenId()
    cls_token_id = SpecialTokenId()
    mask_token_id = SpecialTokenId()

    SPECIAL_TOKENS_ATTRIBUTES = (*NAMES, MORE)
    pad_token_type_id = 0

    backend: Backend
    """What turns text to pieces."""
    notes: Notes
    padding_side: str
    truncation_side: str
    model_max_length: int
    model_input_names: list[str]
    init_kwargs: dict[str, Any]
    """The options that it was made with."""

    def __init__(self) -> None:
        self._special: dict[str, Token] = {}
        self._more: list[Token] = []
        self.extra_special_tokens: dict[str, Token] = {}
        """Special tokens of other names, each an attribute with its `_id`, such as image_token."""

    def __getattr__(self, name: str) -> Any:
        extra: dict[str, Token] = self.__dict__.get("extra_special_tokens", {})
        if name in extra:
            return str(extra[name])
        if name.endswith("_id") and name.removesuffix("_id") in extra:
            return self._id_or_unknown(str(extra[name.removesuffix("_id")]))
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens beside the named ones."""
        return [str(token) for token in self._more]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Sequence[Token] | None) -> None:
        self._more = check_tokens(tokens or [], MORE)

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Their ids."""
        return [self._id_or_unknown(token) for token in self.additional_special_tokens]

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Sequence[int] | None) -> None:
        self.additional_special_tokens = [self._token_of(id) for id in ids or []]

    @property
    def special_tokens_map_extended(self) -> dict[str, Token | list[Token]]:
        """The special tokens by attribute; AddedToken objects where such were given."""
        found: dict[str, Token | list[Token]] = {
            name: self._special[name] for name in NAMES if name in self._special
        }
        found |= self.extra_special_tokens
        return found | ({MORE: list(self._more)} if self._more else {})

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by attribute, as strings."""
        return {
            name: [str(token) for token in value] if isinstance(value, list) else str(value)
            for name, value in self.special_tokens_map_extended.items()
        }

    @property
    def all_special_tokens_extended(self) -> list[Token]:
        """Every special token once; AddedToken objects where such were given."""
        found: dict[str, Token] = {}
        for token in [
            *(self._special[name] for name in NAMES if name in self._special),
            *self._more,
            *self.extra_special_tokens.values(),
        ]:
            found.setdefault(str(token), token)
        return list(found.values())

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        return [self._id_or_unknown(token) for token in self.all_special_tokens]

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Put tokens on top of the vocabulary; they are found whole in a text, before it is cut.

        special_tokens: they are left out by `decode(skip_special_tokens=True)` and not normalized.
        Returns how many were not there before. Resize the model's embeddings to `len(tokenizer)`.

        >>> from distilbert import DistilBertTokenizer
        >>> tokenizer = DistilBertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
        >>> tokenizer.add_tokens(["covid"]), tokenizer.tokenize("a covid"), len(tokenizer)
        (1, ['a', 'covid'], 7)
        """
        if isinstance(new_tokens, str) and not new_tokens:
            return 0
        many = new_tokens if isinstance(new_tokens, (list, tuple)) else [new_tokens]
        tokens = check_tokens(many, "new_tokens")
        return self._add([AddedToken.of(token, special=special_tokens) for token in tokens])

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Token | Sequence[Token]],
        replace_additional_special_tokens: bool = True,
    ) -> int:
        """Set special tokens by attribute name, and add them to the vocabulary where they are new.

        replace_additional_special_tokens: a given list replaces the old one, else it extends it.
        Returns how many were not in the vocabulary before.
        """
        if not isinstance(special_tokens_dict, Mapping):
            raise InputError(
                f"special_tokens_dict={special_tokens_dict!r} has to be a dictionary from the name "
                "of a special token to the token"
            )
        checked: dict[str, Any] = {}
        for name, value in special_tokens_dict.items():
            if name == MORE:
                checked[name] = check_tokens(value, name)
            elif name in NAMES:
                checked[name] = check_token(value, name)
            else:
                raise InputError(
                    f"{name!r} is no special token; these are: {', '.join((*NAMES, MORE))}"
                )
        added: list[Token] = []
        for name, value in checked.items():
            if name != MORE:
                setattr(self, name, _special(value))
                added.append(value)
                continue
            old = self.additional_special_tokens
            new = [_special(token) for token in value]
            if replace_additional_special_tokens and new:
                self._more = list(new)
            else:
                new = [token for token in new if str(token) not in old]
                self._more += new
            added += new
        count = self._add([_special(token) for token in added])
        for name in checked:
            self._special_changed(name)  # now that their ids are known
        return count

    def _add(self, tokens: Iterable[AddedToken]) -> int:
        return self.backend.add([token for token in tokens if token.content])

    def _special_changed(self, name: str) -> None:
        """Called when the special token `name` was set."""

    def _id_or_unknown(self, token: str) -> Any:
        """The id of a token, of the unknown one if there is no such token."""
        if not isinstance(token, str):
            raise InputError(f"{token!r} is no token; tokens are strings")
        id = self.backend.token_id(token)
        unknown = self._special.get("unk_token")
        return self.backend.token_id(str(unknown)) if id is None and unknown is not None else id

    def _token_of(self, id: int) -> str:
        known = type(id) is int and 0 <= id < 2**32
        token = self.backend.id_token(id) if known else None
        if token is None:
            raise InputError(
                f"id {id!r} is not in the vocabulary, which has {len(self.backend)} tokens "
                f"(ids 0 to {len(self.backend) - 1})"
            )
        return token


def check_token(value: Any, name: str) -> Token:
    """`value` as a token: a string, or an AddedToken (of the `tokenizers` library too)."""
    if isinstance(value, str) and value and find_surrogate(value) is None:
        return value
    if hasattr(value, "content") and check_token(value.content, name):
        return AddedToken.of(value)
    raise TokenizerError(
        f"{name}={value!r} is no token; give a string with some text, or an AddedToken"
    )


def check_tokens(values: Any, name: str) -> list[Token]:
    """A list of tokens. Raises TokenizerError if it is none."""
    if not isinstance(values, (list, tuple)):
        raise TokenizerError(f"{name}={values!r} has to be a list of tokens")
    return [check_token(value, name) for value in values]


def _special(token: Token) -> AddedToken:
    return AddedToken.of(token, special=True)
