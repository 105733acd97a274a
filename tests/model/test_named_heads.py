"""Heads by name: added, chosen, deleted, saved and loaded; and types of one's own."""

import json

import pytest
import torch

from distilbert import InputError
from distilbert.adapters.composition import Fuse, PerRow, Stack
from distilbert.errors import AdapterError
from distilbert.model import tasks
from distilbert.model.flexible import ClassificationHead, TaggingHead
from distilbert.model.prediction import PredictionHead
from distilbert.model.with_heads import DistilBertAdapterModel, DistilBertModelWithHeads
from distilbert.outputs import BaseModelOutput, SequenceClassifierOutput, TokenClassifierOutput
from heads import (
    ADD,
    COLUMNS,
    IDS,
    MASK,
    ROWS,
    TAGS,
    add,
    assert_close,
    assert_same_state,
    config,
    needs,
    state_of,
    with_heads,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# Adding, choosing, deleting ------------------------------------------------------------------


def test_the_two_names_are_one_class():
    assert DistilBertAdapterModel is DistilBertModelWithHeads


def test_without_a_head_a_pass_gives_what_the_encoder_gives():
    model = with_heads()
    output = model(IDS, MASK, output_hidden_states=True)
    assert type(output) is BaseModelOutput
    assert_close(output, model.distilbert(IDS, MASK, output_hidden_states=True))
    headed = with_heads("classes")
    assert type(headed(IDS, MASK, head=[])) is BaseModelOutput
    headed.active_head = None
    assert type(headed(IDS, MASK)) is BaseModelOutput


def test_an_added_head_is_active_and_its_labels_are_those_of_the_configuration():
    model = with_heads("classes", "tags", "masks")
    assert [*model.heads] == ["classes", "tags", "masks"]
    assert model.active_head == "masks"
    assert model.config.num_labels == 5  # words have no labels: those of the last that had
    model.active_head = "classes"
    assert model.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert model.get_labels() == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert model.get_labels("masks") is None
    assert model.get_labels_dict("spans" if "spans" in model.heads else "tags")[4] == "LABEL_4"


def test_a_head_can_be_added_without_becoming_active():
    model = with_heads("classes")
    model.add_prediction_head_from_config("x", {"head_type": "tagging"}, set_active=False)
    model.add_prediction_head(TaggingHead(model, "y", num_labels=3), set_active=False)
    assert model.active_head == "classes"
    assert model(IDS, MASK, head="y").logits.shape == (ROWS, COLUMNS, 3)


@pytest.mark.parametrize("name", ["", "a.b", "train", "keys", "type", "training", "a/b", None, 3])
def test_names_that_modules_cannot_have_are_refused(name):
    model = with_heads("classes")
    before = state_of(model)
    with pytest.raises(AdapterError, match="a head"):
        model.add_tagging_head(name)
    with pytest.raises(AdapterError, match="a head"):
        model.add_tagging_head(name, overwrite_ok=True)
    assert_same_state(state_of(model), before)


@pytest.mark.parametrize("name", ADD)
def test_a_head_that_is_there_is_replaced_only_where_that_is_asked_for(name):
    model = with_heads("tags", name) if name != "tags" else with_heads("classes", "tags")
    method, options = ADD[name]
    before = state_of(model)
    with pytest.raises(AdapterError, match=f"there is a head '{name}' already; take another name"):
        getattr(model, method)(name, **options)
    assert_same_state(state_of(model), before)
    old = model.heads[name]
    model.active_head = next(iter(model.heads))
    getattr(model, method)(name, **options, overwrite_ok=True)
    assert model.heads[name] is not old
    assert model.active_head == name


def test_a_refused_replacement_keeps_the_old_head():
    model = with_heads("classes")
    before = state_of(model)
    with pytest.raises(AdapterError, match="layers 0"):
        model.add_classification_head("classes", layers=0, overwrite_ok=True)
    assert_same_state(state_of(model), before)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({0: "a", 1: "b"}, "names 2 labels, and it has 3"),
        ({0: "a", 1: "b", 3: "c"}, r"numbers its labels \[0, 1, 3\]; allowed: 0, 1, 2"),
        ({0: "a", 1: "b", 2: "b"}, "names 2 labels, and it has 3; give as many names"),
        (["a", "b", "c"], "id2label is .*; allowed: a dictionary"),
    ],
)
def test_names_of_labels_that_do_not_fit_are_refused(names, message):
    model = with_heads()
    before = state_of(model)
    with pytest.raises(AdapterError, match=message):
        model.add_classification_head("x", num_labels=3, id2label=names)
    assert_same_state(state_of(model), before)
    model.add_classification_head("x", num_labels=3, id2label={2: "c", 0: "a", 1: "b"})
    assert model.get_labels() == ["a", "b", "c"]


