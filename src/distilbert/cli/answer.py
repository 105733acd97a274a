"""`distilbert answer`: the answer to a question, found in a text."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.cli.stream import stream
from distilbert.cli.tables import Column
from distilbert.cli.texts import Row, Texts
from distilbert.data.reading import STANDARD_INPUT, read_whole
from distilbert.errors import InputError
from distilbert.files.records import Field, Form, Record, check_out

QUESTION = Column("question", "--question-column")
CONTEXT = Column("context", "--context-column")
FORM = Form(
    (
        Field("question"),
        Field("answer"),
        Field("score", "number"),
        Field("start", "integer"),
        Field("end", "integer"),
    ),
    many="answers",
)


def answer(
    questions: Annotated[
        list[str] | None,
        typer.Option(
            "--question",
            "-q",
            metavar="TEXT",
            help="What to ask; may be given several times.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The text that holds the answer.",
            rich_help_panel=options.INPUT,
            show_default="all of standard input",
        ),
    ] = None,
    context_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file that holds that text.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--in",
            "-i",
            metavar="FILE",
            help="Instead: a .csv, .tsv, .jsonl or .parquet file of questions and contexts.",
            rich_help_panel=options.INPUT,
            show_default=False,
        ),
    ] = None,
    question_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of questions.",
            rich_help_panel=options.INPUT,
            show_default=QUESTION.usual,
        ),
    ] = None,
    context_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of contexts.",
            rich_help_panel=options.INPUT,
            show_default=CONTEXT.usual,
        ),
    ] = None,
    form: options.FormatOption = None,
    top: Annotated[
        int,
        typer.Option(
            "--top", "-n", metavar="N", min=1, help="How many answers to show, best first."
        ),
    ] = 1,
    longest: Annotated[
        int, typer.Option("--longest", metavar="N", min=1, help="Most tokens of an answer.")
    ] = 15,
    impossible: Annotated[
        bool,
        typer.Option("--impossible", help='Let "no answer" compete, shown as an empty one.'),
    ] = False,
    out: options.OutOption = None,
    model: options.ModelOption = None,
    token_budget: options.BudgetOption = None,
    threads: options.ThreadsOption = None,
    dtype: options.PrecisionOption = options.Precision.FLOAT32,
    device: options.DeviceOption = "cpu",
) -> None:
    """Answer questions with spans of a text, by a reader trained on such questions.

    A context longer than the model reads is read in overlapping windows.

    Example: distilbert answer -q "Who wrote it?" --context-file about.txt --model
    distilbert-base-cased-distilled-squad
    """
    if files and (questions or context is not None or context_file):
        raise InputError("--in brings questions and contexts; leave the other options out")
    if not files and (question_column or context_column or form):
        raise InputError(
            f"{QUESTION.option}, {CONTEXT.option} and --format say how a file of questions is "
            "read; name one with --in, or leave them out"
        )
    if files:
        columns = [QUESTION.named(question_column), CONTEXT.named(context_column)]
        read = Texts(None, files, columns=columns, form=form)
    else:
        read = Texts(_asked(questions), None)
        context = _context(context, context_file)
    check_out(out)
    pipe = options.load_pipeline(
        "question-answering",
        model,
        token_budget=token_budget,
        threads=threads,
        dtype=dtype,
        device=device,
    )
    chosen = pipe.choose(
        {"top_k": top, "max_answer_len": longest, "handle_impossible_answer": impossible}
    )

    def find(rows: list[Row], advance: Callable[[int], None]) -> Iterator[Record]:
        inputs = [{"question": row.text, "context": (*row.values, context)[1]} for row in rows]
        for row, found in zip(rows, pipe.every_answer(inputs, chosen, advance), strict=True):
            yield {"question": row.text, "answers": found}

    with answers_to(out, FORM) as sink:
        stream(read, find, sink, title="reading", size=32)


def _asked(questions: list[str] | None) -> list[str]:
    if not questions:
        raise InputError("no question was asked: give --question, or a file of them with --in")
    return questions


def _context(context: str | None, file: Path | None) -> str:
    if context is not None and file is not None:
        raise InputError("the text comes from --context or from --context-file, not from both")
    if context is not None:
        return context
    if file is None and sys.stdin.isatty():
        raise InputError(
            "no text to read was given: give --context, --context-file, or pipe a text into "
            "standard input"
        )
    return read_whole(file or STANDARD_INPUT)
