"""run.json and the model card say what was done, and the card how to load what came of it."""

import json
import math
import re
import shutil

import pytest
import torch
from huggingface_hub import ModelCard

import distilbert
from distilbert import DistilBertTokenizerFast, FileError
from distilbert.data.examples import Dataset, Example
from distilbert.data.kinds import KINDS
from distilbert.data.load import load
from distilbert.training import End, Recipe, Supervised, card, curves, record
from distilbert.training.metrics_file import MetricsFile
from problems import batches_of, model_for
from runs import SCORES, evaluation, watch
from tiny import LABELS, write_model

# The record ---------------------------------------------------------------------------------------


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "a, b.csv"  # a name that looks like a place
    path.write_text("text,label\na cat,x\na dog,y\n")
    return path


def made(tiny_vocab, own_file, **changed):
    model = model_for("classification")
    model.add_adapter("a", "seq_bn[reduction_factor=4]")
    model.train_adapter("a")
    options = {
        "arguments": {"train": own_file, "steps": 3, "fuse": ("b", "c"), "adapter": None},
        "model": ("base", model),
        "tokenizer": DistilBertTokenizerFast(str(tiny_vocab)),
        "datasets": {"train": load(own_file), "dev": Dataset("classification", ())},
        "recipe": Recipe(steps=3, betas=(0.8, 0.9)),
        "batches": batches_of("classification"),
        "objective": Supervised(label_smoothing=0.1),
    }
    return record.run_record(**{**options, **changed})


def test_the_record_holds_what_a_run_is_made_of(tiny_vocab, own_file):
    found = made(tiny_vocab, own_file)
    assert found == json.loads(json.dumps(found))
    assert found["arguments"] == {
        "train": str(own_file),
        "steps": 3,
        "fuse": ["b", "c"],
        "adapter": None,
    }
    assert found["model"]["name"] == "base"
    assert found["model"]["adapters"]["a"]["reduction_factor"] == 4
    assert 0 < found["model"]["trained"] < found["model"]["parameters"]
    [file] = found["data"]["train"].pop("files")
    assert found["data"]["train"] == {"kind": "classification", "examples": 2, "labels": 2}
    assert file["path"] == str(own_file)
    assert file["bytes"] == own_file.stat().st_size
    assert found["data"]["dev"]["files"] == []
    assert found["recipe"]["betas"] == [0.8, 0.9]
    assert found["objective"] == {
        "name": "Supervised",
        "class_weights": None,
        "label_smoothing": 0.1,
        "adapter_drop": 0,
    }
    assert found["batches"]["of_epoch"] == 3
    assert found["versions"]["distilbert"] == distilbert.__version__
    assert found["versions"]["torch"] == torch.__version__
    assert found["machine"]["device"] == "cpu"
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert found["date"].endswith("+00:00")


def test_the_record_tells_other_weights_and_other_data_from_these(tiny_vocab, own_file):
    first = made(tiny_vocab, own_file)
    assert made(tiny_vocab, own_file)["model"] == first["model"]
    other = model_for("classification")
    hashes = {record.hash_of_weights(other)}
    with torch.no_grad():
        other.classifier.bias[0] += 1
    hashes.add(record.hash_of_weights(other))
    assert len(hashes) == 2
    own_file.write_text("text,label\na cat,x\na fox,y\n")
    assert made(tiny_vocab, own_file)["data"] != first["data"]


def test_files_are_those_where_examples_stand(own_file, tmp_path):
    other = tmp_path / "b.csv"
    shutil.copy(own_file, other)
    places = [f"{own_file}, line 2", f"{own_file}, line 3", f"{other}, question 'a, b'"]
    places.append("standard input, line 1")
    examples = tuple(Example(("a",), "x", where, "") for where in places)
    assert record.files_of(Dataset("classification", examples)) == [own_file, other]


def test_settings_of_objectives_that_are_no_json_go_by_name(tiny_vocab, own_file):
    def distilled(model, batch):
        raise NotImplementedError

    assert made(tiny_vocab, own_file, objective=distilled)["objective"] == {"name": "distilled"}
    assert record.plain({"teacher": torch.nn.Linear(1, 1), "t": math.inf, "of": {3, 1}}) == {
        "teacher": "Linear",
        "t": None,
        "of": [1, 3],
    }


