"""Embeddings of several vocabularies in one model: added, swapped, written and read."""

import copy
import pickle

import pytest
import torch
from torch import nn

import distilbert
from distilbert import (
    AdapterError,
    DistilBertConfig,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    FileError,
    InputError,
)
from tiny import VOCABULARY, write_vocabulary

SPECIAL, OTHERS = VOCABULARY[:5], ["[PAD]", "katze", "the", "##s", "[UNK]", "cat", "hund"]


@pytest.fixture
def known(tiny_vocab):
    """The tokenizer that belongs to the model."""
    return DistilBertTokenizer(str(tiny_vocab))


@pytest.fixture
def other(tmp_path):
    """One of few words, some of them known, and another padding id."""
    words = [*OTHERS[1:4], "[PAD]", *OTHERS[4:], "[CLS]", "[SEP]", "[MASK]"]
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    return DistilBertTokenizer(str(path))


def make(name="DistilBertModel", **settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(VOCABULARY), "dim": 24, "hidden_dim": 40, "n_layers": 1}
    sizes |= {"n_heads": 2, "max_position_embeddings": 32, "initializer_range": 0.2}
    model = getattr(distilbert, name)(DistilBertConfig(**{**sizes, **settings})).eval()
    for key, parameter in model.named_parameters():
        if key.endswith("bias"):
            nn.init.normal_(parameter)
    return model


def logits(model, ids=((2, 4, 3),)):
    with torch.no_grad():
        return model(torch.tensor(ids))[0]


def snapshot(model):
    """Copies of the weights, by key and of all embeddings by name; what else may change."""
    named = {**model.state_dict(), **{n: w.weight for n, w in model.loaded_embeddings.items()}}
    facts = (model.active_embeddings, model.config.vocab_size, model.config.pad_token_id)
    return {key: tensor.clone() for key, tensor in named.items()}, facts


def assert_unchanged(model, before):
    tensors, facts = snapshot(model)
    assert facts == before[1]
    torch.testing.assert_close(tensors, before[0], rtol=0, atol=0)


# Adding and swapping -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DistilBertModel", "DistilBertForSequenceClassification"])
def test_a_model_begins_with_embeddings_of_its_own(name):
    model = make(name)
    assert model.active_embeddings == "default"
    assert model.loaded_embeddings == {"default": model.get_input_embeddings()}


def test_new_embeddings_are_drawn_as_in_a_fresh_model_and_become_active(other):
    model = make(dim=512, n_heads=2, initializer_range=0.3)
    old = model.get_input_embeddings()
    model.add_embeddings("other", other)
    words = model.get_input_embeddings()
    assert model.active_embeddings == "other"
    assert {**model.loaded_embeddings} == {"default": old, "other": words}
    assert words.weight.shape == (len(other), 512)
    assert model.config.vocab_size == len(other)
    assert model.config.pad_token_id == words.padding_idx == other.pad_token_id == 3
    assert torch.equal(words.weight[3], torch.zeros(512))
    rest = torch.cat([words.weight[:3], words.weight[4:]]).detach()
    assert rest.std() == pytest.approx(0.3, rel=0.05)
    assert rest.mean() == pytest.approx(0, abs=0.02)
    assert not words.weight.requires_grad
    with pytest.raises(InputError, match=f"id {len(other)} is not in the vocabulary"):
        model(torch.tensor([[len(other)]]))


