"""Every command on tiny random models: what it answers, in which form, and its exit code."""

import csv
import io
import json
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text
from typer.main import get_command
from typer.testing import CliRunner

import distilbert
from distilbert import pipeline, zoo
from distilbert.cli import stream
from distilbert.cli.app import COMMANDS, app
from distilbert.cli.classify import Scores
from distilbert.cli.info import Check, _show
from distilbert.cli.tag import Group
from distilbert.files.backbones import cache_home
from distilbert.pipelines.classification import FUNCTIONS
from distilbert.pipelines.entities import STRATEGIES
from tiny import LABELS, VOCABULARY, WORDS, write_model

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = " ".join(WORDS)


@pytest.fixture
def call():
    """`call(*arguments, given=None)`: the result of a command, which must not be a traceback."""

    def run(*arguments, given=None):
        result = CliRunner().invoke(app, [str(one) for one in arguments], input=given)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    return run


@pytest.fixture
def records(call):
    """`records(*arguments, given=None)`: the JSON lines that a command prints."""

    def run(*arguments, given=None):
        result = call(*arguments, given=given)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


@pytest.fixture
def folder(tiny_folder):
    return {
        "encoder": tiny_folder("DistilBertModel"),
        "classifier": tiny_folder("DistilBertForSequenceClassification", num_labels=3),
        "tagger": tiny_folder("DistilBertForTokenClassification", id2label=LABELS),
        "reader": tiny_folder("DistilBertForQuestionAnswering"),
        "filler": tiny_folder("DistilBertForMaskedLM"),
    }


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("Anna sees the cat.\n\nthe sun and the moon\nrain in Paris\n", encoding="utf-8")
    return path


# embed and search ---------------------------------------------------------------------------------


def test_embed_gives_the_vectors_of_the_pipeline(records, folder):
    found = records("embed", "a cat", "the sun", "-m", folder["encoder"])
    assert [one["text"] for one in found] == ["a cat", "the sun"]
    wanted = pipeline("sentence-embedding", folder["encoder"])(["a cat", "the sun"])
    np.testing.assert_allclose([one["embedding"] for one in found], wanted, atol=1e-6)
    raw = records("embed", "a cat", "-m", folder["encoder"], "--raw")
    assert np.linalg.norm(raw[0]["embedding"]) != pytest.approx(1, abs=0.01)


def test_embed_keeps_one_vector_a_line_and_their_order(call, folder, lines, tmp_path):
    out = tmp_path / "vectors.npy"
    options = ("--token-budget", "9", "--threads", "1", "--dtype", "float32")
    result = call("embed", "--in", lines, "-m", folder["encoder"], "-o", out, *options)
    assert (result.exit_code, result.stdout) == (0, "")
    texts = lines.read_text(encoding="utf-8").splitlines()
    wanted = pipeline("sentence-embedding", folder["encoder"])(texts)
    np.testing.assert_allclose(np.load(out), wanted, atol=1e-6)


def test_embed_goes_on_over_many_chunks(records, folder):
    texts = [f"{a} {b}" for a in WORDS for b in WORDS[:9]]
    found = records("embed", "-m", folder["encoder"], given="\n".join(texts))
    assert [one["text"] for one in found] == texts
    wanted = pipeline("sentence-embedding", folder["encoder"])(texts)
    np.testing.assert_allclose([one["embedding"] for one in found], wanted, atol=1e-6)


def test_search_finds_the_nearest_lines_best_first(records, folder, lines):
    (found,) = records("search", "the moon", "--in", lines, "-m", folder["encoder"], "--top", 2)
    embed = pipeline("sentence-embedding", folder["encoder"])
    texts = ["Anna sees the cat.", "the sun and the moon", "rain in Paris"]
    scores = embed(texts) @ embed("the moon")
    order = np.argsort(-scores)[:2]
    assert found["query"] == "the moon"
    assert [hit["text"] for hit in found["hits"]] == [texts[at] for at in order]
    assert [hit["line"] for hit in found["hits"]] == [(1, 3, 4)[at] for at in order]
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]
    np.testing.assert_allclose([hit["score"] for hit in found["hits"]], scores[order], atol=1e-5)


