"""metrics.jsonl: every update and evaluation of a run as a line of JSON."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distilbert.errors import FileError
from distilbert.files.atomic import make_folder, writing
from distilbert.training.events import Begin, Evaluation, Event, Step

METRICS = "metrics.jsonl"


class MetricsFile:
    """An observer that writes what happens to a file, line by line, so that a kill loses none.

    | event      | keys                                                                       |
    |------------|----------------------------------------------------------------------------|
    | step       | step, epoch, loss, parts, rate, norm, tokens, seconds, tokens_per_second   |
    | evaluation | step, epoch, scores, better, seconds                                       |

    A number that is not finite becomes null. A run that begins anew empties the file; one that goes
    on after update k keeps the lines up to k, so that each update has one line.

    Raises FileError if the file cannot be written, or, going on, if it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Begin):
            self._begin(event.step)
        elif isinstance(event, Step | Evaluation):
            self._append(row_of(event))

    def _begin(self, step: int) -> None:
        kept: list[dict[str, Any]] = []
        if step and self.path.exists():
            kept = [row for row in read_metrics(self.path) if row["step"] <= step]
        make_folder(self.path.parent)
        with writing(self.path) as temporary:
            temporary.write_text("".join(map(_line, kept)), encoding="utf-8", newline="\n")

    def _append(self, row: Mapping[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(_line(row))
        except OSError as error:
            raise FileError(
                f"cannot write to {str(self.path)!r}: {error.strerror or error}; see to it that "
                "there is room and that the folder stays, then go on from the last checkpoint"
            ) from error


def row_of(event: Step | Evaluation) -> dict[str, Any]:
    """What is written of an event."""
    if isinstance(event, Evaluation):
        return {
            "event": "evaluation",
            "step": event.step,
            "epoch": event.epoch,
            "scores": dict(event.scores),
            "better": event.better,
            "seconds": event.seconds,
        }
    return {
        "event": "step",
        "step": event.step,
        "epoch": event.epoch,
        "loss": event.loss,
        "parts": dict(event.parts),
        "rate": event.rate,
        "norm": event.norm,
        "tokens": event.tokens,
        "seconds": event.seconds,
        "tokens_per_second": event.tokens / event.seconds if event.seconds else None,
    }


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of such a file, in order.

    A last line that a kill cut short is left out. Raises FileError, naming file and line, for any
    other that is no line of metrics.
    """
    return [*_rows(Path(path))]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"cannot read the metrics {str(path)!r}: {error.strerror or error}; name the "
            f"{METRICS} of a run"
        ) from error
    lines = text.split(b"\n")
    lines.pop()  # empty, or cut short
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not _is_row(row):
            raise FileError(
                f"{str(path)!r}, line {number}: {line[:60].decode(errors='replace')!r} is no step "
                "or evaluation of a run; delete the line, or the file to begin anew"
            )
        yield row


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return False
    if row.get("event") == "evaluation":
        return isinstance(row.get("scores"), dict) and all(map(_is_number, row["scores"].values()))
    return row.get("event") == "step" and all(
        name in row and _is_number(row[name]) for name in ("epoch", "loss", "rate")
    )


def _is_number(value: Any) -> bool:
    return value is None or type(value) in (int, float)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """With null for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
