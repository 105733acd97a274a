"""Values that configurations of adapters take and refuse, and unions of them."""

import re

import pytest

from distilbert.adapters.configs import (
    AdapterPlusConfig,
    BnConfig,
    CompacterConfig,
    CompacterPlusPlusConfig,
    ConfigUnion,
    DiReftConfig,
    DoRAConfig,
    DvoRAConfig,
    DynamicAdapterFusionConfig,
    IA3Config,
    LoRAConfig,
    LoReftConfig,
    MAMConfig,
    MTLLoRAConfig,
    NoReftConfig,
    ParBnConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    SeqBnConfig,
    SeqBnInvConfig,
    StaticAdapterFusionConfig,
    UniPELTConfig,
    VeraConfig,
    check_places,
    members,
)
from distilbert.errors import AdapterError

Q0 = "transformer.layer.0.attention.q_lin"
NAN, INFINITY = float("nan"), float("inf")

WRONG = {
    SeqBnConfig: {
        "mh_adapter": (1, None, "true"),
        "reduction_factor": (
            *(0, -2, True, NAN, INFINITY, 10**400, "16", [16], {}, {"first": 2}, {"01": 2}),
            *({-1: 2}, {"1": 0}, {1: 2, "1": 2}, {"1": None}, {1.0: 2}),
        ),
        "non_linearity": ("gleu", None, ["relu"]),
        "original_ln_before": (None, 0),
        "init_weights": ("lora", None, ["bert"]),
        "init_weights_seed": (1.0, True, "1", 2**64),
        "scaling": ("fixed", True, None, NAN, 10**400),
        "residual_before_ln": ("pre_add", None, 1),
        "inv_adapter": ("realnvp", True),
        "inv_adapter_reduction_factor": (0, "2", True),
        "leave_out": (1, "01", [-1], [True], [0.5], [[0]], None),
        "dropout": (1, 1.0, -0.1, "0.1", None, True, NAN),
        "stochastic_depth": (1, None),
        "phm_layer": (None,),
        "phm_dim": (0, 2.0, True),
        "phm_rank": (0,),
        "phm_c_init": ("zeros", None),
        "phm_init_range": (-1, INFINITY),
        "hypercomplex_nonlinearity": ("uniform", None),
    },
    PrefixTuningConfig: {
        "architecture": ("lora", "", 1, None),
        "prefix_length": (0, 1.5),
        "bottleneck_size": (0, None),
        "non_linearity": (None, "softmax"),
        "dropout": (1,),
    },
    PromptTuningConfig: {
        "prompt_length": (0, True),
        "prompt_init": ("from_vocab", None),
        "prompt_init_text": (1, ["a"]),
        "random_uniform_scale": (0, -1, NAN),
        "combine": ("suffix", None),
    },
    LoRAConfig: {
        "r": (0, -1, 1.0, True, "8", None),
        "alpha": (0, -1, NAN, "8", None),
        "dropout": (1, -0.5),
        "attn_matrices": ("qv", ["query"], ["q", 1], None, "q", [["q"]]),
        "composition_mode": ("multiply", None),
        "init_weights": ("houlsby", None),
        "vera_d": ("0.1", True, NAN),
        "dtype": ("int8", "float", 16),
        "leave_out": ([-1],),
        "rank_pattern": ({"q_lin": 4}, {Q0: 0}, {Q0: 1.5}, [Q0], None, {0: 2}, {Q0 + "\n": 2}),
        "alpha_pattern": ({Q0: 0}, {".*": 2}),
    },
    MTLLoRAConfig: {
        "n_up_projection": (0,),
        "task_specific_matrix_type": ("diagonal", None),
        "weights_sharpness": (0, -1),
        "composition_mode": ("scale",),
        "vera_d": (0.1,),
        "init_weights": ("vera", "ia3"),
    },
    LoReftConfig: {
        "layers": ("some", [], [-1], None, 1),
        "prefix_positions": (-1, 1.0, 0),
        "suffix_positions": (-1, None),
        "r": (0,),
        "orthogonality": (None,),
        "dropout": (1,),
        "non_linearity": ("gleu",),
        "dtype": ("int8",),
        "subtract_projection": (None,),
    },
    DynamicAdapterFusionConfig: {"key": (None, 1), "dropout_prob": (1, -0.1, "0.1", True)},
}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, v) for kind, rows in WRONG.items() for name, vs in rows.items() for v in vs],
)
def test_a_value_that_cannot_work_is_refused_by_name(kind, name, value):
    wanted = re.escape(f"{kind.__name__}: {name} is ") + ".*; allowed: "
    with pytest.raises(AdapterError, match=wanted):
        kind(**{name: value})


