"""`distilbert train` on a tiny model: what it leaves, sweeps, resumption, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from distilbert import DistilBertForSequenceClassification, DistilBertTokenizerFast
from distilbert.cli.app import app
from distilbert.data.load import load
from distilbert.evaluation.evaluate import evaluate
from distilbert.training.metrics_file import read_metrics
from tiny import LABELS

pytestmark = pytest.mark.usefixtures("one_thread")
COMMAND = "train"

GOOD, BAD = ("a good film", "the sun", "good"), ("a bad film", "the rain", "bad")
QUICK = ("--lr", "1e-2", "--epochs", "8", "--batch-size", "6")


@pytest.fixture
def base(tiny_folder):
    return tiny_folder("DistilBertModel")


@pytest.fixture
def files(tmp_path):
    """Options that name a training and a dev file of reviews."""
    rows = [
        f"{text} {word},{mood}"
        for word in ("now", "here", "in Paris", "never")
        for mood, texts in (("positive", GOOD), ("negative", BAD))
        for text in texts
    ]
    for name, own in (("train", rows), ("dev", rows[::3])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["review,mood", *own, ""]))
    named = ("--train", tmp_path / "train.csv", "--dev", tmp_path / "dev.csv")
    return (*named, "--text", "review", "--label", "mood")


def test_an_adapter_is_trained_saved_and_loads_with_the_scores_that_were_told(
    records, base, files, tmp_path
):
    out = tmp_path / "runs" / "mood"
    (told,) = records(*files, "--model", base, "--adapter", "seq_bn", *QUICK, "--out", out)
    assert told["folder"] == str(out)
    assert told["scores"]["accuracy"] > 0.6  # it learns, and what is told is not by chance
    left = {path.name for path in out.iterdir()} - {"tensorboard"}
    assert left == {
        *("adapter.safetensors", "adapter_config.json", "head_config.json", "README.md"),
        *("model_head.safetensors", "run.json", "metrics.jsonl", "curves.png"),
    }
    model = DistilBertForSequenceClassification.from_pretrained(base, num_labels=2)
    assert model.load_adapter(str(out), set_active=True) == "mood"
    assert model.config.id2label == {0: "negative", 1: "positive"}
    tokenizer = DistilBertTokenizerFast.from_pretrained(base)
    data = load(files[3], text="review", label="mood")
    assert evaluate(model, tokenizer, data).scores == told["scores"]
    record = json.loads((out / "run.json").read_text())
    assert record["scores"] == told["scores"]
    assert record["recipe"]["learning_rate"] == 1e-2
    assert (out / "README.md").read_text().count("accuracy") >= 1


def test_a_whole_model_is_trained_and_loads_by_its_name(records, base, files, tmp_path):
    (told,) = records(*files, "--model", base, "--full", *QUICK, "--out", tmp_path / "out")
    model = DistilBertForSequenceClassification.from_pretrained(tmp_path / "out")
    tokenizer = DistilBertTokenizerFast.from_pretrained(tmp_path / "out")
    data = load(files[3], text="review", label="mood")
    assert evaluate(model, tokenizer, data).scores == told["scores"]
    before = load_file(base / "model.safetensors")
    after = model.distilbert.state_dict()
    assert not torch.equal(
        after["embeddings.LayerNorm.weight"], before["embeddings.LayerNorm.weight"]
    )


def test_what_a_run_is_told_decides_it(records, base, files, tmp_path):
    """Each option of the command reaches its place: the record of the run says so."""
    options = {
        "--lora": ("r=2,alpha=4", ("model", "adapters", "mine", "r"), 2),
        "--name": ("mine", None, None),
        "--steps": (3, ("recipe", "steps"), 3),
        "--schedule": ("cosine", ("recipe", "schedule"), "cosine"),
        "--warmup": (2, ("recipe", "warmup"), 2.0),
        "--weight-decay": (0.2, ("recipe", "weight_decay"), 0.2),
        "--clip": (0, ("recipe", "clip"), None),
        "--batch-size": (0, ("batches", "batch_size"), None),
        "--token-budget": (40, ("batches", "token_budget"), 40),
        "--accumulate": (2, ("recipe", "accumulate"), 2),
        "--label-smoothing": (0.1, ("objective", "label_smoothing"), 0.1),
        "--class-weights": ("positive=2", ("objective", "class_weights"), [1.0, 2.0]),
        "--adapter-drop": (1, ("objective", "adapter_drop"), 1),
        "--precision": ("bfloat16", ("recipe", "precision"), "bfloat16"),
        "--seed": (7, ("recipe", "seed"), 7),
        "--evaluate-every": (2, ("recipe", "evaluate_every"), 2),
        "--metric": ("f1", ("recipe", "metric"), "f1"),
        "--patience": (9, ("recipe", "patience"), 9),
        "--checkpoint-every": (1, ("recipe", "checkpoint_every"), 1),
    }
    given = [part for name, (value, _, _) in options.items() for part in (name, value)]
    out = tmp_path / "out"
    records(*files, "--model", base, *given, "--last", "--gradient-checkpointing", "--out", out)
    record = json.loads((out / "run.json").read_text())
    for name, (_, path, expected) in options.items():
        found = record
        for key in path or ():
            found = found[key]
        assert path is None or found == expected, name
    assert record["recipe"]["keep_best"] is False
    assert record["recipe"]["gradient_checkpointing"] is True
    steps = [row["step"] for row in read_metrics(out / "metrics.jsonl") if row["event"] == "step"]
    assert steps == [1, 2, 3]


def test_data_may_be_held_out_and_cut(records, base, files, tmp_path):
    only = (*files[:2], *files[4:])
    records(
        *only,
        "--model",
        base,
        "--hold-out",
        "0.25",
        "--examples",
        9,
        "--steps",
        1,
        "--out",
        tmp_path / "out",
    )
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    counts = {name: part["examples"] for name, part in record["data"].items()}
    assert counts == {"train": 9, "held_out": 6}


@pytest.mark.parametrize(
    ("name", "text", "options", "score"),
    [
        (
            "pairs.tsv",
            "a\tb\tlabel\nthe cat\ta cat\t4.5\nthe sun\ta dog\t0.5\n",
            ("--text", "a", "--text", "b"),
            "pearson",
        ),
        (
            "several.jsonl",
            '{"text": "red", "label": ["x", "y"]}\n{"text": "blue", "label": []}\n',
            (),
            "micro_f1",
        ),
        (
            "choice.jsonl",
            '{"text": "the cat", "choices": ["runs", "river", "12"], "label": 0}\n',
            (),
            "accuracy",
        ),
        ("tags.conll", "Anna\tB-PER\nsees\tO\n\nParis\tB-LOC\n", (), "f1"),
        ("plain.txt", "the cat sees the dog\nthe dog runs\n\na good day\n", (), "perplexity"),
        (
            "squad.json",
            json.dumps(
                {
                    "data": [
                        {
                            "title": "t",
                            "paragraphs": [
                                {
                                    "context": "Anna lives in Paris .",
                                    "qas": [
                                        {
                                            "id": "1",
                                            "question": "where ?",
                                            "answers": [{"text": "Paris", "answer_start": 14}],
                                        }
                                    ],
                                }
                            ],
                        }
                    ]
                }
            ),
            (),
            "f1",
        ),
    ],
)
def test_every_kind_of_file_is_trained_on(records, base, tmp_path, name, text, options, score):
    path = tmp_path / name
    path.write_text(text)
    files = ("--train", path, "--dev", path, "--model", base, *options)
    (told,) = records(*files, "--steps", 2, "--out", tmp_path / "out")
    assert score in told["scores"]
    assert (tmp_path / "out" / "adapter.safetensors").is_file()


def test_trained_adapters_are_fused(records, base, files, tmp_path):
    for name in ("one", "two"):
        records(*files, "--model", base, "--steps", 2, "--out", tmp_path / name)
    out = tmp_path / "out"
    fused = ("--fuse", tmp_path / "one", "--fuse", tmp_path / "two")
    (told,) = records(*files, "--model", base, *fused, *QUICK, "--out", out)
    assert {"one", "two", "one,two", "adapter_setup.json"} <= {p.name for p in out.iterdir()}
    for name in ("one", "two"):  # what is fused stays as it was
        before = load_file(tmp_path / name / "adapter.safetensors")
        after = load_file(out / name / "adapter.safetensors")
        assert all(torch.equal(before[key], after[key]) for key in before)
    model = DistilBertForSequenceClassification.from_pretrained(base, num_labels=2)
    model.load_adapter_setup(str(out), set_active=True)
    data = load(files[3], text="review", label="mood")
    tokenizer = DistilBertTokenizerFast.from_pretrained(base)
    assert evaluate(model, tokenizer, data).scores == told["scores"]


def test_a_sweep_tells_medians_and_goes_on_where_it_was_broken_off(records, base, files, tmp_path):
    out = tmp_path / "out"
    asked = (
        *files,
        "--model",
        base,
        "--epochs",
        2,
        "--seeds",
        3,
        "--sweep",
        "learning_rate=1e-2,1e-4",
        "--out",
        out,
    )
    rows = records(*asked)
    assert [row["settings"] for row in rows] == [{"learning_rate": 1e-2}, {"learning_rate": 1e-4}]
    for row in rows:
        scores = row["scores"]["accuracy"]
        assert len(scores) == 3
        assert row["median"]["accuracy"] == sorted(scores)[1]
    told = json.loads((out / "sweep.json").read_text())
    assert [run["folder"] for run in told["runs"]] == [
        f"learning_rate={rate},seed={seed}" for rate in (0.01, 0.0001) for seed in (42, 43, 44)
    ]
    first, second = (out / run["folder"] for run in told["runs"][:2])
    untouched = (first / "run.json").stat().st_mtime_ns
    shutil.rmtree(second)
    assert records(*asked, "--resume") == rows
    assert (first / "run.json").stat().st_mtime_ns == untouched
    assert (second / "adapter.safetensors").is_file()


def test_a_killed_command_goes_on_to_the_same_adapter(records, base, files, tmp_path):
    asked = [
        *files,
        "--model",
        base,
        "--epochs",
        40,
        "--batch-size",
        4,
        "--checkpoint-every",
        1,
        "--threads",
        1,
    ]
    whole, killed = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    records(*asked, "--out", whole)
    command = [sys.executable, "-m", "distilbert", "train", *map(str, asked), "--out", str(killed)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        metrics = killed / "metrics.jsonl"
        while process.poll() is None and not (
            metrics.is_file() and metrics.read_bytes().count(b"\n") > 20
        ):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert not (killed / "adapter.safetensors").exists()
    records(*asked, "--out", killed, "--resume")
    for name in ("adapter.safetensors", "model_head.safetensors"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    rows = [
        [r["loss"] for r in read_metrics(f / "metrics.jsonl") if r["event"] == "step"]
        for f in (whole, killed)
    ]
    assert rows[0] == rows[1]


def test_several_processes_train_and_are_evaluated_as_one(records, base, files, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(base, plain)
    config = json.loads((plain / "config.json").read_text())
    nothing = dict.fromkeys(("dropout", "attention_dropout", "seq_classif_dropout"), 0.0)
    (plain / "config.json").write_text(json.dumps(config | nothing))
    asked = [*files, "--model", plain, "--epochs", 2, "--batch-size", 7, "--lr", "1e-3"]
    (alone,) = records(*asked, "--out", tmp_path / "alone" / "run")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "distilbert",
        "train",
        *map(str, asked),
        "--out",
        str(tmp_path / "both" / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (told,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert told["scores"] == pytest.approx(alone["scores"])
    rows = [
        [
            r["loss"]
            for r in read_metrics(tmp_path / f / "run" / "metrics.jsonl")
            if r["event"] == "step"
        ]
        for f in ("alone", "both")
    ]
    assert rows[0] == pytest.approx(rows[1], rel=1e-4)


def test_adapters_of_one_name_are_fused_as_two(records, base, files, tmp_path):
    for place in ("a", "b"):
        records(*files, "--model", base, "--name", "same", "--steps", 2, "--out", tmp_path / place)
    fused = ("--fuse", tmp_path / "a", "--fuse", tmp_path / "b")
    records(*files, "--model", base, *fused, "--steps", 1, "--out", tmp_path / "out")
    assert {"same", "same_2", "same,same_2"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_score_that_is_not_usual_may_decide(records, base, files, tmp_path):
    (told,) = records(
        *files, "--model", base, "--steps", 2, "--metric", "weighted_f1", "--out", tmp_path / "out"
    )
    assert {"accuracy", "weighted_f1"} <= set(told["scores"])
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["recipe"]["metric"] == "weighted_f1"


def test_an_adapter_answers_by_the_name_of_its_folder(records, base, files, tmp_path):
    (told,) = records(*files, "--model", base, *QUICK, "--out", tmp_path / "out")
    done = CliRunner().invoke(app, ["classify", "a good film", "--model", str(tmp_path / "out")])
    assert json.loads(done.stdout)["label"] in ("negative", "positive")
    judged = ["eval", "--data", str(files[3]), "--text", "review", "--label", "mood", "--model"]
    done = CliRunner().invoke(app, [*judged, str(tmp_path / "out")])
    assert json.loads(done.stdout)["scores"] == told["scores"]


def test_a_refused_resumption_leaves_the_record_of_the_run(
    call, fails, base, files, tmp_path, monkeypatch
):
    from distilbert.training import folder

    out = tmp_path / "out"
    asked = (*files, "--model", base, "--steps", 3, "--checkpoint-every", 1, "--out", out)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder.Run, "save", killed)
        assert call(*asked).exit_code == 130
    before = (out / "run.json").read_bytes()
    assert "another objective" in fails(*asked, "--label-smoothing", "0.3", "--resume")
    assert (out / "run.json").read_bytes() == before


def test_a_run_killed_before_its_card_was_written_writes_it(
    records, call, base, files, tmp_path, monkeypatch
):
    from distilbert.training import folder

    out = tmp_path / "out"
    asked = (*files, "--model", base, "--steps", 3, "--out", out)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_card", killed)
        assert call(*asked).exit_code == 130
    assert not (out / "README.md").exists()
    (told,) = records(*asked, "--resume")
    assert (out / "README.md").is_file()
    assert not (out / "checkpoints").exists()
    assert records(*asked, "--resume") == [told]  # it is finished now


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("FILES", "--full", "--adapter-drop", "2"), "adapter_drop is for adapters"),
        (("FILES", "--adapter-drop", "9"), "adapter_drop is 9; the model has 2 layers"),
        (("FILES", "--masked", "0.3"), "masked is for plain text"),
        (("FILES", "--stride", "7"), "stride is for texts that are read in windows"),
        (("FILES", "--decay", "0.5"), "decay is for the schedule wsd"),
        (("FILES", "--full", "--name", "x"), "--name is that of an adapter"),
        (("FILES", "--full", "--sweep", "adapter=lora"), "--full trains the whole model"),
        (("FILES", "--sweep", "seed=1,2"), "seeds have --seeds"),
        (("FILES", "--sweep", "epochs=1,1"), "twice"),
        (("FILES", "--sweep", "epochs=1", "--sweep", "epochs=2"), "twice"),
        (("TRAIN", "--patience", "2"), "patience needs dev data"),
        (("TRAIN", "--metric", "f1"), "metric needs dev data"),
        ((), "say what to train on"),
        (("--task", "sst2", "--train", "a.csv"), "say what to train on"),
        (("--task", "sst2"), "give their folder with --data"),
        (("--task", "sst2", "--data", ".", "--label", "x"), "leave --label out"),
        (("--train", "absent.csv"), "there is no file 'absent.csv'"),
        (("--train", "absent.csv", "--data", "."), "--data is for --task"),
        (("FILES", "--full", "--lora", "r=2"), "--full and --lora say what is trained"),
        (("FILES", "--fuse", "somewhere"), "a fusion is of several adapters"),
        (("FILES", "--adapter", "seq_bm"), "did you mean 'seq_bn'"),
        (("FILES", "--lora", "rank=2"), "rank"),
        (("FILES", "--metric", "f9"), "there is no metric 'f9'"),
        (("FILES", "--lr", "0"), "learning_rate is 0.0; allowed: a number above 0"),
        (("FILES", "--class-weights", "positive"), "neither LABEL=WEIGHT nor balanced"),
        (("FILES", "--class-weights", "nice=2"), "class_weights are {'nice': 2.0}"),
        (("FILES", "--hold-out", "0.5"), "--hold-out is for data without a dev part"),
        (("FILES", "--sweep", "colour=red"), "sweeps over no setting"),
        (("FILES", "--sweep", "learning_rate=high"), "learning_rate is 'high'"),
        (("FILES", "--model", "nowhere/at-all"), "nowhere/at-all"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(fails, base, files, tmp_path, options, message):
    own = {"FILES": files, "TRAIN": (*files[:2], *files[4:])}
    given = [part for option in options for part in own.get(option, (option,))]
    model = () if "--model" in given else ("--model", base)
    out = tmp_path / "runs" / "out"
    assert message in fails(*given, *model, "--out", out)
    assert not out.exists()


def test_a_folder_that_holds_something_is_left_alone(fails, base, files, tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    assert "is not empty; give another folder" in fails(*files, "--model", base, "--out", tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_a_data_problem_is_told_with_file_and_line(fails, base, files, tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(path.read_text() + "a line without a label\n")
    assert "train.csv, line 26: 1 fields" in fails(*files, "--model", base, "--out", tmp_path / "o")
    path.write_text("review,mood\ngood,positive\n")
    assert "all training data are of one class" in fails(
        "--train",
        path,
        "--text",
        "review",
        "--label",
        "mood",
        "--model",
        base,
        "--out",
        tmp_path / "o",
    )


def test_labels_of_tags_are_those_of_the_data(records, base, tmp_path):
    path = tmp_path / "tags.conll"
    path.write_text("\n".join(f"Anna {tag}" for tag in LABELS.values()) + "\n")
    records("--train", path, "--model", base, "--full", "--steps", 1, "--out", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert set(config["label2id"]) == set(LABELS.values())
