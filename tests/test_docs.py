"""What documents say in tables and lists is what the package has and does."""

import ast
import re
from pathlib import Path

import pytest
import torch

from distilbert import AdapterError, DistilBertConfig, DistilBertModel
from distilbert.adapters import (
    ADAPTER_CONFIG_MAP,
    ALLOWED_NESTINGS,
    Average,
    Fuse,
    Split,
    Stack,
)

ROOT = Path(__file__).parents[1]
ADAPTERS, FROM_ADAPTERS = (
    (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("adapters.md", "from-adapters.md")
)
SAID = " ".join(ADAPTERS.split())  # wherever lines end
TRIES = {  # all compositions that some methods are refused in
    "Fuse": lambda model: model.plan(Fuse("a", "b")),
    "Split": lambda model: model.plan(Split("a", "b", splits=1)),
    "Stack": lambda model: model.plan(Stack("a", "b")),
    "Average": lambda model: model.plan(Average("a", "b")),
}


def table(section):
    """The rows of the table in a section of the page on adapters, as lists of cells."""
    body = ADAPTERS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def works(do):
    try:
        do()
    except AdapterError:
        return False
    return True


# Methods -----------------------------------------------------------------------------------------

METHODS = {row[0].strip("`"): row[1:] for row in table("Methods")}


@pytest.fixture(scope="module")
def full_size():
    """An encoder of the published width and depth, which takes no memory."""
    with torch.device("meta"):
        return DistilBertModel(DistilBertConfig(vocab_size=100))


def test_every_preset_has_a_row_or_is_told_to_be_an_older_name():
    names = {config: name for name, config in reversed(ADAPTER_CONFIG_MAP.items())}
    assert set(METHODS) == set(names.values())
    for name, config in ADAPTER_CONFIG_MAP.items():
        assert name in METHODS or f'`"{name}"` for `"{names[config]}"`' in SAID


@pytest.mark.parametrize("name", METHODS)
def test_the_table_of_methods_is_true(full_size, name):
    kind, _, combines, merges, parameters, trained = METHODS[name]
    assert kind == f"`{type(ADAPTER_CONFIG_MAP[name]).__name__}`"
    model = full_size
    plain = model.num_parameters()
    model.add_adapter("a", name)
    try:
        assert parameters == f"{model.num_parameters() - plain:,}"
        model.train_adapter("a")
        assert trained == f"{model.num_parameters(only_trainable=True):,}"
        model.set_active_adapters(None)
        assert merges == ("yes" if works(lambda: model.merge_adapter("a")) else "")
        model.reset_adapter()
        model.add_adapter("b", name)
        fused = works(lambda: model.add_adapter_fusion(["a", "b"]))
        refused = [each for each, run in TRIES.items() if not works(lambda run=run: run(model))]
        assert combines == (f"no {', '.join(refused)}" if refused else "all")
        if fused:
            model.delete_adapter_fusion("a,b")
    finally:
        for each in list(model.adapters_config):
            model.delete_adapter(each)


def test_the_sizes_of_fusions_are_true(full_size):
    model = full_size
    model.add_adapter("a")
    model.add_adapter("b")
    before, found = model.num_parameters(), {}
    for kind in ("static", "dynamic"):
        model.add_adapter_fusion(["a", "b"], kind)
        found[kind] = model.num_parameters() - before
        model.delete_adapter_fusion("a,b")
    model.delete_adapter("a")
    model.delete_adapter("b")
    said = "{static:,} parameters if it is static, {dynamic:,} if dynamic".format(**found)
    assert said in SAID


def test_the_table_of_what_may_stand_in_what_is_true():
    said = {
        row[0].strip("`"): [name.strip("`") for name in row[1].split(", ")]
        for row in table("Compositions")
        if row[0].strip("`").isidentifier()
    }
    assert said == {
        kind.__name__: [
            each.__name__.replace("NoneType", "None") for each in allowed if each is not str
        ]
        for kind, allowed in ALLOWED_NESTINGS.items()
    }


# Differences -------------------------------------------------------------------------------------


def divergences(package):
    """What tests say of a package where they differ from it: the text, file and test, in order."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for call in ast.walk(ast.Module(node.decorator_list, [])):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".diverges"):
                    said = ast.literal_eval(call.args[0])
                    if said.startswith(package):
                        name = f"{path.relative_to(ROOT)}::{node.name}"
                        found.append((said.partition(": ")[2], name))
    return found


DIVERGENCES = divergences("adapters 1.3.0: ")


def test_differences_are_found():
    assert len(DIVERGENCES) > 40
    assert len(divergences("transformers")) > 40


@pytest.mark.parametrize(("said", "test"), DIVERGENCES, ids=[test for _, test in DIVERGENCES])
def test_every_difference_from_adapters_is_told_with_the_test_that_pins_it(said, test):
    cell = said.replace("|", r"\|")  # as tables write it
    lines = [line for line in FROM_ADAPTERS.splitlines() if cell in line]
    assert lines, f"docs/from-adapters.md lacks a row with: {said}"
    assert any(test.removeprefix("tests/") in line for line in lines), f"no row names {test}"


def test_every_test_that_pins_a_difference_exists():
    known = {test.removeprefix("tests/") for _, test in DIVERGENCES}
    named = set(re.findall(r"`([\w/]+\.py::\w+)`", FROM_ADAPTERS))
    assert named <= known
    assert named