def test_a_finished_record_says_how_the_run_ended(tmp_path, tiny_vocab, own_file):
    folder = tmp_path / "run"
    record.write(folder, made(tiny_vocab, own_file))
    watch(MetricsFile(folder / "metrics.jsonl"), 4, evaluations=[4])
    end = End(4, True, evaluation(2))
    found = record.finished(folder, end, {"f1": 0.5, "pearson": math.nan})
    assert "scores" not in record.read(folder)  # that is for whoever has written all else
    record.write(folder, found)
    assert found == record.read(folder)
    assert found["scores"] == {"f1": 0.5, "pearson": None}
    assert found["end"] == {
        "steps": 4,
        "stopped_early": True,
        "best": {"step": 2, "epoch": 0.4, "scores": SCORES},
        "seconds": 2.25,
    }
    assert found["model"]["name"] == "base"
    (folder / "metrics.jsonl").unlink()
    assert record.finished(folder, End(4, False, None), {})["end"]["seconds"] is None


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_record_that_is_none_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(FileError, match=r"run\.json' .* name the folder of one"):
        record.read(tmp_path)
    with pytest.raises(FileError):
        record.finished(tmp_path, End(1, False, None), {})


# The card -----------------------------------------------------------------------------------------


def write_card(folder, **changed):
    options = {
        "kind": "classification",
        "task": "sst2",
        "labels": ("bad", "good | `best`"),
        "base": "minilm",
        "adapter": None,
        "scores": {"matthews": 0.5, "accuracy": 0.75, "pearson": math.nan},
        "record": {},
        **changed,
    }
    card.write_card(folder, **options)
    return ModelCard.load(folder / "README.md")


def test_the_hub_reads_the_card(tmp_path):
    folder = tmp_path / "my-model"
    found = write_card(folder, record={"data": {"train": DATA, "dev": DATA}})
    assert found.data.to_dict() == {
        "library_name": "distilbert",
        "pipeline_tag": "text-classification",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "base_model_relation": "finetune",
        "tags": ["distilbert", "sst2"],
        "model-index": [
            {
                "name": "my-model",
                "results": [
                    {
                        "task": {"type": "text-classification"},
                        "dataset": {"name": "sst2", "type": "sst2", "split": "dev"},
                        "metrics": [
                            {"type": "matthews_correlation", "value": 0.5, "name": "matthews"},
                            {"type": "accuracy", "value": 0.75, "name": "accuracy"},
                        ],
                    }
                ],
            }
        ],
    }
    assert found.data.eval_results[0].metric_value == 0.5


DATA = {"examples": 1234, "files": [{"path": "a|b.tsv", "bytes": 56789}]}


def test_scores_of_several_parts_say_of_which(tmp_path):
    parts = {"data": {"train": DATA, "dev_a": DATA, "dev_b": DATA}}
    found = write_card(tmp_path, record=parts, scores={"dev_a_f1": 0.5, "dev_b_f1": 0.25})
    said = [(one.dataset_split, one.metric_type) for one in found.data.eval_results]
    assert said == [("dev_a", "f1"), ("dev_b", "f1")]


