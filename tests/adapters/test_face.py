"""Bad input at the face is one clear error, and leaves the model bit for bit as it was."""

import copy

import pytest
import torch

from adapted import METHODS, batch, tiny, with_adapters
from distilbert import AdapterError, DistilBertError, InputError
from distilbert.adapters import (
    AdapterType,
    Average,
    BatchSplit,
    Fuse,
    LoRAConfig,
    MultiTask,
    Parallel,
    PerRow,
    Split,
    Stack,
    init,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def snapshot(model):
    """Everything that bad input must not change."""
    own = model.adapters_config
    return {
        "values": {key: value.clone() for key, value in model.state_dict().items()},
        "order": [*model.state_dict()],
        "trains": {name: p.requires_grad for name, p in model.named_parameters()},
        "dtypes": {name: (p.dtype, p.device) for name, p in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "modules": [(name, type(module)) for name, module in model.named_modules()],
        "own": {name: copy.copy(value) for name, value in vars(own).items()},
        "frozen": model.model_frozen,
        "heads": (getattr(model, "_active_head", None), [*getattr(model, "heads", ())]),
        "config": model.config.to_dict(),
    }


def assert_untouched(model, before):
    after = snapshot(model)
    for key, value in before["values"].items():
        assert torch.equal(after["values"][key], value), key
    for what in before.keys() - {"values"}:
        assert after[what] == before[what], what


@pytest.fixture
def model():
    """A model in training with adapters, fusions and heads, some of them active."""
    methods = {"a": "seq_bn", "b": "seq_bn", "l": "lora", "p": "prefix", "g": "gated lora"}
    found = with_adapters(tiny("DistilBertModelWithHeads"), {**methods, "d": "double_seq_bn"})
    found.add_adapter_fusion(["a", "b"])
    found.add_classification_head("a")
    found.train_adapter(Stack("a", "l"))
    return found


# Names -------------------------------------------------------------------------------------------

IMPOSSIBLE = (
    *("", "a.b", ".", "a/b", "a\0b", "\ud800", None, 3, b"a", ["x"]),
    *("keys", "values", "items", "pop", "update", "clear", "train", "eval", "type", "to", "half"),
    *("forward", "training", "state_dict", "parameters", "plain", "merged", "acts", "site"),
    *("__class__", "_modules", "call_super_init"),
)


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=repr)
def test_a_name_that_modules_and_files_cannot_have_is_refused(model, name):
    before = snapshot(model)
    for attempt in (
        lambda: model.add_adapter(name, "seq_bn"),
        lambda: model.add_adapter(name, "seq_bn", overwrite_ok=True, set_active=True),
        lambda: model.average_adapter(name, ["a", "b"]),
        lambda: model.add_classification_head(name),
    ):
        with pytest.raises(AdapterError, match=r"is no name for|cannot be called"):
            attempt()
    if name is not None:  # which asks for a name of the adapters' own
        with pytest.raises(AdapterError, match=r"is no name for|cannot be called"):
            model.add_adapter_fusion(["b", "a"], name=name)
    assert_untouched(model, before)


@pytest.mark.parametrize(
    "name", ["ä", "a b", "日本", "a-1", "weight", "bias", "adapters", "a,b", "0"]
)
def test_other_names_work(model, name, tmp_path):
    model.add_adapter(name, METHODS["unipelt"], set_active=True)
    said = model(*batch(), head="a").logits
    model.save_adapter(tmp_path, name)
    model.delete_adapter(name)
    assert model.load_adapter(tmp_path, set_active=True) == name
    assert torch.equal(model.eval()(*batch(), head="a").logits, model(*batch(), head="a").logits)
    assert said.shape == (4, 2)


# Methods of the face ------------------------------------------------------------------------------

NOBODY = "no adapter 'nobody'; this model has"
REFUSED = {
    # adding
    "a name that is taken": (lambda m: m.add_adapter("a", "lora"), "already has an adapter 'a'"),
    "an unknown preset": (lambda m: m.add_adapter("x", "lara"), "lara"),
    "an unknown setting": (lambda m: m.add_adapter("x", "lora[rank=3]"), "rank"),
    "a wrong value": (lambda m: m.add_adapter("x", "lora[r=-1]"), "r is -1"),
    "a configuration of another kind": (lambda m: m.add_adapter("x", 7), "7"),
    "an empty dictionary": (lambda m: m.add_adapter("x", {}), "lacks mh_adapter"),
    "nothing anywhere": (
        lambda m: m.add_adapter("x", "seq_bn[leave_out=[0,1,2]]"),
        "hangs nowhere in this model of 3 layers",
    ),
    "no projection": (
        lambda m: m.add_adapter("x", "lora[selfattn_lora=False]", set_active=True),
        "hangs nowhere",
    ),
    "a layer that is not there": (
        lambda m: m.add_adapter("x", "loreft[layers=[0,7]]"),
        "layers of LoReftConfig names layer 7; this model has the layers 0 to 2",
    ),
    "a layer to leave out that is not there": (
        lambda m: m.add_adapter("x", "lora[leave_out=[0]]|seq_bn[leave_out=[3]]"),
        "leave_out of SeqBnConfig names layer 3",
    ),
    "the rank of a layer that is not there": (
        lambda m: m.add_adapter(
            "x", LoRAConfig(rank_pattern={"transformer.layer.9.attention.q_lin": 2})
        ),
        "rank_pattern of LoRAConfig names layer 9",
    ),
    "the alpha of a layer that is not there": (
        lambda m: m.add_adapter(
            "x", LoRAConfig(alpha_pattern={"transformer.layer.3.attention.v_lin": 2})
        ),
        "alpha_pattern of LoRAConfig names layer 3",
    ),
    "a name too long for a folder": (
        lambda m: m.add_adapter("ü" * 128),
        "allowed: text of 1 to 255 bytes",
    ),
    "a fusion's name too long for a folder": (
        lambda m: m.add_adapter_fusion(["a", "b"], name="x" * 256),
        "is no name for a fusion; allowed: text of 1 to 255 bytes",
    ),
    "half a character": (lambda m: m.add_adapter("\ud800"), "is no name for an adapter"),
    "widths that do not divide": (
        lambda m: m.add_adapter("x", "compacter[phm_dim=7,reduction_factor=2]"),
        "phm_dim is 7",
    ),
    "a text without a tokenizer": (
        lambda m: m.add_adapter("x", "prompt_tuning[prompt_init='from_string']"),
        "prompt_init_text|tokenizer",
    ),
    "two parts at one place": (lambda m: m.add_adapter("x", "seq_bn|par_bn"), "both take"),
    "something worse in place of an adapter": (
        lambda m: m.add_adapter("a", "seq_bn[leave_out=[0,1,2]]", overwrite_ok=True),
        "hangs nowhere",
    ),
    "no bottleneck in place of a fused one": (
        lambda m: m.add_adapter("a", "lora", overwrite_ok=True),
        "fusion",
    ),
    # activating
    "activating nobody": (lambda m: m.set_active_adapters("nobody"), NOBODY),
    "activating a stack with nobody": (lambda m: m.set_active_adapters(["a", "nobody"]), NOBODY),
    "setting nobody": (lambda m: setattr(m, "active_adapters", "nobody"), NOBODY),
    "activating a number": (lambda m: m.set_active_adapters(3), "3 is a int"),
    "activating a set": (lambda m: m.set_active_adapters({"a"}), "is a set"),
    "activating no fusion": (lambda m: m.set_active_adapters(Fuse("b", "a")), "no fusion 'b,a'"),
    "activating what cannot be": (lambda m: m.set_active_adapters(Fuse("a", "l")), "LoRA"),
    "skipping a layer that is not there": (
        lambda m: m.set_active_adapters("a", skip_layers=[3]),
        "skip_layers holds 3; allowed: numbers of layers, 0 to 2",
    ),
    "skipping a layer from behind": (
        lambda m: m.set_active_adapters("a", skip_layers=[-1]),
        "skip_layers holds -1",
    ),
    "skipping a text": (
        lambda m: m.set_active_adapters("a", skip_layers=["0"]),
        "skip_layers holds '0'",
    ),
    "skipping a number": (lambda m: m.set_active_adapters("a", skip_layers=1), "skip_layers"),
    "skipping a truth": (
        lambda m: m.set_active_adapters("a", skip_layers=[True]),
        "skip_layers holds True",
    ),
    # training
    "training nobody": (lambda m: m.train_adapter("nobody"), NOBODY),
    "training some and nobody": (lambda m: m.train_adapter(["b", "nobody"]), NOBODY),
    "training nothing": (lambda m: m.train_adapter([]), "no adapters are named"),
    "training what cannot be": (lambda m: m.train_adapter(Split("p", "a", splits=2)), "prefixes"),
    "training no fusion": (lambda m: m.train_adapter_fusion("a"), "no fusion"),
    "training a fusion of nobody": (lambda m: m.train_fusion([["a", "nobody"]]), NOBODY),
    "training a fusion that is not there": (
        lambda m: m.train_adapter_fusion(Fuse("b", "a"), unfreeze_adapters=True),
        "no fusion 'b,a'",
    ),
    # finding and removing
    "getting nobody": (lambda m: m.get_adapter("nobody"), NOBODY),
    "getting a list": (lambda m: m.get_adapter(["a"]), r"no adapter \['a'\]"),
    "deleting nobody": (lambda m: m.delete_adapter("nobody"), NOBODY),
    "deleting one that is fused": (lambda m: m.delete_adapter("a"), "part of the fusion 'a,b'"),
    "deleting no fusion": (lambda m: m.delete_adapter_fusion("b,a"), "no fusion 'b,a'"),
    "deleting a fusion of a number": (lambda m: m.delete_adapter_fusion(3), "is no fusion"),
    "deleting no head": (lambda m: m.delete_head("nobody"), "no head 'nobody'"),
    # fusing
    "a fusion that is there": (lambda m: m.add_adapter_fusion(["a", "b"]), "already has a fusion"),
    "a fusion with nobody": (lambda m: m.add_adapter_fusion(["a", "nobody"]), NOBODY),
    "a fusion of a LoRA": (lambda m: m.add_adapter_fusion(["a", "l"]), "must hang at the same"),
    "a fusion of other places": (
        lambda m: m.add_adapter_fusion(["a", "d"]),
        "must hang at the same",
    ),
    "a fusion of a number": (lambda m: m.add_adapter_fusion(3), "is no fusion"),
    "a fusion of nothing": (lambda m: m.add_adapter_fusion([]), "no children"),
    "a fusion of a stack": (lambda m: m.add_adapter_fusion(Stack("a", "b")), "is no fusion"),
    "an unknown kind of fusion": (lambda m: m.add_adapter_fusion(["b", "a"], "fast"), "fast"),
    # weights
    "merging nobody": (lambda m: m.merge_adapter("nobody"), NOBODY),
    "merging a bottleneck": (lambda m: m.merge_adapter("a"), "no weights can hold"),
    "merging gates": (lambda m: m.merge_adapter("g"), "has gates"),
    "merging while others act": (lambda m: m.merge_adapter("l"), "would run on top"),
    "moving nobody": (lambda m: m.adapter_to("nobody", "cpu"), NOBODY),
    "moving no fusion": (lambda m: m.adapter_fusion_to(["b", "a"], "cpu"), "no fusion"),
    "averaging unlike adapters": (lambda m: m.average_adapter("x", ["a", "l"]), "cannot average"),
    "averaging nobody": (lambda m: m.average_adapter("x", ["a", "nobody"]), NOBODY),
    "averaging to a name that is taken": (lambda m: m.average_adapter("l", ["a", "b"]), "already"),
    "sharing what nothing shares": (lambda m: m.share_parameters(["a", "b"]), "is no MTL-LoRA"),
    "ejecting no prefix": (lambda m: m.eject_prefix_tuning("a"), "prefix"),
    # the encoder below
    "pruning heads of layers with adapters": (
        lambda m: m.prune_heads({0: [1]}),
        "cannot be pruned",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_leaves_the_model_as_it_was(model, what):
    call, message = REFUSED[what]
    before = snapshot(model)
    with pytest.raises(AdapterError, match=message) as raised:
        call(model)
    assert len(str(raised.value)) > 20
    assert_untouched(model, before)


def test_a_deleted_adapter_is_active_no_more_and_cannot_train(model):
    model.delete_adapter("l")
    assert model.active_adapters is None
    before = snapshot(model)
    for attempt in (
        lambda: model.train_adapter("l"),
        lambda: model.set_active_adapters(["a", "l"]),
        lambda: model(*batch(), adapter_names="l"),
        lambda: model.delete_adapter("l"),
        lambda: model.merge_adapter("l"),
    ):
        with pytest.raises(AdapterError, match="no adapter 'l'"):
            attempt()
    assert_untouched(model, before)
    model.set_active_adapters("a")
    model.delete_adapter("d")
    assert model.active_adapters == Stack("a")  # it was no part of it


def test_a_merged_adapter_cannot_be_deleted_replaced_or_stacked():
    model = with_adapters(tiny(), {"l": "lora", "m": "lora"})
    model.merge_adapter("l")
    before = snapshot(model)
    for attempt in (
        lambda: model.delete_adapter("l"),
        lambda: model.add_adapter("l", "lora", overwrite_ok=True),
        lambda: model.merge_adapter("m"),
        lambda: model(*batch(), adapter_names="m"),
        lambda: model(*batch(), adapter_names=["l", "m"]),
        lambda: model(*batch(), adapter_names=PerRow(["l", None, "l", "l"])),
        lambda: model(*batch(), adapter_names=[]),
    ):
        with pytest.raises(AdapterError, match=r"reset_adapter\(\)"):
            attempt()
    assert_untouched(model, before)


# Calls -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DistilBertModel", "DistilBertForMultipleChoice"])
@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (3, "3 is a int"),
        (True, "True is a bool"),
        (b"a", "is a bytes"),
        ({"a": 1}, "is a dict"),
        (object(), "is a object"),
        ("", "no adapter's name"),
        ([None], "PerRow"),
        ([[]], "PerRow"),
        (["a", 3], "3 is a int"),
        ("A", "no adapter 'A'"),
        (torch.tensor([0]), "is a Tensor"),
        (PerRow(["a"]), "adapters for 1 rows"),
        (PerRow(["a"] * 5), "adapters for 5 rows"),
        (BatchSplit("a", "b", batch_sizes=[2, 1]), r"\[2, 1\]"),
        (MultiTask("a", "b"), "needs task_ids"),
    ],
)
def test_names_of_a_call_that_say_nothing_are_refused(name, setup, message):
    model = with_adapters(tiny(name), {"a": "seq_bn", "b": "lora"})
    ids, mask = batch()
    if "Choice" in name:
        ids, mask = (x[:, None].expand(-1, 2, -1) for x in (ids, mask))
    before = snapshot(model)
    with pytest.raises(AdapterError, match=message):
        model(ids, mask, adapter_names=setup)
    assert_untouched(model, before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Stack, "no children"),
        (lambda: Stack(3), "holds 3, a int"),
        (lambda: Stack(None), "holds None"),
        (lambda: Split("a", "b", splits=[1]), "splits is"),
        (lambda: Split("a", "b", splits=0), "splits is 0"),
        (lambda: Split("a", "b", splits=[1, True]), "splits is"),
        (lambda: BatchSplit("a", "b", batch_sizes=[-1, 5]), "batch_sizes is"),
        (lambda: Average("a", "b", weights=[1]), "1 weights for 2"),
        (lambda: Average("a", "b", weights=[1, -1]), "sum to 0"),
        (lambda: PerRow("a"), "one list"),
        (lambda: PerRow("a", "b"), "one list"),
        (lambda: PerRow([]), "no children"),
        (lambda: PerRow([3]), "holds 3"),
    ],
)
def test_a_composition_that_cannot_be_is_refused_when_it_is_made(make, message):
    with pytest.raises(AdapterError, match=message):
        make()


