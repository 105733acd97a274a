"""Adapters, heads, fusions, setups and whole models go into files and come back as they were."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file

import distilbert
from adapted import METHODS, batch, shake, with_adapters
from distilbert import AdapterError, DistilBertConfig, DistilBertForMaskedLM
from distilbert.adapters import BatchSplit, Fuse, Parallel, PerRow, Split, Stack
from distilbert.adapters.configs import AdapterConfig
from travelling import (
    CLASSES,
    FIXED,
    FLEXIBLE,
    FUSED,
    FUSIONS,
    HEADED,
    SETUPS,
    TASKS,
    answer,
    equal,
    fresh,
    full,
    hidden,
    refused,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def everything():
    return full()


# Adapters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_adapter_computes_what_it_did(everything, tmp_path, method, safe):
    everything.save_adapter(tmp_path, method, use_safetensors=safe)
    assert [*tmp_path.glob("adapter.safetensors" if safe else "pytorch_adapter.bin")]
    found = fresh()
    state = torch.get_rng_state()
    assert found.load_adapter(tmp_path, set_active=True) == method
    equal(torch.get_rng_state(), state)  # nothing is drawn only to be overwritten
    assert found.active_adapters == Stack(method)
    assert found.adapters_config.get(method) == everything.adapters_config.get(method)
    equal(hidden(found), hidden(everything, method))
    if method in HEADED:
        assert found.active_head == method
        assert found.heads[method].config == everything.heads[method].config
        equal(answer(found, method), answer(everything, method, method))


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_holds_every_adapter(everything, tmp_path, kind):
    found = fresh(kind)
    for method in METHODS:
        everything.save_adapter(tmp_path / method, method, with_head=False)
        found.load_adapter(tmp_path / method)
        assert found.active_adapters is None
        equal(hidden(found, method), hidden(everything, method))
        found.save_adapter(tmp_path / "again", method, with_head=False)
        for name in ("adapter.safetensors", "adapter_config.json"):
            one, two = ((tmp_path / place / name).read_bytes() for place in (method, "again"))
            assert one.replace(FLEXIBLE.encode(), kind.encode()) == two


@pytest.mark.parametrize("method", METHODS)
def test_names_can_be_exchanged_though_one_starts_with_the_other(tmp_path, method):
    model = with_adapters(fresh(), {"a": method, "ab": method})
    for name in ("a", "ab"):
        model.add_classification_head(name)
        model.save_adapter(tmp_path / name, name)
    found = fresh()
    found.load_adapter(tmp_path / "a", load_as="ab")
    found.load_adapter(tmp_path / "ab", load_as="a")
    for one, other in (("a", "ab"), ("ab", "a")):
        equal(answer(found, other, other), answer(model, one, one))


WHOLE = ("prefix", "flat prefix", "gated prefix", "mam", "unipelt", "prompt", "prompt behind")


@pytest.mark.parametrize("method", [method for method in METHODS if method not in WHOLE])
def test_layers_that_are_left_out_have_no_adapter(everything, tmp_path, method):
    everything.save_adapter(tmp_path, method)
    found, wanted = fresh(), fresh()
    found.load_adapter(tmp_path, leave_out=[1])
    assert 1 not in found.get_adapter(method)
    wanted.load_adapter(tmp_path)
    wanted.set_active_adapters(method, skip_layers=[1])
    equal(hidden(found, method), hidden(wanted))
    assert not torch.equal(hidden(found, method), hidden(everything, method))
    found.save_adapter(tmp_path / "less", method)
    again = fresh()
    again.load_adapter(tmp_path / "less")
    equal(hidden(again, method), hidden(found, method))


@pytest.mark.parametrize("method", WHOLE)
def test_layers_of_what_belongs_to_all_cannot_be_left_out(everything, tmp_path, method):
    everything.save_adapter(tmp_path, method)
    message = "before all layers" if method in ("prompt", "prompt behind") else "skip_layers"
    refused(fresh(), AdapterError, message, "load_adapter", tmp_path, leave_out=[1])


@pytest.mark.parametrize("layers", [[3], [-1], ["1"], [True]])
def test_layers_that_there_are_not_cannot_be_left_out(everything, tmp_path, layers):
    everything.save_adapter(tmp_path, "lora")
    message = "allowed: numbers of layers, 0 to 2"
    refused(fresh(), AdapterError, message, "load_adapter", tmp_path, leave_out=layers)


def test_modules_of_layers_that_are_left_out_lose_their_ranks(tmp_path):
    path = "transformer.layer.{}.attention.q_lin"
    patterns = {"rank_pattern": {path.format(0): 2, path.format(1): 3}}
    patterns["alpha_pattern"] = {path.format(1): 5.0}
    model = with_adapters(fresh(), {"a": AdapterConfig.load("lora", **patterns)})
    model.save_adapter(tmp_path, "a")
    found = fresh()
    found.load_adapter(tmp_path, leave_out=[1])
    assert found.adapters_config.get("a").rank_pattern == {path.format(0): 2}
    model.set_active_adapters("a", skip_layers=[1])
    equal(hidden(found, "a"), hidden(model))


def test_all_adapters_fusions_and_heads_are_saved_each_below_its_name(everything, tmp_path):
    everything.save_all_adapters(tmp_path / "a", with_head=False, meta_dict={"task": "none"})
    everything.save_all_adapter_fusions(tmp_path / "f", meta_dict={"task": "none"})
    everything.save_all_heads(tmp_path / "h")
    found = fresh()
    for name in everything.adapters_config:
        data = json.loads((tmp_path / "a" / name / "adapter_config.json").read_text())
        assert (data["task"], data["name"], data["hidden_size"]) == ("none", name, 24)
        assert found.load_adapter(tmp_path / "a" / name) == name
    for name in everything.adapters_config.fusions:
        assert found.load_adapter_fusion(tmp_path / "f" / name) == name
    for name in HEADED:
        assert found.load_head(tmp_path / "h" / name) == name
    equal(sorted_keys(found.state_dict()), sorted_keys(everything.state_dict()))


def sorted_keys(weights):
    """Adapters of a configuration file come in the order of their names."""
    return dict(sorted(weights.items()))


def test_an_adapter_takes_the_dtype_of_the_model(everything, tmp_path):
    everything.save_adapter(tmp_path / "wide", "seq_bn")
    found = fresh().to(torch.bfloat16)
    found.load_adapter(tmp_path / "wide")
    assert {p.dtype for p in found.parameters()} == {torch.bfloat16}
    found.save_adapter(tmp_path / "narrow", "seq_bn")
    again = fresh()
    again.load_adapter(tmp_path / "narrow")
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    equal(hidden(again.to(torch.bfloat16), "seq_bn"), hidden(found, "seq_bn"))


def test_a_prompt_that_started_from_a_text_needs_no_tokenizer_to_be_loaded(everything, tmp_path):
    everything.save_adapter(tmp_path, "prompt", with_head=False)
    change(tmp_path / "adapter_config.json", prompt_init="from_string", prompt_init_text="good")
    found = fresh()
    found.load_adapter(tmp_path)
    equal(hidden(found, "prompt"), hidden(everything, "prompt"))


def change(path, **settings):
    """Other settings in a file's configuration."""
    stored = json.loads(path.read_text())
    stored["config"] |= settings
    path.write_text(json.dumps(stored))


