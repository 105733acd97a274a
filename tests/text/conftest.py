"""Both tokenizers on the small vocabulary: `tokenizer` is each of them in turn."""

from typing import Any

import pytest

from words import VOCABULARY

KINDS = ["DistilBertTokenizerFast", "DistilBertTokenizer"]


@pytest.fixture(params=KINDS, ids=["fast", "python"])
def kind(request: pytest.FixtureRequest) -> Any:
    """The class."""
    import distilbert

    return getattr(distilbert, request.param)


@pytest.fixture
def tokenizer(kind: Any) -> Any:
    """An instance that no other test sees."""
    return kind(VOCABULARY)
