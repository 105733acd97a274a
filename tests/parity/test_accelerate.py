"""Our classes in a loop of accelerate, by code that is as for those of transformers."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from distilbert import DistilBertTokenizer
from loops import (
    adapted,
    assert_moved_alike,
    assert_same,
    batches,
    every_kind,
    loaded,
    optimizer_of,
    pair,
    resumable,
    weights,
)

pytestmark = pytest.mark.usefixtures("one_thread", "accelerators")


@pytest.fixture
def tokenizer(tiny_vocab):
    return DistilBertTokenizer(tiny_vocab)


@pytest.fixture
def accelerators():
    """accelerate lets a process have one precision, unless its state is taken back."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def accelerated(model, loader, epochs, *, precision="no", state=None, done=0):
    """The losses of some epochs. `state`: saved after the first, or loaded if that is done."""
    accelerator = Accelerator(cpu=True, mixed_precision=precision, gradient_accumulation_steps=2)
    model, optimizer, loader = accelerator.prepare(model, optimizer_of(model), loader)
    if done:
        accelerator.load_state(state)
    seen = []
    for epoch in range(done, epochs):
        for batch in loader:
            with accelerator.accumulate(model):
                loss = model(**batch).loss
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            seen.append(loss.item())
        if state is not None and epoch == 0:
            accelerator.save_state(state)
    return seen, accelerator.unwrap_model(model)


@every_kind
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_accelerate_teaches(kind, precision, tmp_path, tokenizer):
    model = loaded(tmp_path, kind)
    before = (tmp_path / "model.safetensors").read_bytes()
    torch.manual_seed(0)
    seen, trained = accelerated(model, batches(tokenizer, kind), 20, precision=precision)
    assert trained is model
    assert sum(seen[-5:]) < 0.8 * sum(seen[:5])
    assert {p.dtype for p in trained.parameters()} == {torch.float32}
    assert (tmp_path / "model.safetensors").read_bytes() == before
    trained.save_pretrained(tmp_path / "trained")
    assert_same(type(model).from_pretrained(tmp_path / "trained"), trained)


@every_kind
def test_accelerate_goes_the_same_way_as_with_the_class_of_transformers(kind, tokenizer):
    ours, theirs = pair(kind)
    before = weights(ours)
    seen = []
    for model in (ours, theirs):
        torch.manual_seed(0)
        seen.append(accelerated(model, batches(tokenizer, kind), 2)[0])
    assert seen[0] == pytest.approx(seen[1], rel=1e-3)
    assert_moved_alike(before, weights(ours), weights(theirs))


@resumable
def test_accelerate_goes_on_from_its_state(kind, adapter, tmp_path, tokenizer):
    whole = adapted(tmp_path / "whole", kind, adapter)
    start, state = weights(whole), tmp_path / "state"
    accelerated(whole, batches(tokenizer, kind), 2, state=state)
    rest = adapted(tmp_path / "rest", kind, adapter, initializer_range=0.1)
    accelerated(rest, batches(tokenizer, kind), 2, state=state, done=1)
    assert_same(rest, whole)
    assert any(not torch.equal(start[name], x) for name, x in weights(whole).items())
