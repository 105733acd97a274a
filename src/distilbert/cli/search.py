"""`distilbert search`: the texts that mean most nearly what a query means."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.cli.stream import LongTexts, chunks, walk
from distilbert.cli.texts import TEXT, Row, Texts
from distilbert.errors import InputError
from distilbert.files.records import Field, Form, check_finite, check_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def search(
    queries: Annotated[
        list[str], typer.Argument(metavar="QUERY", help="What to look for; may be several.")
    ],
    files: options.InOption = None,
    column: options.ColumnOption = None,
    form: options.FormatOption = None,
    long: options.LongOption = options.Long.CUT,
    top: Annotated[
        int, typer.Option("--top", "-n", metavar="N", min=1, help="How many texts to show.")
    ] = 5,
    out: options.OutOption = None,
    model: options.EncoderOption = "minilm",
    token_budget: options.BudgetOption = None,
    threads: options.ThreadsOption = None,
    dtype: options.PrecisionOption = options.Precision.FLOAT32,
    device: options.DeviceOption = "cpu",
) -> None:
    """Find the texts nearest in meaning to a query, by the cosine of their embeddings.

    The texts are lines of a file or of standard input, or a column; empty ones are passed over.

    Example: distilbert search "how do plants eat?" --in facts.txt --top 3
    """
    asked = list(Texts(queries, None))
    for row in asked:
        if not row.text.strip():
            raise InputError("the query is empty; say what to look for")
    read = Texts(None, files, columns=[TEXT.named(column)], form=form)
    check_out(out)
    pipe = options.load_pipeline(
        "sentence-embedding",
        model,
        token_budget=token_budget,
        threads=threads,
        dtype=dtype,
        device=device,
    )
    import numpy as np  # after the model: what is wrong with a call is said before that

    too_long = LongTexts(long, pipe.limit)
    wanted = pipe([row.text for row in asked], **too_long.options(asked))
    best = [Best(top) for _ in asked]
    finished = 0
    with answers_to(out, _form(len(asked), files)) as sink:
        with_words = chunks(read, keep=lambda row: bool(row.text.strip()))
        for rows, advance in walk(with_words, read, "searching", hidden=sink.piped):
            texts = [row.text for row in rows]
            found = pipe.run(texts, progress=advance, **too_long.options(rows))
            every = wanted @ np.stack(found).T  # (queries, rows)
            check_finite(every)  # what is not a number has no place in an order
            for own, scores in zip(best, every, strict=True):
                own.consider(rows, scores)
            finished += len(rows)
        if not finished:
            raise InputError("all lines are empty: there is no text to search")
        for query, own in zip(asked, best, strict=True):
            sink.write({"query": query.text, "hits": own.hits()})
    too_long.report()


class Best:
    """The `count` rows of highest score so far; of equal scores the earlier row."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: list[tuple[float, Row]] = []

    def consider(self, rows: list[Row], scores: "NDArray[np.float32]") -> None:
        new = [(float(score), row) for score, row in zip(scores, rows, strict=True)]
        self._held = sorted(self._held + new, key=lambda pair: -pair[0])[: self._count]

    def hits(self) -> list[dict[str, Any]]:
        return [
            {
                "rank": rank,
                "score": score,
                "source": row.source,
                "line": row.line,
                "text": row.text,
            }
            for rank, (score, row) in enumerate(self._held, 1)
        ]


def _form(queries: int, files: list[Path] | None) -> Form:
    """What is the same in every row is not shown on terminals."""
    fields = (
        Field("query", shown=queries > 1),
        Field("rank", "integer"),
        Field("score", "number"),
        Field("source", shown=len(files or ()) > 1),
        Field("line", "integer"),
        Field("text"),
    )
    return Form(fields, many="hits")
