"""Examples in docstrings and documents run, and print what they say."""

import doctest
import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import distilbert

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = sorted(
    name
    for _, name, _ in walk_packages(distilbert.__path__, "distilbert.")
    if not name.endswith("__main__")
)
DOCUMENTS = sorted(
    path
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    if ">>> " in path.read_text(encoding="utf-8")
)


def run(test: doctest.DocTest) -> None:
    assert not any(doctest.SKIP in example.options for example in test.examples), "runs nothing"
    told: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_are_true(module):
    for test in doctest.DocTestFinder().find(import_module(module)):
        run(test)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_in_documents_are_true(document, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python|pycon)\n(>>> .*?)```", text, re.DOTALL)
    assert blocks
    # One after the other, as a reader types them.
    parser = doctest.DocTestParser()
    run(parser.get_doctest("\n".join(blocks), {}, document.name, str(document), 0))


def test_the_readme_has_examples():
    assert ROOT / "README.md" in DOCUMENTS


@pytest.mark.parametrize(
    "name", [name for name in distilbert.__all__ if name.startswith("DistilBertFor")]
)
def test_every_model_class_has_an_example(name):
    assert ">>> " in getattr(distilbert, name).__doc__
