"""Configurations of adapters beside those of the installed reference."""

import json
from dataclasses import fields

import pytest
from adapters.loading import AdapterLoader, WeightsLoaderHelper

import adapters
from distilbert.adapters import configs as ours
from distilbert.errors import AdapterError

# What they leave out of a file though it changes what the adapter does.
LEFT_OUT = {"reft": {"subtract_projection"}}
REQUIRED = {
    "BnConfig": (True, False, {"0": 4, "default": 16}, "relu"),
    "ReftConfig": ([0, 2], 1, 2, 3, True),
    "AdapterFusionConfig": (*[True] * 8, False, 0.2),
    "ConfigUnion": (),
}
BASES = {"AdapterConfig", "MultiTaskConfig", "ModelAdaptersConfig"}  # which nobody makes one of
CLASSES = [
    name
    for name in ours.__all__
    if name.endswith("Config") and hasattr(adapters, name) and name not in BASES
]

# The configurations behind every kind of file that AdapterHub writes: class, settings.
PHM = {"reduction_factor": 2}
FILES = {
    "adapterplus_no_sd": ("AdapterPlusConfig", {"reduction_factor": 4, "stochastic_depth": 0.0}),
    "compacter_factorized_rule": ("CompacterConfig", {**PHM, "factorized_phm_rule": True}),
    "compacter_reduction_factor2": ("CompacterConfig", PHM),
    "compacter_shared_W": ("CompacterConfig", {**PHM, "shared_W_phm": True}),
    "compacter_unfactorized_W": ("CompacterConfig", {**PHM, "factorized_phm_W": False}),
    "compacter_unshared_rule": ("CompacterConfig", {**PHM, "shared_phm_rule": False}),
    "compacterpp_reduction_factor2": ("CompacterPlusPlusConfig", PHM),
    "direft": ("DiReftConfig", {}),
    "dora": ("DoRAConfig", {}),
    "double_seq_bn": ("DoubleSeqBnConfig", {}),
    "double_seq_bn_inv": ("DoubleSeqBnInvConfig", {}),
    "dvora": ("DvoRAConfig", {}),
    "fusion_dynamic": ("DynamicAdapterFusionConfig", {}),
    "fusion_static": ("StaticAdapterFusionConfig", {}),
    "ia3": ("IA3Config", {}),
    "ia3_all": ("IA3Config", {"attn_matrices": ["q", "k", "v"], "output_lora": True}),
    "lora": ("LoRAConfig", {}),
    "lora_all": (
        "LoRAConfig",
        {"attn_matrices": ["q", "k", "v"], "intermediate_lora": True, "output_lora": True},
    ),
    "lora_gating": ("LoRAConfig", {"use_gating": True}),
    "loreft": ("LoReftConfig", {}),
    "loreft_suffix": ("LoReftConfig", {"suffix_positions": 3}),
    "loreft_tied": ("LoReftConfig", {"suffix_positions": 3, "tied_weights": True}),
    "mam": ("MAMConfig", {}),
    "mtl_lora": ("MTLLoRAConfig", {}),
    "noreft": ("NoReftConfig", {}),
    "par_bn": ("ParBnConfig", {}),
    "prefix_gating_unshared": (
        "PrefixTuningConfig",
        {"use_gating": True, "shared_gating": False},
    ),
    "prefix_tuning": ("PrefixTuningConfig", {}),
    "prefix_tuning_flat": ("PrefixTuningConfig", {"flat": True}),
    "prompt_tuning": ("PromptTuningConfig", {}),
    "scaled_par_bn": ("ParBnConfig", {"scaling": "learned"}),
    "seq_bn": ("SeqBnConfig", {}),
    "seq_bn_gating": ("SeqBnConfig", {"use_gating": True}),
    "seq_bn_glow": ("SeqBnConfig", {"inv_adapter": "glow", "inv_adapter_reduction_factor": 2}),
    "seq_bn_inv": ("SeqBnInvConfig", {}),
    "seq_bn_learned_scaling": ("SeqBnConfig", {"scaling": "learned"}),
    "seq_bn_leave_out_0": ("SeqBnConfig", {"leave_out": [0]}),
    "seq_bn_ln": ("SeqBnConfig", {"ln_before": True, "ln_after": True}),
    "unipelt": ("UniPELTConfig", {}),
    "vera": ("VeraConfig", {}),
}


