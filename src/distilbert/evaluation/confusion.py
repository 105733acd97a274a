"""A confusion matrix as a picture that can be read, of two classes or of a hundred."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.errors import InputError
from distilbert.files.atomic import writing

SUFFIXES = (".png", ".svg", ".pdf")
_FEW = 12  # classes; with more, cells are small, and zeros stay empty
_LONGEST = 28  # characters of a name


def check_picture(path: Path, *, name: str = "the picture") -> None:
    """Raise InputError if no picture can be drawn there. name: What the user calls it."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"what kind of picture is {str(path)!r}? {name} is one of {', '.join(SUFFIXES)}, by "
            "the suffix"
        )
    if path.is_dir():
        raise InputError(f"{name} {str(path)!r} is a folder; give a file name")
    _matplotlib()


def draw(labels: Sequence[str], counts: NDArray[np.int64], path: Path) -> None:
    """Draw counts of (right, said), (labels, labels): color is the share of the right label."""
    library = _matplotlib()
    number = len(labels)
    many = number > _FEW
    short = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in labels]
    names = [name.replace("$", r"\$") for name in short]  # or it would begin a formula
    side = max((0.22 if many else 0.75) * number, 2.2)  # inches
    margin = 0.085 * max(map(len, short)) + 0.9
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with library.rc_context({"font.size": 6.5 if many else 10}):
        figure = library.figure.Figure(figsize=(side + margin + 0.9, side + margin), dpi=150)
        axes = figure.subplots()
        image = axes.imshow(
            shares,
            cmap="Blues",
            # a class of many is mistaken for each other one seldom, which should be seen
            norm=library.colors.PowerNorm(0.5 if many else 1, vmin=0, vmax=1),
            interpolation="nearest",
        )
        if many:
            axes.set_xticks(range(number), names, rotation=90)
        else:
            axes.set_xticks(range(number), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(number), names)
        axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
        axes.tick_params(which="both", length=0)
        axes.grid(which="minor", color="#e4e4e4", linewidth=0.4)
        axes.set(xlabel="predicted", ylabel="label")
        axes.set_title(f"{int(np.trace(counts)):,} of {int(counts.sum()):,} right")
        _write_counts(axes, counts, image.norm(shares), many)
        bar = {"fraction": 0.8 / (side + 4), "pad": 0.15 / side, "shrink": min(1.0, 5 / side)}
        figure.colorbar(image, ax=axes, label="share of the label", **bar)
        with writing(os.path.realpath(path)) as temporary:
            figure.savefig(temporary, format=path.suffix.lower()[1:], bbox_inches="tight")


def _write_counts(axes: Any, counts: NDArray[np.int64], shades: Any, many: bool) -> None:
    for row, column in np.argwhere(counts > 0 if many else counts >= 0):
        axes.text(
            column,
            row,
            str(counts[row, column]) if many else f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=5 if many else 9,
            color="white" if shades[row, column] > 0.55 else "#303030",
        )


def _matplotlib() -> Any:
    try:
        import matplotlib
        import matplotlib.colors
        import matplotlib.figure
    except ImportError as error:
        raise InputError(
            "drawing needs matplotlib, which is not installed; pip install 'distilbert[plots]'"
        ) from error
    return matplotlib
