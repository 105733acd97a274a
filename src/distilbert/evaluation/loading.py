"""A trained model for data of one kind: from a checkpoint, or from one and an adapter."""

import os
from typing import Any, NamedTuple

from distilbert.adapters import store
from distilbert.adapters.stored import ADAPTER, SETUP, StoredHead
from distilbert.data.kinds import KINDS
from distilbert.errors import InputError
from distilbert.files.checkpoint import load_pretrained
from distilbert.files.find import locate
from distilbert.files.report import LoadReport, unsaid
from distilbert.model import for_tasks
from distilbert.model.head_files import checked_fixed
from distilbert.text.fast import DistilBertTokenizerFast


def load_trained(
    kind: str, model: str, adapter: str | None = None, **settings: Any
) -> tuple[for_tasks.ForTask, Any]:
    """The model of the class for this kind, in eval mode, and its tokenizer.

    model: A folder, a hub id or a backbone; without `adapter` also that of an adapter, which says
    what it was trained on. adapter: A folder or hub id of an adapter, or of a setup with a fusion,
    which is active then; its head is taken where it has one. settings: Those of `from_pretrained`.

    Raises InputError if neither holds a head for such data: nothing is answered at random. Other
    errors are those of `from_pretrained` and `load_adapter`.
    """
    if adapter is None:
        model, adapter, _ = apart(model)
    made, report = load_adapted(getattr(for_tasks, KINDS[kind].model), model, adapter, **settings)
    absent = sorted({*report.missing, *(key for key, _, _ in report.mismatched)})
    if absent:
        holders = f"{model!r} and {adapter!r} hold" if adapter else f"{model!r} holds"
        shown = ", ".join(absent[:4]) + (" …" if len(absent) > 4 else "")
        raise InputError(
            f"{holders} no weights for "
            f"{shown}, so {kind} data cannot be judged; give a model that was trained for such "
            "data, or an adapter that has a head for them"
        )
    report.log()
    return made, DistilBertTokenizerFast.from_pretrained(model)


class Named(NamedTuple):
    """What a name means: a model, or an adapter and the model it was trained on.

    model_class: The class that the adapter was saved from; "" without one.
    """

    model: str
    adapter: str | None = None
    model_class: str = ""


def apart(name: str | os.PathLike[str], **where: Any) -> Named:
    """The model that a name means, and the adapter of it, if the name is that of an adapter.

    where: Options of the hub. Raises InputError for an adapter that does not say what it was
    trained on.
    """
    name = os.fspath(name)
    source = locate(name, **where)
    if source.path("config.json") is not None:
        return Named(name)
    if source.path(SETUP) is not None:
        first = store.read_setup(name, **where).adapters[0]
        base = store.read_adapter(name, subfolder=first, with_head=False, **where).info
    elif source.path(ADAPTER[0]) is not None:
        base = store.read_adapter(name, with_head=False, **where).info
    else:
        return Named(name)
    if not base.get("model_name"):
        raise InputError(
            f"{name!r} is an adapter that does not say of which model; load that model, then "
            "load_adapter into it"
        )
    return Named(base["model_name"], name, str(base.get("model_class") or ""))


def load_adapted(
    model_class: Any, model: str, adapter: str | None, **settings: Any
) -> tuple[Any, LoadReport]:
    """A model with an adapter that is active, and a report that tells the weights of neither."""
    head = None if adapter is None else _head(adapter)
    if head is not None:
        settings |= {**_labels(head), "ignore_mismatched_sizes": True}
    made, report = load_pretrained(model_class, model, **settings)
    if adapter is None:
        return made, report
    if head is not None and checked_fixed(made, head, None) is not None:
        inner = f"{made.base_model_prefix}."
        report.missing[:] = [key for key in report.missing if key.startswith(inner)]
        report.mismatched[:] = [row for row in report.mismatched if row[0].startswith(inner)]
    with unsaid():  # what `checked_fixed` has said of the head
        if _is_setup(adapter):
            made.load_adapter_setup(adapter, set_active=True)
        else:
            made.load_adapter(adapter, set_active=True)
    return made, report


def _is_setup(adapter: str) -> bool:
    return not adapter.lower().endswith(".zip") and locate(adapter).path(SETUP) is not None


def _head(adapter: str) -> StoredHead | None:
    """The head that lies beside an adapter or a setup."""
    if not _is_setup(adapter):
        return store.read_adapter(adapter).head
    heads = store.read_setup(adapter).heads
    return store.read_head(adapter, subfolder=heads[0]) if heads else None


def _labels(head: StoredHead) -> dict[str, Any]:
    """The settings of a configuration that has as many labels, of the same names.

    A head of one label was trained on numbers, and answers with them.
    """
    told = head.info if head.config is None else head.config
    names: dict[str, int] = told.get("label2id") or {}
    count = len(names) or told.get("num_labels")
    found: dict[str, Any] = {"problem_type": "regression"} if count == 1 else {}
    if names:
        return {**found, "id2label": {number: label for label, number in names.items()}}
    return {**found, "num_labels": count} if count else found