# In place of another -----------------------------------------------------------------------------


def test_what_replaces_an_active_or_fused_adapter_acts_in_its_place(everything, tmp_path):
    everything.save_adapter(tmp_path, "a")
    found = with_adapters(fresh(), dict.fromkeys("abc", "double_seq_bn[reduction_factor=2]"))
    found.add_adapter_fusion(["a", "b"])
    for setup, options in ((Fuse("a", "b"), {}), (Stack("a", "c"), {"skip_layers": [0]})):
        shake(found, "a", seed=5)
        found.set_active_adapters(setup, **options)
        before = hidden(found)
        found.load_adapter(tmp_path)
        assert found.active_adapters == setup
        assert found.adapters_config.skip_layers == options.get("skip_layers")
        assert list(found.adapters_config) == ["a", "b", "c"]
        assert not torch.equal(hidden(found), before)
    found.set_active_adapters(None)
    equal(hidden(found, "a"), hidden(everything, "a"))


@pytest.mark.parametrize(
    ("setup", "method", "message"),
    [
        (Split("a", "b", splits=[2, 2]), "flat prefix", "has prefixes, which belong"),
        (Fuse("a"), "seq_bn", "part of a fusion, which hangs at .*'mh_adapter'"),
        (Fuse("a", "b"), "seq_bn", "must hang at the same places"),
        (Fuse("a", "b"), "lora", "must hang at the same places"),
    ],
)
def test_what_cannot_take_its_place_is_refused(everything, tmp_path, setup, method, message):
    everything.save_adapter(tmp_path, method, with_head=False)
    found = with_adapters(fresh(), dict.fromkeys("abc", FUSED))
    if isinstance(setup, Fuse):
        found.add_adapter_fusion(setup)
    found.set_active_adapters(setup)
    refused(found, AdapterError, message, "load_adapter", tmp_path, load_as="a")
    config = everything.adapters_config.get(method)
    refused(found, AdapterError, message, "add_adapter", "a", config, overwrite_ok=True)


