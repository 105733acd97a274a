"""Heads that can be added, against the installed AdapterHub package and the fixed classes.

Tolerances are those of `test_models.py`: float32 rounding.
"""

import json

import pytest
import torch
import transformers

import adapters
import distilbert
from distilbert.adapters import composition
from distilbert.model.with_heads import DistilBertModelWithHeads

TINY = {
    "vocab_size": 120,
    "dim": 24,
    "hidden_dim": 40,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,
}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
ROWS, COLUMNS = 4, 7
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] * 2 + [0] * 5, [1] * 6 + [0]])
IDS = torch.randint(1, 119, (ROWS, COLUMNS), generator=torch.Generator().manual_seed(1))
CLASSES = torch.tensor([0, 2, 1, 2])
TAGS = torch.tensor([[1, 0, 4, -100, 2, 3, 1]] * ROWS)  # padding has labels too
WORDS = {
    "word_starts": torch.tensor(
        [[1, 2, 4, 7, -1], [1, 3, 4, -1, -1], [1, 2, -1, -1, -1], [1, 2, 3, 4, 6]]
    ),
    "labels_arcs": torch.full((ROWS, COLUMNS), -1),
    "labels_rels": torch.full((ROWS, COLUMNS), -1),
}
for row, (arcs, relations) in enumerate(
    [([0, 1, 2], [5, 0, 3]), ([2, 0], [1, 2]), ([0], [4]), ([0, 1, 1, 3], [2, 2, 0, 1])]
):
    WORDS["labels_arcs"][row, : len(arcs)] = torch.tensor(arcs)
    WORDS["labels_rels"][row, : len(arcs)] = torch.tensor(relations)

# How a head is added, and what it takes.
HEADS = {
    "classification": ("add_classification_head", {"num_labels": 3}, {"labels": CLASSES}),
    "one layer": ("add_classification_head", {"num_labels": 3, "layers": 1}, {"labels": CLASSES}),
    "three layers": (
        "add_classification_head",
        {"num_labels": 3, "layers": 3, "activation_function": "gelu_new"},
        {"labels": CLASSES},
    ),
    "no activation": (
        "add_classification_head",
        {"num_labels": 3, "activation_function": None},
        {"labels": CLASSES},
    ),
    "regression": (
        "add_classification_head",
        {"num_labels": 1},
        {"labels": torch.tensor([0.5, -1.0, 2.0, 0.0])},
    ),
    "multi-label": (
        "add_classification_head",
        {"num_labels": 3, "multilabel": True},
        {"labels": torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])},
    ),
    "choice": ("add_multiple_choice_head", {}, {"labels": torch.tensor([0, 1])}),
    "four choices": (
        "add_multiple_choice_head",
        {"num_choices": 4, "layers": 1},
        {"labels": torch.tensor([3])},
    ),
    "tagging": ("add_tagging_head", {"num_labels": 5}, {"labels": TAGS}),
    "two layers of tags": ("add_tagging_head", {"num_labels": 5, "layers": 2}, {"labels": TAGS}),
    "question answering": (
        "add_qa_head",
        {},
        {
            "start_positions": torch.tensor([1, 0, 99, 3]),
            "end_positions": torch.tensor([3, -1, 7, 3]),
        },
    ),
    "two layers of spans": (
        "add_qa_head",
        {"layers": 2, "activation_function": "relu"},
        {
            "start_positions": torch.tensor([[1], [0], [2], [3]]),
            "end_positions": torch.tensor([[3], [0], [2], [3]]),
        },
    ),
    "parsing": ("add_dependency_parsing_head", {"num_labels": 6}, WORDS),
    "masked words": ("add_masked_lm_head", {}, {"labels": torch.where(MASK == 1, IDS, -100)}),
    "three layers of words": (
        "add_masked_lm_head",
        {"layers": 3, "activation_function": "leakyrelu"},
        {"labels": torch.where(MASK == 1, IDS, -100)},
    ),
    "next words": ("add_causal_lm_head", {}, {"labels": torch.where(MASK == 1, IDS, -100)}),
    "next words of one layer": ("add_causal_lm_head", {"layers": 1}, {"labels": IDS}),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def settings_of(**settings):
    return {**TINY, **settings}


def theirs_of(ours, add=lambda model: None, **settings):
    """Their model with the weights of ours."""
    theirs = adapters.DistilBertAdapterModel(
        transformers.DistilBertConfig(**settings_of(**settings))
    )
    add(theirs)
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert missing == ["distilbert.prompt_tuning.base_model_embeddings.weight"]
    assert not unexpected
    return theirs


