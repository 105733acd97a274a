"""Metrics, curves and events of TensorBoard: each update once, whatever happened to the run."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

from distilbert import FileError, InputError
from distilbert.training import Begin, End, Recipe, curves, fit, tensorboard
from distilbert.training.metrics_file import MetricsFile, read_metrics
from problems import batches_of, model_for
from runs import SCORES, evaluation, step, watch

# Metrics ------------------------------------------------------------------------------------------


def test_every_update_and_evaluation_is_a_line_of_json(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    watch(MetricsFile(path), 2, evaluations=[2], parts={"task": 0.4})
    assert [json.loads(line) for line in path.read_text().splitlines()] == read_metrics(path)
    assert read_metrics(path)[1:] == [
        {
            "event": "step",
            "step": 2,
            "epoch": 0.4,
            "loss": 0.5,
            "parts": {"task": 0.4},
            "rate": 1e-3,
            "norm": 1.0,
            "tokens": 100,
            "seconds": 0.5,
            "tokens_per_second": 200.0,
        },
        {
            "event": "evaluation",
            "step": 2,
            "epoch": 0.4,
            "scores": SCORES,
            "better": True,
            "seconds": 0.25,
        },
    ]


def test_numbers_that_json_lacks_become_null(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics(Begin(0, 10, 5, 50))
    metrics(step(1, norm=math.inf))
    metrics(evaluation(1, pearson=math.nan))
    first, second = read_metrics(metrics.path)
    assert first["norm"] is None
    assert second["scores"] == {"pearson": None}


def test_a_run_that_goes_on_has_a_line_for_each_update(tmp_path):
    path = tmp_path / "metrics.jsonl"
    watch(MetricsFile(path), 7, evaluations=[4, 6])
    with path.open("a") as file:
        file.write('{"event": "step", "st')  # as a kill leaves it
    assert len(read_metrics(path)) == 9
    watch(MetricsFile(path), 8, start=4, evaluations=[6, 8], loss=0.1)
    rows = read_metrics(path)
    steps = [row for row in rows if row["event"] == "step"]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["loss"] for row in steps] == [0.5] * 4 + [0.1] * 4
    assert [row["step"] for row in rows if row["event"] == "evaluation"] == [4, 6, 8]
    assert [one.name for one in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_new_run_begins_a_new_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    watch(MetricsFile(path), 5)
    path.write_text("not metrics\n" + path.read_text())
    watch(MetricsFile(path), 2)
    assert [row["step"] for row in read_metrics(path)] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"event": "step", "step": 1}',
        '{"event": "evaluation", "step": 1}',
        '{"event": "evaluation", "step": 1, "scores": {"f1": "high"}}',
        '{"event": "rest", "step": 1}',
        "\x00\x00",
    ],
)
def test_a_damaged_line_is_an_error_that_names_it(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    watch(MetricsFile(path), 3)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], f"{line}\n", *lines[2:]]))
    before = path.read_bytes()
    with pytest.raises(FileError, match=r"metrics\.jsonl', line 2: .* delete the line"):
        read_metrics(path)
    with pytest.raises(FileError, match="line 2"):
        watch(MetricsFile(path), 3, start=2)
    assert path.read_bytes() == before


def test_metrics_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(FileError, match="cannot read the metrics"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_metrics_that_cannot_be_written_are_an_error(tmp_path):
    metrics = MetricsFile(tmp_path / "new" / "metrics.jsonl")
    watch(metrics, 1)
    metrics.path.unlink()
    metrics.path.mkdir()
    with pytest.raises(FileError, match=r"cannot write to .* go on from the last checkpoint"):
        metrics(step(2))


KILLED = """
import os, signal, sys
from distilbert.training import Recipe, Step, fit
from distilbert.training.metrics_file import MetricsFile
from problems import batches_of, model_for

def die(event):
    if isinstance(event, Step) and event.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

fit(
    model_for("classification"),
    batches_of("classification"),
    recipe=Recipe(steps=9, checkpoint_every=2),
    folder=sys.argv[1],
    observers=[MetricsFile(sys.argv[1] + "/metrics.jsonl"), die],
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="such kills are of POSIX")
def test_a_run_that_is_killed_keeps_its_metrics_and_goes_on_with_them(tmp_path):
    places = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": places}, check=False)
    assert done.returncode == -signal.SIGKILL
    path = tmp_path / "metrics.jsonl"
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4, 5]

    def run(folder, **options):
        fit(
            model_for("classification"),
            batches_of("classification"),
            recipe=Recipe(steps=9, checkpoint_every=2),
            folder=folder,
            observers=[MetricsFile(folder / "metrics.jsonl")],
            **options,
        )

    before = torch.get_num_threads()
    torch.set_num_threads(torch.load(tmp_path / "checkpoint.pt")["threads"])
    try:
        run(tmp_path, resume=True)
        run(tmp_path / "whole")
    finally:
        torch.set_num_threads(before)
    found, expected = (
        [(row["step"], row["loss"]) for row in read_metrics(folder / "metrics.jsonl")]
        for folder in (tmp_path, tmp_path / "whole")
    )
    assert found == expected
    assert len(found) == 9


