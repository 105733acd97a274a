"""A vocabulary of one's own: the library's trainer on the steps of a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers.trainers import WordPieceTrainer

from distilbert.errors import InputError
from distilbert.text.added import AddedToken
from distilbert.text.given import find_surrogate
from distilbert.text.library import from_json, to_library
from distilbert.text.special import MORE, SpecialTokens, check_tokens


def train(
    content: Mapping[str, Any],
    texts: Iterable[str] | Iterable[Sequence[str]],
    vocab_size: int,
    *,
    length: int | None,
    new_special_tokens: Sequence[Any] | None,
    special_tokens_map: Mapping[str, str] | None,
    **options: Any,
) -> tokenizers.Tokenizer:
    """A tokenizer with the steps of a tokenizer.json, and a vocabulary made from texts.

    Its special tokens come first in the vocabulary, in the order of their ids, then the new ones.
    Raises InputError for a vocab_size that does not even hold those.
    """
    renamed = _names(special_tokens_map)
    special = [
        AddedToken(
            **{name: value for name, value in token.items() if name not in ("id", "content")},
            content=renamed.get(token["content"], token["content"]),
        )
        for token in content.get("added_tokens", [])
        if token["special"]
    ]
    special += [
        AddedToken.of(token, special=True)
        for token in check_tokens(new_special_tokens or [], "new_special_tokens")
    ]
    if type(vocab_size) is not int or vocab_size <= len(special):
        raise InputError(
            f"vocab_size={vocab_size!r} has to be a whole number, larger than the {len(special)} "
            "special tokens"
        )
    model = dict(content["model"])
    model |= {"vocab": {}, "unk_token": renamed.get(model["unk_token"], model["unk_token"])}
    blank = {**content, "model": model, "added_tokens": [], "post_processor": None}
    tokenizer = from_json(blank, "the tokenizer to train")
    prefix = model.get("continuing_subword_prefix", "##")
    try:
        trainer = WordPieceTrainer(
            vocab_size=vocab_size,
            special_tokens=[to_library(token) for token in special],
            **{"continuing_subword_prefix": prefix, **options},
        )
        tokenizer.train_from_iterator(_checked(texts), trainer=trainer, length=length)
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"an option of the training cannot be used: {error}") from error
    processor = _with_ids(content.get("post_processor"), tokenizer, renamed)
    return from_json({**json.loads(tokenizer.to_str()), "post_processor": processor}, "the result")


def _names(names: Any) -> dict[str, str]:
    names = {} if names is None else names
    if not isinstance(names, Mapping) or not all(
        isinstance(name, str) for pair in names.items() for name in pair
    ):
        raise InputError(
            f"special_tokens_map={names!r} has to be a dictionary from old tokens to new ones"
        )
    return dict(names)


def _checked(texts: Any) -> Iterator[Any]:
    """The texts, or batches of texts. Raises InputError for what is none."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise InputError(
            f"text_iterator has to give texts, or lists of them; {repr(texts)[:60]} gives none"
        )
    for number, item in enumerate(texts):
        for text in item if isinstance(item, (list, tuple)) else [item]:
            name = f"text {number} of text_iterator"
            if not isinstance(text, str):
                raise InputError(f"{name} is {repr(text)[:60]}; it has to be a string")
            error = find_surrogate(text, name)
            if error is not None:
                raise error
        yield item


def _with_ids(
    processor: Mapping[str, Any] | None, tokenizer: tokenizers.Tokenizer, renamed: Mapping[str, str]
) -> dict[str, Any] | None:
    """The "post_processor" of `write_template`, for the new names and ids of its tokens."""
    if processor is None:
        return None
    tokens = {}
    for name, token in processor["special_tokens"].items():
        names = [renamed.get(old, old) for old in token["tokens"]]
        ids = [tokenizer.token_to_id(new) for new in names]
        tokens[name] = {**token, "tokens": names, "ids": ids}
    return {**processor, "special_tokens": tokens}


def options_after(
    tokenizer: SpecialTokens,
    new_special_tokens: Sequence[Any] | None,
    special_tokens_map: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The options of a trained tokenizer: those of the old one, its special tokens renamed."""
    renamed = special_tokens_map or {}
    options: dict[str, Any] = dict(tokenizer.init_kwargs)
    for name, value in tokenizer.special_tokens_map_extended.items():
        if isinstance(value, list):
            options[name] = [_renamed(token, renamed) for token in value]
        else:
            options[name] = _renamed(value, renamed)
    new = check_tokens(new_special_tokens or [], "new_special_tokens")
    if new:
        options[MORE] = [*options.get(MORE, []), *new]
    return options


def _renamed(token: str | AddedToken, names: Mapping[str, str]) -> str | AddedToken:
    content = names.get(str(token), str(token))
    if isinstance(token, str):
        return content
    return AddedToken(
        content, token.single_word, token.lstrip, token.rstrip, token.normalized, special=True
    )