@pytest.mark.parametrize("base", ["./local", "some/deep/folder", "C:\\models\\own", "taken"])
def test_a_base_that_the_hub_does_not_have_stays_out_of_the_front_matter(
    tmp_path, base, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    found = write_card(tmp_path / "run", base=base, scores={}, task=None)
    assert found.data.to_dict() == {
        "library_name": "distilbert",
        "pipeline_tag": "text-classification",
        "tags": ["distilbert"],
    }
    assert f"`{base}`" in found.text


def test_the_card_tells_data_training_scores_and_how_to_repeat(tmp_path, tiny_vocab, own_file):
    folder = tmp_path / "run"
    (folder).mkdir()
    command = ["distilbert", "train", "--train", "my file.csv"]
    record.write(folder, made(tiny_vocab, own_file, arguments={"command": command}))
    watch(MetricsFile(folder / "metrics.jsonl"), 4, evaluations=[4])
    ended = record.finished(folder, End(4, True, evaluation(2)), SCORES)
    text = write_card(folder, record=ended, scores=SCORES).text
    assert "![" not in text
    for line in (
        "2, in the order of their ids: `bad`, `` good | `best` ``.",
        "| `accuracy` | 0.7500 |",
        f"| train | 2 | `{own_file}` | {own_file.stat().st_size} |",
        "| dev | 0 |  |  |",
        "The run had 4 updates in 2 seconds, stopped early.",
        "The best evaluation came after update 2.",
        "| `learning_rate` | 5e-05 |",
        "| `betas` | 0.8, 0.9 |",
        "| `batch_size` | 8 |",
        "| `label_smoothing` | 0.1 |",
        "distilbert train --train 'my file.csv'",
    ):
        assert line in text.splitlines()
    assert "`epochs`" not in text  # steps took their place
    curves.draw(folder / "metrics.jsonl", folder / "curves.png")
    assert "](curves.png)" in write_card(folder, record=ended).text


def test_bars_do_not_break_tables(tmp_path):
    text = write_card(tmp_path, record={"data": {"train": DATA}}).text
    assert "| train | 1,234 | `a\\|b.tsv` | 56,789 |" in text


def test_code_of_ones_own_is_shown(tmp_path):
    assert "```python\nload_it()\n```" in write_card(tmp_path, how_to_load="load_it()\n").text


def run_code(text, capsys):
    """Runs what a card shows; the names it has made, and what it printed."""
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    return names, capsys.readouterr().out


HEADS = {"tags": {"id2label": LABELS}, "regression": {"num_labels": 1}}
NAMES = {"tags": tuple(LABELS.values()), "regression": (), "choice": (), "spans": (), "words": ()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_loads_as_its_card_says(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "it's mine"
    folder.mkdir()
    head = HEADS.get(kind, {"num_labels": 2})
    problem = {"problem_type": KINDS[kind].problem_type}
    write_model(folder, KINDS[kind].model, **head, **problem)
    labels = NAMES.get(kind, ("a", "b"))
    text = write_card(folder, kind=kind, labels=labels).text
    names, printed = run_code(text, capsys)
    if kind == "choice":
        assert type(names["model"]).__name__ == KINDS[kind].model
        assert "distilbert " not in text.partition("## Data")[0].partition("```sh")[2]
    else:
        assert printed.startswith(("[", "{"))
        assert f"distilbert {card.USES[kind].command} --model 'it'\"'\"'s mine'" in text


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_loads_as_its_card_says(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "base"
    base.mkdir()
    head = HEADS.get(kind, {"num_labels": 2})
    write_model(base, KINDS[kind].model, **head)
    model = getattr(distilbert, KINDS[kind].model).from_pretrained(base)
    model.add_adapter("mine", "seq_bn")
    model.save_adapter(tmp_path / "run", "mine")
    labels = NAMES.get(kind, ("a", "b"))
    found = write_card(tmp_path / "run", kind=kind, labels=labels, base="base", adapter="mine")
    assert "An adapter for `base`" in found.text
    names, _ = run_code(found.text, capsys)
    assert names["model"].active_adapters == distilbert.adapters.Stack("mine")


def test_a_fusion_loads_as_its_card_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "base"
    base.mkdir()
    write_model(base, "DistilBertForSequenceClassification")
    model = distilbert.DistilBertForSequenceClassification.from_pretrained(base)
    for name in ("a", "b"):
        model.add_adapter(name, "seq_bn")
    model.add_adapter_fusion(["a", "b"])
    model.train_adapter_fusion([["a", "b"]])
    model.save_adapter_setup(tmp_path / "run", model.active_adapters, head_setup=True)
    found = write_card(tmp_path / "run", base="base", adapter="mine")
    assert "A fusion of adapters for `base`" in found.text
    names, printed = run_code(found.text, capsys)
    assert names["model"].active_adapters == model.active_adapters
    assert printed.startswith("[")
