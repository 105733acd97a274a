"""Adapters made of others: their means, and prefixes made plain."""

import math

import pytest
import torch

from adapted import METHODS, batch, tiny
from comparing import (
    CLOSE,
    alike,
    assert_unchanged,
    deltas,
    made,
    outputs,
    projections,
    snapshot,
    weights,
)
from distilbert import AdapterError
from distilbert.adapters import (
    Fuse,
    LoRAConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
    Stack,
)

# Means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_of_copies_is_the_adapter(method):
    model = alike(METHODS[method], "a")
    model.average_adapter("mean", ["a", "a", "a"])
    torch.testing.assert_close(outputs(model, "mean"), outputs(model, "a"), **CLOSE)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "loreft"])
def test_a_linear_mean_is_the_mean_of_each_weight(method):
    model = alike(METHODS[method], "abc")
    model.average_adapter("mean", ["a", "b", "c"], [1, 2, -0.5])
    found = weights(model, "mean")
    a, b, c = (weights(model, name) for name in "abc")
    assert found.keys() == a.keys()
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, (a[key] + 2 * b[key] - 0.5 * c[key]) / 2.5)


def test_weights_may_stand_in_a_map_and_stay_as_they_are_if_asked_to():
    model = alike("lora")
    model.average_adapter("list", ["a", "b"], [3, 1], normalize_weights=False)
    model.average_adapter("map", {"a": 3.0, "b": 1.0}, normalize_weights=False)
    model.average_adapter("share", {"a": 3.0, "b": 1.0})
    a, b, share = (weights(model, name) for name in ("a", "b", "share"))
    for key, tensor in weights(model, "map").items():
        torch.testing.assert_close(tensor, 3 * a[key] + b[key])
        torch.testing.assert_close(tensor, weights(model, "list")[key], rtol=0, atol=0)
        torch.testing.assert_close(tensor, 4 * share[key])


@pytest.mark.diverges("adapters 1.3.0: an adapter that is named twice counts once, unnormalised")
def test_an_adapter_that_is_named_twice_counts_for_both():
    model = alike("lora")
    model.average_adapter("twice", ["a", "b", "a"])
    model.average_adapter("map", {"a": 2, "b": 1})
    torch.testing.assert_close(weights(model, "twice"), weights(model, "map"))


def test_negate_b_gives_the_sign_of_a_weight_to_b_alone():
    model = alike("lora[alpha=3]")
    model.average_adapter(
        "mean", ["a", "b"], [1.5, -0.5], combine_strategy="lora_linear_only_negate_b"
    )
    a, b = weights(model, "a"), weights(model, "b")
    for key, tensor in weights(model, "mean").items():
        sign = 1 if key.endswith("lora_A") else -1
        torch.testing.assert_close(tensor, 1.5 * a[key] + sign * 0.5 * b[key])


RANKED = {
    "alpha": LoRAConfig(r=2, alpha=7),
    "rank-stabilised": LoRAConfig(r=2, alpha=7, use_rslora=True),
    "every site": LoRAConfig(
        r=3, intermediate_lora=True, output_lora=True, attn_matrices=["q", "k", "v", "out"]
    ),
    "patterns": LoRAConfig(
        r=2,
        rank_pattern={"transformer.layer.0.attention.q_lin": 4},
        alpha_pattern={"transformer.layer.1.attention.v_lin": 3},
    ),
}


@pytest.mark.diverges("adapters 1.3.0: leaves alpha / r of the averaged adapters out")
@pytest.mark.parametrize("config", RANKED.values(), ids=RANKED)
def test_a_mean_by_svd_is_exact_where_its_rank_suffices(config):
    model = alike(config)
    model.average_adapter(
        "mean", ["a", "b"], [3, 1], combine_strategy="lora_delta_w_svd", svd_rank=9
    )
    a, b, mean = (deltas(model, name) for name in ("a", "b", "mean"))
    assert mean.keys() == a.keys()
    for site, delta in mean.items():
        torch.testing.assert_close(delta, 0.75 * a[site] + 0.25 * b[site], **CLOSE)
    assert model.adapters_config.get("mean").r == 9
    assert all(module.lora_A.shape[0] == 9 for _, module in projections(model, "mean"))


def test_a_mean_by_svd_of_less_rank_is_the_nearest_of_that_rank():
    model = alike("lora[r=4,alpha=5]")
    model.average_adapter("mean", ["a", "b"], combine_strategy="lora_delta_w_svd", svd_rank=3)
    a, b = deltas(model, "a"), deltas(model, "b")
    for site, delta in deltas(model, "mean").items():
        whole = (a[site] + b[site]) / 2
        lost = torch.linalg.svdvals(whole)[3:].square().sum().sqrt()  # Eckart and Young
        assert lost > 0.1
        torch.testing.assert_close(torch.dist(whole, delta), lost, **CLOSE)


