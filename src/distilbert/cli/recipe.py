"""The options of a recipe of training, which commands that train share."""

from enum import Enum
from typing import Annotated, Any

import typer

from distilbert.cli import options

RECIPE, RUN = "Recipe", "The run"


class Schedule(str, Enum):
    """How the learning rate changes."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"
    WSD = "wsd"


def option(*names: str, help: str, panel: str, default: Any = False, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=default, **more)


EpochsOption = Annotated[
    float,
    option(
        "--epochs",
        metavar="N",
        help="How often the data is seen.",
        panel=RECIPE,
        default=True,
    ),
]
StepsOption = Annotated[
    int | None,
    option("--steps", metavar="N", help="Updates, instead.", panel=RECIPE, min=1),
]
LearningRateOption = Annotated[
    float | None,
    option(
        "--learning-rate",
        "--lr",
        metavar="RATE",
        help="The highest.",
        panel=RECIPE,
        default="1e-4 for adapters, 5e-5 for whole models",
    ),
]
ScheduleOption = Annotated[
    Schedule,
    option(
        "--schedule",
        help="How the learning rate changes: falls in a line or along a cosine, stays, or "
        "stays and falls at the end (wsd).",
        panel=RECIPE,
        default=True,
    ),
]
WarmupOption = Annotated[
    float,
    option(
        "--warmup",
        metavar="N",
        help="Updates in which it rises; below 1 a share of all.",
        panel=RECIPE,
        default=True,
    ),
]
DecayOption = Annotated[
    float,
    option(
        "--decay",
        metavar="N",
        help="Updates in which wsd falls; below 1 a share of all.",
        panel=RECIPE,
        default=True,
    ),
]
BatchSizeOption = Annotated[
    int,
    option(
        "--batch-size",
        metavar="N",
        help="Examples of an update; 0 for as many as --token-budget holds.",
        panel=RECIPE,
        default=True,
        min=0,
    ),
]
TokenBudgetOption = Annotated[
    int,
    option(
        "--token-budget",
        metavar="N",
        help="Most tokens that go through the model at once; a batch that has more is cut.",
        panel=RECIPE,
        default=True,
        min=1,
    ),
]
AccumulateOption = Annotated[
    int,
    option(
        "--accumulate",
        metavar="N",
        help="Batches of an update.",
        panel=RECIPE,
        default=True,
        min=1,
    ),
]
WeightDecayOption = Annotated[
    float,
    option(
        "--weight-decay",
        metavar="RATE",
        help="Of matrices; never of biases and norms.",
        panel=RECIPE,
        default=True,
    ),
]
ClipOption = Annotated[
    float,
    option(
        "--clip",
        metavar="NORM",
        help="The longest gradient; 0 does not clip.",
        panel=RECIPE,
        default=True,
        min=0,
    ),
]
LabelSmoothingOption = Annotated[
    float,
    option(
        "--label-smoothing",
        metavar="SHARE",
        help="How much of a class is spread over all.",
        panel=RECIPE,
        default=True,
    ),
]
ClassWeightsOption = Annotated[
    list[str] | None,
    option(
        "--class-weights",
        metavar="LABEL=WEIGHT",
        help='How much a class counts; or "balanced", so that rare ones count as common ones.',
        panel=RECIPE,
    ),
]
AdapterDropOption = Annotated[
    int,
    option(
        "--adapter-drop",
        metavar="N",
        help="Leave out the adapters of up to N first layers, another number in each batch.",
        panel=RECIPE,
        default=True,
        min=0,
    ),
]
PrecisionOption = Annotated[
    options.Precision,
    option(
        "--precision",
        help="What products are rounded to; weights stay float32.",
        panel=RECIPE,
        default=True,
    ),
]
GradientCheckpointingOption = Annotated[
    bool,
    option(
        "--gradient-checkpointing",
        help="Compute each block again in the backward pass: less memory, more time.",
        panel=RECIPE,
    ),
]
SeedOption = Annotated[
    int,
    option(
        "--seed",
        metavar="N",
        help="Of new weights, the order of the data, dropout and masks.",
        panel=RECIPE,
        default=True,
        min=0,
    ),
]
EvaluateEveryOption = Annotated[
    int | None,
    option(
        "--evaluate-every",
        metavar="N",
        help="Updates between evaluations.",
        panel=RUN,
        default="each epoch",
        min=1,
    ),
]
MetricOption = Annotated[
    str | None,
    option(
        "--metric",
        metavar="NAME",
        help="The score that says which weights are best.",
        panel=RUN,
        default="the task's first",
    ),
]
PatienceOption = Annotated[
    int | None,
    option(
        "--patience",
        metavar="N",
        help="Stop after N evaluations without a better score.",
        panel=RUN,
        min=1,
    ),
]
LastOption = Annotated[
    bool, option("--last", help="Keep the last weights, not the best.", panel=RUN)
]
CheckpointEveryOption = Annotated[
    int | None,
    option(
        "--checkpoint-every",
        metavar="N",
        help="Updates between checkpoints.",
        panel=RUN,
        default="each evaluation",
        min=1,
    ),
]
