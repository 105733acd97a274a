"""Our classes in the Trainer of transformers, by code that is as for its own classes."""

import numpy
import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

import distilbert
from distilbert import DistilBertTokenizer
from loops import (
    KINDS,
    SETTINGS,
    WITHOUT_DROPOUT,
    assert_moved_alike,
    assert_same,
    every_kind,
    made,
    of_texts,
    pair,
    weights,
)

pytestmark = pytest.mark.usefixtures("one_thread", "own_precision")


@pytest.fixture
def own_precision(monkeypatch):
    """Arguments with bf16 set this for every Trainer that comes after in the process."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")


@pytest.fixture
def tokenizer(tiny_vocab):
    return DistilBertTokenizer(tiny_vocab)


def arguments(folder, **settings):
    return TrainingArguments(
        **{
            "output_dir": str(folder),
            "max_steps": 20,
            "per_device_train_batch_size": 8,
            "per_device_eval_batch_size": 8,
            "learning_rate": 1e-2,
            "use_cpu": True,
            "report_to": "none",
            "disable_tqdm": True,
            "logging_steps": 1,
            "save_strategy": "no",
            "dataloader_pin_memory": False,
            **settings,
        }
    )


def trainer(model, folder, tokenizer, kind="SequenceClassification", *, options=None, **settings):
    examples, collator = KINDS[kind]
    data = examples()
    return Trainer(
        model,
        arguments(folder, **settings),
        data_collator=collator(tokenizer),
        train_dataset=data,
        eval_dataset=data,
        **(options or {}),
    )


def losses(run):
    return [line["loss"] for line in run.state.log_history if "loss" in line]


@every_kind
def test_the_trainer_takes_the_same_steps_as_with_the_class_of_transformers(
    kind, tmp_path, tokenizer
):
    ours, theirs = pair(kind)
    before = weights(ours)
    runs = []
    for name, model in (("ours", ours), ("theirs", theirs)):
        run = trainer(
            model,
            tmp_path / name,
            tokenizer,
            kind,
            label_smoothing_factor=0.1 if kind == "SequenceClassification" else 0.0,
            gradient_accumulation_steps=2,
            warmup_steps=2,
            weight_decay=0.1,
            max_steps=6,
            eval_strategy="steps",
            eval_steps=3,
        )
        run.train()
        runs.append(run)
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), rel=1e-3)
    scores = [
        [line["eval_loss"] for line in run.state.log_history if "eval_loss" in line] for run in runs
    ]
    assert len(scores[0]) == 2
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)
    assert_moved_alike(before, weights(ours), weights(theirs))


@every_kind
def test_the_trainer_teaches(kind, tmp_path, tokenizer):
    run = trainer(made(kind), tmp_path, tokenizer, kind, max_steps=40)
    run.train()
    assert sum(losses(run)[-5:]) < 0.8 * sum(losses(run)[:5])


def accuracy(prediction):
    logits, labels = prediction
    return {"accuracy": float((numpy.argmax(logits, -1) == labels).mean())}


def test_the_trainer_evaluates_predicts_and_keeps_the_best(tmp_path, tokenizer):
    model = made()
    run = trainer(
        model,
        tmp_path,
        tokenizer,
        max_steps=40,
        eval_strategy="steps",
        eval_steps=10,
        save_strategy="best",
        metric_for_best_model="accuracy",
        load_best_model_at_end=True,
        options={"compute_metrics": accuracy},
    )
    run.train()
    seen = [line["eval_accuracy"] for line in run.state.log_history if "eval_accuracy" in line]
    assert max(seen) > 0.9
    assert run.evaluate()["eval_accuracy"] == max(seen)
    predicted = run.predict(of_texts()[:5]).predictions
    assert predicted.shape == (5, 2)
    assert model.config.problem_type == "single_label_classification"


@every_kind
def test_a_checkpoint_goes_on_to_the_same_weights(kind, tmp_path, tokenizer):
    settings = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4}
    whole = made(kind)
    trainer(whole, tmp_path, tokenizer, kind, **settings).train()
    rest = made(kind, initializer_range=0.1)
    run = trainer(rest, tmp_path, tokenizer, kind, **settings)
    run.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert run.state.global_step == 8
    assert_same(rest, whole)


@every_kind
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_what_the_trainer_saves_is_loaded(kind, safe, tmp_path, tokenizer):
    model = made(kind)
    run = trainer(model, tmp_path / "run", tokenizer, kind, max_steps=2, save_safetensors=safe)
    run.train()
    run.save_model(tmp_path / "saved")
    loaded = type(model).from_pretrained(tmp_path / "saved", config=model.config)
    assert_same(loaded, model)


def test_a_folder_of_save_pretrained_is_a_checkpoint_and_keeps_words_tied(tmp_path, tokenizer):
    model = made("MaskedLM")
    trainer(
        model, tmp_path, tokenizer, "MaskedLM", max_steps=2, save_strategy="steps", save_steps=2
    ).train()
    model.save_pretrained(tmp_path / "checkpoint-2")
    other = made("MaskedLM", initializer_range=0.1)
    run = trainer(other, tmp_path, tokenizer, "MaskedLM", max_steps=2)
    run.train(resume_from_checkpoint=True)
    assert_same(other, model)
    assert other.vocab_projector.weight is other.get_input_embeddings().weight


@pytest.mark.parametrize("reentrant", [True, False])
def test_the_trainer_recomputes_activations(reentrant, tmp_path, tokenizer):
    plain, recomputing = (made(**WITHOUT_DROPOUT) for _ in range(2))
    trainer(plain, tmp_path, tokenizer, max_steps=3).train()
    trainer(
        recomputing,
        tmp_path,
        tokenizer,
        max_steps=3,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": reentrant},
    ).train()
    assert recomputing.is_gradient_checkpointing
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(recomputing.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


class Watch(TrainerCallback):
    """Which parameters have a gradient when the optimizer steps."""

    def __init__(self):
        self.trained = set()

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        self.trained |= {name for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", ["seq_bn", "lora", "prefix_tuning"])
@pytest.mark.parametrize("recompute", [False, True])
def test_the_trainer_trains_adapter_and_head_alone(config, recompute, tmp_path, tokenizer):
    model = made()
    model.add_adapter("mine", config)
    model.train_adapter("mine")
    before = weights(model)
    watch = Watch()
    settings = {
        "max_steps": 20,
        "save_strategy": "steps",
        "save_steps": 10,
        "gradient_checkpointing": recompute,
    }
    run = trainer(model, tmp_path, tokenizer, options={"callbacks": [watch]}, **settings)
    run.train()
    assert sum(losses(run)[-5:]) < sum(losses(run)[:5])
    wanted = {name for name, p in model.named_parameters() if p.requires_grad}
    assert watch.trained == wanted
    changed = {name for name, x in weights(model).items() if not torch.equal(x, before[name])}
    assert changed <= wanted
    assert any("mine" in name for name in changed)
    assert all("mine" in name or "classifier" in name for name in changed)

    resumed = made()
    resumed.add_adapter("mine", config)
    resumed.train_adapter("mine")
    again = trainer(resumed, tmp_path, tokenizer, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))
    assert_same(resumed, model)

    model.save_adapter(tmp_path / "adapter", "mine")
    fresh = made()
    fresh.load_adapter(str(tmp_path / "adapter"))
    assert_same(fresh, model)


def test_the_trainer_trains_in_bfloat16_with_noise_on_words(tmp_path, tokenizer):
    model = made()
    run = trainer(model, tmp_path, tokenizer, max_steps=40, bf16=True, neftune_noise_alpha=1.0)
    run.train()
    assert sum(losses(run)[-5:]) < 0.8 * sum(losses(run)[:5])
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def with_heads():
    torch.manual_seed(0)
    config = distilbert.DistilBertConfig(**SETTINGS, **WITHOUT_DROPOUT)
    model = distilbert.DistilBertModelWithHeads(config)
    model.add_adapter("mine", "seq_bn")
    model.add_classification_head("mine", num_labels=2)
    model.train_adapter("mine")
    return model


@pytest.mark.parametrize("flexible", [False, True])
def test_batches_that_are_added_up_train_as_one(flexible, tmp_path, tokenizer):
    models, runs = [], []
    for size, count in ((8, 1), (2, 4)):
        models.append(with_heads() if flexible else made(**WITHOUT_DROPOUT))
        before = weights(models[-1])
        run = trainer(
            models[-1],
            tmp_path,
            tokenizer,
            max_steps=4,
            optim="sgd",
            learning_rate=0.1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=count,
        )
        run.train()
        runs.append([*losses(run), run.evaluate()["eval_loss"]])
    assert runs[0] == pytest.approx(runs[1], rel=1e-3)
    assert_moved_alike(before, *map(weights, models))