def test_a_mean_by_svd_can_go_on_training_in_every_direction():
    model = alike("lora[r=2]")
    model.average_adapter("mean", ["a", "b"], combine_strategy="lora_delta_w_svd", svd_rank=9)
    for _, module in projections(model, "mean"):
        length = module.lora_A.detach().norm(dim=1)
        torch.testing.assert_close(length, torch.ones(9))  # so B gets gradients


def test_what_is_over_with_training_may_differ():
    model = tiny()
    same = {"r": 2, "attn_matrices": ["k"]}
    configs = {
        "a": LoRAConfig(dropout=0.3, init_weights_seed=1, **same),
        "b": LoRAConfig(init_weights="bert", **same),
    }
    made(configs, model)
    model.average_adapter("mean", ["a", "b"])
    assert model.adapters_config.get("mean") == configs["a"]
    made({"v": "vera[r=2,vera_b=0.1]", "w": "vera[r=2,vera_d=0.9]"}, model)
    model.average_adapter("vera", ["v", "w"])


def test_dense_and_diagonal_matrices_of_vera_average():
    model = alike("vera[r=3]")
    module = model.transformer.layer[0].attention.q_lin.loras["b"]
    dense = torch.randn(3, 3, generator=torch.Generator().manual_seed(2))
    assert module.take("vera_D", dense)
    model.average_adapter("mean", ["a", "b"])
    slot = model.transformer.layer[0].attention.q_lin.loras
    wanted = (torch.diag(slot["a"].vera_D) + dense) / 2
    torch.testing.assert_close(slot["mean"].vera_D.data, wanted.data)
    assert torch.isfinite(outputs(model, "mean")).all()


def test_what_a_method_never_trains_stays_frozen_in_the_mean():
    model = alike("vera[r=3]")
    model.average_adapter("mean", ["a", "b"])
    assert not model.shared_parameters["mean"].lora_A.requires_grad
    model.train_adapter("mean")
    assert not model.shared_parameters["mean"].lora_A.requires_grad
    assert model.transformer.layer[0].attention.q_lin.loras["mean"].vera_D.requires_grad


@pytest.mark.diverges("adapters 1.3.0: the mean of orthonormal matrices is none")
@pytest.mark.parametrize("rank", [1, 3, 24, 30])
def test_the_mean_of_orthonormal_projections_is_the_nearest_orthonormal_one(rank):
    model = alike(f"loreft[r={rank}]")  # the width is 24
    for name in "ab":  # turned away from the base, as after training
        for unit in units(model, name):
            torch.nn.init.normal_(unit.projection.parametrizations["weight"].original, std=0.5)
    model.average_adapter("mean", ["a", "b"], [2, 1])
    for a, b, mean in zip(*(units(model, n) for n in ("a", "b", "mean")), strict=True):
        weight = mean.projection.weight.detach()
        short = min(weight.shape)
        gram = weight @ weight.T if rank <= 24 else weight.T @ weight
        torch.testing.assert_close(gram, torch.eye(short), **CLOSE)
        # the polar factor: what takes it to the mean is symmetric, and never turns back
        total = (2 * a.projection.weight + b.projection.weight).detach() / 3
        inner = total @ weight.T if rank <= 24 else weight.T @ total
        torch.testing.assert_close(inner, inner.T, **CLOSE)
        assert torch.linalg.eigvalsh(inner).min() > 0
        source = (2 * a.learned_source.weight + b.learned_source.weight) / 3
        torch.testing.assert_close(mean.learned_source.weight, source)


def units(model, name):
    return [unit for block in model.transformer.layer for unit in block.reft_layer.slot[name].units]


def test_a_mean_has_the_dtype_of_the_model_and_is_rounded_once():
    model = alike("double_seq_bn[reduction_factor=4]", "abc", tiny().to(torch.bfloat16))
    model.average_adapter("mean", ["a", "b", "c"])
    each = [weights(model, name) for name in "abc"]
    for key, tensor in weights(model, "mean").items():
        exact = sum(one[key].double() for one in each) / 3
        assert tensor.dtype == torch.bfloat16
        torch.testing.assert_close(tensor, exact.to(torch.bfloat16))


def test_a_mean_takes_modules_and_not_merged_weights():
    model = alike("lora[r=3]")
    before = weights(model, "a")
    model.average_adapter("before", ["a", "b"])
    model.merge_adapter("a")
    model.average_adapter("mean", ["a", "b"])
    model.reset_adapter()
    torch.testing.assert_close(weights(model, "mean"), weights(model, "before"), rtol=0, atol=0)
    torch.testing.assert_close(weights(model, "a"), before, rtol=0, atol=0)


