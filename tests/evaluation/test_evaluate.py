"""Every kind of data is judged as its definition says, beside a padded forward pass."""

import math
import sys

import numpy as np
import pytest
import torch

import distilbert
from distilbert import DistilBertTokenizerFast
from distilbert.data.examples import Answer, Dataset, Example
from distilbert.data.kinds import KINDS
from distilbert.errors import DistilBertError, InputError
from distilbert.evaluation.evaluate import evaluate
from tiny import LABELS, LONG, WORDS

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["Anna sees the old river.", "cat", "the sun and the moon in Paris", "never", LONG]


def dataset(kind, pairs, labels=()):
    examples = [
        Example(texts, label, f"data.tsv, line {number}", f"id{number}")
        for number, (texts, label) in enumerate(pairs, 1)
    ]
    return Dataset(kind, tuple(examples), tuple(labels))


@pytest.fixture
def load(tiny_folder):
    """`load(kind, **settings)`: a tiny model for data of a kind, and its tokenizer."""

    def made(kind, **settings):
        name = KINDS[kind].model
        folder = tiny_folder(name, **settings)
        model = getattr(distilbert, name).from_pretrained(folder)
        return model, DistilBertTokenizerFast.from_pretrained(folder)

    return made


def logits_of(model, tokenizer, *texts):
    """What the forward pass says of one text, or pair of texts."""
    with torch.inference_mode():
        ids = tokenizer(*texts, truncation=True, return_tensors="pt")["input_ids"]
        return model.eval()(ids).logits[0]


NAMES = {0: "x", 1: "y", 2: "z"}


@pytest.fixture
def classifier(load):
    """A model of three classes that says each of some text, and its tokenizer."""
    model, tokenizer = load("classification", id2label=NAMES)
    logits = torch.stack([logits_of(model, tokenizer, text) for text in TEXTS])
    model.classifier.bias.data -= logits.mean(0)
    return model, tokenizer


def test_classes_are_those_of_the_forward_pass_in_the_order_of_the_data(classifier):
    model, tokenizer = classifier
    wanted = [NAMES[int(logits_of(model, tokenizer, text).argmax())] for text in TEXTS]
    assert len(set(wanted)) > 1
    labels = [wanted[0], *("z" if one != "z" else "x" for one in wanted[1:])]
    data = dataset("classification", zip([(t,) for t in TEXTS], labels, strict=True), "zyx")
    model.train()
    report = evaluate(model, tokenizer, data)
    assert model.training
    assert [one.predicted for one in report.predictions] == wanted
    assert report.scores["accuracy"] == 1 / len(TEXTS)
    assert list(report.scores) == ["accuracy", "macro_f1"]
    assert (report.headline, report.score, report.higher) == ("accuracy", 1 / len(TEXTS), True)
    assert report.labels == ("z", "y", "x")
    first = report.predictions[0]
    share = logits_of(model, tokenizer, TEXTS[0]).softmax(-1).max()
    assert first.score == pytest.approx(float(share), abs=1e-5)
    assert (first.id, first.where, first.texts) == ("id1", "data.tsv, line 1", (TEXTS[0],))
    errors = report.errors()
    assert report.predictions[0] not in errors
    assert [one.score for one in errors] == sorted((o.score for o in errors), reverse=True)


def test_pairs_are_read_as_pairs(classifier):
    model, tokenizer = classifier
    pairs = [("a cat", "a dog"), ("the sun", "the moon and the stars of the night")]
    wanted = [NAMES[int(logits_of(model, tokenizer, *pair).argmax())] for pair in pairs]
    report = evaluate(model, tokenizer, dataset("classification", zip(pairs, "xx"), "xyz"))  # noqa: B905
    assert [one.predicted for one in report.predictions] == wanted


def test_what_a_model_does_not_know_is_told_with_its_line(classifier):
    model, tokenizer = classifier
    data = dataset("classification", [(("cat",), "x"), (("dog",), "zz")], ["x", "zz"])
    with pytest.raises(InputError, match=r"does not know 'zz' \(data\.tsv, line 2\); it knows 'x'"):
        evaluate(model, tokenizer, data)


