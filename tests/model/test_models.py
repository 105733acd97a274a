"""What every model class can go through: checks, copies, compilers, precisions, trainers."""

import copy
import functools
import pickle
import warnings
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file

import distilbert
from distilbert import (
    ConfigError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertModel,
    InputError,
)
from distilbert import DistilBertForSequenceClassification as Classifier
from distilbert.flow import Flow
from distilbert.layout import Padded

HEADED = (
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForQuestionAnswering",
    "DistilBertForTokenClassification",
    "DistilBertForMultipleChoice",
)
CLASSES = ("DistilBertModel", *HEADED)


def tiny(name="DistilBertModel", **settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "dim": 24, "hidden_dim": 40, "n_layers": 2, "n_heads": 4}
    config = DistilBertConfig(
        **{**sizes, "max_position_embeddings": 16, "initializer_range": 0.3, **settings}
    )
    return getattr(distilbert, name)(config).eval()


def batch(name="DistilBertModel"):
    torch.manual_seed(1)
    ids = torch.randint(1, 50, (3, 7))
    mask = (torch.arange(7) < torch.tensor([7, 4, 2])[:, None]).long()
    if name == "DistilBertForMultipleChoice":
        return ids[:, None].repeat(1, 2, 1), mask[:, None].repeat(1, 2, 1)
    return ids, mask


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "neither of input_ids and inputs_embeds"),
        ({"input_ids": "ids", "inputs_embeds": "embeds"}, "both of input_ids and inputs_embeds"),
        ({"input_ids": [[1, 2]]}, "input_ids is a list; allowed: a torch.Tensor"),
        ({"input_ids": torch.ones(1, 3)}, "input_ids are of type torch.float32"),
        ({"input_ids": torch.ones(3).long()}, r"shape \(3,\); allowed: \(rows, columns\)"),
        ({"input_ids": torch.ones(0, 3).long()}, r"the batch is empty: its shape is \(0, 3\)"),
        ({"input_ids": torch.ones(2, 0).long()}, r"the batch is empty: its shape is \(2, 0\)"),
        ({"input_ids": torch.tensor([[1, 50]])}, r"id 50 is not in the vocabulary of 50 ids"),
        ({"input_ids": torch.tensor([[1, -3]])}, r"id -3 is not in the vocabulary of 50 ids"),
        (
            {"input_ids": torch.ones(1, 17).long()},
            r"17 columns; .* positions for 16; cut the texts",
        ),
        ({"inputs_embeds": torch.ones(1, 3, 8)}, "8 wide; this model's width is 24"),
        ({"inputs_embeds": torch.ones(1, 24)}, r"allowed: \(rows, columns, dim\)"),
        ({"input_ids": "ids", "attention_mask": torch.ones(3, 6)}, r"mask has shape \(3, 6\)"),
        ({"input_ids": "ids", "attention_mask": torch.ones(7)}, r"mask has shape \(7,\)"),
        ({"input_ids": "ids", "attention_mask": [[1] * 7] * 3}, "attention_mask is a list"),
        ({"input_ids": "ids", "head_mask": torch.ones(5)}, r"head_mask has shape \(5,\); allowed"),
        ({"input_ids": "ids", "head_mask": torch.ones(3, 4)}, r"allowed: \(4,\) or \(2, 4\)"),
        ({"input_ids": "ids", "position_ids": torch.ones(7).long()}, "position_ids has shape|have"),
        ({"input_ids": "ids", "position_ids": torch.full((1, 7), 16)}, "run from 16 to 16"),
        ({"input_ids": "ids", "position_ids": torch.full((1, 6), 1)}, r"have shape \(1, 6\)"),
    ],
)
def test_inputs_that_cannot_be_used_are_told_by_name(inputs, message):
    known = {"ids": batch()[0], "embeds": torch.ones(3, 7, 24)}
    with pytest.raises(InputError, match=message):
        tiny()(**{k: known[v] if isinstance(v, str) else v for k, v in inputs.items()})


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("DistilBertForSequenceClassification", [0, 1, 2], "label 2 is no class; allowed: 0 to 1"),
        ("DistilBertForSequenceClassification", [0, 1], r"shape \(2,\); allowed: \(3,\)"),
        ("DistilBertForSequenceClassification", [0.0, 1.0, 1.0], r"allowed for multi_label"),
        ("DistilBertForTokenClassification", [[0] * 6] * 3, r"\(3, 6\); allowed: \(3, 7\)"),
        ("DistilBertForMaskedLM", [[50] * 7] * 3, "label 50 is no class; allowed: 0 to 49"),
        ("DistilBertForMultipleChoice", [0, 2, 1], "label 2 is no class; allowed: 0 to 1"),
        ("DistilBertForTokenClassification", [[0.7] * 7] * 3, "labels are of type torch.float32"),
    ],
)
def test_labels_that_cannot_be_scored_are_told(name, labels, message):
    with pytest.raises(InputError, match=message):
        tiny(name)(*batch(name), labels=torch.tensor(labels))


