"""Configurations of adapters: fixed, checked data, as files hold it."""

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.adapters import configs
from distilbert.adapters.configs import (
    ADAPTER_CONFIG_MAP,
    ADAPTERFUSION_CONFIG_MAP,
    NON_LINEARITIES,
    AdapterConfig,
    AdapterFusionConfig,
    AdapterPlusConfig,
    BnConfig,
    ConfigUnion,
    DynamicAdapterFusionConfig,
    IA3Config,
    LoRAConfig,
    MAMConfig,
    MTLLoRAConfig,
    ParBnConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
    SeqBnInvConfig,
    StaticAdapterFusionConfig,
    config_of_file,
    preset_name,
    resolve,
)
from distilbert.errors import AdapterError

CLASSES = [
    found
    for name in configs.__all__
    if isinstance(found := getattr(configs, name), type) and found.method and found.__name__ == name
]
SINGLE = [found for found in CLASSES if found.method != "union"]
EVERY = [
    *ADAPTER_CONFIG_MAP.values(),
    *ADAPTERFUSION_CONFIG_MAP.values(),
    AdapterPlusConfig(reduction_factor={"0": 8, "default": 0.5}, leave_out=[1, 2]),
    LoRAConfig(rank_pattern={"transformer.layer.0.attention.q_lin": 4}, use_rslora=True),
    ConfigUnion(LoRAConfig(attn_matrices=["k"]), LoRAConfig(attn_matrices=["out"])),
]
Q0 = "transformer.layer.0.attention.q_lin"


def plain(config):
    """What a file gives back of what was written to it."""
    return json.loads(json.dumps(config.to_dict()))


def answer(call, *args, **kwargs):
    """What the call returns, or the message of its AdapterError."""
    try:
        return call(*args, **kwargs)
    except AdapterError as error:
        return str(error)


# Data ------------------------------------------------------------------------------------------


def test_no_torch_is_needed():
    code = "import distilbert.adapters.configs, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_activation_exists_in_the_model():
    from distilbert.model.layers import ACTIVATIONS

    aliases = {"leakyrelu": "leaky_relu"}
    assert {aliases.get(name, name) for name in NON_LINEARITIES} == set(ACTIVATIONS)


def test_a_setting_is_an_item_and_an_attribute():
    config = LoRAConfig(r=4, attn_matrices=["q", "k"])
    assert config.r == config["r"] == config.get("r") == 4
    assert config.attn_matrices == ("q", "k")
    assert config.get("rank") is None
    assert "alpha" in config
    assert "rank" not in config
    assert set(config) == {field.name for field in fields(LoRAConfig)}
    assert len(config) == len(dict(config))
    with pytest.raises(KeyError):
        config["rank"]
    with pytest.raises(AttributeError, match="LoRAConfig has no setting 'rank'"):
        config.rank  # noqa: B018


def test_a_configuration_cannot_change():
    config = SeqBnConfig(reduction_factor={"1": 8, "default": 16}, leave_out=[2])
    with pytest.raises(FrozenInstanceError):
        config.dropout = 0.5
    with pytest.raises(FrozenInstanceError):
        config.other = 1
    with pytest.raises(FrozenInstanceError):
        del config.dropout
    with pytest.raises(TypeError):
        config["dropout"] = 0.5
    with pytest.raises(TypeError):
        config.reduction_factor["1"] = 4
    with pytest.raises(FrozenInstanceError):
        ConfigUnion(config).configs = ()


def test_given_lists_and_maps_may_change_afterwards():
    left, factors = [1], {"1": 8, "default": 16}
    config = SeqBnConfig(leave_out=left, reduction_factor=factors)
    left.append(2)
    factors["1"] = 2
    assert config == SeqBnConfig(leave_out=[1], reduction_factor={"1": 8, "default": 16})
    written = config.to_dict()
    written["leave_out"].append(3)
    assert config.leave_out == (1,)


@pytest.mark.parametrize("config", EVERY, ids=repr)
def test_copies_and_pickles_are_equal_and_hash_the_same(config):
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert hash(other) == hash(config)
        assert type(other) is type(config)
        assert repr(other) == repr(config)


@pytest.mark.parametrize("config", EVERY, ids=repr)
def test_its_text_makes_it_again(config):
    assert eval(repr(config), vars(configs).copy()) == config


def test_its_text_shows_what_differs_from_the_default():
    assert repr(SeqBnConfig()) == "SeqBnConfig()"
    assert repr(LoRAConfig(r=4, leave_out=[0])) == "LoRAConfig(leave_out=[0], r=4)"
    assert repr(MAMConfig()) == (
        "MAMConfig(PrefixTuningConfig(bottleneck_size=800), ParBnConfig())"
    )


