"""Adapter folders to and from the installed PEFT package."""

import math

import peft
import pytest
import torch
import transformers
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

import distilbert
from distilbert.adapters.configs import ConfigUnion, members
from distilbert.adapters.store import read_adapter, write_adapter, write_peft
from distilbert.errors import AdapterError

SIZES = {
    "vocab_size": 40,
    "max_position_embeddings": 16,
    "dim": 8,
    "n_layers": 3,
    "n_heads": 2,
    "hidden_dim": 16,
}
EVERYWHERE = ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"]
SEQUENCES = "DistilBertForSequenceClassification"
# name → class of the model, configuration of PEFT
CASES = {
    "plain": ("DistilBertModel", LoraConfig(target_modules=["q_lin", "v_lin"], r=2)),
    "everywhere": (
        SEQUENCES,
        LoraConfig(task_type="SEQ_CLS", target_modules=EVERYWHERE, r=4, lora_alpha=16),
    ),
    "all linear": (
        "DistilBertForMaskedLM",
        LoraConfig(target_modules="all-linear", r=2, exclude_modules=["vocab_transform"]),
    ),
    "a pattern of modules": (
        "DistilBertModel",
        LoraConfig(target_modules=r".*layer\.[02]\..*(q|out)_lin", r=2),
    ),
    "some layers": (
        SEQUENCES,
        LoraConfig(target_modules=["k_lin", "lin1"], layers_to_transform=[1], r=2),
    ),
    "one layer of the base class": (
        "DistilBertModel",
        LoraConfig(target_modules=["q_lin"], layers_to_transform=0, r=2),
    ),
    "other modules in other layers": (
        SEQUENCES,
        LoraConfig(target_modules=r".*(0\.attention\.q_lin|1\.ffn\.lin2|[01].*v_lin)", r=2),
    ),
    "ranks and alphas by pattern": (
        "DistilBertForTokenClassification",
        LoraConfig(
            task_type="TOKEN_CLS",
            target_modules=["q_lin", "lin2"],
            r=2,
            lora_alpha=6,
            rank_pattern={r"layer\.1\.attention\.q_lin": 5, "^distilbert.*lin2": 3},
            alpha_pattern={"q_lin": 7, r".*layer\.[12]\.ffn\.lin2": 9, "lin2": 11},
        ),
    ),
    "stabilised": (
        "DistilBertForQuestionAnswering",
        LoraConfig(
            task_type="QUESTION_ANS",
            target_modules=["q_lin"],
            modules_to_save=["qa_outputs"],
            r=4,
            lora_alpha=6,
            lora_dropout=0.25,
            use_rslora=True,
        ),
    ),
    "a head that was named": (
        SEQUENCES,
        LoraConfig(target_modules=["q_lin"], modules_to_save=["pre_classifier", "classifier"]),
    ),
    "the head of a language model": (
        "DistilBertForMaskedLM",
        LoraConfig(
            target_modules=["q_lin"],
            modules_to_save=["vocab_transform", "vocab_layer_norm", "vocab_projector"],
        ),
    ),
    "IA3": (
        SEQUENCES,
        IA3Config(
            task_type="SEQ_CLS",
            target_modules=["k_lin", "v_lin", "lin1", "lin2"],
            feedforward_modules=[],
        ),
    ),
    "IA3 in some layers": (
        "DistilBertModel",
        IA3Config(target_modules=r".*layer\.[12]\..*v_lin", feedforward_modules=[]),
    ),
}


