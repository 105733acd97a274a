"""`distilbert train`: tune a model, or an adapter of it, for a task or a file of one's own."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from distilbert.cli import data, options, recipe
from distilbert.cli.recipe import option
from distilbert.errors import InputError

FULL_RATE, ADAPTER_RATE = 5e-5, 1e-4  # which suit most data; the second is AdapterHub's advice
METHOD = "What is trained"


def train(
    out: Annotated[
        Path,
        option(
            "--out",
            "-o",
            metavar="DIR",
            help="The folder of the run: what was trained, run.json, metrics, curves, a card.",
            panel=recipe.RUN,
        ),
    ],
    task: data.TaskOption = None,
    path: Annotated[
        Path | None,
        option("--data", "-d", metavar="PATH", help="The folder of the task.", panel=data.DATA),
    ] = None,
    train_file: Annotated[
        Path | None,
        option(
            "--train",
            metavar="FILE",
            help="A file of your own: .csv, .tsv, .jsonl, .json, .conll, .txt (these also with "
            ".gz), .parquet.",
            panel=data.DATA,
        ),
    ] = None,
    dev_file: Annotated[
        Path | None,
        option(
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
    hold_out: Annotated[
        float,
        option(
            "--hold-out",
            metavar="SHARE",
            help="Where there are no dev data: keep this share of the training data for that.",
            panel=data.DATA,
            default=True,
            min=0,
            max=0.9,
        ),
    ] = 0.0,
    examples: Annotated[
        int | None,
        option(
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
        option(
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
        option(
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
        option(
            "--masked",
            metavar="SHARE",
            help="Of plain text, the share of tokens to guess.",
            panel=data.DATA,
            default=True,
        ),
    ] = 0.15,
    model: Annotated[
        str,
        option(
            "--model",
            "-m",
            metavar="NAME",
            help="A folder, a hub id, or a backbone.",
            panel=METHOD,
            default=True,
        ),
    ] = "minilm",
    full: Annotated[bool, option("--full", help="Train the whole model.", panel=METHOD)] = False,
    adapter: Annotated[
        str | None,
        option(
            "--adapter",
            metavar="CONFIG",
            help='Train an adapter and a head: "seq_bn", "double_seq_bn\\[reduction_factor=8]", '
            '"prefix_tuning|par_bn", …',
            panel=METHOD,
            default="seq_bn, unless --full, --lora or --fuse",
        ),
    ] = None,
    lora: Annotated[
        str | None,
        option(
            "--lora",
            metavar="SETTINGS",
            help='Train a LoRA: "r=8,alpha=16".',
            panel=METHOD,
        ),
    ] = None,
    fuse: Annotated[
        list[str] | None,
        option(
            "--fuse",
            metavar="FOLDER",
            help="A trained adapter; of several an AdapterFusion is trained.",
            panel=METHOD,
        ),
    ] = None,
    name: Annotated[
        str | None,
        option(
            "--name",
            metavar="NAME",
            help="What the adapter is called.",
            panel=METHOD,
            default="the task, or the folder of the run",
        ),
    ] = None,
    epochs: recipe.EpochsOption = 3.0,
    steps: recipe.StepsOption = None,
    learning_rate: recipe.LearningRateOption = None,
    schedule: recipe.ScheduleOption = recipe.Schedule.LINEAR,
    warmup: recipe.WarmupOption = 0.06,
    decay: recipe.DecayOption = 0.1,
    batch_size: recipe.BatchSizeOption = 32,
    token_budget: recipe.TokenBudgetOption = 8192,
    accumulate: recipe.AccumulateOption = 1,
    weight_decay: recipe.WeightDecayOption = 0.01,
    clip: recipe.ClipOption = 1.0,
    label_smoothing: recipe.LabelSmoothingOption = 0.0,
    class_weights: recipe.ClassWeightsOption = None,
    adapter_drop: recipe.AdapterDropOption = 0,
    precision: recipe.PrecisionOption = options.Precision.FLOAT32,
    gradient_checkpointing: recipe.GradientCheckpointingOption = False,
    seed: recipe.SeedOption = 42,
    evaluate_every: recipe.EvaluateEveryOption = None,
    metric: recipe.MetricOption = None,
    patience: recipe.PatienceOption = None,
    last: recipe.LastOption = False,
    checkpoint_every: recipe.CheckpointEveryOption = None,
    resume: Annotated[
        bool, option("--resume", help="Go on with the run in --out.", panel=recipe.RUN)
    ] = False,
    seeds: Annotated[
        int,
        option(
            "--seeds",
            metavar="N",
            help="Train with N seeds, each in a folder below --out, and tell the median.",
            panel=recipe.RUN,
            default=True,
            min=1,
        ),
    ] = 1,
    sweep: Annotated[
        list[str] | None,
        option(
            "--sweep",
            metavar="NAME=V,V,…",
            help="Train with each of these values of a setting (learning_rate=1e-4,3e-4); several "
            "times for all combinations. A semicolon separates values that hold commas.",
            panel=recipe.RUN,
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

    if name is not None and full:
        raise InputError("--name is that of an adapter, and --full trains the whole model")
    if full and any(one.startswith("adapter=") for one in sweep or ()):
        raise InputError("--full trains the whole model, and --sweep adapter=… adapters; give one")
    method = _method(full=full, adapter=adapter, lora=lora, fuse=fuse)
    if learning_rate is None:
        learning_rate = ADAPTER_RATE if method or fuse else FULL_RATE
    run_all(
        Asked(
            out=out,
            arguments={
                "command": ["distilbert", *sys.argv[1:]],
                **{name: _plain(value) for name, value in given.items()},
            },
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
            hold_out=hold_out,
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