def test_a_mean_may_take_the_name_of_what_goes_into_it():
    model = alike("seq_bn")
    model.average_adapter("mean", ["a", "b"])
    model.average_adapter("a", ["a", "b"], overwrite_ok=True, set_active=True)
    torch.testing.assert_close(weights(model, "a"), weights(model, "mean"), rtol=0, atol=0)
    assert model.active_adapters.flatten() == {"a"}


def test_a_mean_draws_nothing_from_the_global_generator():
    model = alike("loreft")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    model.average_adapter("mean", ["a", "b"])
    assert torch.equal(torch.rand(3), wanted)


def test_a_prompt_that_began_as_a_text_averages_without_its_tokenizer(tiny_vocab):
    model = tiny(vocab_size=200)
    model.config.tokenizer_name_or_path = str(tiny_vocab.parent)
    config = PromptTuningConfig(
        prompt_length=4, prompt_init="from_string", prompt_init_text="the cat"
    )
    alike(config, model=model)
    model.config.tokenizer_name_or_path = None
    model.average_adapter("mean", ["a", "b"])
    a, b = weights(model, "a"), weights(model, "b")
    for key, tensor in weights(model, "mean").items():
        torch.testing.assert_close(tensor, (a[key] + b[key]) / 2)
    assert model.adapters_config.get("mean") == config


CONFIGS = {
    "seq": "seq_bn",
    "seq8": "seq_bn[reduction_factor=8]",
    "lora": "lora",
    "lora2": "lora",
    "r4": "lora[r=4]",
    "dora": "dora",
    "ia3": "ia3",
    "vera": "vera",
    "mtl": "mtl_lora",
    "gated": "lora[use_gating=True]",
    "prefix3": "prefix_tuning_flat[prefix_length=3]",
    "prefix2": "prefix_tuning_flat[prefix_length=2]",
    "made": "prefix_tuning[prefix_length=3,bottleneck_size=4]",
    "union": "lora|seq_bn",
    "reft": "loreft",
}
NEGATE_B, SVD = "lora_linear_only_negate_b", "lora_delta_w_svd"


@pytest.mark.parametrize(
    ("adapters", "options", "message"),
    [
        ([], {}, r"adapter_list is \[\]"),
        ("lora", {}, "adapter_list is 'lora'"),
        (["lora", "none"], {}, "no adapter 'none'"),
        (["lora", ["seq"]], {}, r"adapter_list is \['lora', \['seq'\]\]"),
        (["seq", "seq8"], {}, "differ in reduction_factor: 16 and 8"),
        (["lora", "seq"], {}, "differ in method: 'lora' and 'bottleneck'"),
        (["lora", "vera"], {}, "differ in vera_d: None and 0.1"),
        (["lora", "union"], {}, r"'lora\|bottleneck'"),
        (["lora", "r4"], {}, "differ in r: 8 and 4"),
        (["prefix3", "prefix2"], {}, "differ in prefix_length: 3 and 2"),
        (["prefix3", "made"], {}, "differ in flat: True and False"),
        (["lora", "lora2"], {"weights": [1]}, "names 2; give one for each"),
        (["lora", "lora2"], {"weights": [1, "1"]}, "weights hold '1'"),
        (["lora", "lora2"], {"weights": [1, math.nan]}, "weights hold nan"),
        (["lora", "lora2"], {"weights": [1, True]}, "weights hold True"),
        (["lora", "lora2"], {"weights": [1, -1]}, "whose sum is 0"),
        ({"lora": 1, "lora2": 0}, {"weights": [1, 1]}, "given twice"),
        (["lora"], {"combine_strategy": "ties"}, "combine_strategy is 'ties'; allowed: linear, "),
        (["lora"], {"combine_strategy": SVD}, "svd_rank is None"),
        (["lora"], {"svd_rank": 4}, "none with the others"),
        (["lora"], {"combine_strategy": SVD, "svd_rank": 0}, "svd_rank is 0; allowed: .* 1 to 24"),
        (["lora"], {"combine_strategy": SVD, "svd_rank": 25}, "svd_rank is 25; .* 1 to 24"),
        (["lora"], {"combine_strategy": SVD, "svd_rank": 2.0}, "svd_rank is 2.0"),
        (["lora"], {"combine_strategy": SVD, "svd_rank": 10**12}, "svd_rank is 1000000000000"),
        (["seq"], {"combine_strategy": NEGATE_B}, "these are bottleneck; use 'linear'"),
        (["union"], {"combine_strategy": NEGATE_B}, "these are unions; use 'linear'"),
        (["reft"], {"combine_strategy": SVD, "svd_rank": 2}, "these are reft"),
        (["dora"], {"combine_strategy": SVD, "svd_rank": 2}, "DoRA trains lengths"),
        (["vera"], {"combine_strategy": NEGATE_B}, "VeRA trains vectors"),
        (["mtl"], {"combine_strategy": NEGATE_B}, "tasks have matrices"),
        (["gated"], {"combine_strategy": SVD, "svd_rank": 2}, "gates are neither"),
        (["ia3"], {"combine_strategy": SVD, "svd_rank": 2}, "no product of A and B"),
    ],
)
def test_what_has_no_mean_is_refused_and_changes_nothing(adapters, options, message):
    model = made(CONFIGS)
    before = snapshot(model)
    with pytest.raises(AdapterError, match=message):
        model.average_adapter("mean", adapters, **options)
    assert_unchanged(model, before)


