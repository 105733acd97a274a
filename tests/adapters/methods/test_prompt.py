"""Prompt tuning: vectors among the embeddings of every row."""

import pytest
import torch

import distilbert
from adapted import batch
from distilbert import AdapterError
from distilbert.adapters.configs import PromptTuningConfig
from distilbert.adapters.methods.prompt import Prompt
from distilbert.adapters.site import PromptState
from distilbert.flow import Flow
from distilbert.layout import Padded
from effects import assert_changes, fresh, options, output, weights, with_adapter
from tiny import POSITIONS, VOCABULARY

BASE = "prompt_tuning[prompt_length=3]"
SEEDED = "prompt_tuning[init_weights_seed=3]"
CHANGES = [
    (BASE, output, "prompt_length", 2),
    (BASE, output, "combine", "prefix_after_bos"),
    (SEEDED, weights, "init_weights_seed", 4),
    (SEEDED, weights, "init_weights_seed", 0),
    (BASE, weights, "random_uniform_scale", 0.1),
]
OF_TEXT = {"prompt_init", "prompt_init_text"}


@pytest.mark.parametrize(("base", "effect", "option", "value"), CHANGES)
def test_an_option_changes_the_result(base, effect, option, value):
    assert_changes(base, effect, option, value)


def test_every_option_is_tested():
    assert {option for _, _, option, _ in CHANGES} | OF_TEXT == options(PromptTuningConfig)


# Where it stands ---------------------------------------------------------------------------------


def prompt(value, length=2, combine="prefix"):
    made = Prompt(PromptTuningConfig(prompt_length=length, combine=combine), 1)
    torch.nn.init.constant_(made.prompt_embedding.weight, value)
    return made


def stood(*prompts):
    """A row "9 8" after these prompts, one after the other."""
    state = PromptState()
    for made in prompts:
        state = made(state, Flow(Padded()))
    front, behind = ([] if x is None else x[:, 0].tolist() for x in (state.front, state.behind))
    return [*front, 9, *behind, 8]


def test_prompts_stand_where_each_would_put_itself_into_the_row_before_it():
    before, after = prompt(1), prompt(2, combine="prefix_after_bos")
    assert stood(before) == [1, 1, 9, 8]
    assert stood(after) == [9, 2, 2, 8]
    assert stood(after, before) == [1, 1, 9, 2, 2, 8]
    assert stood(before, prompt(3, 1)) == [3, 1, 1, 9, 8]
    assert stood(after, prompt(4, 1, "prefix_after_bos")) == [9, 4, 2, 2, 8]
    assert stood(before, after) == [1, 2, 2, 1, 9, 8]  # the row's first vector is the prompt's


@pytest.mark.parametrize("combine", ["prefix", "prefix_after_bos"])
def test_the_encoder_reads_the_vectors_as_they_are(combine):
    model = with_adapter(f"prompt_tuning[prompt_length=2,combine='{combine}']").eval()
    ids, _ = batch((4, 4))
    found = model(ids, output_hidden_states=True).hidden_states[0]
    plain = model(ids, output_hidden_states=True, adapter_names=[]).hidden_states[0]
    own = model.prompt_tuning.slot["a"].prompt_embedding.weight.expand(2, -1, -1)
    parts = [plain[:, :1], own, plain[:, 1:]]
    expected = torch.cat(parts if combine == "prefix_after_bos" else [own, plain], 1)
    torch.testing.assert_close(found, expected)


# Fresh vectors -----------------------------------------------------------------------------------


def test_vectors_start_in_the_range_that_the_configuration_gives():
    weight = fresh("prompt_tuning[prompt_length=200]").prompt_tuning.slot["a"].prompt_embedding
    assert 0.49 < weight.weight.max() <= 0.5
    assert -0.5 <= weight.weight.min() < -0.49
    small = fresh("prompt_tuning[prompt_length=200,random_uniform_scale=0.01]")
    assert small.prompt_tuning.slot["a"].prompt_embedding.weight.abs().max() <= 0.01


def from_text(text, length):
    return PromptTuningConfig(
        prompt_init="from_string", prompt_init_text=text, prompt_length=length
    )


@pytest.mark.parametrize("length", [2, 5, 12])
def test_a_text_is_repeated_or_cut_to_the_length(tiny_folder, length):
    model = distilbert.DistilBertModel.from_pretrained(tiny_folder("DistilBertModel"))
    model.add_adapter("a", from_text("Anna sees cats", length))
    pieces = ["[CLS]", "anna", "sees", "cat", "##s", "[SEP]"] * 2
    ids = torch.tensor([VOCABULARY.index(piece) for piece in pieces[:length]])
    found = model.prompt_tuning.slot["a"].prompt_embedding.weight
    words = model.embeddings.word_embeddings.weight
    assert torch.equal(found, words[ids])
    with torch.no_grad():
        found.add_(1)
    assert not torch.equal(found, words[ids]), "a copy"


def test_other_texts_give_other_vectors(tiny_folder):
    model = distilbert.DistilBertModel.from_pretrained(tiny_folder("DistilBertModel"))
    model.add_adapter("a", from_text("the cat", 4))
    model.add_adapter("b", from_text("the dog", 4))
    model.add_adapter("c", "prompt_tuning[prompt_length=4]")
    found = [model.prompt_tuning.slot[name].prompt_embedding.weight for name in "abc"]
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_configuration_may_name_another_tokenizer(tiny_folder):
    place = tiny_folder("DistilBertModel")
    config = distilbert.DistilBertConfig.from_pretrained(place)
    config.tokenizer_name_or_path = str(place)
    config.name_or_path = ""
    model = distilbert.DistilBertModel(config)
    model.add_adapter("a", from_text("cat", 1))
    first = model.embeddings.word_embeddings.weight[VOCABULARY.index("[CLS]")]
    assert torch.equal(model.prompt_tuning.slot["a"].prompt_embedding.weight[0], first)


def tiny(**settings):
    sizes = {"dim": 8, "hidden_dim": 8, "n_layers": 1, "n_heads": 1, "vocab_size": 10}
    settings = {**sizes, "max_position_embeddings": POSITIONS, **settings}
    return distilbert.DistilBertModel(distilbert.DistilBertConfig(**settings))


def test_a_text_without_a_tokenizer_is_refused(tmp_path):
    model = tiny()
    with pytest.raises(AdapterError, match=r"'cat' needs a tokenizer, .* tokenizer_name_or_path"):
        model.add_adapter("a", from_text("cat", 1))
    model.config.name_or_path = str(tmp_path)
    with pytest.raises(AdapterError, match=r"none loads from .*: .*vocab\.txt.*random_uniform"):
        model.add_adapter("a", from_text("cat", 1))
    assert "a" not in model.adapters_config


def test_a_tokenizer_of_another_vocabulary_is_refused(tiny_folder):
    model = tiny(name_or_path=str(tiny_folder("DistilBertModel")))
    with pytest.raises(AdapterError, match=r"the id \d+, which is none of the 10"):
        model.add_adapter("a", from_text("cat", 3))


def test_what_a_file_will_fill_needs_no_tokenizer():
    with torch.device("meta"):
        model = tiny()
        model.add_adapter("a", from_text("cat", 3))
    assert model.prompt_tuning.slot["a"].prompt_embedding.weight.shape == (3, 8)