@pytest.mark.parametrize("kind", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_tokens_that_the_reference_knows_keep_their_rows(other, known, tiny_vocab, kind):
    model = make()
    old = model.get_input_embeddings().weight.clone()
    model.add_embeddings("other", other, "default", kind(str(tiny_vocab)))
    new, seen = model.get_input_embeddings().weight, 0
    for token, number in other.get_vocab().items():
        if token in known.get_vocab():
            assert torch.equal(new[number], old[known.get_vocab()[token]])
            seen += 1
        else:
            assert not (new[number] == old).all(1).any()
    assert seen == len(other) - 2
    sentence = "the cats"
    model.set_active_embeddings("default")
    before = logits(model, known([sentence])["input_ids"])
    model.set_active_embeddings("other")
    assert torch.equal(logits(model, other([sentence])["input_ids"]), before)


def test_a_reference_may_be_any_embeddings_that_are_there(other, known):
    model = make()
    model.add_embeddings("other", other)
    rows = model.get_input_embeddings().weight.clone()
    model.set_active_embeddings("default")
    model.add_embeddings("back", known, "other", other)
    new = model.get_input_embeddings().weight
    for token in ("the", "cat", "##s", "[UNK]"):
        row = new[known.convert_tokens_to_ids(token)]
        assert torch.equal(row, rows[other.convert_tokens_to_ids(token)])


def test_swapping_there_and_back_changes_nothing(other):
    model = make("DistilBertForMaskedLM")
    before, values = snapshot(model), logits(model)
    parameters = {key: id(parameter) for key, parameter in model.named_parameters()}
    model.add_embeddings("other", other)
    assert logits(model).shape[-1] == len(other)
    model.set_active_embeddings("default")
    model.delete_embeddings("other")
    assert_unchanged(model, before)
    assert torch.equal(logits(model), values)
    assert {key: id(p) for key, p in model.named_parameters()} == parameters


def test_a_tied_projection_follows_with_the_biases_of_its_words(other, known):
    model = make("DistilBertForMaskedLM")
    before = model(torch.tensor([known("the cat")["input_ids"]])).logits
    model.add_embeddings("other", other, "default", known)
    projector = model.vocab_projector
    assert projector.weight is model.get_input_embeddings().weight
    assert projector.out_features == len(projector.bias) == len(other)
    after = model(torch.tensor([other("the cat")["input_ids"]])).logits
    ids = [v.convert_tokens_to_ids(["the", "cat", "##s", "[MASK]"]) for v in (known, other)]
    torch.testing.assert_close(after[..., ids[1]], before[..., ids[0]])
    assert projector.bias[other.convert_tokens_to_ids("katze")] == 0
    with torch.no_grad():
        projector.bias.fill_(7)  # as if it had been trained
    model.set_active_embeddings("default")
    model.set_active_embeddings("other")
    assert (model.vocab_projector.bias == 7).all()


def test_heads_for_language_modelling_follow_too(other):
    model = make("DistilBertModelWithHeads")
    model.add_masked_lm_head("masks")
    model.add_causal_lm_head("next")
    before = logits(model)
    model.add_embeddings("other", other)
    for name in ("masks", "next"):
        model.active_head = name
        assert logits(model).shape[-1] == len(other)
    model.set_active_embeddings("default")
    model.active_head = "next"
    assert torch.equal(logits(model), before)


def test_a_projection_that_is_not_tied_stays(other):
    model = make("DistilBertForMaskedLM", tie_word_embeddings=False)
    before = model.vocab_projector.weight.clone()
    model.add_embeddings("other", other)
    assert torch.equal(model.vocab_projector.weight, before)


def test_waiting_embeddings_come_into_the_dtype_of_the_model(other):
    model = make("DistilBertForMaskedLM")
    model.add_embeddings("other", other)
    model.set_active_embeddings("default")
    model.to(torch.bfloat16)
    model.set_active_embeddings("other")
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert logits(model).dtype == torch.bfloat16


def test_new_embeddings_train_where_they_are_asked_to(other):
    model = make()
    model.add_embeddings("other", other)
    model.add_adapter("a", "seq_bn")
    model.train_adapter("a", train_embeddings=True)
    model(torch.tensor([[1, 2, 4]])).last_hidden_state[0, 0, 0].backward()
    assert model.get_input_embeddings().weight.grad.abs().max() > 0


def test_copies_and_pickles_of_a_model_have_all_embeddings(other):
    model = make("DistilBertForMaskedLM")
    model.add_embeddings("other", other)
    model.set_active_embeddings("default")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_unchanged(twin, snapshot(model))
        twin.set_active_embeddings("other")
        assert twin.vocab_projector.weight is twin.get_input_embeddings().weight
        assert model.active_embeddings == "default"


def test_only_active_embeddings_are_part_of_the_state_dict(other, tmp_path):
    model = make()
    keys = set(model.state_dict())
    model.add_embeddings("other", other)
    assert set(model.state_dict()) == keys
    model.save_pretrained(tmp_path / "model")
    loaded = distilbert.DistilBertModel.from_pretrained(tmp_path / "model")
    assert loaded.config.vocab_size == len(other)
    assert torch.equal(loaded.get_input_embeddings().weight, model.get_input_embeddings().weight)
    assert torch.equal(logits(loaded), logits(model))


# Deleting ----------------------------------------------------------------------------------------


def test_deleted_embeddings_are_gone_and_their_name_is_free(other):
    model = make()
    model.add_embeddings("other", other)
    model.set_active_embeddings("default")
    model.delete_embeddings("other")
    assert [*model.loaded_embeddings] == ["default"]
    model.add_embeddings("other", other)
    assert model.active_embeddings == "other"


@pytest.mark.diverges("adapters 1.3.0: deletes active embeddings, and then the default ones too")
def test_active_and_default_embeddings_are_not_deleted(other):
    model = make()
    model.add_embeddings("other", other)
    before = snapshot(model)
    with pytest.raises(AdapterError, match="'other' are active; call set_active_embeddings"):
        model.delete_embeddings("other")
    with pytest.raises(AdapterError, match="the default embeddings are the model's own"):
        model.delete_embeddings("default")
    assert_unchanged(model, before)


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["set_active_embeddings", "delete_embeddings", "save_embeddings"])
@pytest.mark.parametrize("name", ["none", "", None, 7, ["default"]])
def test_unknown_embeddings_are_named(call, name, tmp_path):
    model = make()
    arguments = (tmp_path / "saved", name) if call == "save_embeddings" else (name,)
    with pytest.raises(AdapterError, match=r"no embeddings .*; this model has \['default'\]"):
        getattr(model, call)(*arguments)
    assert not (tmp_path / "saved").exists()