def test_search_answers_several_queries_over_many_chunks(records, folder, tmp_path):
    path = tmp_path / "many.csv"
    texts = [f"{a} {b}" for a in WORDS for b in WORDS[:9]]
    path.write_text("body\n" + "\n".join(texts), encoding="utf-8")
    queries = ["the mouse", "old stone water"]
    found = records("search", *queries, "-i", path, "-c", "body", "-m", folder["encoder"], "-n", 4)
    embed = pipeline("sentence-embedding", folder["encoder"])
    for own, scores in zip(found, embed(queries) @ embed(texts).T, strict=True):
        wanted = np.sort(scores)[::-1][:4]
        np.testing.assert_allclose([hit["score"] for hit in own["hits"]], wanted, atol=1e-5)


def test_search_of_equal_lines_shows_the_first(records, folder):
    given = "rain\ncat\ncat\ncat\n"
    (found,) = records("search", "cat", "-m", folder["encoder"], "-n", 2, given=given)
    assert [hit["line"] for hit in found["hits"]] == [2, 3]


def test_search_needs_a_query_and_a_text(call, folder, lines):
    result = call("search", " ", "--in", lines, "-m", folder["encoder"])
    assert (result.exit_code, "the query is empty" in result.output) == (1, True)
    result = call("search", "cat", "-m", folder["encoder"], given="\n \n")
    assert (result.exit_code, "all lines are empty" in result.output) == (1, True)


# classify, tag, answer, fill ----------------------------------------------------------------------


def test_classify_gives_the_best_label_or_several(records, folder):
    pipe = pipeline("text-classification", folder["classifier"])
    (found,) = records("classify", "a cat", "-m", folder["classifier"])
    assert list(found) == ["text", "label", "score"]
    assert found["label"] == pipe("a cat")[0]["label"]
    (found,) = records("classify", "a cat", "-m", folder["classifier"], "--top", 2)
    assert [one["label"] for one in found["labels"]] == [
        one["label"] for one in pipe("a cat", top_k=2)
    ]
    (found,) = records("classify", "a cat", "-m", folder["classifier"], "--scores", "none")
    assert found["score"] == pytest.approx(
        pipe("a cat", function_to_apply="none")[0]["score"], abs=1e-5
    )


def test_classify_reads_pairs_and_writes_flat_rows(call, folder, tmp_path):
    path, out = tmp_path / "pairs.csv", tmp_path / "labels.csv"
    path.write_text("a,b\nthe cat,a dog\nthe sun,the moon\n", encoding="utf-8")
    options = ("--column", "a", "--pair-column", "b", "--top", "2", "--out", out)
    assert call("classify", "--in", path, "-m", folder["classifier"], *options).exit_code == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [(row["text"], row["text_pair"]) for row in rows] == [("the cat", "a dog")] * 2 + [
        ("the sun", "the moon")
    ] * 2
    pipe = pipeline("text-classification", folder["classifier"])
    wanted = pipe({"text": "the sun", "text_pair": "the moon"}, top_k=2)
    assert [row["label"] for row in rows[2:]] == [one["label"] for one in wanted]


def test_tag_gives_entities_with_their_places(records, folder):
    pipe = pipeline("token-classification", folder["tagger"])
    text = "Anna sees the unbelievable river"
    for group in ("none", "simple", "first", "average", "max"):
        (found,) = records("tag", text, "-m", folder["tagger"], "--group", group)
        wanted = pipe(text, aggregation_strategy=group)
        assert wanted
        assert [one["start"] for one in found["entities"]] == [one["start"] for one in wanted]
        assert all(one["number"] == 1 for one in found["entities"])
    every = records("tag", text, "-m", folder["tagger"], "--group", "none", "--ignore", "nothing")
    assert len(every[0]["entities"]) == len(pipe(text, ignore_labels=[]))


def test_tag_reads_long_texts_whole_and_numbers_texts(call, folder, tmp_path):
    out = tmp_path / "tags.csv"
    given = f"cat\n{LONG} {LONG} {LONG}\ndog\n"
    options = ("--group", "none", "--ignore", "nothing", "-o", out)
    assert call("tag", "-m", folder["tagger"], *options, given=given).exit_code == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["number"] for row in rows] == ["1"] + ["2"] * 3 * len(WORDS) + ["3"]


