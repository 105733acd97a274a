import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.errors import DistilBertError, FileError, InputError, TokenizerError
from distilbert.text.added import AddedToken
from words import TEXTS, VOCABULARY

TEXT = "The [MASK] Café jumps <x> covid 中国 [X]"


def write(folder: Path, **files: Any) -> Path:
    """A folder with `vocab_txt`, `tokenizer_json` and so on."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        stem, _, end = name.rpartition("_")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{stem}.{end}").write_text(text, encoding="utf-8")
    return folder


VOCAB_TXT = "".join(f"{token}\n" for token in VOCABULARY)


def tokenizer_json(**options: Any) -> dict[str, Any]:
    made = DistilBertTokenizerFast(VOCABULARY, **options)
    content: dict[str, Any] = json.loads(made.backend_tokenizer.to_str())
    return content


def assert_alike(one: Any, other: Any) -> None:
    for text in (*TEXTS, TEXT):
        wanted = one(text, return_offsets_mapping=True)
        assert dict(other(text, return_offsets_mapping=True)) == dict(wanted)
        assert other.decode(wanted["input_ids"]) == one.decode(wanted["input_ids"])
    for name in ("special_tokens_map", "all_special_ids", "added_tokens_decoder", "padding_side",
                 "truncation_side", "model_max_length", "model_input_names", "do_lower_case",
                 "clean_up_tokenization_spaces", "split_special_tokens", "vocab_size"):  # fmt: skip
        assert getattr(other, name) == getattr(one, name), name
    assert other.get_vocab() == one.get_vocab()
    assert len(other) == len(one)


@pytest.mark.parametrize("reader", [DistilBertTokenizer, DistilBertTokenizerFast])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_lower_case": False, "tokenize_chinese_chars": False, "model_max_length": 512},
        {"strip_accents": False, "padding_side": "left", "truncation_side": "left"},
        {"clean_text": False, "clean_up_tokenization_spaces": True, "split_special_tokens": True},
        {"additional_special_tokens": ["<x>"], "bos_token": "[X]", "name_or_path": "elsewhere"},
        {"model_input_names": ["input_ids", "token_type_ids"], "wordpieces_prefix": "@"},
        {"mask_token": AddedToken("[MASK]", lstrip=True, special=True)},
    ],
    ids=",".join,
)
def test_what_is_saved_is_loaded_by_either(
    options: dict[str, Any], reader: Any, kind: Any, tmp_path: Path
) -> None:
    tokenizer = kind(VOCABULARY, **{"clean_up_tokenization_spaces": False, **options})
    tokenizer.add_tokens(["covid"])
    names = [Path(name).name for name in tokenizer.save_pretrained(tmp_path)]
    assert sorted(names) == sorted(os.listdir(tmp_path))
    assert_alike(tokenizer, reader.from_pretrained(tmp_path))


def test_each_class_writes_the_files_of_the_reference(kind: Any, tmp_path: Path) -> None:
    kind(VOCABULARY).save_pretrained(tmp_path)
    files = {"tokenizer_config.json", "special_tokens_map.json", "vocab.txt"}
    assert set(os.listdir(tmp_path)) == files | ({"tokenizer.json"} if kind.is_fast else set())
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8") == VOCAB_TXT


def test_attributes_that_were_set_later_are_saved_too(kind: Any, tmp_path: Path) -> None:
    tokenizer = kind(VOCABULARY)
    tokenizer.padding_side, tokenizer.model_max_length = "left", 77
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    tokenizer.save_pretrained(tmp_path)
    assert_alike(tokenizer, kind.from_pretrained(str(tmp_path)))


def test_a_fast_tokenizer_saves_one_layout_on_request(tmp_path: Path) -> None:
    tokenizer = DistilBertTokenizerFast(VOCABULARY, do_lower_case=False)
    tokenizer.add_tokens(["covid"])
    for legacy, name in ((True, "vocab.txt"), (False, "tokenizer.json")):
        folder = tmp_path / name
        tokenizer.save_pretrained(folder, legacy_format=legacy)
        assert (folder / name).exists()
        assert (folder / "vocab.txt").exists() is legacy
        assert (folder / "added_tokens.json").exists() is legacy
        assert (folder / "tokenizer.json").exists() is not legacy
        for reader in (DistilBertTokenizerFast, DistilBertTokenizer):
            assert_alike(tokenizer, reader.from_pretrained(folder))
    with pytest.raises(InputError, match="legacy_format=False"):
        DistilBertTokenizer(VOCABULARY).save_pretrained(tmp_path, legacy_format=False)


def test_a_prefix_is_put_before_file_names(tokenizer: Any, tmp_path: Path) -> None:
    names = tokenizer.save_pretrained(tmp_path, filename_prefix="my")
    assert all(Path(name).name.startswith("my-") and Path(name).exists() for name in names)
    (path,) = tokenizer.save_vocabulary(tmp_path / "deeper", "x")
    assert Path(path) == tmp_path / "deeper" / "x-vocab.txt"
    assert Path(path).read_text(encoding="utf-8") == VOCAB_TXT
    with pytest.raises(InputError, match="filename_prefix"):
        tokenizer.save_pretrained(tmp_path, filename_prefix="../up")


def test_a_tokenizer_is_saved_to_a_path_only(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for save in (tokenizer.save_pretrained, tokenizer.save_vocabulary):
        for given in (None, 3, ""):
            with pytest.raises(InputError, match="allowed: a path"):
                save(given)
    assert not [*tmp_path.iterdir()]


def test_a_failed_save_leaves_the_old_files(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tokenizer.padding_side = "left"
    tokenizer.init_kwargs["odd"] = object()
    with pytest.raises(InputError, match="cannot be written"):
        tokenizer.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(FileError):
        tokenizer.save_pretrained(file)


def test_options_that_nobody_knows_survive(kind: Any, tmp_path: Path) -> None:
    kind(VOCABULARY, favourite="blue", nested={"a": [1]}).save_pretrained(tmp_path / "one")
    kind.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    config = json.loads((tmp_path / "two" / "tokenizer_config.json").read_text())
    assert (config["favourite"], config["nested"]) == ("blue", {"a": [1]})
    assert "name_or_path" not in config


def test_a_vocabulary_alone_is_enough(kind: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "alone", vocab_txt=VOCAB_TXT)
    for place in (folder, folder / "vocab.txt", str(folder / "vocab.txt")):
        assert_alike(kind(VOCABULARY), kind.from_pretrained(place))
    assert kind.from_pretrained(folder, do_lower_case=False).do_lower_case is False
    assert kind.from_pretrained(folder).model_max_length == int(1e30)
    assert kind.from_pretrained(folder, trust_remote_code=True).init_kwargs.keys() == (
        kind.from_pretrained(folder).init_kwargs.keys()
    )


@pytest.mark.diverges("transformers 4.57.6: lowers letters unless tokenizer_config.json forbids it")
def test_a_tokenizer_json_alone_is_enough_and_is_followed(kind: Any, tmp_path: Path) -> None:
    content = tokenizer_json(do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False)
    content["padding"] = {
        "direction": "Left",
        "strategy": "BatchLongest",
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
        "pad_to_multiple_of": None,
    }
    content["truncation"] = {
        "direction": "Left",
        "max_length": 128,
        "stride": 0,
        "strategy": "LongestFirst",
    }
    folder = write(tmp_path / "alone", tokenizer_json=content)
    wanted = DistilBertTokenizer(
        VOCABULARY, do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False,
        padding_side="left", truncation_side="left", clean_up_tokenization_spaces=False,
    )  # fmt: skip
    for place in (folder, folder / "tokenizer.json"):
        loaded = kind.from_pretrained(place, clean_up_tokenization_spaces=False)
        assert_alike(wanted, loaded)
        assert len(loaded("a " * 200)["input_ids"]) == 202  # its truncation is not taken over


def test_the_config_wins_over_tokenizer_json_and_options_over_both(
    kind: Any, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "both",
        tokenizer_json=tokenizer_json(do_lower_case=True),
        vocab_txt=VOCAB_TXT,
        tokenizer_config_json={
            "do_lower_case": False,
            "tokenizer_class": "BertTokenizer",
            "model_max_length": 512,
            "do_basic_tokenize": True,
            "never_split": None,
        },
    )
    loaded = kind.from_pretrained(folder)
    assert loaded.tokenize("THE the") == kind(VOCABULARY, do_lower_case=False).tokenize("THE the")
    assert loaded.model_max_length == 512
    assert kind.from_pretrained(folder, do_lower_case=True).tokenize("FOX") == ["fox"]


def test_old_files_of_special_and_added_tokens_are_read(kind: Any, tmp_path: Path) -> None:
    size = len(VOCABULARY)
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False,
            "normalized": False}  # fmt: skip
    folder = write(
        tmp_path / "old",
        vocab_txt=VOCAB_TXT,
        special_tokens_map_json={"mask_token": mask, "eos_token": "</s>",
                                 "additional_special_tokens": ["<x>", {**mask, "content": "<y>"}]},
        added_tokens_json={"</s>": size, "<x>": size + 1, "<y>": size + 2, "covid": size + 3},
    )  # fmt: skip
    loaded = kind.from_pretrained(folder)
    assert loaded.tokenize("a  [MASK] COVID<x>") == ["a", "[MASK]", "covid", "<x>"]
    assert loaded.eos_token_id == size
    assert loaded.additional_special_tokens == ["<x>", "<y>"]
    assert loaded.decode([22, size, size + 1, size + 3], skip_special_tokens=True) == "a covid"
    assert loaded.added_tokens_decoder[VOCABULARY.index("[MASK]")].lstrip


def test_an_unusual_template_is_kept(kind: Any, tmp_path: Path) -> None:
    content = tokenizer_json()
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
    }  # fmt: skip
    loaded = kind.from_pretrained(write(tmp_path / "odd", tokenizer_json=content))
    assert loaded("a").tokens() == ["a", "[SEP]"]
    assert loaded("a", "the").tokens() == ["a", "the"]
    assert loaded.num_special_tokens_to_add() == 1
    loaded.save_pretrained(tmp_path / "again")
    for reader in (DistilBertTokenizer, DistilBertTokenizerFast):
        assert reader.from_pretrained(tmp_path / "again")("a").tokens() == ["a", "[SEP]"]
    trained = loaded.train_new_from_iterator(["a cat", "a hat"] * 5, 40, show_progress=False)
    assert trained("a").tokens() == ["a", "[SEP]"]
    with pytest.raises(InputError, match="legacy_format=True would lose where"):
        loaded.save_pretrained(tmp_path / "legacy", legacy_format=True)
    assert not list((tmp_path / "legacy").glob("*"))


def test_a_vocabulary_with_gaps_is_saved_without_vocab_txt(tmp_path: Path) -> None:
    gapped = {token: 2 * id for id, token in enumerate(VOCABULARY)}
    tokenizer = DistilBertTokenizerFast(gapped)
    tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    for reader in (DistilBertTokenizerFast, DistilBertTokenizer):
        loaded = reader.from_pretrained(tmp_path)
        assert loaded("the fox")["input_ids"] == tokenizer("the fox")["input_ids"]
    with pytest.raises(TokenizerError, match="no token of id 1"):
        tokenizer.save_pretrained(tmp_path, legacy_format=True)


BAD_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "no tokenizer.json or vocab.txt"),
    "no unknown token": ({"vocab_txt": "[PAD]\na\n"}, r"no unknown token '\[UNK\]'"),
    "a token twice": ({"vocab_txt": "[UNK]\na\na\n"}, "again in line 3"),
    "an empty vocabulary": ({"vocab_txt": ""}, "empty"),
    "JSON that is none": ({"tokenizer_json": "{"}, "not JSON"),
    "JSON of a list": ({"tokenizer_json": "[]"}, "JSON array"),
    "no model": ({"tokenizer_json": {}}, "no 'model'"),
    "another model": ({"tokenizer_json": {"model": {"type": "BPE"}}}, "BPE tokenizer"),
    "no tokens": ({"tokenizer_json": {"model": {"type": "WordPiece"}}}, "model.vocab"),
    "an id that is none": (
        {"tokenizer_json": {"model": {"type": "WordPiece", "vocab": {"[UNK]": "a"}}}},
        "model.vocab",
    ),
    "a damaged step": (
        {"tokenizer_json": {**tokenizer_json(), "normalizer": {"type": "No"}}},
        "(cannot be read|'No')",
    ),
    "added tokens of another": (
        {
            "vocab_txt": VOCAB_TXT,
            "tokenizer_config_json": {"added_tokens_decoder": {"7": "[MASK]"}},
        },
        r"'\[MASK\]' should have id 7, but this vocabulary gives it 4",
    ),
    "added tokens that are none": (
        {"vocab_txt": VOCAB_TXT, "tokenizer_config_json": {"added_tokens_decoder": {"7": 5}}},
        "5 is no token",
    ),
    "a config that is no object": (
        {"vocab_txt": VOCAB_TXT, "tokenizer_config_json": "[1]"},
        "JSON array",
    ),
    "a length that is none": (
        {"vocab_txt": VOCAB_TXT, "tokenizer_config_json": {"model_max_length": "long"}},
        "model_max_length='long'",
    ),
    "an added id that is none": (
        {"vocab_txt": VOCAB_TXT, "added_tokens_json": {"x": "y"}},
        "'x' has 'y' for an id",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_cannot_work_are_one_clear_error(name: str, kind: Any, tmp_path: Path) -> None:
    files, message = BAD_FILES[name]
    with pytest.raises(DistilBertError, match=message):
        kind.from_pretrained(write(tmp_path / "bad", **files))


def test_missing_places_are_one_clear_error(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no folder"):
        kind.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileError, match="is a folder"):
        kind(tmp_path)
    with pytest.raises(FileError, match="no vocabulary file"):
        kind(tmp_path / "vocab.txt")
    with pytest.raises(TokenizerError, match="give vocab_file or tokenizer_file"):
        DistilBertTokenizerFast()


def test_the_python_one_refuses_steps_that_it_does_not_know(tmp_path: Path) -> None:
    content = {**tokenizer_json(), "normalizer": {"type": "Lowercase"}}
    folder = write(tmp_path / "steps", tokenizer_json=content)
    assert DistilBertTokenizerFast.from_pretrained(folder).tokenize("FOX") == ["fox"]
    with pytest.raises(TokenizerError, match=r"'Lowercase'.*DistilBertTokenizerFast"):
        DistilBertTokenizer.from_pretrained(folder)


@pytest.mark.diverges("transformers 4.57.6: its slow class reads vocab.txt alone, to other ids")
def test_steps_of_another_tokenizer_are_not_replaced_silently(tmp_path: Path) -> None:
    content = {**tokenizer_json(), "normalizer": {"type": "Lowercase"}}
    fast = DistilBertTokenizerFast.from_pretrained(write(tmp_path / "a", tokenizer_json=content))
    fast.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.txt").exists()
    with pytest.raises(TokenizerError, match="'Lowercase'"):
        DistilBertTokenizer.from_pretrained(tmp_path / "saved")
    with pytest.raises(InputError, match=r"legacy_format=True would lose steps.*'Lowercase'"):
        fast.save_pretrained(tmp_path / "legacy", legacy_format=True)


def test_a_tokenizer_of_the_library_is_copied() -> None:
    given = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json()))
    given.enable_truncation(3)
    tokenizer = DistilBertTokenizerFast(tokenizer_object=given)
    tokenizer.add_tokens(["covid"])
    assert given.token_to_id("covid") is None
    assert given.truncation is not None
    assert len(tokenizer("a a a a a")["input_ids"]) == 7


def test_the_tokenizer_beneath_has_the_template_of_now() -> None:
    tokenizer = DistilBertTokenizerFast(VOCABULARY)
    assert tokenizer.backend_tokenizer.encode("a", "the").ids == tokenizer.encode("a", "the")
    tokenizer.cls_token = "fox"
    assert tokenizer.backend_tokenizer.encode("a").ids == tokenizer.encode("a")
    assert tokenizer.backend_tokenizer.encode("a").tokens[0] == "fox"


@pytest.mark.diverges("transformers 4.57.6: takes clean_text and wordpieces_prefix, without effect")
def test_clean_text_and_prefix_have_an_effect(kind: Any) -> None:
    assert kind(VOCABULARY).tokenize("a\u0000b") == ["a", "##b"]
    assert kind(VOCABULARY, clean_text=False).tokenize("a\u0000b") == ["[UNK]"]
    vocabulary = [*VOCABULARY, "@ing"]
    assert kind(vocabulary, wordpieces_prefix="@").tokenize("jumping") == ["jump", "@ing"]


def test_options_of_the_python_one_are_said_to_have_no_effect_on_the_fast_one(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    DistilBertTokenizer(VOCABULARY, never_split=["Über"], do_basic_tokenize=True).save_pretrained(
        tmp_path
    )
    assert DistilBertTokenizer.from_pretrained(tmp_path).never_split == ["Über"]
    DistilBertTokenizerFast.from_pretrained(tmp_path)
    assert "never_split" in caplog.text


def test_a_subfolder_is_looked_in(kind: Any, tmp_path: Path) -> None:
    write(tmp_path / "deep", vocab_txt=VOCAB_TXT)
    assert kind.from_pretrained(tmp_path, subfolder="deep").vocab_size == len(VOCABULARY)
    shutil.rmtree(tmp_path / "deep")
    with pytest.raises(FileError, match="no subfolder 'deep'"):
        kind.from_pretrained(tmp_path, subfolder="deep")


def test_what_is_of_the_user_and_the_machine_is_never_written(kind: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "one", vocab_txt=VOCAB_TXT)
    options = {"proxies": {"https": "SECRET"}, "resume_download": True, "mirror": "SECRET"}
    for secret in ("token", "use_auth_token"):
        loaded = kind.from_pretrained(folder, **{secret: "SECRET"}, **options)
        assert not {"token", "use_auth_token", *options} & loaded.init_kwargs.keys()
        loaded.save_pretrained(tmp_path / secret)
    kind(VOCABULARY, token="SECRET", use_auth_token="SECRET").save_pretrained(tmp_path / "made")
    for path in tmp_path.glob("*/*.json"):
        assert "SECRET" not in path.read_text(), path
        assert "use_auth_token" not in path.read_text(), path


def test_the_longest_word_is_a_setting_in_every_layout(kind: Any, tmp_path: Path) -> None:
    made = kind(VOCABULARY, max_input_chars_per_word=3)
    assert made.tokenize("fox jump") == ["fox", "[UNK]"]
    made.save_pretrained(tmp_path / "usual")
    if kind.is_fast:
        made.save_pretrained(tmp_path / "legacy", legacy_format=True)
        made.save_pretrained(tmp_path / "new", legacy_format=False)
    for folder in tmp_path.iterdir():
        for reader in (DistilBertTokenizer, DistilBertTokenizerFast):
            assert reader.from_pretrained(folder).tokenize("fox jump") == ["fox", "[UNK]"]
            given = reader.from_pretrained(folder, max_input_chars_per_word=4)
            assert given.tokenize("fox jump") == ["fox", "jump"]
    with pytest.raises(TokenizerError, match="max_input_chars_per_word"):
        kind(VOCABULARY, max_input_chars_per_word=10**30)


def test_what_the_tokenizer_beneath_is_told_does_not_reach_the_answers() -> None:
    tokenizer = DistilBertTokenizerFast(VOCABULARY)
    wanted = [dict(tokenizer(["a", "a the fox"], return_offsets_mapping=o)) for o in (False, True)]
    words = dict(tokenizer([["a"], ["a", "fox"]], is_split_into_words=True))
    for asked, want in zip((False, True), wanted, strict=True):
        tokenizer.backend_tokenizer.enable_padding(length=6)
        tokenizer.backend_tokenizer.enable_truncation(2)
        assert dict(tokenizer(["a", "a the fox"], return_offsets_mapping=asked)) == want
    tokenizer.backend_tokenizer.enable_padding(length=6)
    assert dict(tokenizer([["a"], ["a", "fox"]], is_split_into_words=True)) == words


@pytest.mark.parametrize("length", ["Infinity", "1e400", "1e30", str(10**31)])
def test_a_length_without_bound_is_very_large(length: str, kind: Any, tmp_path: Path) -> None:
    config = f'{{"model_max_length": {length}, "self": 5, "tokenizer_object": "x"}}'
    folder = write(tmp_path / "deep", vocab_txt=VOCAB_TXT, tokenizer_config_json=config)
    assert kind.from_pretrained(folder).model_max_length == int(1e30)


@pytest.mark.parametrize("key", ["9" * 5000, str(2**32), "-1", "x"])
def test_an_impossible_id_of_an_added_token_is_one_clear_error(
    key: str, kind: Any, tmp_path: Path
) -> None:
    config = {"added_tokens_decoder": {key: {"content": "x"}}}
    folder = write(tmp_path / "odd", vocab_txt=VOCAB_TXT, tokenizer_config_json=config)
    with pytest.raises(TokenizerError, match="in added_tokens_decoder is no id"):
        kind.from_pretrained(folder)


def test_special_tokens_of_other_names_are_attributes_and_survive(
    kind: Any, tmp_path: Path
) -> None:
    made = kind(VOCABULARY, extra_special_tokens={"image_token": "<img>"})
    made.save_pretrained(tmp_path)
    for found in (made, kind.from_pretrained(tmp_path)):
        assert (found.image_token, found.image_token_id) == ("<img>", len(VOCABULARY))
        assert found.special_tokens_map["image_token"] == "<img>"
        assert found.all_special_ids[-1] == len(VOCABULARY)
        assert found.tokenize("a<img>") == ["a", "<img>"]
        assert found.extra_special_tokens == {"image_token": "<img>"}
    with pytest.raises(AttributeError, match="sound_token"):
        _ = made.sound_token
    for junk in (5, "x", {"image_token": 5}, {"image_token": ""}):
        with pytest.raises(DistilBertError, match=r"extra_special_tokens|image_token"):
            kind(VOCABULARY, extra_special_tokens=junk)


def test_nothing_is_pushed_anywhere(tmp_path):
    with pytest.raises(InputError, match=r"huggingface_hub\.upload_folder"):
        DistilBertTokenizer(VOCABULARY).save_pretrained(tmp_path / "folder", push_to_hub=True)
    assert not (tmp_path / "folder").exists()
