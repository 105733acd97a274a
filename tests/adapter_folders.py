"""Small adapters as data, and folders of them, that several tests write and read."""

import json
import zipfile

import torch

from checkpoints import contents
from distilbert.adapters.configs import DynamicAdapterFusionConfig, SeqBnConfig
from distilbert.adapters.store import StoredAdapter, StoredFusion, StoredHead

INFO = {
    "model_type": "distilbert",
    "model_class": "DistilBertAdapterModel",
    "model_name": "",
    "hidden_size": 8,
    "note": {"by": "me"},
}
SLOT = "transformer.layer.0.output_adapters.adapters"


def bottleneck(name, down="adapter_down.0"):
    torch.manual_seed(len(name))
    return {
        f"{SLOT}.{name}.{down}.weight": torch.randn(4, 8),
        f"{SLOT}.{name}.{down}.bias": torch.randn(4),
        f"{SLOT}.{name}.adapter_up.weight": torch.randn(8, 4),
        f"{SLOT}.{name}.adapter_up.bias": torch.randn(8),
    }


def head(name="a"):
    config = {"head_type": "tagging", "num_labels": 2, "layers": 1}
    return StoredHead(name, config, dict(INFO), {f"heads.{name}.1.weight": torch.randn(2, 8)})


FIXED = StoredHead(
    None,
    None,
    {**INFO, "model_class": "DistilBertForTokenClassification", "num_labels": 2},
    {"classifier.weight": torch.ones(2, 8), "classifier.bias": torch.zeros(2)},
)


def adapter(name="a", **changes):
    values = {"config": SeqBnConfig(reduction_factor=2), "weights": bottleneck(name), "head": None}
    return StoredAdapter(name=name, info=dict(INFO), **{**values, **changes})


def fusion(name="a,b"):
    key = f"transformer.layer.0.output_adapters.adapter_fusion_layer.{name}.query.weight"
    weights = {key: torch.arange(64.0).view(8, 8)}
    return StoredFusion(name, ("a", "b"), DynamicAdapterFusionConfig(), dict(INFO), weights)


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


def equal(found, wanted):
    same(found.weights, wanted.weights)
    for field in ("name", "config", "adapters"):
        assert getattr(found, field, None) == getattr(wanted, field, None)
    assert found.info == {**wanted.info, "version": "adapters.1.3.0"}


def by_hand(folder, weights, **data):
    """A folder as another program writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": "a", "config": SeqBnConfig().to_dict(), "version": "adapters.1.3.0", **data}
    content = {key: value for key, value in content.items() if value is not ...}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    torch.save(weights, folder / "pytorch_adapter.bin")
    return folder


def zipped(folder, path, below=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents(folder).items():
            archive.writestr(below + name, data)
    return path
