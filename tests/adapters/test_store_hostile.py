"""Damaged and malicious adapter files: one clear error each, and nothing changed."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from adapter_folders import FIXED, adapter, bottleneck, by_hand, fusion, head
from checkpoints import contents
from distilbert.adapters.composition import Fuse, Stack
from distilbert.adapters.configs import (
    LoRAConfig,
    PrefixTuningConfig,
    SeqBnConfig,
    SeqBnInvConfig,
    UniPELTConfig,
)
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
from distilbert.errors import AdapterError, DistilBertError, FileError

NAMES = ["../x", "a/b", "a\\b", "..", ".", "a.b", "", "x\0y", "a\nb", "\ud800", "ä" * 128, None, 7]


def changed(path, **values):
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **values}))


def refused(read, folder, message, kind=AdapterError):
    before = contents(folder)
    with pytest.raises(kind, match=message) as error:
        read(folder)
    assert contents(folder) == before
    assert str(folder) in str(error.value)


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, ["a"], {"a": 1}], ids=repr)
def test_a_name_that_no_folder_can_have_is_refused(tmp_path, name):
    write_adapter(tmp_path / "adapter", adapter())
    write_head(tmp_path / "head", head())
    write_fusion(tmp_path / "fusion", fusion())
    write_fusion(tmp_path / "other", fusion())
    changed(tmp_path / "adapter" / "adapter_config.json", name=name)
    changed(tmp_path / "head" / "head_config.json", name=name)
    changed(tmp_path / "fusion" / "adapter_fusion_config.json", name=name)
    changed(tmp_path / "other" / "adapter_fusion_config.json", adapter_names=["a", name])
    refused(read_adapter, tmp_path / "adapter", r"adapter_config\.json' names")
    refused(read_head, tmp_path / "head", r"head_config\.json' names")
    refused(read_fusion, tmp_path / "fusion", r"adapter_fusion_config\.json' names")
    refused(read_fusion, tmp_path / "other", r"under 'adapter_names', names")


@pytest.mark.parametrize("name", ["ä" * 127, "a,b", "sst-2", "日本", "a b", "keys", "-"])
def test_other_names_are_names(tmp_path, name):
    write_adapter(tmp_path, adapter(name))
    assert read_adapter(tmp_path).name == name


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "", "\0"])
def test_a_setup_leads_into_no_other_folder(tmp_path, name):
    inner = tmp_path / "inner"
    write_setup(inner, Stack("a").to_dict())
    write_adapter(tmp_path / "x", adapter())
    for setup in (
        {"type": "Stack", "children": [{"type": "single", "children": [name]}]},
        {**Fuse("a", "b").to_dict(), "kwargs": {"name": name}},
    ):
        changed(inner / "adapter_setup.json", adapter_setup=setup)
        refused(read_setup, inner, "no setup|names")
    changed(inner / "adapter_setup.json", adapter_setup=Stack("a").to_dict(), head_setup=[name])
    refused(read_setup, inner, "under 'head_setup', names")


# Settings ----------------------------------------------------------------------------------------

NUMBERS = {
    "a huge rank": (LoRAConfig(), {"r": 10**9}, "says r 1000000000; allowed: at most 16384"),
    "a huge rank of one module": (
        LoRAConfig(),
        {"rank_pattern": {"transformer.layer.0.attention.q_lin": 10**9}},
        "says rank_pattern 1000000000",
    ),
    "a long prefix": (PrefixTuningConfig(), {"prefix_length": 10**8}, "says prefix_length"),
    "a wide bottleneck": (SeqBnConfig(), {"reduction_factor": 1e-9}, "says reduction_factor"),
    "a wide bottleneck somewhere": (
        SeqBnConfig(),
        {"reduction_factor": {"1": 1e-9, "default": 16}},
        "says reduction_factor 1e-09; allowed: at least 0.0625",
    ),
    "a wide invertible": (
        SeqBnInvConfig(),
        {"inv_adapter_reduction_factor": 1e-9},
        "says inv_adapter_reduction_factor",
    ),
    "infinity": (LoRAConfig(), {"alpha": float("inf")}, "says alpha inf; allowed: a number"),
    "no number": (LoRAConfig(), {"alpha": float("nan")}, "says alpha nan"),
    "a number without end": (LoRAConfig(), {"alpha": 10**400}, "says alpha 1000"),
    "depths": (SeqBnConfig(), {"more": json.loads("[" * 30 + "]" * 30)}, "nests too deeply"),
}


@pytest.mark.parametrize("what", NUMBERS)
def test_numbers_that_would_take_all_memory_are_refused(tmp_path, what):
    config, change, message = NUMBERS[what]
    by_hand(tmp_path, bottleneck("a"), config={**config.to_dict(), **change})
    refused(read_adapter, tmp_path, message)


def test_they_are_refused_within_a_union_too(tmp_path):
    config = UniPELTConfig().to_dict()
    config["configs"][2]["r"] = 10**9
    by_hand(tmp_path, bottleneck("a"), config=config)
    refused(read_adapter, tmp_path, "says r 1000000000")


@pytest.mark.parametrize(
    ("name", "most"), [("num_labels", 2**16), ("num_choices", 2**10), ("vocab_size", 2**20)]
)
def test_heads_of_impossible_sizes_are_refused(tmp_path, name, most):
    write_head(tmp_path, head())
    for size in (most, most + 1):
        changed(tmp_path / "head_config.json", config={**head().config, name: size})
        if size > most:
            refused(read_head, tmp_path, f"says {name} {size}; allowed: at most {most}")
        else:
            assert read_head(tmp_path).config[name] == most
    write_head(tmp_path, FIXED)
    changed(tmp_path / "head_config.json", num_labels=10**9)
    refused(read_head, tmp_path, "says num_labels 1000000000")


@pytest.mark.parametrize("config", [None, 3, "lora", [], True])
def test_settings_that_are_none_are_refused(tmp_path, config):
    write_adapter(tmp_path / "a", adapter(head=head()))
    write_fusion(tmp_path / "f", fusion())
    changed(tmp_path / "a" / "adapter_config.json", config=config)
    changed(tmp_path / "f" / "adapter_fusion_config.json", config=config)
    refused(read_adapter, tmp_path / "a", "says config .*an object with the settings")
    refused(read_fusion, tmp_path / "f", "says config .*an object with the settings")
    if config is not None:
        changed(tmp_path / "a" / "head_config.json", config=config)
        refused(read_head, tmp_path / "a", "says config .*or null")


def test_settings_that_cannot_work_name_the_file(tmp_path):
    by_hand(tmp_path, bottleneck("a"), config={**SeqBnConfig().to_dict(), "dropout": "much"})
    refused(read_adapter, tmp_path, "dropout is 'much'")
    by_hand(tmp_path, bottleneck("a"), config={"architecture": "magic"})
    refused(read_adapter, tmp_path, "architecture is 'magic'")


@pytest.mark.parametrize("kind", ["bert", "roberta", None, 3, ["distilbert"]])
def test_what_was_made_for_another_kind_of_model_is_refused(tmp_path, kind):
    write_adapter(tmp_path, adapter(head=head()))
    changed(tmp_path / "head_config.json", model_type=kind)
    refused(read_adapter, tmp_path, r"head_config\.json' is for model_type")
    changed(tmp_path / "adapter_config.json", model_type=kind)
    refused(read_adapter, tmp_path, r"adapter_config\.json' is for model_type .*'distilbert'")


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "adapter_names"), (3, "adapter_names"), ({"a": 1}, "adapter_names"), ([["a"]], "names")],
)
def test_a_fusion_of_nothing_is_refused(tmp_path, names, message):
    write_fusion(tmp_path, fusion())
    changed(tmp_path / "adapter_fusion_config.json", adapter_names=names)
    refused(read_fusion, tmp_path, message)


@pytest.mark.parametrize(
    "setup",
    [
        *(None, [], "a", {}, {"type": "Stack"}, {"type": "Heap", "children": []}),
        *({"type": "Stack", "children": 3}, {"type": ["Stack"], "children": []}),
        {"type": "Stack", "children": [{"type": "single", "children": []}]},
        {**Stack("a").to_dict(), "kwargs": {"command": "rm"}},
    ],
)
def test_a_setup_that_is_none_is_refused(tmp_path, setup):
    write_setup(tmp_path, Stack("a").to_dict())
    changed(tmp_path / "adapter_setup.json", adapter_setup=setup)
    refused(read_setup, tmp_path, "is no setup that can be used")


def test_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(FileError, match="there is no folder"):
        read_adapter(tmp_path / "nowhere")
    for read, name in [
        (read_adapter, "adapter_config"),
        (read_fusion, "adapter_fusion_config"),
        (read_head, "head_config"),
        (read_setup, "adapter_setup"),
    ]:
        with pytest.raises(FileError, match=rf"no {name}\.json in the folder"):
            read(tmp_path)
    write_adapter(tmp_path, adapter(head=head()))
    (tmp_path / "model_head.safetensors").unlink()
    refused(read_adapter, tmp_path, r"no model_head\.safetensors or", kind=FileError)
    assert read_adapter(tmp_path, with_head=False).name == "a"
    (tmp_path / "adapter.safetensors").unlink()
    refused(read_adapter, tmp_path, r"no adapter\.safetensors or pytorch_adapter", kind=FileError)


# Weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_numbers_are_refused(tmp_path, dtype):
    write_adapter(tmp_path, adapter())
    save_file({"a": torch.ones(2).to(dtype)}, tmp_path / "adapter.safetensors")
    refused(read_adapter, tmp_path, f"holds {str(dtype).removeprefix('torch.')} values")


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    weights = bottleneck("a")
    key = next(iter(weights))
    weights[key][0, 0] = float(value)
    write_adapter(tmp_path, adapter(weights=weights))
    refused(read_adapter, tmp_path, f"{key}' in .* is not finite .NaN or infinity.; the file is")


class Touch:
    """Unpickled without care, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["pytorch_adapter.bin", "pytorch_model_head.bin"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path, name):
    write_adapter(tmp_path / "a", adapter(head=head()), safe=False)
    torch.save({"a": Touch(tmp_path / "touched")}, tmp_path / "a" / name)
    refused(read_adapter, tmp_path / "a", "is not a file of plain tensors", kind=FileError)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_truncated_weights_are_refused(tmp_path, share):
    write_adapter(tmp_path, adapter())
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(read_adapter, tmp_path, "is not a whole safetensors file", kind=FileError)


