"""How long until something is there: the import, and one embedding from a cold start.

Run it in an environment that has transformers, after `distilbert fetch minilm`:

    python benchmarks/start.py [--rounds 9]

Every figure is a whole process, started fresh, its files already in the system's cache.
"""

import argparse
import subprocess
import sys

from common import describe, report, seconds, take_turns

IMPORTS = {
    "import distilbert": "import distilbert",
    "import transformers": "import transformers",
    "distilbert, model class": "from distilbert import DistilBertModel",
    "transformers, model class": "from transformers import DistilBertModel",
    "import torch": "import torch",
    "python alone": "pass",
}
# The reference has no pipeline for mean-pooled embeddings: this is what its users write. Its
# DistilBERT does not read a BERT checkpoint, so it uses BertModel, on the same weights.
FIRST_ANSWER = {
    "distilbert": """
from distilbert import pipeline
assert pipeline("sentence-embedding")("A cold start.").shape == (384,)
""",
    "transformers": """
import sys, torch
from transformers import BertModel, BertTokenizerFast
tokenizer, model = (c.from_pretrained(sys.argv[1]) for c in (BertTokenizerFast, BertModel))
with torch.inference_mode():
    batch = tokenizer(["A cold start."], return_tensors="pt")
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    assert torch.nn.functional.normalize(mean).shape == (1, 384)
""",
}


def process(code: str, *arguments: str) -> float:
    """Seconds of a fresh process that runs `code`."""
    command = [sys.executable, "-c", code, *arguments]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds

    from distilbert.files.backbones import fetch

    folder = str(fetch("minilm"))
    print(describe("distilbert", "transformers", "torch"))
    print(f"\nImport, milliseconds of a process; median of {rounds}, one round of warm-up")
    imports = {name: lambda code=code: process(code) for name, code in IMPORTS.items()}
    report(take_turns(imports, rounds), "ms", "import transformers", 1000)
    print(f"\nOne embedding by minilm from a cold start; median of {rounds}, one round of warm-up")
    answers = {name: lambda c=code: process(c, folder) for name, code in FIRST_ANSWER.items()}
    report(take_turns(answers, rounds), "ms", "transformers", 1000)


if __name__ == "__main__":
    main()