def test_equality_is_of_method_and_content():
    seq_bn = BnConfig(False, True, 16, "relu", original_ln_before=True)
    assert seq_bn == SeqBnConfig()
    assert len({seq_bn, SeqBnConfig(), SeqBnConfig(dropout=0.1)}) == 2
    assert SeqBnConfig() != SeqBnConfig(reduction_factor=8)
    assert LoRAConfig() != MTLLoRAConfig()
    assert StaticAdapterFusionConfig() != DynamicAdapterFusionConfig()
    assert LoRAConfig() != LoRAConfig().to_dict()
    assert ConfigUnion(LoRAConfig()) != LoRAConfig()
    assert ConfigUnion(LoRAConfig(), SeqBnConfig()) != ConfigUnion(LoRAConfig())
    assert MAMConfig() == ConfigUnion(PrefixTuningConfig(bottleneck_size=800), ParBnConfig())


def test_replacing_makes_another_of_the_same_class():
    config = IA3Config()
    assert config.replace(attn_matrices=["q"]) == IA3Config(attn_matrices=["q"])
    assert type(config.replace(leave_out=[1])) is IA3Config
    assert config == IA3Config()
    assert config.replace() is config
    with pytest.raises(AdapterError, match=r"IA3Config has no setting 'aplha'.*mean 'alpha'"):
        config.replace(aplha=2)
    with pytest.raises(AdapterError, match="r is 2; allowed: 1 with composition_mode 'scale'"):
        config.replace(r=2)


def test_the_base_alone_is_no_configuration():
    with pytest.raises(AdapterError, match="allowed: the class of a method"):
        AdapterConfig()


@pytest.mark.parametrize("kind", SINGLE)
def test_every_setting_is_checked(kind):
    assert {f.name for f in fields(kind)} - {"architecture"} == set(kind._rules)


@pytest.mark.parametrize("kind", SINGLE)
@given(value=st.one_of(st.none(), st.text(), st.floats(), st.lists(st.integers()), st.binary()))
def test_no_value_of_a_setting_crashes(kind, value):
    start = {"layers": "all", "prefix_positions": 1, "suffix_positions": 1, "r": 1}
    start |= {"mh_adapter": True, "output_adapter": True, "reduction_factor": 2}
    start |= dict.fromkeys((f.name for f in fields(AdapterFusionConfig)), True)
    start |= {"non_linearity": "relu", "orthogonality": True, "dropout_prob": 0.1}
    first = kind(**{f.name: start[f.name] for f in fields(kind) if f.name in start})
    for field in fields(kind):
        made = answer(first.replace, **{field.name: value})
        assert (
            "; allowed: " in made if isinstance(made, str) else kind.from_dict(plain(made)) == made
        )


# Files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", EVERY, ids=repr)
def test_a_file_gives_the_configuration_back(config):
    read = type(config).from_dict(plain(config))
    assert (read, hash(read)) == (config, hash(config))
    assert plain(read) == plain(config)
    if config.method != "fusion":
        assert AdapterConfig.from_dict(plain(config)) == config


def test_settings_beside_adapterhubs_are_written_only_when_they_matter():
    ours = {"use_rslora", "rank_pattern", "alpha_pattern", "random_uniform_scale"}
    assert not ours & {*LoRAConfig().to_dict(), *PromptTuningConfig().to_dict()}
    config = LoRAConfig(use_rslora=True, rank_pattern={Q0: 2}, alpha_pattern={Q0: 0.5})
    assert config.to_dict()["rank_pattern"] == {Q0: 2}
    assert config.to_dict()["alpha_pattern"] == {Q0: 0.5}
    assert config.to_dict()["use_rslora"] is True
    assert PromptTuningConfig(random_uniform_scale=1.0).to_dict()["random_uniform_scale"] == 1.0


def test_the_class_follows_from_the_architecture():
    assert type(AdapterConfig.from_dict(IA3Config().to_dict())) is LoRAConfig
    assert type(AdapterConfig.from_dict({"architecture": "mtl_lora"})) is MTLLoRAConfig
    assert type(LoRAConfig.from_dict({"architecture": "mtl_lora"})) is MTLLoRAConfig
    assert IA3Config.from_dict({"architecture": "lora"}) == IA3Config()
    assert LoRAConfig.from_dict({"r": 4}) == LoRAConfig(r=4)
    assert type(AdapterConfig.from_dict(SeqBnConfig().to_dict())) is BnConfig
    config = SeqBnConfig()
    assert BnConfig.from_dict(config) is config
    with pytest.raises(AdapterError, match="architecture is 'lora'; allowed for a SeqBnConfig"):
        SeqBnConfig.from_dict({"architecture": "lora"})
    for word in ("adalora", "fusion", ["lora"], 1):
        with pytest.raises(AdapterError, match="allowed for a AdapterConfig: 'bottleneck'"):
            AdapterConfig.from_dict({"architecture": word})


