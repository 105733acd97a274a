"""`distilbert fill`: words for the masks of a text."""

from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.cli.stream import LongTexts, stream
from distilbert.cli.texts import TEXT, Row, Texts
from distilbert.files.records import Field, Form, Record, check_out

FORM = Form(
    (
        Field("sequence"),
        Field("mask", "integer"),
        Field("token_str"),
        Field("token", "integer"),
        Field("score", "number"),
    ),
    many="fills",
)


def fill(
    texts: options.TextArguments = None,
    files: options.InOption = None,
    column: options.ColumnOption = None,
    form: options.FormatOption = None,
    long: options.LongOption = options.Long.CUT,
    top: Annotated[
        int,
        typer.Option("--top", "-n", metavar="N", min=1, help="How many words to show for a mask."),
    ] = 5,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="WORD",
            help="A word to choose from; may be given several times.",
            show_default=False,
        ),
    ] = None,
    out: options.OutOption = None,
    model: options.ModelOption = None,
    token_budget: options.BudgetOption = None,
    threads: options.ThreadsOption = None,
    dtype: options.PrecisionOption = options.Precision.FLOAT32,
    device: options.DeviceOption = "cpu",
) -> None:
    """Fill in masked words, by a masked language model.

    Of several masks in a text each is filled while the others stay masked.

    Example: distilbert fill "Paris is the \\[MASK] of France." --model distilbert-base-uncased
    """
    read = Texts(texts, files, columns=[TEXT.named(column)], form=form)
    check_out(out)
    pipe = options.load_pipeline(
        "fill-mask",
        model,
        token_budget=token_budget,
        threads=threads,
        dtype=dtype,
        device=device,
    )
    too_long = LongTexts(long, pipe.limit)

    def answer(rows: list[Row], advance: Callable[[int], None]) -> Iterator[Record]:
        chosen = pipe.choose({"top_k": top, "targets": targets, **too_long.options(rows)})
        found = pipe.every_fill([row.text for row in rows], chosen, advance)
        for row, masks in zip(rows, found, strict=True):
            fills = [{"mask": at, **one} for at, mask in enumerate(masks, 1) for one in mask]
            yield {"text": row.text, "fills": fills}

    with answers_to(out, FORM) as sink:
        stream(read, answer, sink, title="filling", size=64)
    too_long.report()