def test_answer_finds_spans_in_a_context_from_anywhere(records, folder, tmp_path):
    context = "Anna sees the old river in Paris."
    (tmp_path / "about.md").write_text(context, encoding="utf-8")
    ask = ("answer", "-q", "where?", "-m", folder["reader"], "--top", "2")
    (found,) = records(*ask, "--context", context)
    assert records(*ask, "--context-file", tmp_path / "about.md") == [found]
    assert records(*ask, given=context) == [found]
    pipe = pipeline("question-answering", folder["reader"])
    wanted = pipe(question="where?", context=context, top_k=2)
    assert [one["answer"] for one in found["answers"]] == [one["answer"] for one in wanted]
    one = found["answers"][0]
    assert context[one["start"] : one["end"]] == one["answer"]


def test_answer_takes_several_questions_and_short_or_no_answers(records, folder):
    options = ("--context", "the cat sees the dog", "--longest", "1", "--impossible", "-n", "9")
    found = records("answer", "-q", "who?", "-q", "where?", "-m", folder["reader"], *options)
    assert [one["question"] for one in found] == ["who?", "where?"]
    for one in found:
        answers = [answer["answer"] for answer in one["answers"]]
        assert "" in answers
        assert all(" " not in answer for answer in answers)


def test_answer_reads_tables_of_questions(records, folder, tmp_path):
    path = tmp_path / "pairs.jsonl"
    pairs = [("who?", "Anna sleeps"), ("where?", "in Paris")]
    path.write_text("".join(json.dumps({"q": q, "context": c}) + "\n" for q, c in pairs))
    found = records("answer", "-i", path, "--question-column", "q", "-m", folder["reader"])
    pipe = pipeline("question-answering", folder["reader"])
    for own, (question, context) in zip(found, pairs, strict=True):
        wanted = pipe(question=question, context=context)
        assert own["answers"][0]["answer"] == wanted["answer"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no question was asked"),
        (("-q", "a", "--context", "b", "--context-file", "c"), "not from both"),
        (("-q", "a", "--in", "b.csv"), "leave the other options out"),
        (("-q", "a", "--context", "b", "--context-column", "c"), "name one with --in, or leave"),
        (("-q", "a", "--context", "b", "--question-column", "c"), "name one with --in, or leave"),
        (("-q", "a", "--context", "b", "--format", "csv"), "name one with --in, or leave"),
        (("-q", "a", "--context", " "), "the context is empty"),
        (("-q", " ", "--context", "a"), "the question is empty"),
        (("-q", "a", "--context-file", "nowhere.txt"), "there is no file 'nowhere.txt'"),
    ],
)
def test_answer_says_what_is_missing(call, folder, options, message):
    result = call("answer", "-m", folder["reader"], *options)
    assert result.exit_code == 1
    assert message in result.output


def test_fill_gives_words_for_every_mask(records, folder):
    pipe = pipeline("fill-mask", folder["filler"])
    text = "the [MASK] sees the [MASK]"
    (found,) = records("fill", text, "-m", folder["filler"], "--top", 2)
    wanted = pipe(text, top_k=2)
    assert [(one["mask"], one["token"]) for one in found["fills"]] == [
        (at, one["token"]) for at, mask in enumerate(wanted, 1) for one in mask
    ]
    (found,) = records("fill", "the [MASK]", "-m", folder["filler"], "--target", "cat")
    assert [one["token_str"] for one in found["fills"]] == ["cat"]


def test_fill_needs_a_mask(call, folder):
    result = call("fill", "a cat", "-m", folder["filler"])
    assert (result.exit_code, "no [MASK] in 'a cat'" in result.output) == (1, True)