def test_texts_below_the_best_threshold_are_outside(classifier):
    model, tokenizer = classifier
    shares = [float(logits_of(model, tokenizer, text).softmax(-1).max()) for text in TEXTS]
    best = [NAMES[int(logits_of(model, tokenizer, text).argmax())] for text in TEXTS]
    lowest = int(np.argmin(shares))
    labels = ["oos" if at == lowest else name for at, name in enumerate(best)]
    pairs = list(zip([(t,) for t in TEXTS], labels, strict=True))
    data = dataset("classification", pairs, ["oos", "x", "y", "z"])
    report = evaluate(model, tokenizer, data, outside="oos")
    assert report.scores["accuracy"] == report.scores["out_of_scope_recall"] == 1
    assert min(shares) < report.scores["out_of_scope_threshold"] <= sorted(shares)[1] + 1e-6
    nothing = evaluate(model, tokenizer, data, outside="oos", threshold=0.0)
    assert nothing.scores["out_of_scope_recall"] == 0
    assert nothing.scores["in_scope_accuracy"] == 1
    with pytest.raises(InputError, match="outside is 'other', which is none of the labels"):
        evaluate(model, tokenizer, data, outside="other")


def test_a_class_outside_that_the_model_knows_needs_no_threshold(load):
    model, tokenizer = load("classification", id2label={0: "x", 1: "oos"})
    data = dataset("classification", [((text,), "oos") for text in TEXTS], ["oos", "x"])
    scores = evaluate(model, tokenizer, data, outside="oos").scores
    wanted = np.mean([int(logits_of(model, tokenizer, text).argmax()) for text in TEXTS])
    assert scores["out_of_scope_recall"] == pytest.approx(wanted)
    assert "out_of_scope_threshold" not in scores


def test_numbers_are_what_the_model_gives(load):
    model, tokenizer = load("regression", num_labels=1)
    found = [float(logits_of(model, tokenizer, text)[0]) for text in TEXTS]
    pairs = [((text,), 2 * value + 1) for text, value in zip(TEXTS, found, strict=True)]
    report = evaluate(model, tokenizer, dataset("regression", pairs))
    assert report.scores["pearson"] == pytest.approx(1, abs=1e-4)
    assert [one.predicted for one in report.predictions] == pytest.approx(found, abs=1e-4)
    assert [o.error for o in report.errors()] == sorted(
        (o.error for o in report.predictions), reverse=True
    )
    two, tokenizer = load("classification", id2label=NAMES)
    with pytest.raises(InputError, match=r"has 3 labels \(x, y, z\).*num_labels=1"):
        evaluate(two, tokenizer, dataset("regression", pairs))


def test_several_labels_are_those_above_a_half(load):
    model, tokenizer = load("multi_label", id2label=NAMES)
    found = [
        tuple(NAMES[at] for at in range(3) if logits_of(model, tokenizer, text)[at] > 0)
        for text in TEXTS
    ]
    report = evaluate(
        model,
        tokenizer,
        dataset("multi_label", [((t,), f) for t, f in zip(TEXTS, found)], "xyz"),  # noqa: B905
    )
    assert [one.predicted for one in report.predictions] == found
    assert report.scores["exact_match"] == 1
    assert report.errors() == []


def test_of_choices_the_one_with_the_highest_score_is_taken(load):
    model, tokenizer = load("choice")
    texts = [("the cat", "sleeps", "runs in the river", "is old"), ("Anna", "likes fire", "rain")]
    with torch.inference_mode():
        wanted = [
            int(
                torch.stack(
                    [
                        model(
                            tokenizer(context, one, return_tensors="pt")["input_ids"][None]
                        ).logits
                        for one in choices
                    ]
                ).argmax()
            )
            for context, *choices in texts
        ]
    data = dataset("choice", zip(texts, [wanted[0], 1 - wanted[1]], strict=True))
    report = evaluate(model, tokenizer, data)
    assert [one.predicted for one in report.predictions] == wanted
    assert report.scores == {"accuracy": 0.5}


def test_every_word_has_the_tag_of_its_first_piece_also_in_long_texts(load):
    model, tokenizer = load("tags", id2label=LABELS)
    words = ["unbelievable", "Anna", "sees", "Paris"]
    logits = logits_of(model, tokenizer, "unbelievable Anna sees Paris")
    ids = tokenizer("unbelievable Anna sees Paris").word_ids()
    wanted = tuple(LABELS[int(logits[ids.index(at)].argmax())] for at in range(4))
    names = sorted(LABELS.values())
    many = WORDS * 3
    assert len(many) > model.config.max_position_embeddings
    data = dataset("tags", [(tuple(words), wanted), (tuple(many), ("O",) * len(many))], names)
    report = evaluate(model, tokenizer, data, stride=8)
    assert report.predictions[0].predicted == wanted
    assert report.predictions[0].error == 0
    assert len(report.predictions[1].predicted) == len(many)
    assert set(report.predictions[1].predicted) <= set(names)
    assert list(report.scores) == ["f1", "precision", "recall", "accuracy"]
    assert report.confusion().sum() == 4 + len(many)


