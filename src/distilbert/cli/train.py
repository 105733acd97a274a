"""`distilbert train`: tune a model, or an adapter of it, for a task or a file of one's own."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from distilbert.cli import data, options
from distilbert.errors import InputError

FULL_RATE, ADAPTER_RATE = 5e-5, 1e-4  # which suit most data; the second is AdapterHub's advice
METHOD, RECIPE, RUN = "What is trained", "Recipe", "The run"


class Schedule(str, Enum):
    """How the learning rate changes."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"
    WSD = "wsd"


def _option(*names: str, help: str, panel: str, default: Any = False, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=default, **more)


def train(
    out: Annotated[
        Path,
        _option(
            "--out",
            "-o",
            metavar="DIR",
            help="The folder of the run: what was trained, run.json, metrics, curves, a card.",
            panel=RUN,
        ),
    ],
    task: data.TaskOption = None,
    path: Annotated[
        Path | None,
        _option("--data", "-d", metavar="PATH", help="The folder of the task.", panel=data.DATA),
    ] = None,
    train_file: Annotated[
        Path | None,
        _option(
            "--train",
            metavar="FILE",
            help="A file of your own: .csv, .tsv, .jsonl, .json, .conll, .txt (these also with "
            ".gz), .parquet.",
            panel=data.DATA,
        ),
    ] = None,
    dev_file: Annotated[
        Path | None,
        _option(
            "--dev",
            metavar="FILE",
            help="A file like it, to evaluate on and keep the best weights by.",
            panel=data.DATA,
        ),
    ] = None,
    kind: data.KindOption = None,
    text: data.TextOption = None,
    label: data.LabelOption = None,
    choices: data.ChoicesOption = None,
    separator: data.SeparatorOption = ",",
    word: data.WordOption = 0,
    tag: data.TagOption = -1,
    form: data.FormOption = None,
    examples: Annotated[
        int | None,
        _option(
            "--examples",
            metavar="N",
            help="Train on the first N examples alone.",
            panel=data.DATA,
            default="all",
            min=1,
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        _option(
            "--max-length",
            metavar="N",
            help="Most tokens of a row.",
            panel=data.DATA,
            default="what the model reads; 384 for questions",
            min=8,
        ),
    ] = None,
    stride: Annotated[
        int,
        _option(
            "--stride",
            metavar="N",
            help="Tokens that windows of a long context share.",
            panel=data.DATA,
            default=True,
            min=0,
        ),
    ] = 128,
    masked: Annotated[
        float,
        _option(
            "--masked",
            metavar="SHARE",
            help="Of plain text, the share of tokens to guess.",
            panel=data.DATA,
            default=True,
        ),
    ] = 0.15,
    model: Annotated[
        str,
        _option(
            "--model",
            "-m",
            metavar="NAME",
            help="A folder, a hub id, or a backbone.",
            panel=METHOD,
            default=True,
        ),
    ] = "minilm",
    full: Annotated[bool, _option("--full", help="Train the whole model.", panel=METHOD)] = False,
    adapter: Annotated[
        str | None,
        _option(
            "--adapter",
            metavar="CONFIG",
            help='Train an adapter and a head: "seq_bn", "double_seq_bn[reduction_factor=8]", '
            '"prefix_tuning|par_bn", …',
            panel=METHOD,
            default="seq_bn, unless --full, --lora or --fuse",
        ),
    ] = None,
    lora: Annotated[
        str | None,
        _option(
            "--lora",
            metavar="SETTINGS",
            help='Train a LoRA: "r=8,alpha=16".',
            panel=METHOD,
        ),
    ] = None,
    fuse: Annotated[
        list[str] | None,
        _option(
            "--fuse",
            metavar="FOLDER",
            help="A trained adapter; of several an AdapterFusion is trained.",
            panel=METHOD,
        ),
    ] = None,
    name: Annotated[
        str | None,
        _option(
            "--name",
            metavar="NAME",
            help="What the adapter is called.",
            panel=METHOD,
            default="the task, or the file's name",
        ),
    ] = None,
    epochs: Annotated[
        float,
        _option(
            "--epochs",
            metavar="N",
            help="How often the data is seen.",
            panel=RECIPE,
            default=True,
        ),
    ] = 3.0,
    steps: Annotated[
        int | None,
        _option("--steps", metavar="N", help="Updates, instead.", panel=RECIPE, min=1),
    ] = None,
    learning_rate: Annotated[
        float | None,
        _option(
            "--learning-rate",
            "--lr",
            metavar="RATE",
            help="The highest.",
            panel=RECIPE,
            default="1e-4 for adapters, 5e-5 for whole models",
        ),
    ] = None,
    schedule: Annotated[
        Schedule,
        _option(
            "--schedule",
            help="How the learning rate changes: falls in a line or along a cosine, stays, or "
            "stays and falls at the end (wsd).",
            panel=RECIPE,
            default=True,
        ),
    ] = Schedule.LINEAR,
    warmup: Annotated[
        float,
        _option(
            "--warmup",
            metavar="N",
            help="Updates in which it rises; below 1 a share of all.",
            panel=RECIPE,
            default=True,
        ),
    ] = 0.06,
    decay: Annotated[
        float,
        _option(
            "--decay",
            metavar="N",
            help="Updates in which wsd falls; below 1 a share of all.",
            panel=RECIPE,
            default=True,
        ),
    ] = 0.1,
    batch_size: Annotated[
        int,
        _option(
            "--batch-size",
            metavar="N",
            help="Examples of an update; 0 for as many as --token-budget holds.",
            panel=RECIPE,
            default=True,
            min=0,
        ),
    ] = 32,
    token_budget: Annotated[
        int,
        _option(
            "--token-budget",
            metavar="N",
            help="Most tokens that go through the model at once; a batch that has more is cut.",
            panel=RECIPE,
            default=True,
            min=1,
        ),
    ] = 8192,
    accumulate: Annotated[
        int,
        _option(
            "--accumulate",
            metavar="N",
            help="Batches of an update.",
            panel=RECIPE,
            default=True,
            min=1,
        ),
    ] = 1,
    weight_decay: Annotated[
        float,
        _option(
            "--weight-decay",
            metavar="RATE",
            help="Of matrices; never of biases and norms.",
            panel=RECIPE,
            default=True,
        ),
    ] = 0.01,
    clip: Annotated[
        float,
        _option(
            "--clip",
            metavar="NORM",
            help="The longest gradient; 0 does not clip.",
            panel=RECIPE,
            default=True,
            min=0,
        ),
    ] = 1.0,
    label_smoothing: Annotated[
        float,
        _option(
            "--label-smoothing",
            metavar="SHARE",
            help="How much of a class is spread over all.",
            panel=RECIPE,
            default=True,
        ),
    ] = 0.0,
    class_weights: Annotated[
        list[str] | None,
        _option(
            "--class-weights",
            metavar="LABEL=WEIGHT",
            help='How much a class counts; or "balanced", so that rare ones count as common ones.',
            panel=RECIPE,
        ),
    ] = None,
    adapter_drop: Annotated[
        int,
        _option(
            "--adapter-drop",
            metavar="N",
            help="Leave out the adapters of up to N first layers, another number in each batch.",
            panel=RECIPE,
            default=True,
            min=0,
        ),
    ] = 0,
    precision: Annotated[
        options.Precision,
        _option(
            "--precision",
            help="What products are rounded to; weights stay float32.",
            panel=RECIPE,
            default=True,
        ),
    ] = options.Precision.FLOAT32,
    gradient_checkpointing: Annotated[
        bool,
        _option(
            "--gradient-checkpointing",
            help="Compute each block again in the backward pass: less memory, more time.",
            panel=RECIPE,
        ),
    ] = False,
    seed: Annotated[
        int,
        _option(
            "--seed",
            metavar="N",
            help="Of new weights, the order of the data, dropout and masks.",
            panel=RECIPE,
            default=True,
            min=0,
        ),
    ] = 42,
    evaluate_every: Annotated[
        int | None,
        _option(
            "--evaluate-every",
            metavar="N",
            help="Updates between evaluations.",
            panel=RUN,
            default="each epoch",
            min=1,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        _option(
            "--metric",
            metavar="NAME",
            help="The score that says which weights are best.",
            panel=RUN,
            default="the task's first",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        _option(
            "--patience",
            metavar="N",
            help="Stop after N evaluations without a better score.",
            panel=RUN,
            min=1,
        ),
    ] = None,
    last: Annotated[
        bool, _option("--last", help="Keep the last weights, not the best.", panel=RUN)
    ] = False,
    checkpoint_every: Annotated[
        int | None,
        _option(
            "--checkpoint-every",
            metavar="N",
            help="Updates between checkpoints.",
            panel=RUN,
            default="each evaluation",
            min=1,
        ),
    ] = None,
    resume: Annotated[
        bool, _option("--resume", help="Go on with the run in --out.", panel=RUN)
    ] = False,
    seeds: Annotated[
        int,
        _option(
            "--seeds",
            metavar="N",
            help="Train with N seeds, each in a folder below --out, and tell the median.",
            panel=RUN,
            default=True,
            min=1,
        ),
    ] = 1,
    sweep: Annotated[
        list[str] | None,
        _option(
            "--sweep",
            metavar="NAME=V,V,…",
            help="Train with each of these values of a setting (learning_rate=1e-4,3e-4); several "
            "times for all combinations. A semicolon separates values that hold commas.",
            panel=RUN,
        ),
    ] = None,
    threads: options.ThreadsOption = None,
    device: options.DeviceOption = "cpu",
) -> None:
    """Tune a model, or an adapter of it, for a task or a file of one's own.

    Example: distilbert train --train reviews.csv --dev held_out.csv --text review --label stars
    --adapter seq_bn --out runs/stars

    Several processes: torchrun --nproc-per-node 4 -m distilbert train …
    """
    given = {name: value for name, value in locals().items() if value not in (None, [])}
    from distilbert.cli.training import Asked, run_all

    method = _method(full=full, adapter=adapter, lora=lora, fuse=fuse)
    if learning_rate is None:
        learning_rate = ADAPTER_RATE if method or fuse else FULL_RATE
    run_all(
        Asked(
            out=out,
            arguments={name: _plain(value) for name, value in given.items()},
            task=task,
            data=path,
            train=train_file,
            dev=dev_file,
            columns={
                "kind": kind,
                "text": text or None,
                "label": label,
                "choices": choices or None,
                "separator": separator,
                "word": word,
                "tag": tag,
                "form": form,
            },
            examples=examples,
            settings={
                "model": model,
                "adapter": method,
                "fuse": tuple(fuse or ()),
                "batch_size": batch_size or None,
                "token_budget": token_budget,
                "max_length": max_length,
                "stride": stride,
                "masked": masked,
                "class_weights": _weights(class_weights or []),
                "label_smoothing": label_smoothing,
                "adapter_drop": adapter_drop,
                "device": device,
            },
            name=name,
            recipe={
                "epochs": epochs,
                "steps": steps,
                "learning_rate": learning_rate,
                "schedule": schedule.value,
                "warmup": warmup,
                "decay": decay,
                "weight_decay": weight_decay,
                "clip": clip or None,
                "accumulate": accumulate,
                "seed": seed,
                "precision": precision.value,
                "gradient_checkpointing": gradient_checkpointing,
                "evaluate_every": evaluate_every,
                "metric": metric,
                "patience": patience,
                "keep_best": not last,
                "checkpoint_every": checkpoint_every,
            },
            resume=resume,
            seeds=seeds,
            sweep=sweep or [],
            threads=threads,
        )
    )


def _method(
    *, full: bool, adapter: str | None, lora: str | None, fuse: list[str] | None
) -> str | None:
    """The configuration of the adapter to train, or None. Raises InputError for several methods."""
    asked = {"--full": full, "--adapter": adapter, "--lora": lora is not None, "--fuse": fuse}
    given = [name for name, value in asked.items() if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} say what is trained; give one of them")
    if full or fuse:
        return None
    return adapter or ("seq_bn" if lora is None else f"lora[{lora}]")


def _weights(given: list[str]) -> str | dict[str, float] | None:
    """Raises InputError for what is neither "balanced" nor LABEL=WEIGHT."""
    if given == ["balanced"]:
        return "balanced"
    found = {}
    for one in given:
        name, _, weight = one.rpartition("=")
        try:
            found[name] = float(weight)
        except ValueError:
            name = ""
        if not name:
            raise InputError(
                f"--class-weights {one!r} is neither LABEL=WEIGHT nor balanced; write one of them"
            )
    return found or None


def _plain(value: Any) -> Any:
    """An argument as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value
