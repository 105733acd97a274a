"""Loading a full-size checkpoint: memory and time, beside the installed reference.

    python benchmarks/load.py [--runs 7] [--dtype float32]

Every run is a fresh process, and the two packages take turns. A run imports its package, notes what
the process holds, loads, and makes one forward pass, so that mapped pages are really read. What the
numbers count (Linux, /proc/self/status):

- peak: the most that was resident at once (VmHWM), less what was resident before loading. Pages of
  a mapped file count in full once they are touched, although the system may take them back at any
  time and shares them among processes.
- own: what is resident and belongs to the process alone (RssAnon), less what did before: copies.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from common import describe, take_turns

THREADS = 2
PACKAGES = {"ours": "distilbert", "reference": "transformers"}


def status() -> dict[str, int]:
    """Bytes by the names of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(value) * 1024 for name, value, _ in fields}


def load_once(package: str, folder: str, dtype: str) -> dict[str, float]:
    import torch

    torch.set_num_threads(THREADS)
    module = __import__(package)
    model_class = module.DistilBertForMaskedLM
    if package == "distilbert":
        import distilbert.files.checkpoint  # noqa: F401  (the reference has imported its own)
    ids = torch.arange(1000, 1128)[None]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = status()
    start = time.perf_counter()
    model = model_class.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    loaded = time.perf_counter()
    after_load = status()
    with torch.no_grad():
        model(ids)
    end = time.perf_counter()
    after_forward = status()
    return {
        "load seconds": loaded - start,
        "load + forward seconds": end - start,
        "load peak": after_load["VmHWM"] - before["VmRSS"],
        "load own": after_load["RssAnon"] - before["RssAnon"],
        "load + forward peak": after_forward["VmHWM"] - before["VmRSS"],
    }


def in_fresh_process(package: str, folder: str, dtype: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--once", package, folder, dtype]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def make_checkpoint(folder: str) -> int:
    """A random model of the size of distilbert-base-uncased; the bytes of its weights."""
    from distilbert import DistilBertConfig, DistilBertForMaskedLM

    DistilBertForMaskedLM(DistilBertConfig()).save_pretrained(folder)
    return (Path(folder) / "model.safetensors").stat().st_size


def show(results: dict[str, list[dict[str, float]]], size: int) -> None:
    print(f"{'':26}{'median':>22}{'spread':>22}")
    for measure in results["ours"][0]:
        for name, runs in results.items():
            values = [run[measure] for run in runs]
            print(f"{measure:26}{name:>10} {_row(measure, values, size)}")


def _row(measure: str, values: list[float], size: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    if measure.endswith("seconds"):
        return f"{middle * 1000:9.0f} ms {low * 1000:12.0f} – {high * 1000:.0f} ms"
    spread = f"{low / 2**20:.0f} – {high / 2**20:.0f} MiB"
    return f"{middle / 2**20:8.0f} MiB {spread:>22}   {middle / size:.2f} × the weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--dtype", default="float32", help="float32, as the file, or another")
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(load_once(*arguments.once)))
        return

    with tempfile.TemporaryDirectory() as folder:
        size = make_checkpoint(folder)
        engines = {
            name: partial(in_fresh_process, package, folder, arguments.dtype)
            for name, package in PACKAGES.items()
        }
        results = take_turns(engines, arguments.runs)  # the warm-up fills the system's file cache
    print(describe("distilbert", "transformers", "torch"), f"; {THREADS} threads in each process")
    print(
        f"weights of {size / 2**20:.0f} MiB float32, loaded as {arguments.dtype}; "
        f"1 warm-up and {arguments.runs} runs each, taking turns"
    )
    show(results, size)


if __name__ == "__main__":
    main()
