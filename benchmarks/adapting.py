"""How fast are adapters here, beside the `adapters` package, and how much does each row's own cost?

Run it in an environment that has adapters and transformers:

    python benchmarks/adapting.py [--rounds 7] [--layers 6] [--lengths FILE]

A DistilBERT of full size with random weights, and rows as long as SST-2's sentences (or the lines
of a file, in word pieces of the embedded default's tokenizer). Both packages get the same weights,
the same batches of 32 rows ordered by length, and take turns in one process.
"""

import argparse
import copy
import random
from functools import partial
from pathlib import Path

import torch

from common import SHARED, describe, report, seconds, take_turns
from distilbert import DistilBertConfig, DistilBertForSequenceClassification
from distilbert.adapters import PerRow
from distilbert.flow import Flow
from distilbert.layout import Packed

METHODS = {"seq_bn": "seq_bn", "lora": "lora"}
ROWS, ADAPTERS = 32, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batches", type=int, default=2, help="batches of 32 rows a measurement")
    parser.add_argument("--lengths", type=Path, default=SHARED / "glue" / "SST-2" / "dev.tsv")
    options = parser.parse_args()
    print(
        describe("distilbert", "adapters", "transformers", "torch"),
        f"; {torch.get_num_threads()} threads",
    )
    lengths = row_lengths(options.lengths, ROWS * options.batches)
    draw = random.Random(1)
    rows = [torch.tensor([draw.randrange(1000, 30000) for _ in range(n)]) for n in lengths]
    batches = [rows[at : at + ROWS] for at in range(0, len(rows), ROWS)]
    shown = f"{len(rows)} rows of {lengths[-1]} to {lengths[0]} tokens, {sum(lengths)} in all"
    print(f"{shown}; median of {options.rounds} rounds, one warm-up")
    for method in METHODS:
        beside(method, batches, options)
    idle(batches, options)
    for method in METHODS:
        each_row_its_own(method, batches[0], options)


def row_lengths(path: Path, count: int) -> list[int]:
    """Lengths of the first texts of a file, most first."""
    from distilbert import DistilBertTokenizerFast

    lines = path.read_text(encoding="utf-8").split("\n")[1 : count + 1]
    tokenizer = DistilBertTokenizerFast.from_pretrained("minilm")
    texts = [line.split("\t")[0] for line in lines]
    return sorted((len(row) for row in tokenizer(texts)["input_ids"]), reverse=True)


def model_of(options: argparse.Namespace) -> DistilBertForSequenceClassification:
    torch.manual_seed(0)
    return DistilBertForSequenceClassification(DistilBertConfig(n_layers=options.layers))


# Beside the adapters package ---------------------------------------------------------------------


def beside(method: str, batches: list[list[torch.Tensor]], options: argparse.Namespace) -> None:
    """Forward passes and steps of training, in both packages."""
    import transformers

    import adapters

    ours = model_of(options)
    theirs = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(n_layers=options.layers)
    )
    theirs.load_state_dict(ours.state_dict())
    adapters.init(theirs)
    for model in (ours, theirs):
        model.add_adapter("a", METHODS[method])
        model.train_adapter("a")
    weights = {k: v for k, v in theirs.state_dict().items() if ".a." in k}
    ours.load_state_dict(weights, strict=False)
    tokens = sum(len(row) for batch in batches for row in batch)

    def speeds(taken):
        return {name: [tokens / s for s in figures] for name, figures in taken.items()}

    print(f"\n{method}, forward: real tokens per second")
    engines = {
        "distilbert, packed": partial(forward, ours, partial(packed, ours), batches),
        "distilbert, padded": partial(forward, ours, partial(padded, ours), batches),
        "adapters, padded": partial(forward, theirs, partial(padded, theirs), batches),
    }
    report(speeds(take_turns(engines, options.rounds)), "tokens/s", "adapters, padded")
    print(f"\n{method}, step of training (forward, backward, AdamW): real tokens per second")
    engines = {
        "distilbert, packed": partial(train, ours, partial(packed, ours), batches),
        "distilbert, padded": partial(train, ours, partial(padded, ours), batches),
        "adapters, padded": partial(train, theirs, partial(padded, theirs), batches),
    }
    report(speeds(take_turns(engines, options.rounds)), "tokens/s", "adapters, padded")


def packed(model, batch: list[torch.Tensor]) -> torch.Tensor:
    """Logits of rows end to end, the last layer for the first token alone: as training runs it."""
    layout = Packed(tuple(len(row) for row in batch))
    encoder = model.base_model
    flow = Flow(layout, plan=model.adapters_config.active)
    return model.logits(encoder.encode(torch.cat(batch), flow, "first").hidden)


def padded(model, batch: list[torch.Tensor]) -> torch.Tensor:
    """Logits by the published interface."""
    ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
    return model(ids, (ids != 0).long()).logits


def forward(model, run, batches) -> float:
    model.eval()
    with torch.inference_mode():
        return seconds(lambda: [run(batch) for batch in batches])


def train(model, run, batches) -> float:
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def steps():
        for batch in batches:
            logits = run(batch)
            labels = torch.zeros(len(logits), dtype=torch.long)
            torch.nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    return seconds(steps)


# Adapters that do not act ------------------------------------------------------------------------


def idle(batches: list[list[torch.Tensor]], options: argparse.Namespace) -> None:
    """The plain model beside one that has fifty adapters, none of them active."""
    plain = model_of(options)
    full = copy.deepcopy(plain)
    for number in range(50):
        full.add_adapter(f"a{number}", ("seq_bn", "lora")[number % 2])
    print("\n50 adapters, none active: milliseconds of a forward pass")
    engines = {
        "with 50 adapters": partial(forward, full, partial(padded, full), batches),
        "plain": partial(forward, plain, partial(padded, plain), batches),
    }
    report(take_turns(engines, 3 * options.rounds), "ms", "plain", scale=1e3)


# Each row its own --------------------------------------------------------------------------------


def each_row_its_own(method: str, batch: list[torch.Tensor], options: argparse.Namespace) -> None:
    """32 rows with 16 different adapters: at once, adapter by adapter, and the base alone."""
    model = model_of(options).eval()
    for number in range(ADAPTERS):
        model.add_adapter(f"a{number}", METHODS[method])
    own = [f"a{row % ADAPTERS}" for row in range(len(batch))]

    def run(rows, adapter_names):
        flow = Flow(Packed(tuple(len(r) for r in rows)), plan=model.plan(adapter_names))
        with torch.inference_mode():
            model.logits(model.base_model.encode(torch.cat(rows), flow, "first").hidden)

    groups = {name: [r for r, n in zip(batch, own, strict=True) if n == name] for name in own}
    print(f"\n32 rows with 16 different adapters ({method}): milliseconds")
    engines = {
        "each row its own": lambda: seconds(lambda: run(batch, PerRow(own))),
        "adapter by adapter": lambda: seconds(
            lambda: [run(rows, name) for name, rows in groups.items()]
        ),
        "base alone": lambda: seconds(lambda: run(batch, [])),
    }
    report(take_turns(engines, options.rounds), "ms", "base alone", scale=1e3)


if __name__ == "__main__":
    main()
