import json
import logging
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from checkpoints import SIZES, contents, tiny
from distilbert import (
    ConfigError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
    DistilBertPreTrainedModel,
    FileError,
    InputError,
)
from distilbert.files.checkpoint import load_pretrained, save_pretrained

CLASSES = [
    DistilBertModel,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertForQuestionAnswering,
    DistilBertForTokenClassification,
    DistilBertForMultipleChoice,
]


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_shard_size": "2KB"},
        {"safe_serialization": False},
        {"safe_serialization": False, "max_shard_size": "2KB"},
        {"variant": "fp16"},
        {"variant": "fp16", "max_shard_size": "2KB"},
    ],
)
def test_what_is_saved_is_loaded_again_to_the_bit(tmp_path, model_class, options):
    model = tiny(model_class)
    paths = save_pretrained(model, tmp_path, **options)
    assert all(path.is_file() for path in paths)
    assert sorted(path.name for path in paths) == sorted(contents(tmp_path))
    again, report = load_pretrained(model_class, tmp_path, variant=options.get("variant"))
    assert report.complete
    assert report.unexpected == []
    assert same(model, again)
    assert again.training is False
    assert again.config.architectures == [model_class.__name__]


def test_tied_weights_are_written_once_and_tied_again(tmp_path):
    save_pretrained(tiny(DistilBertForMaskedLM), tmp_path)
    assert "vocab_projector.weight" not in load_file(tmp_path / "model.safetensors")
    model, report = load_pretrained(DistilBertForMaskedLM, tmp_path)
    assert report.missing == []
    table = model.distilbert.embeddings.word_embeddings.weight
    assert model.vocab_projector.weight is table


@pytest.mark.parametrize("adapter", [None, "lora"])
def test_weights_alone_are_loaded_by_the_configuration_of_their_model(adapter, tmp_path):
    model = tiny(DistilBertForMaskedLM)
    if adapter is not None:
        model.add_adapter("mine", adapter)
    save_file(model.state_dict(), tmp_path / "model.safetensors")  # as others save modules
    with pytest.raises(FileError, match=r"pass `config=model.config`, with adapters `config=mod"):
        load_pretrained(DistilBertForMaskedLM, tmp_path)
    again, report = load_pretrained(DistilBertForMaskedLM, tmp_path, config=model.saved_config())
    assert report.complete
    assert same(model, again)


