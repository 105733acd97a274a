"""Rows of every form of file: tables, CoNLL columns, SQuAD and other JSON, documents of text."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distilbert.data.reading import ended, is_plain, lines, name_of, read_whole
from distilbert.data.tables import (
    Numbered,
    by,
    csv_rows,
    json_rows,
    kind_of,
    parquet_rows,
    tsv_rows,
)
from distilbert.errors import FileError, InputError

Wanted = Callable[[Sequence[str], str], Sequence[str]]
"""(names of columns, where they stand) → those to read. Raises FileError if one is not there."""


def every_column(names: Sequence[str], where: str) -> Sequence[str]:
    """All of them, each once."""
    return list(dict.fromkeys(names))


class Row(NamedTuple):
    """Values by the names of their columns, and where they stand, such as "dev.tsv, line 3"."""

    values: Mapping[str, Any]
    where: str


def table_rows(
    file: Path,
    form: str,
    wanted: Wanted = every_column,
    *,
    names: Sequence[str] = (),
    lenient: bool = False,
) -> Iterator[Row]:
    """The rows of a table of the form "csv", "tsv", "jsonl", "json" or "parquet".

    names: Of the columns of a .csv or .tsv file without a head. lenient: Rows of a .tsv file with
    too many or too few fields are left out, as the official readers of some sets do.
    Raises FileError, naming file and line.
    """
    if form == "json":
        yield from _object_rows(file, wanted)
        return
    source, chosen = name_of(file), list[str]()

    def choose(names: Sequence[str], where: str) -> list[int]:
        chosen[:] = wanted(names, where)
        return [names.index(name) for name in chosen]

    if form == "parquet":
        if not is_plain(file) or file.suffix == ".gz":
            raise InputError(f"Parquet is read from plain files only, and {source!r} is none")
        for number, values, _ in parquet_rows(file, choose):
            yield Row(dict(zip(chosen, values, strict=True)), f"{source}, row {number}")
        return
    rows: Iterator[Numbered]
    if form == "jsonl":
        rows = json_rows(lines(file), choose, source)
    elif form == "tsv":
        rows = tsv_rows(lines(file), choose, source, names=names, lenient=lenient)
    else:
        rows = csv_rows(lines(file), choose, source, names=names)
    for number, values in rows:
        yield Row(dict(zip(chosen, values, strict=True)), f"{source}, line {number}")


def conll_rows(file: Path, *, word: int = 0, tag: int | None = -1) -> Iterator[Row]:
    """Sentences in columns: a line a word, an empty line after each; {"tokens": …, "tags": …}.

    Columns are parted by TAB, or else by spaces. word, tag: their numbers, counted from 0, or from
    the end where negative; tag None where there is none. Lines that begin with "-DOCSTART-" end a
    sentence; those that begin with "#" and have not the columns of a word are comments. In ten
    columns (CoNLL-U) ranges of words and empty nodes are left out.
    """
    split = _columns([ended(line) for line in lines(file)])
    kept = [len(row) for row in split if row and row[0] != "-DOCSTART-"]
    plain = [len(row) for row in split if row and row[0][0:1] not in "-#"]
    width = plain[0] if plain else max(kept, default=0)
    _check_columns(width, word, tag, name_of(file))
    tokens: list[str] = []
    tags: list[str] = []
    begin = 0
    for number, fields in enumerate([*split, []], 1):
        if not fields or fields[0] == "-DOCSTART-":
            if tokens:
                yield _sentence(tokens, tags, tag, f"{name_of(file)}, line {begin}")
                tokens, tags = [], []
            continue
        comment = fields[0].startswith("#") and len(fields) != width
        if comment or (width == 10 and re.fullmatch(r"\d+[-.]\d+", fields[0])):
            continue
        where = f"{name_of(file)}, line {number}"
        if len(fields) != width:
            raise FileError(
                f"{where}: {len(fields)} columns, where the first word has {width}; repair the "
                "line, or leave an empty line between sentences"
            )
        if not fields[word] or (tag is not None and not fields[tag]):
            raise FileError(f"{where}: an empty word or tag; repair the line")
        begin = begin if tokens else number
        tokens.append(fields[word])
        if tag is not None:
            tags.append(fields[tag])


def _columns(rows: Sequence[str]) -> list[list[str]]:
    """The columns of each line, none of an empty one."""
    if any("\t" in row for row in rows):
        return [row.split("\t") if row.strip(" \t") else [] for row in rows]
    return [[part for part in row.split(" ") if part] for row in rows]


def _check_columns(width: int, word: int, tag: int | None, source: str) -> None:
    for said, column in (("word", word), ("tag", tag)):
        if width and column is not None and not -width <= column < width:
            raise FileError(
                f"{source} has no column {column}, only {width} (0 to {width - 1}, or negative "
                f"from the end); name another {by(said)}"
            )
    if width and tag is not None and word % width == tag % width:
        raise FileError(
            f"{source}: column {word} would be both word and tag, of {width}; name another tag "
            f"{by('tag')}, or give a file that has both"
        )


def _sentence(tokens: list[str], tags: list[str], tag: int | None, where: str) -> Row:
    return Row({"tokens": tokens} | ({} if tag is None else {"tags": tags}), where)


def document_rows(file: Path) -> Iterator[Row]:
    """Documents of plain text, an empty line after each: {"text": its lines}."""
    found: list[str] = []
    begin = 1
    for number, line in enumerate(lines(file), 1):
        if line.strip():
            begin = begin if found else number
            found.append(ended(line))
        elif found:
            yield Row({"text": found}, f"{name_of(file)}, line {begin}")
            found = []
    if found:
        yield Row({"text": found}, f"{name_of(file)}, line {begin}")


def squad_rows(value: Any, source: str) -> Iterator[Row]:
    """Questions of SQuAD JSON, v1.1 or v2.0: id, question, context, answers, one a row."""
    if not is_squad(value):
        raise FileError(f'{source} is not SQuAD JSON: {{"data": [{{"paragraphs": …}}]}} is needed')
    for article in value["data"]:
        for paragraph in _part(article, "paragraphs", list, source):
            context = _part(paragraph, "context", str, source)
            for asked in _part(paragraph, "qas", list, source):
                id = str(_part(asked, "id", object, source))
                where = f"{source}, question {id!r}"
                found = {"id": id, "context": context}
                found["question"] = _part(asked, "question", str, where)
                none = asked.get("is_impossible")
                found["answers"] = [] if none else _part(asked, "answers", list, where)
                yield Row(found, where)


def is_squad(value: Any) -> bool:
    """Whether it has SQuAD's articles and paragraphs, rather than rows."""
    data = value.get("data") if isinstance(value, dict) else None
    return isinstance(data, list) and all(isinstance(a, dict) and "paragraphs" in a for a in data)


