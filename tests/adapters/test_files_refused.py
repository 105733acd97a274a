"""What a file holds and a model cannot take is refused, and the model stays as it was."""

import json
import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapted import WORDS, tiny, with_adapters
from distilbert import (
    AdapterError,
    DistilBertConfig,
    DistilBertError,
    DistilBertModelWithHeads,
    FileError,
)
from distilbert.adapters import Fuse, Stack
from distilbert.adapters.configs import resolve, resolve_fusion
from travelling import FLEXIBLE, FUSED, equal, fresh, full, hidden, refused

pytestmark = pytest.mark.usefixtures("one_thread")
METHODS = ("seq_bn", "compacter", "nice", "lora", "vera", "prefix", "prompt", "loreft", "mam")


@pytest.fixture(scope="module")
def everything():
    return full()


@pytest.fixture(scope="module")
def model():
    """What nothing of all this may change: adapters, a fusion, heads, an active setup."""
    found = with_adapters(fresh(), {"a": FUSED, "b": FUSED, "own": "lora"})
    found.add_adapter_fusion(["a", "b"])
    found.add_tagging_head("own", num_labels=3)
    found.add_tagging_head("tags")
    found.set_active_adapters(Stack("own", Fuse("a", "b")), skip_layers=[2])
    return found


def weights(folder, change):
    """Changes the weights in a folder."""
    (path,) = folder.glob("*.safetensors")
    found = load_file(path)
    change(found)
    save_file(found, path)


def settings(folder, change):
    """Changes what a folder's configuration says."""
    (path,) = folder.glob("*_config.json")
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def first(found):
    return sorted(key for key in found if ".pool." not in key)[-1]


def without_one(folder):
    weights(folder, lambda w: w.pop(first(w)))


def one_too_many(folder):
    weights(folder, lambda w: w.update({f"{first(w)}s": torch.ones(2)}))


def another_shape(folder):
    weights(folder, lambda w: w.update({first(w): torch.ones(3, 5)}))


def not_finite(folder):
    weights(folder, lambda w: w[first(w)].view(-1)[0].fill_(float("nan")))


def another_width(folder):
    settings(folder, lambda data: data.update(hidden_size=32))


def another_type(folder):
    settings(folder, lambda data: data.update(model_type="roberta"))


def no_file(folder):
    next(folder.glob("*.safetensors")).unlink()


def nothing(folder):
    shutil.rmtree(folder)


def outside(folder):
    settings(folder, lambda data: data.update(name="../../own"))


def of_modules(folder):
    name = "keys"
    settings(folder, lambda data: data.update(name=name))
    old = json.loads(next(folder.glob("*_config.json")).read_text())["name"]
    assert old == name


DAMAGES = {
    "a weight is missing": (without_one, AdapterError, "missing, so the model would keep random"),
    "one too many": (one_too_many, AdapterError, "left over, with no place"),
    "another shape": (another_shape, AdapterError, r"has the shape \[3, 5\] in the file and"),
    "NaN": (not_finite, AdapterError, "is not finite"),
    "another width": (another_width, AdapterError, "of width 32; this one's width is 24"),
    "another kind of model": (another_type, AdapterError, "is for model_type 'roberta'"),
    "no weights": (no_file, FileError, "no .*safetensors or"),
    "no folder": (nothing, FileError, "folder"),
    "a name that leads out": (outside, AdapterError, "names '../../own'; allowed: text"),
    "a name that modules have": (of_modules, AdapterError, "cannot be called 'keys'"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_adapter_changes_nothing(everything, model, tmp_path, damage, method):
    everything.save_adapter(tmp_path / "x", method, with_head=False)
    change, error, message = DAMAGES[damage]
    change(tmp_path / "x")
    refused(model, error, message, "load_adapter", tmp_path / "x", set_active=True)


@pytest.mark.parametrize("damage", [name for name in DAMAGES if "width" not in name])
def test_a_damaged_fusion_changes_nothing(everything, model, tmp_path, damage):
    everything.save_adapter_fusion(tmp_path / "x", "a,b")
    change, error, message = DAMAGES[damage]
    change(tmp_path / "x")
    refused(model, error, message, "load_adapter_fusion", tmp_path / "x", set_active=True)


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "a name that modules have"])
def test_a_damaged_head_changes_nothing(everything, model, tmp_path, damage):
    everything.save_head(tmp_path / "x", "lora")
    change, error, message = DAMAGES[damage]
    change(tmp_path / "x")
    refused(model, error, message, "load_head", tmp_path / "x")


