"""Published sets are read from files of their form; the real ones count as their makers say."""

import gzip
import json
from collections import Counter

import pytest

from data import SHARED, shared
from distilbert.data.kinds import KINDS
from distilbert.data.layouts import LAYOUTS, find, read, splits
from distilbert.errors import DistilBertError, FileError, InputError


def write(folder, name, *rows):
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row}\n" for row in rows).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)


def json_line(**values):
    return json.dumps(values)


STS = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
MNLI = "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\tlabel1\tgold_label"
ANSWER = {"text": "Anna", "answer_start": 0}
SQUAD = {
    "data": [
        {
            "paragraphs": [
                {"context": "Anna.", "qas": [{"id": "q", "question": "Who?", "answers": [ANSWER]}]}
            ]
        }
    ]
}
QUESTION = {"stem": "s", "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}]}

# layout, split, file, its rows, then the texts, label and number of labels of the first example
FILES = [
    ("cola", "train", "train.tsv", ["gj04\t1\t\tOne more."], ("One more.",), "acceptable", 2),
    ("sst2", "dev", "dev.tsv", ["sentence\tlabel", '"so good \t1'], ('"so good ',), "positive", 2),
    (
        "mrpc",
        "dev",
        "dev.tsv",
        ["\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", '0\t1\t2\ta "b\tc'],
        ('a "b', "c"),
        "not_equivalent",
        2,
    ),
    ("stsb", "dev", "dev.tsv", [STS, "0\tg\tf\ty\t0\ts\ts\ta\tb\t3.800"], ("a", "b"), 3.8, 0),
    (
        "qqp",
        "train",
        "train.tsv",
        ["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "1\t2\tbroken", "1\t2\t3\ta\tb\t1"],
        ("a", "b"),
        "duplicate",
        2,
    ),
    ("qqp", "train", "bimpm_dev.tsv.gz", ["a\tb\t0"], ("a", "b"), "not_duplicate", 2),
    (
        "mnli",
        "dev",
        "dev_matched.tsv",
        [MNLI, "0\t1\t2\tg\ta\tb\tneutral\tneutral"],
        ("a", "b"),
        "neutral",
        3,
    ),
    ("mnli", "dev", "mnli_matched_dev1000.tsv", ["entailment\ta\tb"], ("a", "b"), "entailment", 3),
    (
        "qnli",
        "dev",
        "dev.tsv",
        ["index\tquestion\tsentence\tlabel", "0\ta\tb\tentailment"],
        ("a", "b"),
        "entailment",
        2,
    ),
    (
        "rte",
        "train",
        "train.tsv.gz",
        ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\tnot_entailment"],
        ("a", "b"),
        "not_entailment",
        2,
    ),
    (
        "wnli",
        "dev",
        "dev.tsv",
        ["index\tsentence1\tsentence2\tlabel", "0\ta\tb\t1"],
        ("a", "b"),
        "entailment",
        2,
    ),
    ("snli", "dev", "snli_dev.tsv", ["a\tb\t2"], ("a", "b"), "contradiction", 3),
    (
        "snli",
        "test",
        "snli_1.0_test.jsonl",
        [
            json_line(gold_label="-", sentence1="x", sentence2="y"),
            json_line(gold_label="neutral", sentence1="a", sentence2="b"),
        ],
        ("a", "b"),
        "neutral",
        3,
    ),
    (
        "snli",
        "dev",
        "snli_1.0_dev.txt",
        ["gold_label\tsentence1\tsentence2", "neutral\ta\tb"],
        ("a", "b"),
        "neutral",
        3,
    ),
    ("trec", "train", "train.tsv", ["coarse\tfine\tquestion", "LOC\tLOC:x\ta"], ("a",), "LOC", 6),
    (
        "trec_fine",
        "train",
        "train.tsv",
        ["coarse\tfine\tquestion", "LOC\tLOC:x\ta"],
        ("a",),
        "LOC:x",
        1,
    ),
    (
        "banking77",
        "train",
        "train.csv",
        ["text,category", '"a,\n""b""",card'],
        ('a,\n"b"',),
        "card",
        1,
    ),
    (
        "clinc150",
        "dev",
        "train_val.json",
        [json_line(train=[["t", "x"]], oos_train=[["u", "oos"]], val=[["a", "x"]], oos_val=[])],
        ("a",),
        "x",
        2,
    ),
    ("emotion", "dev", "val.tsv", ["label\ttext", "joy\ta"], ("a",), "joy", 6),
    (
        "imdb",
        "dev",
        "fastai_sample.csv",
        ["label,text,is_valid", "negative,x,False", "positive,a<br /><br />b,True"],
        ("a\n\nb",),
        "positive",
        2,
    ),
    (
        "ag_news",
        "train",
        "train_sample10k.tsv",
        ["label\tdescription", "World\ta"],
        ("a",),
        "World",
        4,
    ),
    ("ag_news", "test", "test.csv", ['"3","a","b"'], ("a b",), "Business", 4),
    (
        "commonsenseqa",
        "dev",
        "dev_rand_split.jsonl",
        [json_line(answerKey="B", id="7", question=QUESTION)],
        ("s", "x", "y"),
        1,
        0,
    ),
    (
        "copa",
        "dev",
        "val.jsonl",
        [json_line(idx=1, question="effect", premise="p.", choice1="x", choice2="y", label=0)],
        ("p. What happened as a result?", "x", "y"),
        0,
        0,
    ),
    (
        "swag",
        "dev",
        "val.csv",
        ["sent1,sent2,ending0,ending1,ending2,ending3,label", "a,b,0,1,2,3,2"],
        ("a", "b 0", "b 1", "b 2", "b 3"),
        2,
        0,
    ),
    (
        "wnut17",
        "dev",
        "dev.tsv",
        ["a\tB-person", "b\tI-person"],
        ("a", "b"),
        ("B-person", "I-person"),
        13,
    ),
    ("conll", "train", "eng.train", ["a NN O", "b NN I-LOC"], ("a", "b"), ("O", "I-LOC"), 2),
    ("ud_ewt", "dev", "dev.tsv", ["# id", "a\tDET\tDT"], ("a",), ("DET",), 17),
    ("squad", "dev", "dev-v1.1.json", [json.dumps(SQUAD)], ("Who?", "Anna."), (("Anna", 0),), 0),
    (
        "squad_v2",
        "train",
        "train-v2.0.json",
        [json.dumps(SQUAD)],
        ("Who?", "Anna."),
        (("Anna", 0),),
        0,
    ),
    ("wiki", "dev", "wiki_valid.txt", ["a", "b", "", "c"], ("a", "b"), None, 0),
    ("gutenberg", "train", "gutenberg_train_0.txt.gz", ["a"], ("a",), None, 0),
    ("wikitext2", "dev", "wiki.valid.tokens", [" ", "= a ="], ("= a =",), None, 0),
    ("text", "dev", "valid.txt", ["a"], ("a",), None, 0),
]


@pytest.mark.parametrize("given", FILES, ids=lambda given: f"{given[0]} {given[2]}")
def test_a_published_file_is_read(tmp_path, given):
    name, split, file, rows, texts, label, labels = given
    write(tmp_path, file, *rows)
    data = read(name, tmp_path, split)
    first = data.examples[0]
    assert (data.kind, first.texts, first.label) == (LAYOUTS[name].kind, texts, label)
    assert len(data.labels) == labels
    assert file in first.where
    assert read(name, tmp_path / file, split).examples == data.examples


def test_every_layout_is_read_by_a_test_and_is_of_a_known_kind():
    assert {given[0] for given in FILES} == set(LAYOUTS)
    assert {layout.kind for layout in LAYOUTS.values()} <= set(KINDS)


def test_labels_stand_in_the_order_of_the_published_ids():
    assert find("rte").labels == find("qnli").labels == ("entailment", "not_entailment")
    assert find("mnli").labels == ("entailment", "neutral", "contradiction")
    assert find("sst2").labels == ("negative", "positive")


def test_the_folder_above_will_do(tmp_path):
    write(tmp_path / "RTE", "dev.tsv", "index\tsentence1\tsentence2\tlabel", "0\ta\tb\tentailment")
    assert read("rte", tmp_path).examples[0].texts == ("a", "b")
    assert splits("rte", tmp_path) == ("dev",)


def test_several_files_of_one_split_follow_one_another(tmp_path):
    for number, text in enumerate(("a", "b")):
        write(tmp_path, f"wiki_train_{number}.txt", text)
    write(tmp_path, "wiki_train_1.txt.gz", "the same, packed")
    data = read("wiki", tmp_path, "train")
    assert [example.texts for example in data.examples] == [("a",), ("b",)]


def test_a_test_has_no_labels(tmp_path):
    write(tmp_path, "test.tsv", "index\tsentence", "0\tOne more.")
    (example,) = read("cola", tmp_path, "test").examples
    assert (example.texts, example.label) == (("One more.",), None)
    write(tmp_path, "test.jsonl", json_line(id="7", question=QUESTION))
    assert read("commonsenseqa", tmp_path, "test").examples[0].label is None


def test_labels_of_other_splits_are_those_of_training(tmp_path):
    write(tmp_path, "train.csv", "text,category", "a,y", "b,x")
    write(tmp_path, "dev.csv", "text,category", "c,y")
    assert read("banking77", tmp_path).labels == ("x", "y")
    assert read("banking77", tmp_path, labels=("y", "z")).labels == ("y", "z")
    write(tmp_path, "dev.csv", "text,category", "c,z")
    with pytest.raises(FileError, match=r"dev\.csv, line 2: label 'z' is not among the 2 that"):
        read("banking77", tmp_path)


def test_a_given_order_of_labels_holds_where_the_names_are_the_same(tmp_path):
    write(tmp_path, "dev.tsv", "sentence\tlabel", "a\t1")
    data = read("sst2", tmp_path, labels=("positive", "negative"))
    assert (data.labels, data.examples[0].label) == (("positive", "negative"), "positive")
    with pytest.raises(InputError, match="sst2 has labels of its own"):
        read("sst2", tmp_path, labels=("good", "bad"))


@pytest.mark.parametrize(
    ("name", "file", "rows", "message"),
    [
        (
            "sst2",
            "dev.tsv",
            ["sentence\tlabel", "a\t2"],
            r"dev\.tsv, line 2: label '2' is not among",
        ),
        (
            "sst2",
            "dev.tsv",
            ["text\tlabel", "a\t1"],
            r"dev\.tsv has no column 'sentence'; .*published",
        ),
        ("stsb", "dev.tsv", ["index\tsentence1\tsentence2\tscore", "0\ta\tb\tx"], "line 2: 'x' as"),
        (
            "commonsenseqa",
            "dev.jsonl",
            [json_line(id="7", question="s", answerKey="A")],
            "line 1: not of",
        ),
        ("copa", "dev.jsonl", ['{"premise": 1}'], r"dev\.jsonl, line 1 has no column"),
        ("clinc150", "train_val.json", ['{"val": [], "train": []}'], "no list 'oos_"),
        (
            "clinc150",
            "train_val.json",
            ['{"val": ["a"], "oos_val": [], "train": [["a", "b"]], "oos_train": []}'],
            "val row 1: a text and",
        ),
        ("squad", "dev-v1.1.json", ["[]"], r"dev-v1\.1\.json is not SQuAD JSON"),
    ],
)
def test_a_file_that_is_not_as_published_is_named_with_its_line(
    tmp_path, name, file, rows, message
):
    write(tmp_path, file, *rows)
    with pytest.raises(FileError, match=message):
        read(name, tmp_path)


def test_what_is_not_there_says_what_is_needed(tmp_path):
    write(tmp_path, "train.tsv", "sentence\tlabel", "a\t1")
    with pytest.raises(
        FileError, match=r"no dev file of sst2, which is called dev\.tsv or val\.tsv.*has: train"
    ):
        read("sst2", tmp_path)
    with pytest.raises(FileError, match="sst2 has no split 'sample'; it has: train, dev, test"):
        read("sst2", tmp_path, "sample")
    with pytest.raises(InputError, match="there is no layout 'sst'; there are: cola, sst2"):
        read("sst", tmp_path)
    for ask in (lambda path: read("sst2", path), lambda path: splits("sst2", path)):
        with pytest.raises(DistilBertError, match="check the path"):
            ask(tmp_path / "nowhere")


REAL = [
    ("sst2", "glue", "dev", 872, {"positive": 444, "negative": 428}),
    ("cola", "glue", "train", 8551, {"acceptable": 6023, "unacceptable": 2528}),
    ("mrpc", "glue", "dev", 408, {"equivalent": 279, "not_equivalent": 129}),
    ("rte", "glue", "dev", 277, {"not_entailment": 131, "entailment": 146}),
    ("qnli", "glue", "dev", 5463, {"entailment": 2702, "not_entailment": 2761}),
    ("snli", "nli", "dev", 9842, {"neutral": 3235, "entailment": 3329, "contradiction": 3278}),
    ("imdb", "cls", "dev", 200, {"positive": 93, "negative": 107}),
    ("commonsenseqa", "mc", "dev", 1221, {0: 239, 1: 255, 2: 241, 3: 251, 4: 235}),
    ("copa", "mc", "dev", 500, {0: 250, 1: 250}),
]


@pytest.mark.skipif(shared("MANIFEST.md") is None, reason="needs the data beside the repository")
@pytest.mark.parametrize("given", REAL, ids=lambda given: given[0])
def test_real_sets_hold_what_their_makers_say(given):
    name, folder, split, count, labels = given
    data = read(name, SHARED / folder, split)
    assert len(data.examples) == count
    assert Counter(example.label for example in data.examples) == labels
