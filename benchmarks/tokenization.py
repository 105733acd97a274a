"""How fast do the tokenizers go, beside those of transformers?

Run it in an environment that has transformers:

    python benchmarks/tokenization.py [--texts 512] [--rounds 7] [--batch 64]

Texts are SQuAD contexts where ../shared/data lies beside the repository, else the README's
paragraphs. All tokenizers go through the same batches in one process and take turns. Each begins
every round anew: the Python one remembers words that it has seen, and would otherwise know all of
them by then. What it does once it knows them is a line of its own.
"""

# Not named tokenize.py: beside other scripts that would hide Python's own module of that name.

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import ROOT, SHARED, describe, report, seconds, take_turns
from distilbert import DistilBertTokenizer as OurPython
from distilbert import DistilBertTokenizerFast as OurFast

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
        blank = OurFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        blank.train_new_from_iterator(samples, 8000, show_progress=False).save_vocabulary(folder)
    return path


def go(tokenizer: Any, arguments: dict[str, Any], batches: list[list[str]]) -> float:
    """Characters per second."""
    size = sum(len(text) for batch in batches for text in batch)
    return size / seconds(lambda: [tokenizer(batch, **arguments) for batch in batches])


def warm(tokenizer: Any, arguments: dict[str, Any], batches: list[list[str]]) -> float:
    """The same for a tokenizer that has seen these words before, as a server's has."""
    go(tokenizer, arguments, batches)
    return go(tokenizer, arguments, batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()

    import transformers

    kind, samples = texts(options.texts)
    batches = [samples[at : at + options.batch] for at in range(0, len(samples), options.batch)]
    print(describe("distilbert", "transformers", "tokenizers"))
    print(
        f"{len(samples)} {kind}, {sum(map(len, samples)):,} characters, batches of "
        f"{options.batch}; a fresh tokenizer each time; median of {options.rounds}, one warm-up"
    )
    with TemporaryDirectory() as folder:
        path = str(vocabulary(Path(folder), samples))
        for call, arguments in CALLS.items():
            engines = {
                "distilbert, fast": lambda a=arguments: go(OurFast(path), a, batches),
                "transformers, fast": lambda a=arguments: go(
                    transformers.DistilBertTokenizerFast(path), a, batches
                ),
                "distilbert, Python": lambda a=arguments: go(OurPython(path), a, batches),
                "distilbert, Python, warm": lambda a=arguments: warm(OurPython(path), a, batches),
            }
            if "offsets" not in call:  # the reference's Python tokenizer has none
                engines["transformers, Python"] = lambda a=arguments: go(
                    transformers.DistilBertTokenizer(path), a, batches
                )
            taken = take_turns(engines, options.rounds)
            print(f"\n{call}: million characters per second")
            report(taken, "M/s", "transformers, fast", 1e-6)
            if "transformers, Python" in taken:
                ours = ("distilbert, Python", "transformers, Python")
                report({name: taken[name] for name in ours}, "M/s", ours[1], 1e-6)


if __name__ == "__main__":
    main()
