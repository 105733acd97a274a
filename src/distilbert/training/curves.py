"""curves.png: how loss, scores and learning rate went, drawn from a run's metrics."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.errors import FileError
from distilbert.evaluation.confusion import check_picture
from distilbert.files.atomic import writing
from distilbert.training.metrics_file import read_metrics

CURVES = "curves.png"
_SMOOTHED = 40  # the bold curve is a mean of 1 / _SMOOTHED of the updates to each side
_POINTS = 4000  # of a curve; more cannot be seen
_INK, _GREY, _GRID = "#202020", "#808080", "#e4e4e4"
_COLORS = ("#1f6fb4", "#d1495b", "#2a9d60", "#e08e1b", "#7b52ab", "#4d8f9c", "#9c6b4f", "#707070")
_LINES = ("-", "--", ":")

Rows = Sequence[dict[str, Any]]
Curve = NDArray[np.float64]


def available() -> bool:
    """Whether matplotlib, which draws, is installed."""
    return find_spec("matplotlib") is not None


def draw(metrics_path: str | os.PathLike[str], picture_path: str | os.PathLike[str]) -> None:
    """Draws a run's metrics.jsonl into a .png, .svg or .pdf file.

    One panel for the loss, as it was and smoothed, one for each scale that scores have, and one for
    the learning rate. The evaluation that was the best is marked.

    Raises FileError for damaged metrics, or without any update; InputError for another suffix, or
    without matplotlib.
    """
    picture = Path(picture_path)
    check_picture(picture)
    rows = read_metrics(metrics_path)
    steps = [row for row in rows if row["event"] == "step"]
    evaluations = [row for row in rows if row["event"] == "evaluation"]
    if not steps:
        raise FileError(f"there is no update in {os.fspath(metrics_path)!r} to draw; train first")

    from matplotlib.figure import Figure  # without pyplot, which keeps figures and picks windows

    groups = [*scales(evaluations)]
    heights = [3.0, *(2.4 for _ in groups), 1.4]
    figure = Figure(figsize=(9, sum(heights) + 0.8), dpi=130, layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    loss, *scores, rate = panels[:, 0]
    _draw_loss(loss, steps)
    for axes, names in zip(scores, groups, strict=True):
        _draw_scores(axes, evaluations, names)
    _draw_rate(rate, steps)
    for axes in panels[:, 0]:
        _settle(axes)
    best = [row["step"] for row in evaluations if row.get("better")]
    last = steps[-1]
    if best:
        _mark(panels[:, 0], best[-1], last["step"])
    rate.set_xlim(0, 1.02 * last["step"])
    rate.xaxis.get_major_locator().set_params(integer=True)
    _add_epochs(loss, last)
    figure.align_ylabels()
    with writing(os.path.realpath(picture)) as temporary:
        figure.savefig(temporary, format=picture.suffix.lower()[1:])


def scales(evaluations: Rows) -> Iterator[tuple[str, ...]]:
    """The names of scores that one panel can show, those of one order of magnitude together.

    Shares, from -1 to 1, are of one order, and so are 1 to 10, 10 to 100 and so on.
    """
    largest: dict[str, float] = {}
    for row in evaluations:
        for name, value in row["scores"].items():
            largest[name] = max(largest.get(name, 0.0), abs(value or 0.0))
    orders = {name: max(0, math.ceil(math.log10(top or 1))) for name, top in largest.items()}
    for order in dict.fromkeys(orders.values()):
        yield tuple(name for name in largest if orders[name] == order)


def smoothed(values: Curve, width: int) -> Curve:
    """The mean of each value and its neighbours, `width` to each side, without what is NaN."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    places = np.arange(len(values))
    first, last = np.maximum(places - width, 0), np.minimum(places + width + 1, len(values))
    count = counts[last] - counts[first]
    means: Curve = np.where(count, sums[last] - sums[first], np.nan) / np.maximum(count, 1)
    return means


def _draw_loss(axes: Any, steps: Rows) -> None:
    number, loss = _column(steps, "step"), _column(steps, "loss")
    width = len(steps) // _SMOOTHED
    some = slice(None, None, max(1, len(steps) // _POINTS))
    marker = "." if len(steps) == 1 else None
    label = f"mean of {2 * width + 1} updates" if width else "loss"
    if width:
        axes.plot(number[some], loss[some], color=_COLORS[0], alpha=0.25, lw=0.8, label="update")
    axes.plot(
        number[some],
        smoothed(loss, width)[some],
        color=_COLORS[0],
        lw=2,
        marker=marker,
        label=label,
    )
    names = dict.fromkeys(name for row in steps for name in row.get("parts") or ())
    for name, color in zip(names, _COLORS[1:], strict=False):
        part = np.array([_number((row.get("parts") or {}).get(name)) for row in steps])
        axes.plot(number[some], smoothed(part, width)[some], color=color, lw=1.2, label=name)
    axes.set_ylabel("training loss")
    low, high = _bounds(loss, smoothed(loss, width))
    axes.set_ylim(low, high)
    if width or names:  # where a loss that falls leaves room
        axes.legend(loc="upper right", fontsize=9, edgecolor=_GRID)


def _draw_scores(axes: Any, evaluations: Rows, names: Sequence[str]) -> None:
    number = _column(evaluations, "step")
    for at, name in enumerate(names):
        axes.plot(
            number,
            [_number(row["scores"].get(name)) for row in evaluations],
            color=_COLORS[at % len(_COLORS)],
            linestyle=_LINES[at // len(_COLORS) % len(_LINES)],
            lw=1.8,
            marker="o",
            markersize=4,
            label=name,
        )
    axes.set_ylabel(names[0] if len(names) == 1 else "dev scores")
    if len(names) > 1:  # beside the panel, where it hides no curve
        axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=9)


def _draw_rate(axes: Any, steps: Rows) -> None:
    marker = "." if len(steps) == 1 else None
    axes.plot(_column(steps, "step"), _column(steps, "rate"), color=_INK, lw=1.5, marker=marker)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.set_ylabel("learning rate")
    axes.set_xlabel("update")


def _settle(axes: Any) -> None:
    axes.grid(color=_GRID, lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _mark(panels: Iterable[Any], best: int, last: int) -> None:
    """Says where the best evaluation was."""
    for axes in panels:
        axes.axvline(best, color=_GREY, lw=1, ls=(0, (4, 3)), zorder=0)
    left = best < last / 2
    axes.text(  # in the last panel, that of the learning rate, where there is room
        best,
        0.97,
        " best" if left else "best ",
        transform=axes.get_xaxis_transform(),
        ha="left" if left else "right",
        va="top",
        fontsize=9,
        color=_GREY,
    )


def _add_epochs(axes: Any, last: dict[str, Any]) -> None:
    """A second scale above: how much of the data was seen."""
    each = (last["step"] / last["epoch"]) if last["epoch"] else 0.0
    if each:
        above = axes.secondary_xaxis("top", functions=(lambda x: x / each, lambda x: x * each))
        above.set_xlabel("epoch")


def _bounds(loss: Curve, smooth: Curve) -> tuple[float | None, float | None]:
    """What is shown of the loss: single updates far above all others do not flatten the rest."""
    known = loss[np.isfinite(loss)]
    if len(known) < _SMOOTHED:
        return None, None
    usual = max(float(np.quantile(known, 0.995)), float(np.nanmax(smooth)))
    low = float(known.min())
    room = 0.05 * (usual - low)
    return (low - room, usual + room) if room > 0 else (None, None)


def _column(rows: Rows, name: str) -> Curve:
    return np.array([_number(row[name]) for row in rows])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
