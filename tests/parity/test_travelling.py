"""Adapters, fusions and setups between this package and AdapterHub's: the same outputs in both.

Outputs are compared to the rounding of float32. Weights are random, and none is zero.
"""

import warnings

import adapters.composition as theirs_of
import pytest
import torch

import adapters
import distilbert.adapters as ours_of
from adapted import METHODS
from distilbert import AdapterError, FileError
from distilbert.adapters.configs import AdapterConfig, resolve
from peer import close, differ, fused, hidden, ours_with, stir, their_config, theirs
from travelling import FUSIONS, fresh

CRASHING = ("glow",)  # there
SILENT = ("lora all", "direft")  # loaded there as something else
TRAVELLING = [method for method in METHODS if method not in (*CRASHING, *SILENT)]
SHARING = ("prefix", "mam", "unipelt")  # hold one tensor under several names there
UNSAFE = [m for m in TRAVELLING if any(word in m for word in SHARING)] + ["double_seq_bn"]

pytestmark = pytest.mark.usefixtures("one_thread", "quiet")


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Adapters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("method", TRAVELLING)
def test_our_adapters_compute_the_same_there(tmp_path, method, safe):
    ours, there = ours_with(method, "a"), theirs()
    ours.save_adapter(tmp_path, "a", use_safetensors=safe)
    info = {}
    there.load_adapter(str(tmp_path), use_safetensors=safe, loading_info=info)
    close(hidden(ours, "a"), hidden(there, "a"))
    assert not info.get("unexpected_keys")
    assert not [key for key in info["missing_keys"] if ".prefix_tuning.pool." not in key]


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("method", [*TRAVELLING, "direft"])
def test_their_adapters_compute_the_same_here(tmp_path, method, safe):
    there = theirs()
    for name in ("ab", "a"):
        there.add_adapter(name, config=their_config(METHODS[method]))
    stir(there, "a")
    if safe and method in UNSAFE:
        with pytest.raises(RuntimeError, match="share memory"):
            there.save_adapter(str(tmp_path), "a", use_safetensors=True)
        return
    there.save_adapter(str(tmp_path), "a", use_safetensors=safe)
    ours = fresh()
    # their files do not tell whether ReFT subtracts
    told = resolve(METHODS[method]) if method == "direft" else None
    assert ours.load_adapter(tmp_path, config=told, load_as="b") == "b"
    close(hidden(ours, "b"), hidden(there, "a"))
    ours.save_adapter(tmp_path / "back", "b", use_safetensors=safe)
    if method != "direft":
        again = theirs()
        again.load_adapter(str(tmp_path / "back"), use_safetensors=safe)
        torch.testing.assert_close(hidden(again, "b"), hidden(there, "a"), rtol=0, atol=0)


@pytest.mark.diverges("adapters 1.3.0: GLOW adapters do not run")
def test_glow_is_loaded_there_and_fails_when_it_runs(tmp_path):
    ours = ours_with("glow", "a")
    ours.save_adapter(tmp_path, "a")
    there = theirs()
    there.load_adapter(str(tmp_path), use_safetensors=True)
    with pytest.raises(RuntimeError, match="must match the size"):
        hidden(there, "a")
    there.save_adapter(str(tmp_path / "back"), "a")
    again = fresh()
    again.load_adapter(tmp_path / "back")
    torch.testing.assert_close(hidden(again, "a"), hidden(ours, "a"), rtol=0, atol=0)


@pytest.mark.diverges("adapters 1.3.0: a prompt under another name keeps its random weights")
def test_a_prompt_can_have_another_name(tmp_path):
    ours = ours_with("prompt", "a")
    ours.save_adapter(tmp_path, "a")
    there, again = theirs(), fresh()
    there.load_adapter(str(tmp_path), load_as="b", use_safetensors=True)
    again.load_adapter(tmp_path, load_as="b")
    differ(hidden(there, "b"), hidden(ours, "a"))
    close(hidden(again, "b"), hidden(ours, "a"))


# Options that it does not know: value, whether its own way is another result or an error.
OWN_OPTIONS = {
    "out": "lora[r=4,attn_matrices=['q','out']]",
    "use_rslora": "lora[r=4,use_rslora=True]",
    "alpha_pattern": {"alpha_pattern": {"transformer.layer.1.attention.q_lin": 32.0}},
    "subtract_projection": METHODS["direft"],
}


@pytest.mark.diverges(
    "adapters 1.3.0: passes over options that it does not have, and over DiReFT's in a file"
)
@pytest.mark.parametrize("option", OWN_OPTIONS)
def test_options_that_are_unknown_there_are_told_when_saved(tmp_path, option, caplog):
    given = OWN_OPTIONS[option]
    config = resolve("lora", **given) if isinstance(given, dict) else resolve(given)
    ours = ours_with(config, "a")
    ours.save_adapter(tmp_path / "a", "a")
    assert f"'a' has {option}" in caplog.text
    there, again = theirs(), fresh()
    there.load_adapter(str(tmp_path / "a"), use_safetensors=True)
    differ(hidden(there, "a"), hidden(ours, "a"))
    again.load_adapter(tmp_path / "a")
    close(hidden(again, "a"), hidden(ours, "a"))
    caplog.clear()
    ours.save_pretrained(tmp_path / "model")
    assert f"'a' has {option}" in caplog.text


def test_ranks_of_modules_are_refused_there(tmp_path):
    ranks = {"transformer.layer.1.attention.q_lin": 3}
    ours_with(resolve("lora", rank_pattern=ranks), "a").save_adapter(tmp_path, "a")
    with pytest.raises(RuntimeError, match="size mismatch"):
        theirs().load_adapter(str(tmp_path), use_safetensors=True)


