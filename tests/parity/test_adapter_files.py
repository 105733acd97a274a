"""Adapter folders to and from the installed AdapterHub package."""

import json

import pytest
import torch
from adapters.composition import Fuse
from transformers import DistilBertConfig, DistilBertForSequenceClassification

import adapters
from distilbert.adapters.store import (
    read_adapter,
    read_fusion,
    read_head,
    read_setup,
    write_adapter,
    write_fusion,
    write_head,
    write_setup,
)

SIZES = {
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
}
NAME = "sst-2"
Bn = adapters.BnConfig
CONFIGS = {
    "seq_bn": "seq_bn",
    "double_seq_bn": "double_seq_bn",
    "par_bn": "par_bn",
    "scaled_par_bn": "scaled_par_bn",
    "seq_bn_inv": "seq_bn_inv",
    "glow": adapters.SeqBnConfig(inv_adapter="glow", inv_adapter_reduction_factor=2),
    "norms": adapters.SeqBnConfig(ln_before=True, ln_after=True),
    "norm of PHM": adapters.CompacterPlusPlusConfig(ln_before=True, reduction_factor=2),
    "left out": adapters.SeqBnConfig(leave_out=[0], reduction_factor={"1": 8, "default": 4}),
    "gated": adapters.SeqBnConfig(use_gating=True),
    "AdapterPlus": adapters.AdapterPlusConfig(stochastic_depth=0.0, reduction_factor=4),
    "compacter": "compacter[reduction_factor=2]",
    "shared W": adapters.CompacterConfig(shared_W_phm=True, reduction_factor=2),
    "unshared rule": adapters.CompacterConfig(shared_phm_rule=False, reduction_factor=2),
    "prefix_tuning": "prefix_tuning[bottleneck_size=8]",
    "prefix_tuning_flat": "prefix_tuning_flat",
    "gated prefix": adapters.PrefixTuningConfig(
        bottleneck_size=8, use_gating=True, shared_gating=False
    ),
    "prompt_tuning": "prompt_tuning",
    "lora": "lora",
    "lora everywhere": adapters.LoRAConfig(
        attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True, r=4, alpha=16
    ),
    "dora": "dora",
    "ia3": "ia3",
    "vera": "vera",
    "dvora": "dvora",
    "mtl_lora": "mtl_lora",
    "loreft": "loreft",
    "noreft": "noreft",
    "direft": "direft",
    "mam": "mam",
    "unipelt": "unipelt",
}
OURS_ALONE = {
    "subtract_projection",
    "random_uniform_scale",
}  # settings that the peer does not write