def written(config):
    """What a file holds of a configuration of either."""
    return json.loads(json.dumps(config.to_dict()))


def comparable(config):
    """What both write."""
    left_out = LEFT_OUT.get(config.to_dict().get("architecture"), set())
    return {name: value for name, value in written(config).items() if name not in left_out}


def test_there_are_the_same_names():
    assert ours.ADAPTER_CONFIG_MAP.keys() == adapters.ADAPTER_CONFIG_MAP.keys()
    assert ours.ADAPTERFUSION_CONFIG_MAP.keys() == adapters.ADAPTERFUSION_CONFIG_MAP.keys()
    assert ours.DEFAULT_ADAPTER_CONFIG == adapters.DEFAULT_ADAPTER_CONFIG
    assert ours.DEFAULT_ADAPTERFUSION_CONFIG == adapters.DEFAULT_ADAPTERFUSION_CONFIG


@pytest.mark.parametrize("name", adapters.ADAPTER_CONFIG_MAP)
def test_a_preset_is_written_as_theirs(name):
    assert comparable(ours.resolve(name)) == written(adapters.ADAPTER_CONFIG_MAP[name])


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_takes_the_same_settings_in_the_same_order(name):
    own, reference = getattr(ours, name), getattr(adapters, name)
    given = REQUIRED.get(name, ())
    assert comparable(own(*given)) == written(reference(*given))
    if own.method != "union":
        positional = [field.name for field in fields(own) if not field.kw_only]
        assert positional == [field.name for field in fields(reference)]


def test_no_class_of_theirs_is_missing():
    named = {name for name in dir(adapters) if name.endswith("Config")}
    assert named - BASES == set(CLASSES)


@pytest.mark.parametrize("label", FILES)
def test_a_file_of_theirs_is_read_and_written_again(label):
    name, settings = FILES[label]
    file = written(getattr(adapters, name)(**settings))
    own = getattr(ours, name)(**settings)
    assert comparable(own) == file
    base = ours.AdapterFusionConfig if own.method == "fusion" else ours.AdapterConfig
    assert comparable(base.from_dict(file)) == file
    if label != "direft":  # whose file says less, as pinned below
        assert base.from_dict(file) == own


@pytest.mark.parametrize("label", FILES)
def test_a_file_of_ours_is_read_there(label):
    name, settings = FILES[label]
    file = written(getattr(ours, name)(**settings))
    if "fusion" in label:
        read = adapters.AdapterFusionConfig.load(file)
    else:
        read = adapters.AdapterConfig.load(file)
    assert read == getattr(adapters, name)(**settings)
    assert getattr(read, "subtract_projection", True) is (label != "direft")


@pytest.mark.diverges("adapters 1.3.0: does not write subtract_projection, which DiReFT changes")
def test_a_direft_comes_back_as_one():
    assert adapters.AdapterConfig.load(adapters.DiReftConfig().to_dict()).subtract_projection
    assert ours.AdapterConfig.from_dict(ours.DiReftConfig().to_dict()) == ours.DiReftConfig()
    file = adapters.DiReftConfig().to_dict()  # cannot tell, so the user must
    assert ours.resolve(file) == ours.NoReftConfig()
    assert ours.resolve(file, subtract_projection=False) == ours.DiReftConfig()


@pytest.mark.diverges("adapters 1.3.0: a prompt's random_uniform_scale is no setting")
def test_the_range_of_a_prompt_can_be_set_and_is_read_there():
    with pytest.raises(TypeError, match="random_uniform_scale"):
        adapters.PromptTuningConfig(random_uniform_scale=1.0)
    file = ours.PromptTuningConfig(random_uniform_scale=1.0).to_dict()
    assert adapters.AdapterConfig.load(file).random_uniform_scale == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "lora[r=16,alpha=32]",
        "lora[attn_matrices=['q','k'],use_gating=True]|seq_bn",
        "prefix_tuning[flat=True] | par_bn[scaling='learned',reduction_factor=4]",
        "seq_bn[reduction_factor={'1': 8, 'default': 16}, leave_out=[0]]",
        "seq_bn[inv_adapter='nice', inv_adapter_reduction_factor=2]",
        "compacter++[phm_dim=2]",
        "unipelt[leave_out=[1]]",
    ],
)
def test_the_language_means_the_same(text):
    assert comparable(ours.resolve(text)) == written(adapters.AdapterConfig.load(text))


