"""How text is cleaned and cut: what both tokenizers, their files and the library must agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distilbert.errors import TokenizerError


@dataclass(frozen=True)
class Settings:
    """The steps of BERT's tokenizer.

    do_lower_case: lower the letters. strip_accents: take accents off letters; None: as
    do_lower_case. tokenize_chinese_chars: every Chinese character is a word. clean_text: leave out
    control characters. wordpieces_prefix: what marks a piece that goes on a word.
    max_input_chars_per_word: longer words become the unknown token.
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    clean_text: bool = True
    wordpieces_prefix: str = "##"
    max_input_chars_per_word: int = 100
    unk_token: str = "[UNK]"

    def __post_init__(self) -> None:
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if type(value) not in kinds:
                allowed = " or ".join(kind.__name__ for kind in kinds)
                raise TokenizerError(f"{name}={value!r} has to be of type {allowed}")
        if not 1 <= self.max_input_chars_per_word < 2**63:
            raise TokenizerError(
                f"max_input_chars_per_word={self.max_input_chars_per_word} has to be 1 or more, "
                "and below 2**63"
            )

    def options(self) -> dict[str, Any]:
        """The options of the tokenizers' classes that say the same; rare ones only if unusual."""
        found: dict[str, Any] = {name: getattr(self, name) for name in _USUAL}
        usual = Settings()
        for name in ("clean_text", "wordpieces_prefix", "max_input_chars_per_word"):
            if getattr(self, name) != getattr(usual, name):
                found[name] = getattr(self, name)
        return found


_KINDS: dict[str, tuple[type, ...]] = {
    "do_lower_case": (bool,),
    "strip_accents": (bool, type(None)),
    "tokenize_chinese_chars": (bool,),
    "clean_text": (bool,),
    "wordpieces_prefix": (str,),
    "max_input_chars_per_word": (int,),
    "unk_token": (str,),
}
_USUAL = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")

_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
    "clean_text": "clean_text",
}
_MODEL = {
    "wordpieces_prefix": "continuing_subword_prefix",
    "max_input_chars_per_word": "max_input_chars_per_word",
    "unk_token": "unk_token",
}


def check_wordpiece(content: Mapping[str, Any], source: str) -> dict[str, int]:
    """The vocabulary of a tokenizer.json.

    Raises TokenizerError if its model is not WordPiece, or damaged.
    """
    model = content.get("model")
    if not isinstance(model, Mapping):
        raise TokenizerError(f"{source} has no 'model'; it is damaged, or no tokenizer.json")
    kind = model.get("type", "WordPiece")
    if kind != "WordPiece":
        raise TokenizerError(
            f"{source} holds a {kind} tokenizer; DistilBERT's are WordPiece. "
            "Take the files of a DistilBERT or BERT checkpoint"
        )
    vocabulary = model.get("vocab")
    if (
        not isinstance(vocabulary, Mapping)
        or not set(map(type, vocabulary.values())) <= {int}
        or min(vocabulary.values(), default=0) < 0
    ):
        raise TokenizerError(
            f"{source}: its model.vocab is no object of tokens and ids; take it anew"
        )
    return dict(vocabulary)


def read_settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a tokenizer.json says of the fields of Settings; nothing of those it leaves open."""
    normalizer, model = content.get("normalizer"), content.get("model")
    found: dict[str, Any] = {}
    if isinstance(normalizer, Mapping) and normalizer.get("type") == "BertNormalizer":
        found |= {
            ours: normalizer[theirs] for ours, theirs in _NORMALIZER.items() if theirs in normalizer
        }
    if isinstance(model, Mapping):
        found |= {ours: model[theirs] for ours, theirs in _MODEL.items() if theirs in model}
    return found


def write_settings(content: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """A tokenizer.json with the normalizer that `settings` asks for; its model stays as it is.

    A normalizer that is not BERT's stays too: its steps are its own. So does one that leaves
    control characters in.
    """
    normalizer = content.get("normalizer")
    if not isinstance(normalizer, Mapping) or normalizer.get("type") != "BertNormalizer":
        return dict(content)
    changed = {theirs: getattr(settings, ours) for ours, theirs in _NORMALIZER.items()}
    changed["clean_text"] = settings.clean_text and normalizer.get("clean_text", True)
    return {**content, "normalizer": {**normalizer, **changed}}


def write_longest_word(content: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """A tokenizer.json whose model takes words up to `longest` characters."""
    return {**content, "model": {**content["model"], "max_input_chars_per_word": longest}}


def check_bert_steps(content: Mapping[str, Any], source: str) -> None:
    """Raises TokenizerError if a tokenizer.json has steps that are not BERT's."""
    for step, known in (("normalizer", "BertNormalizer"), ("pre_tokenizer", "BertPreTokenizer")):
        value = content.get(step)
        kind = value.get("type") if isinstance(value, Mapping) else value
        if kind != known:
            raise TokenizerError(
                f"{source} has the {step} {kind!r}; the Python tokenizer knows {known!r} only: "
                "load it as DistilBertTokenizerFast"
            )
