"""`distilbert embed`: a vector for every text."""

from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.cli.stream import LongTexts, stream
from distilbert.cli.texts import TEXT, Row, Texts
from distilbert.files.records import Field, Form, Record, check_out

FORM = Form((Field("text"), Field("embedding", "vector")))


def embed(
    texts: options.TextArguments = None,
    files: options.InOption = None,
    column: options.ColumnOption = None,
    form: options.FormatOption = None,
    long: options.LongOption = options.Long.CUT,
    normalize: Annotated[
        bool,
        typer.Option(
            "--normalize/--raw",
            help="Vectors of length 1, so that a product of two is their cosine; or plain means.",
        ),
    ] = True,
    out: options.VectorsOutOption = None,
    model: options.EncoderOption = "minilm",
    token_budget: options.BudgetOption = None,
    threads: options.ThreadsOption = None,
    dtype: options.PrecisionOption = options.Precision.FLOAT32,
    device: options.DeviceOption = "cpu",
) -> None:
    """Turn texts into vectors: the mean of each text's token states.

    --out also writes .npy: an array of one row a text, in the order of the texts.

    Example: distilbert embed --in reviews.csv --column body --out vectors.npy
    """
    read = Texts(texts, files, columns=[TEXT.named(column)], form=form)
    check_out(out, vectors=True)
    pipe = options.load_pipeline(
        "sentence-embedding",
        model,
        token_budget=token_budget,
        threads=threads,
        dtype=dtype,
        device=device,
        normalize=normalize,
    )
    too_long = LongTexts(long, pipe.limit)

    def answer(rows: list[Row], advance: Callable[[int], None]) -> Iterator[Record]:
        found = pipe.run([row.text for row in rows], progress=advance, **too_long.options(rows))
        for row, vector in zip(rows, found, strict=True):
            yield {"text": row.text, "embedding": vector}

    with answers_to(out, FORM) as sink:
        stream(read, answer, sink, title="embedding")
    too_long.report()
