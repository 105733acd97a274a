import pytest
import torch

from checkpoints import BERT_SIZES, SIZES, bert_tensors, tiny, write_checkpoint
from distilbert import (
    ConfigError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
    FileError,
)
from distilbert.files.checkpoint import load_pretrained
from distilbert.files.foreign import settings_from_bert, translate

# Configuration -----------------------------------------------------------------------------------


def test_every_size_of_a_bert_configuration_is_taken_over():
    config = DistilBertConfig.from_dict({**BERT_SIZES, "hidden_dropout_prob": 0.3})
    assert (config.dim, config.hidden_dim, config.n_layers, config.n_heads) == (8, 16, 2, 2)
    assert (config.vocab_size, config.max_position_embeddings, config.dropout) == (50, 16, 0.3)


def test_a_bert_configuration_that_says_nothing_means_berts_own_defaults():
    ours = settings_from_bert({"model_type": "bert"})
    assert (ours["n_layers"], ours["n_heads"], ours["dim"], ours["hidden_dim"]) == (
        12,
        12,
        768,
        3072,
    )
    assert (ours["activation"], ours["dropout"], ours["attention_dropout"]) == ("gelu", 0.1, 0.1)


def test_shared_and_unknown_settings_are_kept_and_those_of_bert_alone_are_not():
    labels = {"0": "no", "1": "yes"}
    ours = settings_from_bert(
        {**BERT_SIZES, "id2label": labels, "mine": 1, "use_cache": True, "pooler_fc_size": 768}
    )
    assert ours["id2label"] == labels
    assert ours["mine"] == 1
    assert not {"use_cache", "pooler_fc_size", "type_vocab_size", "hidden_size"} & ours.keys()
    assert ours["model_type"] == "distilbert"


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("position_embedding_type", "relative_key", "position_embedding_type 'relative_key'"),
        ("is_decoder", True, "is_decoder True"),
        ("add_cross_attention", True, "add_cross_attention True"),
        ("layer_norm_eps", 1e-5, "layer_norm_eps 1e-05.*allowed: 1e-12"),
        ("embedding_size", 4, "embedding_size 4 and hidden_size 8"),
        ("hidden_act", "mish_of_mine", "mish_of_mine"),
    ],
)
def test_a_bert_that_no_distilbert_equals_is_refused(tmp_path, setting, value, message):
    write_checkpoint(tmp_path, bert_tensors(), {**BERT_SIZES, setting: value})
    with pytest.raises(ConfigError, match=message) as error:
        load_pretrained(DistilBertModel, tmp_path)
    assert str(tmp_path / "config.json") in str(error.value)


# Weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_every_bert_weight_lands_in_its_place(tmp_path, prefix):
    tensors = bert_tensors(prefix)
    write_checkpoint(tmp_path, tensors, BERT_SIZES)
    model, report = load_pretrained(DistilBertModel, tmp_path)
    assert report.complete
    assert report.unexpected == []
    state = model.state_dict()
    layer, theirs = (
        state_of(state, "transformer.layer.1."),
        state_of(tensors, f"{prefix}encoder.layer.1."),
    )
    pairs = {
        "attention.q_lin": "attention.self.query",
        "attention.k_lin": "attention.self.key",
        "attention.v_lin": "attention.self.value",
        "attention.out_lin": "attention.output.dense",
        "sa_layer_norm": "attention.output.LayerNorm",
        "ffn.lin1": "intermediate.dense",
        "ffn.lin2": "output.dense",
        "output_layer_norm": "output.LayerNorm",
    }
    for ours, bert in pairs.items():
        for name in ("weight", "bias"):
            assert torch.equal(layer[f"{ours}.{name}"], theirs[f"{bert}.{name}"])


def state_of(state, start):
    return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}


def test_segment_zero_is_added_to_the_positions_and_the_report_says_so(tmp_path):
    tensors = bert_tensors()
    write_checkpoint(tmp_path, tensors, BERT_SIZES)
    model, report = load_pretrained(DistilBertModel, tmp_path)
    positions = tensors["bert.embeddings.position_embeddings.weight"]
    segment = tensors["bert.embeddings.token_type_embeddings.weight"][0]
    assert torch.equal(model.embeddings.position_embeddings.weight, positions + segment)
    assert set(report.left_out) == {
        "bert.embeddings.token_type_embeddings.weight",
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
    }
    assert "segment 0 is added to the positions" in str(report)
    assert "a DistilBERT has none" in str(report)


