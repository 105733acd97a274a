"""The configuration: published defaults, aliases, files, and values that cannot work."""

import copy
import json
import pickle

import pytest

from distilbert import ConfigError, DistilBertConfig, DistilBertError, FileError, InputError


def test_defaults_are_the_published_ones():
    config = DistilBertConfig()
    assert (config.vocab_size, config.max_position_embeddings) == (30522, 512)
    assert (config.n_layers, config.n_heads, config.dim, config.hidden_dim) == (6, 12, 768, 3072)
    assert (config.dropout, config.attention_dropout, config.qa_dropout) == (0.1, 0.1, 0.1)
    assert (config.seq_classif_dropout, config.initializer_range) == (0.2, 0.02)
    assert (config.activation, config.pad_token_id) == ("gelu", 0)
    assert config.sinusoidal_pos_embds is False
    assert (config.return_dict, config.use_return_dict, config.num_labels) == (True, True, 2)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}


def test_the_usual_spellings_read_and_write_the_same_settings():
    config = DistilBertConfig(hidden_size=24, num_attention_heads=2, num_hidden_layers=3)
    assert (config.dim, config.n_heads, config.n_layers) == (24, 2, 3)
    config.hidden_size = 48
    assert config.dim == config.hidden_size == 48
    assert "hidden_size" not in config.to_dict()


def test_labels_follow_from_whatever_is_given():
    assert DistilBertConfig(num_labels=3).label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    named = DistilBertConfig(id2label={"0": "no", "1": "yes", "2": "maybe"})
    assert (named.num_labels, named.id2label[2], named.label2id["maybe"]) == (3, "maybe", 2)
    assert DistilBertConfig(label2id={"b": 1, "a": 0}).id2label == {0: "a", 1: "b"}
    named.num_labels = 3
    assert named.id2label[2] == "maybe"
    named.num_labels = 4
    assert named.id2label[2] == "LABEL_2"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_heads": 7}, r"n_heads is 7 and dim is 768; allowed: heads that divide the width"),
        ({"n_layers": 0}, r"n_layers is 0; allowed: a whole number of at least 1"),
        ({"n_layers": True}, r"n_layers is True"),
        ({"n_layers": 10**7}, r"n_layers is 10000000; allowed: .* at most 1024"),
        ({"dim": 2**63, "n_heads": 1}, r"dim is 9223372036854775808; allowed: .* at most 16777216"),
        ({"hidden_dim": 2**62}, r"hidden_dim is 4611686018427387904"),
        ({"vocab_size": 2**62}, r"vocab_size is 4611686018427387904"),
        ({"max_position_embeddings": 2**64}, r"max_position_embeddings is 18446744073709551616"),
        ({"chunk_size_feed_forward": 2**63}, r"chunk_size_feed_forward is 9223372036854775808"),
        ({"num_labels": 10**12}, r"num_labels is 1000000000000; allowed: .* at most 4194304"),
        ({"dim": 24.0}, r"dim is 24.0"),
        ({"vocab_size": "30522"}, r"vocab_size is '30522'"),
        ({"hidden_dim": -1}, r"hidden_dim is -1"),
        ({"max_position_embeddings": None}, r"max_position_embeddings is None"),
        ({"dropout": 1.1}, r"dropout is 1.1; allowed: a number from 0 to 1"),
        ({"attention_dropout": float("nan")}, r"attention_dropout is nan"),
        ({"seq_classif_dropout": "0.2"}, r"seq_classif_dropout is '0.2'"),
        ({"activation": "gleu"}, r"activation is 'gleu'; allowed: gelu, "),
        ({"activation": ["gelu"]}, r"activation is \['gelu'\]"),
        ({"initializer_range": float("inf")}, r"initializer_range is inf"),
        ({"pad_token_id": 30522}, r"pad_token_id is 30522; allowed: an id below vocab_size"),
        ({"pad_token_id": -1}, r"pad_token_id is -1"),
        ({"pad_token_id": False}, r"pad_token_id is False"),
        ({"problem_type": "ranking"}, r"problem_type is 'ranking'; allowed: None, regression"),
        ({"sinusoidal_pos_embds": 1}, r"sinusoidal_pos_embds is 1; allowed: true or false"),
        ({"id2label": {0: "a", 2: "b"}}, r"id2label numbers its labels \[0, 2\]"),
        ({"id2label": {}}, r"without gaps"),
        ({"id2label": ["a", "b"]}, r"id2label is \['a', 'b'\]; allowed: a dictionary"),
        ({"id2label": {"x": "a"}}, r"labels must be numbered"),
        ({"num_labels": 0}, r"num_labels is 0"),
        ({"num_labels": 3, "id2label": {0: "a", 1: "b"}}, r"num_labels is 3 but id2label names 2"),
        ({"pruned_heads": {0: [12]}}, r"pruned_heads is \{0: \[12\]\}; allowed"),
        ({"pruned_heads": {6: [0]}}, r"by layer \(0 to 5\)"),
        ({"pruned_heads": {0: list(range(12))}}, r"not all of them"),
        ({"id2label": {0: ["a"]}}, r"a label is \['a'\]; allowed: text, or a number"),
        ({"id2label": {0: "\ud800"}}, r"a label is '\\ud800'"),
        ({"dtype": "foo"}, r"dtype is 'foo'; allowed: None, float32"),
        ({"torch_dtype": 5}, r"dtype is '?5'?; allowed"),
        ({"is_decoder": True}, r"is_decoder is True; allowed: false: an encoder"),
        ({"chunk_size_feed_forward": -1}, r"chunk_size_feed_forward is -1"),
        ({"to_dict": 1}, r"cannot hold the key 'to_dict'"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        DistilBertConfig(**settings)


def test_a_value_that_cannot_work_is_refused_with_the_name_of_its_file(tmp_path):
    path = tmp_path / "config.json"
    for settings in ({"n_heads": 7}, {"n_layers": 0}, {"id2label": {"0": "a", "2": "b"}}):
        path.write_text(json.dumps(settings))
        with pytest.raises(ConfigError, match="allowed") as error:
            DistilBertConfig.from_json_file(path)
        assert str(path) in str(error.value)


def test_the_labels_of_a_file_count_more_than_its_number_of_them(tmp_path):
    config = DistilBertConfig.from_dict({"num_labels": 2, "id2label": {0: "a", 1: "b", 2: "c"}})
    assert config.num_labels == 3


def test_unknown_keys_of_a_file_survive_a_round_trip(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "model_type": "distilbert",
                "dim": 24,
                "n_heads": 2,
                "tie_weights_": True,
                "adapters": {"adapters": {"a": "x"}},
                "torch_dtype": "float16",
                "id2label": {"1": "ja", "0": "nein"},
                "label2id": {"nein": 0, "ja": 1},
            }
        )
    )
    config = DistilBertConfig.from_pretrained(tmp_path)
    assert config.tie_weights_ is True
    assert config.torch_dtype == config.dtype == "float16"
    config.save_pretrained(tmp_path / "again")
    again = DistilBertConfig.from_pretrained(tmp_path / "again")
    assert again == config
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert written["adapters"] == {"adapters": {"a": "x"}}
    assert written["model_type"] == "distilbert"
    assert written["id2label"] == {"0": "nein", "1": "ja"}
    assert "return_dict" not in written
    assert "name_or_path" not in written


