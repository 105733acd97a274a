"""Adapters that have matrices in common."""

import copy
import io
import pickle

import pytest
import torch
from safetensors.torch import load_file

from adapted import batch
from comparing import (
    CLOSE,
    alike,
    assert_unchanged,
    made,
    outputs,
    projections,
    snapshot,
    weights,
)
from distilbert import AdapterError
from distilbert.adapters import (
    LoRAConfig,
    MTLLoRAConfig,
    MultiTask,
)
from distilbert.files.shards import write_tensors

MTL = "mtl_lora[r=3,n_up_projection=2]"


def shared(model, one, other):
    """How many of the matrices of two adapters are the same parameter, and how many there are."""
    pairs = [
        (getattr(m, key), getattr(n, key))
        for (_, m), (_, n) in zip(projections(model, one), projections(model, other), strict=True)
        for key in ("lora_A", "lora_B")
    ]
    return sum(a is b for a, b in pairs), len(pairs)


@pytest.mark.parametrize("names", [["a", "b", "c"], "a,b, c", MultiTask("a", "b", "c")], ids=repr)
def test_adapters_share_the_matrices_of_the_reference(names):
    model = alike(MTL, "abc")
    wanted = {key: t for key, t in weights(model, "b").items() if "lora_" in key}
    rest = {key: t for key, t in weights(model, "a").items() if "lora_" not in key}
    model.share_parameters(names, reference_adapter_name="b")
    assert shared(model, "a", "b") == shared(model, "a", "c") == (12, 12)
    found = weights(model, "a")
    for key, tensor in {**wanted, **rest}.items():
        assert torch.equal(found[key], tensor)


def test_a_step_on_one_moves_all_that_share():
    model = alike(MTL)
    model.share_parameters(["a", "b"])
    model.train_adapter("a")
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    before = weights(model, "b")
    model(*batch()).last_hidden_state[0].sum().backward()
    optimizer.step()
    after = weights(model, "b")
    moved = {key.split(".", 2)[2] for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"0.lora_A", "0.lora_B", "1.lora_A", "1.lora_B"}  # not the task's own
    assert {"0.weights", "0.task_specific.values"} < {key.split(".", 2)[2] for key in before}


def test_what_is_shared_is_counted_once_and_saved_for_each(tmp_path):
    model = alike(MTL)
    keys, count = set(model.state_dict()), model.num_parameters()
    matrices = sum(m.lora_A.numel() + m.lora_B.numel() for _, m in projections(model, "a"))
    model.share_parameters(["a", "b"])
    assert model.num_parameters() == count - matrices
    assert set(model.state_dict()) == keys
    write_tensors(model.state_dict(), tmp_path / "model.safetensors", safetensors=True)
    saved = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(saved[key], tensor) for key, tensor in model.state_dict().items())


def test_copies_and_pickles_of_a_model_share_too():
    model = alike(MTL)
    model.share_parameters(["a", "b"])
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
    ):
        assert shared(twin, "a", "b") == (12, 12)
        assert next(projections(twin, "a"))[1].lora_A is not next(projections(model, "a"))[1].lora_A


def test_deleting_one_leaves_the_others_whole():
    model = alike(MTL, "abc")
    model.share_parameters(["a", "b", "c"])
    before = outputs(model, "b")
    model.delete_adapter("a")
    assert torch.equal(outputs(model, "b"), before)
    assert shared(model, "b", "c") == (12, 12)


@pytest.mark.diverges("adapters 1.3.0: unshare_parameters leaves them sharing")
def test_unsharing_gives_each_its_own_of_the_same_values():
    model = alike(MTL, "abcd")
    model.share_parameters(["a", "b", "c", "d"])
    before = weights(model, "a")
    model.unshare_parameters(["a", "b"])
    assert shared(model, "a", "b") == shared(model, "a", "c") == shared(model, "b", "c") == (0, 12)
    assert shared(model, "c", "d") == (12, 12)
    torch.testing.assert_close(weights(model, "a"), before, rtol=0, atol=0)
    model.unshare_parameters(MultiTask("c", "d"))
    assert shared(model, "c", "d") == (0, 12)


def test_the_last_that_shares_keeps_the_parameters_that_an_optimizer_may_hold():
    model = alike(MTL)
    model.share_parameters(["a", "b"])
    held = next(projections(model, "b"))[1].lora_A
    model.unshare_parameters("a,b")
    assert next(projections(model, "b"))[1].lora_A is held
    assert next(projections(model, "a"))[1].lora_A is not held


def test_each_task_keeps_what_is_its_own_when_matrices_are_shared():
    model = alike(MTL)
    model.share_parameters(["a", "b"])
    ids, mask = batch()
    with torch.no_grad():
        both = model(ids, mask, adapter_names=MultiTask("a", "b"), task_ids=[0, 1, 1, 0])[0]
    a, b = outputs(model, "a"), outputs(model, "b")
    assert (a - b).abs().max() > 0.1
    for row, task in enumerate((a, b, b, a)):
        length = int(mask[row].sum())
        torch.testing.assert_close(both[row, :length], task[row, :length], **CLOSE)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "no choice of adapters"),
        (["a"], {}, "names one adapter"),
        (["a", "a"], {}, "no choice of adapters"),
        (7, {}, "no choice of adapters"),
        (["a", "none"], {}, "no adapter 'none'"),
        (["a", "lora"], {}, r"'lora' is no MTL-LoRA but LoRAConfig\(\)"),
        (["a", "wide"], {}, r"cannot share lora_A at 'q' of layer 0: \(\(3, 24\)"),
        (["a", "ways"], {}, "cannot share lora_B"),
        (["a", "top"], {}, "hang nowhere together"),
        (["a", "b"], {"reference_adapter_name": "c"}, "the reference 'c' is none of"),
    ],
)
def test_what_cannot_be_shared_is_refused_and_changes_nothing(names, options, message):
    configs = {
        "lora": LoRAConfig(),
        "wide": MTLLoRAConfig(r=4, n_up_projection=2),
        "ways": MTLLoRAConfig(r=3),
        "top": MTLLoRAConfig(r=3, selfattn_lora=False, output_lora=True),
    }
    model = made(configs, alike(MTL))
    before, count = snapshot(model), model.num_parameters()
    with pytest.raises(AdapterError, match=message):
        model.share_parameters(names, **options)
    assert_unchanged(model, before)
    assert model.num_parameters() == count


def test_sharing_what_is_merged_is_refused():
    model = alike(MTL)
    model.merge_adapter("a")
    with pytest.raises(AdapterError, match="'a' is merged"):
        model.share_parameters(["a", "b"])


@pytest.mark.parametrize("names", [["a", "b"], ["c"], ["a", "c"]])
def test_unsharing_what_shares_nothing_is_refused(names):
    model = alike(MTL, "abc")
    if "c" in names:
        model.share_parameters(["a", "b"])
    with pytest.raises(AdapterError, match=r"'[ac]' shares no matrices"):
        model.unshare_parameters(names)
    assert shared(model, "a", "b") == ((12, 12) if "c" in names else (0, 12))