@pytest.mark.parametrize(
    ("kind", "name", "value", "kept"),
    [
        (SeqBnConfig, "reduction_factor", 0.5, 0.5),
        (SeqBnConfig, "reduction_factor", {0: 8, "11": 2.5, "default": 16}, None),
        (SeqBnConfig, "non_linearity", "LeakyReLU", "leakyrelu"),
        (SeqBnConfig, "scaling", 2, 2.0),
        (SeqBnConfig, "scaling", "channel", "channel"),
        (SeqBnConfig, "residual_before_ln", "post_add", "post_add"),
        (SeqBnConfig, "leave_out", {3, 1}, (1, 3)),
        (SeqBnConfig, "leave_out", range(2), (0, 1)),
        (SeqBnConfig, "dropout", 0, 0),
        (SeqBnConfig, "init_weights_seed", 0, 0),
        (SeqBnConfig, "init_weights_seed", -1, -1),
        (LoRAConfig, "alpha", 0.5, 0.5),
        (LoRAConfig, "attn_matrices", ("q", "k", "v", "out"), ("q", "k", "v", "out")),
        (LoRAConfig, "attn_matrices", [], ()),
        (LoRAConfig, "dtype", "torch.bfloat16", "bfloat16"),
        (LoReftConfig, "layers", [2, 0], (2, 0)),
        (LoReftConfig, "non_linearity", None, None),
        (DynamicAdapterFusionConfig, "dropout_prob", 0.0, 0.0),
    ],
)
def test_a_value_that_can_work_is_kept_in_one_form(kind, name, value, kept):
    if isinstance(value, dict):
        kept = {str(key): item for key, item in value.items()}
    made = kind(**{name: value})[name]
    assert made == kept
    assert isinstance(made, type(kept)) or isinstance(kept, dict)


def test_a_whole_scale_is_kept_as_the_fraction_that_adapterhub_reads():
    assert repr(ParBnConfig(scaling=4).scaling) == "4.0"
    assert repr(VeraConfig(vera_d=1).vera_d) == "1.0"


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SeqBnConfig, {"inv_adapter": "nice"}, "inv_adapter_reduction_factor is None; allowed: a"),
        (ParBnConfig, {"inv_adapter": "glow"}, "inv_adapter_reduction_factor is None"),
        (
            SeqBnConfig,
            {"residual_before_ln": "post_add", "original_ln_before": False},
            "residual_before_ln is 'post_add'; allowed: true or false without original_ln_before",
        ),
        (
            CompacterConfig,
            {"shared_W_phm": True, "reduction_factor": {"default": 32}},
            r"reduction_factor is {'default': 32}; allowed: one number, as shared_W_phm",
        ),
        (
            PromptTuningConfig,
            {"prompt_init": "from_string"},
            "prompt_init_text is None; allowed: a",
        ),
        (
            PromptTuningConfig,
            {"prompt_init": "from_string", "prompt_init_text": " "},
            "prompt_init_text is ' '",
        ),
        (LoRAConfig, {"composition_mode": "scale"}, "r is 8; allowed: 1 with composition_mode"),
        (IA3Config, {"r": 2}, "r is 2; allowed: 1"),
        (IA3Config, {"dropout": 0.1}, "dropout is 0.1; allowed: 0 with"),
        (IA3Config, {"use_dora": True}, "use_dora is True; allowed: False with"),
        (IA3Config, {"vera_d": 0.1, "vera_b": 0.0}, "vera_d is 0.1; allowed: None with"),
        (IA3Config, {"use_rslora": True}, "use_rslora is True; allowed: False with"),
        (
            IA3Config,
            {"attn_matrices": ["q"], "rank_pattern": {Q0: 2}},
            r"rank_pattern is .*allowed: \{\} with",
        ),
        (IA3Config, {"init_weights": "vera"}, "init_weights is 'vera'; allowed: 'lora', 'bert'"),
        (LoRAConfig, {"vera_d": 0.1}, "vera_b is None; allowed: a number if and only if vera_d"),
        (LoRAConfig, {"vera_b": 0.0}, "vera_b is 0.0; allowed: a number if and only if vera_d"),
        (MTLLoRAConfig, {"vera_b": 0.0}, "vera_b is 0.0"),
        (VeraConfig, {"rank_pattern": {Q0: 2}}, "allowed: {} in VeRA"),
        (
            LoRAConfig,
            {"rank_pattern": {Q0.replace("q_lin", "k_lin"): 2}},
            "rank_pattern is .*; allowed: modules where the adapter hangs; 'transformer.*' is none",
        ),
        (LoRAConfig, {"alpha_pattern": {Q0: 2}, "leave_out": [0]}, "alpha_pattern is .* is none"),
        (LoRAConfig, {"alpha_pattern": {Q0: 2}, "selfattn_lora": False}, "alpha_pattern is"),
        (LoReftConfig, {"prefix_positions": 0}, "prefix_positions is 0; allowed: at least 1, or"),
    ],
)
def test_values_that_cannot_work_together_are_refused(kind, values, message):
    with pytest.raises(AdapterError, match=message):
        kind(**values)