def test_adding_and_deleting_leaves_the_model_as_it_was():
    model = with_heads("classes")
    before = state_of(model)
    others = [name for name in ADD if name != "classes"]
    add(model, *others)
    for name in others:
        model.delete_head(name)
    assert model.active_head is None
    model.active_head = "classes"
    assert_same_state(state_of(model), before)
    with pytest.raises(AdapterError, match=r"no head 'tags'; this model has \['classes'\]; add"):
        model.delete_head("tags")
    assert model.active_head == "classes"


def test_deleting_one_of_several_active_heads_leaves_none_active():
    model = with_heads("classes", "tags", "number")
    model.active_head = ["classes", "tags"]
    model.delete_head("number")
    assert model.active_head == ["classes", "tags"]
    model.delete_head("tags")
    assert model.active_head is None


@pytest.mark.parametrize(
    "head",
    ["x", ["classes", "x"], [["classes"]], 3, PerRow(["x"] * ROWS), Stack("classes"), {"classes"}],
)
def test_heads_that_do_not_exist_are_told(head):
    model = with_heads("classes")
    with pytest.raises(AdapterError, match=r"no head|says no heads"):
        model(IDS, MASK, head=head)
    with pytest.raises(AdapterError, match=r"no head|says no heads"):
        model.active_head = head
    assert model.active_head == "classes"


def test_labels_of_no_head_or_several_are_not_guessed():
    model = with_heads()
    with pytest.raises(AdapterError, match="active_head is None; name one head whose labels"):
        model.get_labels()
    model = with_heads("classes", "tags")
    model.active_head = ["classes", "tags"]
    with pytest.raises(AdapterError, match=r"active_head is \['classes', 'tags'\]; name one"):
        model.get_labels()
    with pytest.raises(AdapterError, match="no head 'x'"):
        model.get_labels("x")


def test_a_list_of_one_head_is_that_head():
    model = with_heads("classes", "tags")
    model.active_head = ["classes"]
    assert model.active_head == "classes"
    assert type(model(IDS, MASK)) is SequenceClassifierOutput
    assert type(model(IDS, MASK, head=["tags"])) is TokenClassifierOutput


# Words ---------------------------------------------------------------------------------------


def test_every_head_for_words_has_the_table_of_the_embeddings():
    model = with_heads("masks", "next", "classes")
    table = model.get_input_embeddings().weight
    assert model.heads["masks"].decoder.weight is model.heads["next"].decoder.weight is table
    assert model.tied_keys() == {"heads.masks.3.weight", "heads.next.3.weight"}
    assert model.num_parameters() == sum(p.numel() for p in model.parameters())
    apart = with_heads("masks", "next", tie_word_embeddings=False)
    assert apart.heads["masks"].decoder.weight is not apart.get_input_embeddings().weight
    assert apart.heads["masks"].decoder.weight.std() > 0.2  # of a fresh model
    assert not apart.tied_keys()


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("size", [60, 40])
def test_a_vocabulary_is_resized_with_all_heads(tied, size):
    model = with_heads("masks", "next", tie_word_embeddings=tied)
    model.add_prediction_head_from_config("bare", {"head_type": "causal_lm"})  # without a bias
    ids = IDS % 40
    names = ("masks", "next", "bare")
    before = {name: model(ids, MASK, head=name).logits for name in names}
    model.active_head = "masks"
    model.resize_token_embeddings(size)
    for name in names:
        after = model(ids, MASK, head=name, labels=ids)
        kept = min(size, 50)
        assert after.logits.shape[-1] == size
        torch.testing.assert_close(after.logits[..., :kept], before[name][..., :kept])
        assert after.loss.isfinite()
        assert model.heads[name].config["vocab_size"] == model.config.vocab_size == size
        decoder = model.heads[name].decoder
        assert (decoder.weight is model.get_input_embeddings().weight) is tied
        assert decoder.out_features == size
    assert model.heads["bare"].decoder.bias is None


