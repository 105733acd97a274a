"""A run of tuning in a folder: what it leaves there, besides the weights, for people and tools."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from typing import Any

from distilbert import processes
from distilbert.errors import InputError
from distilbert.training import curves, record, tensorboard
from distilbert.training.card import write_card
from distilbert.training.events import Begin, Event, Observer
from distilbert.training.metrics_file import METRICS, MetricsFile
from distilbert.training.tuning import CHECKPOINTS, Run, Tuned, Tuning

EVENTS = "tensorboard"


def finished(folder: Path) -> dict[str, Any] | None:
    """The scores of a run that is over; None where there is none, or it was broken off."""
    found = record.read(folder) if (folder / record.NAME).is_file() else {}
    if "scores" in found:
        rmtree(folder / CHECKPOINTS, ignore_errors=True)  # left by one killed just before its end
    return found.get("scores")


def check(folder: Path, *, resume: bool) -> None:
    """Raises InputError if the folder holds something, and no run is to go on there."""
    if processes.number():
        return  # the first process, which may have begun to write, looks
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            f"{str(folder)!r} is not empty; give another folder, or go on with the run in it "
            "(--resume, resume=True)"
        )


def tune(
    tuning: Tuning,
    folder: str | Path,
    *,
    arguments: Mapping[str, Any] | None = None,
    task: str | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
) -> Tuned:
    """Tunes a model, and leaves in `folder` what can be loaded and all that says how it was made.

    The weights (a model and its tokenizer, an adapter with its head, or a fusion), `run.json`
    (everything needed to repeat the run), `metrics.jsonl`, a model card `README.md`, and, where
    matplotlib and TensorBoard are installed, `curves.png` and events. Checkpoints lie there until
    the end.

    Args:
        tuning: What is tuned, on what, and how.
        folder: Where; new, or empty, unless `resume`.
        arguments: What the user asked for, to be kept in `run.json`.
        task: What the data are called, in the card.
        resume: Go on with a run that was broken off in this folder.
        observers: Others who watch the run.

    Raises the errors of `Run` and `fit`, and InputError if the folder holds something else.
    """
    folder = Path(folder)
    check(folder, resume=resume)
    run = Run(tuning)
    if processes.number():
        return run.run(folder, resume=resume)
    made = record.run_record(
        arguments=arguments or {},
        model=(tuning.model, run.model),
        tokenizer=run.tokenizer,
        datasets={"train": tuning.train, **tuning.dev},
        recipe=run.recipe,
        batches=run.batches,
        objective=run.objective,
    )

    def write(event: Event) -> None:  # not before the run begins: it may be refused
        if isinstance(event, Begin):
            record.write(folder, made)

    with ExitStack() as open_:
        watching: list[Observer] = [write, MetricsFile(folder / METRICS)]
        if tensorboard.available():
            watching.append(open_.enter_context(tensorboard.TensorBoard(folder / EVENTS)))
        tuned = run.run(folder, resume=resume, observers=[*watching, *observers])
    run.save(folder)
    if curves.available():
        curves.draw(folder / METRICS, folder / curves.CURVES)
    whole = record.finished(folder, tuned.end, tuned.scores)
    write_card(
        folder,
        kind=tuning.train.kind,
        task=task,
        labels=tuning.train.labels,
        base=tuning.model,
        adapter=tuning.name if tuning.adapter is not None or tuning.fuse else None,
        scores=tuned.scores,
        record=whole,
    )
    record.write(folder, whole)  # last: with its scores a run is finished
    rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return tuned