# Fusions and setups ------------------------------------------------------------------------------


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_loaded_fusion_computes_what_it_did(everything, tmp_path, fusion, safe):
    adapters, _, given = FUSIONS[fusion]
    name, tree = given or ",".join(adapters), Fuse(*adapters, name=given)
    everything.save_adapter_fusion(
        tmp_path, given or adapters, use_safetensors=safe, with_head="seq_bn"
    )
    found, other = (with_adapters(fresh(), dict.fromkeys("abc", FUSED)) for _ in range(2))
    assert found.load_adapter_fusion(tmp_path, set_active=True) == name
    assert found.active_adapters == tree
    equal(hidden(found), hidden(everything, tree))
    equal(answer(found, name), answer(everything, "seq_bn", tree))
    assert other.load_adapter_fusion(tmp_path, load_as="other", with_head=False) == "other"
    assert not other.heads
    assert other.active_adapters is None
    equal(hidden(other, Fuse(*adapters, name="other")), hidden(everything, tree))


@pytest.mark.parametrize("kind", ["DistilBertModel", FIXED[0], FLEXIBLE])
@pytest.mark.parametrize("setup", SETUPS)
def test_a_loaded_setup_computes_what_it_did(everything, tmp_path, setup, kind):
    tree = SETUPS[setup]
    options = TASKS if setup == "multi task" else {}
    everything.save_adapter_setup(tmp_path, tree, use_safetensors=setup != "stack")
    found = fresh(kind)
    for _ in range(2):  # again, it takes the place of what is there
        assert found.load_adapter_setup(tmp_path, set_active=True) == (tree, None)
        assert found.active_adapters == tree
        equal(hidden(found, **options), hidden(everything, tree, **options))


@pytest.mark.parametrize(
    ("tree", "chosen"),
    [
        (Stack("seq_bn"), "lora"),
        (Stack("seq_bn"), ["seq_bn", "lora"]),
        (Parallel("a", "b"), Parallel("lora", "seq_bn")),
        (BatchSplit("a", "b", batch_sizes=[1, 3]), BatchSplit("ia3", "lora", batch_sizes=[3, 1])),
    ],
)
def test_the_heads_of_a_setup_come_along(everything, tmp_path, tree, chosen):
    everything.save_adapter_setup(tmp_path, tree, head_setup=chosen)
    found = fresh()
    found.add_tagging_head("own")
    assert found.load_adapter_setup(tmp_path) == (tree, chosen)
    assert (found.active_adapters, found.active_head) == (None, "own")
    assert found.load_adapter_setup(tmp_path, set_active=True) == (tree, chosen)
    assert found.active_head == chosen
    with torch.no_grad():
        wanted = everything(*batch(), adapter_names=tree, head=chosen)
        assert str(found(*batch())) == str(wanted)


LABELS = {"DistilBertForMultipleChoice": 1, "DistilBertForQuestionAnswering": 2}


