"""`distilbert tokenize`: the tokens of texts, their ids, and where they stand."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.cli.stream import stream
from distilbert.cli.terminal import waiting
from distilbert.cli.texts import TEXT, Row, Texts
from distilbert.files.records import Field, Form, Record, check_out

FORM = Form(
    (
        Field("number", "integer"),
        Field("index", "integer"),
        Field("token"),
        Field("id", "integer"),
        Field("start", "integer"),
        Field("end", "integer"),
    ),
    many="tokens",
)


def tokenize(
    texts: options.TextArguments = None,
    files: options.InOption = None,
    column: options.ColumnOption = None,
    form: options.FormatOption = None,
    special: Annotated[
        bool, typer.Option("--special/--no-special", help="Show \\[CLS] and \\[SEP] too.")
    ] = True,
    fast: Annotated[
        bool,
        typer.Option("--fast/--python", help="The compiled tokenizer, or the one in Python."),
    ] = True,
    out: options.OutOption = None,
    model: options.EncoderOption = "minilm",
) -> None:
    """Show how texts are cut into tokens: their ids, and their places in characters.

    Example: distilbert tokenize "Tokenization is reversible, mostly."
    """
    read = Texts(texts, files, columns=[TEXT.named(column)], form=form)
    check_out(out)
    with waiting(f"loading {model}"):
        tokenizer = _tokenizer(model, fast)
    number = 0

    def answer(rows: list[Row], _: Callable[[int], None]) -> Iterator[Record]:
        nonlocal number
        encoded = tokenizer(
            [row.text for row in rows],
            add_special_tokens=special,
            return_offsets_mapping=True,
            verbose=False,
        )
        for row, ids, offsets in zip(
            rows, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            number += 1
            names = tokenizer.convert_ids_to_tokens(ids)
            tokens = [
                {
                    "number": number,
                    "index": index,
                    "token": name,
                    "id": token,
                    "start": start,
                    "end": end,
                }
                for index, (name, token, (start, end)) in enumerate(
                    zip(names, ids, offsets, strict=True)
                )
            ]
            yield {"text": row.text, "tokens": tokens}

    with answers_to(out, FORM) as sink:
        stream(read, answer, sink, title="tokenizing")


def _tokenizer(model: str, fast: bool) -> Any:
    if fast:
        from distilbert.text.fast import DistilBertTokenizerFast

        return DistilBertTokenizerFast.from_pretrained(model)
    from distilbert.text.tokenizer import DistilBertTokenizer

    return DistilBertTokenizer.from_pretrained(model)
