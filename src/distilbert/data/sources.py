"""How published data sets are described: the forms their files come in, and how each is read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from distilbert.data.forms import (
    Row,
    conll_rows,
    document_rows,
    json_value,
    squad_rows,
    table_rows,
)
from distilbert.data.kinds import Columns, Raw
from distilbert.data.reading import FORMS, form_of, suffix_of
from distilbert.data.tables import place
from distilbert.errors import FileError

USUAL = Columns()
REMEDY = "take the file as it was published"
Reader: TypeAlias = Callable[["Source", Path, str], Iterator[Row]]


def table(source: "Source", file: Path, split: str) -> Iterator[Row]:
    """Rows with the columns that the source names; those of a test may have no label."""
    columns, form = source.columns, source.form or form_of(file, FORMS, REMEDY)
    part, kept = source.part if source.part is not None else ("", {})
    needed = [*(source.reads or (*columns.text, *columns.choices)), columns.id, part]

    def wanted(names: Sequence[str], where: str) -> list[str]:
        known = columns.label in names or split != "test"
        chosen = [name for name in (*needed, columns.label if known else None) if name]
        for name in chosen:
            place(names, name, where, REMEDY)
        return list(dict.fromkeys(chosen))

    names = () if split in source.headed else source.names
    for row in table_rows(file, form, wanted, names=names, lenient=source.lenient):
        if not part or row.values[part] == kept.get(split):
            yield row


def conll(source: "Source", file: Path, split: str) -> Iterator[Row]:
    """Sentences of words in columns."""
    return conll_rows(file, word=source.places[0], tag=source.places[1])


def squad(source: "Source", file: Path, split: str) -> Iterator[Row]:
    """Questions of SQuAD JSON."""
    return squad_rows(json_value(file), str(file))


def documents(source: "Source", file: Path, split: str) -> Iterator[Row]:
    """Documents of plain text."""
    return document_rows(file)


def clinc(source: "Source", file: Path, split: str) -> Iterator[Row]:
    """CLINC150: lists of [text, intent] by part of the data; those out of scope stand apart."""
    value, part = json_value(file), {"dev": "val"}.get(split, split)
    for key in (part, f"oos_{part}"):
        rows = value.get(key) if isinstance(value, dict) else None
        if not isinstance(rows, list):
            raise FileError(f"{file} has no list {key!r}; {REMEDY}")
        for number, row in enumerate(rows, 1):
            where = f"{file}, {key} row {number}"
            if not isinstance(row, list) or len(row) != 2:
                raise FileError(f"{where}: a text and an intent are needed; repair the row")
            yield Row({"text": row[0], "label": row[1]}, where)


@dataclass(frozen=True)
class Source:
    """One form in which the files of a set are passed on.

    files: What each split's files are called, the first name that is there counts; "*" stands for
        anything, and all that match are read, in the order of their names. Each may be gzip.
    reads: Columns of the file, where `prepare` makes `columns` of them.
    prepare: What is made of a row, None to leave it out.
    form: Of the files, where their suffix does not say it.
    names: Of the columns of a file without a head. headed: Splits whose files have one all the
        same. lenient: Rows with too many or too few fields are left out.
    part: A column, and its value in each split, of files that hold several.
    first: The number of the first class, where labels are numbers.
    places: The columns of word and tag, where words stand in columns.
    """

    files: Mapping[str, tuple[str, ...]]
    columns: Columns = USUAL
    reader: Reader = table
    reads: tuple[str, ...] = ()
    prepare: Callable[[Raw], Raw | None] | None = None
    form: str | None = None
    names: tuple[str, ...] = ()
    headed: tuple[str, ...] = ()
    lenient: bool = False
    part: tuple[str, Mapping[str, str]] | None = None
    first: int = 0
    places: tuple[int, int] = (0, -1)

    def rows(self, file: Path, split: str) -> Iterator[Row]:
        """The rows of a file, as `columns` has them. Raises FileError, naming file and line."""
        for row in self.reader(self, file, split):
            if self.prepare is None:
                yield row
                continue
            try:
                values = self.prepare(row.values)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise FileError(
                    f"{row.where}: not of the published form ({error!r}); {REMEDY}"
                ) from error
            if values is not None:
                yield Row(values, row.where)


@dataclass(frozen=True)
class Layout:
    """One published data set.

    kind: A key of KINDS. labels: The names of its classes by id, which files may also give by
    number; (): as found in the training files. folders: What the folder of its files is called.
    """

    name: str
    kind: str
    sources: tuple[Source, ...]
    labels: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def find(self, path: Path, split: str) -> tuple[Source, list[Path]] | None:
        """The files of a split in a folder, or the file itself, and how they are read.

        Raises FileError if the path is not there.
        """
        if not path.exists():
            raise FileError(f"there is no file or folder {str(path)!r}; check the path")
        if not path.is_dir():
            return self._source_of(path, split), [path]
        for folder in (path, *(path / name for name in self.folders)):
            if folder.is_dir():
                for source in self.sources:
                    files = _matching(folder, patterns(source, split))
                    if files:
                        return source, files
        return None

    def _source_of(self, file: Path, split: str) -> Source:
        """The most likely: by its name in this split, in any, or by its suffix."""
        name = file.name.removesuffix(".gz")

        def likeness(source: Source) -> tuple[bool, ...]:
            every = [pattern for found in source.files.values() for pattern in found]
            return (
                any(fnmatchcase(name, pattern) for pattern in patterns(source, split)),
                any(fnmatchcase(name, pattern) for pattern in every),
                any(Path(pattern).suffix == suffix_of(file) for pattern in every),
            )

        return max(self.sources, key=likeness)


def patterns(source: Source, split: str) -> tuple[str, ...]:
    """What the files of a split may be called; "dev" is also the matched one."""
    own = source.files.get(split)
    return own or source.files.get(f"{split}_matched", ())


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files of the first pattern that any has; of a plain and a gzip file, the plain one."""
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir(), reverse=True):  # so that the plain one comes last
        if file.is_file():
            files[file.name.removesuffix(".gz")] = file
    for pattern in patterns:
        found = sorted(name for name in files if fnmatchcase(name, pattern))
        if found:
            return [files[name] for name in found]
    return []
