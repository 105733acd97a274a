"""Small models and features of every kind of problem, to be trained on."""

import torch

from distilbert import DistilBertConfig
from distilbert.data.examples import Feature
from distilbert.data.kinds import KINDS
from distilbert.data.masking import Masking
from distilbert.model import for_tasks
from distilbert.training.batches import Batches

WORDS, LABELS = 60, 3
MASK = Masking(mask=4, words=WORDS, special=frozenset(range(5)), share=0.3)
PLAIN = {"dropout": 0.0, "attention_dropout": 0.0, "qa_dropout": 0.0, "seq_classif_dropout": 0.0}


def model_for(kind, **settings):
    torch.manual_seed(0)
    labels = {"regression": 1, "spans": 2}.get(kind, LABELS)
    config = DistilBertConfig(
        vocab_size=WORDS,
        dim=24,
        hidden_dim=40,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=32,
        **{
            "initializer_range": 0.2,
            "num_labels": labels,
            "problem_type": KINDS[kind].problem_type,
            **settings,
        },
    )
    return getattr(for_tasks, KINDS[kind].model)(config)


def row(draw, length):
    return (2, *torch.randint(5, WORDS, (length - 2,), generator=draw).tolist(), 3)


def features_of(kind, count=24):
    """Examples that can be learnt: what is right is decided by the second token."""
    draw = torch.Generator().manual_seed(1)
    found = []
    for number in range(count):
        length = int(torch.randint(5, 14, (), generator=draw))
        rows = [row(draw, length)]
        key = rows[0][1] % LABELS
        if kind == "choice":
            rows = [row(draw, length + more) for more in (0, 1, 3)]
        target = {
            "classification": key,
            "regression": key / 2,
            "multi_label": tuple(float(i != key) for i in range(LABELS)),
            "choice": number % 3,
            "tags": (-100, *(i % LABELS for i in rows[0][1:-1]), -100),
            "spans": (1, 1 + key) if number % 4 else (0, 0),
            "words": None,
        }[kind]
        found.append(Feature(tuple(rows), target, number))
    return found


def batches_of(kind, count=24, **options):
    masking = MASK if kind == "words" else None
    return Batches(features_of(kind, count), kind, masking=masking, **{"batch_size": 8, **options})


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}
