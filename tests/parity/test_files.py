"""Checkpoints to and from the installed reference."""

import json
import os

import pytest
import torch
import transformers

import distilbert
from checkpoints import BERT_SIZES, SIZES, contents, scattered, tiny
from distilbert.files.backbones import cache_home, fetch
from distilbert.files.checkpoint import load_pretrained, save_pretrained

NAMES = [
    "DistilBertModel",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForQuestionAnswering",
    "DistilBertForTokenClassification",
    "DistilBertForMultipleChoice",
]
IDS = torch.tensor([[1, 5, 9, 2, 0, 0], [1, 7, 7, 8, 30, 2]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])

# The models are the same and so is the order of most sums; float32 rounding through two layers of
# width 8 with values around 1 leaves a few units in the last place.
CLOSE = {"atol": 2e-6, "rtol": 1e-5}
LAYOUTS = [
    {},
    {"max_shard_size": "2KB"},
    {"safe_serialization": False},
    {"safe_serialization": False, "max_shard_size": "2KB"},
    {"variant": "fp16"},
    {"variant": "fp16", "max_shard_size": "2KB"},
]


def theirs(name, seed=0, **settings):
    torch.manual_seed(seed)
    config = transformers.DistilBertConfig(**{**SIZES, **settings})
    return scattered(getattr(transformers, name)(config).eval())


def ours(name):
    return getattr(distilbert, name)


def inputs(name):
    if name == "DistilBertForMultipleChoice":
        return {"input_ids": IDS[None], "attention_mask": MASK[None]}
    return {"input_ids": IDS, "attention_mask": MASK}


def answers(model, name):
    with torch.no_grad():
        return model(**inputs(name))[0]


def real(name, values):
    """Without the values of padding, which nobody reads and which both leave undefined."""
    return values[MASK.bool()] if values.shape[:2] == MASK.shape else values


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_reference_saves_is_loaded_here(tmp_path, name, layout):
    model = theirs(name, num_labels=2 if "Question" in name else 3)
    model.save_pretrained(tmp_path, **layout)
    again, report = load_pretrained(ours(name), tmp_path, variant=layout.get("variant"))
    assert report.complete
    assert report.unexpected == []
    assert again.config.num_labels == model.config.num_labels
    state = model.state_dict()
    assert again.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    torch.testing.assert_close(
        real(name, answers(again, name)), real(name, answers(model, name)), **CLOSE
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_saved_here_is_loaded_by_the_reference(tmp_path, name, layout):
    model = tiny(ours(name), num_labels=2 if "Question" in name else 3)
    save_pretrained(model, tmp_path, **layout)
    again, info = getattr(transformers, name).from_pretrained(
        tmp_path, variant=layout.get("variant"), output_loading_info=True
    )
    assert not any(info.values())
    state = model.state_dict()
    assert again.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    torch.testing.assert_close(
        real(name, answers(model, name)), real(name, answers(again, name)), **CLOSE
    )


@pytest.mark.parametrize("name", NAMES)
def test_both_write_the_same_keys_and_shards(tmp_path, name):
    from safetensors.torch import load_file

    theirs(name).save_pretrained(tmp_path / "theirs", max_shard_size="2KB")
    save_pretrained(tiny(ours(name)), tmp_path / "ours", max_shard_size="2KB")
    files = contents(tmp_path / "theirs").keys()
    assert contents(tmp_path / "ours").keys() == files
    for file in files:
        if file.endswith(".safetensors"):
            mine, other = (load_file(tmp_path / who / file) for who in ("ours", "theirs"))
            assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in other.items()}
    index, other = (
        json.loads((tmp_path / who / "model.safetensors.index.json").read_text())
        for who in ("ours", "theirs")
    )
    assert index["weight_map"] == other["weight_map"]


@pytest.mark.parametrize("wanted", NAMES)
@pytest.mark.parametrize("saved", NAMES)
def test_missing_and_unexpected_keys_are_those_of_the_reference(tmp_path, saved, wanted):
    theirs(saved).save_pretrained(tmp_path)
    _, info = getattr(transformers, wanted).from_pretrained(
        tmp_path, output_loading_info=True, ignore_mismatched_sizes=True
    )
    _, report = load_pretrained(ours(wanted), tmp_path, ignore_mismatched_sizes=True)
    assert report.as_dict() == {
        "not_finite_keys": [],
        **{name: value if name == "error_msgs" else sorted(value) for name, value in info.items()},
    }


def test_mismatched_keys_are_those_of_the_reference(tmp_path):
    name = "DistilBertForSequenceClassification"
    theirs(name).save_pretrained(tmp_path)
    options = {"num_labels": 5, "ignore_mismatched_sizes": True}
    _, info = getattr(transformers, name).from_pretrained(
        tmp_path, output_loading_info=True, **options
    )
    _, report = load_pretrained(ours(name), tmp_path, **options)
    assert report.as_dict()["mismatched_keys"] == sorted(info["mismatched_keys"])
    assert report.as_dict()["missing_keys"] == sorted(info["missing_keys"])
    with pytest.raises(RuntimeError, match="size mismatch"):
        getattr(transformers, name).from_pretrained(tmp_path, num_labels=5)
    with pytest.raises(distilbert.FileError, match="ignore_mismatched_sizes"):
        load_pretrained(ours(name), tmp_path, num_labels=5)


