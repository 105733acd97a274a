"""The Python tokenizer's inside against the tokenizers of transformers, fast and slow."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import shared
from distilbert.text.added import AddedToken
from distilbert.text.pieces import Pieces
from distilbert.text.vocabulary import Vocabulary
from distilbert.text.wordpiece import WordPieceBackend
from library import SPECIAL, to_library, vocabulary_of_characters
from words import TEXTS, VOCABULARY, real_vocabulary

transformers = pytest.importorskip("transformers")

STEPS = [
    {"do_lower_case": lowercase, "strip_accents": strip, "tokenize_chinese_chars": chinese}
    for lowercase, strip, chinese in product((True, False), (None, True, False), (True, False))
]
HARD = [
    "Ὀδυσσεύς ΟΔΥΣΣΕΎΣ ΣΑΣ", "İstanbul ISPARTA ıi", "ǅ ǈ ﬃ ẞ ŉ", "ḍ̇ q̣̇ Ụ̈̄", "ក្រុមហ៊ុន ภาษาไทย",
    "हिन्दी বাংলা தமிழ்", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 Ⅷ ①", "אֱלֹהִים العَرَبِيَّة", "한국어 가각 가", "豈更車 㐀 𠀀 𫠠 𫤠 龥鿿",
    "a\u1dfb\u0323b \u302e\u0323", "\U00010d50\U00016ea0\ua7cb\u1c89", "\u2e43a\u2e5db\U0001e95ec",
    "x\u0890y\u08e2z", "\u1734 \u166d \U000111c9", "\x0b\x0c\x1c\x1d\x85\u2028\u3000",
    "👩‍👩‍👧‍👦🏳️‍🌈",
]  # fmt: skip


def _write(folder: Path, tokens: Any) -> Path:
    path = folder / "vocab.txt"
    Vocabulary([token for token in tokens if token[-1] not in "\r\n"]).write(path)
    return path


def _ours(path: Path, **options: Any) -> WordPieceBackend:
    names = {
        "do_lower_case": "lowercase",
        "tokenize_chinese_chars": "chinese",
        "do_basic_tokenize": "basic",
    }
    steps = {names.get(name, name): value for name, value in options.items()}
    backend = WordPieceBackend(Vocabulary.read(path), **steps)
    backend.add([AddedToken(token, special=True) for token in SPECIAL])
    return backend


def _assert_as_fast(ours: WordPieceBackend, reference: Any, texts: list[str]) -> None:
    for start in range(0, len(texts), 512):
        some = texts[start : start + 512]
        wanted = reference(some, add_special_tokens=False, return_offsets_mapping=True)
        for row, (text, found) in enumerate(zip(some, ours.batch(some), strict=True)):
            want = Pieces(
                wanted["input_ids"][row], wanted["offset_mapping"][row], wanted.word_ids(row)
            )
            assert found == want, ascii(text)
            assert ours.ids(text) == want.ids, ascii(text)


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_hard_texts_are_those_of_the_fast_tokenizer(steps: dict[str, Any], tmp_path: Path) -> None:
    texts = [*TEXTS, *HARD]
    path = _write(tmp_path, vocabulary_of_characters(texts))
    reference = transformers.DistilBertTokenizerFast(str(path), **steps)
    _assert_as_fast(_ours(path, **steps), reference, texts)


def _world() -> Iterator[str]:
    folder = shared("tok")
    squad = shared("squad/dev-v1.1.half_a.json.gz")
    assert folder is not None
    assert squad is not None
    with zipfile.ZipFile(folder / "udhr2.zip") as archive:
        for name in archive.namelist():
            yield from archive.read(name).decode().split("\n")[5:25]
    yield from json.loads((folder / "blns.json").read_text(encoding="utf-8"))
    for article in json.loads(gzip.decompress(squad.read_bytes()))["data"]:
        yield from (paragraph["context"] for paragraph in article["paragraphs"])


@pytest.mark.skipif(shared("tok") is None, reason="the texts are not beside the repository")
@pytest.mark.parametrize("lowercase", [True, False], ids=["uncased", "cased"])
def test_the_world_is_that_of_the_fast_tokenizer(lowercase: bool, tmp_path: Path) -> None:
    path = real_vocabulary(tmp_path)
    assert path is not None
    reference = transformers.DistilBertTokenizerFast(str(path), do_lower_case=lowercase)
    _assert_as_fast(_ours(path, do_lower_case=lowercase), reference, list(_world()))


PARTS = ["C++", "c++", "C#", "New York", "hello", "World", "worlds", "cafe\u0301", "café",
         "Café",
         "don't", "Don't", "U.S.A", "u.s.a", ",", ".", "é", "É", "\u3000", "中", "国", "x",
         "[MASK]", "\t", "foo", "Foo", "zzz", "ZZZ", "\u00ad", "x" * 101]  # fmt: skip
KEPT = ["C++", "c++", "U.S.A", "u.s.a", "café", "World", "zzz", "中", "don't", "New York", ",", "é"]
CHARACTERS = vocabulary_of_characters([*PARTS, *TEXTS])


@pytest.fixture(scope="module")
def characters_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("characters"), [*CHARACTERS, "hello", "don't", "C++"])


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(st.sampled_from([*PARTS, " ", " ", " ", "  "]), max_size=10),
    kept=st.lists(st.sampled_from(KEPT), unique=True, max_size=5),
    steps=st.sampled_from(STEPS),
    basic=st.booleans(),
)
def test_what_only_the_slow_tokenizer_has_is_as_it_has_it(
    parts: list[str], kept: list[str], steps: dict[str, Any], basic: bool, characters_file: Path
) -> None:
    text = "".join(parts)
    options = {**steps, "never_split": kept, "do_basic_tokenize": basic}
    strips = steps["strip_accents"]
    if not (steps["do_lower_case"] if strips is None else strips):
        text = text.replace("e\u0301", "é")  # the slow one composes; see below
    reference = transformers.DistilBertTokenizer(str(characters_file), **options)
    wanted = reference(text, add_special_tokens=False)["input_ids"]
    ours = _ours(characters_file, **options)
    assert ours.ids(text) == wanted
    assert ours.pieces(text).ids == wanted


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("e\u0301", {"strip_accents": False}),  # the slow one composes to NFC
        ("a\u2e43b", {}),  # a punctuation mark of Unicode 8.1 and later
        ("a\u0890b", {}),  # a format character of Unicode 14
        ("a\u1ac0b", {}),  # a nonspacing mark of Unicode 13
        ("a\U0002b820b", {}),  # an ideograph that the fast one takes for none
        ("a\U00010d50b", {}),  # a capital of Unicode 16
    ],
    ids=ascii,
)
@pytest.mark.diverges("transformers 4.57.6, slow: disagrees with its own fast one, which we follow")
def test_where_the_references_disagree_ours_is_the_fast_one(
    text: str, options: dict[str, Any], tmp_path: Path
) -> None:
    path = _write(tmp_path, vocabulary_of_characters([text, "é\U00010d70"]))
    fast, slow = (
        kind(str(path), **options)(text, add_special_tokens=False)["input_ids"]
        for kind in (transformers.DistilBertTokenizerFast, transformers.DistilBertTokenizer)
    )
    assert fast != slow
    assert _ours(path, **options).ids(text) == fast


@pytest.mark.parametrize(
    "content",
    ["[UNK]\na\nb\n", "[UNK]\r\na\r\nb", "[UNK]\ra\rb\r", "[UNK]\n\na\n", "[UNK]\na\n\n",
     "[UNK]\n a \n\u2028\nb\x85c\n\x1c\n\x0b\x0c\n"],
    ids=ascii,
)  # fmt: skip
def test_vocabularies_are_read_as_the_reference_reads_them(content: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content.encode())
    reference = transformers.DistilBertTokenizer(str(path), pad_token="[UNK]", cls_token="[UNK]",
                                                 sep_token="[UNK]", mask_token="[UNK]")  # fmt: skip
    assert dict(Vocabulary.read(path)) == dict(reference.vocab)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("single_word", [True, False])
@pytest.mark.parametrize("strip", [(False, False), (True, False), (False, True), (True, True)])
def test_added_tokens_are_those_of_the_fast_tokenizer(
    special: bool, single_word: bool, strip: tuple[bool, bool], tmp_path: Path
) -> None:
    path = _write(tmp_path, VOCABULARY)
    reference = transformers.DistilBertTokenizerFast(str(path))
    ours = _ours(path)
    lstrip, rstrip = strip
    added = [
        AddedToken(content, single_word, lstrip, rstrip, normalized, special)
        for content, normalized in [
            ("<e>", True),
            ("<e1>", False),
            ("New York", True),
            ("Fox", True),
        ]
    ]
    assert ours.add(added) == reference.add_tokens([to_library(token) for token in added])
    assert ours.vocabulary() == reference.get_vocab()
    assert len(ours) == len(reference)
    texts = [
        *TEXTS,
        "a <e> b<e1> c",
        "<e><e1>\u3000<E>",
        "in new york, NEW YORKERS",
        "fox Foxes FÓX",
    ]
    _assert_as_fast(ours, reference, texts)
