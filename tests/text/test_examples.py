import doctest
import pkgutil
from importlib import import_module

import pytest

import distilbert.text

MODULES = [
    f"distilbert.text.{module.name}" for module in pkgutil.iter_modules(distilbert.text.__path__)
]
WITH_EXAMPLES = {f"distilbert.text.{name}" for name in
                 ("calls", "decoding", "encoding", "fast", "special", "tokenizer")}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_docstrings_are_true(module: str) -> None:
    results = doctest.testmod(import_module(module))
    assert results.failed == 0
    assert results.attempted > 0 or module not in WITH_EXAMPLES