def test_other_embeddings_become_the_table_of_all_heads():
    model = with_heads("masks", "next")
    model.set_input_embeddings(torch.nn.Embedding(55, 24))
    for name in ("masks", "next"):
        assert model(IDS, MASK, head=name).logits.shape[-1] == 55
        assert model.heads[name].config["vocab_size"] == 55


def test_the_projection_of_the_active_head_can_be_had_and_replaced():
    model = with_heads("masks", "classes")
    assert model.get_output_embeddings() is None
    with pytest.raises(InputError, match="the active head, 'classes', has no projection"):
        model.set_output_embeddings(torch.nn.Linear(24, 50))
    model.active_head = "masks"
    assert model.get_output_embeddings() is model.heads["masks"].decoder
    other = torch.nn.Linear(24, 50)
    model.set_output_embeddings(other)
    assert model.get_output_embeddings() is other
    assert model.heads["masks"][3] is other


# Files ---------------------------------------------------------------------------------------


def test_saved_heads_come_back(tmp_path):
    model = with_heads(*ADD)
    model.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["architectures"] == ["DistilBertModelWithHeads"]
    assert {n: c["head_type"] for n, c in stored["prediction_heads"].items()} == {
        name: model.heads[name].config["head_type"] for name in ADD
    }
    again, info = DistilBertModelWithHeads.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert again.config.prediction_heads == model.config.prediction_heads
    for name in ADD:
        assert_close(
            again(IDS, MASK, head=name, **needs(name)), model(IDS, MASK, head=name, **needs(name))
        )


def test_the_words_of_a_tied_head_are_saved_once(tmp_path):
    from safetensors import safe_open

    with_heads("masks", "next").save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        keys = {key for key in file.keys() if key.startswith("heads.")}  # noqa: SIM118
    assert "heads.masks.0.weight" in keys
    assert "heads.masks.3.bias" in keys
    assert not keys & {"heads.masks.3.weight", "heads.next.3.weight"}
    again = DistilBertModelWithHeads.from_pretrained(tmp_path)
    table = again.get_input_embeddings().weight
    assert again.heads["masks"].decoder.weight is again.heads["next"].decoder.weight is table


def test_what_changed_after_a_head_was_added_is_saved(tmp_path):
    model = with_heads("masks", "tags")
    model.resize_token_embeddings(60)
    assert model.config.prediction_heads["masks"]["vocab_size"] == 60
    model.config.update({"output_attentions": True})  # which makes copies of everything in it
    model.resize_token_embeddings(70)
    model.heads["tags"].config["label2id"] = {tag: i for i, tag in enumerate("abcde")}
    model.save_pretrained(tmp_path)
    again = DistilBertModelWithHeads.from_pretrained(tmp_path)
    assert again.heads["masks"].config["vocab_size"] == 70
    assert again.get_labels("tags") == [*"abcde"]
    assert_close(again(IDS, MASK, head="masks"), model(IDS, MASK, head="masks"))


def test_a_head_whose_weights_are_missing_is_fresh_and_told(tmp_path):
    with_heads("classes").save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["prediction_heads"]["tags"] = {"head_type": "tagging", "num_labels": 5}
    (tmp_path / "config.json").write_text(json.dumps(stored))
    again, info = DistilBertModelWithHeads.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == ["heads.tags.1.bias", "heads.tags.1.weight"]
    assert 0.1 < again.heads["tags"][1].weight.std() < 0.5
    assert not again.heads["tags"][1].bias.any()


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([], None),
        (["classes"], "prediction_heads of the configuration is .*; allowed: a dictionary"),
        ({"x": "tagging"}, "the options of head 'x' are 'tagging'; allowed: a dictionary"),
        ({"x": {}}, "head 'x' is of type None; allowed: classification"),
        ({"x": {"head_type": ["tagging"]}}, r"of type \['tagging'\]"),
        ({"a.b": {"head_type": "tagging"}}, "'a.b'"),
        ({"x": {"head_type": "tagging", "model": 1}}, r"made of the options \['model'\]: .*model"),
        ({"x": {"head_type": "tagging", "self": 1}}, r"made of the options \['self'\]"),
        ({"x": {"head_type": "tagging", "head_name": "y"}}, r"options \['head_name'\]"),
        ({"x": {"head_type": "tagging", 3: "y"}}, r"options \['3'\]"),
        ({"x": {"head_type": "mine"}}, r"registered first: .*register_custom_head\('mine', Your"),
        ({"x": {"head_type": "tagging", "num_labels": 10**9}}, "num_labels 1000000000; allowed"),
    ],
)
def test_a_configuration_with_impossible_heads_builds_no_model(heads, message):
    settings = config(prediction_heads=heads)
    if message is None:
        assert not DistilBertModelWithHeads(settings).heads
        return
    with pytest.raises(AdapterError, match=message):
        DistilBertModelWithHeads(settings)


