"""How fast is training, beside the `transformers` Trainer and `adapters`, and how soon it begins.

Run it in an environment that has adapters and transformers:

    python benchmarks/training.py [--steps 10] [--rounds 3] [--layers 6] [--data DIR]

A DistilBERT of full size with random weights, SST-2's training phrases or sentences, batches of 32.
Both start from the same weights; the Trainer pads each batch to its longest row and groups rows by
length, which is its fastest setting. Each takes turns of `--steps` updates in one process: forward,
backward, clipping, AdamW, schedule. `--start` measures instead, each in a process of its own, the
time from the command to the end of the first update, the whole training file read and tokenised.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from common import SHARED, describe, report, take_turns

METHODS = {"seq_bn": "seq_bn", "lora": "lora", "full": None}
SEED, BATCH = 42, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10, help="updates of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rows", type=int, default=3200, help="examples that are trained on")
    parser.add_argument("--data", type=Path, default=SHARED / "glue" / "SST-2")
    parser.add_argument("--sentences", action="store_true", help="train on dev: no short phrases")
    parser.add_argument("--start", action="store_true", help="measure the way to the first update")
    options = parser.parse_args()
    threads = f"{torch.get_num_threads()} threads"
    print(describe("distilbert", "adapters", "transformers", "torch"), f"; {threads}")
    with tempfile.TemporaryDirectory() as place:
        options.model = made_model(Path(place), options.layers)
        if options.start:
            first_updates(options)
            return
        rows = read_rows(options)
        print(f"{len(rows)} examples; median of {options.rounds} turns of {options.steps} updates")
        for method in METHODS:
            side_by_side(method, rows, options)


def made_model(folder: Path, layers: int) -> Path:
    """A model of full size with random weights, and a tokenizer with the published vocabulary."""
    from distilbert import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        DistilBertTokenizerFast,
    )

    torch.manual_seed(0)
    DistilBertForSequenceClassification(DistilBertConfig(n_layers=layers)).save_pretrained(folder)
    DistilBertTokenizerFast.from_pretrained("minilm").save_pretrained(folder)
    return folder


def read_rows(options: argparse.Namespace) -> list:
    from distilbert.data.layouts import read

    data = read("sst2", options.data, "dev" if options.sentences else "train")
    return list(data.examples[: options.rows])


# Speed -------------------------------------------------------------------------------------------


def side_by_side(method: str, rows: list, options: argparse.Namespace) -> None:
    """Real tokens per second of training, in both packages."""
    print(f"\n{method}: real tokens per second of training")
    engines = {
        "distilbert": partial(ours, method, rows, options),
        "transformers Trainer": partial(theirs, method, rows, options),
    }
    report(take_turns(engines, options.rounds), "tokens/s", "transformers Trainer")


def ours(method: str, rows: list, options: argparse.Namespace) -> float:
    from distilbert.data.examples import Dataset
    from distilbert.training import Recipe, Step
    from distilbert.training.tuning import Run, Tuning

    steps = []

    def watch(event):
        if isinstance(event, Step):
            steps.append(event)

    data = Dataset("classification", tuple(rows), ("negative", "positive"))
    run = Run(
        Tuning(
            model=str(options.model),
            train=data,
            adapter=METHODS[method],
            max_length=128,
            batch_size=BATCH,
            recipe=Recipe(steps=options.steps + 1, seed=SEED),
        )
    )
    run.run(observers=[watch])
    steps = steps[1:]  # the first makes the optimizer's state
    return sum(step.tokens for step in steps) / sum(step.seconds for step in steps)


def theirs(method: str, rows: list, options: argparse.Namespace) -> float:
    trainer, seen = their_trainer(method, rows, options)
    trainer.train()
    seen.pop(0)
    return sum(tokens for tokens, _ in seen) / sum(seconds for _, seconds in seen)


def their_trainer(method: str, rows: list, options: argparse.Namespace, steps: int | None = None):
    """A Trainer as its users write it, and what it tells: tokens and seconds of each update."""
    import transformers

    import adapters

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model, use_fast=True)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(options.model)
    if METHODS[method]:
        adapters.init(model)
        model.add_adapter("a", config=METHODS[method])
        model.train_adapter("a")
    encoded = tokenizer([row.texts[0] for row in rows], truncation=True, max_length=128)
    names = {"negative": 0, "positive": 1}
    examples = [
        {"input_ids": ids, "attention_mask": mask, "labels": names[row.label]}
        for ids, mask, row in zip(
            encoded["input_ids"], encoded["attention_mask"], rows, strict=True
        )
    ]
    seen: list[tuple[int, float]] = []

    class Watch(transformers.TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.began = time.perf_counter()

        def on_step_end(self, *_, **__):
            seen.append((counted.pop(0), time.perf_counter() - self.began))
            counted.clear()

    counted: list[int] = []
    pad = transformers.DataCollatorWithPadding(tokenizer)

    def collate(rows):
        batch = pad(rows)
        counted.append(int(batch["attention_mask"].sum()))
        return batch

    arguments = transformers.TrainingArguments(
        output_dir=str(options.model / "out"),
        per_device_train_batch_size=BATCH,
        max_steps=steps or options.steps + 1,
        learning_rate=1e-4,
        weight_decay=0.01,
        warmup_ratio=0.06,
        group_by_length=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        seed=SEED,
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer_class = adapters.AdapterTrainer if METHODS[method] else transformers.Trainer
    trainer = trainer_class(
        model=model,
        args=arguments,
        train_dataset=examples,
        data_collator=collate,
        callbacks=[Watch()],
    )
    return trainer, seen


# Start -------------------------------------------------------------------------------------------


def first_updates(options: argparse.Namespace) -> None:
    """Seconds from the command to the end of the first update, for an adapter."""
    engines = {
        "distilbert train": partial(our_start, options),
        "a script with Trainer": partial(their_start, options),
    }
    print("seconds from the command to the end of the first update, SST-2 train, seq_bn")
    report(take_turns(engines, options.rounds), "s", "a script with Trainer")


def our_start(options: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "distilbert", "train", "--task", "sst2"]
        command += ["--data", str(options.data), "--model", str(options.model)]
        command += ["--adapter", "seq_bn", "--max-length", "128", "--out", f"{out}/run"]
        metrics = Path(out, "run", "metrics.jsonl")
        return until(command, lambda: metrics.is_file() and b"\n" in metrics.read_bytes())


def their_start(options: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as out:
        done = Path(out, "done")
        code = (
            "import sys, argparse, pathlib; sys.path.insert(0, sys.argv[1]);"
            "import training;"
            "options = argparse.Namespace(model=pathlib.Path(sys.argv[2]), steps=1);"
            "rows = training.their_rows(sys.argv[3]);"
            "trainer, seen = training.their_trainer('seq_bn', rows, options, 1);"
            "trainer.train(); pathlib.Path(sys.argv[4]).touch()"
        )
        here = str(Path(__file__).parent)
        arguments = [here, str(options.model), str(options.data), str(done)]
        return until([sys.executable, "-c", code, *arguments], done.exists)


def their_rows(folder: str) -> list:
    """SST-2's training rows, read plainly."""
    import gzip
    from types import SimpleNamespace

    path = Path(folder, "train.tsv")
    raw = path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())
    lines = raw.decode().split("\n")[1:]
    pairs = [line.split("\t") for line in lines if line]
    names = ("negative", "positive")
    return [SimpleNamespace(texts=(text,), label=names[int(label)]) for text, label in pairs]


def until(command: list[str], is_done) -> float:
    """Seconds from starting the command until something is so; it is ended then."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not is_done():
            if process.poll() is not None and not is_done():
                raise RuntimeError(process.stderr.read().decode())
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        process.kill()
    return seconds


if __name__ == "__main__":
    main()
