"""People see how training goes: a bar on a terminal, a few lines elsewhere."""

import io
import re
import subprocess
import sys

import pytest

from distilbert.cli.progress import Progress, clock
from distilbert.training import Begin, End
from runs import evaluation, step, watch


class Terminal(io.StringIO):
    """What a person would see, and how it came there."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def shown(stream):
    """The frames and lines of a terminal, without what moves its cursor."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def test_without_a_terminal_there_is_a_line_for_each_tenth_and_each_evaluation():
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress(Begin(0, 1000, 5, 50))
        for number in range(1, 1001):
            progress(step(number, steps=1000, loss=1 / number))
            if number % 500 == 0:
                progress(evaluation(number, better=number == 500))
        progress(End(1000, False, None))
    first, *lines = stream.getvalue().splitlines()
    assert first == "training 5 of 50 parameters in 1,000 updates"
    updates = [line for line in lines if line.startswith("update")]
    assert len(updates) == 10
    assert re.fullmatch(
        r"update 100 of 1,000 \(10%\): loss 0\.0138 · 200 tokens/s · [\d:]+ left", updates[0]
    )
    assert [line for line in lines if line not in updates] == [
        "evaluation after update 500, epoch 100.00: accuracy 0.7500, f1 0.5000, the best so far",
        "evaluation after update 1,000, epoch 200.00: accuracy 0.7500, f1 0.5000",
    ]
    assert "\x1b" not in stream.getvalue()


def test_a_run_shorter_than_ten_updates_has_a_line_for_each():
    stream = io.StringIO()
    progress = Progress(stream)
    progress(Begin(0, 3, 5, 50))
    for number in (1, 2, 3):
        progress(step(number, steps=3))
    assert len(stream.getvalue().splitlines()) == 4


def test_a_run_that_goes_on_or_stops_early_says_so():
    stream = io.StringIO()
    with Progress(stream) as progress:
        watch(progress, 5, start=3)
        progress(End(5, True, None))
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("in 10 updates, going on after update 3")
    assert lines[1].startswith("update 4 of 10 (40%)")
    assert lines[-1] == "stopped after update 5: nothing became better"


def test_a_line_has_no_more_than_a_few_scores_and_cannot_steer_a_terminal():
    stream = io.StringIO()
    progress = Progress(stream)
    watch(progress, 1)
    progress(evaluation(1, **{"a\x1b[2J": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}))
    line = stream.getvalue().splitlines()[-1]
    assert r"a\x1b[2J 1.0000, b 2.0000, c 3.0000, d 4.0000, the best" in line


def test_a_terminal_shows_a_bar_with_loss_speed_time_and_score(terminal):
    with Progress(terminal) as progress:
        watch(progress, 3, evaluations=[2])
        progress._bar.refresh()
    frames = shown(terminal)
    assert frames[0] == "training 5 of 50 parameters in 10 updates"
    assert "evaluation after update 2, epoch 0.40: accuracy 0.7500, f1 0.5000" in "".join(frames)
    assert any(
        re.fullmatch(
            r"update\s+3/10 \S+\s+loss 0\.5000 · 200 tokens/s · [\d:]+ left · accuracy 0\.7500",
            frame,
        )
        for frame in frames
    )


def test_ctrl_c_leaves_the_terminal_clean(terminal):
    def interrupted():
        with Progress(terminal) as progress:
            watch(progress, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    output = terminal.getvalue()
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1  # the cursor is seen again
    assert output.endswith("\x1b[2K")  # and the bar is gone


def test_output_goes_where_it_went_while_the_bar_is_shown(terminal, capsys):
    with Progress(terminal) as progress:
        watch(progress, 1)
        print("an answer")
    assert capsys.readouterr().out == "an answer\n"
    assert "an answer" not in terminal.getvalue()


def test_the_loss_shown_is_a_mean_of_late_updates():
    stream = io.StringIO()
    progress = Progress(stream)
    progress(Begin(0, 200, 5, 50))
    for number in range(1, 201):
        progress(step(number, steps=200, loss=float(number)))
    assert "loss 175.5000" in stream.getvalue().splitlines()[-1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (750, "12:30"), (3723, "1:02:03")]
)
def test_durations_are_written_as_clocks_write_them(seconds, text):
    assert clock(seconds) == text


def test_progress_imports_nothing_heavy():
    code = "import distilbert.cli.progress, sys; print({'torch', 'rich'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