@pytest.mark.parametrize("kind", FIXED)
def test_the_head_of_a_class_for_one_task_comes_along(everything, tmp_path, kind):
    model = fresh(kind, num_labels=LABELS.get(kind, 3))
    everything.save_adapter(tmp_path / "a", "a")
    model.load_adapter(tmp_path / "a")
    ids, mask = batch()
    if "Choice" in kind:
        ids, mask = (x.view(2, 2, -1) for x in (ids, mask))
    model.save_adapter_setup(tmp_path / "setup", "a", head_setup=True)
    model.save_adapter(tmp_path / "b", "a")
    wanted = model(ids, mask, adapter_names="a").to_tuple()
    for place in ("setup", "b"):
        for target in (kind, FLEXIBLE):
            found = fresh(target, num_labels=model.num_labels)
            if place == "setup":
                assert found.load_adapter_setup(tmp_path / place, set_active=True)[1] is True
            else:
                found.load_adapter(tmp_path / place, load_as="default", set_active=True)
            equal(found(ids, mask).to_tuple(), wanted)


def test_a_setup_that_cannot_be_whole_in_files_leaves_none(everything, tmp_path):
    for setup, heads, message in (
        (PerRow(["a", None]), None, "PerRow belongs to one batch"),
        ("a", PerRow(["lora", None]), "PerRow belongs to one batch"),
        ("a", ["lora", "none"], "no head 'none'"),
        ([], None, "there is no setup"),
        (Stack("a", "none"), None, "no adapter 'none'"),
    ):
        with pytest.raises(AdapterError, match=message):
            everything.save_adapter_setup(tmp_path, setup, head_setup=heads)
    assert not [*tmp_path.iterdir()]


def test_heads_that_a_class_has_no_place_for_are_left_out(everything, tmp_path, caplog):
    everything.save_adapter_setup(tmp_path, "a", head_setup="lora")
    found = fresh("DistilBertModel")
    found.load_adapter_setup(tmp_path, set_active=True)
    assert "head 'lora' is left out: a DistilBertModel has no place for it" in caplog.text
    equal(hidden(found), hidden(everything, "a"))


# Heads -------------------------------------------------------------------------------------------


def test_a_loaded_head_is_active_and_may_have_another_name(everything, tmp_path):
    everything.save_head(tmp_path / "tags", "lora")
    everything.save_head(tmp_path / "classes", "seq_bn")
    found = fresh()
    assert found.load_head(tmp_path / "tags") == "lora" == found.active_head
    assert found.load_head(tmp_path / "classes", load_as="lor") == "lor" == found.active_head
    equal(answer(found, "lora"), answer(everything, "lora"))
    equal(answer(found, "lor"), answer(everything, "seq_bn"))
    names = {i: f"tag {i}" for i in range(5)}
    assert found.load_head(tmp_path / "tags", id2label=names) == "lora"
    assert found.config.id2label == found.get_labels_dict() == names


def test_the_head_of_a_loaded_adapter_is_active_only_with_it(everything, tmp_path):
    everything.save_adapter(tmp_path, "lora")
    found = fresh()
    found.add_tagging_head("own")
    found.load_adapter(tmp_path)
    assert found.active_head == "own"
    found.load_adapter(tmp_path, set_active=True)
    assert found.active_head == "lora"