def theirs(case, seed=0):
    """A model of PEFT with random weights."""
    name, config = CASES[case]
    torch.manual_seed(seed)
    base = getattr(transformers, name)(transformers.DistilBertConfig(**SIZES))
    model = get_peft_model(base, config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def base_of(case, **settings):
    torch.manual_seed(1)
    return getattr(transformers, CASES[case][0])(transformers.DistilBertConfig(**SIZES, **settings))


def trained(model):
    """The tensors of the adapter and of the modules that are saved with it."""
    return peft.get_peft_model_state_dict(model)


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_what_peft_saved_it_loads_again_from_our_copy(tmp_path, case, safe):
    model = theirs(case)
    model.save_pretrained(tmp_path / "theirs", safe_serialization=safe)
    stored = read_adapter(tmp_path / "theirs")
    write_peft(tmp_path / "ours", stored, safe=safe)
    again = PeftModel.from_pretrained(base_of(case), tmp_path / "ours")
    same(trained(again), trained(model))
    for name, module in model.named_modules():
        if hasattr(module, "lora_alpha"):
            copy = again.get_submodule(name)
            for what in ("r", "scaling", "use_rslora"):
                assert getattr(copy, what) == getattr(module, what), (name, what)
            assert str(copy.lora_dropout) == str(module.lora_dropout)


@pytest.mark.parametrize("case", CASES)
def test_each_weight_of_a_peft_folder_has_its_place_and_its_scale(tmp_path, case):
    model = theirs(case)
    model.save_pretrained(tmp_path)
    stored = read_adapter(tmp_path)
    held = load_file(tmp_path / "adapter_model.safetensors")
    assert len(stored.weights) + len(stored.head.weights if stored.head else ()) == len(held)
    modules = {
        name.removeprefix("base_model.model.").removeprefix("distilbert."): module
        for name, module in model.named_modules()
    }
    for key, tensor in stored.weights.items():
        path, _, part = key.partition(".loras.default.")
        module = modules[path]
        if hasattr(module, "ia3_l"):
            assert part == "lora_B"
            assert torch.equal(tensor, module.ia3_l["default"])
            continue
        assert torch.equal(tensor, getattr(module, part)["default"].weight)
        assert scale(stored.config, path) == module.scaling["default"]


def scale(config, path):
    """What our configuration says of a module, by the names of its sites."""
    layer = int(path.split(".")[2])
    site = path.rpartition(".")[2]
    for part in members(config):
        sites = {f"{letter}_lin" for letter in part.attn_matrices if part.selfattn_lora}
        sites |= {"lin1"} if part.intermediate_lora else set()
        sites |= {"lin2"} if part.output_lora else set()
        if site in sites and layer not in part.leave_out:
            rank = part.rank_pattern.get(path, part.r)
            alpha = part.alpha_pattern.get(path, part.alpha)
            return alpha / (math.sqrt(rank) if part.use_rslora else rank)
    raise AssertionError(f"nothing hangs at {path}")


@pytest.mark.parametrize("case", CASES)
def test_layers_and_modules_without_weights_are_left_out(tmp_path, case):
    theirs(case).save_pretrained(tmp_path)
    stored = read_adapter(tmp_path)
    wanted = {key.partition(".loras.")[0] for key in stored.weights}
    found = set()
    for layer in range(SIZES["n_layers"]):
        for site in ("q_lin", "k_lin", "v_lin", "out_lin"):
            found.add(f"transformer.layer.{layer}.attention.{site}")
        found |= {f"transformer.layer.{layer}.ffn.{site}" for site in ("lin1", "lin2")}
    for path in found - wanted:
        with pytest.raises(AssertionError, match="nothing hangs"):
            scale(stored.config, path)
    for path in found & wanted:
        scale(stored.config, path)


def test_modules_that_differ_between_layers_become_a_union(tmp_path):
    theirs("other modules in other layers").save_pretrained(tmp_path)
    stored = read_adapter(tmp_path)
    assert isinstance(stored.config, ConfigUnion)
    assert [part.attn_matrices for part in members(stored.config) if part.selfattn_lora] == [
        ("q",),
        ("v",),
    ]


def test_a_peft_adapter_is_saved_as_a_folder_of_adapterhub_and_back(tmp_path):
    model = theirs("everywhere")
    model.save_pretrained(tmp_path / "theirs")
    stored = read_adapter(tmp_path / "theirs")
    write_adapter(tmp_path / "hub", stored)
    write_peft(tmp_path / "ours", read_adapter(tmp_path / "hub"))
    again = PeftModel.from_pretrained(base_of("everywhere"), tmp_path / "ours")
    same(trained(again), trained(model))


IDS = torch.tensor([[2, 9, 4, 31, 7, 3], [2, 5, 8, 3, 1, 1]])


def said(model, **options):
    """What a model of any package says of a batch: its tensors."""
    with torch.no_grad():
        found = model(IDS, **options)
    return {key: value for key, value in found.items() if torch.is_tensor(value)}


@pytest.mark.parametrize("case", CASES)
def test_both_packages_compute_the_same_with_the_same_folder(tmp_path, case):
    theirs(case).save_pretrained(tmp_path / "theirs")
    base_of(case, initializer_range=0.5).save_pretrained(tmp_path / "base")

    def base():
        return getattr(transformers, CASES[case][0]).from_pretrained(tmp_path / "base")

    there = PeftModel.from_pretrained(base(), tmp_path / "theirs").eval()
    # a projection that was trained is not the table of the embeddings any more
    free = {"tie_word_embeddings": False} if "language model" in case else {}
    ours = getattr(distilbert, CASES[case][0]).from_pretrained(tmp_path / "base", **free)
    plain = said(ours)
    assert ours.load_adapter(tmp_path / "theirs", load_as="a", set_active=True) == "a"
    wanted = said(there)
    torch.testing.assert_close(said(ours), wanted, rtol=1e-4, atol=1e-4)
    assert any((plain[key] - wanted[key]).abs().max() > 0.01 for key in wanted)

    ours.save_adapter(tmp_path / "ours", "a", peft=True)
    again = PeftModel.from_pretrained(base(), tmp_path / "ours").eval()
    torch.testing.assert_close(said(again), wanted, rtol=1e-4, atol=1e-4)
    flexible = distilbert.DistilBertModelWithHeads(ours.config).eval()
    flexible.distilbert.load_state_dict(ours.base_model.state_dict(), strict=False)
    flexible.load_adapter(tmp_path / "ours", load_as="b", set_active=True)
    hidden = ours.base_model(IDS).last_hidden_state
    torch.testing.assert_close(flexible.base_model(IDS).last_hidden_state, hidden)
    if read_adapter(tmp_path / "ours").head is not None:
        assert flexible.active_head == "b"
        torch.testing.assert_close(said(flexible), wanted, rtol=1e-4, atol=1e-4)


REFUSED = {
    "DoRA": (LoraConfig(target_modules=["q_lin"], use_dora=True), "use_dora True.*norm"),
    "biases": (LoraConfig(target_modules=["q_lin"], bias="lora_only"), "bias 'lora_only'"),
    "a bias of the product": (
        LoraConfig(target_modules=["q_lin"], lora_bias=True),
        "lora_bias True",
    ),
    "a start in the model": (
        LoraConfig(target_modules=["q_lin"], r=2, init_lora_weights="pissa"),
        "init_lora_weights 'pissa'.*change the model beneath",
    ),
    "embeddings": (
        LoraConfig(target_modules=["word_embeddings"], r=2),
        "word_embeddings.* has no place",
    ),
    "a layer of the head": (
        LoraConfig(target_modules=["q_lin", "pre_classifier"], r=2),
        "pre_classifier.lora_A.weight'.* has no place",
    ),
    "tokens": (
        LoraConfig(target_modules=["q_lin"], trainable_token_indices=[1]),
        "trainable_token_indices",
    ),
    "what comes in": (
        IA3Config(target_modules=["lin2"], feedforward_modules=["lin2"]),
        r"shape \(1, 16\) .*feedforward_modules",
    ),
    "another method": (peft.LoHaConfig(target_modules=["q_lin"]), "peft_type 'LOHA'; allowed"),
}


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`", "ignore:.*invalid shape")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_computed_exactly_is_refused(tmp_path, case):
    config, message = REFUSED[case]
    torch.manual_seed(0)
    base = getattr(transformers, SEQUENCES)(transformers.DistilBertConfig(**SIZES))
    get_peft_model(base, config).save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match=message):
        read_adapter(tmp_path)
