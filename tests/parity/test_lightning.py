"""Our classes in a module of Lightning, by code that is as for those of transformers."""

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from distilbert import DistilBertTokenizer
from loops import adapted, assert_same, batches, every_kind, loaded, optimizer_of, resumable

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # What pytorch-lightning 2.6.6 says of torch 2.13, and of loaders and runs as small as these.
    pytest.mark.filterwarnings(
        r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"
    ),
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


@pytest.fixture
def tokenizer(tiny_vocab):
    return DistilBertTokenizer(tiny_vocab)


class Module(lightning.LightningModule):
    """What one writes around any model whose output has a loss."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.seen = []

    def training_step(self, batch, number):
        loss = self.model(**batch).loss
        self.log("loss", loss)
        self.seen.append(loss.item())
        return loss

    def validation_step(self, batch, number):
        self.log("dev_loss", self.model(**batch).loss)

    def configure_optimizers(self):
        return optimizer_of(self.model)


def lit(folder, **settings):
    return lightning.Trainer(
        **{
            "default_root_dir": str(folder),
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "gradient_clip_val": 1.0,
            "accumulate_grad_batches": 2,
            **settings,
        }
    )


@every_kind
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_lightning_teaches(kind, precision, tmp_path, tokenizer):
    module = Module(loaded(tmp_path, kind))
    loader = batches(tokenizer, kind)
    run = lit(tmp_path, max_epochs=20, precision=precision)
    torch.manual_seed(0)
    run.fit(module, loader, batches(tokenizer, kind, shuffle=False))
    assert sum(module.seen[-5:]) < 0.8 * sum(module.seen[:5])
    assert float(run.callback_metrics["dev_loss"]) < module.seen[0]


class Repeatable(Module):
    """Lightning leaves random states to its user."""

    def on_train_batch_start(self, batch, number):
        torch.manual_seed(10 * self.current_epoch + number)


@resumable
def test_lightning_goes_on_from_its_checkpoint(kind, adapter, tmp_path, tokenizer):
    loader = DataLoader([*batches(tokenizer, kind)], batch_size=None)

    def run():
        keep = ModelCheckpoint(tmp_path / "states", filename="{epoch}", save_top_k=-1)
        return lit(tmp_path, max_epochs=2, enable_checkpointing=True, callbacks=[keep])

    whole = Repeatable(adapted(tmp_path / "whole", kind, adapter))
    run().fit(whole, loader, loader)
    last = (tmp_path / "states" / "epoch=1.ckpt").rename(tmp_path / "last.ckpt")
    rest = Repeatable(adapted(tmp_path / "rest", kind, adapter, initializer_range=0.1))
    run().fit(rest, loader, loader, ckpt_path=tmp_path / "states" / "epoch=0.ckpt")
    assert len(rest.seen) == len(loader)
    assert_same(rest.model, whole.model)

    again = Module.load_from_checkpoint(last, model=adapted(tmp_path / "rest", kind, adapter))
    assert_same(again.model, whole.model)
    if kind == "MaskedLM":
        assert again.model.vocab_projector.weight is again.model.get_input_embeddings().weight