def test_a_model_is_built_on_the_meta_device_with_its_heads():
    settings = with_heads(*ADD).config
    with torch.device("meta"):
        model = DistilBertModelWithHeads(settings)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert [*model.heads] == [*ADD]
    model.add_classification_head("late")
    assert model.heads["late"][1].weight.is_meta


def test_the_configuration_that_was_given_stays_as_it_was():
    settings = config()
    before = settings.to_dict()
    model = DistilBertModelWithHeads(settings)
    model.add_classification_head("x", num_labels=7)
    assert settings.to_dict() == before
    assert model.config is model.distilbert.config


def test_options_that_are_given_stay_as_they_were():
    options = {"head_type": "tagging", "id2label": {0: "a", 1: "b"}}
    model = with_heads()
    model.add_prediction_head_from_config("x", options)
    assert options == {"head_type": "tagging", "id2label": {0: "a", 1: "b"}}
    assert model.config.prediction_heads["x"]["label2id"] == {"a": 0, "b": 1}


# Heads of one's own --------------------------------------------------------------------------


class Twice(PredictionHead):
    """In AdapterHub's manner: its forward decides everything."""

    def __init__(self, model, head_name, **config):
        super().__init__(head_name)
        self.config = config
        self.build(model)

    def forward(self, outputs, cls_output=None, attention_mask=None, return_dict=False, **kwargs):
        logits = super().forward(outputs[0]) * self.config["factor"]
        labels, seen = kwargs.pop("labels", None), attention_mask
        loss = None if labels is None else (logits - labels[..., None]).square().mean()
        loss = None if loss is None else loss + kwargs.pop("extra", 0)
        assert seen is None or seen.shape == logits.shape[:2]
        return TokenClassifierOutput(loss=loss, logits=logits)


class Quick(ClassificationHead):
    """In ours: a task and logits."""

    def logits(self, hidden):
        return super().logits(hidden).tanh()


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(DistilBertModelWithHeads, "custom_heads", {})
    DistilBertModelWithHeads.register_custom_head("twice", Twice)
    with_heads().register_custom_head("quick", Quick)


@pytest.mark.usefixtures("registered")
def test_heads_of_ones_own_run_and_come_back(tmp_path):
    model = with_heads("tags")
    options = {"layers": 1, "activation_function": None, "num_labels": 2}
    model.add_custom_head("twice", "x", **options, factor=2.0)
    model.add_custom_head("quick", "y", num_labels=3)
    assert model.heads["x"].config["head_type"] == "twice"
    output = model(IDS, MASK, head="x", labels=TAGS.float(), extra=torch.tensor(3.0))
    assert output.loss > 3
    assert output.logits.shape == (ROWS, COLUMNS, 2)
    assert model(IDS, MASK, head="y").logits.abs().max() <= 1
    rows = model(IDS, MASK, head=PerRow(["x", "y", "x", "tags"]))
    torch.testing.assert_close(rows[0].logits, model(IDS, MASK, head="x").logits[[0, 2]])
    torch.testing.assert_close(rows[1].logits, model(IDS, MASK, head="y").logits[[1]])
    model.save_pretrained(tmp_path)
    again = DistilBertModelWithHeads.from_pretrained(tmp_path)
    assert type(again.heads["x"]) is Twice
    assert again.heads["x"].config == model.heads["x"].config
    for name in ("x", "y"):
        assert_close(again(IDS, MASK, head=name), model(IDS, MASK, head=name))


@pytest.mark.usefixtures("registered")
def test_heads_of_ones_own_give_what_is_asked_of_the_encoder_too():
    model = with_heads()
    model.add_custom_head("twice", "x", layers=1, activation_function=None, num_labels=2, factor=2)
    for name in ("a", "b"):
        model.add_adapter(name, "seq_bn[use_gating=True]")
    model.add_adapter_fusion(["a", "b"])
    model.eval()
    asked = {"output_hidden_states": True, "output_attentions": True}
    asked |= {f"output_adapter_{name}": True for name in ("gating_scores", "fusion_attentions")}
    names = ["hidden_states", "attentions", "adapter_gating_scores", "adapter_fusion_attentions"]
    output = model(IDS, MASK, adapter_names=Fuse("a", "b"), **asked)
    plain = model(IDS, MASK, adapter_names=Fuse("a", "b"), head=[], **asked)
    assert [*output.keys()] == ["logits", *names]
    for name in names:
        torch.testing.assert_close(output[name], plain[name])
    assert set(output.adapter_gating_scores) == {"a", "b"}
    assert set(output.adapter_fusion_attentions) == {"a,b"}