def scattered(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or "biaffine" in name:  # fresh ones are 0 and 1
                parameter.add_(torch.randn_like(parameter) / 5)
    return model


def pair(*names, **settings):
    torch.manual_seed(0)

    def add(model):
        for name in names:
            method, options, _ = HEADS[name]
            getattr(model, method)(name, **options)

    ours = DistilBertModelWithHeads(distilbert.DistilBertConfig(**settings_of(**settings)))
    add(ours)
    theirs = theirs_of(scattered(ours), add, **settings)
    theirs.config.pad_token_id = -1  # else their parsing passes over the root, which has number 0
    return ours, theirs


def assert_same(ours, theirs):
    assert list(ours.keys()) == list(theirs.keys())
    for a, b in zip(ours.to_tuple(), theirs.to_tuple(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=4e-6)


def assert_same_gradients(ours, theirs):
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        assert (parameter.grad is None) == (expected[name] is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(
                parameter.grad, expected[name], rtol=1e-4, atol=4e-6, msg=lambda m, n=name: n + m
            )
    assert ours.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", HEADS)
def test_values_losses_and_gradients_agree(name, tied):
    ours, theirs = pair(name, tie_word_embeddings=tied)
    labels = HEADS[name][2]
    outputs = [model.eval()(IDS, MASK, **labels) for model in (ours, theirs)]
    assert_same(*outputs)
    for output in outputs:
        output.loss.backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("settings", [{}, NO_DROPOUT], ids=["dropout", "no-dropout"])
@pytest.mark.parametrize("name", HEADS)
def test_training_mode_agrees_and_draws_the_same_dropout_from_the_same_seed(name, settings):
    ours, theirs = pair(name, **settings)
    outputs = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(7)
        outputs.append(model(IDS, MASK, **HEADS[name][2]))
    assert_same(*outputs)
    for output in outputs:
        output.loss.backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("name", HEADS)
def test_options_keys_and_labels_agree(name):
    ours, theirs = pair(name)
    assert ours.heads[name].config == theirs.heads[name].config
    assert ours.config.prediction_heads == theirs.config.prediction_heads
    assert ours.active_head == theirs.active_head == name
    assert ours.get_labels() == theirs.get_labels()
    assert ours.get_labels_dict() == theirs.get_labels_dict()
    if ours.get_labels() is not None:
        assert ours.config.id2label == theirs.config.id2label
        assert ours.config.label2id == theirs.config.label2id
    heads = [{k for k in model.state_dict() if "heads." in k} for model in (ours, theirs)]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("name", HEADS)
def test_attentions_hidden_states_and_tuples_agree(name):
    ours, theirs = pair(name)
    asked = {"output_attentions": True, "output_hidden_states": True}
    inputs = {"input_ids": IDS, "attention_mask": MASK, **HEADS[name][2]}
    assert_same(ours.eval()(**inputs, **asked), theirs.eval()(**inputs, **asked))
    plain = ours(**inputs, return_dict=False)
    torch.testing.assert_close(plain, theirs(**inputs, return_dict=False), rtol=1e-5, atol=4e-6)


def test_choices_with_an_axis_of_their_own_agree():
    ours, theirs = pair("choice")
    ids, mask = IDS.view(2, 2, COLUMNS), MASK.view(2, 2, COLUMNS)
    labels = torch.tensor([1, 0])
    a, b = (model.eval()(ids, mask, labels=labels) for model in (ours, theirs))
    assert_same(a, b)
    assert a.logits.shape == (2, 2)


def test_several_heads_on_the_same_rows_agree():
    ours, theirs = pair("classification", "tagging")
    for model in (ours, theirs):
        model.eval().active_head = ["classification", "tagging"]
    a, b = (model(IDS, MASK) for model in (ours, theirs))
    assert len(a) == len(b) == 2
    for one, other in zip(a, b, strict=True):
        assert_same(one, other)
    assert_same(a[1], b[1])


@pytest.mark.diverges("adapters 1.3.0: several heads on the same rows give no loss together")
def test_the_loss_of_several_heads_is_the_sum_of_theirs():
    ours, theirs = pair("classification", "one layer")
    for model in (ours, theirs):
        model.eval().active_head = ["classification", "one layer"]
    a, b = (model(IDS, MASK, labels=CLASSES) for model in (ours, theirs))
    assert b.loss is None
    torch.testing.assert_close(a.loss, b[0].loss + b[1].loss)
    a.loss.backward()
    assert ours.heads["one layer"][1].weight.grad.abs().sum() > 0


def test_heads_on_neighbouring_rows_agree():
    ours, theirs = pair("classification", "one layer")
    names = ("classification", "one layer")
    ours.eval().active_head = composition.BatchSplit(*names, batch_sizes=[1, 3])
    theirs.eval()._active_heads = adapters.composition.BatchSplit(*names, batch_sizes=[1, 3])
    a, b = (model(IDS, MASK, labels=CLASSES) for model in (ours, theirs))
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-5, atol=4e-6)
    torch.testing.assert_close(a.loss, b.loss)
    torch.testing.assert_close(a.logits, b.logits, rtol=1e-5, atol=4e-6)
    assert a.rows == ((0,), (1, 2, 3))


def test_trainers_wait_for_labels_alone():
    assert transformers.utils.find_labels(DistilBertModelWithHeads) == ["labels"]


def test_without_a_head_both_give_what_the_encoder_gives():
    ours, theirs = pair()
    assert_same(ours.eval()(IDS, MASK), theirs.eval()(IDS, MASK))


def test_a_resized_vocabulary_agrees_where_it_was():
    ours, theirs = pair("masked words")
    for model in (ours, theirs):
        model.eval().resize_token_embeddings(130)
    a, b = (model(IDS, MASK).logits for model in (ours, theirs))
    torch.testing.assert_close(a[..., :120], b[..., :120], rtol=1e-5, atol=4e-6)
    assert a.shape == b.shape
    assert ours.heads["masked words"].config["vocab_size"] == 130
    with pytest.raises(RuntimeError):  # theirs still counts 120 words
        theirs(IDS, MASK, labels=IDS)
    assert ours(IDS, MASK, labels=IDS).loss.isfinite()


# Adapters ------------------------------------------------------------------------------------


def with_adapters(*names):
    """Both models with an adapter for each head, of the same name."""
    torch.manual_seed(0)

    def add(model):
        for name in names:
            method, options, _ = HEADS[name]
            model.add_adapter(name, "seq_bn")
            getattr(model, method)(name, **options)

    ours = DistilBertModelWithHeads(distilbert.DistilBertConfig(**TINY))
    add(ours)
    return ours.eval(), theirs_of(scattered(ours), add).eval()


@pytest.mark.parametrize("kind", ["Parallel", "BatchSplit", "Stack"])
def test_rows_take_the_heads_of_their_active_adapters_as_theirs_do(kind):
    names = ("classification", "one layer")
    ours, theirs = with_adapters(*names)
    sizes = {"batch_sizes": [1, 3]} if kind == "BatchSplit" else {}
    ours.set_active_adapters(getattr(composition, kind)(*names, **sizes))
    theirs.set_active_adapters(getattr(adapters.composition, kind)(*names, **sizes))
    a, b = (model(IDS, MASK, labels=CLASSES) for model in (ours, theirs))
    torch.testing.assert_close(a.loss, b.loss, rtol=1e-5, atol=4e-6)
    torch.testing.assert_close(a.logits, b.logits, rtol=1e-5, atol=4e-6)
    if kind == "Stack":
        assert ours.active_head == theirs.active_head == "one layer"
        assert_same(a, b)
        return
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-5, atol=4e-6)


def of(package, kind, *names):
    sizes = {"batch_sizes": [1, 3]} if kind == "BatchSplit" else {}
    return getattr(package, kind)(*names, **sizes)


@pytest.mark.parametrize("kind", ["Parallel", "BatchSplit"])
@pytest.mark.parametrize("stacked", [False, True])
def test_activating_what_divides_activates_heads_as_theirs_does(kind, stacked):
    names = ("classification", "one layer")
    for model, package in zip(
        with_adapters(*names), (composition, adapters.composition), strict=True
    ):
        setup = of(package, kind, *names)
        model.set_active_adapters(package.Stack("classification", setup) if stacked else setup)
        found = model.active_head
        assert found == (list(names) if kind == "Parallel" else of(package, kind, *names))
        assert getattr(found, "batch_sizes", (1, 3)) in ([1, 3], (1, 3))


@pytest.mark.parametrize("order", [1, -1])
def test_a_list_of_heads_reads_a_copy_each_as_theirs_does(order):
    names = ["classification", "one layer"]
    ours, theirs = with_adapters(*names)
    ours.set_active_adapters(composition.Parallel(*names))
    theirs.set_active_adapters(adapters.composition.Parallel(*names))
    for model in (ours, theirs):
        model.active_head = names[::order]
    a, b = (model(IDS, MASK, labels=CLASSES) for model in (ours, theirs))
    torch.testing.assert_close(a.loss, b.loss, rtol=1e-5, atol=4e-6)
    for one, other in zip(a, b.head_outputs, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-5, atol=4e-6)
    again = ours(IDS, MASK, labels=CLASSES, head=names[::order])
    torch.testing.assert_close(again.loss, b.loss, rtol=1e-5, atol=4e-6)
    ours.active_head, theirs.active_head = names * 2, names * 2
    for model in (ours, theirs):
        with pytest.raises(ValueError, match=r"copies of the batch|number of active heads"):
            model(IDS, MASK)


def test_a_head_that_is_set_after_the_adapters_holds():
    ours, theirs = with_adapters("classification", "one layer")
    for model in (ours, theirs):
        model.set_active_adapters("classification")
        assert model.active_head == "classification"
        model.active_head = "one layer"
    a, b = (model(IDS, MASK, labels=CLASSES) for model in (ours, theirs))
    assert_same(a, b)
    ours.set_active_adapters("classification")
    assert (ours(IDS, MASK).logits - a.logits).abs().max() > 1e-3


# Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HEADS, "all"])
def test_models_load_in_the_other_package_with_the_same_answers(name, tmp_path):
    names = [*HEADS] if name == "all" else [name]
    ours, theirs = pair(*names)
    ours.eval().save_pretrained(tmp_path / "ours")
    theirs.eval().config.pad_token_id = 0
    theirs.save_pretrained(tmp_path / "theirs")
    stored = json.loads((tmp_path / "ours" / "config.json").read_text())["prediction_heads"]
    assert (
        stored == json.loads((tmp_path / "theirs" / "config.json").read_text())["prediction_heads"]
    )
    again = DistilBertModelWithHeads.from_pretrained(tmp_path / "theirs")
    there = adapters.DistilBertAdapterModel.from_pretrained(tmp_path / "ours").eval()
    there.config.pad_token_id = -1
    for head in names:
        inputs = {"head": head, **HEADS[head][2]}
        expected = ours(IDS, MASK, **inputs)
        assert_same(again(IDS, MASK, **inputs), expected)
        assert_same(there(IDS, MASK, **inputs), expected)
    assert again.active_head == there.active_head == sorted(names)[-1]


@pytest.mark.diverges("adapters 1.3.0: a saved head's labels come back in the order of their names")
def test_labels_of_a_loaded_head_keep_their_order(tmp_path):
    ours, theirs = pair()
    names = {0: "z", 1: "a", 2: "m"}
    for model, folder in ((ours, "ours"), (theirs, "theirs")):
        model.add_classification_head("x", num_labels=3, id2label=names)
        assert model.get_labels() == ["z", "a", "m"]
        model.config.pad_token_id = 0
        model.save_pretrained(tmp_path / folder)
    again = DistilBertModelWithHeads.from_pretrained(tmp_path / "theirs")
    assert again.get_labels() == ["z", "a", "m"]
    assert again.get_labels_dict() == again.config.id2label == names
    there = adapters.DistilBertAdapterModel.from_pretrained(tmp_path / "theirs")
    assert there.get_labels() == ["a", "m", "z"]


@pytest.mark.diverges("adapters 1.3.0: models built of one configuration share the list of heads")
def test_heads_belong_to_one_model():
    config = transformers.DistilBertConfig(**TINY)
    adapters.DistilBertAdapterModel(config).add_qa_head("x")
    assert [*adapters.DistilBertAdapterModel(config).heads] == ["x"]
    config = distilbert.DistilBertConfig(**TINY)
    DistilBertModelWithHeads(config).add_qa_head("x")
    assert not DistilBertModelWithHeads(config).heads
    assert config == distilbert.DistilBertConfig(**TINY)


# Parsing -------------------------------------------------------------------------------------


@pytest.mark.diverges(
    "adapters 1.3.0: padding of labels is whatever pad_token_id is, by default 0, which is the root"
)
def test_words_that_hang_on_the_root_count():
    ours, theirs = pair("parsing")
    theirs.config.pad_token_id = 0
    inputs = {**WORDS, "word_starts": WORDS["word_starts"].clamp(min=0)}
    root = {**inputs, "labels_arcs": torch.where(WORDS["labels_arcs"] == 0, 0, -1)}
    assert_same(ours.eval()(IDS, MASK, **inputs), ours(IDS, MASK, **WORDS))
    assert ours(IDS, MASK, **root).loss.isfinite()
    padded = {**root, "labels_arcs": root["labels_arcs"].clamp(min=0)}
    assert theirs.eval()(IDS, MASK, **padded).loss.isnan()  # nothing is left


def test_one_sentence_alone_is_parsed_alike():
    ours, theirs = pair("parsing")
    one = {name: value[:1] for name, value in WORDS.items()}
    assert_same(ours.eval()(IDS[:1], MASK[:1], **one), theirs.eval()(IDS[:1], MASK[:1], **one))


# Fixed classes -------------------------------------------------------------------------------

FIXED = {
    "DistilBertForMaskedLM": {"labels": torch.where(MASK == 1, IDS, -100)},
    "DistilBertForSequenceClassification": {"labels": CLASSES},
    "DistilBertForQuestionAnswering": HEADS["question answering"][2],
    "DistilBertForTokenClassification": {"labels": torch.where(MASK == 1, 2, -100)},
    "DistilBertForMultipleChoice": {"labels": torch.tensor([0, 1])},
}


def fixed(name, folder, **settings):
    """A fixed model of theirs, in a folder."""
    two = name in ("DistilBertForQuestionAnswering", "DistilBertForMultipleChoice")
    labels = {} if two else {"num_labels": 3}
    config = transformers.DistilBertConfig(**settings_of(**labels, **settings))
    model = scattered(getattr(transformers, name)(config)).eval()
    model.save_pretrained(folder)
    return model


def inputs_of(name):
    inputs = {"input_ids": IDS, "attention_mask": MASK, **FIXED[name]}
    if name == "DistilBertForMultipleChoice":
        inputs |= {k: inputs[k].view(2, 2, COLUMNS) for k in ("input_ids", "attention_mask")}
    return inputs


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_checkpoint_of_theirs_becomes_a_head_and_goes_back(name, tmp_path):
    theirs = fixed(name, tmp_path / "fixed")
    inputs = inputs_of(name)
    expected = theirs(**inputs)
    ours, info = DistilBertModelWithHeads.from_pretrained(
        tmp_path / "fixed", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert [*ours.heads] == ["default"] == [ours.active_head]
    assert_same(ours(**inputs), expected)
    there = adapters.DistilBertAdapterModel.from_pretrained(tmp_path / "fixed").eval()
    options = {**there.heads["default"].config}
    if name in ("DistilBertForQuestionAnswering", "DistilBertForTokenClassification"):
        options["dropout_prob"] = 0.1  # theirs drops as many values as a classifier, 0.2
    assert ours.heads["default"].config == options
    ours.as_fixed().save_pretrained(tmp_path / "back")
    back = getattr(transformers, name).from_pretrained(tmp_path / "back").eval()
    assert_same(back(**inputs), expected)
    ours.save_pretrained(tmp_path / "flexible")
    again = adapters.DistilBertAdapterModel.from_pretrained(tmp_path / "flexible").eval()
    assert_same(again(**inputs), expected)


@pytest.mark.diverges("adapters 1.3.0: a masked-language-model head always gets the GELU")
def test_the_activation_of_a_fixed_language_model_is_kept(tmp_path):
    theirs = fixed("DistilBertForMaskedLM", tmp_path, activation="relu")
    expected = theirs(IDS, MASK)
    assert_same(DistilBertModelWithHeads.from_pretrained(tmp_path)(IDS, MASK), expected)
    there = adapters.DistilBertAdapterModel.from_pretrained(tmp_path).eval()
    assert (there(IDS, MASK).logits - expected.logits).abs().max() > 0.1


@pytest.mark.diverges("adapters 1.3.0: a fixed classifier of several labels becomes one of classes")
def test_several_labels_of_a_fixed_class_stay_several(tmp_path):
    settings = {"problem_type": "multi_label_classification"}
    theirs = fixed("DistilBertForSequenceClassification", tmp_path, **settings)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    ours = DistilBertModelWithHeads.from_pretrained(tmp_path)
    assert_same(ours(IDS, MASK, labels=labels), theirs(IDS, MASK, labels=labels))
    assert ours.heads["default"].config["head_type"] == "multilabel_classification"
    there = adapters.DistilBertAdapterModel.from_pretrained(tmp_path)
    assert there.heads["default"].config["head_type"] == "classification"


@pytest.mark.diverges(
    "adapters 1.3.0: a fixed choice becomes one of as many as its config has labels"
)
def test_a_batch_says_itself_how_many_choices_there_are(tmp_path):
    theirs = fixed("DistilBertForMultipleChoice", tmp_path)  # files never say how many
    ids, mask = IDS[:3].view(1, 3, COLUMNS), MASK[:3].view(1, 3, COLUMNS)
    expected = theirs(ids, mask, labels=torch.tensor([2]))
    ours = DistilBertModelWithHeads.from_pretrained(tmp_path)
    assert_same(ours(ids, mask, labels=torch.tensor([2])), expected)
    with pytest.raises(RuntimeError):
        adapters.DistilBertAdapterModel.from_pretrained(tmp_path)(ids, mask)
