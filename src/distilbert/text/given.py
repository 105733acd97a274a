"""Read what a caller gave as text: one or many, alone or in pairs; strings, words, tokens, ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from distilbert.errors import InputError

Item = str | list[str] | list[int]
"""One text: a string; its words; tokens of the vocabulary; or ids."""


class Batch(NamedTuple):
    """Texts in rows. seconds: the second text of each row, None where it has none."""

    firsts: list[Item]
    seconds: list[Item | None]
    alone: bool
    """The caller gave one text, not a batch of one."""


def read_call(text: Any, text_pair: Any, *, split: bool, name: str = "text") -> Batch:
    """The texts of a call `tokenizer(text, text_pair)`: strings, or words if `split`.

    split: lists of strings are the words of one text. name: of the argument, for messages.
    Raises InputError if these are no texts, or not as many of the one as of the other.
    """
    kinds = "words" if split else "text"
    if not _is_batch(text, split):
        return read_one(text, text_pair, kinds=kinds, name=name)
    if not len(text):
        raise _empty(name)
    if text_pair is None:
        return read_many(text, kinds=kinds, name=name)
    if not _is_batch(text_pair, split):
        raise InputError(
            f"{name} is a batch of {len(text)}, but {name}_pair is {_kind(text_pair)}; "
            "give it as a list of the same length"
        )
    if len(text) != len(text_pair):
        raise InputError(
            f"{name} holds {len(text)} texts and {name}_pair {len(text_pair)}; "
            "each text needs its partner"
        )
    return Batch(
        [_item(item, kinds, name, row) for row, item in enumerate(text)],
        [_item(item, kinds, f"{name}_pair", row) for row, item in enumerate(text_pair)],
        alone=False,
    )


def read_one(text: Any, text_pair: Any, *, kinds: str, name: str = "text") -> Batch:
    """One text, or one pair.

    kinds: what may be given: "text" (strings), "words" (lists of strings), or "any": strings, lists
    of tokens of the vocabulary, lists of ids.
    """
    first = _item(text, kinds, name, None)
    second = None if text_pair is None else _item(text_pair, kinds, f"{name}_pair", None)
    return Batch([first], [second], alone=True)


def read_many(texts: Any, *, kinds: str, name: str = "text") -> Batch:
    """A batch in one list, where a tuple or list of two texts is a pair. kinds: as for one."""
    if not isinstance(texts, (list, tuple)):
        raise InputError(f"{name} has to be a list of texts, not {_kind(texts)}")
    if not texts:
        raise _empty(name)
    if kinds != "words" and set(map(type, texts)) == {
        str
    }:  # by far the most common: no look at each
        return Batch(list(texts), [None] * len(texts), alone=False)
    firsts: list[Item] = []
    seconds: list[Item | None] = []
    for row, item in enumerate(texts):
        one, two = item if _is_pair(item, kinds) else (item, None)
        firsts.append(_item(one, kinds, name, row))
        seconds.append(None if two is None else _item(two, kinds, name, row))
    return Batch(firsts, seconds, alone=False)


def find_surrogate(text: str, name: str = "the text") -> InputError | None:
    """The error for a text that holds half a surrogate pair, None if it does not."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return InputError(
            f"{name} holds a lone surrogate, {text[error.start]!r}, at character {error.start}; "
            "that is no text: decode it with errors='replace', or leave it out"
        )
    return None


def surrogate_in(batch: Batch) -> InputError | None:
    """The error for the first text of a batch that holds half a surrogate pair."""
    for name, items in (("text", batch.firsts), ("text_pair", batch.seconds)):
        for row, item in enumerate(items):
            label = name if batch.alone else f"{name}[{row}]"
            for part in [item] if isinstance(item, str) else item or ():
                error = find_surrogate(part, label) if isinstance(part, str) else None
                if error is not None:
                    return error
    return None


def to_ids(item: list[str] | list[int], ids_of: Callable[[list[str]], list[int]]) -> list[int]:
    """The ids of an item of tokens or ids."""
    if item and isinstance(item[0], str):
        return ids_of([str(token) for token in item])
    return [int(id) for id in item]


def _is_batch(text: Any, split: bool) -> bool:
    if not isinstance(text, (list, tuple)):
        return False
    return not split or (bool(text) and isinstance(text[0], (list, tuple)))


def _is_pair(item: Any, kinds: str) -> bool:
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        return False
    of = (list, tuple) if kinds == "words" else (str, list, tuple)
    return all(isinstance(part, of) for part in item)


def _item(text: Any, kinds: str, name: str, row: int | None) -> Item:
    """A text as it may be encoded. Raises InputError if it is none."""
    if isinstance(text, str) and kinds != "words":
        return text
    if isinstance(text, (list, tuple)) and kinds != "text":
        if set(map(type, text)) <= {str} or all(isinstance(part, str) for part in text):
            return list(text)
        if kinds == "any" and all(type(part) is int and part >= 0 for part in text):
            return list(text)
    where = name if row is None else f"{name}[{row}]"
    if isinstance(text, (list, tuple)) and kinds != "text":
        ids = kinds == "any" and type(text[0]) is int
        for place, part in enumerate(text):
            if not isinstance(part, str) and not (ids and type(part) is int and part >= 0):
                raise InputError(f"{where}[{place}] is {_kind(part)}; {_WANTED[kinds]}")
    raise InputError(f"{where} is {_kind(text)}; {_WANTED[kinds]}")


_WANTED = {
    "text": "it has to be a string; if texts are lists of words, pass is_split_into_words=True",
    "words": "with is_split_into_words=True, every text has to be a list of words (strings)",
    "any": "it has to be a string, a list of tokens, or a list of ids",
}


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, (list, tuple)):
        odd = [part for part in value if not isinstance(part, str)]
        inside = _kind(odd[0]) if odd else "strings" if value else "nothing"
        return f"a {type(value).__name__} with {inside}"
    return f"of type {type(value).__name__} ({str(value)[:40]!r})"


def _empty(name: str) -> InputError:
    return InputError(f"{name} is an empty batch; give at least one text")