def test_keys_that_no_setting_has_are_kept_and_written_again():
    data = {**LoRAConfig(r=4).to_dict(), "later": {"a": [1, {"b": None}]}, "keys": 1}
    config = AdapterConfig.from_dict(data)
    assert config.to_dict() == data
    assert config.unknown == {"later": {"a": (1, {"b": None})}, "keys": 1}
    assert config["keys"] == 1
    assert config.later == config["later"]
    assert config != LoRAConfig(r=4)
    assert preset_name(config.replace(r=8)) is None
    assert config.replace(r=8, keys=2).to_dict() == {**data, "r": 8, "keys": 2}
    assert pickle.loads(pickle.dumps(config)) == config == copy.deepcopy(config)
    assert "unknown={'later': {'a': [1, {'b': None}]}, 'keys': 1}" in repr(config)
    union = {"architecture": "union", "configs": [data], "note": "x"}
    assert AdapterConfig.from_dict(union).to_dict() == union
    assert AdapterConfig.from_dict(union).replace(r=2)["note"] == "x"


def test_version_1_files_are_read():
    nested = {"block_type": "nice", "non_linearity": "relu", "reduction_factor": 2}
    old = {
        **dict.fromkeys(("LN_After", "LN_Before", "MH_Adapter"), False),
        "Output_Adapter": True,
        "adapter_residual_before_ln": False,
        "attention_type": "sent-lvl-dynamic",
        "invertible_adapter": nested,
        "non_linearity": "relu",
        "original_ln_after": True,
        "original_ln_before": True,
        "reduction_factor": 16,
        "residual_before_ln": True,
    }
    config = AdapterConfig.from_dict(old)
    assert dict(config.unknown) == {"attention_type": "sent-lvl-dynamic"}
    del old["attention_type"]
    assert AdapterConfig.from_dict(old) == SeqBnInvConfig()
    assert AdapterConfig.from_dict({**old, "invertible_adapter": None}) == SeqBnConfig()
    for wrong in ({"block_type": "nice"}, "nice", 3):
        with pytest.raises(AdapterError, match=r"invertible_adapter is .*; allowed: None, "):
            AdapterConfig.from_dict({**old, "invertible_adapter": wrong})


def test_a_file_without_a_version_calls_another_function_gelu():
    for old, name in (("gelu", "gelu_new"), ("gelu_orig", "gelu"), ("relu", "relu")):
        config = {**SeqBnConfig().to_dict(), "non_linearity": old}
        assert config_of_file({"config": config}).non_linearity == name
    config = SeqBnConfig(non_linearity="gelu")
    assert config_of_file({"config": config.to_dict(), "version": "1.1.1"}) == config
    assert config_of_file(config.to_dict()) == config


def test_a_lora_that_was_trained_without_its_scale_stays_without_it():
    config = LoRAConfig(r=4, alpha=32).to_dict()
    for version, alpha in (
        ("adapters.0.1.2", 4),
        ("adapters.1.0.1", 4),
        ("adapters.1.1.0", 32),
        ("adapters.1.3.0", 32),
        ("adapters.10.0.0", 32),
        ("3.2.1", 32),
        (None, 32),
    ):
        assert config_of_file({"config": config, "version": version}).alpha == alpha
    mtl = MTLLoRAConfig(alpha=32).to_dict()
    assert config_of_file({"config": mtl, "version": "adapters.1.0.1"}).alpha == 32


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"r": 16}, "a bottleneck configuration lacks mh_adapter, output_adapter, reduction_fac"),
        ({"architecture": "reft"}, "a reft configuration lacks layers, prefix_positions"),
        ({"architecture": "union"}, "a union's configs are None; allowed: a list"),
        ({"architecture": "union", "configs": []}, "a union has no members"),
        ({"architecture": "union", "configs": ["lora"]}, "'lora' is a str; allowed: a dictionary"),
        ({"config": None}, "the file's config is None"),
        ({1: 2}, "is a dict; allowed: a dictionary of settings"),
        ({"architecture": "lora", "x": {1, 2}}, "a configuration holds a set; allowed: numbers"),
        ({"architecture": "lora", "x": {1: 2}}, "a configuration holds a dict"),
    ],
)
def test_a_dictionary_that_describes_nothing_is_refused(data, message):
    with pytest.raises(AdapterError, match=message):
        resolve(data)


def test_absurdly_deep_files_are_refused():
    deep, union = [], {"architecture": "union", "configs": [LoRAConfig().to_dict()]}
    for _ in range(100_000):
        deep, union = [deep], {"architecture": "union", "configs": [union]}
    with pytest.raises(AdapterError, match="at most 50 deep"):
        resolve({"architecture": "lora", "x": deep})
    with pytest.raises(AdapterError, match="none of them a union"):
        resolve({"architecture": "union", "configs": [union["configs"][0]]})
    while deep or union.get("configs"):  # one level at a time: no deep recursion when freed
        deep, union = (deep or [[]])[0], union.get("configs", [{}])[0]
