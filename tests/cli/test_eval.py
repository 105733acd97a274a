"""`distilbert eval` on tiny models: its scores, its files, and what it refuses."""

import csv
import gzip
import json
import sys

import pytest

from distilbert.cli import eval as command
from tiny import LABELS

pytestmark = pytest.mark.usefixtures("one_thread")
COMMAND = "eval"


@pytest.fixture
def classifier(tiny_folder):
    return tiny_folder(
        "DistilBertForSequenceClassification", id2label={0: "negative", 1: "positive"}
    )


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(
        'review,mood\na good film,positive\nvery bad,negative\n"old, but good",positive\n'
    )
    return path


MNLI = "index\tsentence1\tsentence2\tgold_label\n0\ta cat\ta dog\tneutral\n1\tx\ty\tentailment\n"


def write_task(folder, files):
    folder.mkdir()
    for name, text in files.items():
        data = text.encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def test_a_file_of_ones_own_is_judged_and_written(records, classifier, reviews, tmp_path):
    out, errors, picture = (tmp_path / name for name in ("all.jsonl", "wrong.tsv", "matrix.png"))
    columns = ("--text", "review", "--label", "mood")
    files = ("--out", out, "--errors", errors, "--confusion", picture)
    (found,) = records("--data", reviews, *columns, "-m", classifier, *files)
    assert found["kind"] == "classification"
    assert (found["examples"], found["headline"]) == (3, "accuracy")
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["text"] for one in said] == ["a good film", "very bad", "old, but good"]
    right = [one["label"] == one["predicted"] for one in said]
    assert found["scores"]["accuracy"] == pytest.approx(sum(right) / 3)
    with errors.open(newline="") as stream:
        wrong = list(csv.DictReader(stream, delimiter="\t"))
    assert len(wrong) == 3 - sum(right)
    assert all(one["where"].startswith(f"{reviews}, line ") for one in wrong)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_task_is_read_from_its_folder(records, classifier, tmp_path):
    files = {"dev.tsv.gz": "sentence\tlabel\na good film\t1\nvery bad\t0\n"}
    folder = write_task(tmp_path / "SST-2", files)
    (found,) = records("--task", "sst2", "--data", folder, "-m", classifier)
    assert list(found["scores"]) == ["accuracy"]
    assert (found["task"], found["split"], found["examples"]) == ("sst2", "dev", 2)
    (above,) = records("--task", "sst2", "--data", tmp_path, "-m", classifier)
    assert above["scores"] == found["scores"]


def test_both_parts_of_mnli_are_judged(records, tiny_folder, tmp_path):
    names = {0: "contradiction", 1: "entailment", 2: "neutral"}
    model = tiny_folder("DistilBertForSequenceClassification", id2label=names)
    files = {"dev_matched.tsv": MNLI, "dev_mismatched.tsv": MNLI}
    folder = write_task(tmp_path / "MNLI", files)
    out = tmp_path / "out.csv"
    found = records("--task", "mnli", "--data", folder, "-m", model, "-o", out)
    assert [one["split"] for one in found] == ["dev_matched", "dev_mismatched"]
    assert len(out.read_text().splitlines()) == 5
    found = records("--task", "mnli", "--data", folder, "--split", "dev_matched", "-m", model)
    assert len(found) == 1