def test_values_that_work_only_together_can_be_replaced_together():
    sequential = SeqBnConfig(original_ln_before=False)
    with pytest.raises(AdapterError):
        sequential.replace(residual_before_ln="post_add")
    changes = {"residual_before_ln": "post_add", "original_ln_before": True}
    assert sequential.replace(**changes) == SeqBnConfig(residual_before_ln="post_add")
    assert LoRAConfig().replace(r=1, composition_mode="scale").composition_mode == "scale"
    assert ParBnConfig(residual_before_ln="post_add").residual_before_ln == "post_add"


def test_patterns_may_name_every_module_where_the_adapter_hangs():
    places = [f"attention.{m}_lin" for m in ("q", "k", "v", "out")] + ["ffn.lin1", "ffn.lin2"]
    ranks = {f"transformer.layer.{i}.{place}": i + 1 for i in (0, 11) for place in places}
    config = LoRAConfig(
        attn_matrices=["q", "k", "v", "out"],
        intermediate_lora=True,
        output_lora=True,
        rank_pattern=ranks,
    )
    assert config.rank_pattern == ranks


def test_which_loras_are_of_shared_matrices():
    assert VeraConfig().is_vera
    assert DvoRAConfig().is_vera
    assert not LoRAConfig(init_weights="vera").is_vera
    assert not DoRAConfig().is_vera


# Unions ----------------------------------------------------------------------------------------


def test_a_union_is_a_mapping_of_its_members():
    union = ConfigUnion(LoRAConfig(r=4), SeqBnConfig())
    assert union[0] == union.configs[0] == LoRAConfig(r=4)
    assert (union["0.r"], union["1.reduction_factor"], union["architecture"]) == (4, 16, "union")
    assert union["configs"] == union.configs
    assert len(union) == len(list(union)) == len(LoRAConfig()) + len(SeqBnConfig())
    assert all(union[name] is not ... for name in union)
    assert union.get("leave_out", "none") == "none"
    for name in ("r", "2.r", "0.rank", "x.r", "0", "replace", ".r", 5.0):
        with pytest.raises(KeyError):
            union[name]


def test_members_are_the_parts_of_a_union_or_the_one():
    assert members(UniPELTConfig()) == UniPELTConfig().configs
    assert [config.method for config in members(MAMConfig())] == ["prefix_tuning", "bottleneck"]
    assert members(LoRAConfig()) == (LoRAConfig(),)


def test_a_change_goes_to_every_member_that_has_the_setting():
    union = ConfigUnion(PrefixTuningConfig(), SeqBnConfig())
    assert union.replace(dropout=0.1, prefix_length=3) == ConfigUnion(
        PrefixTuningConfig(dropout=0.1, prefix_length=3), SeqBnConfig(dropout=0.1)
    )
    with pytest.raises(AdapterError, match="ConfigUnion has no setting 'r'"):
        union.replace(r=3)


def test_known_unions_take_other_members():
    mam = MAMConfig(adapter=ParBnConfig(reduction_factor=8))
    assert (mam.adapter, mam.prefix_tuning) == (mam[1], PrefixTuningConfig(bottleneck_size=800))
    unipelt = UniPELTConfig(lora=LoRAConfig(r=2))
    assert unipelt[2] == LoRAConfig(r=2, use_gating=True)
    assert all(config.use_gating for config in unipelt.configs)
    assert type(MAMConfig.from_dict(mam.to_dict())) is MAMConfig
    with pytest.raises(AdapterError, match=r"LoRAConfig\(\) is no BnConfig; give one, or None"):
        MAMConfig(adapter=LoRAConfig())
    with pytest.raises(AdapterError, match="is no PrefixTuningConfig"):
        UniPELTConfig(prefix_tuning=SeqBnConfig())


