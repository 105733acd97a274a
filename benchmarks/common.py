"""What every benchmark does: name the machine, let engines take turns, print the medians."""

import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


def describe(*packages: str) -> str:
    """The machine, its limit of threads and the versions of what is measured, in one line."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    return f"{_processor()}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}; {', '.join(found)}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(
    engines: Mapping[str, Callable[[], T]], rounds: int, warm_up: int = 1
) -> dict[str, list[T]]:
    """What each engine measures of itself, once a round, in an order that changes by round.

    The machine's speed drifts: engines that take turns meet the same machine. The first `warm_up`
    rounds do not count.
    """
    taken: dict[str, list[T]] = {name: [] for name in engines}
    order = list(engines)
    for turn in range(warm_up + rounds):
        random.Random(turn).shuffle(order)
        for name in order:
            measured = engines[name]()
            if turn >= warm_up:
                taken[name].append(measured)
    return taken


def number(figure: float) -> str:
    """Three digits of a figure, or all before its point."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def report(taken: Mapping[str, list[float]], unit: str, against: str, scale: float = 1.0) -> None:
    """A line for each engine: median, least and most, and its ratio to `against`.

    The ratio is the median of the ratios round by round.
    """
    for name, figures in taken.items():
        ratio = statistics.median(a / b for a, b in zip(figures, taken[against], strict=True))
        low, middle, high = min(figures), statistics.median(figures), max(figures)
        print(
            f"  {name:<32} {number(middle * scale):>8} {unit:<10} "
            f"({number(low * scale)} to {number(high * scale)})   {ratio:5.2f} × {against}"
        )