class Broken:
    def get_vocab(self):
        return {}


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("default", "known"), {}, AdapterError, "already has embeddings 'default'"),
        (("", "known"), {}, AdapterError, "'' is no name for embeddings"),
        ((None, "known"), {}, AdapterError, "None is no name for embeddings"),
        (("new", "text"), {}, InputError, "'text' is no tokenizer"),
        (("new", Broken()), {}, InputError, "no tokenizer with tokens"),
        (("new", "known"), {"embedding_dim": 12}, InputError, "embedding_dim is 12; .* 24"),
        (("new", "known", "default"), {}, InputError, "belong together"),
        (("new", "known"), {"reference_tokenizer": "known"}, InputError, "belong together"),
        (("new", "known", "none", "known"), {}, AdapterError, "no embeddings 'none'"),
        (("new", "known", "default", 7), {}, InputError, "7 is no tokenizer"),
        (("new", "known", "few", "known"), {}, InputError, "has ids up to .* have 10 rows"),
    ],
)
def test_what_cannot_be_added_is_refused_and_changes_nothing(
    arguments, options, error, message, known, other
):
    model = make("DistilBertForMaskedLM")
    model.add_embeddings("few", other)
    model.set_active_embeddings("default")
    before = snapshot(model)
    given = [known if value == "known" else value for value in arguments]
    options = {name: known if value == "known" else value for name, value in options.items()}
    with pytest.raises(error, match=message):
        model.add_embeddings(*given, **options)
    assert_unchanged(model, before)


# Files -------------------------------------------------------------------------------------------


def test_saved_embeddings_load_with_their_tokenizer(other, tmp_path):
    model = make()
    model.add_embeddings("other", other)
    words, values = model.get_input_embeddings().weight.clone(), logits(model)
    model.save_embeddings(tmp_path / "new" / "folder", "other", other)
    model.set_active_embeddings("default")
    model.save_embeddings(tmp_path / "own", "default")

    fresh = make()
    tokenizer = fresh.load_embeddings(tmp_path / "new" / "folder", "loaded")
    assert fresh.active_embeddings == "loaded"
    assert torch.equal(fresh.get_input_embeddings().weight, words)
    assert torch.equal(logits(fresh), values)
    assert tokenizer.get_vocab() == other.get_vocab()
    assert fresh.config.pad_token_id == fresh.get_input_embeddings().padding_idx == 3
    assert not fresh.get_input_embeddings().weight.requires_grad
    assert fresh.load_embeddings(str(tmp_path / "own"), "default of the other") is None
    assert fresh.config.pad_token_id == 3


