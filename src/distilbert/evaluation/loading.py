"""A trained model for data of one kind: from a checkpoint, or from one and an adapter."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distilbert.adapters import store
from distilbert.adapters.stored import SETUP, StoredHead
from distilbert.data.kinds import KINDS
from distilbert.errors import InputError
from distilbert.files.checkpoint import load_pretrained
from distilbert.files.find import locate
from distilbert.model import for_tasks
from distilbert.model.head_files import checked_fixed
from distilbert.text.fast import DistilBertTokenizerFast

logger = logging.getLogger("distilbert")


def load_trained(
    kind: str, model: str, adapter: str | None = None, **settings: Any
) -> tuple[for_tasks.ForTask, Any]:
    """The model of the class for this kind, in eval mode, and its tokenizer.

    model: A folder, a hub id or a backbone. adapter: A folder or hub id of an adapter, or of a
    setup with a fusion, which is active then; its head is taken where it has one. settings: Those
    of `from_pretrained`.

    Raises InputError if neither holds a head for such data: nothing is answered at random. Other
    errors are those of `from_pretrained` and `load_adapter`.
    """
    model_class = getattr(for_tasks, KINDS[kind].model)
    head = None if adapter is None else _head(adapter)
    if head is not None:
        settings |= {**_labels(head), "ignore_mismatched_sizes": True}
    made, report = load_pretrained(model_class, model, **settings)
    absent = {*report.missing, *(key for key, _, _ in report.mismatched)}
    if adapter is not None:
        if head is not None and checked_fixed(made, head, None) is not None:
            inner = f"{made.base_model_prefix}."
            absent = {key for key in absent if key.startswith(inner)}
        with _without_warning_of_heads():
            if _is_setup(adapter):
                made.load_adapter_setup(adapter, set_active=True)
            else:
                made.load_adapter(adapter, set_active=True)
    if absent:
        holders = f"{model!r} and {adapter!r} hold" if adapter else f"{model!r} holds"
        shown = ", ".join(sorted(absent)[:4]) + (" …" if len(absent) > 4 else "")
        raise InputError(
            f"{holders} no weights for "
            f"{shown}, so {kind} data cannot be judged; give a model that was trained for such "
            "data, or an adapter that has a head for them"
        )
    report.missing.clear()
    report.mismatched.clear()
    report.log()
    return made, DistilBertTokenizerFast.from_pretrained(model)


def _is_setup(adapter: str) -> bool:
    return not adapter.lower().endswith(".zip") and locate(adapter).path(SETUP) is not None


def _head(adapter: str) -> StoredHead | None:
    """The head that lies beside an adapter or a setup."""
    if not _is_setup(adapter):
        return store.read_adapter(adapter).head
    heads = store.read_setup(adapter).heads
    return store.read_head(adapter, subfolder=heads[0]) if heads else None


def _labels(head: StoredHead) -> dict[str, Any]:
    """The settings of a configuration that has as many labels, of the same names."""
    told = head.info if head.config is None else head.config
    if told.get("label2id"):
        return {"id2label": {number: label for label, number in told["label2id"].items()}}
    return {"num_labels": told["num_labels"]} if told.get("num_labels") else {}


@contextmanager
def _without_warning_of_heads() -> Iterator[None]:
    """Without hearing again what `checked_fixed` said of the head."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
