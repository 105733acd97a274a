"""What a saved tokenizer's folder says: read from every layout that is published."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from distilbert.errors import FileError, TokenizerError
from distilbert.files.find import Source, is_file, locate, read_json
from distilbert.text.added import AddedToken
from distilbert.text.given import find_surrogate
from distilbert.text.settings import check_wordpiece, read_settings
from distilbert.text.special import MORE, NAMES
from distilbert.text.vocabulary import Vocabulary

VOCAB_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"

_NOT_OPTIONS = (  # of no use after loading, or of the machine that saved them
    "tokenizer_class",
    "init_inputs",
    "vocab_file",
    "tokenizer_file",
    "special_tokens_map_file",
    "added_tokens_file",
    "tokenizer_config_file",
    "name_or_path",
    "auto_map",
    "device_map",
    "tokenizer_object",
    "self",
)


@dataclass
class Saved:
    """The files of a saved tokenizer, and its options in one dictionary."""

    name: str
    vocab_file: Path | None
    tokenizer_file: Path | None
    options: dict[str, Any] = field(default_factory=dict)
    """What the files say of options; tokenizer.json is not asked yet."""

    @cached_property
    def content(self) -> dict[str, Any] | None:
        """What tokenizer.json holds, None if there is none.

        Raises FileError if it is no JSON object, TokenizerError if it is no WordPiece tokenizer.
        """
        if self.tokenizer_file is None:
            return None
        content = read_json(self.tokenizer_file)
        check_wordpiece(content, str(self.tokenizer_file))
        return content

    def require_vocabulary(self) -> Path:
        """The file to read a vocabulary from: vocab.txt, else tokenizer.json."""
        path = self.vocab_file or self.tokenizer_file
        assert path is not None  # reading ends with an error where neither is there
        return path

    def all_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options to load with: as given by the caller, else the files, else tokenizer.json."""
        options = {"name_or_path": self.name, **self.options, **given}
        if self.content is None:
            return options
        return {**read_settings(self.content), **_sides(self.content), **options}


def read_vocabulary(
    vocabulary: str | os.PathLike[str] | Mapping[str, int] | Sequence[str], unk: str
) -> Vocabulary:
    """A vocabulary: itself, or read from a vocab.txt or a tokenizer.json of any name.

    unk: the unknown token. Raises FileError or TokenizerError if it cannot work.
    """
    if not isinstance(vocabulary, (str, os.PathLike)):
        return Vocabulary(vocabulary, unk=unk)
    path = Path(vocabulary)
    if path.suffix == ".json" and path.is_file():
        return Vocabulary(check_wordpiece(read_json(path), str(path)), unk=unk, source=str(path))
    return Vocabulary.read(path, unk=unk)


def _sides(content: Mapping[str, Any]) -> dict[str, Any]:
    """The sides that a tokenizer.json pads and truncates on, where it says so."""
    found = {}
    for name, side in (("padding", "padding_side"), ("truncation", "truncation_side")):
        value = content.get(name)
        if isinstance(value, Mapping) and "direction" in value:
            found[side] = str(value["direction"]).lower()
    return found


def read_saved(name_or_path: str | os.PathLike[str], **hub_options: Any) -> Saved:
    """Find and read what a folder, a hub id, a backbone's name, or a single file says.

    A single file is a vocab.txt or a tokenizer.json of any name.
    Raises FileError if there is neither a vocabulary nor a tokenizer.json.
    """
    path = _file(name_or_path)
    if path is not None:
        is_json = path.suffix == ".json"
        return Saved(
            str(name_or_path),
            vocab_file=None if is_json else path,
            tokenizer_file=path if is_json else None,
        )
    source = locate(name_or_path, **hub_options)
    source.require(TOKENIZER_FILE, VOCAB_FILE)
    saved = Saved(
        str(name_or_path),
        vocab_file=source.path(VOCAB_FILE),
        tokenizer_file=source.path(TOKENIZER_FILE),
    )
    where = f"{CONFIG_FILE} of {source.where()}"
    config = _read(source, CONFIG_FILE)
    kept = {
        name: value
        for name, value in config.items()
        if name not in _NOT_OPTIONS and not (value is None and name in {*NAMES, MORE})
    }
    saved.options = {**kept, **_special(kept, where)}
    if "added_tokens_decoder" in config:
        saved.options["added_tokens_decoder"] = read_added(config["added_tokens_decoder"], where)
    else:
        _read_old_special(source, saved.options)
        _read_old_added(source, saved.options)
        if saved.content is not None:
            _read_added_of_json(saved.content, saved.options)
    _say_the_same(saved.options)
    return saved