def test_choices_need_an_axis_of_their_own():
    with pytest.raises(InputError, match=r"shape \(3, 7\); allowed: \(rows, choices, columns\)"):
        tiny("DistilBertForMultipleChoice")(*batch())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"start_positions": torch.ones(2).long()}, r"start_positions have shape \(2,\)"),
        ({"end_positions": torch.ones(3)}, "end_positions are of type torch.float32"),
        ({"start_positions": [1, 2, 3]}, "start_positions is a list"),
    ],
)
def test_places_of_answers_that_cannot_be_scored_are_told(labels, message):
    places = {"start_positions": torch.ones(3).long(), "end_positions": torch.ones(3).int()}
    model = tiny("DistilBertForQuestionAnswering")
    assert model(*batch(), **places).loss.isfinite()
    with pytest.raises(InputError, match=message):
        model(*batch(), **{**places, **labels})


def test_models_are_built_of_their_own_configuration():
    with pytest.raises(ConfigError, match=r"not of a dict; to load one that exists"):
        DistilBertModel({"dim": 24})
    with pytest.raises(ConfigError, match="num_labels is 3; allowed for question answering: 2"):
        tiny("DistilBertForQuestionAnswering", num_labels=3)


def test_a_configuration_changed_for_the_worse_builds_no_model():
    config = DistilBertConfig()
    config.n_heads = 7
    with pytest.raises(ConfigError, match="n_heads is 7"):
        DistilBertModel(config)


# What they can go through --------------------------------------------------------------------


def assert_close(a, b, tolerance=2e-6):
    for x, y in zip(a.to_tuple(), b.to_tuple(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=tolerance)


@pytest.mark.parametrize("name", CLASSES)
def test_models_pickle_and_copy_with_their_ties(name):
    model = tiny(name)
    inputs = batch(name)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_close(again(*inputs), model(*inputs), 0)
        if name == "DistilBertForMaskedLM":
            assert again.get_output_embeddings().weight is again.get_input_embeddings().weight


@pytest.mark.parametrize("name", ["DistilBertModel", "DistilBertForMultipleChoice"])
def test_models_compile_whole_with_dynamic_shapes(name):
    torch._dynamo.reset()
    model = tiny(name)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    ids, mask = batch(name)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert_close(compiled(ids, mask), model(ids, mask))
        shorter = (ids[:2, ..., :5].contiguous(), mask[:2, ..., :5].contiguous())
        assert_close(compiled(*shorter), model(*shorter))


def test_a_compiled_model_takes_labels_and_gives_gradients():
    torch._dynamo.reset()
    model = tiny("DistilBertForSequenceClassification", problem_type="single_label_classification")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    ids, mask = batch()
    loss = compiled(ids, mask, labels=torch.tensor([0, 1, 1])).loss
    torch.testing.assert_close(loss, model(ids, mask, labels=torch.tensor([0, 1, 1])).loss)
    loss.backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", CLASSES)
def test_models_export_with_dynamic_shapes(name):
    model = tiny(name)
    ids, mask = batch(name)
    axes = {0: torch.export.Dim("rows", max=64), ids.ndim - 1: torch.export.Dim("columns", max=16)}
    program = torch.export.export(model, (ids, mask), dynamic_shapes=(axes, axes))
    assert_close(program.module()(ids, mask), model(ids, mask))
    shorter = (ids[:2, ..., :5], mask[:2, ..., :5])
    exported = program.module()(*shorter)
    assert type(exported) is type(model(*shorter))
    assert_close(exported, model(*shorter))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CLASSES)