def test_untied_weights_that_a_file_shares_are_two_in_the_model(tmp_path):
    state = tiny(DistilBertForMaskedLM).state_dict()
    state["vocab_projector.weight"] = state["distilbert.embeddings.word_embeddings.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    config = DistilBertConfig(**SIZES, tie_word_embeddings=False)
    config.save_pretrained(tmp_path)
    model, _ = load_pretrained(DistilBertForMaskedLM, tmp_path)
    table = model.distilbert.embeddings.word_embeddings.weight
    assert torch.equal(model.vocab_projector.weight, table)
    assert model.vocab_projector.weight.data_ptr() != table.data_ptr()


def test_a_base_checkpoint_gives_a_headed_model_with_a_new_head(tmp_path, caplog):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    model, report = load_pretrained(DistilBertForSequenceClassification, tmp_path)
    head = {"pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"}
    assert {*report.missing} == head
    assert same(model.distilbert, tiny(DistilBertModel))
    assert model.classifier.bias.tolist() == [0.0, 0.0]
    assert 0 < model.pre_classifier.weight.std() < 0.1  # as a fresh model: about 0.02
    DistilBertForSequenceClassification.from_pretrained(tmp_path)
    (record,) = caplog.records  # of the public call: who reads the report logs it or refuses
    assert record.name == "distilbert"
    assert "newly initialised, so train the model" in record.message


def test_a_headed_checkpoint_gives_a_base_model_and_names_the_unused_head(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="distilbert")
    headed = tiny(DistilBertForQuestionAnswering)
    save_pretrained(headed, tmp_path)
    model, report = load_pretrained(DistilBertModel, tmp_path)
    assert same(model, headed.distilbert)
    assert report.unexpected == ["qa_outputs.bias", "qa_outputs.weight"]
    assert report.complete
    report.log()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "in the checkpoint only and not used" in caplog.text


def test_another_head_is_unexpected_and_the_wanted_one_missing(tmp_path):
    save_pretrained(tiny(DistilBertForQuestionAnswering), tmp_path)
    _, report = load_pretrained(DistilBertForTokenClassification, tmp_path)
    assert report.as_dict() == {
        "missing_keys": ["classifier.bias", "classifier.weight"],
        "unexpected_keys": ["qa_outputs.bias", "qa_outputs.weight"],
        "mismatched_keys": [],
        "error_msgs": [],
        "not_finite_keys": [],
    }


def test_mismatched_sizes_are_initialised_anew_where_that_is_asked_for(tmp_path):
    save_pretrained(tiny(DistilBertForSequenceClassification), tmp_path)
    with pytest.raises(FileError, match=r"classifier\.weight has shape \[2, 8\] .* \[3, 8\]"):
        load_pretrained(DistilBertForSequenceClassification, tmp_path, num_labels=3)
    model, report = load_pretrained(
        DistilBertForSequenceClassification, tmp_path, num_labels=3, ignore_mismatched_sizes=True
    )
    assert report.mismatched == [
        ("classifier.bias", (2,), (3,)),
        ("classifier.weight", (2, 8), (3, 8)),
    ]
    assert report.missing == []
    assert model.classifier.weight.shape == (3, 8)
    assert "classifier.weight 2×8 for 3×8" in str(report)


def test_loading_draws_no_random_numbers_for_weights_that_the_file_has(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_pretrained(DistilBertModel, tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_training_a_loaded_model_does_not_change_its_file(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    before = contents(tmp_path)
    model, _ = load_pretrained(DistilBertModel, tmp_path)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.tensor([[1, 2, 3]])).last_hidden_state.square().sum().backward()
    optimizer.step()
    assert not same(model, tiny(DistilBertModel))
    assert contents(tmp_path) == before


def test_a_model_can_be_saved_over_the_files_that_it_is_mapped_from(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path, max_shard_size="2KB")
    model, _ = load_pretrained(DistilBertModel, tmp_path)
    with torch.no_grad():
        model.embeddings.LayerNorm.bias.add_(1)
    save_pretrained(model, tmp_path)
    assert sorted(contents(tmp_path)) == ["config.json", "model.safetensors"]
    again, _ = load_pretrained(DistilBertModel, tmp_path)
    assert same(model, again)


# dtype and device --------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["bfloat16", "torch.bfloat16", torch.bfloat16])
@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_weights_are_converted_to_the_wanted_dtype(tmp_path, given, name):
    model = tiny(DistilBertForMaskedLM)
    save_pretrained(model, tmp_path)
    loaded, _ = load_pretrained(DistilBertForMaskedLM, tmp_path, **{name: given})
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert same(loaded, model.bfloat16())
    assert loaded.config.dtype == "bfloat16"


def test_a_new_head_has_the_dtype_of_the_model(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    model, _ = load_pretrained(DistilBertForQuestionAnswering, tmp_path, dtype="float16")
    assert model.qa_outputs.weight.dtype == torch.float16


def test_auto_is_what_the_configuration_says_else_what_the_file_holds(tmp_path):
    save_pretrained(tiny(DistilBertModel).half(), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    assert load_pretrained(DistilBertModel, tmp_path, dtype="auto")[0].dtype == torch.float16
    assert load_pretrained(DistilBertModel, tmp_path)[0].dtype == torch.float32
    config = {**json.loads((tmp_path / "config.json").read_text()), "dtype": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_pretrained(DistilBertModel, tmp_path, dtype="auto")[0].dtype == torch.float16


@pytest.mark.parametrize("given", ["float99", "int8", torch.int8, 16, "load", "nn", ""])
def test_a_dtype_that_is_none_is_refused(tmp_path, given):
    with pytest.raises(InputError, match=r"dtype is .*; allowed: 'auto'"):
        load_pretrained(DistilBertModel, tmp_path, dtype=given)


@pytest.mark.parametrize("given", ["cpu", torch.device("cpu"), {"": "cpu"}, "auto"])
@pytest.mark.parametrize("name", ["device", "device_map"])
def test_one_device_is_taken_in_every_spelling(tmp_path, given, name):
    if given == "auto" and torch.cuda.is_available():
        pytest.skip("'auto' is the GPU here")
    save_pretrained(tiny(DistilBertModel), tmp_path)
    assert load_pretrained(DistilBertModel, tmp_path, **{name: given})[0].device.type == "cpu"


@pytest.mark.parametrize("named", ["foo", "load", "int8", 5])
def test_a_configuration_with_a_dtype_that_is_none_is_refused_by_name(tmp_path, named):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    config = {**json.loads((tmp_path / "config.json").read_text()), "dtype": named}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"dtype.* '?{named}'?; allowed"):
        load_pretrained(DistilBertModel, tmp_path, dtype="auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("given", [{"": 0}, 0, "cuda", "cuda:0"])
def test_a_device_that_this_machine_lacks_is_refused_and_not_advised(tmp_path, given):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    with pytest.raises(InputError, match=r"one device of this machine: 'cpu', or 'auto'$"):
        load_pretrained(DistilBertModel, tmp_path, device_map=given)


@pytest.mark.parametrize("given", ["nowhere", {"a": "cpu", "b": "cuda"}, "meta", [1]])
def test_a_device_that_is_none_is_refused(tmp_path, given):
    with pytest.raises(InputError, match="device is"):
        load_pretrained(DistilBertModel, tmp_path, device_map=given)


# Options -----------------------------------------------------------------------------------------


def test_settings_replace_those_of_the_file_and_unknown_names_are_refused(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    model, _ = load_pretrained(DistilBertModel, tmp_path, output_attentions=True, dropout=0.5)
    assert (model.config.output_attentions, model.config.dropout) == (True, 0.5)
    with pytest.raises(InputError, match="unknown options: droput"):
        load_pretrained(DistilBertModel, tmp_path, droput=0.5)
    with pytest.raises(ConfigError, match="dropout is 7"):
        load_pretrained(DistilBertModel, tmp_path, dropout=7)


def test_a_configuration_may_be_given_and_is_not_changed(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path / "model")
    config = DistilBertConfig(**SIZES, dropout=0.3)
    config.save_pretrained(tmp_path / "config")
    for given in (config, tmp_path / "config", str(tmp_path / "config" / "config.json")):
        model, _ = load_pretrained(DistilBertModel, tmp_path / "model", config=given, num_labels=5)
        assert (model.config.dropout, model.config.num_labels) == (0.3, 5)
    assert config.num_labels == 2
    assert config.name_or_path == ""
    with pytest.raises(InputError, match="unknown options: nothing"):
        load_pretrained(DistilBertModel, tmp_path / "model", config=config, nothing=1)


def test_labels_laid_over_a_configuration_replace_both_maps(tmp_path):
    save_pretrained(tiny(DistilBertForSequenceClassification, num_labels=3), tmp_path)
    options = {"config": DistilBertConfig(**SIZES, num_labels=3), "ignore_mismatched_sizes": True}
    for labels in ({"id2label": {"0": "x"}}, {"label2id": {"x": 0}}):
        model, _ = load_pretrained(
            DistilBertForSequenceClassification, tmp_path, **options, **labels
        )
        assert (model.config.id2label, model.config.label2id) == ({0: "x"}, {"x": 0})
        assert model.classifier.out_features == 1
    model, _ = load_pretrained(
        DistilBertForSequenceClassification, tmp_path, **options, num_labels=4
    )
    assert model.config.label2id == {f"LABEL_{i}": i for i in range(4)}
    with pytest.raises(InputError, match="unknown options: to_dict"):
        load_pretrained(DistilBertForSequenceClassification, tmp_path, **options, to_dict=1)


def test_a_state_dict_may_be_given_and_is_not_shared(tmp_path):
    state = tiny(DistilBertModel).state_dict()
    config = DistilBertConfig(**SIZES)
    model, report = load_pretrained(DistilBertModel, None, config=config, state_dict=state)
    assert report.complete
    with torch.no_grad():
        model.embeddings.LayerNorm.bias.add_(1)
    assert not torch.equal(model.embeddings.LayerNorm.bias, state["embeddings.LayerNorm.bias"])
    config.save_pretrained(tmp_path)
    assert load_pretrained(DistilBertModel, tmp_path, state_dict=state)[1].complete


def test_a_call_that_names_nothing_to_load_is_refused():
    with pytest.raises(InputError, match="there is nothing to load"):
        load_pretrained(DistilBertModel, None, config=DistilBertConfig(**SIZES))
    for options in ({"state_dict": {}}, {}):
        with pytest.raises(InputError, match=r"no hub id .* give a `config` beside the state_dict"):
            load_pretrained(DistilBertModel, None, **options)


def test_options_that_need_nothing_here_are_accepted_and_impossible_ones_refused(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    load_pretrained(
        DistilBertModel,
        tmp_path,
        low_cpu_mem_usage=True,
        trust_remote_code=True,
        attn_implementation="sdpa",
    )
    with pytest.raises(InputError, match="attn_implementation is 'flash_attention_2'"):
        load_pretrained(DistilBertModel, tmp_path, attn_implementation="flash_attention_2")


ORDINARY = {  # what code written for transformers passes
    "from_tf": False,
    "from_flax": False,
    "use_auth_token": None,
    "proxies": None,
    "resume_download": True,
    "weights_only": True,
    "key_mapping": None,
    "quantization_config": None,
    "torchscript": False,
    "max_memory": None,
    "offload_folder": "x",
    "offload_state_dict": True,
    "local_files_only": True,
    "_fast_init": False,
    "tp_plan": None,
    "mirror": "x",
    "load_in_8bit": False,
}


def test_ordinary_options_of_transformers_are_accepted(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    assert load_pretrained(DistilBertModel, tmp_path, **ORDINARY)[1].complete


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from_tf", True),
        ("weights_only", False),
        ("quantization_config", {"bits": 4}),
        ("key_mapping", {"a": "b"}),
        ("load_in_4bit", True),
        ("proxies", {"https": "x"}),
    ],
)
def test_options_that_would_change_something_are_refused(tmp_path, name, value):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    with pytest.raises(InputError, match=f"{name} is .*; allowed: "):
        load_pretrained(DistilBertModel, tmp_path, **{name: value})


def test_the_old_name_of_the_token_is_passed_on(monkeypatch):
    asked = []

    def locate(name, **where):
        asked.append(where)
        raise FileError

    monkeypatch.setattr("distilbert.files.checkpoint.locate", locate)
    for given in ("secret", False, None):
        with pytest.raises(FileError):
            load_pretrained(DistilBertModel, "a/b", use_auth_token=given)
    assert asked == [{"token": "secret"}, {"token": False}, {}]


def test_the_face_returns_the_report_where_it_is_asked_for(tmp_path):
    tiny(DistilBertModel).save_pretrained(tmp_path)
    model, info = DistilBertForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(model, DistilBertForQuestionAnswering)
    assert info["missing_keys"] == ["qa_outputs.bias", "qa_outputs.weight"]
    assert model.name_or_path == str(tmp_path)


# Classes of one's own ----------------------------------------------------------------------------


class Own(DistilBertPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.scale = nn.Parameter(torch.full((3,), 5.0))
        self.register_buffer("kept", torch.tensor([1.0, 2.0]))
        self.register_buffer("passing", torch.tensor([3, 4]), persistent=False)
        self.norm = nn.BatchNorm1d(config.dim)
        self.groups = nn.GroupNorm(2, config.dim)
        self.head = nn.Linear(config.dim, 1)
        self.plain = torch.tensor([6.0])
        self.post_init()


def test_what_a_class_has_beside_the_layers_is_as_it_constructs_it(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    model, report = load_pretrained(Own, tmp_path)
    assert same(model.distilbert, tiny(DistilBertModel))
    assert model.scale.tolist() == [5, 5, 5]
    assert model.kept.tolist() == [1, 2]
    assert model.passing.tolist() == [3, 4]
    assert model.plain.tolist() == [6]
    assert model.norm.running_var.tolist() == model.norm.weight.tolist() == [1] * 8
    assert model.norm.num_batches_tracked.item() == 0
    assert model.groups.weight.tolist() == [1] * 8
    assert 0 < model.head.weight.abs().max() < 0.1
    assert {"scale", "kept", "norm.weight", "head.weight"} <= {*report.missing}
    half, _ = load_pretrained(Own, tmp_path, dtype="float16")
    assert half.scale.dtype == half.kept.dtype == half.norm.running_var.dtype == torch.float16
    assert half.passing.dtype == torch.int64


def test_buffers_of_a_checkpoint_are_loaded(tmp_path):
    model = tiny(Own)
    with torch.no_grad():
        for tensor in (model.scale, model.kept, model.norm.running_mean, model.norm.bias):
            tensor.add_(1)
    model.norm.num_batches_tracked.add_(7)
    save_pretrained(model, tmp_path)
    again, report = load_pretrained(Own, tmp_path)
    assert report.complete
    assert same(again, model)


# Saving ------------------------------------------------------------------------------------------


def test_ordinary_options_of_saving_are_accepted_and_others_refused(tmp_path):
    model = tiny(DistilBertModel)
    ordinary = {"save_function": torch.save, "push_to_hub": False, "token": "x", "repo_id": "a/b"}
    save_pretrained(model, tmp_path / "model", is_main_process=True, **ordinary)
    assert same(load_pretrained(DistilBertModel, tmp_path / "model")[0], model)
    assert save_pretrained(model, tmp_path / "other", is_main_process=False) == []
    with pytest.raises(InputError, match=r"push_to_hub is True.*huggingface_hub\.upload_folder"):
        save_pretrained(model, tmp_path / "other", push_to_hub=True)
    with pytest.raises(InputError, match="unknown options: max_shardsize"):
        save_pretrained(model, tmp_path / "other", max_shardsize="1GB")
    assert not (tmp_path / "other").exists()


def test_saving_into_a_file_is_refused(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(FileError, match="cannot make the folder"):
        save_pretrained(tiny(DistilBertModel), tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_saving_leaves_the_files_of_others_alone(tmp_path):
    (tmp_path / "vocab.txt").write_text("mine")
    (tmp_path / "model.fp16.safetensors").write_bytes(b"mine")
    save_pretrained(tiny(DistilBertModel), tmp_path)
    assert contents(tmp_path)["vocab.txt"] == b"mine"
    assert contents(tmp_path)["model.fp16.safetensors"] == b"mine"


def test_a_model_is_saved_to_a_path_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (None, 3, ""):
        with pytest.raises(InputError, match="allowed: a path"):
            save_pretrained(tiny(DistilBertModel), given)
    assert not contents(tmp_path)


def test_another_state_dict_can_be_saved(tmp_path):
    model = tiny(DistilBertModel)
    state = {key: value + 1 for key, value in model.state_dict().items()}
    save_pretrained(model, tmp_path, state_dict=state)
    found = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_saving_does_not_change_the_model(tmp_path):
    model = tiny(DistilBertModel)
    before = model.config.to_dict()
    save_pretrained(model, tmp_path)
    assert model.config.to_dict() == before


def test_a_size_that_means_nothing_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="max_shard_size"):
        save_pretrained(tiny(DistilBertModel), tmp_path, max_shard_size="many")
    assert contents(tmp_path) == {}


def test_a_disk_that_is_full_leaves_the_old_files(tmp_path, monkeypatch):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    before = contents(tmp_path)

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distilbert.files.shards.save_file", full)
    with pytest.raises(FileError, match=r"No space left.*untouched"):
        save_pretrained(tiny(DistilBertModel, seed=1), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limits on file sizes")
@pytest.mark.parametrize("safetensors", [True, False])
def test_a_file_that_may_not_grow_leaves_the_old_files(tmp_path, safetensors):
    model = tiny(DistilBertModel, dim=64, hidden_dim=256)
    save_pretrained(model, tmp_path, safe_serialization=safetensors)
    before = contents(tmp_path)
    code = (
        "import resource, sys\nfrom distilbert import DistilBertModel, FileError\n"
        "model = DistilBertModel.from_pretrained(sys.argv[1])\n"
        "model.embeddings.LayerNorm.bias.data.add_(1)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: model.save_pretrained(sys.argv[1], safe_serialization=sys.argv[2] == 'True')\n"
        "except FileError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, str(safetensors)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("cannot write")
    assert contents(tmp_path) == before


# Memory ------------------------------------------------------------------------------------------


def test_weights_are_views_of_the_file(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    model, _ = load_pretrained(DistilBertModel, tmp_path)
    start = min(p.data_ptr() for p in model.parameters())
    end = max(p.data_ptr() + p.nbytes for p in model.parameters())
    total = sum(p.nbytes for p in model.parameters())
    assert end - start == total  # end to end, as in the file


def test_only_new_weights_are_initialised(tmp_path, monkeypatch):
    save_pretrained(tiny(DistilBertModel), tmp_path)
    asked = []
    monkeypatch.setattr(
        DistilBertForQuestionAnswering, "initialise", lambda self, keys: asked.extend(keys)
    )
    load_pretrained(DistilBertForQuestionAnswering, tmp_path)
    assert asked == ["qa_outputs.bias", "qa_outputs.weight"]


def test_the_frozen_sinusoids_of_a_checkpoint_stay_frozen(tmp_path):
    save_pretrained(tiny(DistilBertModel, sinusoidal_pos_embds=True), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["embeddings.position_embeddings.weight"] += 1  # the file's own win over the sinusoids
    save_file(state, tmp_path / "model.safetensors")
    model, _ = load_pretrained(DistilBertModel, tmp_path)
    table = model.embeddings.position_embeddings.weight
    assert torch.equal(table, state["embeddings.position_embeddings.weight"])
    assert table.requires_grad is False


def test_missing_sinusoids_are_made(tmp_path):
    save_pretrained(tiny(DistilBertModel, sinusoidal_pos_embds=True), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    sinusoids = state.pop("embeddings.position_embeddings.weight").clone()
    save_file(state, tmp_path / "model.safetensors")
    model, report = load_pretrained(DistilBertModel, tmp_path)
    assert report.missing == ["embeddings.position_embeddings.weight"]
    assert torch.equal(model.embeddings.position_embeddings.weight, sinusoids)
