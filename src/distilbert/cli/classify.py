"""`distilbert classify`: a label for every text, or pair of texts."""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Annotated

import typer

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.cli.stream import LongTexts, stream
from distilbert.cli.tables import Column
from distilbert.cli.texts import TEXT, Row, Texts
from distilbert.files.records import Field, Form, Record, check_out

SECOND = Column("text_pair", "--pair-column")


class Scores(str, Enum):
    """What makes scores of the model's logits."""

    DEFAULT = "default"
    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    NONE = "none"


def classify(
    texts: options.TextArguments = None,
    files: options.InOption = None,
    column: options.ColumnOption = None,
    pair_column: Annotated[
        str | None,
        typer.Option(
            "--pair-column",
            metavar="NAME",
            help="The column of second texts, for models that judge pairs.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    form: options.FormatOption = None,
    long: options.LongOption = options.Long.CUT,
    top: Annotated[
        int,
        typer.Option(
            "--top", "-n", metavar="N", min=1, help="How many labels to show, best first."
        ),
    ] = 1,
    scores: Annotated[
        Scores,
        typer.Option(help="What makes scores of logits; by default what the model's problem asks."),
    ] = Scores.DEFAULT,
    out: options.OutOption = None,
    model: options.ModelOption = None,
    token_budget: options.BudgetOption = None,
    threads: options.ThreadsOption = None,
    dtype: options.PrecisionOption = options.Precision.FLOAT32,
    device: options.DeviceOption = "cpu",
) -> None:
    """Give every text the label that a classifier finds most probable.

    Without a model: whether a sentence is negative or positive.

    Example: distilbert classify "A joy to watch."
    """
    columns = [TEXT.named(column)]
    if pair_column:
        columns.append(SECOND.named(pair_column))
    read = Texts(texts, files, columns=columns, form=form)
    check_out(out)
    pipe = options.load_pipeline(
        "text-classification",
        model,
        token_budget=token_budget,
        threads=threads,
        dtype=dtype,
        device=device,
        function_to_apply=scores.value,
    )
    too_long = LongTexts(long, pipe.limit)

    def answer(rows: list[Row], advance: Callable[[int], None]) -> Iterator[Record]:
        inputs = [dict(zip(("text", "text_pair"), row.values, strict=False)) for row in rows]
        found = pipe.run(inputs, progress=advance, top_k=top, **too_long.options(rows))
        for one, labels in zip(inputs, found, strict=True):
            yield {**one, **labels[0]} if top == 1 else {**one, "labels": labels}

    with answers_to(out, _form(len(columns), top)) as sink:
        stream(read, answer, sink, title="classifying")
    too_long.report()


def _form(texts: int, top: int) -> Form:
    names = ("text", "text_pair")[:texts]
    fields = (*(Field(name) for name in names), Field("label"), Field("score", "number"))
    return Form(fields, many=None if top == 1 else "labels")