def test_models_run_in_half_precision(name, dtype):
    model, inputs = tiny(name, initializer_range=0.05), batch(name)
    exact = model(*inputs)
    rounded = copy.deepcopy(model).to(dtype)(*inputs)
    for a, b in zip(exact.to_tuple(), rounded.to_tuple(), strict=True):
        assert b.dtype == dtype
        torch.testing.assert_close(a, b.float(), rtol=0.05, atol=0.1)  # 8 bits of mantissa


def test_a_row_of_padding_alone_is_finite_in_half_precision():
    model = tiny().half()
    ids, mask = batch()
    mask[1] = 0
    assert model(ids, mask).last_hidden_state.isfinite().all()
    assert model(ids, mask, output_attentions=True).last_hidden_state.isfinite().all()


def test_models_run_and_train_under_autocast():
    model, (ids, mask) = tiny("DistilBertForSequenceClassification").train(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids, mask, labels=torch.tensor([0, 1, 1])).loss
    loss.backward()
    gradient = model.distilbert.transformer.layer[0].ffn.lin1.weight.grad
    assert gradient.dtype == torch.float32
    assert gradient.abs().sum() > 0


def _kept(kept, tensor):
    kept.append(tensor)
    return tensor


def test_gradient_checkpointing_changes_memory_and_nothing_else():
    model, (ids, mask) = tiny("DistilBertForTokenClassification").train(), batch()
    gradients = []
    for enabled in (False, True):
        if enabled:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing is enabled
        model.zero_grad()
        torch.manual_seed(3)
        kept: list[torch.Tensor] = []
        keep = functools.partial(_kept, kept)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            loss = model(ids, mask, labels=mask).loss
        torch.manual_seed(4)  # recomputation brings its own random state
        loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
        gradients[-1].append(len(kept))
    *plain, many = gradients[0]
    *recomputed, few = gradients[1]
    assert few < many / 2
    torch.testing.assert_close(plain, recomputed, rtol=0, atol=0)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_a_state_dict_is_written_by_safetensors_as_it_is(tmp_path):
    model = tiny("DistilBertForMaskedLM")
    for name in "ab":
        model.add_adapter(name, "mtl_lora")
    model.share_parameters(["a", "b"])
    owner = torch.nn.ModuleDict({"ours": model})  # as a module of someone else holds it
    for prefix, module in (("", model), ("ours.", owner)):
        save_file(module.state_dict(), tmp_path / "model.safetensors")
        read = load_file(tmp_path / "model.safetensors")
        for key, parameter in model.named_parameters(remove_duplicate=False):
            assert torch.equal(read[prefix + key], parameter)


def test_a_state_dict_of_parameters_holds_them_and_others_are_views():
    model = tiny("DistilBertForMaskedLM")
    held = model.state_dict(keep_vars=True, prefix="x.")
    table = model.get_input_embeddings().weight
    assert held["x.vocab_projector.weight"] is table
    assert held["x.distilbert.embeddings.word_embeddings.weight"] is table
    tied = model.tied_keys()
    for key, tensor in model.state_dict().items():
        shares = tensor.data_ptr() == model.get_parameter(key).data_ptr()
        assert shares is (key not in tied)


def test_a_state_dict_without_what_is_tied_is_told_as_trainers_ask():
    assert tiny("DistilBertForMaskedLM")._keys_to_ignore_on_save == ["vocab_projector.weight"]
    assert tiny("DistilBertForMaskedLM", tie_word_embeddings=False)._keys_to_ignore_on_save is None


