"""What `distilbert train` does with what it was asked for: one run, or several."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distilbert.cli.data import DataKind, check_no_columns, read_own
from distilbert.cli.scores import show
from distilbert.cli.terminal import is_terminal, note, waiting
from distilbert.data.examples import Dataset
from distilbert.errors import AdapterError, InputError
from distilbert.training.sweep import Row, Variant
from distilbert.training.tuning import Tuning


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command was asked for. columns: For `read_own`. settings: Of `Tuning`.

    recipe: Of `Recipe`. arguments: All of it, as the user wrote it.
    """

    out: Path
    arguments: Mapping[str, Any]
    task: str | None
    data: Path | None
    train: Path | None
    dev: Path | None
    columns: Mapping[str, Any]
    hold_out: float
    examples: int | None
    settings: Mapping[str, Any]
    name: str | None
    recipe: Mapping[str, Any]
    resume: bool
    seeds: int
    sweep: Sequence[str]
    threads: int | None


def run_all(asked: Asked) -> None:
    """Runs what was asked for, in every process that `torchrun` started, and tells the scores."""
    _check(asked)
    with waiting("reading"):
        from distilbert import processes
        from distilbert.training import folder, sweep

        swept = sweep.settings(asked.sweep)
        tuning = _tuning(asked)
        variants = [Variant({}, tuning)]
        if swept or asked.seeds > 1:
            variants = [*sweep.variants(tuning, swept, asked.seeds)]
    with processes.joined(tuning.device):
        for variant in variants:
            folder.check(asked.out / variant.name, resume=asked.resume)
        found = []
        for number, variant in enumerate(variants, 1):
            if variant.settings:
                note(f"run {number} of {len(variants)}: {variant.name}")
            found.append((variant, _run(asked, variant.tuning, asked.out / variant.name)))
        if processes.number():
            return
    if not variants[0].settings:
        _tell(found[0][1], asked.out)
        return
    rows = sweep.table(found)
    _write_sweep(asked.out, found, rows)
    _tell_sweep(rows, asked.out)


def _check(asked: Asked) -> None:
    """Raises InputError unless exactly one thing is to be trained on."""
    if (asked.task is None) == (asked.train is None):
        raise InputError(
            "say what to train on: --task NAME with --data DIR, or --train FILE (and --dev FILE)"
        )
    if asked.task is None:
        if asked.data is not None:
            raise InputError("--data is for --task; a file of your own is --train")
        return
    columns = asked.columns
    check_no_columns(
        dev=asked.dev,
        **{name: columns[name] for name in ("kind", "text", "label", "choices")},
        separator=columns["separator"] != ",",
        word=columns["word"] != 0,
        tag=columns["tag"] != -1,
        format=columns["form"],
    )
    if asked.data is None:
        raise InputError(f"where are the files of {asked.task}? give their folder with --data")


def _tuning(asked: Asked) -> Tuning:
    from distilbert.data.examples import hold_out
    from distilbert.training.recipe import Recipe

    train, dev, more = _task(asked) if asked.task else _files(asked)
    if asked.hold_out:
        if dev:
            raise InputError(f"--hold-out is for data without a dev part; here is {', '.join(dev)}")
        train, held = hold_out(train, asked.hold_out, seed=asked.recipe["seed"])
        dev = {"held_out": held}
    if asked.examples is not None:
        train = replace(train, examples=train.examples[: asked.examples])
    named = asked.name or asked.task or _name(asked.out)
    return Tuning(
        train=train,
        dev=dev,
        recipe=Recipe(**asked.recipe),
        name=named,
        **more,
        **asked.settings,
    )


def _task(asked: Asked) -> tuple[Dataset, dict[str, Dataset], dict[str, Any]]:
    from distilbert.data.layouts import read, splits
    from distilbert.evaluation.tasks import find_task

    task = find_task(asked.task or "")
    assert asked.data is not None
    train = read(task.layout, asked.data, "train")
    there = splits(task.layout, asked.data) if asked.data.is_dir() else ()
    dev = {
        split: read(task.layout, asked.data, split, labels=train.labels)
        for split in task.splits("dev")
        if split in there
    }
    return train, dev, {"metrics": task.metrics, "evaluation": task.options}


def _files(asked: Asked) -> tuple[Dataset, dict[str, Dataset], dict[str, Any]]:
    assert asked.train is not None
    train = read_own(asked.train, **asked.columns)
    if asked.dev is None:
        return train, {}, {}
    columns = {**asked.columns, "kind": DataKind(train.kind)}
    return train, {"dev": read_own(asked.dev, **columns, labels=train.labels)}, {}


def _name(out: Path) -> str:
    """That of the run's folder, as far as an adapter can have it."""
    from distilbert.adapters.naming import check_name

    name = out.resolve().name.replace(".", "-")
    try:
        return check_name(name)
    except AdapterError:
        return "adapter"


def _run(asked: Asked, tuning: Tuning, out: Path) -> dict[str, float]:
    """One run in its folder, or the scores of one that is over."""
    import torch

    from distilbert import processes
    from distilbert.cli.progress import Progress
    from distilbert.training import folder

    if asked.resume and (scores := folder.finished(out)) is not None:
        note(f"the run in {out} is finished")
        return scores
    if asked.threads:
        torch.set_num_threads(asked.threads)
    watching = Progress() if processes.number() == 0 else nullcontext()
    with watching as progress:
        tuned = folder.tune(
            tuning,
            out,
            arguments=asked.arguments,
            task=asked.task,
            resume=asked.resume,
            observers=[] if progress is None else [progress],
        )
    return tuned.scores


def _write_sweep(out: Path, found: Sequence[tuple[Variant, Any]], rows: Sequence[Row]) -> None:
    from distilbert.files.atomic import write_text

    said = {
        "runs": [{"folder": v.name, "settings": v.settings, "scores": s} for v, s in found],
        "medians": [
            {"settings": row.settings, "scores": {name: row.median(name) for name in row.scores}}
            for row in rows
        ],
    }
    write_text(out / "sweep.json", json.dumps(said, indent=2) + "\n")


def _tell(scores: Mapping[str, float], out: Path) -> None:
    """The scores of one run: a table for people, JSON down a pipe."""
    if is_terminal(sys.stdout):
        show({"best": scores} if scores else {})
        note(f"in {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    else:
        print(json.dumps({"folder": str(out), "scores": scores}))


def _tell_sweep(rows: Sequence[Row], out: Path) -> None:
    """The scores of a sweep: of each combination the medians, and how far runs are apart."""
    if not is_terminal(sys.stdout):
        for row in rows:
            medians = {name: row.median(name) for name in row.scores}
            print(json.dumps({"settings": row.settings, "median": medians, "scores": row.scores}))
        return
    for row in rows:
        named = ", ".join(f"{name}={value}" for name, value in row.settings.items())
        columns = {
            "median": {name: row.median(name) for name in row.scores},
            "lowest": {name: min(values) for name, values in row.scores.items()},
            "highest": {name: max(values) for name, values in row.scores.items()},
        }
        show(columns, title=named)
    note(f"in {out}: a folder for each run, and sweep.json")