def test_words_in_columns_and_questions_and_plain_text_are_judged(records, tiny_folder, tmp_path):
    tagger = tiny_folder("DistilBertForTokenClassification", id2label=LABELS)
    words = tmp_path / "words.conll"
    words.write_text("B-PER x Anna\nO x sees\n\nB-LOC x Paris\n")
    columns = ("--word", 2, "--tag", 0)
    (found,) = records("--data", words, *columns, "-m", tagger, "--metric", "strict_f1")
    assert list(found["scores"]) == ["strict_f1"]

    filler = tiny_folder("DistilBertForMaskedLM")
    text = tmp_path / "text.txt"
    text.write_text("the cat sees the dog\n\nrain in Paris\n")
    first, again, other = (
        records("--task", "mlm", "--data", text, "-m", filler, "--seed", seed)[0]["scores"]
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert list(first) == ["perplexity", "accuracy"]

    reader = tiny_folder("DistilBertForQuestionAnswering")
    answer = {"text": "Anna", "answer_start": 0}
    questions = [
        {"id": "q1", "question": "who sees the cat?", "answers": [answer]},
        {"id": "q2", "question": "where?", "answers": [], "is_impossible": True},
    ]
    paragraph = {"context": "Anna sees the cat.", "qas": questions}
    squad = tmp_path / "dev-v2.0.json"
    squad.write_text(json.dumps({"version": "v2.0", "data": [{"paragraphs": [paragraph]}]}))
    options = ("--task", "squad_v2", "--data", squad, "-m", reader)
    never, always = (
        records(*options, "--threshold", value)[0]["scores"] for value in ("1e9", "-1e9")
    )
    assert (never["NoAns_exact"], always["NoAns_exact"], always["HasAns_exact"]) == (0, 1, 0)
    assert "best_f1_thresh" in never


def test_several_labels_and_choices_and_numbers_are_judged(records, tiny_folder, tmp_path):
    several = tiny_folder("DistilBertForSequenceClassification", id2label={0: "x", 1: "y", 2: "z"})
    table = tmp_path / "several.csv"
    table.write_text("text,label\na cat,x;y\na dog,\n")
    kind = ("--kind", "multi_label", "--separator", ";")
    (found,) = records("--data", table, *kind, "-m", several)
    assert list(found["scores"]) == ["micro_f1", "macro_f1", "exact_match"]

    chooser = tiny_folder("DistilBertForMultipleChoice")
    table = tmp_path / "choices.tsv"
    table.write_text("start\tone\ttwo\tright\nthe cat\tsleeps\truns\t1\n")
    columns = ("--text", "start", "--choices", "one", "--choices", "two", "--label", "right")
    (found,) = records("--data", table, "--kind", "choice", *columns, "-m", chooser)
    assert list(found["scores"]) == ["accuracy"]

    number = tiny_folder("DistilBertForSequenceClassification", num_labels=1)
    table = tmp_path / "numbers"
    table.write_text("a\tb\tlabel\nthe cat\ta cat\t4.5\nthe sun\train\t0\n")
    columns = ("--text", "a", "--text", "b", "--format", "tsv")
    (found,) = records("--data", table, *columns, "-m", number)
    assert list(found["scores"]) == ["pearson", "spearman", "mse"]


def test_what_is_out_of_scope_may_be_unknown_to_the_model(records, classifier, tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("text,label\na good film,positive\nrain,oos\nvery bad,negative\n")
    (found,) = records("--data", table, "-m", classifier, "--outside", "oos")
    assert 0 <= found["scores"]["out_of_scope_threshold"] <= 1
    options = ("--outside", "oos", "--threshold", 1.1)
    (found,) = records("--data", table, "-m", classifier, *options)
    assert found["scores"]["out_of_scope_recall"] == 1


def test_an_adapter_is_judged_with_its_head(records, tiny_folder, reviews, tmp_path):
    from distilbert import DistilBertForSequenceClassification

    encoder = tiny_folder("DistilBertModel")
    names = {0: "negative", 1: "positive"}
    model = DistilBertForSequenceClassification.from_pretrained(encoder, id2label=names)
    model.add_adapter("mood", "seq_bn")
    model.classifier.bias.data[1] = 99  # says "positive" of everything
    model.save_adapter(tmp_path / "mood", "mood")
    columns = ("--text", "review", "--label", "mood", "--adapter", tmp_path / "mood")
    (found,) = records("--data", reviews, *columns, "-m", encoder)
    assert found["scores"]["accuracy"] == pytest.approx(2 / 3)
    assert found["adapter"] == str(tmp_path / "mood")


def test_people_see_a_table(call, classifier, reviews, monkeypatch):
    monkeypatch.setattr(command, "is_terminal", lambda stream: True)
    columns = ("--text", "review", "--label", "mood", "-m", classifier)
    result = call("--data", reviews, *columns)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0] == ["score", "reviews.csv"]
    table = {line[0]: line[1:] for line in lines[1:]}
    assert table["examples"] == ["3"]
    assert 0 <= float(table["accuracy"][0]) <= 1
    assert json.loads(call("--data", reviews, *columns, "--json").stdout)["examples"] == 3


def test_a_data_problem_is_told_with_file_and_line(fails, classifier, tmp_path):
    table = tmp_path / "a.tsv"
    table.write_text("text\tlabel\na good film\tpositive\nbroken\n")
    assert f"{table}, line 3" in fails("--data", table, "-m", classifier)
    table.write_text("text\tlabel\na good film\tpositive\nvery bad\tnegatif\n")
    message = fails("--data", table, "-m", classifier)
    assert "does not know 'negatif'" in message
    assert f"{table}, line 3" in message


def test_what_cannot_be_judged_is_refused_before_work(fails, classifier, reviews, tmp_path):
    own = ("--data", reviews, "--text", "review", "--label", "mood")
    cases = [
        ((), "no model was given"),
        (("-m", classifier), "give --data FILE, or --task and --data"),
        ((*own, "-m", classifier, "--metric", "bleu"), "no metric 'bleu' of classification"),
        ((*own, "-m", tmp_path / "no", "--threshold", 0.9), "--outside on the command line"),
        ((*own, "-m", classifier, "--split", "test"), "--split is a part of a --task"),
        ((*own, "-m", classifier, "--out", "a.xls"), "what kind of file is 'a.xls'? --out"),
        ((*own, "-m", classifier, "--errors", "a.xls"), "what kind of file is 'a.xls'? --errors"),
        ((*own, "-m", classifier, "--confusion", "a.gif"), "--confusion is one of .png"),
        (("--data", tmp_path, "-m", classifier), "is a folder"),
        (("--task", "sst", "--data", tmp_path, "-m", classifier), "there is no task 'sst'"),
        (("--task", "sst2", "-m", classifier), "where are the files of sst2?"),
        (("--task", "sst2", "--data", tmp_path, "-m", classifier), "has no dev file of sst2"),
        (("--task", "sst2", *own, "-m", classifier), "leave --text, --label out"),
        ((*own, "-m", classifier, "--adapter", tmp_path / "none"), "none"),
        ((*own, "-m", "minilm"), "holds no weights for classifier.bias"),
    ]
    for arguments, wanted in cases:
        assert wanted in fails(*arguments)


def test_what_has_no_confusion_matrix_is_refused_before_work(fails, tiny_folder, tmp_path):
    table = tmp_path / "numbers.csv"
    table.write_text("text,label\na,1.5\n")
    options = ("--data", table, "-m", tmp_path / "no model", "--confusion", tmp_path / "a.png")
    assert "regression data have no confusion matrix" in fails(*options)


def test_a_missing_library_is_told_before_a_model_is_loaded(fails, reviews, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.metrics", raising=False)
    columns = ("--text", "review", "--label", "mood", "-m", tmp_path / "no model")
    assert "pip install 'distilbert[train]'" in fails("--data", reviews, *columns)
