"""The options that commands share, each declared once."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from distilbert.errors import InputError

INPUT, OUTPUT, MODEL = "Input", "Output", "Model"
MOST_THREADS = 512  # the runtime behind PyTorch crashes where it gets no memory for them


class FileKind(str, Enum):
    """What a file of texts is, where its suffix does not say so."""

    TXT = "txt"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Precision(str, Enum):
    """What numbers the weights are."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Long(str, Enum):
    """What happens to a text that is longer than the model reads."""

    CUT = "cut"
    ERROR = "error"


def _not_a_file(name: str | None) -> str | None:
    if name is not None and Path(name).is_file():
        raise InputError(
            f"--model {name!r} is a file; give the folder that holds it, a hub id, or a backbone "
            "(minilm)"
        )
    return name


TextArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        help="Texts, each in quotes. Without any, the files of --in, else lines of standard input.",
        show_default=False,
    ),
]
InOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--in",
        "-i",
        metavar="FILE",
        help="A file of texts: .txt (one a line), .csv, .tsv, .jsonl (these also with .gz) or "
        ".parquet; - is standard input. May be given several times.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        "--column",
        "-c",
        metavar="NAME",
        help="The column that holds the text.",
        rich_help_panel=INPUT,
        show_default="text, or the only one",
    ),
]
FormatOption = Annotated[
    FileKind | None,
    typer.Option(
        "--format",
        help="What the input is, where no suffix says so.",
        rich_help_panel=INPUT,
        show_default=False,
    ),
]


def _out(suffixes: str) -> Any:
    return typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help=f"Write the answers to a {suffixes} file. Without it: a table on a terminal, JSON "
        "lines down a pipe.",
        rich_help_panel=OUTPUT,
        show_default=False,
    )


OutOption = Annotated[Path | None, _out(".jsonl, .csv, .tsv or .parquet")]
VectorsOutOption = Annotated[Path | None, _out(".npy, .jsonl, .csv, .tsv or .parquet")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        callback=_not_a_file,
        help="A folder or hub id of a model with a head trained for this task, or a name that "
        "`distilbert zoo` lists.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
EncoderOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        callback=_not_a_file,
        help="A folder, a hub id, or a backbone.",
        rich_help_panel=MODEL,
    ),
]
BudgetOption = Annotated[
    int | None,
    typer.Option(
        "--token-budget",
        metavar="N",
        min=1,
        help="Most tokens that go through the model at once; less takes less memory.",
        rich_help_panel=MODEL,
        show_default="the session's",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        max=MOST_THREADS,
        help="Threads to compute with.",
        rich_help_panel=MODEL,
        show_default="what PyTorch finds",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--dtype", help="The numbers to compute with.", rich_help_panel=MODEL),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where to compute: cpu, cuda, mps.",
        rich_help_panel=MODEL,
    ),
]
LongOption = Annotated[
    Long,
    typer.Option(
        "--long",
        help="What to do with a text longer than the model reads: cut it and say so in the end, or "
        "stop with an error.",
        rich_help_panel=INPUT,
    ),
]


def load_pipeline(
    task: str,
    model: str | None,
    *,
    token_budget: int | None,
    threads: int | None,
    dtype: Precision,
    device: str,
    **options: Any,
) -> Any:
    """The pipeline for a task, its model loaded as the shared options say."""
    from distilbert.cli.terminal import waiting

    with waiting(f"loading {model}" if model else "loading"):
        import torch

        from distilbert.pipelines import pipeline

        if threads:
            torch.set_num_threads(threads)
        return pipeline(
            task,
            model,
            dtype=getattr(torch, dtype.value),
            device=device,
            token_budget=token_budget,
            **options,
        )
