"""Folders of PEFT: what is read, what is written, and what is refused with the reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapter_folders import FIXED, INFO, adapter, head, same
from checkpoints import contents
from distilbert.adapters.configs import (
    ConfigUnion,
    DoRAConfig,
    IA3Config,
    LoRAConfig,
    MTLLoRAConfig,
    SeqBnConfig,
    VeraConfig,
)
from distilbert.adapters.store import (
    StoredAdapter,
    StoredHead,
    read_adapter,
    write_adapter,
    write_peft,
)
from distilbert.errors import AdapterError, FileError

Q = "transformer.layer.{}.attention.q_lin"


def pair(path, rank=2, into=8, out=8):
    """The two matrices of a module, as PEFT names them."""
    torch.manual_seed(len(path) + rank)
    return {f"{path}.lora_A.weight": torch.randn(rank, into)} | {
        f"{path}.lora_B.weight": torch.randn(out, rank)
    }


def by_hand(folder, weights=None, prefix="base_model.model.distilbert.", **settings):
    """A folder as PEFT writes it: LoRA beside q in two layers."""
    folder.mkdir(parents=True, exist_ok=True)
    if weights is None:
        weights = {**pair(Q.format(0)), **pair(Q.format(1))}
    data = {
        "peft_type": "LORA",
        "target_modules": ["q_lin"],
        "r": 2,
        "lora_alpha": 8,
        "bias": "none",
        **settings,
    }
    (folder / "adapter_config.json").write_text(json.dumps(data))
    tensors = {
        key if key.startswith("base_model.") else prefix + key: value
        for key, value in weights.items()
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def keys(layers=(0, 1), site="attention.q_lin", name="default"):
    return {
        f"transformer.layer.{n}.{site}.loras.{name}.lora_{m}" for n in layers for m in ("A", "B")
    }


# Reading -----------------------------------------------------------------------------------------


def test_a_lora_is_read_with_the_keys_of_the_encoder(tmp_path):
    found = read_adapter(by_hand(tmp_path))
    assert (found.name, found.head) == ("default", None)
    assert found.config == LoRAConfig(r=2, alpha=8, attn_matrices=["q"])
    assert found.weights.keys() == keys()
    held = pair(Q.format(1))[f"{Q.format(1)}.lora_A.weight"]
    assert torch.equal(found.weights[f"{Q.format(1)}.loras.default.lora_A"], held)
    assert found.info["hidden_size"] == 8
    assert found.info["model_type"] == "distilbert"


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("base_model.model.distilbert.", "DistilBertAdapterModel"),
        ("base_model.model.", "DistilBertModel"),
    ],
)
def test_the_keys_tell_the_base_class_from_classes_with_a_head(tmp_path, prefix, found):
    stored = read_adapter(by_hand(tmp_path, prefix=prefix))
    assert stored.info["model_class"] == found
    assert stored.weights.keys() == keys()


def test_pickled_weights_and_names_in_keys_are_read_too(tmp_path):
    by_hand(tmp_path)
    held = load_file(tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_model.safetensors").unlink()
    named = {key.replace(".weight", ".default.weight"): value for key, value in held.items()}
    torch.save(named, tmp_path / "adapter_model.bin")
    assert read_adapter(tmp_path).weights.keys() == keys()
    assert read_adapter(tmp_path, use_safetensors=True).weights.keys() == keys()
    (tmp_path / "adapter_model.bin").unlink()
    with pytest.raises(FileError, match=r"no adapter_model\.safetensors or adapter_model\.bin"):
        read_adapter(tmp_path, use_safetensors=True)


@pytest.mark.parametrize("form", ["{}", "{}.modules_to_save", "{}.modules_to_save.default"])
@pytest.mark.parametrize(
    ("task", "modules", "model_class"),
    [
        ("SEQ_CLS", ("pre_classifier", "classifier"), "DistilBertForSequenceClassification"),
        ("TOKEN_CLS", ("classifier",), "DistilBertForTokenClassification"),
        ("QUESTION_ANS", ("qa_outputs",), "DistilBertForQuestionAnswering"),
        (None, ("pre_classifier", "classifier"), "DistilBertForSequenceClassification"),
        (None, ("qa_outputs",), "DistilBertForQuestionAnswering"),
    ],
)
def test_a_saved_head_is_that_of_a_fixed_class(tmp_path, form, task, modules, model_class):
    outer = {
        f"base_model.model.{form.format(name)}.weight": torch.full((3, 8), len(name) + 0.5)
        for name in modules
    }
    weights = {**pair(Q.format(0)), **outer}
    by_hand(tmp_path, weights, task_type=task, modules_to_save=[*modules])
    found = read_adapter(tmp_path)
    assert (found.head.name, found.head.config) == (None, None)
    assert found.head.info["model_class"] == found.info["model_class"] == model_class
    assert found.head.info["num_labels"] == 3
    same(
        found.head.weights,
        {f"{name}.weight": torch.full((3, 8), len(name) + 0.5) for name in modules},
    )
    assert read_adapter(tmp_path, with_head=False).head is None


def test_ranks_and_alphas_by_pattern_are_resolved_to_modules(tmp_path):
    weights = {
        **pair(Q.format(0)),
        **pair(Q.format(1), rank=3),
        **pair(Q.format(2)),
        **pair(Q.format(12)),
    }
    by_hand(
        tmp_path,
        weights,
        rank_pattern={r"layer\.1\.attention\.q_lin": 3},
        alpha_pattern={"^distilbert.*[.]2[.].*": 5, "layer.(0|2).attention.q_lin": 6, "lin": 7},
    )
    assert read_adapter(tmp_path).config == LoRAConfig(
        r=2,
        alpha=8,
        attn_matrices=["q"],
        leave_out=range(3, 12),
        rank_pattern={Q.format(1): 3},
        alpha_pattern={Q.format(0): 6, Q.format(2): 5},
    )


@pytest.mark.parametrize(
    ("settings", "last"),
    [
        ({}, 1),
        ({"target_modules": ["attention.q_lin"]}, 1),
        ({"layers_to_transform": [0, 1]}, 47),
        ({"target_modules": ".*[01].attention.q_lin"}, 47),
        ({"target_modules": ["0.attention.q_lin", "layer.1.attention.q_lin"]}, 47),
        ({"exclude_modules": ["layer.2.attention.q_lin"]}, 47),
    ],
)
def test_layers_beyond_the_last_are_left_out_where_the_file_leaves_out_layers(
    tmp_path, settings, last
):
    found = read_adapter(by_hand(tmp_path, **settings)).config
    assert list(found.leave_out) == list(range(2, last + 1))


def test_ia3_is_read_as_a_scale(tmp_path):
    scale = torch.randn(8, 1)
    by_hand(
        tmp_path,
        {f"{Q.format(0)}.ia3_l": scale},
        peft_type="IA3",
        r=None,
        feedforward_modules=[],
    )
    found = read_adapter(tmp_path)
    assert found.config == IA3Config(attn_matrices=["q"], intermediate_lora=False)
    same(found.weights, {f"{Q.format(0)}.loras.default.lora_B": scale})


def test_settings_that_change_nothing_are_passed_over(tmp_path):
    nothing = {
        "fan_in_fan_out": True,
        "init_lora_weights": "gaussian",
        "inference_mode": True,
        "megatron_core": "megatron.core",
        "qalora_group_size": 16,
        "not_yet_known": None,
        "nor_this": {},
    }
    assert read_adapter(by_hand(tmp_path, **nothing)).weights.keys() == keys()


def test_a_configuration_can_be_given_for_a_file_of_peft(tmp_path):
    by_hand(tmp_path)
    assert read_adapter(tmp_path, config=LoRAConfig(r=2, alpha=1)).config.alpha == 1


REFUSED = {
    "another method": ({"peft_type": "PROMPT_TUNING"}, "peft_type 'PROMPT_TUNING'; allowed"),
    "no method": ({"peft_type": ["LORA"]}, r"peft_type \['LORA'\]; allowed"),
    "biases": ({"bias": "all"}, "bias 'all'; allowed: 'none'"),
    "DoRA": ({"use_dora": True}, "use_dora True; .* leaves the bias out"),
    "what is not known": ({"use_new_thing": True}, "use_new_thing True; .* not known here"),
    "another start": ({"init_lora_weights": "olora"}, "'olora'; allowed"),
    "other ranks": ({"r": 4}, "says r 4 for '.*q_lin', whose weights have 2"),
    "a rank that is none": ({"r": "2"}, "says '2' for '.*q_lin'; allowed: a number"),
    "a huge rank": ({"r": 10**9}, "says r 1000000000; allowed: at most"),
    "an alpha that is none": ({"lora_alpha": [8]}, r"says \[8\] for '.*'; allowed: a number"),
    "a negative alpha": ({"lora_alpha": -8}, "alpha is -8"),
    "patterns that are none": ({"alpha_pattern": ["q_lin"]}, "alpha_pattern .*; allowed: patterns"),
    "a pattern that may take for ever": (
        {"alpha_pattern": {"(a+)+x": 2}},
        r"has the pattern '\(a\+\)\+x'; allowed",
    ),
    "a pattern of many stars": ({"rank_pattern": {"a*b*c*d*": 2}}, "three repetitions"),
    "a pattern that is none": ({"alpha_pattern": {"(": 2}}, "has the pattern"),
    "a dropout that is none": ({"lora_dropout": 1.5}, "dropout is 1.5"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_settings_that_cannot_be_kept_are_refused(tmp_path, what):
    settings, message = REFUSED[what]
    by_hand(tmp_path, **settings)
    with pytest.raises(AdapterError, match=message) as error:
        read_adapter(tmp_path)
    assert str(tmp_path) in str(error.value)


NO_WEIGHTS = {
    "none": ({}, "are no weights of LoRA"),
    "half a pair": ({f"{Q.format(0)}.lora_A.weight": torch.ones(2, 8)}, "lora_B of shape none"),
    "a pair that does not fit": (
        {
            f"{Q.format(0)}.lora_A.weight": torch.ones(2, 8),
            f"{Q.format(0)}.lora_B.weight": torch.ones(8, 3),
        },
        r"\(2, 8\) and lora_B of shape \(8, 3\)",
    ),
    "a vector": (
        {
            f"{Q.format(0)}.lora_A.weight": torch.ones(2),
            f"{Q.format(0)}.lora_B.weight": torch.ones(8, 2),
        },
        r"lora_A of shape \(2,\)",
    ),
    "a module under two names": (
        {**pair(Q.format(0)), **pair(f"base_model.model.{Q.format(0)}")},
        "one module under two names",
    ),
    "another place": (pair("transformer.layer.0.sa_layer_norm"), "has no place in a DistilBERT"),
    "a layer that no model has": (pair(Q.format(48)), "layers 0 to 47"),
    "the embeddings": (
        {**pair(Q.format(0)), "embeddings.word_embeddings.weight": torch.ones(2, 8)},
        "has no place in a DistilBERT",
    ),
    "a key of no adapter": (
        {**pair(Q.format(0)), "base_model.else": torch.ones(1)},
        "'base_model.else', .* has no place",
    ),
    "whole numbers": (
        {f"{Q.format(0)}.lora_A.weight": torch.ones(2, 8).int()},
        "holds int32 values",
    ),
}


@pytest.mark.parametrize("what", NO_WEIGHTS)
def test_weights_without_a_place_are_refused(tmp_path, what):
    weights, message = NO_WEIGHTS[what]
    by_hand(tmp_path, weights)
    with pytest.raises(AdapterError, match=message) as error:
        read_adapter(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_scales_of_what_comes_in_are_refused(tmp_path):
    weights = {"transformer.layer.0.ffn.lin2.ia3_l": torch.ones(1, 16)}
    by_hand(tmp_path, weights, peft_type="IA3", feedforward_modules=["lin2"])
    with pytest.raises(AdapterError, match=r"\(1, 16\) .*only what goes out can be scaled"):
        read_adapter(tmp_path)


# Writing -----------------------------------------------------------------------------------------


PLAIN = LoRAConfig(r=2, attn_matrices=["q"])


def lora(config=PLAIN, name="a", layers=(0, 1), rank=2, **changes):
    weights = {
        f"{Q.format(n)}.loras.{name}.lora_{part}": torch.randn(shape)
        for n in layers
        for part, shape in (("A", (rank, 8)), ("B", (8, rank)))
    }
    values = {"config": config, "info": dict(INFO), "weights": weights, "head": None}
    return StoredAdapter(name=name, **{**values, **changes})


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (LoRAConfig(r=2, alpha=3, dropout=0.25, attn_matrices=["q"]), (0, 1, 2)),
        (LoRAConfig(r=2, use_rslora=True, attn_matrices=["q"]), (0, 1)),
        (LoRAConfig(r=2, attn_matrices=["q"], leave_out=[1, *range(3, 48)]), (0, 2)),
        (LoRAConfig(r=2, attn_matrices=["q"], alpha_pattern={Q.format(1): 3}), (0, 1, 2)),
    ],
)
def test_what_is_written_is_read_again(tmp_path, config, layers):
    stored = lora(config, layers=layers)
    write_peft(tmp_path / "new" / "folder", stored)
    found = read_adapter(tmp_path / "new" / "folder")
    assert found.config == config
    same(found.weights, {k.replace(".a.", ".default."): v for k, v in stored.weights.items()})


def test_the_class_says_how_keys_start(tmp_path):
    for given, start in [
        ({}, "base_model.model.distilbert.transformer"),
        ({"model_class": "DistilBertModel"}, "base_model.model.transformer"),
    ]:
        write_peft(tmp_path, lora(), **given)
        held = load_file(tmp_path / "adapter_model.safetensors")
        assert {key[: len(start)] for key in held} == {start}


@pytest.mark.parametrize("safe", [True, False])
def test_a_folder_of_adapterhub_becomes_one_of_peft_and_nothing_old_is_left(tmp_path, safe):
    write_adapter(tmp_path, adapter(), safe=not safe)
    paths = write_peft(tmp_path, lora(), safe=safe)
    assert sorted(contents(tmp_path)) == sorted(path.name for path in paths)
    assert read_adapter(tmp_path).name == "default"
    write_adapter(tmp_path, adapter(), safe=not safe)
    assert read_adapter(tmp_path).name == "a"
    assert not any(name.startswith("adapter_model") for name in contents(tmp_path))


def test_a_fixed_head_is_saved_with_its_task(tmp_path):
    write_peft(tmp_path, lora(head=FIXED), model_class="DistilBertForTokenClassification")
    data = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (data["task_type"], data["modules_to_save"]) == ("TOKEN_CLS", ["classifier"])
    same(read_adapter(tmp_path).head.weights, FIXED.weights)


def test_the_alpha_of_a_scale_goes_into_its_vector(tmp_path):
    config = IA3Config(alpha=3, attn_matrices=["q"], intermediate_lora=False)
    key = f"{Q.format(0)}.loras.a.lora_B"
    write_peft(tmp_path, lora(config, weights={key: torch.full((8, 1), 2.0)}))
    found = read_adapter(tmp_path)
    assert found.config.alpha == 1
    assert torch.equal(next(iter(found.weights.values())), torch.full((8, 1), 6.0))


SCALE = IA3Config(attn_matrices=["q"], intermediate_lora=False)
UNWRITABLE = {
    "a bottleneck": (adapter(config=SeqBnConfig()), "cannot save SeqBnConfig for PEFT; allowed"),
    "gates": (lora(LoRAConfig(use_gating=True)), "use_gating True for PEFT: it has no gates"),
    "DoRA": (lora(DoRAConfig()), "use_dora True for PEFT"),
    "VeRA": (lora(VeraConfig()), "vera_d 0.1 for PEFT"),
    "several tasks": (lora(MTLLoRAConfig()), "cannot save MTLLoRAConfig"),
    "parts that differ": (
        lora(
            ConfigUnion(
                LoRAConfig(attn_matrices=["q"]), LoRAConfig(attn_matrices=["v"], dropout=0.5)
            )
        ),
        "whose parts differ",
    ),
    "no weights": (lora(weights={}), "'a' has no weights"),
    "weights of another": (lora(name="b", weights=lora().weights), "no place .* of 'b' alone"),
    "weights that the configuration has not": (
        lora(LoRAConfig(r=2, attn_matrices=["v"])),
        "hangs where its configuration has nothing",
    ),
    "half a pair": (
        lora(weights={f"{Q.format(0)}.loras.a.lora_A": torch.ones(2, 8)}),
        "lora_B of shape none",
    ),
    "a matrix that is no part": (
        lora(SCALE),
        "cannot save '.*lora_A' for PEFT",
    ),
    "a flexible head": (lora(head=head()), "cannot save the flexible head 'a' for PEFT"),
    "the head of another class": (
        lora(head=StoredHead(None, None, {}, {"qa_outputs.weight": torch.ones(2, 8)})),
        r"cannot save the head weights \['qa_outputs.weight'\] with a DistilBertAdapterModel",
    ),
}


@pytest.mark.parametrize("what", UNWRITABLE)
def test_what_peft_cannot_compute_is_refused_and_nothing_is_written(tmp_path, what):
    stored, message = UNWRITABLE[what]
    with pytest.raises(AdapterError, match=message):
        write_peft(tmp_path / "new", stored)
    assert not (tmp_path / "new").exists()