def test_inputs_are_checked_with_adapters_too(model):
    before = snapshot(model)
    for arguments, message in (
        ((torch.tensor([[99]]),), "id 99"),
        ((torch.ones(2, 40).long(),), "40 columns"),
        ((torch.ones(2, 3),), "whole numbers"),
        ((torch.ones(2, 3).long(), torch.ones(2, 4)), "attention_mask has shape"),
    ):
        with pytest.raises(InputError, match=message):
            model(*arguments)
    assert_untouched(model, before)


def test_every_error_of_adapters_is_one_of_the_package_and_a_value_error():
    assert issubclass(AdapterError, DistilBertError)
    assert issubclass(AdapterError, ValueError)


# Older spellings ---------------------------------------------------------------------------------


def test_lists_are_stacks_and_lists_of_lists_fusions():
    model = with_adapters(tiny(), {"a": "seq_bn", "b": "seq_bn", "c": "seq_bn"})
    model.add_fusion(["a", "b"])
    for old, new in (
        ("a", Stack("a")),
        (["a", "c"], Stack("a", "c")),
        (("a", "c"), Stack("a", "c")),
        ([["a", "b"]], Stack(Fuse("a", "b"))),
        ([["a", "b"], "c"], Stack(Fuse("a", "b"), "c")),
    ):
        model.set_active_adapters(old)
        assert model.active_adapters == new
        said = model(*batch(), adapter_names=old).last_hidden_state
        assert torch.equal(said, model(*batch(), adapter_names=new).last_hidden_state)
        model.active_adapters = new
        assert torch.equal(said, model(*batch()).last_hidden_state)


