"""How fast is the published forward pass, padded, beside that of transformers?

Run it in an environment that has transformers:

    python benchmarks/forward.py [--rounds 7] [--layers 6]

Both run a DistilBERT of full size with the same random weights on the same padded batches, in one
process, and take turns. The session, which packs and reads only what the head asks for, runs beside
them on the same rows.
"""

import argparse
import random

import torch

from common import describe, report, seconds, take_turns
from distilbert import DistilBertConfig, DistilBertForSequenceClassification, Session

SHAPES = {
    "32 rows of 128 tokens": [128] * 32,
    "64 rows of 5 to 60 tokens, sorted": sorted(random.Random(0).choices(range(5, 61), k=64)),
    "1 row of 16 tokens": [16],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", type=int, default=6)
    options = parser.parse_args()
    import transformers

    config = DistilBertConfig(n_layers=options.layers)
    ours = DistilBertForSequenceClassification(config).eval()
    theirs = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(n_layers=options.layers)
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    session = Session(ours, None)
    print(describe("distilbert", "transformers", "torch"), f"; {torch.get_num_threads()} threads")
    for shape, lengths in SHAPES.items():
        draw = random.Random(1)
        rows = [[draw.randrange(1000, 30000) for _ in range(length)] for length in lengths]
        batches = [padded(rows[at : at + 32]) for at in range(0, len(rows), 32)]

        def run(model, batches=batches):
            with torch.inference_mode():
                return seconds(lambda: [model(*batch) for batch in batches])

        engines = {
            "distilbert, padded": lambda run=run: run(ours),
            "transformers, padded": lambda run=run: run(theirs),
            "distilbert, session": lambda rows=rows: seconds(lambda: session.logits(rows)),
        }
        tokens = sum(lengths)
        taken = take_turns(engines, options.rounds)
        speeds = {name: [tokens / s for s in figures] for name, figures in taken.items()}
        print(f"\n{shape}: real tokens per second; median of {options.rounds}, one warm-up")
        report(speeds, "tokens/s", "transformers, padded")


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """ids and mask, (rows, columns)"""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return ids, (ids != 0).long()


if __name__ == "__main__":
    main()