def test_segments_of_sixteen_bits_are_added_in_thirty_two(tmp_path):
    tensors = {key: value.half() for key, value in bert_tensors().items()}
    write_checkpoint(tmp_path, tensors, BERT_SIZES)
    model, _ = load_pretrained(DistilBertModel, tmp_path)
    positions = tensors["bert.embeddings.position_embeddings.weight"].float()
    segment = tensors["bert.embeddings.token_type_embeddings.weight"][0].float()
    wide = positions + segment
    assert not torch.equal(wide, wide.half().float())  # else this test would show nothing
    assert torch.equal(model.embeddings.position_embeddings.weight, wide)


def test_old_files_hold_a_buffer_of_positions_that_nobody_needs(tmp_path):
    tensors = bert_tensors() | {"bert.embeddings.position_ids": torch.arange(16)[None]}
    write_checkpoint(tmp_path, tensors, BERT_SIZES)
    _, report = load_pretrained(DistilBertModel, tmp_path)
    assert report.unexpected == []


def test_the_language_model_head_of_a_bert_is_used(tmp_path):
    torch.manual_seed(1)
    head = {
        "cls.predictions.transform.dense.weight": torch.randn(8, 8),
        "cls.predictions.transform.dense.bias": torch.randn(8),
        "cls.predictions.transform.LayerNorm.gamma": torch.randn(8),
        "cls.predictions.transform.LayerNorm.beta": torch.randn(8),
        "cls.predictions.bias": torch.randn(50),
        "cls.seq_relationship.weight": torch.randn(2, 8),
        "cls.seq_relationship.bias": torch.randn(2),
    }
    head["cls.predictions.decoder.bias"] = head["cls.predictions.bias"].clone()
    write_checkpoint(tmp_path, bert_tensors() | head, BERT_SIZES)
    model, report = load_pretrained(DistilBertForMaskedLM, tmp_path)
    assert report.complete
    assert report.unexpected == []
    state = model.state_dict()
    assert torch.equal(
        state["vocab_transform.weight"], head["cls.predictions.transform.dense.weight"]
    )
    assert torch.equal(
        state["vocab_layer_norm.bias"], head["cls.predictions.transform.LayerNorm.beta"]
    )
    assert torch.equal(state["vocab_projector.bias"], head["cls.predictions.bias"])
    assert torch.equal(
        state["vocab_projector.weight"], state["distilbert.embeddings.word_embeddings.weight"]
    )
    assert "cls.seq_relationship.weight" in report.left_out


def test_a_bert_classifier_of_whole_texts_is_left_out_not_misused(tmp_path):
    tensors = bert_tensors() | {
        "classifier.weight": torch.ones(2, 8),
        "classifier.bias": torch.ones(2),
    }
    write_checkpoint(tmp_path, tensors, BERT_SIZES)
    for model_class in (DistilBertForSequenceClassification, DistilBertForTokenClassification):
        model, report = load_pretrained(model_class, tmp_path)
        assert {"classifier.weight", "classifier.bias"} <= report.left_out.keys()
        assert {"classifier.weight", "classifier.bias"} <= {*report.missing}
        assert not torch.equal(model.classifier.weight, tensors["classifier.weight"])


@pytest.mark.parametrize("pooler", [True, False])
def test_a_bert_that_tags_tokens_keeps_its_classifier(tmp_path, pooler):
    tensors = bert_tensors() | {
        "classifier.weight": torch.ones(2, 8),
        "classifier.bias": torch.ones(2),
    }
    tensors = {key: value for key, value in tensors.items() if pooler or "pooler" not in key}
    config = {**BERT_SIZES, "architectures": ["BertForTokenClassification"]}
    write_checkpoint(tmp_path, tensors, config)
    model, report = load_pretrained(DistilBertForTokenClassification, tmp_path)
    assert report.complete
    assert torch.equal(model.classifier.weight, tensors["classifier.weight"])


