"""What one package saves, the other loads, with the same answers; old layouts are read alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.text.added import AddedToken
from words import TEXTS, VOCABULARY

transformers = pytest.importorskip("transformers")

OURS = [DistilBertTokenizerFast, DistilBertTokenizer]
THEIRS = ["DistilBertTokenizerFast", "DistilBertTokenizer"]
PROBES = [*TEXTS, "a  [MASK] covid COVID <x> </s> b<x>c [X]"]
VOCAB_TXT = "".join(f"{token}\n" for token in VOCABULARY)
SIZE = len(VOCABULARY)

OPTIONS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "cased": {"do_lower_case": False, "model_max_length": 512},
    "accents kept": {"strip_accents": False, "tokenize_chinese_chars": False},
    "left": {"padding_side": "left", "truncation_side": "left", "model_max_length": 16},
    "more special tokens": {"additional_special_tokens": ["<x>"], "eos_token": "</s>"},
    "types asked": {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
}


@pytest.fixture
def vocab_file(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text(VOCAB_TXT, encoding="utf-8")
    return path


def assert_alike(found: Any, wanted: Any, probes: list[str] = PROBES) -> None:
    """Same ids of everything, and same attributes, as a tokenizer of transformers."""
    for probe in probes:
        call = {"truncation": wanted.model_max_length < 1000}
        assert found(probe, **call).data == wanted(probe, **call).data
    padded = found(probes, padding=True, truncation=True, max_length=12)
    assert padded.data == wanted(probes, padding=True, truncation=True, max_length=12).data
    for name in ("special_tokens_map", "all_special_tokens", "all_special_ids", "padding_side",
                 "truncation_side", "model_max_length", "model_input_names", "vocab_size",
                 "clean_up_tokenization_spaces"):  # fmt: skip
        assert getattr(found, name) == getattr(wanted, name), name
    assert len(found) == len(wanted)
    assert found.get_vocab() == wanted.get_vocab()
    fields = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    one, other = (
        {id: [getattr(token, field) for field in fields] for id, token in made.items()}
        for made in (found.added_tokens_decoder, wanted.added_tokens_decoder)
    )
    assert one == other


@pytest.mark.parametrize("theirs", THEIRS)
@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("name", OPTIONS)
def test_what_we_save_they_load(
    name: str, kind: Any, theirs: str, vocab_file: Path, tmp_path: Path
) -> None:
    ours = kind(str(vocab_file), **OPTIONS[name])
    ours.add_tokens(["covid"])
    ours.add_special_tokens({"additional_special_tokens": ["[X]", *ours.additional_special_tokens]})
    ours.save_pretrained(tmp_path / "saved")
    loaded = getattr(transformers, theirs).from_pretrained(tmp_path / "saved")
    # their Python tokenizer cuts other characters at word ends; see test_disagreements
    assert_alike(ours, loaded, PROBES if theirs.endswith("Fast") else ["a b the fox covid <x> [X]"])


@pytest.mark.parametrize("theirs", THEIRS)
@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("name", OPTIONS)
def test_what_they_save_we_load(
    name: str, kind: Any, theirs: str, vocab_file: Path, tmp_path: Path
) -> None:
    saver = getattr(transformers, theirs)(str(vocab_file), **OPTIONS[name])
    saver.add_tokens(["covid"])
    saver.save_pretrained(tmp_path / "saved")
    fast = transformers.DistilBertTokenizerFast.from_pretrained(tmp_path / "saved")
    assert_alike(kind.from_pretrained(tmp_path / "saved"), fast)


def test_the_same_files_are_written(vocab_file: Path, tmp_path: Path) -> None:
    for kind, theirs in zip(OURS, THEIRS, strict=True):
        one, other = tmp_path / f"ours-{theirs}", tmp_path / f"theirs-{theirs}"
        for made, folder in ((kind, one), (getattr(transformers, theirs), other)):
            tokenizer = made(str(vocab_file), model_max_length=512)
            tokenizer.add_tokens(["covid"])
            tokenizer.save_pretrained(folder)
        names = sorted(path.name for path in other.iterdir())
        assert sorted(path.name for path in one.iterdir()) == names
        for name in names:
            found, wanted = ((folder / name).read_text(encoding="utf-8") for folder in (one, other))
            if not name.endswith(".json"):
                assert found == wanted
                continue
            expected = json.loads(wanted)
            if kind is DistilBertTokenizerFast:  # what has no effect on it is not written
                expected.pop("do_basic_tokenize", None)
                expected.pop("never_split", None)
            assert json.loads(found) == expected


MASK = {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False,
        "normalized": False}  # fmt: skip
LAYOUTS: dict[str, dict[str, Any]] = {
    "a vocabulary": {},
    "a config of BERT": {
        "tokenizer_config.json": {"do_lower_case": True, "tokenizer_class": "BertTokenizer",
                                  "model_max_length": 512, "never_split": None,
                                  "do_basic_tokenize": True, "tokenize_chinese_chars": True,
                                  "strip_accents": None, "name_or_path": "elsewhere",
                                  "special_tokens_map_file": None},
    },
    "a cased config": {"tokenizer_config.json": {"do_lower_case": False, "model_max_length": 512}},
    "old special tokens": {
        "special_tokens_map.json": {"mask_token": MASK, "cls_token": "[CLS]",
                                    "additional_special_tokens": ["<x>"]},
        "added_tokens.json": {"<x>": SIZE, "covid": SIZE + 1},
        "tokenizer_config.json": {"do_lower_case": True},
    },
    "a config with added tokens": {
        "special_tokens_map.json": {"eos_token": "never read"},
        "tokenizer_config.json": {
            "additional_special_tokens": ["<x>"],
            "mask_token": {"__type": "AddedToken", **MASK},
            "added_tokens_decoder": {
                str(SIZE): {"content": "<x>", "special": True, "normalized": False, "lstrip": False,
                            "rstrip": False, "single_word": False},
                "4": {**MASK, "special": True},
            },
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("with_json", [False, True], ids=["vocab.txt", "tokenizer.json too"])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.filterwarnings("ignore")
def test_published_layouts_are_read_alike(
    name: str, with_json: bool, kind: Any, vocab_file: Path, tmp_path: Path
) -> None:
    for filename, content in LAYOUTS[name].items():
        (tmp_path / filename).write_text(json.dumps(content), encoding="utf-8")
    if with_json:
        made = transformers.BertTokenizerFast(str(vocab_file))
        made("a", padding="max_length", truncation=True, max_length=8)  # both are written
        made.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    wanted = transformers.DistilBertTokenizerFast.from_pretrained(tmp_path)
    clean = {"clean_up_tokenization_spaces": not with_json}  # the default, of the fast one
    found = kind.from_pretrained(tmp_path, **(clean if kind is DistilBertTokenizer else {}))
    assert_alike(found, wanted)


@pytest.mark.parametrize("kind", OURS)
def test_added_tokens_with_rules_survive_both_ways(
    kind: Any, vocab_file: Path, tmp_path: Path
) -> None:
    ours = kind(str(vocab_file))
    ours.add_tokens(
        [AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True, normalized=False),
         AddedToken("Word", single_word=True)]
    )  # fmt: skip
    ours.save_pretrained(tmp_path / "ours")
    theirs = transformers.DistilBertTokenizerFast.from_pretrained(tmp_path / "ours")
    probes = ["a <l> b", "a <r> b", "word words", "a<L>b<R> c", "WORD"]
    assert_alike(ours, theirs, probes)
    theirs.save_pretrained(tmp_path / "theirs")
    assert_alike(kind.from_pretrained(tmp_path / "theirs"), theirs, probes)


def test_a_trained_vocabulary_is_loaded_by_them(tmp_path: Path) -> None:
    texts = ["the cat sat on the mat", "a cat and a hat"] * 5
    for kind in OURS:
        made = kind(VOCABULARY).train_new_from_iterator(texts, 60, show_progress=False)
        made.save_pretrained(tmp_path / kind.__name__)
        loaded = transformers.DistilBertTokenizerFast.from_pretrained(tmp_path / kind.__name__)
        assert_alike(made, loaded)


def test_a_vocabulary_is_trained_as_they_train_it(vocab_file: Path) -> None:
    texts = ["the cat sat on the mat", "a cat and a hat"] * 5
    wanted = transformers.DistilBertTokenizerFast(str(vocab_file)).train_new_from_iterator(
        texts, 60, new_special_tokens=["<n>"], special_tokens_map={"[CLS]": "<s>"}
    )
    found = DistilBertTokenizerFast(str(vocab_file)).train_new_from_iterator(
        texts, 60, new_special_tokens=["<n>"], special_tokens_map={"[CLS]": "<s>"}
    )
    assert set(found.get_vocab()) == set(wanted.get_vocab())  # ids: ties are broken at random
    assert found.special_tokens_map == wanted.special_tokens_map
    assert found.all_special_ids == wanted.all_special_ids
    assert found("the cat<n>").tokens() == wanted("the cat<n>").tokens()
