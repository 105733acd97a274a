"""The adapters that come with the package: whole, small, and found by their names everywhere."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from distilbert import pipeline, zoo
from distilbert.adapters import store
from distilbert.cli.app import app
from distilbert.data.kinds import KINDS
from distilbert.files.backbones import BACKBONES, cache_home
from distilbert.pipelines.tasks import find_task
from distilbert.zoo import DEFAULTS, ZOO, default, resolve

pytestmark = pytest.mark.usefixtures("one_thread")

LARGEST = 1_300_000  # bytes of a folder
FILES = {
    *("adapter_config.json", "adapter.safetensors", "head_config.json", "model_head.safetensors"),
    *("run.json", "README.md"),
}
needs_minilm = pytest.mark.skipif(
    not (cache_home() / "minilm").exists(), reason="minilm is not in the cache"
)


@pytest.fixture
def records():
    """`records(*arguments)`: the JSON lines that a command prints."""

    def run(*arguments):
        result = CliRunner().invoke(app, [str(one) for one in arguments])
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


# What is shipped ----------------------------------------------------------------------------------


def test_the_table_lists_the_folders_of_the_package_and_no_others():
    folders = {path.parent.name for path in zoo.HOME.glob("*/*")} - {"__pycache__"}
    assert folders == set(ZOO)
    assert "sentiment" in ZOO
    assert all(name == row.name for name, row in ZOO.items())


@pytest.mark.parametrize("name", ZOO)
def test_a_folder_is_whole_and_small(name):
    files = {path.name: path.stat().st_size for path in ZOO[name].folder.iterdir()}
    assert set(files) == FILES
    assert sum(files.values()) <= LARGEST
    assert ZOO[name].size == files["adapter.safetensors"] + files["model_head.safetensors"]


@pytest.mark.parametrize("name", ZOO)
def test_a_row_says_what_its_files_say(name):
    row = ZOO[name]
    stored = store.read_adapter(row.folder)
    assert stored.name == name
    assert stored.info["model_name"] == row.backbone
    assert row.backbone in BACKBONES
    assert stored.info["model_class"] == find_task(row.task).model == KINDS[row.kind].model
    assert stored.head is not None
    assert row.about
    assert row.licence


@pytest.mark.parametrize("name", ZOO)
def test_a_folder_has_the_scores_of_its_run_and_of_what_is_stored(name):
    row = ZOO[name]
    run = json.loads((row.folder / "run.json").read_text(encoding="utf-8"))
    assert row.headline in run["scores"]
    assert row.scores.keys() >= run["scores"].keys()
    assert all(abs(row.scores[key] - run["scores"][key]) < 0.002 for key in run["scores"])
    assert all(-1 <= score <= 1 for score in row.scores.values())


@pytest.mark.parametrize("name", ZOO)
def test_a_card_tells_use_licence_and_failures_and_no_path_of_a_machine(name):
    card = (ZOO[name].folder / "README.md").read_text(encoding="utf-8")
    for said in (f'pipeline("{name}")', ZOO[name].about, ZOO[name].licence, "## Known failures"):
        assert said in card
    run = (ZOO[name].folder / "run.json").read_text(encoding="utf-8")
    assert not re.search(r"[\s\"`'](/|~/|[A-Z]:\\)\w", card + run)


def test_listing_the_zoo_imports_no_torch():
    code = (
        "import sys, distilbert.zoo as z; [r.scores for r in z.ZOO.values()]; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "distilbert.zoo" in loaded.stdout.split()
    assert "torch" not in loaded.stdout.split()


# By name ------------------------------------------------------------------------------------------


def test_a_task_has_the_default_that_is_shipped_or_none():
    for task, name in DEFAULTS.items():
        assert default(task) == (str(ZOO[name].folder) if name in ZOO else None)
        assert name not in ZOO or ZOO[name].task == task
    assert default("feature-extraction") is None


def test_a_folder_of_ones_own_goes_before_an_adapter_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve("sentiment") == str(ZOO["sentiment"].folder)
    (tmp_path / "sentiment").mkdir()
    assert resolve("sentiment") == "sentiment"
    assert resolve("minilm") == "minilm"


@needs_minilm
def test_an_adapter_is_named_as_a_task_as_a_model_or_not_at_all():
    text = "An utter joy to watch."
    wanted = pipeline("text-classification", str(ZOO["sentiment"].folder))(text)
    assert wanted[0]["label"] == "positive"
    assert pipeline("sentiment")(text) == wanted
    assert pipeline(model="sentiment")(text) == wanted
    assert pipeline("text-classification", "sentiment")(text) == wanted
    assert pipeline("text-classification")(text) == wanted
    assert pipeline("sentiment", "question-type")("Who wrote it?")[0]["label"] == "HUM"


@needs_minilm
def test_similarity_is_a_number_from_0_to_5():
    near, far = pipeline("similarity")(
        [
            {"text": "A man is eating food.", "text_pair": "A man eats some food."},
            {"text": "A man is eating food.", "text_pair": "The moon orbits the earth."},
        ]
    )
    assert near["score"] > 3.5  # no sigmoid gives such a number
    assert far["score"] < 1


@needs_minilm
def test_commands_take_the_names_and_have_defaults(records, tmp_path):
    assert records("classify", "A dull mess.")[0]["label"] == "negative"
    found = records("classify", "How many people live in Rome?", "--model", "question-type")
    assert found[0]["label"] == "NUM"
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("text,other\nA cat sleeps.,A cat is asleep.\n", encoding="utf-8")
    options = ("--in", pairs, "--pair-column", "other", "--model", "similarity")
    assert records("classify", *options)[0]["score"] > 3.5


@needs_minilm
def test_eval_takes_the_names(records, tmp_path):
    table = tmp_path / "own.csv"
    table.write_text("text,label\nA joy.,positive\nA dull mess.,negative\n", encoding="utf-8")
    for options in (("--model", "sentiment"), ("--model", "minilm", "--adapter", "sentiment")):
        assert records("eval", "--data", table, *options)[0]["scores"]["accuracy"] == 1


def test_the_command_lists_every_adapter(records):
    found = records("zoo")
    assert [one["name"] for one in found] == list(ZOO)
    for one in found:
        row = ZOO[one["name"]]
        assert one["score"] == row.scores[one["metric"]]
        assert one["bytes"] == row.size


@needs_minilm
def test_a_copy_elsewhere_answers_the_same(tmp_path):
    shutil.copytree(ZOO["sentiment"].folder, tmp_path / "copy")
    text = "Not bad at all."
    assert pipeline(model=tmp_path / "copy")(text) == pipeline("sentiment")(text)
