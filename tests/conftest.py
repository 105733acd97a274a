"""What every test stands on."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach for a network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tiny models are computed many times faster by one thread than by several that wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).parent))  # `from data import shared`

# What a change must pass is the same every time; by hand, every run tries other examples.
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("new", deadline=None)
settings.load_profile("same" if os.environ.get("CI") else "new")


@pytest.fixture(scope="session")
def tiny_vocab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a small vocabulary with its tokenizer's settings beside it."""
    from tiny import write_vocabulary

    return write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_folder(class_name, **settings)`: a tiny random model in a folder, made once."""
    from tiny import write_model

    made: dict[str, Path] = {}

    def folder(class_name: str, **settings: Any) -> Path:
        key = repr((class_name, sorted(settings.items())))
        if key not in made:
            made[key] = write_model(tmp_path_factory.mktemp("model"), class_name, **settings)
        return made[key]

    return folder


@pytest.fixture
def tiny_pipeline(tiny_folder: Callable[..., Path]) -> Callable[..., Any]:
    """`tiny_pipeline(task, **options)`: a pipeline on a tiny random model."""
    from distilbert import pipeline
    from tiny import CLASSES, LABELS

    def make(task: str, **options: Any) -> Any:
        settings = {"id2label": LABELS} if task == "token-classification" else {}
        return pipeline(task, tiny_folder(CLASSES[task], **settings), **options)

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny models are computed many times faster by one thread than by several that wait."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
