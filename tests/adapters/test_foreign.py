"""Names in keys, copies of tensors, and what older versions wrote."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapter_folders import (
    SLOT,
    adapter,
    bottleneck,
    by_hand,
    fusion,
    head,
    same,
)
from distilbert.adapters.configs import (
    DynamicAdapterFusionConfig,
    LoRAConfig,
    PrefixTuningConfig,
    SeqBnInvConfig,
    VeraConfig,
)
from distilbert.adapters.store import (
    read_adapter,
    read_fusion,
    read_head,
    rename,
    split_key,
    write_adapter,
    write_fusion,
    write_head,
)
from distilbert.errors import AdapterError

# Names in keys -----------------------------------------------------------------------------------

PLACES = [
    "transformer.layer.3.attention_adapters.adapters",
    "transformer.layer.11.output_adapters.adapters",
    "transformer.layer.0.attention_adapters.adapter_fusion_layer",
    "transformer.layer.0.attention.q_lin.loras",
    "transformer.layer.0.attention.out_lin.loras",
    "transformer.layer.0.ffn.lin2.loras",
    "transformer.layer.0.reft_layer.refts",
    "transformer.layer.0.attention.prefix_tuning.prefix_gates",
    "prefix_tuning.prefix_tunings",
    "prompt_tuning.prompt_tunings",
    "invertible_adapters",
    "shared_parameters",
    "heads",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["a", "a,b", "loras", "adapters", "0", "weight"])
def test_a_name_stands_at_one_place_of_a_key(place, name):
    key = f"{place}.{name}.{name}.weight"
    assert split_key(key) == (place, name, f"{name}.weight")
    assert [*rename({key: 1}, name, "new")] == [f"{place}.new.{name}.weight"]
    assert [*rename({key: 1}, name[:-1], "new")] == [key]


@pytest.mark.parametrize(
    "key",
    [
        "transformer.layer.0.ffn.lin1.weight",
        "transformer.layer.x.output_adapters.adapters.a.bias",
        "transformer.layer.0.attention.q_lin.loras.a",
        "roberta.invertible_adapters.a.F.0.weight",
        "",
    ],
)
def test_a_key_without_such_a_place_has_no_name_and_stays(key):
    assert split_key(key) is None
    assert [*rename({key: 1}, "a", "b")] == [key]


def test_a_name_is_replaced_whole_and_not_inside_another():
    weights = {**bottleneck("a"), **bottleneck("ab"), **bottleneck("a,b")}
    found = rename(weights, "a", "c")
    same(found, {**bottleneck("ab"), **bottleneck("a,b"), **rename(bottleneck("a"), "a", "c")})
    assert {split_key(key)[1] for key in found} == {"c", "ab", "a,b"}


def test_two_adapters_do_not_become_one_by_renaming():
    with pytest.raises(AdapterError, match="cannot rename 'a' to 'b': the weights hold"):
        rename({**bottleneck("a"), **bottleneck("b")}, "a", "b")


# Copies and other forms --------------------------------------------------------------------------


def prefix(layer=None):
    place = "prefix_tuning.prefix_tunings.a.self"
    if layer is not None:
        place = f"transformer.layer.{layer}.attention.prefix_tuning.pool.prefix_tunings.a.self"
    return {f"distilbert.{place}.wte.weight": torch.arange(8.0).view(2, 4)}


@pytest.mark.parametrize("copies", [[None, 0, 1], [None], [0, 1], [1]])
def test_the_pool_of_prefixes_comes_once_wherever_it_stands(tmp_path, copies):
    weights = {key: value for layer in copies for key, value in prefix(layer).items()}
    by_hand(tmp_path, weights, config=PrefixTuningConfig().to_dict())
    same(
        read_adapter(tmp_path).weights,
        {"prefix_tuning.prefix_tunings.a.self.wte.weight": torch.arange(8.0).view(2, 4)},
    )


def test_copies_that_differ_are_refused(tmp_path):
    weights = {**prefix(0), **{key: -value for key, value in prefix(1).items()}}
    by_hand(tmp_path, weights)
    with pytest.raises(AdapterError, match=r"twice, as '.*layer\.0.*' and as '.*layer\.1.*differ"):
        read_adapter(tmp_path)


def test_the_norm_before_an_adapter_is_one_weight_here_and_two_in_a_file(tmp_path):
    norm = {f"{SLOT}.a.adapter_norm_before.{part}": torch.randn(8) for part in ("weight", "bias")}
    stored = adapter(weights={**norm, **bottleneck("a", down="adapter_down.1")})
    write_adapter(tmp_path, stored)
    held = load_file(tmp_path / "adapter.safetensors")
    for part in ("weight", "bias"):
        for name in ("adapter_norm_before", "adapter_down.0"):
            same_norm = norm[f"{SLOT}.a.adapter_norm_before.{part}"]
            assert torch.equal(held[f"distilbert.{SLOT}.a.{name}.{part}"], same_norm)
    same(read_adapter(tmp_path).weights, stored.weights)
    alone = {key: value for key, value in held.items() if "norm_before" not in key}
    save_file(alone, tmp_path / "adapter.safetensors")
    same(read_adapter(tmp_path).weights, stored.weights)


def test_vectors_of_vera_are_written_as_matrices_and_read_as_vectors(tmp_path):
    slot = "transformer.layer.0.attention.q_lin.loras.a"
    dense = torch.randn(8, 8)
    weights = {f"{slot}.vera_D": torch.randn(2), f"{slot}.vera_B": dense}
    weights |= {"shared_parameters.a.lora_A": torch.eye(2)}  # diagonal, and no vector
    write_adapter(tmp_path, adapter(config=VeraConfig(r=2), weights=weights))
    held = load_file(tmp_path / "adapter.safetensors")
    assert torch.equal(held[f"distilbert.{slot}.vera_D"], torch.diag(weights[f"{slot}.vera_D"]))
    assert torch.equal(held[f"distilbert.{slot}.vera_B"], dense)
    same(read_adapter(tmp_path).weights, weights)


def test_what_is_no_part_of_an_adapter_is_kept_so_that_a_loader_can_tell(tmp_path):
    more = {"distilbert.transformer.layer.0.ffn.lin1.weight": torch.ones(1)}
    shared = {"distilbert.prompt_tuning.base_model_embeddings.weight": torch.ones(2, 2)}
    by_hand(tmp_path, {**bottleneck("a"), **more, **shared, **bottleneck("other")})
    assert read_adapter(tmp_path).weights.keys() == {
        *bottleneck("a"),
        *bottleneck("other"),
        "transformer.layer.0.ffn.lin1.weight",
    }


def test_heads_and_fusions_of_longer_names_that_the_peer_saved_too_are_dropped(tmp_path):
    longer = {"heads.ab.1.weight": torch.ones(2, 8), "heads.b.1.weight": torch.ones(2, 8)}
    write_head(tmp_path / "h", head())
    save_file({**head().weights, **longer}, tmp_path / "h" / "model_head.safetensors")
    assert read_head(tmp_path / "h").weights.keys() == {"heads.a.1.weight", "heads.b.1.weight"}
    write_fusion(tmp_path / "f", fusion())
    both = {**fusion().weights, **fusion("a,b,c").weights}
    save_file(both, tmp_path / "f" / "model_adapter_fusion.safetensors")
    same(read_fusion(tmp_path / "f").weights, fusion().weights)


# Older versions ----------------------------------------------------------------------------------

VERSION_1 = {
    "adapter_residual_before_ln": False,
    "attention_type": "sent-lvl-dynamic",
    "invertible_adapter": {"block_type": "nice", "non_linearity": "relu", "reduction_factor": 2},
    "ln_after": False,
    "ln_before": False,
    "mh_adapter": False,
    "new_attention_norm": False,
    "non_linearity": "gelu",
    "original_ln_after": True,
    "original_ln_before": True,
    "output_adapter": True,
    "reduction_factor": 2,
    "residual_before_ln": True,
}


@pytest.mark.parametrize("kind", ["text_task", "text_lang"])
def test_version_1_is_read(tmp_path, kind):
    old = {
        key.replace(".adapters.a", f".layer_{kind}_adapters.a"): value
        for key, value in bottleneck("a").items()
    }
    old = {f"distilbert.{key}": value for key, value in old.items()}
    inverse = {"distilbert.invertible_lang_adapters.a.F.0.weight": torch.ones(2, 4)}
    if kind == "text_lang":
        old |= inverse
    by_hand(tmp_path, old, config=VERSION_1, type=kind, version=...)
    found = read_adapter(tmp_path)
    wanted = bottleneck("a")
    if kind == "text_lang":
        wanted["invertible_adapters.a.F.0.weight"] = torch.ones(2, 4)
    same(found.weights, wanted)
    assert found.config.non_linearity == "gelu_new"
    assert found.config.inv_adapter == ("nice" if kind == "text_lang" else None)
    assert found.info["type"] == kind
    write_adapter(tmp_path / "new", found)
    again = read_adapter(tmp_path / "new")
    assert again.config == found.config
    same(again.weights, wanted)


def test_a_task_adapter_that_has_an_invertible_one_keeps_it(tmp_path):
    weights = {"distilbert.invertible_adapters.a.F.0.weight": torch.ones(2, 4)}
    by_hand(tmp_path, weights, config=SeqBnInvConfig().to_dict(), type="text_task")
    assert read_adapter(tmp_path).config.inv_adapter == "nice"


@pytest.mark.parametrize(
    ("version", "alpha"), [("adapters.1.0.1", 4), ("adapters.1.1.0", 32), ("3.2.1", 32)]
)
def test_a_lora_of_versions_that_did_not_scale_is_not_scaled(tmp_path, version, alpha):
    by_hand(tmp_path, {}, config=LoRAConfig(r=4, alpha=32).to_dict(), version=version)
    assert read_adapter(tmp_path).config.alpha == alpha


def test_a_fusion_of_version_1_has_the_adapters_of_its_name(tmp_path):
    write_fusion(tmp_path, fusion())
    path = tmp_path / "adapter_fusion_config.json"
    data = json.loads(path.read_text())
    del data["adapter_names"], data["version"], data["config"]["dropout_prob"]
    path.write_text(json.dumps(data))
    found = read_fusion(tmp_path)
    assert found.adapters == ("a", "b")
    assert found.config == DynamicAdapterFusionConfig()