def test_names_that_are_taken_or_bound_are_refused_and_change_nothing():
    model = made({"a": "seq_bn", "d": "seq_bn", "b": "double_seq_bn", "c": "double_seq_bn"})
    model.add_adapter_fusion(["a", "d"])
    before = snapshot(model)
    for name, overwrite, message in (
        ("a", False, "already has an adapter 'a'"),
        ("a", True, "fusion must hang at the same places"),
        ("x.y", False, "no name for an adapter"),
    ):
        with pytest.raises(AdapterError, match=message):
            model.average_adapter(name, ["b", "c"], overwrite_ok=overwrite)
    assert_unchanged(model, before)


def test_what_is_active_or_fused_stays_so_where_a_mean_takes_its_place():
    model = alike("seq_bn", "abc")
    model.add_adapter_fusion(["a", "b"])
    setup = Stack("c", Fuse("a", "b"))
    model.set_active_adapters(setup, skip_layers=[0])
    model.average_adapter("mean", ["b", "c"])
    for name in ("a", "c"):
        model.average_adapter(name, ["b", "c"], overwrite_ok=True)
        assert model.active_adapters == setup
        assert model.adapters_config.skip_layers == [0]
    torch.testing.assert_close(weights(model, "a"), weights(model, "mean"), rtol=0, atol=0)


def test_orthonormal_projections_that_cancel_out_are_refused():
    model = alike("loreft[r=2]", "a")
    with pytest.raises(AdapterError, match="cancel out"):
        model.average_adapter("mean", ["a", "a"], [1, -1], normalize_weights=False)
    assert "mean" not in model.adapters_config


def test_adapters_that_hang_at_other_places_are_refused():
    model = alike("lora")
    del model.transformer.layer[1].attention.q_lin.loras["b"]
    with pytest.raises(AdapterError, match="'b' has nothing at 'q' of layer 1"):
        model.average_adapter("mean", ["a", "b"])


# Ejecting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["prefix", "gated prefix", "mam", "unipelt"])
@pytest.mark.diverges("adapters 1.3.0: its configuration stays, so that its file does not load")
def test_an_ejected_prefix_says_the_same_and_is_flat(method):
    model = alike(METHODS[method], "a")
    before, config = outputs(model, "a"), model.adapters_config.get("a")
    model.eject_prefix_tuning("a")
    assert torch.equal(outputs(model, "a"), before)
    keys = {k for k in model.state_dict() if k.startswith("prefix_tuning.")}
    assert keys == {"prefix_tuning.prefix_tunings.a.self.control_trans"}
    assert model.adapters_config.get("a") == config.replace(flat=True)
    model.add_adapter("fresh", model.adapters_config.get("a"))  # as a file would be loaded
    for key, tensor in weights(model, "a").items():
        assert weights(model, "fresh")[key].shape == tensor.shape


def test_an_ejected_prefix_trains_if_it_did_before():
    model = alike(METHODS["prefix"], "a")
    model.train_adapter("a")
    model.eject_prefix_tuning("a")
    values = model.prefix_tuning.slot["a"].get_parameter("self.control_trans")
    assert values.requires_grad
    model(*batch()).last_hidden_state.sum().backward()
    assert values.grad is not None
    assert values.grad.abs().max() > 0
    frozen = alike(METHODS["prefix"], "a")
    frozen.freeze_model()
    frozen.eject_prefix_tuning("a")
    assert not any(p.requires_grad for p in frozen.prefix_tuning.parameters())


def test_a_flat_prefix_stays_and_what_has_none_is_refused():
    model = made({"a": PrefixTuningConfig(flat=True), "b": SeqBnConfig()})
    before = snapshot(model)
    model.eject_prefix_tuning("a")
    assert_unchanged(model, before)
    with pytest.raises(AdapterError, match="'b' has bottleneck, and no prefix"):
        model.eject_prefix_tuning("b")
    with pytest.raises(AdapterError, match="no adapter 'c'"):
        model.eject_prefix_tuning("c")
