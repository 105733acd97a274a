"""How texts become rows of ids, cut where that was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from distilbert.pipelines.base import Pipeline, TextError, TextOptions, shortened

Rows = list[list[int]]


def rows_of(
    pipeline: Pipeline[Any],
    texts: Sequence[str],
    pairs: Sequence[str | None] | None,
    options: TextOptions,
) -> Rows:
    """The ids of each text (or pair) with special tokens, cut where that was asked for.

    Raises InputError, quoting the text, for one that the model cannot read whole.
    """
    extra = dict(options.tokenizer_options or {})
    limit = pipeline.limit if options.max_length is None else options.max_length
    tokenizer = pipeline.tokenizer
    read = texts
    if options.cuts and pairs is None and tokenizer.truncation_side == "right":
        read = [_beginning(tokenizer, text, limit) for text in texts]
    rows = _encode(tokenizer, read, pairs, extra)
    long = [number for number, row in enumerate(rows) if len(row) > limit]
    if long and options.cuts:
        shorter = _encode(
            tokenizer,
            [read[number] for number in long],
            [pairs[number] for number in long] if pairs else None,
            {**extra, "truncation": options.cuts, "max_length": limit},
        )
        for number, row in zip(long, shorter, strict=True):
            rows[number] = row
        if options.on_cut:
            options.on_cut(long)
    for number, (text, row) in enumerate(zip(texts, rows, strict=True)):
        if len(row) > pipeline.limit:
            raise TextError(
                number,
                f"the text {shortened(text)!r} has {len(row)} tokens, and this model reads at most "
                f"{pipeline.limit}; pass truncation=True to cut it, or split the text",
            )
    return rows


def _beginning(tokenizer: Any, text: str, limit: int) -> str:
    """A beginning of `text` that is cut to `limit` tokens as all of it is; short texts are whole.

    It ends at a space, where words end, and has tokens to spare, for a token of the vocabulary may
    have spaces within.
    """
    size, wanted = 32 * limit, limit + 64
    while size < len(text):
        part = text[: text.rfind(" ", 0, size) + 1]
        if len(tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]) > wanted:
            return part
        size *= 4
    return text


def _encode(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str | None] | None,
    options: Mapping[str, Any],
) -> Rows:
    """The ids of each text, with its pair where it has one, without padding."""
    rows: Rows = [[] for _ in texts]
    pairs = pairs or [None] * len(texts)
    for paired in (False, True):
        numbers = [n for n in range(len(texts)) if (pairs[n] is not None) == paired]
        if not numbers:
            continue
        seconds = [pairs[n] for n in numbers] if paired else None
        encoded = tokenizer(
            [texts[n] for n in numbers],
            seconds,
            return_attention_mask=True,
            verbose=False,  # what is too long is said here, not there
            **options,
        )
        for n, ids, mask in zip(
            numbers, encoded["input_ids"], encoded["attention_mask"], strict=True
        ):
            rows[n] = [token for token, real in zip(ids, mask, strict=True) if real]
    return rows
