"""What people see of a run of training: a bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from distilbert.cli.terminal import is_terminal, visible

if TYPE_CHECKING:
    from distilbert.training.events import Begin, Evaluation, Event, Step

_WINDOW = 50  # updates that loss and speed are the means of
_LINES = 10  # about how many lines tell of updates where there is no bar
_SHOWN = 4  # scores in a line


class Progress:
    """An observer of a run, and a context manager in which the run goes on.

    On a terminal it keeps a bar below what is written; elsewhere it writes a line about every
    tenth of the updates. Both write a line after each evaluation. All of it goes to standard
    error, or another `stream`.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._bar: Any = None
        self._task: Any = None
        self._losses = deque[float](maxlen=_WINDOW)
        self._speeds = deque[tuple[int, float]](maxlen=_WINDOW)
        self._start, self._began, self._score = 0, 0.0, ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, event: "Event") -> None:
        from distilbert.training.events import Begin, End, Evaluation, Step  # torch comes with it

        if isinstance(event, Begin):
            self._begin(event)
        elif isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Evaluation):
            self._evaluated(event)
        elif isinstance(event, End):
            self._close()
            if event.stopped:
                self._say(f"stopped after update {event.step:,}: nothing became better")

    def _begin(self, event: "Begin") -> None:
        self._close()
        self._losses.clear()
        self._speeds.clear()
        self._start, self._began, self._score = event.step, time.monotonic(), ""
        trained = f"{event.trained:,} of {event.parameters:,} parameters"
        after = f", going on after update {event.step:,}" if event.step else ""
        self._say(f"training {trained} in {event.steps:,} updates{after}")
        if is_terminal(self._stream):
            self._open(event)

    def _open(self, event: "Begin") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("update"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[told]}"),
            console=Console(file=self._stream),
            redirect_stdout=is_terminal(sys.stdout),  # what goes down a pipe stays there
            transient=True,
            refresh_per_second=4,
            expand=True,
        )
        self._task = self._bar.add_task("", total=event.steps, completed=event.step, told="")
        self._bar.start()

    def _step(self, event: "Step") -> None:
        self._losses.append(event.loss)
        self._speeds.append((event.tokens, event.seconds))
        if self._bar is not None:
            told = f"{self._told(event)}{self._score}"
            self._bar.update(self._task, completed=event.step, told=told)
        elif _tenth(event.step, event.steps) > _tenth(event.step - 1, event.steps):
            done = f"{event.step / event.steps:.0%}"
            self._say(f"update {event.step:,} of {event.steps:,} ({done}): {self._told(event)}")

    def _evaluated(self, event: "Evaluation") -> None:
        shown = ", ".join(_scores(event.scores)[:_SHOWN])
        self._score = "".join(f" · {score}" for score in _scores(event.scores)[:1])
        best = ", the best so far" if event.better else ""
        self._say(f"evaluation after update {event.step:,}, epoch {event.epoch:.2f}: {shown}{best}")

    def _told(self, event: "Step") -> str:
        """Loss, speed and time left, each as of late."""
        tokens, seconds = (sum(values) for values in zip(*self._speeds, strict=True))
        done = event.step - self._start
        left = (time.monotonic() - self._began) / done * (event.steps - event.step)
        loss = sum(self._losses) / len(self._losses)
        speed = f"{tokens / seconds:,.0f} tokens/s" if seconds else ""
        return " · ".join(filter(None, [f"loss {loss:.4f}", speed, f"{clock(left)} left"]))

    def _say(self, line: str) -> None:
        """One line, above the bar where there is one."""
        if self._bar is None:
            print(visible(line), file=self._stream, flush=True)
        else:
            self._bar.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def clock(seconds: float) -> str:
    """A duration as people read it: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _tenth(step: int, steps: int) -> int:
    """How many lines are due after so many updates."""
    return step * _LINES // steps


def _scores(scores: Mapping[str, float]) -> list[str]:
    return [f"{name} {value:,.4f}" for name, value in scores.items()]