def _file(name_or_path: object) -> Path | None:
    """The path of a single file, None if this is none."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        return None
    path = os.path.expanduser(name_or_path)
    return Path(path) if is_file(path) else None


def _read(source: Source, filename: str) -> dict[str, Any]:
    path = source.path(filename)
    return {} if path is None else read_json(path)


def read_added(tokens: Any, where: str) -> dict[int, AddedToken]:
    """The tokens of an "added_tokens_decoder", by id."""
    if not isinstance(tokens, Mapping):
        raise TokenizerError(f"{where}: added_tokens_decoder has to be an object of ids and tokens")
    found = {}
    for id, token in tokens.items():
        if isinstance(id, bool) or not str(id)[:11].isdecimal() or not int(str(id)[:11]) < 2**32:
            raise TokenizerError(f"{where}: {str(id)[:40]!r} in added_tokens_decoder is no id")
        found[int(id)] = read_token(token, where)
    return found


def read_token(value: Any, where: str, *, special: bool = False) -> AddedToken:
    """An AddedToken from what files write: a string, or an object with its fields.

    special: it is one, whatever the object says. where: for messages.
    """
    content = value.get("content") if isinstance(value, Mapping) else value
    if isinstance(content, str) and find_surrogate(content) is not None:
        raise TokenizerError(f"{where}: {content!r} holds a lone surrogate, so it is no token")
    if isinstance(value, str):
        return AddedToken(value, special=True)
    if hasattr(value, "content"):
        return AddedToken.of(value, special=special)
    if isinstance(value, Mapping) and isinstance(content, str):
        rules = {name: value[name] for name in _RULES if name in value}
        if set(map(type, rules.values())) <= {bool}:
            return AddedToken(
                content, **{**rules, "special": special or rules.get("special", False)}
            )
    raise TokenizerError(
        f"{where}: {value!r} is no token; it has to be a string, or an object with the string "
        f"'content' and true or false for {', '.join(_RULES)}"
    )


_RULES = ("single_word", "lstrip", "rstrip", "normalized", "special")


def _special(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The special tokens among the values of a file: strings and AddedTokens."""
    found: dict[str, Any] = {}
    for name in NAMES:
        value = values.get(name)
        if value is not None:
            found[name] = _text_or_token(value, f"{name} in {where}")
    more = values.get(MORE)
    if more is not None and not isinstance(more, list):
        raise TokenizerError(f"{MORE} in {where}: {more!r} has to be a list of tokens")
    if more is not None:
        found[MORE] = [_text_or_token(token, f"{MORE} in {where}") for token in more]
    return found


def _text_or_token(value: Any, where: str) -> str | AddedToken:
    return value if isinstance(value, str) else read_token(value, where, special=True)


def _read_old_special(source: Source, options: dict[str, Any]) -> None:
    """special_tokens_map.json: what older files say of special tokens; it wins over the config."""
    where = f"{SPECIAL_FILE} of {source.where()}"
    found = _special(_read(source, SPECIAL_FILE), where)
    if MORE in found:
        tokens = [*options.get(MORE, []), *found[MORE]]
        found[MORE] = list({str(token): token for token in tokens}.values())
    options.update(found)


def _read_old_added(source: Source, options: dict[str, Any]) -> None:
    """added_tokens.json: tokens and ids only; those that are special tokens are special."""
    path = source.path(ADDED_FILE)
    if path is None:
        return
    named = {str(options[name]) for name in NAMES if name in options}
    named |= {str(token) for token in options.get(MORE, [])}
    found = {}
    for token, id in read_json(path).items():
        if type(id) is not int or not 0 <= id < 2**32:
            raise FileError(f"{str(path)!r}: {token!r} has {id!r} for an id; it has to be a number")
        found[id] = AddedToken(token, special=token in named)
    options["added_tokens_decoder"] = found


def _read_added_of_json(content: Mapping[str, Any], options: dict[str, Any]) -> None:
    """The added tokens of a tokenizer.json; they win over those of added_tokens.json."""
    where = f"added_tokens of {TOKENIZER_FILE}"
    tokens = content.get("added_tokens") or []
    if not isinstance(tokens, list) or not all(
        isinstance(token, Mapping) and type(token.get("id")) is int for token in tokens
    ):
        raise TokenizerError(f"{where}: this has to be a list of tokens with ids")
    found = {token["id"]: read_token(token, where) for token in tokens}
    options["added_tokens_decoder"] = {**options.get("added_tokens_decoder", {}), **found}


def _say_the_same(options: dict[str, Any]) -> None:
    """Let special tokens have the rules that the added tokens say of the same spelling."""
    added = options.get("added_tokens_decoder") or {}
    rules = {token.content: token for token in added.values()}
    for name in NAMES:
        if name in options:
            options[name] = rules.get(str(options[name]), options[name])
    if MORE in options:
        options[MORE] = [rules.get(str(token), token) for token in options[MORE]]