# Curves -------------------------------------------------------------------------------------------


def drawn(tmp_path, steps, **options):
    metrics, picture = tmp_path / "metrics.jsonl", tmp_path / "curves.png"
    watch(MetricsFile(metrics), steps, **options)
    curves.draw(metrics, picture)
    return imread(picture)


@pytest.mark.parametrize(("steps", "evaluations"), [(1, ()), (4, ()), (4, (4,)), (100, (50, 100))])
def test_curves_are_drawn_of_runs_long_and_short(tmp_path, steps, evaluations):
    picture = drawn(tmp_path, steps, evaluations=evaluations)
    assert picture.shape[1] > 800
    assert picture.min() < 0.5 < picture.max()
    assert len(evaluations) == 0 or picture.shape[0] > 900  # a panel more


def test_curves_are_drawn_where_numbers_are_missing(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    watch(metrics, 60, parts={"task": 0.4, "fusion": math.nan})
    metrics(evaluation(60, better=False, pearson=math.nan))
    curves.draw(metrics.path, tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    for name in ("training loss", "learning rate", "update", "epoch", "fusion", "pearson"):
        assert f"<!-- {name} -->" in text


def test_the_best_evaluation_is_marked(tmp_path):
    def text(better):
        metrics = MetricsFile(tmp_path / "metrics.jsonl")
        watch(metrics, 3)
        metrics(evaluation(3, better=better))
        curves.draw(metrics.path, tmp_path / "curves.svg")
        return (tmp_path / "curves.svg").read_text()

    assert "<!-- best" in text(True)
    assert "<!-- best" not in text(False)


def test_scores_share_a_panel_with_those_of_their_scale():
    scores = {"f1": 81.5, "share": 0.25, "exact": 74.0, "matthews": -0.1, "perplexity": 300.0}
    groups = [*curves.scales([{"scores": scores}, {"scores": {"late": None}}])]
    assert groups == [("f1", "exact"), ("share", "matthews", "late"), ("perplexity",)]
    assert [*curves.scales([])] == []


def test_smoothed_values_are_means_of_neighbours():
    values = torch.tensor([1.0, 3.0, math.nan, 5.0], dtype=torch.float64).numpy()
    assert curves.smoothed(values, 1).tolist() == [2.0, 2.0, 4.0, 5.0]
    nothing = torch.full((2,), math.nan, dtype=torch.float64).numpy()
    assert all(map(math.isnan, curves.smoothed(nothing, 1)))


def test_drawing_leaves_the_state_of_matplotlib_alone(tmp_path, monkeypatch):
    import matplotlib

    before = dict(matplotlib.rcParams)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # which cannot be imported now
    drawn(tmp_path, 3, evaluations=[3])
    assert dict(matplotlib.rcParams) == before


def test_what_cannot_be_drawn_is_refused(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics(Begin(0, 10, 5, 50))
    with pytest.raises(FileError, match="there is no update in"):
        curves.draw(metrics.path, tmp_path / "curves.png")
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        curves.draw(metrics.path, tmp_path / "curves.txt")
    assert [one.name for one in tmp_path.iterdir()] == ["metrics.jsonl"]


# TensorBoard --------------------------------------------------------------------------------------


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, round(event.value, 4)) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def test_tensorboard_shows_each_update_of_a_run_that_went_on_once(tmp_path):
    assert tensorboard.available()
    with tensorboard.TensorBoard(tmp_path) as board:
        watch(board, 4, evaluations=[2, 4], parts={"task": 0.4})
    with tensorboard.TensorBoard(tmp_path) as board:
        watch(board, 5, start=2, evaluations=[4], loss=0.25)
        board(End(5, False, None))
    found = scalars(tmp_path)
    assert found["train/loss"] == [(1, 0.5), (2, 0.5), (3, 0.25), (4, 0.25), (5, 0.25)]
    assert found["train/loss_task"] == [(1, 0.4), (2, 0.4)]
    assert found["train/tokens_per_second"][0] == (1, 200.0)
    assert found["train/learning_rate"][0] == (1, 0.001)
    assert found["dev/accuracy"] == [(2, 0.75), (4, 0.75)]


def test_what_tensorboard_is_told_before_an_error_is_kept(tmp_path):
    def interrupted():
        with tensorboard.TensorBoard(tmp_path) as board:
            watch(board, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(scalars(tmp_path)["train/loss"]) == 2


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "available", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'distilbert\[tensorboard\]'"):
        tensorboard.TensorBoard(tmp_path)