@pytest.mark.parametrize(
    "text", ["mam|lora", "lora|lora", "seq_bn|par_bn", "loar", "lora[rank=1]", "lora[r", "lora|"]
)
def test_the_language_refuses_the_same(text):
    with pytest.raises((ValueError, TypeError)):
        adapters.AdapterConfig.load(text)
    with pytest.raises(AdapterError):
        ours.resolve(text)


@pytest.mark.diverges("adapters 1.3.0: a | or = inside a text is taken for the language's own")
def test_texts_may_hold_the_signs_of_the_language():
    text = "prompt_tuning[prompt_init='from_string',prompt_init_text='a|b c=d']"
    with pytest.raises(ValueError, match="Invalid adapter"):
        adapters.AdapterConfig.load(text)
    assert ours.resolve(text).prompt_init_text == "a|b c=d"


@pytest.mark.diverges("adapters 1.3.0: an unknown key is lost when the adapter is saved again")
def test_unknown_keys_are_read_as_there_and_kept():
    file = {**adapters.LoRAConfig().to_dict(), "later": [1]}
    assert adapters.AdapterConfig.load(file)["later"] == [1]
    assert "later" not in adapters.AdapterConfig.load(file).to_dict()
    assert ours.resolve(file).to_dict() == file


@pytest.mark.diverges("adapters 1.3.0: a union has one LoRA, wherever its members hang")
def test_loras_at_different_places_are_one_adapter():
    parts = {"attn_matrices": ["q"]}, {"attn_matrices": ["v"], "r": 2}
    with pytest.raises(ValueError, match="same adapter architecture"):
        adapters.ConfigUnion(*(adapters.LoRAConfig(**part) for part in parts))
    assert len(ours.ConfigUnion(*(ours.LoRAConfig(**part) for part in parts)).configs) == 2


@pytest.mark.parametrize("nested", [{"block_type": "glow", "reduction_factor": 4}, None])
def test_version_1_files_are_read_as_there(nested):
    file = {**adapters.SeqBnConfig().to_dict(), "invertible_adapter": nested}
    del file["inv_adapter"], file["leave_out"]
    assert written(ours.resolve(file)) == written(adapters.AdapterConfig.load(file))


@pytest.mark.parametrize("version", [{}, {"version": "1.1.1"}, {"version": "adapters.1.3.0"}])
@pytest.mark.parametrize("word", ["gelu", "gelu_orig", "relu"])
def test_activations_of_old_files_are_read_as_there(tmp_path, version, word):
    file = {"config": {**adapters.SeqBnConfig().to_dict(), "non_linearity": word}, **version}
    (tmp_path / "adapter_config.json").write_text(json.dumps(file))
    read = WeightsLoaderHelper(None, "", "adapter_config.json").load_weights_config(tmp_path)
    if word != "gelu_orig" or not version:
        assert ours.config_of_file(file) == ours.resolve(read["config"])


@pytest.mark.parametrize("version", ["1.1.1", "adapters.1.0.1", "adapters.1.1.0", "adapters.1.3.0"])
@pytest.mark.parametrize("name", ["lora", "mtl_lora", "seq_bn", "ia3"])
def test_scales_of_old_loras_are_read_as_there(version, name):
    config = written(adapters.ADAPTER_CONFIG_MAP[name])
    config |= {"alpha": 16} if "lora" in name else {}
    file = {"config": config, "version": version}
    read = json.loads(json.dumps(file))
    AdapterLoader(None)._fix_backward_compat(read)
    assert ours.config_of_file(file) == ours.resolve(read["config"])