# tokenize, info -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["--fast", "--python"])
def test_tokenize_shows_tokens_ids_and_places(records, tiny_vocab, kind):
    text = "The unbelievable cats"
    (found,) = records("tokenize", text, "-m", tiny_vocab.parent, kind)
    tokens = [one["token"] for one in found["tokens"]]
    assert tokens == ["[CLS]", "the", "un", "##b", "##e", "##l", "##i", "##e", "##v", "##able",
                      "cat", "##s", "[SEP]"]  # fmt: skip
    assert [one["index"] for one in found["tokens"]] == list(range(len(tokens)))
    for one in found["tokens"][1:-1]:
        piece = text[one["start"] : one["end"]].lower()
        assert piece == one["token"].removeprefix("##")
    (bare,) = records("tokenize", text, "-m", tiny_vocab.parent, kind, "--no-special")
    assert [one["token"] for one in bare["tokens"]] == tokens[1:-1]


def test_info_counts_what_a_checkpoint_is(records, folder):
    (found,) = records("info", folder["tagger"])
    model = distilbert.DistilBertForTokenClassification.from_pretrained(folder["tagger"])
    assert found["parameters"]["total"] == sum(p.numel() for p in model.parameters())
    assert found["model"]["loaded as"] == "DistilBertForTokenClassification"
    assert found["sizes"]["labels"] == list(LABELS.values())
    weights = folder["tagger"] / "model.safetensors"
    assert found["files"]["model.safetensors"] == weights.stat().st_size
    assert found["tokenizer"]["special tokens"]["[MASK]"] == 4
    assert all(check["fine"] for check in found["checks"])


def _checks(result):
    return {check["check"]: check for check in json.loads(result.stdout)["checks"]}


def test_info_shows_control_characters_of_a_checkpoint_spelled_out(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "dumb")
    with redirect_stdout(Terminal()) as shown:
        _show({"model": {"na\x1b[2Jme": ["\x1b]0;t\x07"]}}, [Check("\x9bc", True, "\x1b[31m")])
    assert not set(shown.getvalue()) & {"\x1b", "\x07", "\x9b"}
    for one in (r"na\x1b[2Jme", r"\x1b]0;t\x07", r"\x9bc", r"\x1b[31m"):
        assert one in shown.getvalue()


def test_an_error_shows_control_characters_spelled_out(call, folder, tmp_path):
    path = tmp_path / "a\x1b[31m.csv"
    path.write_text("text,b\nc\n")
    result = call("embed", "-i", path, "-m", folder["encoder"])
    assert (result.exit_code, r"a\x1b[31m.csv, line 2: 1 fields" in result.output) == (1, True)


def test_info_fails_a_checkpoint_that_lacks_weights(call, tmp_path):
    folder = write_model(tmp_path, "DistilBertModel")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["DistilBertForMaskedLM"]
    (folder / "config.json").write_text(json.dumps(config))
    result = call("info", folder)
    assert result.exit_code == 1
    check = _checks(result)["weights that are missing"]
    assert not check["fine"]
    assert "vocab_projector.bias" in check["found"]


def test_info_fails_weights_that_are_not_finite(call, tmp_path):
    folder = write_model(tmp_path, "DistilBertModel")
    model = distilbert.DistilBertModel.from_pretrained(folder)
    model.embeddings.LayerNorm.bias.data[3] = float("nan")
    model.save_pretrained(folder)
    result = call("info", folder)
    assert result.exit_code == 1
    assert _checks(result)["weights that are not finite"]["found"] == "embeddings.LayerNorm.bias"


def test_info_fails_a_checkpoint_without_a_tokenizer(call, tmp_path):
    folder = write_model(tmp_path, "DistilBertModel")
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer_config.json").unlink()
    result = call("info", folder)
    assert result.exit_code == 1
    assert not _checks(result)["tokenizer"]["fine"]


# On real text -------------------------------------------------------------------------------------

CONSTITUTION = Path(__file__).parents[2] / "examples" / "constitution.txt"


@pytest.mark.skipif(not (cache_home() / "minilm").exists(), reason="minilm is not in the cache")
def test_search_with_the_default_model_finds_what_is_meant(records):
    meant = {
        "Can the police search my house without a reason?": "Amendment IV:",
        "When were women allowed to vote?": "Amendment XIX",
        "beer and wine are forbidden": "Amendment XVIII",
    }
    found = records("search", *meant, "--in", CONSTITUTION, "--top", "1")
    for one, place in zip(found, meant.values(), strict=True):
        assert one["hits"][0]["text"].startswith(place)


