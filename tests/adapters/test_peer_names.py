"""Names that code written for AdapterHub's library imports and calls, beside those of every day."""

import pytest
import torch

import distilbert
import distilbert.adapters.composition as ac
from adapted import batch, shake, tiny, with_adapters
from distilbert import AdapterError, DistilBertModelWithHeads, adapters
from distilbert.adapters import BnConfig, ConfigUnion, LoRAConfig, MultiTaskConfig, SeqBnConfig
from distilbert.model.flexible import HEAD_TYPES

pytestmark = pytest.mark.usefixtures("one_thread")
HEADS = {
    "ClassificationHead": {"num_labels": 3, "id2label": {0: "x", 1: "y", 2: "z"}},
    "MultiLabelClassificationHead": {"num_labels": 3},
    "MultipleChoiceHead": {"num_choices": 2, "layers": 1},
    "TaggingHead": {"num_labels": 3, "activation_function": "gelu"},
    "QuestionAnsweringHead": {},
    "BiaffineParsingHead": {"num_labels": 4},
    "BertStyleMaskedLMHead": {"layers": 2},
    "CausalLMHead": {"layers": 2, "layer_norm": True},
}


def heads():
    return tiny("DistilBertModelWithHeads")


@pytest.mark.parametrize("name", HEADS)
def test_a_head_can_be_made_of_its_class_and_added(name):
    model = heads()
    head = getattr(adapters, name)(model, "x", **HEADS[name])
    model.add_prediction_head(head)
    assert model.heads["x"] is head
    assert model.active_head == "x"
    by_method = heads()
    by_method.add_prediction_head_from_config("x", model.get_prediction_heads_config()["x"])
    assert by_method.state_dict().keys() == model.state_dict().keys()
    assert by_method.heads["x"].config == head.config


def test_heads_are_told_by_type_and_by_their_options():
    model = heads()
    assert model.head_types == DistilBertModelWithHeads.head_types == [*HEAD_TYPES]
    model.add_classification_head("a", num_labels=3)
    model.add_tagging_head("b")
    found = model.get_prediction_heads_config()
    assert [*found] == ["a", "b"]
    assert found["a"]["head_type"] == "classification"
    assert found["a"]["num_labels"] == 3


def test_a_model_is_loaded_by_its_class(tmp_path):
    model = with_adapters(tiny(), {"a": "lora"})
    model.save_pretrained(tmp_path)
    found = adapters.load_model(tmp_path, distilbert.DistilBertModel).eval()
    output = found(*batch(), adapter_names="a").last_hidden_state
    torch.testing.assert_close(output, model(*batch(), adapter_names="a").last_hidden_state)
    with pytest.raises(AdapterError, match="interface is 3; allowed: None"):
        adapters.load_model(tmp_path, distilbert.DistilBertModel, 3)


def test_a_configuration_is_found_by_type_layer_and_place():
    model = tiny()
    assert isinstance(model.adapters_config, adapters.ModelAdaptersConfig)
    union = ConfigUnion(LoRAConfig(leave_out=[1]), SeqBnConfig(reduction_factor=4))
    model.add_adapter("a", union)
    model.add_adapter("b", "lora")
    match = model.adapters_config.match
    assert match("a", LoRAConfig) == LoRAConfig(leave_out=[1])
    assert match("a", LoRAConfig, 0, "selfattn_lora") == LoRAConfig(leave_out=[1])
    assert match("a", BnConfig, 1, "output_adapter") == SeqBnConfig(reduction_factor=4)
    assert match("a", ConfigUnion) == union
    for missing in (
        ("a", LoRAConfig, 1),
        ("a", LoRAConfig, 0, "output_lora"),
        ("b", BnConfig),
        ("none", LoRAConfig),
    ):
        assert match(*missing) is None
    two = ConfigUnion(
        LoRAConfig(), LoRAConfig(selfattn_lora=False, attn_matrices=[], output_lora=True)
    )
    model.add_adapter("c", two)
    assert match("c", LoRAConfig, 0, "output_lora").output_lora
    with pytest.raises(AdapterError, match="'c' has 2 members that are a LoRAConfig"):
        match("c", LoRAConfig)


def test_configurations_of_several_tasks_have_a_base():
    assert isinstance(adapters.AdapterConfig.load("mtl_lora"), MultiTaskConfig)
    assert not isinstance(adapters.AdapterConfig.load("lora"), MultiTaskConfig)


def test_compositions_are_parsed_and_validated_under_the_known_names():
    assert ac.AdapterCompositionBlock is ac.Composition
    assert isinstance(ac.parse_composition("a"), ac.AdapterCompositionBlock)
    assert adapters.parse_composition("a") == ac.Stack("a")
    assert ac.parse_composition("a", level=1) == ac.parse_composition("a", level=None) == "a"
    assert (
        ac.parse_composition(None) is ac.parse_composition([]) is ac.parse_composition("") is None
    )
    assert ac.parse_composition([["a", "b"]]) == ac.Stack(ac.Fuse("a", "b"))
    wrong = ac.Fuse(ac.Parallel("a", "b"))
    assert ac.parse_composition(wrong, level=None) is wrong
    for check in (ac.parse_composition, ac.validate_composition, adapters.validate_composition):
        with pytest.raises(AdapterError, match="Fuse cannot hold"):
            check(wrong)
        check(ac.Stack("a", "b"))
    with pytest.raises(AdapterError, match="too deep"):
        ac.validate_composition(ac.Average("a", "b"), level=2)


@pytest.mark.parametrize("name", ["DistilBertModel", "DistilBertModelWithHeads"])
def test_input_that_is_said_to_be_in_copies_is_refused(name):
    model = with_adapters(tiny(name), {"a": "lora", "b": "lora"})
    shake(model, "a")
    both = ac.Parallel("a", "b")
    expected = model(*batch(), adapter_names=both)[0]
    for said in (None, False):
        found = model(*batch(), adapter_names=both, adapter_input_parallelized=said)[0]
        assert torch.equal(found, expected)
    with pytest.raises(AdapterError, match=r"parallelized is True; .* use BatchSplit or PerRow"):
        model(*batch(), adapter_names=both, adapter_input_parallelized=True)


@pytest.mark.parametrize("kind", [*adapters.AdapterType, "text_task", "text_lang"])
def test_kinds_of_version_1_may_stand_behind_a_name(kind, tmp_path):
    model = tiny()
    model.add_adapter("a", kind, config="lora")
    model.save_adapter(tmp_path, "a")
    assert model.load_adapter(tmp_path, kind, load_as="b") == "b"
    assert model.adapters_config.get("b") == model.adapters_config.get("a")