def theirs(*configs, name=NAME, seed=0):
    """A model with adapters of random weights; the first is called `name`."""
    torch.manual_seed(seed)
    model = adapters.DistilBertAdapterModel(DistilBertConfig(**SIZES))
    for number, config in enumerate(configs):
        model.add_adapter(name if number == 0 else f"{name}{number}", config=config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if name in key:
                parameter.normal_()
    return model


def adapter_state(model, name=NAME):
    return {key: value for key, value in model.state_dict().items() if f".{name}." in key}


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


def known_here(config):
    """A file's settings without those that the peer does not have."""
    if not isinstance(config, dict):
        return config
    parts = [known_here(part) for part in config.get("configs", [])]
    plain = {key: value for key, value in config.items() if key not in OURS_ALONE}
    return plain | ({"configs": parts} if parts else {})


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("method", CONFIGS)
def test_an_adapter_survives_the_way_from_the_peer_through_us_and_back(tmp_path, method, safe):
    model = theirs(CONFIGS[method])
    model.save_adapter(str(tmp_path / "theirs"), NAME)
    stored = read_adapter(tmp_path / "theirs")
    assert (stored.name, stored.head) == (NAME, None)
    assert stored.info["hidden_size"] == SIZES["dim"]
    write_adapter(tmp_path / "ours" / "nested", stored, safe=safe)

    fresh = theirs(seed=1)
    fresh.load_adapter(str(tmp_path / "ours" / "nested"), use_safetensors=safe)
    same(adapter_state(fresh), adapter_state(model))
    first, second = (
        json.loads((folder / "adapter_config.json").read_text())
        for folder in (tmp_path / "theirs", tmp_path / "ours" / "nested")
    )
    assert known_here(second.pop("config")) == first.pop("config")
    assert second == first


@pytest.mark.parametrize("method", CONFIGS)
def test_what_we_wrote_we_read_again(tmp_path, method):
    theirs(CONFIGS[method]).save_adapter(str(tmp_path / "theirs"), NAME)
    stored = read_adapter(tmp_path / "theirs")
    write_adapter(tmp_path / "ours", stored)
    again = read_adapter(tmp_path / "ours")
    same(again.weights, stored.weights)
    assert (again.name, again.config, again.info) == (stored.name, stored.config, stored.info)


def test_each_tensor_of_a_file_comes_once_and_without_the_prefix(tmp_path):
    theirs("unipelt").save_adapter(str(tmp_path), NAME)
    held = torch.load(tmp_path / "pytorch_adapter.bin", weights_only=True)
    weights = read_adapter(tmp_path).weights
    copies = [key for key in held if ".pool." in key]
    assert len(weights) == len(held) - len(copies)
    assert not any(key.startswith("distilbert.") or ".pool." in key for key in weights)


def test_vectors_of_vera_are_vectors_unless_they_were_trained_beside_the_diagonal(tmp_path):
    model = theirs("vera")
    key = f"distilbert.transformer.layer.0.attention.q_lin.loras.{NAME}.vera_B"
    with torch.no_grad():
        diagonal = torch.randn(32)
        model.get_parameter(key).copy_(torch.diag(diagonal))
    model.save_adapter(str(tmp_path), NAME)
    weights = read_adapter(tmp_path).weights
    assert torch.equal(weights[key.removeprefix("distilbert.")], diagonal)
    other = key.removeprefix("distilbert.").replace("q_lin", "v_lin")
    assert weights[other].shape == (32, 32)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_a_fusion_survives_the_way_from_the_peer_through_us_and_back(tmp_path, kind, safe):
    model = theirs("seq_bn", "seq_bn", "seq_bn")
    names = [NAME, f"{NAME}1"]
    model.add_adapter_fusion(names, kind)
    model.add_adapter_fusion([*names, f"{NAME}2"], kind)  # its name starts with that of the first
    fusion = ",".join(names)
    model.save_adapter_fusion(str(tmp_path / "theirs"), names)
    stored = read_fusion(tmp_path / "theirs")
    assert (stored.name, stored.adapters) == (fusion, tuple(names))
    assert all(f".{fusion}." in key for key in stored.weights)
    write_fusion(tmp_path / "ours", stored, safe=safe)

    fresh = theirs("seq_bn", "seq_bn", "seq_bn", seed=1)
    fresh.load_adapter_fusion(str(tmp_path / "ours"), use_safetensors=safe)
    same(adapter_state(fresh, fusion), adapter_state(model, fusion))
    first, second = (
        json.loads((tmp_path / place / "adapter_fusion_config.json").read_text())
        for place in ("theirs", "ours")
    )
    assert second == first


@pytest.mark.parametrize("safe", [True, False])
def test_a_flexible_head_survives_the_way_from_the_peer_through_us_and_back(tmp_path, safe):
    model = theirs("seq_bn")
    for name in (NAME, f"{NAME}1"):  # the peer saves both as one
        model.add_classification_head(name, num_labels=3)
    model.save_adapter(str(tmp_path / "theirs"), NAME)
    stored = read_adapter(tmp_path / "theirs")
    assert stored.head.name == NAME
    assert stored.head.config["num_labels"] == 3
    assert {key.split(".")[1] for key in stored.head.weights} == {NAME}
    write_adapter(tmp_path / "ours", stored, safe=safe)

    fresh = theirs(seed=1)
    fresh.load_adapter(str(tmp_path / "ours"), use_safetensors=safe)
    same(adapter_state(fresh), adapter_state(model))
    assert json.loads((tmp_path / "ours" / "head_config.json").read_text()) == json.loads(
        (tmp_path / "theirs" / "head_config.json").read_text()
    )


@pytest.mark.parametrize("safe", [True, False])
def test_the_head_of_a_fixed_class_survives_the_way_through_us_and_back(tmp_path, safe):
    torch.manual_seed(0)
    model = DistilBertForSequenceClassification(DistilBertConfig(**SIZES, num_labels=3))
    adapters.init(model)
    model.save_head(str(tmp_path / "theirs"))
    stored = read_head(tmp_path / "theirs")
    assert (stored.name, stored.config, stored.info["num_labels"]) == (None, None, 3)
    write_head(tmp_path / "ours", stored, safe=safe)
    torch.manual_seed(1)
    fresh = DistilBertForSequenceClassification(DistilBertConfig(**SIZES, num_labels=3))
    adapters.init(fresh)
    fresh.load_head(str(tmp_path / "ours"), use_safetensors=safe)
    heads = [
        {key: value for key, value in one.state_dict().items() if "classifier" in key}
        for one in (fresh, model)
    ]
    same(*heads)


def test_a_setup_survives_the_way_from_the_peer_through_us_and_back(tmp_path):
    model = theirs("seq_bn", "seq_bn")
    names = [NAME, f"{NAME}1"]
    setup = Fuse(*names)
    model.add_adapter_fusion(setup)
    model.add_classification_head("h")
    model.save_adapter_setup(str(tmp_path / "theirs"), setup, head_setup="h")
    stored = read_setup(tmp_path / "theirs")
    assert stored == (setup.to_dict(), "h", tuple(names), (",".join(names),), ("h",))

    ours = tmp_path / "ours"
    write_setup(ours, stored.adapter_setup, stored.head_setup)
    for name in stored.adapters:
        write_adapter(ours / name, read_adapter(tmp_path / "theirs", subfolder=name))
    for name in stored.fusions:
        write_fusion(ours / name, read_fusion(tmp_path / "theirs", subfolder=name))
    for name in stored.heads:
        write_head(ours / name, read_head(tmp_path / "theirs", subfolder=name))
    fresh = theirs(seed=1)
    fresh.load_adapter_setup(str(ours), use_safetensors=True, set_active=True)
    assert fresh.active_adapters == setup
    for name in (*names, ",".join(names), "h"):
        same(adapter_state(fresh, name), adapter_state(model, name))
