"""`pipeline(task, model=…)`: finds the model and its tokenizer, and makes the task's pipeline."""

import os
from typing import Any

from distilbert.errors import InputError
from distilbert.files.find import HUB_OPTIONS
from distilbert.pipelines.base import Pipeline
from distilbert.pipelines.tasks import Task, check_head, find_task, remedy, task_of_class
from distilbert.zoo import ZOO, default, resolve

Name = str | os.PathLike[str]


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    *,
    device: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    use_fast: bool = True,
    token_budget: int | None = None,
    model_kwargs: dict[str, Any] | None = None,
    **options: Any,
) -> Pipeline[Any]:
    """A pipeline: texts in, answers out.

    task: "feature-extraction", "sentence-embedding", "sentence-similarity", "text-classification"
        (or "sentiment-analysis"), "token-classification" (or "ner"), "question-answering" or
        "fill-mask". Without it, the task that the model's own class is for. Or the name of an
        adapter that comes with the package, such as "sentiment"; `distilbert zoo` lists them.
    model: a folder, a hub id, the name of a backbone, the name, folder or hub id of an adapter with
        its head, or a loaded model (then give its tokenizer too). Where nothing is given, the
        embedding tasks take "minilm", and others an adapter that comes with the package.
    config, tokenizer: other ones than the model's own, loaded or by name.
    device, dtype (or torch_dtype): where the weights go, and as what.
    use_fast: False takes the tokenizer in Python.
    token_budget: how many tokens go through the model at once.
    model_kwargs: anything else for the model's `from_pretrained`.
    options: those of the hub (revision, token, cache_dir, …), and those of the task's pipeline.
        Options of other libraries that ask for nothing here (framework="pt", num_workers=0, …) are
        taken, and without effect.

    Raises InputError where the checkpoint has no weights for the task's head: it is never answered
    at random. Other errors are those of `from_pretrained`.

    >>> from distilbert import pipeline
    >>> embed = pipeline("sentence-embedding")
    >>> embed(["A cat sleeps.", "A kitten naps."]).shape
    (2, 384)
    """
    where = _device(device)
    hub = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
    if task is None and model is None:
        raise InputError("pipeline() needs a task, a model, or both")
    shipped = ZOO.get(task) if isinstance(task, str) else None
    if shipped is not None:
        task = shipped.task
        model = str(shipped.folder) if model is None else model
    if isinstance(model, str | os.PathLike):
        model = resolve(model)
    row = _task_of(model, hub) if task is None else find_task(task)
    if model is None:
        model = row.default or default(row.name)
    if model is None:
        raise InputError(f"{row.name} needs a model, and none was given; {remedy(row)}")
    base = _named(model, hub).model if isinstance(model, str | os.PathLike) else model
    if tokenizer is None and not isinstance(model, str | os.PathLike):
        raise InputError(
            f"a loaded {type(model).__name__} does not say which tokenizer it belongs to; "
            "pass tokenizer= as well: a tokenizer, or the name it is loaded from"
        )
    tokenizer = _load_tokenizer(base if tokenizer is None else tokenizer, use_fast, hub)
    if isinstance(model, str | os.PathLike):
        settings = {
            **hub,
            **(model_kwargs or {}),
            **_given(config=config, dtype=dtype, torch_dtype=torch_dtype, device=where),
        }
        model = load_model(row, model, **settings)
    elif device is not None or dtype is not None or torch_dtype is not None:
        given = next(value for value in (torch_dtype, dtype, device) if value is not None)
        raise InputError(
            "device and dtype are for a model given by name; move the loaded one: "
            f"model.to({given!r})"
        )
    made: Pipeline[Any] = row.pipeline_class()(
        model, tokenizer, token_budget=token_budget, **options
    )
    return made


def load_model(task: Task, name: Name, **settings: Any) -> Any:
    """The task's model, every weight from files. Raises InputError if some are absent.

    name: Of a model, or of an adapter, which says what it was trained on, and is active then.
    """
    from distilbert.evaluation.loading import load_adapted

    where = {option: settings[option] for option in HUB_OPTIONS if option in settings}
    named = _named(name, where)
    model, report = load_adapted(task.model_class(), named.model, named.adapter, **settings)
    check_head(task, str(name), [*report.missing, *(key for key, _, _ in report.mismatched)])
    report.log()
    return model


def _load_tokenizer(tokenizer: Any, use_fast: bool, hub: dict[str, Any]) -> Any:
    if not isinstance(tokenizer, str | os.PathLike):
        if not callable(tokenizer) or not hasattr(tokenizer, "model_max_length"):
            raise InputError(
                f"tokenizer is {tokenizer!r:.60}; allowed: a tokenizer, such as a "
                "DistilBertTokenizerFast, or the folder or hub id that it is loaded from"
            )
        return tokenizer
    if use_fast:
        from distilbert.text.fast import DistilBertTokenizerFast

        return DistilBertTokenizerFast.from_pretrained(tokenizer, **hub)
    from distilbert.text.tokenizer import DistilBertTokenizer

    return DistilBertTokenizer.from_pretrained(tokenizer, **hub)


def _task_of(model: Any, hub: dict[str, Any]) -> Task:
    """The task of the model's own class. Raises InputError where its files do not name one."""
    if isinstance(model, str | os.PathLike):
        from distilbert.config import DistilBertConfig

        named = _named(model, hub)
        config = DistilBertConfig.from_pretrained(named.model, **hub)
        names = [named.model_class] if named.adapter else list(config.architectures or [])
    else:
        names = [type(model).__name__]
    for name in names:
        task = task_of_class(name)
        if task is not None:
            return task
    raise InputError(
        f"{str(model)!r} does not say what it is for (its architectures: {names}); name a task: "
        "pipeline(task, model=…)"
    )


def _named(name: Name, hub: dict[str, Any]) -> Any:
    from distilbert.evaluation.loading import apart

    return apart(name, **hub)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _device(device: Any) -> Any:
    """The device that users write as a name, a torch.device, a number of a GPU, or -1 for the CPU.

    Raises InputError for one that this machine, or this PyTorch, does not have.
    """
    if device is None:
        return None
    import torch

    if isinstance(device, int) and not isinstance(device, bool):
        device = "cpu" if device < 0 else f"cuda:{device}"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot compute on the device {str(device)!r}: {reason}; give 'cpu', or a device that "
            "this machine has"
        ) from error
