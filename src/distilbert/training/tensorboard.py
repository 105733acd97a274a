"""A run of training in TensorBoard, where that is installed."""

import os
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from distilbert.errors import InputError
from distilbert.training.events import Begin, End, Evaluation, Event, Step

_SECONDS = 10  # after which what is written can be seen


def available() -> bool:
    """Whether TensorBoard is installed."""
    return find_spec("tensorboard") is not None


class TensorBoard:
    """An observer that writes scalars to a folder: train/loss, train/learning_rate, dev/….

    A run that goes on after update k hides what was written of later ones. Close it, or use it as a
    context manager, so that a run that ends in an error is written to its end.

    Raises InputError if TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if not available():
            raise InputError(
                "events for TensorBoard need tensorboard, which is not installed; "
                "pip install 'distilbert[tensorboard]'"
            )
        self.folder = os.fspath(folder)
        self._writer: Any = None
        self._done = 0

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Begin):
            self.close()
            self._done = event.step
        elif isinstance(event, Step):
            self._add("train", _of_step(event), event.step)
        elif isinstance(event, Evaluation):
            self._add("dev", event.scores, event.step)
            self._opened().flush()
        elif isinstance(event, End):
            self.close()

    def close(self) -> None:
        """Writes what is left. A run that begins opens it again."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _opened(self) -> Any:
        """The writer, which takes a second to import: not before the first update is done."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            make: Any = SummaryWriter  # which has no types
            self._writer = make(self.folder, purge_step=self._done + 1, flush_secs=_SECONDS)
        return self._writer

    def _add(self, group: str, values: Any, step: int) -> None:
        for name, value in values.items():
            self._opened().add_scalar(f"{group}/{name}", value, step)


def _of_step(event: Step) -> dict[str, float]:
    shown = {
        "loss": event.loss,
        **{f"loss_{name}": value for name, value in event.parts.items()},
        "learning_rate": event.rate,
        "gradient_norm": event.norm,
        "epoch": event.epoch,
    }
    if event.seconds:
        shown["tokens_per_second"] = event.tokens / event.seconds
    return shown
