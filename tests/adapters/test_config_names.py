"""All the ways to name a configuration of an adapter: presets, the language, files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.adapters import configs
from distilbert.adapters.configs import (
    ADAPTER_CONFIG_MAP,
    AdapterConfig,
    AdapterFusionConfig,
    ConfigUnion,
    DynamicAdapterFusionConfig,
    LoRAConfig,
    MAMConfig,
    ParBnConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
    SeqBnInvConfig,
    StaticAdapterFusionConfig,
    UniPELTConfig,
    preset_name,
    resolve,
    resolve_fusion,
)
from distilbert.errors import AdapterError, FileError


def answer(call, *args, **kwargs):
    """What the call returns, or the message of its AdapterError."""
    try:
        return call(*args, **kwargs)
    except AdapterError as error:
        return str(error)


def test_none_is_the_default():
    assert resolve() == resolve(None) == SeqBnConfig()
    assert resolve(None, reduction_factor=8) == SeqBnConfig(reduction_factor=8)
    assert resolve_fusion() == DynamicAdapterFusionConfig()


def test_every_preset_has_a_name_and_old_names_are_the_same():
    for name, config in ADAPTER_CONFIG_MAP.items():
        assert resolve(name) is config
        assert ADAPTER_CONFIG_MAP[preset_name(config)] is config
    assert preset_name(resolve("pfeiffer")) == "seq_bn"
    assert preset_name(resolve("houlsby+inv")) == "double_seq_bn_inv"
    assert preset_name(AdapterConfig.from_dict(UniPELTConfig().to_dict())) == "unipelt"
    assert preset_name(LoRAConfig(r=4)) is None
    assert preset_name(DynamicAdapterFusionConfig()) == "dynamic"
    with pytest.raises(TypeError):
        ADAPTER_CONFIG_MAP["mine"] = LoRAConfig()


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("lora[r=16,alpha=32]", LoRAConfig(r=16, alpha=32)),
        (" lora [ r = 16 ] ", LoRAConfig(r=16)),
        ("lora[]", LoRAConfig()),
        ("compacter++[phm_dim=2]", configs.CompacterPlusPlusConfig(phm_dim=2)),
        ("seq_bn_inv[inv_adapter=None]", SeqBnInvConfig(inv_adapter=None)),
        ("prefix_tuning[flat=true]", PrefixTuningConfig(flat=True)),
        ("par_bn[scaling='learned',dropout=.5]", ParBnConfig(scaling="learned", dropout=0.5)),
        ("seq_bn[leave_out=[0, 1]]", SeqBnConfig(leave_out=[0, 1])),
        ("lora[vera_d=null]", LoRAConfig()),
        (
            'seq_bn[reduction_factor={"1":8,"default":16}]',
            SeqBnConfig(reduction_factor={"1": 8, "default": 16}),
        ),
        ("seq_bn[reduction_factor={1: 8}]", SeqBnConfig(reduction_factor={"1": 8})),
        (
            "prompt_tuning[prompt_init='from_string',prompt_init_text='a] | b=c, \"d']",
            PromptTuningConfig(prompt_init="from_string", prompt_init_text='a] | b=c, "d'),
        ),
        ("lora|seq_bn[dropout=0.1]", ConfigUnion(LoRAConfig(), SeqBnConfig(dropout=0.1))),
        (
            "mam[prefix_length=5]",
            MAMConfig(PrefixTuningConfig(prefix_length=5, bottleneck_size=800)),
        ),
    ],
)
def test_the_language_says_what_it_means(text, config):
    assert resolve(text) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loar", r"'loar' is no configuration, and no file; allowed: seq_bn, .* mean 'lora'\?"),
        ("LoRA", r"did you mean 'lora'\?"),
        ("lora|adalora", "'adalora' is no configuration"),
        ("no/such/file.json", "'no/such/file.json' is no configuration, and no file"),
        ("lora[rank=3]", "LoRAConfig has no setting 'rank'"),
        ("lora[r=0]", "r is 0; allowed: a whole number of at least 1"),
        ("seq_bn[non_linearity=gelu]", "gelu is no value; text stands in quotes, as 'gelu'"),
        ("lora[16]", "write each setting as name=value"),
        ("lora[**{'r': 1}]", "write each setting once, as name=value"),
        ("lora[r=1,r=2]", "write each setting once"),
        ("lora[r=1)+_(r=2]", "write each setting as name=value"),
        ("lora[r=open('x')]", "cannot be read"),
        ("lora[r=1 #]", "cannot be read"),
        ("lora[r=", "cannot be read at 'lora"),
        ("lora[r=1]x", "cannot be read at"),
        ("lora|", "cannot be read at ''"),
        ("", "'' cannot be read at ''"),
        ("lora[r=" + "[" * 5000 + "]" * 4000 + "]", "cannot be read"),
        ("lora[r=" + "-" * 9000 + "1]", "cannot be read|r is "),
        ("lora" * 3000, "has over 10,000 characters"),
        ("mam|lora", "a union holds .* a MAMConfig; allowed: configurations of single methods"),
    ],
)
def test_the_language_refuses_what_it_cannot_read(text, message):
    with pytest.raises(AdapterError, match=message):
        resolve(text)


@given(st.text("lora[]{}()|='\"\\,0r \n\0", max_size=30))
def test_no_text_crashes_the_language(text):
    found = answer(resolve, text)
    assert "; allowed: " in found if isinstance(found, str) else text.strip()[:4] == "lora"


def test_a_file_names_a_configuration(tmp_path):
    config = LoRAConfig(r=4)
    alone, folder = tmp_path / "lora.json", tmp_path / "adapter_config.json"
    alone.write_text(json.dumps(config.to_dict()))
    folder.write_text(json.dumps({"config": config.to_dict(), "version": "adapters.1.3.0"}))
    for path in (alone, folder, str(alone), str(folder)):
        assert resolve(path) == AdapterConfig.load(path) == config
    assert resolve(alone, alpha=2) == config.replace(alpha=2)
    alone.write_text(json.dumps({"config": "pfeiffer"}))
    assert resolve(alone) == SeqBnConfig()
    alone.write_text(json.dumps({"config": str(folder)}))
    with pytest.raises(AdapterError, match="is no configuration, and no file"):
        resolve(alone)  # no file leads to another
    alone.write_text(json.dumps({**config.to_dict(), "r": -1}))
    with pytest.raises(AdapterError, match=r"lora\.json': LoRAConfig: r is -1"):
        resolve(alone)
    with pytest.raises(FileError, match="there is no file"):
        resolve(tmp_path / "none.json")
    alone.write_text("[]")
    with pytest.raises(FileError, match="JSON array"):
        resolve(alone)


def test_other_things_are_no_configurations():
    for thing in (5, b"lora", ["lora"], LoRAConfig):
        with pytest.raises(AdapterError, match="allowed for a configuration: None, a name"):
            resolve(thing)
    with pytest.raises(AdapterError, match="give it to add_adapter_fusion"):
        resolve(DynamicAdapterFusionConfig())


def test_loading_lays_overrides_over_and_passes_by_none():
    assert AdapterConfig.load("seq_bn", reduction_factor=8) == SeqBnConfig(reduction_factor=8)
    assert AdapterConfig.load("seq_bn", reduction_factor=None) == SeqBnConfig()
    assert resolve("seq_bn_inv", inv_adapter=None) == SeqBnInvConfig(inv_adapter=None)
    config = LoRAConfig(r=2)
    assert AdapterConfig.load(config) is config
    with pytest.raises(AdapterError, match="has no setting 'reduction'"):
        AdapterConfig.load("lora", reduction=2)


def test_fusions_are_named_and_read_as_well(tmp_path):
    path = tmp_path / "adapter_fusion_config.json"
    path.write_text(json.dumps({"config": StaticAdapterFusionConfig().to_dict()}))
    for given_ in (
        "static",
        path,
        str(path),
        StaticAdapterFusionConfig(),
        StaticAdapterFusionConfig().to_dict(),
    ):
        assert resolve_fusion(given_) == StaticAdapterFusionConfig()
    warm = DynamicAdapterFusionConfig(temperature=True)
    assert resolve_fusion("dynamic[temperature=true]") == warm
    assert AdapterFusionConfig.load("dynamic", temperature=True) == warm
    with pytest.raises(AdapterError, match=r"'seq_bn' is no configuration.* static, dynamic"):
        resolve_fusion("seq_bn")
    with pytest.raises(AdapterError, match="a fusion configuration lacks"):
        resolve_fusion({"key": True})
    with pytest.raises(AdapterError, match="allowed: configurations of single methods"):
        resolve_fusion("static|dynamic")
    with pytest.raises(AdapterError, match="architecture is 'lora'; allowed for a AdapterFusion"):
        resolve_fusion(LoRAConfig())
