"""Means of adapters and shared matrices against adapters, as installed, and where it goes wrong.

Weights of a mean are sums of two or three float32 terms near 1, rounded at 6e-8 each.
"""

import pytest
import torch
import transformers
from adapters.composition import MultiTask as TheirMultiTask

import adapters
from adapted import METHODS, batch, shake, tiny
from comparing import deltas, projections
from distilbert.adapters import MultiTask

pytestmark = pytest.mark.usefixtures("one_thread")
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
OUTPUTS = {"rtol": 1e-4, "atol": 2e-5}  # the same through three layers
ALIASES = {"prompt_tuning.base_model_embeddings.weight"}
LINEAR = {name: config for name, config in METHODS.items() if name not in ("glow", "loreft")}


def pair(**configs):
    """Our model and theirs with the same adapters, of the same random weights."""
    ours = tiny()
    for name, config in configs.items():
        ours.add_adapter(name, config)
        shake(ours, name)
    settings = {k: getattr(ours.config, k) for k in ("vocab_size", "dim", "hidden_dim")}
    settings |= {"n_layers": 3, "n_heads": 4, "max_position_embeddings": 32}
    theirs = transformers.DistilBertModel(transformers.DistilBertConfig(**settings))
    adapters.init(theirs)
    for name in configs:
        config = ours.adapters_config.get(name).to_dict()
        if config.get("attn_matrices"):
            config["attn_matrices"] = [m for m in config["attn_matrices"] if m != "out"]
        theirs.add_adapter(name, adapters.AdapterConfig.load(config))
    found = theirs.load_state_dict(published(ours), strict=False)
    assert not found.unexpected_keys
    assert {key for key in found.missing_keys if "prefix_tuning.pool" not in key} <= ALIASES
    return ours, theirs.eval()


def published(ours):
    """Our weights under their keys, but what hangs beside out_lin, which they never adapt."""
    weights = {}
    for key, tensor in ours.state_dict().items():
        if "out_lin.loras" in key:
            continue
        weights[key] = torch.diag(tensor) if key.endswith(("vera_D", "vera_B")) else tensor
        if ".adapter_norm_before." in key:
            weights[key.replace("adapter_norm_before", "adapter_down.0")] = tensor
    return weights


def assert_same_weights(ours, theirs, name):
    expected, seen = theirs.state_dict(), 0
    for key, tensor in published(ours).items():
        if f".{name}." in key:
            torch.testing.assert_close(tensor, expected[key], **CLOSE, msg=f"{key} differs")
            seen += 1
    assert seen


@pytest.mark.parametrize("method", LINEAR)
def test_linear_means_are_the_same(method):
    ours, theirs = pair(**dict.fromkeys("abc", LINEAR[method]))
    for model in (ours, theirs):
        model.average_adapter("mean", ["a", "b", "c"], weights=[1, 2, -0.5])
        model.average_adapter("even", ["a", "b"])
        model.average_adapter("sum", ["a", "b"], [2.0, -1.5], normalize_weights=False)
    for name in ("mean", "even", "sum"):
        assert_same_weights(ours, theirs, name)


@pytest.mark.parametrize("method", ["lora[r=3,alpha=5]", "lora[intermediate_lora=True]", "ia3"])
def test_means_that_negate_b_alone_are_the_same(method):
    ours, theirs = pair(a=method, b=method)
    for model in (ours, theirs):
        options = {"weights": [1.5, -0.5], "combine_strategy": "lora_linear_only_negate_b"}
        model.average_adapter("mean", ["a", "b"], **options)
        options["normalize_weights"] = False
        model.average_adapter("sum", ["a", "b"], **options)
    assert_same_weights(ours, theirs, "mean")
    assert_same_weights(ours, theirs, "sum")


def by_svd(r, rank):
    ours, theirs = pair(a=f"lora[r={r},alpha=5]", b=f"lora[r={r},alpha=5]")
    for model in (ours, theirs):
        options = {"combine_strategy": "lora_delta_w_svd", "svd_rank": rank}
        model.average_adapter("mean", ["a", "b"], weights=[3, 1], **options)
        model.set_active_adapters("mean")
    assert theirs.adapters_config.get("mean").r == ours.adapters_config.get("mean").r == rank
    with torch.no_grad():
        return ours, theirs, *(model(*batch()).last_hidden_state for model in (ours, theirs))


def test_means_by_svd_are_the_same_where_the_rank_stays():
    ours, theirs, mine, expected = by_svd(3, 3)
    torch.testing.assert_close(mine, expected, **OUTPUTS)
    for (number, site), delta in deltas(ours, "mean").items():
        linear = getattr(theirs.transformer.layer[number].attention, f"{site}_lin")
        module = linear.loras["mean"]
        torch.testing.assert_close(delta.float(), module.delta_w * module.scaling, **OUTPUTS)