# Any change --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PEFT = {
    "peft_type": "LORA",
    "target_modules": ["q_lin"],
    "layers_to_transform": None,
    "r": 2,
    "lora_alpha": 8,
    "lora_dropout": 0.0,
    "bias": "none",
    "task_type": None,
    "auto_mapping": None,
    "rank_pattern": {},
    "alpha_pattern": {"q_lin": 3},
    "init_lora_weights": True,
    "base_model_name_or_path": "",
    "modules_to_save": None,
}


def write_by_hand(folder, kind):
    """A small folder of a kind, and the function that reads it."""
    if kind == "peft":
        folder.mkdir(exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps(PEFT))
        path = "base_model.model.transformer.layer.0.attention.q_lin.lora_"
        tensors = {f"{path}A.weight": torch.ones(2, 8), f"{path}B.weight": torch.ones(8, 2)}
        save_file(tensors, folder / "adapter_model.safetensors")
        return read_adapter, folder / "adapter_config.json"
    if kind == "union":
        by_hand(folder, {}, config=UniPELTConfig().to_dict())
        return read_adapter, folder / "adapter_config.json"
    if kind == "fusion":
        write_fusion(folder, fusion())
        return read_fusion, folder / "adapter_fusion_config.json"
    if kind == "setup":
        write_setup(folder, Stack("a").to_dict(), "a")
        write_adapter(folder / "a", adapter(head=head()))
        return read_setup, folder / "adapter_setup.json"
    write_adapter(folder, adapter(head=head()))
    name = "head_config.json" if kind == "head" else "adapter_config.json"
    return read_adapter, folder / name


KINDS = ["adapter", "union", "head", "fusion", "setup", "peft"]


def loads_or_names(read, folder):
    """Whether it is read, or the error is one of ours and names the folder."""
    try:
        read(folder)
    except DistilBertError as error:
        return str(folder) in str(error)
    return True


def places(value, path=()):
    """The paths of all values inside, by keys and numbers."""
    yield path
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def put(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_value_in_any_place_is_read_or_is_one_of_our_errors(tmp_path_factory, kind, data):
    folder = tmp_path_factory.mktemp("changed")
    read, path = write_by_hand(folder, kind)
    content = json.loads(path.read_text())
    where = data.draw(st.sampled_from([*places(content)]))
    path.write_text(json.dumps(put(content, where, data.draw(JSON))))
    assert loads_or_names(read, folder)


@pytest.mark.parametrize("kind", KINDS)
@given(position=st.integers(0, 5000), byte=st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_any_changed_byte_is_read_or_is_one_of_our_errors(tmp_path_factory, kind, position, byte):
    folder = tmp_path_factory.mktemp("changed")
    read, path = write_by_hand(folder, kind)
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] = byte
    path.write_bytes(bytes(raw))
    assert loads_or_names(read, folder)
