"""The `tokenizers` library set up as DistilBERT's tokenizer, to compare word pieces with."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from distilbert.text.added import AddedToken
from distilbert.text.vocabulary import Vocabulary
from distilbert.text.wordpiece import WordPieceBackend

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
EVERY_CHARACTER = [
    chr(code)
    for code in (
        *range(0xD800),
        *range(0xE000, 0x20000),
        *range(0x20000, 0x2F800, 101),  # ideographs that are all alike, and nothing
        *(edge + step for edge in (0x2A6DF, 0x2B73F, 0x2B81F, 0x2B91F, 0x2CEAF) for step in (0, 1)),
        *range(0x2F800, 0x2FA20),
        *range(0x2FA20, 0xE0000, 101),
        *range(0xE0000, 0xE0200),
        *range(0xE0200, 0x110000, 101),
        0x10FFFF,
    )
]
"""Every code point that is not one of many alike, and some of those."""


def pair(
    vocabulary: Mapping[str, int],
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    chinese: bool = True,
    clean: bool = True,
    prefix: str = "##",
    max_chars: int = 100,
    added: Sequence[AddedToken] = (),
) -> tuple[WordPieceBackend, tokenizers.Tokenizer]:
    """Our backend and the library's tokenizer, alike, with the five special tokens added."""
    ours = WordPieceBackend(
        Vocabulary(vocabulary),
        lowercase=lowercase,
        strip_accents=strip_accents,
        chinese=chinese,
        clean=clean,
        prefix=prefix,
        max_chars=max_chars,
    )
    model = models.WordPiece(
        dict(vocabulary),
        unk_token="[UNK]",
        continuing_subword_prefix=prefix,
        max_input_chars_per_word=max_chars,
    )
    library = tokenizers.Tokenizer(model)
    library.normalizer = normalizers.BertNormalizer(
        clean_text=clean,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    everything = [*(AddedToken(token, special=True) for token in SPECIAL), *added]
    assert ours.add(everything) == library.add_tokens([to_library(token) for token in everything])
    return ours, library


def to_library(token: AddedToken) -> Any:
    return tokenizers.AddedToken(
        token.content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=token.special,
    )


def assert_alike(
    ours: WordPieceBackend, library: tokenizers.Tokenizer, texts: Iterable[str]
) -> None:
    """Ids, offsets and words of every text are the same, and so are the ids found the quick way."""
    texts = list(texts)
    for start in range(0, len(texts), 1024):
        some = texts[start : start + 1024]
        wanted = library.encode_batch(some, add_special_tokens=False)
        for text, found, want in zip(some, ours.batch(some), wanted, strict=True):
            assert found.ids == want.ids, ascii(text)
            assert found.offsets == want.offsets, ascii(text)
            assert found.words == want.word_ids, ascii(text)
            assert ours.ids(text) == want.ids, ascii(text)


def vocabulary_of_characters(texts: Iterable[str]) -> dict[str, int]:
    """One piece for every character that can come of the texts: it hides no difference."""
    characters = {char for text in texts for char in text}
    characters |= {part for char in characters for part in unicodedata.normalize("NFD", char)}
    characters |= {part for char in characters for part in char.lower()}
    ordered = sorted(characters - set(" "))
    tokens = [*SPECIAL, *ordered, *(f"##{char}" for char in ordered)]
    return {token: id for id, token in enumerate(tokens)}
