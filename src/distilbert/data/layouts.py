"""Published data sets, read by name from the files they come in."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distilbert.data.examples import Dataset
from distilbert.data.forms import Row
from distilbert.data.kinds import KINDS
from distilbert.data.load import build, check_labels
from distilbert.data.published import PUBLISHED
from distilbert.data.sources import Layout, patterns
from distilbert.errors import FileError, InputError

LAYOUTS = {layout.name: layout for layout in PUBLISHED}
"""Every published data set that can be read, by its name."""


def read(
    layout: str | Layout, path: str | Path, split: str = "dev", *, labels: Sequence[str] = ()
) -> Dataset:
    """The examples of one split ("train", "dev", "test", "dev_mismatched", …) of a published set.

    path: The folder of its files or the one above, or one file. labels: The names of classes, where
    the layout has none of its own; (): those of the training files, or else of what is read. Labels
    of "test" are read where there are any.

    Raises FileError if there are no such files, naming what they may be called, or for what they
    have wrong, naming file and line.
    """
    layout, path = find(layout), Path(path)
    found = layout.find(path, split)
    if found is None:
        raise _missing(layout, path, split)
    kind, (source, files) = KINDS[layout.kind], found
    names = check_labels(labels, kind)
    if layout.labels and names and set(names) != set(layout.labels):
        raise InputError(
            f"{layout.name} has labels of its own, {layout.labels}, and labels={names} are "
            "others; leave labels out"
        )
    names = names or layout.labels
    if not names and kind.names and split != "train" and path.is_dir():
        trained = layout.find(path, "train")
        names = read(layout, path, "train").labels if trained else ()
    rows = [row for file in files for row in source.rows(file, split)]
    columns = source.columns
    if split == "test" and rows and columns.label not in rows[0].values:
        columns = replace(columns, label=None)
    if layout.kind == "classification" and layout.labels and columns.label:
        rows = list(_named(rows, columns.label, layout.labels, source.first))
    return build(rows, kind, columns, names, path)


def splits(layout: str | Layout, path: str | Path) -> tuple[str, ...]:
    """The splits whose files are in a folder. Raises FileError if there is no such folder."""
    layout, path = find(layout), Path(path)
    if not path.is_dir():
        raise FileError(f"there is no folder {str(path)!r}; check the path")
    known = dict.fromkeys(split for source in layout.sources for split in source.files)
    return tuple(split for split in known if layout.find(path, split))


def find(layout: str | Layout) -> Layout:
    """The layout of this name. Raises InputError if there is none."""
    if isinstance(layout, Layout):
        return layout
    if layout not in LAYOUTS:
        raise InputError(f"there is no layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    return LAYOUTS[layout]


def _named(rows: Sequence[Row], column: str, labels: Sequence[str], first: int) -> Iterator[Row]:
    """The rows with names of labels, where they have numbers."""
    names = {str(number): name for number, name in enumerate(labels, first)}
    for values, where in rows:
        label = values[column]
        given = str(label) if isinstance(label, int) and not isinstance(label, bool) else label
        if isinstance(given, str) and given not in labels and given in names:
            yield Row({**values, column: names[given]}, where)
        else:
            yield Row(values, where)


def _missing(layout: Layout, path: Path, split: str) -> FileError:
    known = dict.fromkeys(split for source in layout.sources for split in source.files)
    wanted = dict.fromkeys(name for source in layout.sources for name in patterns(source, split))
    if not wanted:
        return FileError(f"{layout.name} has no split {split!r}; it has: {', '.join(known)}")
    there = splits(layout, path)
    return FileError(
        f"{str(path)!r} has no {split} file of {layout.name}, which is called "
        f"{' or '.join(wanted)} (also with .gz); "
        + (f"it has: {', '.join(there)}" if there else "name the folder that has it")
    )