@pytest.mark.diverges("adapters 1.3.0: scales the mean by alpha / its own rank, not by theirs")
def test_means_by_svd_of_another_rank_do_not_change_in_strength_here():
    _, theirs, mine, expected = by_svd(3, 6)
    assert (mine - expected).abs().max() > 0.05
    scale = theirs.transformer.layer[0].attention.q_lin.loras["mean"].scaling
    assert scale == pytest.approx(5 / 6)  # half of that of the adapters
    for block in theirs.transformer.layer:
        for linear in (block.attention.q_lin, block.attention.v_lin):
            linear.loras["mean"].scaling = 5 / 3
    with torch.no_grad():
        torch.testing.assert_close(mine, theirs(*batch()).last_hidden_state, **OUTPUTS)


@pytest.mark.diverges("adapters 1.3.0: a map from names to weights is a crash")
def test_a_map_is_taken_here():
    ours, theirs = pair(a="lora", b="lora")
    with pytest.raises(KeyError):
        theirs.average_adapter("mean", {"a": 3.0, "b": 1.0})
    ours.average_adapter("mean", {"a": 3.0, "b": 1.0})
    assert "mean" in ours.adapters_config


@pytest.mark.diverges("adapters 1.3.0: an adapter that is named twice counts once, unnormalised")
def test_an_adapter_named_twice_counts_twice_here():
    ours, theirs = pair(a="lora")
    for model in (ours, theirs):
        model.average_adapter("mean", ["a", "a"])
    find = [m.transformer.layer[0].attention.q_lin.loras for m in (ours, theirs)]
    torch.testing.assert_close(find[0]["mean"].lora_A, find[0]["a"].lora_A)
    torch.testing.assert_close(find[1]["mean"].lora_A, find[1]["a"].lora_A / 2)


@pytest.mark.diverges("adapters 1.3.0: averages the two tensors of orthonormal matrices")
def test_means_of_orthonormal_projections_stay_orthonormal_here():
    ours, theirs = pair(a="loreft[r=3]", b="loreft[r=3]")
    for model in (ours, theirs):
        model.average_adapter("mean", ["a", "b"])
    for model, off in ((ours, 0), (theirs, 0.1)):
        layer = model.transformer.layer[0].reft_layer
        weight = layer.refts["mean"].units[0].projection.weight.detach()
        apart = (weight @ weight.T - torch.eye(3)).abs().max()
        assert apart >= off
        assert (apart < 1e-5) == (off == 0)


# Sharing -----------------------------------------------------------------------------------------

MTL = "mtl_lora[r=3,n_up_projection=2]"


def test_shared_matrices_are_those_of_the_same_adapter_and_act_alike():
    ours, theirs = pair(a=MTL, b=MTL, c=MTL)
    for model in (ours, theirs):
        model.share_parameters(["a", "b"], reference_adapter_name="b")
    for name in "abc":
        assert_same_weights(ours, theirs, name)
    ours.set_active_adapters(MultiTask("a", "b"))
    theirs.set_active_adapters(TheirMultiTask("a", "b"))
    ids, mask = batch()
    tasks = torch.tensor([0, 1, 1, 0])
    mine, expected = (m(ids, mask, task_ids=tasks).last_hidden_state for m in (ours, theirs))
    torch.testing.assert_close(mine, expected, **OUTPUTS)
    for value in (mine, expected):
        (value * mask[..., None]).sum().backward()
    gradients = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        if ".loras.a." in key and "lora_" not in key:
            torch.testing.assert_close(parameter.grad, gradients[key].grad, rtol=1e-3, atol=1e-3)
    for _, module in projections(ours, "a"):
        assert module.lora_A.grad.abs().max() > 0


def test_a_saved_adapter_has_the_keys_of_one_that_shares_nothing(tmp_path):
    ours, theirs = pair(a=MTL, b=MTL)
    theirs.share_parameters(["a", "b"])
    theirs.save_adapter(str(tmp_path), "a")
    saved = torch.load(tmp_path / "pytorch_adapter.bin", weights_only=True)
    ours.share_parameters(["a", "b"])
    mine = {key: tensor for key, tensor in ours.state_dict().items() if ".loras.a." in key}
    assert mine.keys() == saved.keys()
    for key, tensor in mine.items():
        torch.testing.assert_close(tensor, saved[key], rtol=0, atol=0)


@pytest.mark.diverges("adapters 1.3.0: unshare_parameters leaves them sharing")
def test_unshared_adapters_share_nothing_here():
    for model, still in zip(pair(a=MTL, b=MTL), (False, True), strict=True):
        model.share_parameters(["a", "b"])
        model.unshare_parameters(["a", "b"])
        loras = model.transformer.layer[0].attention.q_lin.loras
        assert (loras["a"].lora_A is loras["b"].lora_A) == still


def test_a_summary_has_the_same_rows():
    ours, theirs = pair(a="seq_bn", b="lora[r=3]", c="prefix_tuning_flat[prefix_length=2]")
    for model in (ours, theirs):
        model.train_adapter("b")
    rows, expected = (model.adapter_summary(as_dict=True) for model in (ours, theirs))
    assert rows == expected
