"""Types of heads: every option changes a result, and what cannot work is refused by name."""

import pytest
import torch

from distilbert import DistilBertConfig, InputError
from distilbert.errors import AdapterError
from distilbert.model.flexible import HEAD_TYPES
from distilbert.model.parsing import words_of
from distilbert.model.with_heads import DistilBertModelWithHeads

pytestmark = pytest.mark.usefixtures("one_thread")

IDS = torch.tensor([[2, 15, 3, 27, 28, 9], [2, 16, 17, 3, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
TAKES = {
    "classification": {"labels": torch.tensor([1, 0])},
    "multilabel_classification": {"labels": torch.tensor([[1.0, 0], [0, 0]])},
    "multiple_choice": {"labels": torch.tensor([1])},
    "tagging": {"labels": torch.tensor([[1, 0, 1, 0, 1, 0]] * 2)},
    "question_answering": {
        "start_positions": torch.tensor([1, 2]),
        "end_positions": torch.tensor([4, 2]),
    },
    "dependency_parsing": {
        "word_starts": torch.tensor([[1, 2, 5], [1, 3, -1]]),
        "labels_arcs": torch.tensor([[0, 1], [0, -1]]),
        "labels_rels": torch.tensor([[1, 0], [1, -1]]),
    },
    "masked_lm": {"labels": IDS},
    "causal_lm": {"labels": IDS},
}


def tiny(**settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "dim": 24, "hidden_dim": 40, "n_layers": 1, "n_heads": 4}
    return DistilBertModelWithHeads(
        DistilBertConfig(
            **{**sizes, "max_position_embeddings": 16, "initializer_range": 0.3, **settings}
        )
    ).eval()


def with_head(kind, model_settings=None, **options):
    model = tiny(**(model_settings or {}))
    torch.manual_seed(1)
    model.add_prediction_head_from_config("x", {"head_type": kind, **options})
    with torch.no_grad():
        for name, parameter in model.heads.named_parameters():
            if parameter.ndim == 1 or "biaffine" in name:
                parameter.add_(torch.randn_like(parameter) / 5)
    return model


def answer(model, kind, **options):
    """Logits and loss of one training step, so that dropout shows too."""
    torch.manual_seed(2)
    output = model.train()(IDS, MASK, **{**TAKES[kind], **options})
    return [output.loss, *(v for k, v in output.items() if k != "loss")]


OTHERS = {  # another value of each option, and what else it needs
    "num_labels": [(3, {})],
    "num_choices": [(1, {})],
    "layers": [(1, {}), (2, {}), (3, {})],
    "activation_function": [
        ("relu", {"layers": 2}),
        (None, {"layers": 2}),
        ("gelu", {"layers": 2}),
    ],
    "dropout_prob": [(0.9, {}), (0.0, {})],
    "bias": [(False, {}), (True, {})],
    "layer_norm": [(False, {"layers": 2}), (True, {"layers": 2})],
    "shift_labels": [(True, {}), (False, {})],
    "vocab_size": [(60, {})],
    "embedding_size": [(8, {"layers": 2})],
}
CASES = [
    (kind, option, value, more)
    for kind, row in HEAD_TYPES.items()
    for option in row.options
    for value, more in OTHERS.get(option, [])
    if not (option == "num_labels" and kind == "question_answering")  # it is 2
    and not (option == "dropout_prob" and kind == "causal_lm")  # it is None
    and value != row.options[option]
]


@pytest.mark.parametrize(("kind", "option", "value", "more"), CASES)
def test_every_option_changes_a_result(kind, option, value, more):
    settings = {"tie_word_embeddings": option not in ("vocab_size", "embedding_size")}
    labels = {}
    if kind == "multilabel_classification" and option == "num_labels":
        labels = {"labels": torch.ones(2, 3)}
    if option == "num_choices":
        labels = {"labels": torch.tensor([0, 0])}
    base = {name: number for name, number in more.items() if name in HEAD_TYPES[kind].options}
    before = answer(with_head(kind, settings, **base), kind)
    model = with_head(kind, settings, **base, **{option: value})
    assert model.heads["x"].config[option] == value
    after = answer(model, kind, **labels)
    pairs = list(zip(before, after, strict=True))
    assert any(a.shape != b.shape or (a - b).abs().max() > 1e-4 for a, b in pairs)


def test_every_option_is_tried_or_can_have_one_value_only():
    tried = {(kind, option) for kind, option, _, _ in CASES}
    every = {(kind, option) for kind, row in HEAD_TYPES.items() for option in row.options}
    assert {option for _, option in every - tried} == {
        *("label2id", "use_pooler", "num_labels", "dropout_prob"),
    }
    assert ("question_answering", "num_labels") in every - tried
    assert ("causal_lm", "dropout_prob") in every - tried
    assert len([pair for pair in every - tried if pair[1] in ("num_labels", "dropout_prob")]) == 2


def test_labels_have_the_names_that_a_file_gives_them():
    names = {"good": 1, "bad": 0}
    model = with_head("classification", label2id=names)
    assert model.get_labels() == ["bad", "good"]
    assert model.heads["x"].config["label2id"] == names
    model = with_head("classification", id2label={"1": "good", "0": "bad"})
    assert model.heads["x"].config["label2id"] == names


def test_names_of_a_file_need_not_be_as_many_as_its_labels():
    model = with_head("classification", num_labels=3, label2id={"good": 1})
    assert model.get_labels_dict() == {1: "good"}
    assert model(IDS, MASK).logits.shape == (2, 3)
    assert model.config.num_labels == 2  # the configuration of the model stays as it was


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("classification", {"num_labels": 0}, "num_labels 0; allowed: a whole number from 1"),
        ("classification", {"num_labels": True}, "num_labels True; allowed: a whole number"),
        ("classification", {"num_labels": 10**12}, "num_labels 1000000000000; allowed"),
        ("classification", {"layers": 0}, "layers 0; allowed: a whole number from 1 to 100"),
        ("classification", {"layers": "2"}, "layers '2'"),
        ("classification", {"activation_function": "relux"}, "'relux'; allowed: None, gelu"),
        ("classification", {"activation_function": ["relu"]}, "activation_function"),
        ("classification", {"use_pooler": True}, "use_pooler True; allowed: False: a DistilBERT"),
        ("classification", {"bias": 1}, "bias 1; allowed: True or False"),
        ("classification", {"dropout_prob": 1.5}, "dropout_prob 1.5; allowed: None for that"),
        ("classification", {"dropout_prob": float("nan")}, "dropout_prob nan"),
        ("classification", {"label2id": ["a", "b"]}, "label2id"),
        ("classification", {"label2id": {"a": "0"}}, "a number for each label"),
        ("classification", {"label2id": {"a": 0, "b": 0}}, "none of them twice"),
        ("classification", {"label2id": {"\ud800": 0}}, "label2id"),
        ("classification", {"id2label": {0: "a", 1: "a"}}, "label2id"),
        ("classification", {"id2label": "ab"}, "label2id 'ab'"),
        ("classification", {"colour": 1}, "has no option 'colour'; allowed: num_labels, layers"),
        ("tagging", {"bias": True}, "of type 'tagging' has no option 'bias'"),
        ("multiple_choice", {"use_pooler": True}, "no pooler"),
        ("question_answering", {"num_labels": 3}, "num_labels 3; allowed: 2, the start and"),
        ("masked_lm", {"vocab_size": 51}, "vocab_size 51; allowed: 50, as this model"),
        ("masked_lm", {"embedding_size": 8}, "embedding_size 8; allowed: 24"),
        ("causal_lm", {"dropout_prob": 0.1}, "dropout_prob 0.1; allowed: None"),
        ("image_classification", {}, "is of type 'image_classification'; allowed: classification"),
    ],
)
def test_options_that_cannot_work_are_refused_and_change_nothing(kind, options, message):
    model = tiny()
    before = model.config.to_dict(), [*model.state_dict()]
    with pytest.raises(AdapterError, match=message):
        model.add_prediction_head_from_config("x", {"head_type": kind, **options})
    assert (model.config.to_dict(), [*model.state_dict()]) == before
    assert model.active_head is None


def test_one_layer_of_words_is_as_wide_as_the_model():
    with pytest.raises(AdapterError, match="embedding_size 8; allowed: 24"):
        with_head("causal_lm", {"tie_word_embeddings": False}, embedding_size=8, layers=1)
    model = with_head("causal_lm", {"tie_word_embeddings": False}, embedding_size=8, layers=2)
    assert model(IDS, MASK).logits.shape == (2, 6, 50)


# Dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [k for k, row in HEAD_TYPES.items() if "dropout_prob" in row.options]
)
def test_the_dropout_of_a_head_is_the_models_where_it_says_nothing(kind):
    layers = [m for m in with_head(kind).heads.modules() if isinstance(m, torch.nn.Dropout)]
    if kind == "causal_lm":
        assert not layers
        return
    assert {layer.p for layer in layers} == {0.2}
    model = with_head(kind, {"seq_classif_dropout": 0.3, "qa_dropout": 0.7})
    assert {m.p for m in model.heads.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    model = with_head(kind, dropout_prob=0.4)
    assert {m.p for m in model.heads.modules() if isinstance(m, torch.nn.Dropout)} == {0.4}


# Losses --------------------------------------------------------------------------------------


def test_labels_of_padding_are_passed_over_when_tagging():
    model = with_head("tagging")
    ignored = torch.where(MASK == 0, -100, TAKES["tagging"]["labels"])
    wrong = torch.where(MASK == 0, 7, ignored)  # no class at all
    losses = [model(IDS, MASK, labels=labels).loss for labels in (ignored, wrong)]
    assert torch.equal(*losses)
    with pytest.raises(InputError, match="label 7 is no class"):
        model(IDS, labels=wrong)


def test_a_head_for_the_next_word_is_scored_by_the_ids_themselves():
    model = with_head("causal_lm")
    output = model(IDS, MASK, labels=torch.where(MASK == 0, -100, IDS))
    expected = torch.nn.functional.cross_entropy(
        torch.cat([output.logits[0, :5], output.logits[1, :3]]),
        torch.cat([IDS[0, 1:], IDS[1, 1:4]]),
    )
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        ("classification", {"labels": torch.tensor([0, 2])}, "label 2 is no class"),
        ("classification", {"labels": torch.tensor([0.5, 1])}, "labels are of type torch.float32"),
        ("multilabel_classification", {"labels": torch.tensor([0, 1])}, r"allowed for multi_label"),
        ("tagging", {"labels": torch.ones(2, 5).long()}, r"\(2, 5\); allowed: \(2, 6\)"),
        ("question_answering", {"start_positions": torch.ones(3).long()}, "start_positions have"),
        ("masked_lm", {"labels": IDS[:, :5]}, r"\(2, 5\); allowed: \(2, 6\)"),
        ("dependency_parsing", {"labels_arcs": torch.ones(2, 7).long()}, r"labels_arcs have shape"),
        ("dependency_parsing", {"labels_arcs": torch.ones(2, 2)}, "labels_arcs are of type"),
        ("dependency_parsing", {"labels_arcs": torch.ones(2, 1).long()}, "allowed: one shape"),
        ("dependency_parsing", {"labels_arcs": torch.full((2, 2), 7)}, "label 7 is no class"),
        ("dependency_parsing", {"labels_rels": torch.full((2, 2), 2)}, "label 2 is no class"),
    ],
)
def test_labels_that_cannot_be_scored_are_told(kind, labels, message):
    with pytest.raises(InputError, match=message):
        with_head(kind)(IDS, MASK, **{**TAKES[kind], **labels})