# Every command ------------------------------------------------------------------------------------


def test_long_texts_are_cut_and_counted_or_refused(call, records, folder, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text(f"cat\n{LONG}\ndog\n{LONG}\n", encoding="utf-8")
    result = call("embed", "--in", path, "-m", folder["encoder"])
    assert result.exit_code == 0
    assert "warning: 2 texts were longer than the 64 tokens" in result.output
    assert f"(the first: {path}, line 2); --long error refuses" in result.output
    result = call("embed", "--in", path, "-m", folder["encoder"], "--long", "error")
    assert result.exit_code == 1
    assert f"{path}, line 2: the text is longer than the 64 tokens" in result.output


@pytest.mark.parametrize("name", ["classify", "tag", "fill"])
def test_a_model_without_the_head_is_refused(call, folder, name):
    result = call(name, "[MASK]", "-m", folder["encoder"])
    assert result.exit_code == 1
    assert "holds no weights for" in result.output


@pytest.mark.parametrize("name", ["classify", "tag", "fill"])
def test_a_missing_model_names_one_where_none_is_shipped(call, monkeypatch, name):
    monkeypatch.setattr(zoo, "DEFAULTS", {})
    result = call(name, "[MASK]")
    assert result.exit_code == 1
    assert "a hub id such as '" in result.output


@pytest.mark.parametrize("name", ["embed", "classify", "tag", "fill", "tokenize"])
def test_bad_input_is_one_line_and_exit_code_1(call, folder, name, tmp_path):
    model = folder["encoder"]
    (tmp_path / "bad.jsonl").write_text('{"text": "[MASK]"}\n{"body": "b", "id": 1}\n')
    for arguments, message in (
        (("--in", tmp_path / "nowhere.txt"), "there is no file"),
        (("--in", tmp_path), "is a folder"),
        (("a", "--in", tmp_path / "bad.jsonl"), "not from both"),
        (("a", "--out", "a.doc"), "what kind of file is 'a.doc'"),
        (("a", "--model", tmp_path / "nowhere"), "no folder"),
    ):
        result = call(name, "-m", model, *arguments)
        assert result.exit_code == 1, arguments
        assert message in result.output
        assert result.output.startswith("error: ")
        assert result.output.count("\n") == 1


def test_a_bad_line_deep_in_a_file_leaves_no_file_of_answers(call, folder, tmp_path):
    path, out = tmp_path / "bad.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"text": "cat"}\n' * 300 + '{"body": "b", "id": 1}\n')
    result = call("embed", "--in", path, "-m", folder["encoder"], "--out", out)
    assert result.exit_code == 1
    assert "bad.jsonl, line 301 has no column 'text'; it has: 'body', 'id'" in result.output
    assert [one.name for one in tmp_path.iterdir()] == ["bad.jsonl"]


def test_an_error_in_a_text_says_in_which_line_it_stands(call, folder, tmp_path):
    texts = tmp_path / "masks.txt"
    texts.write_text("a [MASK]\n" * 99 + "a cat\n")
    result = call("fill", "-i", texts, "-m", folder["filler"])
    assert (result.exit_code, result.stderr.startswith(f"error: {texts}, line 100: no [MASK]")) == (
        1,
        True,
    )
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("question,context\n" + "who?,Anna sees\n" * 40 + 'who?," "\n')
    result = call("answer", "-i", pairs, "-m", folder["reader"])
    assert (
        result.exit_code,
        f"error: {pairs}, line 42: the context is empty" in result.output,
    ) == (
        1,
        True,
    )


@pytest.mark.parametrize("name", ["embed", "classify", "tag", "fill", "tokenize"])
def test_options_for_files_are_refused_where_texts_are_arguments(call, folder, name):
    options = [("--column", "a"), ("--format", "csv")]
    if name == "classify":
        options.append(("--pair-column", "b"))
    for option in options:
        result = call(name, "a", "-m", folder["encoder"], *option)
        assert (result.exit_code, "the texts are arguments" in result.output) == (1, True)


@pytest.mark.parametrize("name", ["embed", "classify", "tag", "fill", "tokenize"])
def test_a_model_that_is_a_file_is_told_what_is_needed(call, tiny_vocab, name):
    result = call(name, "a", "-m", tiny_vocab)
    assert result.exit_code == 1
    assert "is a file; give the folder that holds it, a hub id, or a backbone" in result.output


@pytest.fixture
def told(monkeypatch):
    """What is told to progress bars: pairs of how much is done and how many texts."""
    seen = []

    @contextmanager
    def progress(title, total, *, hidden):
        yield lambda done, texts: seen.append((hidden, texts))

    monkeypatch.setattr(stream, "progress", progress)
    return seen


@pytest.mark.parametrize(
    ("name", "kind"),
    [("embed", "encoder"), ("search", "encoder"), ("classify", "classifier"), ("tag", "tagger")],
)
def test_progress_goes_on_within_a_chunk_and_counts_texts(call, folder, told, name, kind, tmp_path):
    query = ("cat",) if name == "search" else ()
    given = "cat\nthe sun\nAnna sees the old river in Paris.\ndog\n"
    model = ("-m", folder[kind], "--token-budget", 8)
    assert call(name, *query, *model, given=given).exit_code == 0
    texts = [count for _, count in told]
    assert len(set(texts)) > 2
    assert texts == sorted(texts)
    assert texts[-1] == 4
    assert all(hidden for hidden, _ in told)  # it would stand between the answers
    told.clear()
    assert call(name, *query, *model, "-o", tmp_path / "a.jsonl", given=given).exit_code == 0
    assert not any(hidden for hidden, _ in told)


def test_search_has_no_order_for_what_is_no_number(call, tmp_path):
    folder = write_model(tmp_path, "DistilBertModel")
    model = distilbert.DistilBertModel.from_pretrained(folder)
    model.embeddings.word_embeddings.weight.data[VOCABULARY.index("dog")] = float("nan")
    model.save_pretrained(folder)
    result = call("search", "cat", "-m", folder, "-n", 1, given="cat\nsun\nmoon\ndog\n")
    assert (result.exit_code, "not a finite number" in result.output) == (1, True)


def test_groups_and_scores_are_those_of_the_pipelines():
    assert [one.value for one in Group] == list(STRATEGIES)
    assert {one.value for one in Scores} == set(FUNCTIONS)


def test_words_are_tagged_whole_unless_asked_otherwise(records, folder):
    text = "Anna sees the unbelievable river"
    (found,) = records("tag", text, "-m", folder["tagger"])
    pipe = pipeline("token-classification", folder["tagger"])
    wanted = pipe(text, aggregation_strategy="first")
    assert [one["word"] for one in found["entities"]] == [one["word"] for one in wanted]
    assert wanted != pipe(text, aggregation_strategy="simple")


def test_wrong_usage_is_exit_code_2(call):
    assert call("embed", "a", "--threads", "100000").exit_code == 2
    assert call("embed", "--bogus").exit_code == 2
    assert call("search").exit_code == 2
    assert call("nothing").exit_code == 2
    assert call("tag", "a", "--group", "last").exit_code == 2


def test_a_device_that_is_not_there_is_refused(call, folder):
    result = call("embed", "a", "-m", folder["encoder"], "--device", "nowhere")
    assert (result.exit_code, "cannot compute on the device 'nowhere'" in result.output) == (
        1,
        True,
    )


def test_every_command_has_a_help_with_an_example(call):
    for command in COMMANDS:
        result = call(command.__name__, "--help")
        assert result.exit_code == 0
        assert "Example: distilbert" in result.output


def test_brackets_in_a_help_are_shown():
    """Rich takes them for markup where they are not escaped."""
    commands = get_command(app).commands.values()
    given = [one.help for command in commands for one in command.params if getattr(one, "help", 0)]
    shown = [Text.from_markup(text).plain for text in given]
    assert shown == [text.replace("\\[", "[") for text in given]
    assert sum("[reduction_factor=8]" in text for text in shown) == 1


def test_the_version_is_that_of_the_package(call):
    assert call("--version").stdout == f"distilbert {distilbert.__version__}\n"