@pytest.mark.diverges("adapters 1.3.0: a DiReFT that is loaded again subtracts")
def test_a_direft_of_theirs_may_be_a_noreft_and_that_is_told(tmp_path, caplog):
    there = theirs()
    there.add_adapter("a", config="direft[r=2]")
    stir(there, "a")
    there.save_adapter(str(tmp_path), "a")
    again, ours = theirs(), fresh()
    again.load_adapter(str(tmp_path))
    differ(hidden(again, "a"), hidden(there, "a"))
    ours.load_adapter(tmp_path)
    assert "does not say subtract_projection" in caplog.text
    close(hidden(ours, "a"), hidden(again, "a"))
    path = tmp_path / "adapter_config.json"
    told = AdapterConfig.load(path, subtract_projection=False)
    ours.load_adapter(tmp_path, config=told)
    close(hidden(ours, "a"), hidden(there, "a"))


@pytest.mark.diverges("adapters 1.3.0: attn_matrices may name what is not there")
def test_an_output_projection_that_they_never_adapted_is_missed(tmp_path):
    there = theirs()
    there.add_adapter("a", config=adapters.LoRAConfig(attn_matrices=["q", "out"]))
    there.save_adapter(str(tmp_path), "a")
    with pytest.raises(AdapterError, match=r"out_lin.*missing"):
        fresh().load_adapter(tmp_path)


# Fusions and setups ------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusions_compute_the_same_in_both(tmp_path, fusion):
    names, _, given = FUSIONS[fusion]
    there, ours = fused(theirs(), their_config), fused(fresh())
    trees = [of.Fuse(*names, name=given) for of in (ours_of, theirs_of)]
    whole = given or ",".join(names)
    again, back = fresh(), theirs()
    (tmp_path / "t").mkdir()
    for name in names:
        there.save_adapter(str(tmp_path / "t" / name), name)
        ours.save_adapter(tmp_path / "o" / name, name)
        again.load_adapter(tmp_path / "t" / name)
        back.load_adapter(str(tmp_path / "o" / name), use_safetensors=True)
    there.save_adapter_fusion(str(tmp_path / "t" / "f"), whole)
    ours.save_adapter_fusion(tmp_path / "o" / "f", whole)
    assert again.load_adapter_fusion(tmp_path / "t" / "f") == whole
    back.load_adapter_fusion(str(tmp_path / "o" / "f"), use_safetensors=True)
    close(hidden(again, trees[0]), hidden(there, trees[1]))
    close(hidden(back, trees[1]), hidden(ours, trees[0]))


def setups(of):
    return {
        "stack": of.Stack("a", "b"),
        "fuse": of.Fuse("a", "b"),
        "stack, fuse": of.Stack("a", of.Fuse("a", "b", "c")),
        "parallel": of.Parallel("a", "b"),
        "split": of.Split("a", "b", splits=[3, 4]),
        "batch split": of.BatchSplit("a", "b", batch_sizes=[1, 3]),
        "stack, parallel": of.Stack("c", of.Parallel("a", "b")),
        "multi task": of.MultiTask("a", "b"),
    }


@pytest.mark.parametrize("setup", setups(ours_of))
def test_setups_compute_the_same_in_both(tmp_path, setup):
    ours, there = fused(fresh()), fused(theirs(), their_config)
    trees = [setups(of)[setup] for of in (ours_of, theirs_of)]
    for model in (ours, there):
        for name in ("a", "h"):
            model.add_tagging_head(name, num_labels=3)
        stir(model, "h")
    ours.save_adapter_setup(tmp_path / "o", trees[0], head_setup=["a", "h"])
    there.save_adapter_setup(str(tmp_path / "t"), trees[1], head_setup=["a", "h"])
    again, back = fresh(), theirs()
    assert again.load_adapter_setup(tmp_path / "t", set_active=True) == (trees[0], ["a", "h"])
    found = back.load_adapter_setup(str(tmp_path / "o"), set_active=True, use_safetensors=True)
    assert found == (trees[1], ["a", "h"])
    assert again.active_head == ["a", "h"]
    options = {"task_ids": torch.tensor([1, 0, 0, 1])} if setup == "multi task" else {}
    close(hidden(again, None, **options), hidden(there, trees[1], **options))
    close(hidden(back, trees[1], **options), hidden(ours, trees[0], **options))
    for one, two in ((again, there), (back, ours)):
        weights = [m.state_dict() for m in (one, two)]
        for key in weights[0]:
            if ".heads." in f".{key}" or "_adapters." in key:
                torch.testing.assert_close(weights[0][key], weights[1][key], rtol=0, atol=0)


@pytest.mark.diverges("adapters 1.3.0: the name of a fusion is lost from a saved setup")
def test_a_named_fusion_is_part_of_a_setup(tmp_path):
    ours, there = fused(fresh()), fused(theirs(), their_config)
    trees = [of.Stack("a", of.Fuse("b", "c", name="team")) for of in (ours_of, theirs_of)]
    ours.save_adapter_setup(tmp_path / "o", trees[0])
    there.save_adapter_setup(str(tmp_path / "t"), trees[1])
    again, back = fresh(), theirs()
    again.load_adapter_setup(tmp_path / "o")
    back.load_adapter_setup(str(tmp_path / "o"), use_safetensors=True)
    for model, tree in ((again, trees[0]), (back, trees[1])):
        close(hidden(model, tree), hidden(ours, trees[0]))
    with pytest.raises(FileError, match="needs 'b,c'"):
        again.load_adapter_setup(tmp_path / "t")
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever it stumbles over)
        theirs().load_adapter_setup(str(tmp_path / "t"))