def json_value(file: Path) -> Any:
    """What a .json file holds; a list where it holds values one after another."""
    values = [value for value, _ in _values(file)]
    return values[0] if len(values) == 1 else values


def _part(value: Any, name: str, type: type, where: str) -> Any:
    found = value.get(name) if isinstance(value, dict) else None
    if found is None or not isinstance(found, type):
        raise FileError(f"{where}: {name!r} is missing or not of its kind; repair the file")
    return found


def _object_rows(file: Path, wanted: Wanted) -> Iterator[Row]:
    """Objects of a .json file: a list of them, {"data": list}, or one after another."""
    values, source = _values(file), name_of(file)
    places = [f"{source}, line {line}" for _, line in values]
    objects = [value for value, _ in values]
    if len(objects) == 1:
        inner = objects[0].get("data") if isinstance(objects[0], dict) else objects[0]
        if isinstance(inner, list):
            objects = inner
            places = [f"{source}, row {number}" for number in range(1, len(inner) + 1)]
    for value, where in zip(objects, places, strict=True):
        if not isinstance(value, dict):
            raise FileError(f"{where}: a JSON {kind_of(value)}, where an object is needed")
        names = list(value)
        yield Row({name: value[name] for name in wanted(names, where)}, where)


def _values(file: Path) -> list[tuple[Any, int]]:
    """The JSON values of a file, one after another, each with its line."""
    text, source = read_whole(file), name_of(file)
    decoder, place, found = json.JSONDecoder(), 0, []
    while (start := _SPACE.match(text, place).end()) < len(text):  # type: ignore[union-attr]
        line = text.count("\n", 0, start) + 1
        try:
            value, place = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            at = getattr(error, "lineno", line)
            raise FileError(f"{source}, line {at}: not JSON ({error}); repair the file") from error
        found.append((value, line))
    return found


_SPACE = re.compile(r"[ \t\r\n]*")