def test_settings_given_to_from_pretrained_replace_those_of_the_file(tmp_path):
    DistilBertConfig(id2label={0: "a", 1: "b"}, dropout=0.3).save_pretrained(tmp_path)
    config = DistilBertConfig.from_pretrained(tmp_path, num_labels=5, dropout=0.0)
    assert (config.num_labels, config.dropout, config.id2label[4]) == (5, 0.0, "LABEL_4")
    assert DistilBertConfig.from_pretrained(tmp_path, num_labels=2).id2label == {0: "a", 1: "b"}
    named = DistilBertConfig.from_pretrained(tmp_path, id2label={0: "x", 1: "y", 2: "z"})
    assert named.label2id == {"x": 0, "y": 1, "z": 2}
    config, unused = DistilBertConfig.from_pretrained(
        tmp_path, return_unused_kwargs=True, hidden_size=24, elsewhere=1
    )
    assert (config.dim, unused) == (24, {"elsewhere": 1})


def test_a_configuration_of_another_kind_of_model_is_refused():
    with pytest.raises(ConfigError, match="model_type is 'roberta'"):
        DistilBertConfig.from_dict({"model_type": "roberta"})


def test_a_bert_configuration_is_translated():
    config = DistilBertConfig.from_dict(
        {
            "model_type": "bert",
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
            "hidden_dropout_prob": 0.2,
            "attention_probs_dropout_prob": 0.3,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-12,
        }
    )
    assert (config.dim, config.n_layers, config.n_heads, config.hidden_dim) == (384, 6, 12, 1536)
    assert (config.dropout, config.attention_dropout, config.activation) == (0.2, 0.3, "relu")
    assert config.to_dict()["model_type"] == "distilbert"


