"""`distilbert tag`: names, parts of speech and the like, found in texts."""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Annotated

import typer

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.cli.stream import stream
from distilbert.cli.texts import TEXT, Row, Texts
from distilbert.files.records import Field, Form, Record, check_out

PLACE = (Field("start", "integer"), Field("end", "integer"))


class Group(str, Enum):
    """How tagged tokens become entities."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


def tag(
    texts: options.TextArguments = None,
    files: options.InOption = None,
    column: options.ColumnOption = None,
    form: options.FormatOption = None,
    group: Annotated[
        Group,
        typer.Option(
            help="How tokens become entities: none (every token by itself), simple (neighbours of "
            "one tag), or simple after each word got one tag, by its first token, the average of "
            "its tokens, or its surest one (max)."
        ),
    ] = Group.FIRST,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="A label to leave out; may be given several times.",
            show_default="O",
        ),
    ] = None,
    out: options.OutOption = None,
    model: options.ModelOption = None,
    token_budget: options.BudgetOption = None,
    threads: options.ThreadsOption = None,
    dtype: options.PrecisionOption = options.Precision.FLOAT32,
    device: options.DeviceOption = "cpu",
) -> None:
    """Find names and other entities in texts, with their places in characters.

    A text longer than the model reads is read in overlapping windows.

    Example: distilbert tag "Ada Lovelace lived in London." --model my-tagger
    """
    read = Texts(texts, files, columns=[TEXT.named(column)], form=form)
    check_out(out)
    pipe = options.load_pipeline(
        "token-classification",
        model,
        token_budget=token_budget,
        threads=threads,
        dtype=dtype,
        device=device,
        aggregation_strategy=group.value,
        ignore_labels=tuple(ignore) if ignore else None,
    )

    finished = 0

    def answer(rows: list[Row], advance: Callable[[int], None]) -> Iterator[Record]:
        nonlocal finished
        every = pipe.run([row.text for row in rows], progress=advance)
        for row, found in zip(rows, every, strict=True):
            finished += 1
            entities = [{"number": finished, **entity} for entity in found]
            yield {"text": row.text, "entities": entities}

    with answers_to(out, _form(group)) as sink:
        stream(read, answer, sink, title="tagging", size=64)


def _form(group: Group) -> Form:
    alone = group is Group.NONE
    fields = (
        Field("number", "integer"),
        Field("entity" if alone else "entity_group"),
        Field("score", "number"),
        *((Field("index", "integer"),) if alone else ()),
        Field("word"),
        *PLACE,
    )
    return Form(fields, many="entities")