def test_a_word_that_the_tokenizer_makes_nothing_of_has_no_tag(load):
    model, tokenizer = load("tags", id2label={0: "NOUN", 1: "VERB"})
    data = dataset("tags", [(("cat", "\u200b\x00", "runs"), ("NOUN",) * 3)], ["NOUN", "VERB"])
    report = evaluate(model, tokenizer, data)
    assert report.predictions[0].predicted[1] == ""
    assert report.confusion().sum() == 2


CONTEXT = "Anna sees the cat in Paris. Ben likes the red stone of the old house."


def test_an_answer_is_the_best_span_of_all_windows(load):
    model, tokenizer = load("spans")
    question = "who sees the cat?"
    with torch.inference_mode():
        encoded = tokenizer(question, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
        output = model.eval()(encoded["input_ids"])
    sequence = tokenizer(question, CONTEXT).sequence_ids()
    places = [at for at, one in enumerate(sequence) if one == 1]
    starts, ends = output.start_logits[0], output.end_logits[0]
    _, first, last = max(
        (float(starts[a] + ends[b]), a, b) for a in places for b in places if a <= b < a + 30
    )
    offsets = encoded["offset_mapping"][0]
    wanted = CONTEXT[int(offsets[first][0]) : int(offsets[last][1])]
    null = float(starts[0] + ends[0]) - float(starts[first] + ends[last])
    answer = (Answer(wanted, CONTEXT.index(wanted)),)
    data = dataset("spans", [((question, CONTEXT), answer)])
    report = evaluate(model, tokenizer, data)
    assert report.scores == {"f1": 1, "exact_match": 1}
    assert report.predictions[0].predicted == wanted

    versions = dataset("spans", [((question, CONTEXT), answer), ((question, CONTEXT), ())])
    for threshold, said in ((null + 0.01, wanted), (null - 0.01, "")):
        report = evaluate(model, tokenizer, versions, threshold=threshold)
        assert [one.predicted for one in report.predictions] == [said, said]
        assert report.scores["HasAns_exact"] == (said == wanted)
        assert report.scores["NoAns_exact"] == (said == "")
        assert report.scores["best_exact_thresh"] == pytest.approx(null, abs=1e-4)
    short = evaluate(model, tokenizer, data, longest=1)
    assert len(short.predictions[0].predicted.split()) == 1


def test_long_contexts_are_read_in_windows(load):
    model, tokenizer = load("spans")
    context = " ".join(WORDS * 3)
    data = dataset("spans", [(("who?", context), (Answer("Anna", 0),))])
    found = evaluate(model, tokenizer, data, max_length=32, stride=8).predictions[0]
    assert found.predicted in context
    assert 0 < found.score <= 1


def test_masked_words_have_the_perplexity_of_the_forward_pass(load):
    model, tokenizer = load("words")
    data = dataset("words", [((text,), None) for text in (*TEXTS, " ".join(WORDS * 2))])
    report = evaluate(model, tokenizer, data, seed=3)
    losses, right = [], []
    for one in report.predictions:
        with torch.inference_mode():
            ids = tokenizer(one.texts[0], add_special_tokens=False, return_tensors="pt").input_ids
            scores = model.eval()(ids).logits[0].log_softmax(-1)
        masks = (ids[0] == tokenizer.mask_token_id).nonzero().flatten()
        wanted = tokenizer.convert_tokens_to_ids(list(one.label))
        losses += [-float(scores[at, id]) for at, id in zip(masks, wanted, strict=True)]
        right += [int(scores[at].argmax()) == id for at, id in zip(masks, wanted, strict=True)]
    assert report.scores["perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert report.scores["accuracy"] == pytest.approx(np.mean(right))
    assert not report.higher
    pieces = sum(len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in TEXTS)
    assert len(losses) >= 0.15 * pieces
    again = evaluate(model, tokenizer, data, seed=3)
    assert again == report
    assert evaluate(model, tokenizer, data, seed=4).scores != report.scores


def test_active_adapters_act(load):
    model, tokenizer = load("classification", id2label=NAMES)
    data = dataset("classification", [((text,), "x") for text in TEXTS], "xyz")
    plain = evaluate(model, tokenizer, data)
    torch.manual_seed(0)
    model.add_adapter("a", "seq_bn")
    assert evaluate(model, tokenizer, data).predictions == plain.predictions
    for name, parameter in model.named_parameters():
        if "adapter" in name:
            torch.nn.init.normal_(parameter, std=1)
    model.set_active_adapters("a")
    adapted = evaluate(model, tokenizer, data)
    assert [one.score for one in adapted.predictions] != [one.score for one in plain.predictions]


def test_progress_goes_from_nothing_to_all(load):
    model, tokenizer = load("words")
    data = dataset("words", [((text,), None) for text in TEXTS * 3])
    told = []
    evaluate(model, tokenizer, data, token_budget=16, progress=told.append)
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == 1


def test_what_does_not_fit_together_is_refused(load):
    model, tokenizer = load("classification", id2label=NAMES)
    tags = dataset("tags", [(("cat",), ("x",))], "x")
    with pytest.raises(InputError, match=r"answered by a DistilBertForTokenClassification, not"):
        evaluate(model, tokenizer, tags)
    with pytest.raises(InputError, match="holds no examples"):
        evaluate(model, tokenizer, dataset("classification", [], "xyz"))
    unlabelled = dataset("classification", [(("cat",), "x"), (("dog",), None)], "xyz")
    with pytest.raises(InputError, match=r"data\.tsv, line 2: nobody has said .*1 of 2 examples"):
        evaluate(model, tokenizer, unlabelled)
    with pytest.raises(InputError, match="no metric 'bleu' of classification"):
        evaluate(
            model, tokenizer, dataset("classification", [(("a",), "x")], "xyz"), metrics=["bleu"]
        )


def test_a_missing_library_is_told_before_the_model_runs(classifier, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.metrics", raising=False)
    data, told = dataset("classification", [(("cat",), "x")], "xyz"), []
    with pytest.raises(InputError, match=r"sklearn.*not installed"):
        evaluate(*classifier, data, progress=told.append)
    assert told == []
    assert evaluate(*classifier, data, metrics=["accuracy"], progress=told.append).scores
    assert told


def test_options_that_cannot_be_are_refused(load):
    model, tokenizer = load("spans")
    data = dataset("spans", [(("who?", CONTEXT), (Answer("Anna", 0),)), (("why?", CONTEXT), ())])
    with pytest.raises(InputError, match=r"data\.tsv, line 2: the question has no answer \(1 of 2"):
        evaluate(model, tokenizer, data, no_answer=False)
    with pytest.raises(InputError, match=r"metrics is 'f1'; allowed: a list of names"):
        evaluate(model, tokenizer, data, metrics="f1")
    with pytest.raises(InputError, match="longest is 0; allowed: at least 1"):
        evaluate(model, tokenizer, data, longest=0)
    with pytest.raises(InputError, match="token_budget is 0"):
        evaluate(model, tokenizer, data, token_budget=0)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "classification",
            {"threshold": 0.9},
            "threshold is 0.9, .* name that class with outside=",
        ),
        ("regression", {"threshold": 0.9}, "threshold is 0.9, .* does nothing: leave it out$"),
        ("regression", {"outside": "oos"}, "outside is 'oos', which is for classes"),
        ("spans", {"threshold": 0.0}, "threshold is 0.0, .* does nothing: leave it out$"),
        ("spans", {"outside": "oos"}, "outside is 'oos', which is for classes"),
    ],
)
def test_options_that_would_do_nothing_are_refused(load, kind, options, message):
    model, tokenizer = load(kind, **({"num_labels": 1} if kind == "regression" else {}))
    texts = ("who?", CONTEXT) if kind == "spans" else (CONTEXT,)
    label = {"classification": "x", "regression": 1.0, "spans": (Answer("Anna", 0),)}[kind]
    data = dataset(kind, [(texts, label)], "xyz" if kind == "classification" else ())
    with pytest.raises(InputError, match=message):
        evaluate(model, tokenizer, data, **options)


def test_questions_may_be_said_to_have_no_answer_though_all_have(load):
    model, tokenizer = load("spans")
    data = dataset("spans", [(("who?", CONTEXT), (Answer("Anna", 0),))])
    found = evaluate(model, tokenizer, data, no_answer=True, threshold=-1e9)
    assert found.predictions[0].predicted == ""
    assert found.scores["HasAns_exact"] == 0


def test_damaged_weights_are_told(load):
    model, tokenizer = load("classification", id2label=NAMES)
    model.classifier.bias.data[0] = math.inf
    with pytest.raises(DistilBertError, match="not a finite number"):
        evaluate(model, tokenizer, dataset("classification", [(("cat",), "x")], "xyz"))