def test_a_bert_that_answers_questions_keeps_its_head(tmp_path):
    head = {"qa_outputs.weight": torch.ones(2, 8), "qa_outputs.bias": torch.ones(2)}
    write_checkpoint(tmp_path, bert_tensors() | head, BERT_SIZES)
    model, report = load_pretrained(DistilBertForQuestionAnswering, tmp_path)
    assert report.complete
    assert torch.equal(model.qa_outputs.weight, head["qa_outputs.weight"])


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("encoder.layer.0.attention.self.distance_embedding.weight", "relative position"),
        ("encoder.layer.0.crossattention.self.query.weight", "second input"),
        ("embeddings_project.weight", "narrower"),
    ],
)
def test_a_key_of_another_computation_is_refused(tmp_path, key, what):
    write_checkpoint(tmp_path, bert_tensors() | {f"bert.{key}": torch.ones(8, 8)}, BERT_SIZES)
    with pytest.raises(FileError, match=what):
        load_pretrained(DistilBertModel, tmp_path)


def test_a_bert_of_another_depth_is_refused(tmp_path):
    write_checkpoint(tmp_path, bert_tensors(), {**BERT_SIZES, "num_hidden_layers": 1})
    with pytest.raises(FileError, match=r"has 2 layers and the configuration 1.*n_layers=2"):
        load_pretrained(DistilBertModel, tmp_path)


@pytest.mark.parametrize("kind", ["roberta", "electra", "gpt2"])
def test_another_kind_of_model_is_refused_even_with_a_configuration_of_ours(tmp_path, kind):
    write_checkpoint(tmp_path, bert_tensors(""), {**BERT_SIZES, "model_type": kind})
    with pytest.raises(ConfigError, match=f"model_type is '{kind}'"):
        load_pretrained(DistilBertModel, tmp_path)
    with pytest.raises(FileError, match=f"model_type '{kind}'"):
        load_pretrained(DistilBertModel, tmp_path, config=DistilBertConfig(**SIZES))


@pytest.mark.parametrize(
    ("segments", "positions"),
    [((0, 8), (16, 8)), ((2, 4), (16, 8)), ((2,), (16, 8)), ((2, 8), (16,))],
)
def test_segments_that_do_not_fit_the_positions_are_refused(tmp_path, segments, positions):
    tensors = bert_tensors() | {
        "bert.embeddings.token_type_embeddings.weight": torch.ones(segments),
        "bert.embeddings.position_embeddings.weight": torch.ones(positions),
    }
    write_checkpoint(tmp_path, tensors, BERT_SIZES)
    with pytest.raises(FileError, match=r"token_type_embeddings\.weight' has the shape"):
        load_pretrained(DistilBertModel, tmp_path)


# Old names and prefixes --------------------------------------------------------------------------


def test_gamma_and_beta_are_the_old_names_of_a_norm():
    model = tiny(DistilBertModel)
    state = model.state_dict()
    old = {
        key.replace("norm.weight", "norm.gamma")
        .replace("norm.bias", "norm.beta")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): value
        for key, value in state.items()
    }
    assert sum(key.endswith((".gamma", ".beta")) for key in old) == 10
    found = translate(old, state, "distilbert")
    assert found.tensors.keys() == state.keys()


def test_gamma_of_anything_else_keeps_its_name():
    found = translate({"scale.gamma": torch.ones(1)}, [], "distilbert")
    assert list(found.tensors) == ["scale.gamma"]


def test_a_weight_under_its_old_and_its_new_name_must_be_the_same():
    pair = {
        "embeddings.LayerNorm.gamma": torch.ones(8),
        "embeddings.LayerNorm.weight": torch.ones(8),
    }
    assert list(translate(pair, [], "distilbert").tensors) == ["embeddings.LayerNorm.weight"]
    pair["embeddings.LayerNorm.gamma"] = torch.zeros(8)
    with pytest.raises(FileError, match=r"twice, as 'embeddings.LayerNorm.gamma' and as"):
        translate(pair, [], "distilbert")


def test_the_prefix_of_the_base_is_added_and_taken_away():
    base, headed = tiny(DistilBertModel), tiny(DistilBertForMaskedLM)
    added = translate(base.state_dict(), headed.state_dict(), "distilbert")
    assert added.tensors.keys() <= headed.state_dict().keys()
    taken = translate(headed.state_dict(), base.state_dict(), "distilbert")
    assert base.state_dict().keys() <= taken.tensors.keys()
    assert taken.originals["embeddings.LayerNorm.bias"] == "distilbert.embeddings.LayerNorm.bias"