@pytest.mark.parametrize("content", ["[]", "{", "", '"x"', "\udcff"])
def test_a_file_that_is_no_json_object_is_refused_by_name(content, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(FileError, match=r"config\.json"):
        DistilBertConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", [None, 5, "~nosuchuser/x", "x" * 300])
def test_a_name_that_is_no_place_is_one_clear_error(name):
    with pytest.raises(DistilBertError):
        DistilBertConfig.from_pretrained(name)


def test_a_configuration_compares_copies_and_pickles_by_value():
    config = DistilBertConfig(dim=24, n_heads=2, custom={"a": [1]})
    assert config == copy.deepcopy(config) == pickle.loads(pickle.dumps(config))
    assert config != DistilBertConfig(dim=48, n_heads=2, custom={"a": [1]})
    assert config != "config"


def test_the_repr_shows_what_differs_from_the_defaults():
    assert repr(DistilBertConfig()) == "DistilBertConfig()"
    shown = repr(DistilBertConfig(dim=24, n_heads=2, id2label={0: "no", 1: "yes"}))
    assert shown == "DistilBertConfig(n_heads=2, dim=24, id2label={0: 'no', 1: 'yes'})"


def test_an_update_that_cannot_work_changes_nothing():
    config = DistilBertConfig()
    with pytest.raises(ConfigError, match="n_heads is 7"):
        config.update({"dropout": 0.5, "n_heads": 7})
    assert config == DistilBertConfig()
    config.update({"dropout": 0.5, "hidden_size": 36})
    assert (config.dropout, config.dim) == (0.5, 36)


def test_json_holds_only_what_differs_unless_all_is_asked_for():
    config = DistilBertConfig(num_labels=3)
    small = json.loads(config.to_json_string())
    assert "problem_type" not in small
    assert small["dim"] == 768
    assert small["id2label"]["2"] == "LABEL_2"
    assert json.loads(config.to_json_string(use_diff=False))["problem_type"] is None


def test_a_setting_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no setting 'n_layer'"):
        DistilBertConfig().n_layer  # noqa: B018


def test_labels_that_are_changed_later_are_brought_to_one_form_or_refused():
    config = DistilBertConfig()
    config.id2label = {"0": "a", "1": "b"}
    config.validate()
    assert config.id2label == {0: "a", 1: "b"}
    config.id2label = {0: "x", 5: "y"}
    with pytest.raises(ConfigError, match="without gaps"):
        config.validate()
    config = DistilBertConfig()
    config.update({"id2label": {"0": "x", "1": "y", "2": "z"}})
    assert (config.label2id, config.num_labels) == ({"x": 0, "y": 1, "z": 2}, 3)
    config.update({"num_labels": 3})
    assert config.id2label[0] == "x"
    config.update({"num_labels": 4})
    assert config.id2label[0] == "LABEL_0"


def test_null_in_a_file_means_the_default():
    config = DistilBertConfig.from_dict({"return_dict": None, "output_attentions": None})
    assert (config.return_dict, config.output_attentions) == (True, False)


def test_torchscript_models_give_tuples():
    assert DistilBertConfig(torchscript=True).use_return_dict is False


def test_what_trainers_of_any_model_ask_for_is_there():
    config = DistilBertConfig()
    assert config.get_text_config() is config
    assert (config.is_decoder, config.is_encoder_decoder, config.sep_token_id) == (False,) * 2 + (
        None,
    )
    assert config._name_or_path == ""


def test_a_configuration_is_not_saved_onto_a_file(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(FileError, match="taken"):
        DistilBertConfig().save_pretrained(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
    with pytest.raises(ConfigError, match="huggingface_hub"):
        DistilBertConfig().save_pretrained(tmp_path, push_to_hub=True)


def test_changing_a_configuration_never_changes_another():
    DistilBertConfig().pruned_heads[0] = [1]
    assert DistilBertConfig().pruned_heads == {}


def test_what_is_no_path_or_no_dictionary_is_refused_with_what_is_allowed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (None, 3, ""):
        with pytest.raises(InputError, match="allowed: a path"):
            DistilBertConfig().save_pretrained(given)
    for given in (None, 3, b"config.json"):
        with pytest.raises(InputError, match="allowed: the path of a JSON file"):
            DistilBertConfig.from_json_file(given)
    for given in (None, ["n_layers"], "{}"):
        with pytest.raises(ConfigError, match="allowed: a dictionary of settings"):
            DistilBertConfig.from_dict(given)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("value", [object(), {1, 2}, "\ud800"])
def test_a_setting_that_no_file_can_hold_is_not_saved(value, tmp_path):
    DistilBertConfig(n_layers=3).save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=r"cannot be written to config\.json: .*; settings have"):
        DistilBertConfig(mine=value).save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