@pytest.mark.parametrize("damage", ["a weight is missing", "another shape", "no weights", "NaN"])
@pytest.mark.parametrize("part", ["b", "a,b", "lora"])
def test_a_setup_is_loaded_whole_or_not_at_all(everything, model, tmp_path, part, damage):
    heads = ["seq_bn", "lora"]
    everything.save_adapter_setup(tmp_path, Fuse("a", "b"), head_setup=heads)
    change, error, message = DAMAGES[damage]
    change(tmp_path / part)
    refused(model, error, message, "load_adapter_setup", tmp_path, set_active=True)


def test_a_setup_that_its_adapters_cannot_run_is_not_loaded(everything, model, tmp_path):
    everything.save_adapter_setup(tmp_path, Fuse("a", "b"))
    everything.save_adapter(tmp_path / "b", "lora", with_head=False)
    refused(model, AdapterError, "must hang at the same places", "load_adapter_setup", tmp_path)


def test_folders_of_a_setup_give_the_names_and_not_their_files(everything, tmp_path):
    everything.save_adapter_setup(tmp_path, Stack("lora"))
    other = with_adapters(fresh(), {"own": "lora"})
    other.save_adapter(tmp_path / "lora", "own")
    found = with_adapters(fresh(), {"own": "seq_bn"})
    before = hidden(found, "own")
    found.load_adapter_setup(tmp_path)
    assert list(found.adapters_config) == ["own", "lora"]
    equal(hidden(found, "own"), before)
    equal(hidden(found, "lora"), hidden(other, "own"))


def test_the_depth_of_another_model_is_named(model, tmp_path):
    for layers, message in ((5, "of 5 layers; this one has 3"), (2, "of fewer than 3 layers")):
        for method in ("double_seq_bn", "lora", "ia3", "noreft"):
            other = with_adapters(tiny(FLEXIBLE, n_layers=layers), {"x": method})
            other.save_adapter(tmp_path / f"{layers}", "x")
            refused(model, AdapterError, message, "load_adapter", tmp_path / f"{layers}")


def test_the_width_of_another_model_is_named(model, tmp_path):
    other = with_adapters(tiny(FLEXIBLE, dim=32), {"x": "seq_bn", "y": "seq_bn"})
    other.add_adapter_fusion(["x", "y"])
    other.add_tagging_head("x")
    other.save_adapter(tmp_path / "a", "x")
    other.save_adapter_fusion(tmp_path / "f", "x,y")
    other.save_head(tmp_path / "h", "x")
    for method, place in (("adapter", "a"), ("adapter_fusion", "f"), ("head", "h")):
        refused(model, AdapterError, "width 32.* 24", f"load_{method}", tmp_path / place)


def test_a_fusion_needs_its_adapters(everything, tmp_path):
    everything.save_adapter_fusion(tmp_path, "a,b")
    found = with_adapters(fresh(), {"a": FUSED})
    refused(found, AdapterError, "no adapter 'b'", "load_adapter_fusion", tmp_path)
    found.add_adapter("b", "seq_bn")
    refused(found, AdapterError, "must hang at the same places", "load_adapter_fusion", tmp_path)


def test_a_head_of_another_size_is_refused(everything, tmp_path):
    everything.save_adapter(tmp_path, "lora")
    found = fresh("DistilBertForTokenClassification", num_labels=3)
    refused(found, AdapterError, r"\[5\] .*num_labels", "load_adapter", tmp_path)
    refused(found, AdapterError, r"\[5\] .*num_labels", "load_head", tmp_path)
    found.load_adapter(tmp_path, with_head=False)
    equal(hidden(found, "lora"), hidden(everything, "lora"))
    words = tiny(FLEXIBLE, vocab_size=WORDS + 1)
    everything.save_head(tmp_path / "words", "nice")
    refused(words, AdapterError, f"vocab_size.*{WORDS}", "load_head", tmp_path / "words")