def test_methods_of_version_1_take_its_arguments():
    model = tiny()
    model.add_adapter("a", AdapterType.text_task)
    model.add_adapter("b", AdapterType.text_lang, config="pfeiffer")
    model.add_adapter("c", "houlsby")
    model.add_adapter("d", adapter_type=AdapterType.text_task, config="lora")
    assert [*model.adapters_config] == ["a", "b", "c", "d"]
    assert model.adapters_config.adapters["c"] == "double_seq_bn"
    assert AdapterType.has("text_task")
    assert not AdapterType.has("seq_bn")
    model.add_fusion(["a", "b"], "dynamic")
    model.train_fusion(["a", "b"])
    assert model.active_adapters == Stack(Fuse("a", "b"))
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trains == {
        name for name, _ in model.named_parameters() if "adapter_fusion_layer" in name
    }


def test_models_need_no_init():
    model = tiny("DistilBertForSequenceClassification")
    before = snapshot(model)
    assert init(model) is None
    assert_untouched(model, before)
    with pytest.raises(AdapterError, match="Linear is no model of this package"):
        init(torch.nn.Linear(2, 2))
    with pytest.raises(AdapterError, match="have no meaning"):
        init(model, interface=object())


# What the face tells -----------------------------------------------------------------------------


def test_the_face_tells_what_a_model_has(model):
    assert model.has_adapters()
    assert not tiny().has_adapters()
    assert [number for number, _ in model.iter_layers()] == [0, 1, 2]
    assert model.supports_adapter("lora")
    assert not model.supports_adapter("lara")
    assert not model.supports_adapter("seq_bn[leave_out=[0,1,2]]")
    assert not model.supports_adapter("compacter[phm_dim=7,reduction_factor=2]")
    assert not model.has_parallel_adapters
    model.set_active_adapters(Parallel("a", "b"))
    assert model.has_parallel_adapters
    assert "a" in model.adapters_config
    assert len(model.adapters_config) == 6
    assert model.get_adapter("a").keys() == {0, 1, 2}
    assert model.get_adapter("p").keys() == {-1, 0, 1, 2}