# Whole models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", CLASSES)
def test_a_model_comes_back_with_all_that_hangs_in_it(tmp_path, kind, dtype):
    model = full(kind).to(dtype)
    model.save_pretrained(tmp_path, safe_serialization=dtype == torch.float32)
    found, info = getattr(distilbert, kind).from_pretrained(
        tmp_path, dtype="auto", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert found.dtype == dtype
    assert found.config.dtype == str(dtype).removeprefix("torch.")
    equal(sorted_keys(found.state_dict()), sorted_keys(model.state_dict()))
    for attribute in ("configs", "traits", "fusions"):
        one, two = (getattr(m.adapters_config, attribute) for m in (found, model))
        assert one == two
    found = copy.deepcopy(found)  # mapped memory starts anywhere, and sums round by where it starts
    for method in METHODS:
        equal(hidden(found, method), hidden(model, method))
    for name, setup in SETUPS.items():
        options = TASKS if name == "multi task" else {}
        equal(hidden(found, setup, **options), hidden(model, setup, **options))
    if kind == FLEXIBLE:
        for name in HEADED:
            equal(answer(found, name, name), answer(model, name, name))


def test_adapters_of_another_dtype_than_the_model_keep_it(tmp_path):
    model = fresh().to(torch.bfloat16)
    for method in ("lora", "loreft"):
        model.add_adapter(method, f"{method}[dtype='float32']")
        shake(model, method)
    model.save_pretrained(tmp_path)
    found = distilbert.DistilBertModelWithHeads.from_pretrained(tmp_path, dtype="auto")
    equal(sorted_keys(found.state_dict()), sorted_keys(model.state_dict()))
    again = fresh().to(torch.bfloat16)
    for method in ("lora", "loreft"):
        model.save_adapter(tmp_path / method, method)
        again.load_adapter(tmp_path / method)
    equal(again.state_dict(), model.state_dict())


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_a_checkpoint_lacks_start_as_in_a_new_adapter(tmp_path, method, caplog):
    model = with_adapters(fresh(), {"a": method})
    kept = {key: value for key, value in model.state_dict().items() if ".a." not in key}
    model.save_pretrained(tmp_path, state_dict=kept)
    found, info = distilbert.DistilBertModelWithHeads.from_pretrained(
        tmp_path, output_loading_info=True
    )
    lacking = {key for key in model.state_dict() if ".a." in key}
    assert {*info["missing_keys"]} == lacking
    assert min(lacking) in caplog.text
    for key in lacking:
        value = found.state_dict()[key]
        assert value.isfinite().all()
        assert value.abs().max() < 6, key


@pytest.mark.parametrize("kind", CLASSES)
def test_a_model_comes_into_other_classes_with_its_adapters(everything, tmp_path, kind):
    everything.save_pretrained(tmp_path)
    found, info = getattr(distilbert, kind).from_pretrained(
        tmp_path, output_loading_info=True, num_labels=LABELS.get(kind, 3)
    )
    heads = {key for key in everything.state_dict() if key.startswith("heads.")}
    assert {*info["unexpected_keys"]} == (
        heads - everything.tied_keys() if kind != FLEXIBLE else set()
    )
    assert not [
        key for key in info["missing_keys"] if key.startswith(("transformer", "distilbert"))
    ]
    found = copy.deepcopy(found)
    for method in METHODS:
        equal(hidden(found, method), hidden(everything, method))


def test_a_checkpoint_whose_adapter_leaves_out_layers_that_are_not_there_loads(tmp_path):
    model = with_adapters(fresh(), {"a": "lora[leave_out=[1]]"})
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    data = json.loads(path.read_text())
    (config,) = data["adapters"]["config_map"].values()
    config["leave_out"] = [1, 9]
    path.write_text(json.dumps(data))
    found = distilbert.DistilBertModelWithHeads.from_pretrained(tmp_path)
    equal(found.state_dict(), model.state_dict())


# What is merged ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora all", "dora", "ia3", "vera", "prompt and lora"])
def test_files_of_a_merged_model_are_those_of_the_unmerged(tmp_path, method):
    model = with_adapters(fresh(), {"a": method, "b": "seq_bn"})
    files = {}
    for place in ("before", "merged"):
        model.save_adapter(tmp_path / place / "a", "a")
        model.save_adapter(tmp_path / place / "b", "b")
        model.save_pretrained(tmp_path / place / "model")
        files[place] = {
            str(path.relative_to(tmp_path / place)): path.read_bytes()
            for path in (tmp_path / place).rglob("*.*")
        }
        model.merge_adapter("a")
    assert files["merged"] == files["before"]
    assert len(files["merged"]) == 6


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_for_words_is_stored_without_the_table_that_it_shares(tmp_path, tied):
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=50,
        dim=24,
        hidden_dim=40,
        n_layers=2,
        n_heads=4,
        initializer_range=0.3,
        tie_word_embeddings=tied,
    )
    model, other = DistilBertForMaskedLM(config).eval(), DistilBertForMaskedLM(config).eval()
    other.distilbert.load_state_dict(model.distilbert.state_dict())
    model.add_adapter("words", "seq_bn[init_weights='mam_adapter']", set_active=True)
    model.save_adapter(tmp_path, "words")
    kept = load_file(tmp_path / "model_head.safetensors")
    assert ("vocab_projector.weight" in kept) == (not tied)
    other.load_adapter(str(tmp_path), set_active=True)
    ids = torch.randint(1, 50, (2, 7))
    torch.testing.assert_close(other(ids).logits, model(ids).logits, rtol=0, atol=0)
