"""Heads and whole models between this package and AdapterHub's: the same outputs in both.

Outputs are compared to the rounding of float32. Weights are random, and none is zero.
"""

import warnings

import adapters.composition as theirs_of
import pytest
import torch
import transformers

import adapters
import distilbert
import heads
from adapted import METHODS
from distilbert import AdapterError
from distilbert.adapters import Fuse
from peer import IDS, THERE, answers, close, fused, hidden, stir, their_config, theirs
from travelling import FIXED, FLEXIBLE, FUSIONS, HEADED, fresh

LABELS = {"DistilBertForMultipleChoice": 1, "DistilBertForQuestionAnswering": 2}
STARTS = {"word_starts": torch.tensor([[1, 2, 4]] * len(IDS))}

pytestmark = pytest.mark.usefixtures("one_thread", "quiet")


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def says(model, head):
    """What a named head says, no adapter being active."""
    parses = model.heads[head].config["head_type"] == "dependency_parsing"
    return answers(model, head=head, **(STARTS if parses else {}))


def with_head(model, kind, *names):
    method, options = heads.ADD[kind]
    for name in names:
        getattr(model, method)(name, **options)
    stir(model, *(f"heads.{name}" for name in names))
    return model


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("kind", heads.ADD)
def test_heads_say_the_same_in_both(tmp_path, kind, safe):
    ours, there = with_head(fresh(), kind, "a", "ab"), with_head(theirs(), kind, "a", "ab")
    for model in (ours, there):
        model.add_adapter("a", config="lora")
    ours.save_head(tmp_path / "o", "a", use_safetensors=safe)
    ours.save_adapter(tmp_path / "oa", "a", use_safetensors=safe)
    again, back = fresh(), theirs()
    for place, load in (("o", "load_head"), ("oa", "load_adapter")):
        getattr(back, load)(str(tmp_path / place), load_as="b", use_safetensors=safe)
        close(says(back, "b"), says(ours, "a"))
    if kind in ("masks", "next") and safe:
        with pytest.raises(RuntimeError, match="share memory"):
            there.save_head(str(tmp_path / "t"), "a", use_safetensors=True)
        return
    there.save_head(str(tmp_path / "t"), "a", use_safetensors=safe)
    there.save_adapter(str(tmp_path / "ta"), "a", use_safetensors=safe)
    assert again.load_head(tmp_path / "t") == "a" == again.active_head
    assert again.load_adapter(tmp_path / "ta", load_as="b") == "b"
    close(says(again, "a"), says(there, "a"))
    close(says(again, "b"), says(there, "a"))
    assert again.heads["a"].config == there.heads["a"].config


@pytest.mark.parametrize("kind", FIXED)
def test_heads_of_fixed_classes_say_the_same_in_both(tmp_path, kind):
    labels = {"num_labels": LABELS.get(kind, 3)}
    ids = {"ids": IDS.view(2, 2, -1)} if "Choice" in kind else {}
    ours, there = fresh(kind, **labels), theirs(kind, **labels)
    for model in (ours, there):
        model.add_adapter("a", config="lora")
    ours.save_adapter(tmp_path / "o", "a")
    there.save_adapter(str(tmp_path / "t"), "a")
    back = theirs(kind, **labels)
    back.load_adapter(str(tmp_path / "o"), use_safetensors=True)
    close(answers(back, **ids), answers(ours, **ids))
    for target in (kind, FLEXIBLE):
        found = fresh(target, **labels)
        found.load_adapter(tmp_path / "t", load_as="default", set_active=True)
        close(answers(found, adapter_names=[], **ids), answers(there, **ids))
        if target == FLEXIBLE:
            assert found.active_head == "default"


@pytest.mark.parametrize("kind", [THERE, FIXED[-1]])
def test_a_projection_that_is_not_the_models_table_is_refused(tmp_path, kind):
    there = theirs(kind)
    if kind == THERE:
        there.add_masked_lm_head("a")
    with torch.no_grad():
        there.get_input_embeddings().weight.add_(0.1)
    there.save_head(str(tmp_path), "a")
    for found in (fresh(), fresh(FIXED[-1])):
        with pytest.raises(AdapterError, match="to which its projection is tied"):
            found.load_head(tmp_path)
    free = fresh(tie_word_embeddings=False)
    name = free.load_head(tmp_path)
    same = there.get_input_embeddings().weight
    assert torch.equal(free.heads[name].decoder.weight, same)


# Whole models ------------------------------------------------------------------------------------

LACKING = ("glow", "lora all", "direft")  # crashes there, or is something else
COMPACT = ("compacter", "compacter++")


def filled(model, config_of=str, methods=METHODS):
    """A model of either package with all that it can have."""
    names = [name for name in methods if name not in LACKING]
    for name in names:
        model.add_adapter(name, config=config_of(METHODS[name]))
    stir(model, *names)
    fused(model, config_of)
    if hasattr(model, "heads"):
        for name, kind in HEADED.items():
            with_head(model, kind, name)
    return model


def assert_alike(ours, there, names):
    for name in names:
        close(hidden(ours, name), hidden(there, name))
    for adapters_of, _, given in FUSIONS.values():
        trees = [of(*adapters_of, name=given) for of in (Fuse, theirs_of.Fuse)]
        close(hidden(ours, trees[0]), hidden(there, trees[1]))
    if hasattr(ours, "heads"):
        for head in HEADED:
            close(says(ours, head), says(there, head))


CHECKPOINTS = {FLEXIBLE: THERE, "DistilBertModel": "DistilBertModel", FIXED[0]: FIXED[0]}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_our_checkpoints_compute_the_same_there(tmp_path, kind):
    names = [name for name in METHODS if name not in (*LACKING, *COMPACT)]
    ours = filled(fresh(kind), methods=names)
    ours.save_pretrained(tmp_path)
    where = adapters if kind == FLEXIBLE else transformers
    their_class = getattr(where, CHECKPOINTS[kind])
    there, info = adapters.load_model(tmp_path, their_class, output_loading_info=True)
    assert not any(info.values())
    assert_alike(ours, there, names)


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_their_checkpoints_compute_the_same_here(tmp_path, kind):
    there = filled(theirs(CHECKPOINTS[kind]), their_config)
    there.save_pretrained(tmp_path, safe_serialization=False)  # which cannot share memory there
    ours, info = getattr(distilbert, kind).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert_alike(ours, filled(theirs(CHECKPOINTS[kind]), their_config), [*ours.adapters_config])


@pytest.mark.diverges("adapters 1.3.0: checkpoints that hold a compacter cannot be loaded")
def test_compacters_come_in_checkpoints(tmp_path):
    names = [*COMPACT, *"abc"]
    there = filled(theirs(), their_config, COMPACT)
    there.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(TypeError):
        adapters.DistilBertAdapterModel.from_pretrained(tmp_path)
    ours = distilbert.DistilBertModelWithHeads.from_pretrained(tmp_path)
    assert_alike(ours, filled(theirs(), their_config, COMPACT), names)