HALVES = (
    BnConfig(True, False, 16, "relu", phm_layer=True, shared_phm_rule=False),
    BnConfig(False, True, 16, "relu", phm_layer=True, shared_phm_rule=False),
)
WIDE = LoRAConfig(attn_matrices=["q", "out"], output_lora=True)


@pytest.mark.parametrize(
    ("configs", "taken"),
    [
        ((SeqBnConfig(), ParBnConfig()), "output_adapter"),
        ((SeqBnConfig(), CompacterConfig()), "output_adapter"),
        ((LoRAConfig(), MTLLoRAConfig()), "attention.q_lin, attention.v_lin"),
        ((LoRAConfig(), SeqBnConfig(), IA3Config()), "attention.v_lin"),
        ((WIDE, LoRAConfig(output_lora=True, attn_matrices=["k"])), "ffn.lin2"),
        ((PrefixTuningConfig(), PrefixTuningConfig(flat=True)), "the prefix"),
        ((PrefixTuningConfig(leave_out=[0]), PrefixTuningConfig(leave_out=[1])), "the prefix"),
        ((PromptTuningConfig(), PromptTuningConfig()), "the prompt"),
        ((LoReftConfig(), NoReftConfig(layers=[3])), "the output of a layer"),
        ((LoReftConfig(layers=[1, 2]), DiReftConfig(layers=[2])), "the output of a layer"),
        (
            (SeqBnInvConfig(output_adapter=False, mh_adapter=True), SeqBnInvConfig()),
            "the invertible adapter",
        ),
        (
            tuple(half.replace(shared_phm_rule=True) for half in HALVES),
            "the shared rule of its phm layers",
        ),
        (
            tuple(half.replace(shared_W_phm=True) for half in HALVES),
            "the shared weights of its phm layers",
        ),
        ((VeraConfig(), DvoRAConfig(attn_matrices=["k"])), "the shared matrices of VeRA"),
    ],
)
def test_members_at_the_same_place_are_refused(configs, taken):
    with pytest.raises(AdapterError, match=f"members . and . of a union.* both take {taken}; give"):
        ConfigUnion(*configs)


@pytest.mark.parametrize(
    "configs",
    [
        HALVES,
        (LoRAConfig(), LoRAConfig(attn_matrices=["k"]), IA3Config(selfattn_lora=False)),
        (VeraConfig(), LoRAConfig(attn_matrices=["k"])),
        (LoReftConfig(layers=[0]), DiReftConfig(layers=[1, 2])),
        (LoReftConfig(), NoReftConfig(output_reft=False)),
        (SeqBnConfig(), CompacterPlusPlusConfig(output_adapter=False, mh_adapter=True)),
        (AdapterPlusConfig(), LoRAConfig(), PrefixTuningConfig(), PromptTuningConfig()),
        (LoRAConfig(selfattn_lora=False), MTLLoRAConfig()),
    ],
)
def test_members_at_places_of_their_own_are_one_adapter(configs):
    union = ConfigUnion(*configs)
    assert union.configs == configs
    check_places(union, 6)


def test_members_that_leave_out_layers_are_judged_by_the_depth_of_the_model():
    low, high = SeqBnConfig(leave_out=[2, 3]), ParBnConfig(leave_out=[0, 1])
    union = ConfigUnion(low, high)
    check_places(union, 4)
    with pytest.raises(AdapterError, match="both take output_adapter"):
        check_places(union, 5)
    check_places(ConfigUnion(low, ParBnConfig(leave_out=range(2))), 3)
    with pytest.raises(AdapterError, match="both take output_adapter"):
        check_places(ConfigUnion(low, ParBnConfig()), 4)
    check_places(LoRAConfig(), 1)


@pytest.mark.parametrize(
    "part", [MAMConfig(), StaticAdapterFusionConfig(), "lora", None, {"architecture": "lora"}]
)
def test_a_union_holds_single_methods_only(part):
    with pytest.raises(AdapterError, match=r"a union holds .*; allowed: configurations of "):
        ConfigUnion(LoRAConfig(), part)


def test_a_union_has_members():
    with pytest.raises(AdapterError, match="a union has no members"):
        ConfigUnion()