# Parsing -------------------------------------------------------------------------------------


def test_a_word_is_the_mean_of_its_tokens():
    hidden = torch.randn(2, 6, 24)
    words = words_of(hidden, torch.tensor([[1, 2, 5, 6], [1, 3, 0, -1]]))
    torch.testing.assert_close(words[0, 0], hidden[0, 1])
    torch.testing.assert_close(words[0, 1], hidden[0, 2:5].mean(0))
    torch.testing.assert_close(words[0, 2], hidden[0, 5])
    torch.testing.assert_close(words[1, 0], hidden[1, 1:3].mean(0))
    assert not words[0, 3:].any()
    assert not words[1, 1:].any()
    assert words.shape == hidden.shape


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (torch.tensor([1, 2]), r"shape \(2,\); allowed: \(2, words \+ 1\)"),
        (torch.tensor([[1, 2]]), r"shape \(1, 2\)"),
        (torch.tensor([[1.0, 2.0]] * 2), "word_starts are of type torch.float32"),
        ([[1, 2]] * 2, "word_starts is a list"),
        (torch.tensor([[1, 2], [2, 2]]), r"of row 1 are \[2, 2\]; allowed: columns from 1 to 6"),
        (torch.tensor([[1, 7], [1, 2]]), r"of row 0 are \[1, 7\]"),
        (torch.tensor([[0, 2], [1, 2]]), r"of row 0 are \[0, 2\]"),
        (torch.tensor([[3, -1, 4], [1, 2, 3]]), "of row 0"),
    ],
)
def test_words_that_are_nowhere_are_refused(starts, message):
    with pytest.raises(InputError, match=message):
        words_of(torch.randn(2, 6, 24), starts)


def test_parsing_needs_to_know_where_words_start():
    with pytest.raises(InputError, match="word_starts are missing; give the columns"):
        with_head("dependency_parsing")(IDS, MASK)
    output = with_head("dependency_parsing")(IDS, MASK, word_starts=[[1, 2, 5], [1, 3, -1]])
    assert output.arc_preds.shape == (2, 6, 7)
    assert output.rel_preds.shape == (2, 6, 7, 2)
    assert output.loss is None


def test_labels_of_words_may_have_fewer_columns_than_the_batch():
    model = with_head("dependency_parsing")
    short = model(IDS, MASK, **TAKES["dependency_parsing"])
    padded = {
        name: torch.nn.functional.pad(labels, (0, 4), value=-1)
        for name, labels in TAKES["dependency_parsing"].items()
        if name != "word_starts"
    }
    long = model(IDS, MASK, **{**TAKES["dependency_parsing"], **padded})
    torch.testing.assert_close(short.loss, long.loss)
