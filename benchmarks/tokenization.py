"""How fast do the tokenizers go, beside those of transformers?

Run it in an environment that has transformers:

    python benchmarks/tokenization.py [--texts 512] [--rounds 7] [--batch 64]

Texts are SQuAD contexts where ../shared/data lies beside the repository, else the README's
paragraphs. All tokenizers go through the same batches in one process and take turns, in an order
that changes from round to round, after one round that does not count. Each begins every round anew:
the Python one remembers words that it has seen, and would otherwise know all of them by then. What
it does once it knows them is a line of its own.
"""

# Not named tokenize.py: beside other scripts that would hide Python's own module of that name.

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

CALLS: dict[str, dict[str, Any]] = {
    "lists": {},
    "padded tensors": {
        "padding": True,
        "truncation": True,
        "max_length": 384,
        "return_tensors": "pt",
    },
    "windows, offsets": {
        "truncation": True,
        "max_length": 128,
        "stride": 32,
        "return_overflowing_tokens": True,
        "return_offsets_mapping": True,
    },
}


def texts(count: int) -> tuple[str, list[str]]:
    """What the texts are, and `count` of them."""
    path = SHARED / "squad" / "dev-v1.1.half_a.json.gz"
    if path.exists():
        data = json.loads(gzip.decompress(path.read_bytes()))["data"]
        found = [part["context"] for article in data for part in article["paragraphs"]]
        return "SQuAD contexts", found[:count]
    found = [part for part in (ROOT / "README.md").read_text().split("\n\n") if len(part) > 80]
    return "paragraphs of the README", (found * (count // len(found) + 1))[:count]


def vocabulary(folder: Path, samples: list[str]) -> Path:
    """A vocab.txt: the one of bert-base-uncased, else one that is trained on the texts."""
    packed = SHARED / "tok" / "bert-base-uncased-vocab.txt.gz"
    path = folder / "vocab.txt"
    if packed.exists():
        path.write_bytes(gzip.decompress(packed.read_bytes()))
    else:
        from distilbert import DistilBertTokenizerFast

        blank = DistilBertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        blank.train_new_from_iterator(samples, 8000, show_progress=False).save_vocabulary(folder)
    return path


def measure(
    makers: dict[str, Callable[[], Any]],
    arguments: dict[str, Any],
    batches: list[list[str]],
    rounds: int,
) -> dict[str, list[float]]:
    """Seconds of each tokenizer for all batches, in each round."""
    taken: dict[str, list[float]] = {name: [] for name in makers}
    order = list(makers)
    for turn in range(rounds + 1):
        random.Random(turn).shuffle(order)
        for name in order:
            tokenizer = makers[name]()
            seconds = go(tokenizer, arguments, batches)
            if turn:  # the first round warms up
                taken[name].append(seconds)
            if turn and name == "ours, Python":
                again = go(tokenizer, arguments, batches)
                taken.setdefault("ours, Python, warm", []).append(again)
    return taken


def go(tokenizer: Any, arguments: dict[str, Any], batches: list[list[str]]) -> float:
    start = time.perf_counter()
    for batch in batches:
        tokenizer(batch, **arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()

    import tokenizers

    import distilbert

    try:
        import transformers
    except ImportError:
        transformers = None
        print("transformers is not installed: no comparison", file=sys.stderr)

    kind, samples = texts(options.texts)
    batches = [samples[at : at + options.batch] for at in range(0, len(samples), options.batch)]
    size = sum(len(text) for text in samples)
    print(
        f"{platform.node()}: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, tokenizers {tokenizers.__version__}, "
        f"TOKENIZERS_PARALLELISM={os.environ.get('TOKENIZERS_PARALLELISM', 'unset')}, "
        f"RAYON_NUM_THREADS={os.environ.get('RAYON_NUM_THREADS', 'unset')}"
    )
    print(
        f"{len(samples)} {kind}, {size:,} characters, batches of {options.batch}, "
        f"1 round of warm-up, {options.rounds} rounds, taking turns"
    )
    with TemporaryDirectory() as folder:
        path = str(vocabulary(Path(folder), samples))
        makers: dict[str, Callable[[], Any]] = {
            "ours, fast": lambda: distilbert.DistilBertTokenizerFast(path),
            "ours, Python": lambda: distilbert.DistilBertTokenizer(path),
        }
        if transformers is not None:
            makers["reference, fast"] = lambda: transformers.DistilBertTokenizerFast(path)
            makers["reference, Python"] = lambda: transformers.DistilBertTokenizer(path)
        for call, arguments in CALLS.items():
            able = dict(makers)
            if "offsets" in call:
                able.pop("reference, Python", None)  # it has none
            report(call, measure(able, arguments, batches, options.rounds), size)


def report(call: str, taken: dict[str, list[float]], size: int) -> None:
    print(f"\n{call}")
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, times in taken.items():
        low, high = size / max(times) / 1e6, size / min(times) / 1e6
        peer = medians.get(f"reference, {name.rpartition(' ')[2]}")
        ratio = f"  {peer / medians[name]:5.2f} x the reference" if peer and "ours" in name else ""
        print(
            f"  {name:18} {size / medians[name] / 1e6:7.2f} MB/s  ({low:.2f} to {high:.2f}){ratio}"
        )


if __name__ == "__main__":
    main()
