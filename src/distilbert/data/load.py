"""Examples from files of one's own: tables with named columns, CoNLL, SQuAD and plain text."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distilbert.data.examples import Dataset, Example
from distilbert.data.forms import (
    Row,
    conll_rows,
    document_rows,
    is_squad,
    json_value,
    squad_rows,
    table_rows,
)
from distilbert.data.kinds import KINDS, Columns, Kind, are_numbers
from distilbert.data.reading import FORMS, form_of
from distilbert.data.tables import by, place
from distilbert.errors import FileError, InputError

_FORM = by("form", "--format")


def load(
    path: str | Path,
    kind: str | None = None,
    *,
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    choices: str | Sequence[str] | None = None,
    labels: Sequence[str] = (),
    id: str | None = None,
    labelled: bool = True,
    separator: str = ",",
    word: int = 0,
    tag: int = -1,
    form: str | None = None,
) -> Dataset:
    """The examples of one file.

    path: A .csv, .tsv, .jsonl or .parquet table, .json (objects, or SQuAD's form), .conll (words
        in columns) or .txt (plain text), all but .parquet also with .gz. form: One of these
        without the dot, where the suffix does not say it.
    kind: A key of KINDS. None: as columns and labels look. Labels that are numbers, one of
        them with a fraction, are regression, and a few that are not are errors; lists of names are
        multi_label; all else is classification.
    text, label, choices, id: Names of columns: two of `text` for pairs; of `choices` one that holds
        lists, or one for each. By default "text" (or the only one beside the label), "label",
        "choices"; "tokens" and "tags"; "question", "context" and "answers"; and "id", if there.
    labels: The names of classes in the order of their ids, such as those of the training data;
        (): as found, sorted. labelled: False to read no labels.
    separator: Between the names of several labels in one text.
    word, tag: Columns of CoNLL files, counted from 0, or from the end where negative.

    Raises FileError, naming file and line, for what the file has wrong, and InputError for
    arguments that do not fit it.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "reviews.csv")
    >>> _ = path.write_text("text,label\\nSo good.,positive\\nSo bad.,negative\\n")
    >>> data = load(path)
    >>> data.kind, data.labels, data.examples[0].texts
    ('classification', ('negative', 'positive'), ('So good.',))
    """
    file = Path(path)
    if kind is not None and kind not in KINDS:
        raise InputError(f"there is no kind {kind!r} of problem; allowed: {', '.join(KINDS)}")
    if form is not None and form not in FORMS.values():
        allowed = ", ".join(dict.fromkeys(FORMS.values()))
        raise InputError(f"there is no form {form!r} of files; allowed: {allowed}")
    if not separator:
        raise InputError("separator is empty; give what stands between labels, such as ','")
    if file.is_dir():
        raise FileError(f"{str(file)!r} is a folder, where a file is needed; name one in it")
    form = form or form_of(file, FORMS, f"say what it is {_FORM}")
    given = _given(text, choices)
    named = bool(given[0] or given[1] or label or id)
    if form == "conll" or (kind == "tags" and form in ("txt", "tsv")):
        _only(kind, ("tags",), form, named)
        rows = conll_rows(file, word=word, tag=tag if labelled else None)
        return build(rows, KINDS["tags"], _labelled(KINDS["tags"].columns, labelled), labels, file)
    if form == "txt":
        _only(kind, ("words",), form, named)
        return build(document_rows(file), KINDS["words"], KINDS["words"].columns, labels, file)
    if form == "json" and kind in ("spans", None) and not named:
        value = json_value(file)
        if is_squad(value):
            columns = _labelled(KINDS["spans"].columns, labelled)
            columns = replace(columns, id="id")
            return build(squad_rows(value, str(file)), KINDS["spans"], columns, labels, file)
    chooser = _Chooser(kind, given, label, id, separator, labelled)
    read = list(table_rows(file, form, chooser.wanted))
    if not read:
        raise _empty(file)
    columns = chooser.columns
    kind = chooser.kind or _kind_by_labels(read, columns)
    return build(read, KINDS[kind], columns, labels, file)


def build(
    rows: Iterable[Row], kind: Kind, columns: Columns, labels: Sequence[str], source: Path
) -> Dataset:
    """The data set of rows. labels: See `load`. Raises FileError naming what is wrong where."""
    labels = check_labels(labels, kind)
    _check_counts(kind, columns)
    examples = tuple(_examples(rows, kind, columns))
    if not examples:
        raise _empty(source)
    if kind.name == "spans":
        _check_ids(examples)
    if kind.names is None:
        return Dataset(kind.name, examples)
    found = set[str]()
    known = frozenset(labels)
    for example in examples:
        if example.label is None:
            continue
        own = set(kind.names(example.label))
        if labels and not own <= known:
            raise FileError(
                f"{example.where}: label {min(own - known)!r} is not among the {len(labels)} that "
                f"are known: {_listed(labels)}; repair it, or add it to the training data"
            )
        found |= own
    return Dataset(kind.name, examples, labels or sorted_labels(found))


def check_labels(labels: Sequence[str], kind: Kind) -> tuple[str, ...]:
    """The names of classes that a caller gave. Raises InputError if they cannot be such."""
    if isinstance(labels, str) or not all(isinstance(name, str) and name for name in labels):
        raise InputError(f"labels={labels!r:.60} has to be a list of names")
    if len(set(labels)) < len(labels):
        raise InputError(f"labels={labels!r:.60} names one twice; leave one of them out")
    if labels and kind.names is None:
        raise InputError(f"{kind.name} has no names of labels; leave labels out")
    return tuple(labels)


def sorted_labels(names: Iterable[str]) -> tuple[str, ...]:
    """In the order of the alphabet; of numbers where all are whole ones."""
    found = sorted(names)
    whole = all(re.fullmatch(r"-?[0-9]{1,18}", name) for name in found)
    return tuple(sorted(found, key=int) if whole else found)


def _examples(rows: Iterable[Row], kind: Kind, columns: Columns) -> Iterator[Example]:
    for count, (values, where) in enumerate(rows):
        try:
            texts = kind.texts(values, columns)
            label = None
            if columns.label is not None:
                label = kind.label(values[columns.label], texts, columns)
        except ValueError as error:
            raise FileError(f"{where}: {error}") from error
        id = count if columns.id is None else values[columns.id]
        yield Example(texts, label, where, str(id))


def _given(
    text: str | Sequence[str] | None, choices: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    def names(given: str | Sequence[str] | None) -> tuple[str, ...]:
        return (given,) if isinstance(given, str) else tuple(given or ())

    return names(text), names(choices)


def _only(kind: str | None, allowed: tuple[str, ...], form: str, named: bool) -> None:
    """Raises InputError if a file of this form cannot hold the kind, or has no named columns."""
    if kind is not None and kind not in allowed:
        raise InputError(
            f"a file of the form {form} holds {' or '.join(allowed)}, not {kind}; give a table, or "
            f"say what the file is {_FORM}"
        )
    if named:
        raise InputError(
            f"a file of the form {form} has no named columns; leave their names out, give a table, "
            f"or say what the file is {_FORM}"
        )


def _labelled(columns: Columns, labelled: bool) -> Columns:
    return columns if labelled else replace(columns, label=None)


def _kind_by_labels(rows: Sequence[Row], columns: Columns) -> str:
    """What values say of the kind of problem, where the names of columns do not."""
    if columns.label is None:
        return "classification"
    if all(isinstance(row.values[columns.text[0]], list | tuple) for row in rows):
        return "tags"
    values = [row.values[columns.label] for row in rows]
    if all(isinstance(value, list | tuple) for value in values):
        return "multi_label"
    return "regression" if are_numbers(values) else "classification"


class _Chooser:
    """Which columns of a table are read, and what they say of the kind of problem.

    kind: None where labels have to say it, columns: those of the file; both are known when the
    first names of columns were seen.
    """

    def __init__(
        self,
        kind: str | None,
        given: tuple[tuple[str, ...], tuple[str, ...]],
        label: str | None,
        id: str | None,
        separator: str,
        labelled: bool,
    ) -> None:
        self.kind, self.columns = kind, Columns(separator=separator)
        self._given, self._label, self._id, self._labelled = given, label, id, labelled
        self._needed: dict[str, str] = {}  # and how to name another

    def wanted(self, names: Sequence[str], where: str) -> list[str]:
        """The columns to read. Raises FileError for one that is not there."""
        if not self._needed:
            self._decide(names)
        for name, option in self._needed.items():
            place(names, name, where, f"name one {option}")
        return list(self._needed)

    def _decide(self, names: Sequence[str]) -> None:
        text, choices = self._given
        self.kind = self.kind or _kind_by_names(names, text, choices)
        usual = KINDS[self.kind].columns if self.kind else Columns()
        label = (self._label or usual.label) if self._labelled else None
        choices = choices or usual.choices
        if not text:
            skipped = {self._label or usual.label, self._id or "id", *choices}
            others = [name for name in names if name not in skipped]
            alone = usual.text == ("text",) and "text" not in names and len(others) == 1
            text = (others[0],) if alone else usual.text
        id = self._id or ("id" if "id" in names else None)
        self.columns = Columns(text, label, choices, id, self.columns.separator)
        self._needed = dict.fromkeys(text, by("text"))
        self._needed |= dict.fromkeys(choices, by("choices"))
        self._needed |= {id: "with id="} if id else {}
        self._needed |= {label: by("label")} if label else {}


def _kind_by_names(
    names: Sequence[str], text: tuple[str, ...], choices: tuple[str, ...]
) -> str | None:
    """What columns say of the kind of problem; None where labels have to."""
    if choices:
        return "choice"
    for kind in ("tags", "spans"):
        columns = KINDS[kind].columns
        if not text and {*columns.text, columns.label} <= set(names):
            return kind
    return "choice" if not text and "choices" in names else None


def _check_counts(kind: Kind, columns: Columns) -> None:
    if len(columns.text) not in kind.counts:
        raise InputError(
            f"{kind.name} reads {' or '.join(map(str, kind.counts))} columns of texts, and "
            f"{len(columns.text)} are named: {', '.join(map(repr, columns.text))}"
        )
    if columns.choices and not kind.columns.choices:
        raise InputError(
            f"{kind.name} has no choices; leave them out, or say 'choice' {by('kind')}"
        )
    if columns.label and not kind.columns.label:
        raise InputError(f"{kind.name} has no labels; leave the column {columns.label!r} out")


def _check_ids(examples: Iterable[Example]) -> None:
    seen: dict[str, str] = {}
    for example in examples:
        if example.id in seen:
            raise FileError(
                f"{example.where}: id {example.id!r} was given before ({seen[example.id]}), and "
                "answers are told apart by it; give another"
            )
        seen[example.id] = example.where


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (", …" if len(names) > 8 else "")


def _empty(source: Path) -> FileError:
    return FileError(f"there is no example in {str(source)!r}; check the file")
