"""What the installed `adapters` gives no result for, or a wrong one, and what is right here.

Every test shows both, so that it tells when theirs is mended.
"""

import pickle
import warnings

import adapters.composition as ac
import pytest
import torch
import transformers

import adapters
from adapted import METHODS, shake
from distilbert.adapters import AdapterSetup, BatchSplit, MultiTask, Parallel
from peer import CLOSE, IDS, SIZES, differ, hidden, their_config, theirs
from travelling import fresh

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("classes", "more")


def both(method, *names):
    """Our model and theirs, with adapters of one method and the same weights."""
    ours = fresh()
    there = theirs()
    for name in names:
        ours.add_adapter(name, METHODS.get(method, method))
        shake(ours, name)
        there.add_adapter(name, their_config(METHODS.get(method, method)))
    weights = {
        key: torch.diag(value) if "vera_" in key and value.ndim == 1 else value
        for key, value in ours.distilbert.state_dict().items()
    }
    assert not there.distilbert.load_state_dict(weights, strict=False).unexpected_keys
    return ours, there.eval()


def fails(do):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception):  # noqa: B017, PT011  (whatever it stumbles over)
            do()


def rows_alone(ours, found, adapters_of_rows):
    for row, name in enumerate(adapters_of_rows):
        torch.testing.assert_close(found[row], hidden(ours, name)[row % len(IDS)], **CLOSE)


# Compositions ------------------------------------------------------------------------------------


@pytest.mark.diverges("adapters 1.3.0: BatchSplit of DoRA, invertible adapters, prompts, ReFT")
@pytest.mark.parametrize("method", ["dora", "nice", "prompt", "noreft"])
def test_a_split_batch_gives_each_row_what_its_adapter_alone_says(method):
    ours, there = both(method, "a", "b")
    found = hidden(ours, BatchSplit("a", "b", batch_sizes=[1, 3]))
    differ(found, hidden(there, ac.BatchSplit("a", "b", batch_sizes=[1, 3])))
    rows_alone(ours, found, "abbb")


@pytest.mark.diverges("adapters 1.3.0: MultiTask of DoRA takes the last one's lengths for all")
def test_tasks_take_doras_as_they_are():
    ours, there = both("dora", "a", "b")
    tasks = {"task_ids": torch.tensor([1, 0, 0, 1])}
    found = hidden(ours, MultiTask("a", "b"), **tasks)
    differ(found, hidden(there, ac.MultiTask("a", "b"), **tasks))
    rows_alone(ours, found, "baab")


@pytest.mark.diverges("adapters 1.3.0: Parallel of par_bn and of UniPELT crashes")
@pytest.mark.parametrize("method", ["par_bn", "unipelt"])
def test_copies_take_adapters_that_hang_beside_or_have_gates(method):
    ours, there = both(method, "a", "b")
    fails(lambda: hidden(there, ac.Parallel("a", "b")))
    rows_alone(ours, hidden(ours, Parallel("a", "b")), "aaaabbbb")


@pytest.mark.diverges("adapters 1.3.0: AdapterSetup of a VeRA fails while another is active")
def test_a_setup_of_a_vera_runs_whatever_is_active():
    ours, there = both("vera", "a")
    for model, config in ((ours, "lora"), (there, their_config("lora"))):
        model.add_adapter("b", config)
        model.set_active_adapters("b")
        model.eval()
    with adapters.AdapterSetup("a"):
        fails(lambda: there.distilbert(IDS))
    with AdapterSetup("a"), torch.no_grad():
        found = ours.distilbert(IDS).last_hidden_state
    torch.testing.assert_close(found, hidden(ours, "a"), rtol=0, atol=0)


@pytest.mark.diverges("adapters 1.3.0: under AdapterSetup every head gets the whole batch")
@pytest.mark.parametrize("kind", ["Parallel", "BatchSplit"])
def test_heads_read_the_rows_of_their_adapters_in_a_setup_too(kind):
    ours, there = both("seq_bn", *NAMES)
    for model in (ours, there):
        for name in NAMES:
            model.add_classification_head(name)
        model.eval()
    sizes = {"batch_sizes": [1, 3]} if kind == "BatchSplit" else {}
    with adapters.AdapterSetup(getattr(ac, kind)(*NAMES, **sizes)), torch.no_grad():
        wrong = [len(each.logits) for each in there(IDS).head_outputs]
    with AdapterSetup({"Parallel": Parallel, "BatchSplit": BatchSplit}[kind](*NAMES, **sizes)):
        right = [len(each.logits) for each in ours(IDS)]
    assert wrong == ([8, 8] if kind == "Parallel" else [4, 4])
    assert right == ([4, 4] if kind == "Parallel" else [1, 3])


# Probabilities of attention ----------------------------------------------------------------------


@pytest.mark.diverges("adapters 1.3.0: asking for attentions crashes with prompts and with ReFT")
@pytest.mark.parametrize("method", ["prompt", "noreft"])
def test_attentions_can_be_asked_for_with_every_method(method):
    ours, there = both(method, "a")
    there.set_active_adapters("a")
    fails(lambda: there.distilbert(IDS, output_attentions=True))
    ours.set_active_adapters("a")
    found = ours.distilbert(IDS, output_attentions=True)
    torch.testing.assert_close(found.last_hidden_state, hidden(ours, "a"), **CLOSE)
    assert len(found.attentions) == SIZES["n_layers"]