def test_a_name_is_never_part_of_a_path(other, tmp_path):
    model = make()
    folder = tmp_path / "folder"
    for name in ("../../outside", "/tmp/outside", "a.b", "a\0b"):
        model.add_embeddings(name, other)
        model.save_embeddings(folder, name)
    assert [path.name for path in folder.iterdir()] == ["embedding.pt"]
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "vocab.txt"}


def test_a_file_that_is_written_over_does_not_reach_what_was_loaded_from_it(other, tmp_path):
    model = make()
    model.save_embeddings(tmp_path, "default")
    model.load_embeddings(tmp_path, "loaded")
    before = model.get_input_embeddings().weight.clone()
    path = tmp_path / "embedding.pt"
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert torch.equal(model.get_input_embeddings().weight, before)


def test_a_file_holds_the_rows_alone_and_not_the_checkpoint_that_they_were_mapped_from(tmp_path):
    make().save_pretrained(tmp_path / "model")
    model = distilbert.DistilBertModel.from_pretrained(tmp_path / "model")
    model.save_embeddings(tmp_path, "default")
    size = model.get_input_embeddings().weight.nbytes
    assert size < (tmp_path / "embedding.pt").stat().st_size < size + 2000


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = make()
    model.save_embeddings(tmp_path, "default")
    before = (tmp_path / "embedding.pt").read_bytes()

    def full(tensor, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(FileError, match="No space left"):
        model.save_embeddings(tmp_path, "default")
    assert (tmp_path / "embedding.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["embedding.pt"]


def test_what_is_no_tokenizer_is_not_saved(tmp_path):
    with pytest.raises(InputError, match="7 is no tokenizer that can be saved"):
        make().save_embeddings(tmp_path, "default", 7)
    assert not [*tmp_path.iterdir()]


class Hostile:
    def __reduce__(self):
        return pytest.fail, ("the file ran code",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no embedding.pt in"),
        (b"", "not a file of plain tensors"),
        (b"\x80\x02junk", "not a file of plain tensors"),
        (Hostile(), "not a file of plain tensors"),
        ({"weight": torch.ones(4, 24)}, "holds no embeddings"),
        (torch.ones(4), "holds no embeddings"),
        (torch.ones(0, 24), "holds no embeddings"),
        (torch.ones(4, 24, dtype=torch.long), "holds no embeddings"),
        (torch.ones(4, 24).to_sparse(), "holds no embeddings"),
        (torch.ones(4, 24, device="meta"), "holds no embeddings"),
        (torch.ones(4, 12), "are 12 wide; this model's width is 24"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_files_that_hold_no_embeddings_are_refused_and_change_nothing(content, message, tmp_path):
    path = tmp_path / "embedding.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    model = make()
    before = snapshot(model)
    with pytest.raises(FileError, match=message):
        model.load_embeddings(tmp_path, "loaded")
    assert_unchanged(model, before)


@pytest.mark.parametrize("name", ["default", "", None])
def test_loaded_embeddings_need_a_name_of_their_own(name, tmp_path):
    model = make()
    model.save_embeddings(tmp_path, "default")
    with pytest.raises(AdapterError, match=r"for embeddings|already has embeddings"):
        model.load_embeddings(tmp_path, name)
    assert model.active_embeddings == "default"


def test_a_tokenizer_that_belongs_to_other_embeddings_is_refused(other, tmp_path):
    model = make()
    model.add_embeddings("other", other)
    model.save_embeddings(tmp_path, "other", other)
    (tmp_path / "tokenizer").mkdir(exist_ok=True)
    for path in (tmp_path / "tokenizer").iterdir():
        path.unlink()
    write_vocabulary(tmp_path / "tokenizer")
    before = snapshot(model)
    with pytest.raises(FileError, match=r"has ids up to .* beside it 10 rows"):
        model.load_embeddings(tmp_path, "loaded")
    assert_unchanged(model, before)


@pytest.mark.parametrize("path", ["", None, 7, "a\0b"])
def test_what_is_no_path_is_refused(path):
    model = make()
    with pytest.raises(InputError, match="allowed: a path"):
        model.save_embeddings(path, "default")
    with pytest.raises((InputError, FileError), match=r"is no path|is no folder"):
        model.load_embeddings(path, "loaded")