def test_old_names_of_norms_load_as_in_the_reference(tmp_path):
    model = theirs("DistilBertModel")
    model.config.save_pretrained(tmp_path)
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): v
        for key, v in model.state_dict().items()
    }
    assert old.keys() != model.state_dict().keys()
    torch.save(old, tmp_path / "pytorch_model.bin")
    again, report = load_pretrained(distilbert.DistilBertModel, tmp_path)
    assert report.complete
    assert torch.equal(
        again.embeddings.LayerNorm.weight, theirs("DistilBertModel").embeddings.LayerNorm.weight
    )
    other, info = transformers.DistilBertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(
        answers(again, "DistilBertModel")[MASK.bool()],
        answers(other, "DistilBertModel")[MASK.bool()],
        **CLOSE,
    )


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", torch.float16, None])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_the_dtype_of_a_loaded_model_is_that_of_the_reference(tmp_path, dtype, stored):
    theirs("DistilBertModel").to(stored).save_pretrained(tmp_path)
    other = transformers.DistilBertModel.from_pretrained(tmp_path, dtype=dtype)
    model, _ = load_pretrained(distilbert.DistilBertModel, tmp_path, dtype=dtype)
    assert model.dtype == other.dtype
    state = other.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


# BERT --------------------------------------------------------------------------------------------

BERT = {key: value for key, value in BERT_SIZES.items() if key != "model_type"}
PAIRS = {
    "BertModel": "DistilBertModel",
    "BertForMaskedLM": "DistilBertForMaskedLM",
    "BertForPreTraining": "DistilBertForMaskedLM",
    "BertForTokenClassification": "DistilBertForTokenClassification",
    "BertForQuestionAnswering": "DistilBertForQuestionAnswering",
}


def bert(name, **settings):
    torch.manual_seed(0)
    model = getattr(transformers, name)(transformers.BertConfig(**{**BERT, **settings})).eval()
    with torch.no_grad():  # the reference starts from 0.02: too small to show a wrong place
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
def test_a_bert_computes_here_what_it_computes_there(tmp_path, name, activation):
    model = bert(name, hidden_act=activation)
    model.save_pretrained(tmp_path)
    again, report = load_pretrained(ours(PAIRS[name]), tmp_path)
    assert report.complete
    assert report.unexpected == []
    with torch.no_grad():
        out, other = again(IDS, MASK), model(IDS, MASK)
    logits = ["start_logits", "end_logits"] if "Question" in name else None
    keys = logits or (["last_hidden_state"] if name == "BertModel" else ["logits"])
    for key in keys:
        there = other["prediction_logits"] if name == "BertForPreTraining" else other[key]
        # sums of segment and position are in another order: rounding of embeddings, then two layers
        torch.testing.assert_close(out[key][MASK.bool()], there[MASK.bool()], atol=2e-5, rtol=1e-4)


def test_a_bert_saved_here_is_a_distilbert_there(tmp_path):
    model = bert("BertForMaskedLM")
    model.save_pretrained(tmp_path / "bert")
    again, _ = load_pretrained(distilbert.DistilBertForMaskedLM, tmp_path / "bert")
    save_pretrained(again, tmp_path / "distilbert")
    other, info = transformers.DistilBertForMaskedLM.from_pretrained(
        tmp_path / "distilbert", output_loading_info=True
    )
    assert not any(info.values())
    with torch.no_grad():
        there = model(IDS, MASK).logits[MASK.bool()]
        torch.testing.assert_close(
            other(IDS, MASK).logits[MASK.bool()], there, atol=2e-5, rtol=1e-4
        )


@pytest.mark.diverges(
    "transformers 4.57.6: a BERT of whole texts is 'corrupted'; here its encoder is loaded, and "
    "the report says why its classifier is not"
)
def test_a_bert_classifier_is_never_read_as_ours(tmp_path, monkeypatch):
    # to which `adapters`, once it has been used, adds names for good
    own = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}
    monkeypatch.setattr(transformers.DistilBertConfig, "attribute_map", own)
    bert("BertForSequenceClassification").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="corrupted"):
        transformers.DistilBertForSequenceClassification.from_pretrained(tmp_path)
    _, report = load_pretrained(distilbert.DistilBertForSequenceClassification, tmp_path)
    assert {"classifier.bias", "classifier.weight"} <= {*report.missing} & report.left_out.keys()


def test_another_epsilon_in_the_norms_changes_answers_and_is_refused(tmp_path):
    model = bert("BertModel", layer_norm_eps=1e-5)
    usual = bert("BertModel")
    with torch.no_grad():
        far = (model(IDS, MASK)[0] - usual(IDS, MASK)[0])[MASK.bool()].abs().max()
    assert far > 2e-6  # beyond rounding
    model.save_pretrained(tmp_path)
    with pytest.raises(distilbert.ConfigError, match="layer_norm_eps 1e-05"):
        load_pretrained(distilbert.DistilBertModel, tmp_path)


# The default model -------------------------------------------------------------------------------

here = (cache_home() / "minilm" / "model.safetensors").exists()


@pytest.mark.skipif(not here, reason="minilm is not in the cache: run `distilbert fetch minilm`")
def test_minilm_computes_here_what_it_computes_there():
    folder = fetch("minilm", local_files_only=True)
    other = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    model, report = load_pretrained(distilbert.DistilBertModel, "minilm")
    assert report.complete
    assert model.name_or_path == "minilm"
    torch.manual_seed(0)
    ids = torch.randint(1000, 30000, (4, 128))
    mask = torch.ones_like(ids)
    mask[1, 60:], mask[3, 5:] = 0, 0
    with torch.no_grad():
        there, found = other(ids, mask)[0], model(ids, mask)[0]
    # six layers of width 384, values up to 4: rounding of float32
    torch.testing.assert_close(found[mask.bool()], there[mask.bool()], atol=2e-5, rtol=1e-4)


def test_the_reference_is_the_version_that_the_tables_name():
    assert transformers.__version__ == "4.57.6"
    assert os.environ["HF_HUB_OFFLINE"] == "1"