# Types and names ---------------------------------------------------------------------------------


@pytest.mark.diverges("adapters 1.3.0: adapters of a model in bfloat16 stay in float32, and crash")
@pytest.mark.parametrize("method", ["seq_bn", "lora", "prefix"])
def test_a_new_adapter_has_the_type_of_its_model(method):
    ours, there = fresh().to(torch.bfloat16), theirs().to(torch.bfloat16)
    there.add_adapter("a", their_config(METHODS[method]))
    fails(lambda: hidden(there, "a"))
    ours.add_adapter("a", METHODS[method])
    assert hidden(ours, "a").dtype == torch.bfloat16


@pytest.mark.diverges("adapters 1.3.0: names that modules have crash on the way, half added")
@pytest.mark.parametrize("name", ["train", "keys", "a.b"])
def test_a_name_that_cannot_be_leaves_nothing_behind(name):
    ours, there = fresh(), theirs()
    fails(lambda: there.add_adapter(name, "seq_bn"))
    assert name in there.adapters_config
    with pytest.raises(ValueError, match=r"no name for an adapter|cannot be called"):
        ours.add_adapter(name, "seq_bn")
    assert name not in ours.adapters_config


@pytest.mark.diverges("adapters 1.3.0: models with adapters do not pickle")
def test_a_model_with_an_adapter_pickles():
    ours, there = both("lora", "a")
    fails(lambda: pickle.dumps(there))
    again = pickle.loads(pickle.dumps(ours))
    torch.testing.assert_close(hidden(again, "a"), hidden(ours, "a"), rtol=0, atol=0)


# Files -------------------------------------------------------------------------------------------


@pytest.mark.diverges("adapters 1.3.0: a head or adapter called 'a' also saves that called 'ab'")
def test_only_the_head_that_is_named_is_saved(tmp_path):
    ours, there = fresh(), theirs()
    for model in (ours, there):
        for name in ("a", "ab"):
            model.add_classification_head(name)
    there.save_head(str(tmp_path / "theirs"), "a")
    ours.save_head(tmp_path / "ours", "a", use_safetensors=False)
    saved = {
        place: {key.split(".")[1] for key in torch.load(tmp_path / place / FILE)}
        for place in ("theirs", "ours")
    }
    assert saved == {"theirs": {"a", "ab"}, "ours": {"a"}}


FILE = "pytorch_model_head.bin"


@pytest.mark.diverges("adapters 1.3.0: prefixes cannot be saved as safetensors")
def test_prefixes_are_saved_as_safetensors(tmp_path):
    ours, there = both("prefix", "a")
    fails(lambda: there.save_adapter(str(tmp_path / "theirs"), "a", use_safetensors=True))
    ours.save_adapter(tmp_path / "ours", "a")
    again = fresh()
    again.load_adapter(tmp_path / "ours")
    torch.testing.assert_close(hidden(again, "a"), hidden(ours, "a"), rtol=0, atol=0)


@pytest.mark.diverges("adapters 1.3.0: a new folder in a new folder is not made")
def test_an_adapter_is_saved_into_new_folders(tmp_path):
    ours, there = both("lora", "a")
    fails(lambda: there.save_adapter(str(tmp_path / "x" / "y"), "a"))
    ours.save_adapter(tmp_path / "z" / "y", "a")
    assert fresh().load_adapter(tmp_path / "z" / "y") == "a"


@pytest.mark.diverges("adapters 1.3.0: after save_pretrained nothing can be deleted or trained")
def test_a_model_goes_on_after_it_was_saved(tmp_path):
    ours, there = both("lora", "a", "b")
    for model, place in ((ours, "ours"), (there, "theirs")):
        model.save_pretrained(str(tmp_path / place))
    fails(lambda: there.train_adapter("a"))
    fails(lambda: there.delete_adapter("b"))
    ours.train_adapter("a")
    ours.delete_adapter("b")
    assert [*ours.adapters_config] == ["a"]


@pytest.mark.diverges("adapters 1.3.0: a class for one task that is saved whole comes back random")
def test_a_class_for_one_task_brings_its_adapters_back(tmp_path):
    kind = "DistilBertForSequenceClassification"
    there = theirs(kind)
    there.add_adapter("a", their_config("lora[init_weights='bert']"))
    expected = hidden(there, "a")
    there.save_pretrained(str(tmp_path / "theirs"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = getattr(transformers, kind).from_pretrained(str(tmp_path / "theirs"))
        adapters.init(again)
    differ(hidden(again, "a"), expected)
    ours = fresh(kind)
    ours.add_adapter("a", "lora[init_weights='bert']")
    ours.save_pretrained(tmp_path / "ours")
    found = type(ours).from_pretrained(tmp_path / "ours").eval()
    torch.testing.assert_close(hidden(found, "a"), hidden(ours, "a"), **CLOSE)