@pytest.mark.usefixtures("registered")
def test_heads_of_ones_own_are_told_whether_a_tuple_is_wanted():
    class Telling(Twice):
        def forward(self, outputs, cls_output=None, attention_mask=None, return_dict=False, **rest):
            found = super().forward(outputs, cls_output, attention_mask, return_dict, **rest)
            if return_dict:
                return found
            return (found.logits, *outputs[1:], "of its own")

    model = with_heads("tags")
    model.register_custom_head("telling", Telling)
    options = {"layers": 1, "activation_function": None, "num_labels": 2, "factor": 2}
    model.add_custom_head("telling", "x", **options)
    output = model(IDS, MASK, output_hidden_states=True)
    plain = model(IDS, MASK, output_hidden_states=True, return_dict=False)
    assert (type(output), type(plain), len(plain)) == (TokenClassifierOutput, tuple, 3)
    assert torch.equal(plain[0], output.logits)
    assert (len(plain[1]), plain[2]) == (3, "of its own")
    model.config.return_dict = False
    assert type(model(IDS, MASK)) is tuple
    both = model(IDS, MASK, head=["x", "tags"], labels={"x": TAGS.float(), "tags": TAGS})
    assert type(both) is tuple
    assert both[0].isfinite()
    assert [type(each) for each in both[1]] == [tuple, tuple]


def test_a_type_that_nobody_registered_cannot_be_loaded(tmp_path, registered, monkeypatch):
    model = with_heads()
    model.add_custom_head("quick", "y")
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(DistilBertModelWithHeads, "custom_heads", {})
    with pytest.raises(AdapterError, match=r"head 'y' is of type 'quick'; .* must be registered"):
        DistilBertModelWithHeads.from_pretrained(tmp_path)


@pytest.mark.usefixtures("registered")
def test_a_type_belongs_to_a_class_and_those_below_it():
    class Mine(DistilBertModelWithHeads):
        pass

    Mine.register_custom_head("only", Quick)
    assert set(Mine.custom_heads) == {"twice", "quick", "only"}
    assert set(DistilBertModelWithHeads.custom_heads) == {"twice", "quick"}


class Nothing(PredictionHead):
    """Neither a task nor a forward."""


class Misnamed(PredictionHead):
    task = tasks.TOKEN_CLASSIFICATION

    def __init__(self, model, head_name):
        super().__init__("another")


@pytest.mark.parametrize(
    ("identifier", "head", "message"),
    [
        ("", Quick, "'' cannot be a new type of head; allowed: text other than classification"),
        ("tagging", Quick, "'tagging' cannot be a new type"),
        ("x", torch.nn.Linear, "cannot be a type of head; allowed: a subclass of PredictionHead"),
        ("x", Quick.logits, "cannot be a type of head"),
        ("x", Nothing, "Nothing has neither a `task` nor a `forward` of its own"),
    ],
)
def test_what_is_no_type_of_head_is_refused(identifier, head, message):
    with pytest.raises(AdapterError, match=message):
        DistilBertModelWithHeads.register_custom_head(identifier, head)
    assert not DistilBertModelWithHeads.custom_heads


def test_what_is_no_head_is_not_added(monkeypatch):
    monkeypatch.setattr(DistilBertModelWithHeads, "custom_heads", {"misnamed": Misnamed})
    model = with_heads("classes")
    before = state_of(model)
    with pytest.raises(AdapterError, match="is no head; allowed: a PredictionHead"):
        model.add_prediction_head(torch.nn.Linear(2, 3))
    with pytest.raises(AdapterError, match="is called 'another', not 'x'"):
        model.add_custom_head("misnamed", "x")
    with pytest.raises(AdapterError, match=r"made of the options \['colour'\]: .*colour"):
        model.add_custom_head("misnamed", "x", colour=3)
    with pytest.raises(AdapterError, match="is of type 'unknown'; allowed: classification"):
        model.add_custom_head("unknown", "x")
    assert_same_state(state_of(model), before)
