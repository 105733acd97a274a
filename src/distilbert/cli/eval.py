"""`distilbert eval`: how good a model is on a published data set, or on one's own."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distilbert.cli import data, options
from distilbert.cli.scores import show
from distilbert.cli.terminal import is_terminal, note, progress, waiting
from distilbert.errors import InputError

if TYPE_CHECKING:
    from distilbert.data.examples import Dataset
    from distilbert.evaluation.report import Report

HOW = "Evaluation"
Splits = dict[str, "Dataset"]


def evaluate(
    task: data.TaskOption = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            metavar="PATH",
            help="The folder (or file) of the task; or a file of your own: .csv, .tsv, .jsonl, "
            ".json, .conll, .txt (these also with .gz), .parquet.",
            rich_help_panel=data.DATA,
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The part of a task: dev, test, train; of MNLI dev is both of its parts.",
            rich_help_panel=data.DATA,
        ),
    ] = "dev",
    kind: data.KindOption = None,
    text: data.TextOption = None,
    label: data.LabelOption = None,
    choices: data.ChoicesOption = None,
    separator: data.SeparatorOption = ",",
    word: data.WordOption = 0,
    tag: data.TagOption = -1,
    form: data.FormOption = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="What to measure; may be given several times. A wrong name lists all.",
            rich_help_panel=HOW,
            show_default="those of the task, or usual for such data",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=8,
            help="Most tokens of a row.",
            rich_help_panel=HOW,
            show_default="what the model reads; 384 for questions",
        ),
    ] = None,
    stride: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="How many tokens the windows of a long text share.",
            rich_help_panel=HOW,
        ),
    ] = 128,
    outside: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="The label of what is out of scope, which the model need not know.",
            rich_help_panel=HOW,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Below which probability a text is out of scope; of questions, above which lead "
            "no answer is given.",
            rich_help_panel=HOW,
            show_default="the best on these data; 0 of questions",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", help="Decides which words of plain text are masked.", rich_help_panel=HOW
        ),
    ] = 42,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write every prediction to a .jsonl, .csv, .tsv or .parquet file.",
            rich_help_panel=options.OUTPUT,
            show_default=False,
        ),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write those that are wrong to such a file, worst first.",
            rich_help_panel=options.OUTPUT,
            show_default=False,
        ),
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw which labels are taken for which: a .png, .svg or .pdf file.",
            rich_help_panel=options.OUTPUT,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON object for each part of the data, also on a terminal.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    model: options.ModelOption = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A folder or hub id of an adapter for it, or of a fusion of adapters.",
            rich_help_panel=options.MODEL,
            show_default=False,
        ),
    ] = None,
    token_budget: options.BudgetOption = None,
    threads: options.ThreadsOption = None,
    dtype: options.PrecisionOption = options.Precision.FLOAT32,
    device: options.DeviceOption = "cpu",
) -> None:
    """Say how good a model is: the scores of a published task, or of a labelled file.

    Example: distilbert eval --task sst2 --data glue --model sentiment
    """
    if model is None:
        raise InputError("no model was given; name one with --model")
    _check_outputs(out, errors, confusion)
    from distilbert.evaluation.report import check_confusion

    more: dict[str, Any] = {}
    if task is not None:
        data.check_no_columns(
            kind=kind,
            text=text,
            label=label,
            choices=choices,
            separator=separator != ",",
            word=word != 0,
            tag=tag != -1,
            format=form,
        )
        sets, known, more = _of_task(task, path, split)
        metrics = metrics or known
    else:
        if path is None:
            raise InputError("there is nothing to judge: give --data FILE, or --task and --data")
        if split != "dev":
            raise InputError("--split is a part of a --task; a file is read whole")
        own = data.read_own(
            path, kind, text, label, choices, separator=separator, word=word, tag=tag, form=form
        )
        sets = {path.name: own}
    if confusion is not None:
        check_confusion(next(iter(sets.values())).kind)
    if outside is not None:
        more["outside"] = outside
    judge = _judge(
        sets,
        model,
        adapter,
        {
            "metrics": metrics,
            "max_length": max_length,
            "stride": stride,
            "threshold": threshold,
            "seed": seed,
            "token_budget": token_budget,
            **more,
        },
        {"threads": threads, "dtype": dtype, "device": device},
    )
    reports, seconds = {}, {}
    for name, examples in sets.items():
        start = time.perf_counter()
        reports[name] = judge(name, examples)
        seconds[name] = time.perf_counter() - start
    if is_terminal(sys.stdout) and not as_json:
        counts = [f"{len(report.predictions):,}" for report in reports.values()]
        show(
            {name: report.scores for name, report in reports.items()},
            {"examples": counts, "seconds": [f"{taken:,.1f}" for taken in seconds.values()]},
        )
    else:
        about = {"model": model, "adapter": adapter, "task": task, "data": str(path)}
        for name, report in reports.items():
            print(json.dumps(_record(about, name, report, seconds[name]), ensure_ascii=False))
    _write(list(reports.values()), out, errors, confusion)


def _check_outputs(out: Path | None, errors: Path | None, confusion: Path | None) -> None:
    from distilbert.files.records import check_out

    check_out(out)
    check_out(errors, name="--errors")
    if confusion is not None:
        from distilbert.evaluation.confusion import check_picture

        check_picture(confusion, name="--confusion")


def _of_task(name: str, path: Path | None, split: str) -> tuple[Splits, list[str], dict[str, Any]]:
    """The data of a task by split, its metrics, and what else it asks of an evaluation."""
    from distilbert.data.layouts import read
    from distilbert.evaluation.tasks import find_task

    task = find_task(name)
    if path is None:
        raise InputError(f"where are the files of {name}? give their folder with --data")
    with waiting(f"reading {name}"):
        sets = {part: read(task.layout, path, part) for part in task.splits(split)}
    return sets, list(task.metrics), dict(task.options)


def _judge(
    sets: Splits,
    model: str,
    adapter: str | None,
    how: dict[str, Any],
    where: dict[str, Any],
) -> Callable[[str, "Dataset"], "Report"]:
    """What evaluates the model, which is loaded now, on one data set."""
    from distilbert.evaluation.labels import check_scope
    from distilbert.evaluation.metrics import check_metrics, usual_metrics

    first = next(iter(sets.values()))
    check_scope(first.kind, how.get("outside"), how["threshold"])  # before the model is loaded
    usual = usual_metrics(first.kind, first.labels, outside="outside" in how)
    check_metrics(how["metrics"] or usual, first.kind)
    with waiting(f"loading {model}"):
        import torch

        from distilbert.evaluation.evaluate import evaluate as run
        from distilbert.evaluation.loading import load_trained
        from distilbert.zoo import resolve

        if where["threads"]:
            torch.set_num_threads(where["threads"])
        loaded, tokenizer = load_trained(
            first.kind,
            resolve(model),
            None if adapter is None else resolve(adapter),
            dtype=getattr(torch, where["dtype"].value),
            device=where["device"],
        )

    def judge(name: str, examples: "Dataset") -> "Report":
        count = len(examples.examples)
        with progress(f"judging {name}", 1) as move:
            return run(
                loaded,
                tokenizer,
                examples,
                progress=lambda share: move(share, round(share * count)),
                **how,
            )

    return judge


def _record(
    about: dict[str, str | None], name: str, report: "Report", seconds: float
) -> dict[str, Any]:
    told = {key: value for key, value in about.items() if value is not None}
    return {
        **told,
        "split": name,
        "kind": report.kind,
        "examples": len(report.predictions),
        "headline": report.headline,
        "scores": report.scores,
        "seconds": round(seconds, 3),
    }


def _write(
    reports: Sequence["Report"], out: Path | None, errors: Path | None, confusion: Path | None
) -> None:
    """Files of what was said, of all parts of the data together."""
    every = replace(reports[0], predictions=[one for r in reports for one in r.predictions])
    if out is not None:
        every.write(out)
        note(f"wrote {out}")
    if errors is not None:
        every.write(errors, errors=True)
        note(f"wrote {errors}: {len(every.errors()):,} of {len(every.predictions):,}")
    if confusion is not None:
        every.draw_confusion(confusion)
        note(f"wrote {confusion}")