def test_data_parallel_takes_inputs_and_gives_outputs():
    model = tiny("DistilBertForSequenceClassification")
    expected = model(*batch(), labels=torch.tensor([0, 1, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a GPU it has no imbalance to warn of
        output = torch.nn.DataParallel(model)(*batch(), labels=torch.tensor([0, 1, 1]))
    assert type(output) is type(expected)
    assert_close(output, expected, 0)


def test_two_threads_do_not_disturb_each_other():
    from concurrent.futures import ThreadPoolExecutor

    model, (ids, mask) = tiny(), batch()
    expected = [model(ids[i : i + 1], mask[i : i + 1]).last_hidden_state for i in range(3)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda i: model(ids[i : i + 1], mask[i : i + 1]), [0, 1, 2] * 10))
    assert all(torch.equal(a[0], expected[i % 3]) for i, a in enumerate(answers))


# Their face ----------------------------------------------------------------------------------


def test_labels_that_do_not_fit_settle_nothing():
    model = tiny("DistilBertForSequenceClassification")
    with pytest.raises(InputError, match="allowed for multi_label_classification"):
        model(*batch(), labels=torch.tensor([0.0, 1.0, 1.0]))
    assert model.config.problem_type is None
    assert model(*batch(), labels=torch.tensor([0, 1, 1])).loss.isfinite()


def test_a_traced_model_minds_masks_that_it_was_not_traced_with():
    model = tiny("DistilBertForSequenceClassification", torchscript=True)
    ids, mask = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is on its way out, and still what old tools use
        traced = torch.jit.trace(model, (ids, torch.ones_like(mask)))
    torch.testing.assert_close(traced(ids, mask)[0], model(ids, mask)[0])


def test_tensors_without_values_go_through():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        model = tiny()
        assert model(*batch()).last_hidden_state.shape == (3, 7, 24)
    with torch.device("meta"):
        meta = DistilBertModel(tiny().config)
    assert meta(*(x.to("meta") for x in batch())).last_hidden_state.shape == (3, 7, 24)


def test_layers_of_ones_own_keep_what_they_were_made_with():
    class Mine(Classifier):
        def __init__(self, config):
            super().__init__(config)
            self.scale = torch.nn.Parameter(torch.full((3,), 5.0))
            self.norm = torch.nn.BatchNorm1d(4)
            self.register_buffer("counts", torch.tensor([1, 9]))
            self.extra = torch.nn.Linear(24, 500)
            self.extra.scale = torch.nn.Parameter(torch.full((2,), 7.0))
            self.init_weights()

    model = Mine(tiny().config)
    assert model.scale.tolist() == [5.0] * 3
    assert model.counts.tolist() == [1, 9]
    assert model.extra.scale.tolist() == [7.0, 7.0]
    assert model.norm.weight.tolist() == [1.0] * 4
    torch.testing.assert_close(model.extra.weight.std(), torch.tensor(0.3), rtol=0.05, atol=0)


def test_hidden_states_are_not_kept_where_nobody_asks():
    model, (ids, mask) = tiny(n_layers=5), batch()
    states, alive = [], []

    def note(block, inputs, outputs):
        states.append(weakref.ref(outputs[0]))
        alive.append(sum(state() is not None for state in states))

    for block in model.transformer.layer:
        block.register_forward_hook(note)
    with torch.inference_mode():
        model(ids, mask)
        assert max(alive) <= 2
        states.clear()
        model(ids, mask, output_hidden_states=True)
        assert max(alive) == 5


def test_chosen_tokens_and_hidden_states_cannot_both_be_asked_for():
    model, (ids, _) = tiny(), batch()
    layout = Padded()
    with pytest.raises(InputError, match="ask for one or the other"):
        model.encode(ids, Flow(layout, hidden_states=True), "first")


def test_feed_forward_in_chunks_gives_the_same_numbers():
    whole, chunked = tiny(), tiny(chunk_size_feed_forward=2)
    assert_close(chunked(*batch()), whole(*batch()))
    calls = []
    chunked.transformer.layer[0].ffn.lin1.register_forward_hook(lambda *_: calls.append(1))
    chunked(*batch())
    assert len(calls) == 4  # 7 columns


def test_frozen_embeddings_can_let_gradients_through():
    model = tiny().train()
    model.get_input_embeddings().requires_grad_(False)
    model.get_position_embeddings().requires_grad_(False)
    seen = []
    model.embeddings.LayerNorm.register_forward_hook(
        lambda _, x, y: seen.append(x[0].requires_grad)
    )
    model.enable_input_require_grads()
    model(*batch())
    model.disable_input_require_grads()
    model(*batch())
    assert seen == [True, False]


def test_memory_is_told_in_bytes():
    model = tiny()
    assert model.get_memory_footprint() == 4 * model.num_parameters()
    assert model.half().get_memory_footprint() == 2 * model.num_parameters()
    assert not model.can_generate()


def test_the_first_labels_settle_the_kind_of_problem():
    model = tiny("DistilBertForSequenceClassification")
    model(*batch())
    assert model.config.problem_type is None
    model(*batch(), labels=torch.tensor([0, 1, 1]))
    assert model.config.problem_type == "single_label_classification"


def test_sizes_types_and_places_of_parameters_are_told():
    model = tiny("DistilBertForMaskedLM")
    assert model.dtype == torch.float32
    assert model.device == torch.device("cpu")
    tables = 50 * 24 + 16 * 24
    assert model.num_parameters() - model.num_parameters(exclude_embeddings=True) == tables
    model.distilbert.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == 24 * 24 + 24 + 48 + 50
    assert model.base_model is model.distilbert
    assert model.distilbert.base_model is model.distilbert


def test_position_ids_choose_positions():
    model, (ids, mask) = tiny(), batch()
    shifted = torch.arange(7)[None] + 3
    moved = model(ids, mask, position_ids=shifted).last_hidden_state
    assert (moved - model(ids, mask)[0]).abs().max() > 0.1
    assert torch.equal(model(ids, mask, position_ids=shifted - 3)[0], model(ids, mask)[0])


def test_defaults_of_outputs_stand_in_the_configuration():
    model = tiny(output_hidden_states=True, return_dict=False)
    output = model(*batch())
    assert type(output) is tuple
    assert len(output[1]) == 3
    assert model(*batch(), output_hidden_states=False, return_dict=True).hidden_states is None
    attending = tiny(output_attentions=True)(*batch())
    assert attending.attentions[1].shape == (3, 4, 7, 7)


def test_dropout_acts_in_training_mode_only():
    for name in CLASSES:
        model, inputs = tiny(name), batch(name)
        assert torch.equal(model(*inputs)[0], model(*inputs)[0])
        model.train()
        assert not torch.equal(model(*inputs)[0], model(*inputs)[0])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("DistilBertForQuestionAnswering", {"qa_dropout": 0.5}),
        ("DistilBertForSequenceClassification", {"seq_classif_dropout": 0.5}),
        ("DistilBertForMultipleChoice", {"seq_classif_dropout": 0.5}),
        ("DistilBertForTokenClassification", {"dropout": 0.5}),
        ("DistilBertModel", {"attention_dropout": 0.5}),
        ("DistilBertModel", {"dropout": 0.5}),
    ],
)
def test_each_dropout_of_the_configuration_acts(name, settings):
    none = dict.fromkeys(("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout"), 0.0)
    inputs = batch(name)
    still = tiny(name, **none).train()
    assert torch.equal(still(*inputs)[0], still(*inputs)[0])
    moving = tiny(name, **{**none, **settings}).train()
    assert not torch.equal(moving(*inputs)[0], moving(*inputs)[0])


def test_building_on_the_meta_device_fills_nothing():
    with torch.device("meta"):
        model = DistilBertForMaskedLM(DistilBertConfig())
    assert all(p.is_meta for p in model.parameters())


def test_initialising_named_parameters_touches_no_others():
    model = tiny("DistilBertForSequenceClassification")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.initialise(["classifier.weight", "classifier.bias"])
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"classifier.weight"}
    assert isinstance(model, Classifier)
