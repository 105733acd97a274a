"""Load and save a tokenizer: `from_pretrained`, `save_pretrained`, `save_vocabulary`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from distilbert.errors import InputError, TokenizerError
from distilbert.files.atomic import staging, to_path
from distilbert.files.find import HUB_OPTIONS
from distilbert.text.added import AddedToken
from distilbert.text.saved import (
    ADDED_FILE,
    CONFIG_FILE,
    SPECIAL_FILE,
    TOKENIZER_FILE,
    VOCAB_FILE,
    Saved,
    read_saved,
)
from distilbert.text.special import SpecialTokens
from distilbert.text.vocabulary import Vocabulary

Self = TypeVar("Self", bound="Saving")

_STATE = (  # attributes that are saved as they are now, not as they were given
    "model_max_length",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
    "padding_side",
    "truncation_side",
    "model_input_names",
)
_NO_MATTER = frozenset(
    {"trust_remote_code", "resume_download", "proxies", "mirror", "user_agent", "use_fast"}
    | {"config", "_commit_hash", "_from_auto", "_from_pipeline"}
)
"""What callers of other packages' from_pretrained pass; here it can make no difference."""
_NEVER_WRITTEN = (HUB_OPTIONS | _NO_MATTER | {"use_auth_token", "name_or_path"}) - {"config"}
"""What is of the machine and its user, access tokens among it."""
_ALWAYS = ("model_max_length", "clean_up_tokenization_spaces")