def test_what_fits_is_loaded_where_that_is_asked_for(everything, tmp_path, caplog):
    everything.save_adapter(tmp_path / "x", "lora", with_head=False)
    one_too_many(tmp_path / "x")
    without_one(tmp_path / "x")
    without_one(tmp_path / "x")
    found = fresh()
    torch.manual_seed(1)
    found.load_adapter(tmp_path / "x", strict=False)
    assert "is missing" in caplog.text
    one, two = (m.base_model.state_dict() for m in (found, everything))
    kept = {key for key in one if ".lora." in key and not torch.equal(one[key], two[key])}
    assert len(kept) == 1
    assert all(one[key].isfinite().all() for key in kept)
    assert kept.pop() in caplog.text
    another_shape(tmp_path / "x")
    message = r"has the shape \[3, 5\]"
    refused(fresh(), AdapterError, message, "load_adapter", tmp_path / "x", strict=False)


# Memory ------------------------------------------------------------------------------------------

HUGE = {  # each number alone is believed; their product is gigabytes
    "mtl_lora": {"r": 2**14, "n_up_projection": 2**14},
    "loreft": {"r": 2**14},
}


@pytest.mark.parametrize("method", HUGE)
def test_sizes_of_a_file_take_no_memory_before_its_weights_are_compared(
    everything, tmp_path, method
):
    everything.save_adapter(tmp_path, method, with_head=False)
    settings(tmp_path, lambda data: data["config"].update(HUGE[method]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(fresh(), AdapterError, r"has the shape \[", "load_adapter", tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + 2**19  # in kilobytes


def test_sizes_of_a_head_take_no_memory_either(tmp_path):
    model = tiny(FLEXIBLE, tie_word_embeddings=False)
    model.add_masked_lm_head("words")
    model.save_head(tmp_path, "words")
    sizes = {"vocab_size": 10**6, "embedding_size": 10**4}
    settings(tmp_path, lambda data: data["config"].update(sizes))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(model, AdapterError, r"has the shape \[", "load_head", tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + 2**19


# Whole models ------------------------------------------------------------------------------------

PARTS = ("adapters", "config_map", "fusions", "fusion_config_map", "fusion_name_map")
STRANGE = [7, "x", [1], {"a": 7}, {"a": None}, {"a": ["x"]}, {"a": {"r": 10**9}}, {"a.b": "lora"}]
STRANGE += [{"keys": "lora"}, {"a": "lora[r=1000000000]"}, {"a": "unknown"}, {"b,c": 7}]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    model = with_adapters(fresh(), {"a": FUSED, "b": FUSED, "mtl_lora": "mtl_lora"})
    model.add_adapter_fusion(["a", "b"], {**resolve_fusion("dynamic").to_dict(), "query": False})
    model.save_pretrained(place)
    return place


@pytest.mark.parametrize("value", STRANGE, ids=repr)
@pytest.mark.parametrize("part", PARTS)
def test_a_model_of_strange_adapters_is_loaded_or_refused(checkpoint, part, value):
    config = DistilBertConfig.from_pretrained(checkpoint)
    config.adapters = {**config.adapters, part: value}
    try:
        found = DistilBertModelWithHeads.from_pretrained(checkpoint, config=config)
    except DistilBertError:
        return
    assert all(value.isfinite().all() for value in found.state_dict().values())


def test_adapters_that_are_no_dictionary_are_refused(checkpoint):
    config = DistilBertConfig.from_pretrained(checkpoint)
    for value in (7, "x", [1]):
        config.adapters = value
        with pytest.raises(AdapterError, match="allowed: a dictionary"):
            DistilBertModelWithHeads.from_pretrained(checkpoint, config=config)


def test_sizes_of_a_checkpoint_take_no_memory_before_its_weights_are_compared(checkpoint):
    config = DistilBertConfig.from_pretrained(checkpoint)
    huge = {**resolve("mtl_lora").to_dict(), "r": 2**14, "n_up_projection": 2**14}
    config.adapters["adapters"]["mtl_lora"] = "huge"
    config.adapters["config_map"]["huge"] = huge
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileError, match=r"has shape \[4, 24\] in the checkpoint and \[16384, 24\]"):
        DistilBertModelWithHeads.from_pretrained(checkpoint, config=config)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + 2**19


# Where a file is from ----------------------------------------------------------------------------


@pytest.mark.parametrize("load", ["load_adapter", "load_adapter_fusion", "load_adapter_setup"])
def test_the_source_that_published_descriptions_write_is_accepted_and_others_refused(
    everything, model, tmp_path, load
):
    save, given = {
        "load_adapter": ("save_adapter", "seq_bn"),
        "load_adapter_fusion": ("save_adapter_fusion", "a,b"),
        "load_adapter_setup": ("save_adapter_setup", Fuse("a", "b")),
    }[load]
    getattr(everything, save)(tmp_path, given)
    refused(model, AdapterError, r"'ah'.; give the id of a repository", load, tmp_path, source="ah")
    refused(model, AdapterError, "source is 7; allowed: 'hf'", load, tmp_path, source=7)
    found = with_adapters(fresh(), {"a": FUSED, "b": FUSED})
    for source in ("hf", None):
        getattr(found, load)(tmp_path, source=source)


# Labels of heads ---------------------------------------------------------------------------------


WRONG = {
    "too many": ({0: "x", 1: "y", 2: "z"}, "names 3 labels, and it has 2"),
    "too few": ({0: "x"}, "names 1 labels, and it has 2"),
    "twice": ({0: "x", 1: "x"}, "names 1 labels, and it has 2"),
    "gaps": ({0: "x", 2: "y"}, r"numbers its labels \[0, 2\]"),
    "no numbers": ({"a": "x", "b": "y"}, "labels must be numbered by whole numbers"),
    "a list": (["x", "y"], r"id2label is \['x', 'y'\]; allowed: a dictionary"),
}


@pytest.fixture(scope="module")
def headed(tmp_path_factory):
    """Folders of an adapter with a head of two labels, as each class saves it."""
    place = tmp_path_factory.mktemp("heads")
    for kind in (FLEXIBLE, "DistilBertForSequenceClassification"):
        model = with_adapters(fresh(kind), {"c": "seq_bn"})
        if kind == FLEXIBLE:
            model.add_classification_head("c", activation_function="relu")
        model.save_adapter(place / kind, "c")
    return place


@pytest.mark.parametrize("into", [FLEXIBLE, "DistilBertForSequenceClassification"])
@pytest.mark.parametrize("of", [FLEXIBLE, "DistilBertForSequenceClassification"])
def test_names_of_labels_that_do_not_fit_a_loaded_head_are_refused(headed, of, into):
    model = fresh(into)
    for names, message in WRONG.values():
        refused(model, AdapterError, message, "load_head", headed / of, id2label=names)
        refused(model, AdapterError, message, "load_adapter", headed / of, id2label=names)
    for names in ({"0": "p", "1": "q"}, {1: "q", 0: "p"}):
        model.load_head(headed / of, id2label=names)
        assert model.config.id2label == {0: "p", 1: "q"}
        assert model.config.label2id == {"p": 0, "q": 1}
    model.load_adapter(headed / of, id2label={"0": "r", "1": "s"}, set_active=True)
    if into == FLEXIBLE:
        assert model.get_labels("c") == ["r", "s"]
    else:
        assert model.config.id2label == {0: "r", 1: "s"}


def test_a_head_of_words_has_no_names_of_labels(tmp_path):
    model = fresh()
    model.add_masked_lm_head("words")
    model.save_head(tmp_path, "words")
    refused(
        model,
        AdapterError,
        "names 2 labels, and it has 0",
        "load_head",
        tmp_path,
        id2label={0: "x", 1: "y"},
    )


# Heads of another kind ---------------------------------------------------------------------------


def test_a_class_for_one_task_tells_why_it_leaves_a_head_out(tmp_path, caplog):
    model = with_adapters(fresh(), {"tanh": "seq_bn", "tags": "seq_bn"})
    model.add_classification_head("tanh")
    model.add_tagging_head("tags")
    found = fresh("DistilBertForSequenceClassification")
    for name, reason in (
        ("tanh", "head 'tanh' has activation_function 'tanh', and a DistilBertForSequenceClass"),
        ("tags", "it is of type 'tagging', that of a DistilBertForTokenClassification, and this"),
    ):
        model.save_adapter(tmp_path / name, name)
        caplog.clear()
        found.load_adapter(tmp_path / name)
        assert f"the file's head is left out: {reason}" in caplog.text
        assert len(caplog.records) == 1
        refused(
            found,
            AdapterError,
            "has no place for this head; load it into DistilBertModelWith",
            "load_head",
            tmp_path / name,
        )
