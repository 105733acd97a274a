"""The options that say which data a model is trained or judged on."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distilbert.errors import InputError

if TYPE_CHECKING:
    from distilbert.data.examples import Dataset

DATA = "Data"


class DataKind(str, Enum):
    """What kind of problem a file holds."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    MULTI_LABEL = "multi_label"
    CHOICE = "choice"
    TAGS = "tags"
    SPANS = "spans"
    WORDS = "words"


class DataForm(str, Enum):
    """What a file of data is, where its suffix does not say so."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    JSON = "json"
    PARQUET = "parquet"
    CONLL = "conll"
    TXT = "txt"


TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="NAME",
        help="A published set, such as sst2, squad_v2, wnut17 or emotion; a wrong name lists all.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
KindOption = Annotated[
    DataKind | None,
    typer.Option(
        "--kind",
        help="What kind of problem a file of your own holds.",
        rich_help_panel=DATA,
        show_default="as columns and labels look",
    ),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="COLUMN",
        help="The column of texts; give it twice for pairs.",
        rich_help_panel=DATA,
        show_default="text, or the only other one",
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="The column of what is right.",
        rich_help_panel=DATA,
        show_default="label",
    ),
]
ChoicesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--choices",
        metavar="COLUMN",
        help="The column that lists the choices, or one for each of them.",
        rich_help_panel=DATA,
        show_default="choices",
    ),
]
SeparatorOption = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="What stands between several labels of a text.",
        rich_help_panel=DATA,
    ),
]
WordOption = Annotated[
    int,
    typer.Option(
        "--word",
        metavar="N",
        help="Of files with words in columns: the column of words, from 0.",
        rich_help_panel=DATA,
    ),
]
TagOption = Annotated[
    int,
    typer.Option(
        "--tag",
        metavar="N",
        help="The column of their tags; -1 is the last.",
        rich_help_panel=DATA,
    ),
]
FormOption = Annotated[
    DataForm | None,
    typer.Option(
        "--format",
        help="What the file is, where no suffix says so.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]


def read_own(
    path: Path,
    kind: DataKind | None,
    text: list[str] | None,
    label: str | None,
    choices: list[str] | None,
    *,
    separator: str = ",",
    word: int = 0,
    tag: int = -1,
    form: DataForm | None = None,
    labels: tuple[str, ...] = (),
) -> "Dataset":
    """A file of the user's own, as the options say. Errors are those of `data.load.load`."""
    from distilbert.data.load import load

    if path.is_dir():
        raise InputError(
            f"{str(path)!r} is a folder; give a file, or say with --task which published set it "
            "holds"
        )
    return load(
        path,
        None if kind is None else kind.value,
        text=text,
        label=label,
        choices=choices,
        labels=labels,
        separator=separator,
        word=word,
        tag=tag,
        form=None if form is None else form.value,
    )


def check_no_columns(**given: object) -> None:
    """Raise InputError if any of these options, which are for files of one's own, is given."""
    wrong = [f"--{name}" for name, value in given.items() if value]
    if wrong:
        raise InputError(
            f"--task knows how its files are read; leave {', '.join(wrong)} out, or leave --task "
            "out for a file of your own"
        )