class Saving(SpecialTokens):
    """The part of a tokenizer that knows files."""

    vocab_files_names: dict[str, str]

    @classmethod
    def from_pretrained(
        cls: type[Self], pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Self:
        """Load from a folder, a hub id, `minilm`, or a single vocab.txt or tokenizer.json.

        Every published layout is read: `vocab.txt`, `tokenizer.json`, `tokenizer_config.json`,
        `special_tokens_map.json`, `added_tokens.json`, of DistilBERT and of BERT. What
        tokenizer_config.json leaves open is as tokenizer.json says, else as the class says.

        kwargs: options of the class, which win over what the files say; and those of the hub:
            cache_dir, revision, token, local_files_only, force_download, subfolder. Those are
            never saved.
        Raises FileError if files are missing or damaged, TokenizerError if they cannot work.
        """
        for name in _NO_MATTER & kwargs.keys():
            del kwargs[name]
        if "use_auth_token" in kwargs:  # its name in older versions of the field's packages
            kwargs.setdefault("token", kwargs.pop("use_auth_token"))
        hub = {name: kwargs.pop(name) for name in HUB_OPTIONS & kwargs.keys()}
        return cls._from_saved(read_saved(pretrained_model_name_or_path, **hub), kwargs)

    @classmethod
    def _from_saved(cls: type[Self], saved: Saved, options: dict[str, Any]) -> Self:
        raise NotImplementedError

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
    ) -> tuple[str, ...]:
        """Write the tokenizer to a folder, all files or none; `transformers` loads them unchanged.

        legacy_format: of a fast tokenizer: True leaves tokenizer.json out, False leaves vocab.txt
            and added_tokens.json out.
        filename_prefix: put before every file name, with a hyphen.
        Returns the paths written. Raises FileError if the folder cannot be written, InputError for
        `push_to_hub`, which is not done here.
        """
        if push_to_hub:
            raise InputError(
                "push_to_hub is not done here; save into a folder, and upload that with "
                "huggingface_hub.upload_folder"
            )
        prefix = _prefix(filename_prefix)
        folder = to_path(save_directory)
        with staging(folder) as stage:
            _write_json(stage / f"{prefix}{CONFIG_FILE}", self._config())
            tokens = {
                name: _plain(value, with_special=False)
                for name, value in self.special_tokens_map_extended.items()
            }
            _write_json(stage / f"{prefix}{SPECIAL_FILE}", tokens)
            names = [CONFIG_FILE, SPECIAL_FILE, *self._write_rest(stage, prefix, legacy_format)]
        return tuple(str(folder / f"{prefix}{name}") for name in names)

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write only vocab.txt, without added tokens. Returns its path."""
        path = to_path(save_directory) / f"{_prefix(filename_prefix)}{VOCAB_FILE}"
        self._vocabulary().write(path)
        return (str(path),)

    def _vocabulary(self) -> Vocabulary:
        """The vocabulary beneath the added tokens."""
        raise NotImplementedError

    def _tokenizer_json(self) -> dict[str, Any] | None:
        """What tokenizer.json holds; None for a tokenizer that has none."""
        return None

    def _check_legacy(self, content: Mapping[str, Any]) -> None:
        """Raises InputError if only tokenizer.json can hold what this tokenizer does."""

    def _steps(self) -> dict[str, Any]:
        """The options that say how text is cleaned and cut, for tokenizer_config.json."""
        raise NotImplementedError

    def _write_rest(self, folder: Path, prefix: str, legacy: bool | None) -> list[str]:
        content = self._tokenizer_json()
        if legacy is True and content is not None:
            self._check_legacy(content)
        if legacy is False and content is None:
            raise InputError(
                "legacy_format=False would write tokenizer.json only, which a Python tokenizer "
                "does not have; leave it out, or use DistilBertTokenizerFast"
            )
        names = []
        if legacy is not False:
            try:
                self._vocabulary().write(folder / f"{prefix}{VOCAB_FILE}")
                names.append(VOCAB_FILE)
            except TokenizerError:  # ids with gaps, say: lines cannot express them
                if legacy or content is None:
                    raise
            size = len(self._vocabulary())
            on_top = {
                token.content: id for id, token in sorted(self.backend.added.items()) if id >= size
            }
            if on_top:
                _write_json(folder / f"{prefix}{ADDED_FILE}", on_top)
                names.append(ADDED_FILE)
        if legacy is not True and content is not None:
            _write_json(folder / f"{prefix}{TOKENIZER_FILE}", content, sort=False)
            names.append(TOKENIZER_FILE)
        return names

    def _config(self) -> dict[str, Any]:
        """What tokenizer_config.json holds."""
        config = {
            name: _plain(value)
            for name, value in self.init_kwargs.items()
            if name not in _NEVER_WRITTEN
        }
        config |= self._steps()
        for name in _STATE:
            value = getattr(self, name)
            if name in _ALWAYS or name in config or value != getattr(type(self), name, False):
                config[name] = value
        config |= self.special_tokens_map
        config["added_tokens_decoder"] = {
            str(id): _plain(token, with_type=False)
            for id, token in sorted(self.backend.added.items())
        }
        config["tokenizer_class"] = "DistilBertTokenizer"
        config.setdefault("extra_special_tokens", {})
        return config


def _plain(value: Any, *, with_type: bool = True, with_special: bool = True) -> Any:
    """An option as JSON has it: tokens become objects."""
    if isinstance(value, AddedToken):
        found: dict[str, Any] = {
            name: getattr(value, name)
            for name in ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
            if with_special or name != "special"
        }
        return found | ({"__type": "AddedToken"} if with_type and with_special else {})
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, with_type=with_type, with_special=with_special) for item in value]
    return value


def _write_json(path: Path, content: Mapping[str, Any], *, sort: bool = True) -> None:
    try:
        text = json.dumps(content, indent=2, sort_keys=sort, ensure_ascii=False) + "\n"
        path.write_bytes(text.encode())
    except (TypeError, ValueError) as error:
        raise InputError(
            f"an option of this tokenizer cannot be written to {path.name}: {error}; "
            "options have to be strings, numbers, lists or dictionaries"
        ) from error


def _prefix(name: str | None) -> str:
    if name and ("/" in name or "\\" in name):
        raise InputError(f"filename_prefix={name!r} has to be the start of a file name, not a path")
    return f"{name}-" if name else ""
