"""Whatever one value of a tokenizer's files is: loading works, or is one error of this package."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distilbert import DistilBertTokenizerFast
from distilbert.errors import DistilBertError
from words import VOCABULARY

SIZE = len(VOCABULARY)
JUNK = [None, 5, -1, 1.5, "x", "", [], {}, [1], {"a": 1}, True, "\ud800", "[MASK]", 10**30, [None],
        float("inf"), float("nan"),
        ["a"], {"content": 5}, {"content": "x"}]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    made = DistilBertTokenizerFast(
        VOCABULARY, additional_special_tokens=["<x>"], model_max_length=20
    )
    made.add_tokens(["covid"])
    made.save_pretrained(folder)
    found = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert found.keys() == {"tokenizer_config.json", "special_tokens_map.json", "tokenizer.json",
                            "added_tokens.json"}  # fmt: skip
    return found


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside, but not of a whole vocabulary."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in list(items)[:40]:
            yield from places(inner, (*path, name))


def damage(files: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    damaged: dict[str, Any] = json.loads(json.dumps(files))
    if chance.random() < 0.5:
        del damaged["tokenizer_config.json"]["added_tokens_decoder"]  # then old files are read
    name = chance.choice(sorted(damaged))
    *way, last = chance.choice(list(places(damaged[name])))
    inner = damaged[name]
    for step in way:
        inner = inner[step]
    inner[last] = chance.choice(JUNK)
    return damaged


@pytest.mark.parametrize("seed", range(10))
def test_one_damaged_value_is_harmless_or_one_clear_error(
    seed: int, kind: Any, files: dict[str, Any], tmp_path: Path
) -> None:
    chance = random.Random(seed)
    outcomes = set()
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in damage(files, chance).items():
            if name != "tokenizer.json" or chance.random() < 0.7:
                (folder / name).write_text(json.dumps(content))
        if chance.random() < 0.6:
            (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
        outcomes.add(outcome(kind, folder))
    assert outcomes == {"works", "error"}


def outcome(kind: Any, folder: Path) -> str:
    try:
        tokenizer = kind.from_pretrained(folder)
        tokenizer("a covid <x> [MASK]", return_offsets_mapping=True, verbose=False)
        tokenizer.save_pretrained(folder / "again")
    except DistilBertError:
        return "error"
    return "works"
