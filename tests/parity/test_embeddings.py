"""Embeddings of other vocabularies against adapters, as installed: rows, files, outputs."""

import pytest
import torch
import transformers

import adapters
import distilbert
from tiny import SPECIAL, VOCABULARY

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = {"vocab_size": len(VOCABULARY), "dim": 24, "hidden_dim": 40, "n_layers": 1, "n_heads": 2}
WORDS = [*SPECIAL, "katze", "the", "##s", "cat"]
TEXT = "the cats the"


@pytest.fixture
def pair():
    torch.manual_seed(0)
    ours = distilbert.DistilBertModel(distilbert.DistilBertConfig(**SIZES)).eval()
    theirs = transformers.DistilBertModel(transformers.DistilBertConfig(**SIZES))
    theirs.load_state_dict(ours.state_dict())
    adapters.init(theirs)
    return ours, theirs.eval()


@pytest.fixture
def tokenizers(tiny_vocab, tmp_path):
    """The words' tokenizer and the model's, of ours and of theirs."""
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{word}\n" for word in WORDS), encoding="utf-8")
    kinds = (distilbert.DistilBertTokenizerFast, transformers.DistilBertTokenizerFast)
    return [[kind(str(place)) for place in (path, tiny_vocab)] for kind in kinds]


def hidden(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).last_hidden_state


def test_tokens_that_the_reference_knows_get_the_same_rows(pair, tokenizers):
    for model, (other, known) in zip(pair, tokenizers, strict=True):
        model.add_embeddings("other", other, "default", known)
        assert model.config.vocab_size == len(WORDS)
        assert model.active_embeddings == "other"
    ours, theirs = (model.get_input_embeddings().weight for model in pair)
    copied = [i for i, word in enumerate(WORDS) if word in VOCABULARY]
    assert len(copied) == len(WORDS) - 1
    torch.testing.assert_close(ours[copied], theirs[copied], rtol=0, atol=0)


@pytest.mark.parametrize("with_tokenizer", [True, False])
def test_files_of_either_load_in_the_other(pair, tokenizers, tmp_path, with_tokenizer):
    for number, (model, (other, _)) in enumerate(zip(pair, tokenizers, strict=True)):
        model.add_embeddings("other", other)
        model.save_embeddings(
            str(tmp_path / f"{number}"), "other", other if with_tokenizer else None
        )
    ids = tokenizers[0][0](TEXT)["input_ids"]
    for number, (model, fellow) in enumerate([pair[::-1], pair]):
        tokenizer = model.load_embeddings(str(tmp_path / f"{number}"), "loaded")
        assert (tokenizer is not None) == with_tokenizer
        if with_tokenizer:
            assert tokenizer(TEXT)["input_ids"] == ids
        rows = [m.get_input_embeddings().weight for m in (model, fellow)]
        torch.testing.assert_close(*rows, rtol=0, atol=0)
        torch.testing.assert_close(hidden(model, ids), hidden(fellow, ids), rtol=1e-4, atol=2e-6)
        for one in pair:
            one.set_active_embeddings("other")


@pytest.mark.diverges("adapters 1.3.0: deletes active embeddings, and then the default ones too")
def test_the_default_embeddings_stay_here(pair, tokenizers):
    for model, (other, _) in zip(pair, tokenizers, strict=True):
        model.add_embeddings("other", other)
        model.set_active_embeddings("default")
        model.add_embeddings("third", other)
    ours, theirs = pair
    theirs.delete_embeddings("default")
    assert "default" not in theirs.loaded_embeddings
    with pytest.raises(distilbert.errors.AdapterError, match="stay with it"):
        ours.delete_embeddings("default")
