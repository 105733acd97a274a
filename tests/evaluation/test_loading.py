"""A trained model is loaded with all that it needs, or refused."""

import pytest
import torch

from distilbert import DistilBertForSequenceClassification, DistilBertForTokenClassification
from distilbert.errors import DistilBertError, InputError
from distilbert.evaluation.loading import load_trained

pytestmark = pytest.mark.usefixtures("one_thread")

IDS = torch.tensor([[2, 7, 8, 9, 3]])
LABELS = {"id2label": {0: "x", 1: "y", 2: "z"}}


@pytest.fixture
def encoder(tiny_folder):
    return str(tiny_folder("DistilBertModel"))


def adapted(folder, adapters, *, model_class=DistilBertForSequenceClassification, **labels):
    """A model with trained-like adapters; the first is active, several are fused."""
    torch.manual_seed(1)
    model = model_class.from_pretrained(folder, **labels).eval()
    for name in adapters:
        model.add_adapter(name, "seq_bn")
    if len(adapters) > 1:
        model.add_adapter_fusion(adapters)
        model.set_active_adapters([adapters])
    else:
        model.set_active_adapters(adapters[0])
    for name, parameter in model.named_parameters():
        if "adapter" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def same(model, other):
    with torch.inference_mode():
        return torch.allclose(model(IDS).logits, other(IDS).logits, atol=1e-5)


def test_a_whole_model_is_loaded(tiny_folder):
    folder = tiny_folder("DistilBertForSequenceClassification", **LABELS)
    model, tokenizer = load_trained("classification", str(folder))
    assert same(model, DistilBertForSequenceClassification.from_pretrained(folder))
    assert tokenizer("cat")["input_ids"]


def test_an_adapter_brings_its_head_and_the_names_of_its_labels(encoder, tmp_path):
    given = adapted(encoder, ["task"], **LABELS)
    given.save_adapter(tmp_path / "adapter", "task")
    model, _ = load_trained("classification", encoder, str(tmp_path / "adapter"))
    assert model.config.id2label == LABELS["id2label"]
    assert same(model, given)


def test_an_adapter_is_put_on_a_model_that_has_another_head(tiny_folder, tmp_path):
    folder = str(tiny_folder("DistilBertForSequenceClassification", num_labels=2))
    given = adapted(folder, ["task"], **LABELS, ignore_mismatched_sizes=True)
    given.save_adapter(tmp_path / "adapter", "task")
    model, _ = load_trained("classification", folder, str(tmp_path / "adapter"))
    assert same(model, given)


def test_an_adapter_without_a_head_leaves_that_of_the_model(tiny_folder, tmp_path):
    folder = str(tiny_folder("DistilBertForSequenceClassification", **LABELS))
    given = adapted(folder, ["task"])
    given.save_adapter(tmp_path / "adapter", "task", with_head=False)
    model, _ = load_trained("classification", folder, str(tmp_path / "adapter"))
    assert same(model, given)


def test_a_fusion_is_loaded_with_its_adapters_and_head(encoder, tmp_path):
    given = adapted(encoder, ["a", "b"], **LABELS)
    given.save_adapter_setup(tmp_path / "setup", given.active_adapters, head_setup=True)
    model, _ = load_trained("classification", encoder, str(tmp_path / "setup"))
    assert model.config.id2label == LABELS["id2label"]
    assert same(model, given)


def test_nothing_is_answered_at_random(encoder, tmp_path):
    with pytest.raises(
        InputError, match=r"holds no weights for classifier\.bias.*trained for such"
    ):
        load_trained("classification", encoder)
    tagger = adapted(encoder, ["t"], model_class=DistilBertForTokenClassification, **LABELS)
    tagger.save_adapter(tmp_path / "tagger", "t")
    with pytest.raises(InputError, match=r"'.*tagger' hold no weights for classifier"):
        load_trained("classification", encoder, str(tmp_path / "tagger"))
    tagger.save_adapter(tmp_path / "bare", "t", with_head=False)
    with pytest.raises(InputError, match=r"'.*bare' hold no weights for"):
        load_trained("words", encoder, str(tmp_path / "bare"))


def test_a_missing_adapter_is_told(encoder, tmp_path):
    with pytest.raises(DistilBertError, match="nowhere"):
        load_trained("classification", encoder, str(tmp_path / "nowhere"))
