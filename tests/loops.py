"""Small problems of every kind, and models that learn them in the loops of other packages."""

import random

import pytest
import torch
import transformers
from torch.utils.data import DataLoader

import distilbert
from tiny import VOCABULARY

START, END, WORD = (VOCABULARY.index(token) for token in ("[CLS]", "[SEP]", "a"))
KEY = VOCABULARY.index("moon")
SETTINGS = {
    "vocab_size": len(VOCABULARY),
    "max_position_embeddings": 16,
    "n_layers": 2,
    "n_heads": 2,
    "dim": 16,
    "hidden_dim": 32,
    "initializer_range": 0.2,
}
WITHOUT_DROPOUT = dict.fromkeys(
    ("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout"), 0.0
)


def rows(count=32):
    """Rows of several lengths; in each the word `KEY` stands once, at a place of its own."""
    draw = random.Random(0)
    for _ in range(count):
        ids = [START, *(draw.randrange(WORD, WORD + 20) for _ in range(draw.randrange(2, 9))), END]
        place = draw.randrange(1, len(ids) - 1)
        ids[place] = KEY
        yield {"input_ids": ids, "attention_mask": [1] * len(ids)}, place


def of_texts():
    """Whether there is a key word."""
    made = [row for row, _ in rows()]
    for row in made[::2]:
        row["input_ids"] = [WORD if i == KEY else i for i in row["input_ids"]]
    return [{**row, "labels": int(KEY in row["input_ids"])} for row in made]


def of_tokens():
    """Whether a word is the key word; the marks at both ends carry no loss."""
    return [
        {**row, "labels": [-100, *(int(i == KEY) for i in row["input_ids"][1:-1]), -100]}
        for row, _ in rows()
    ]


def of_spans():
    return [{**row, "start_positions": place, "end_positions": place} for row, place in rows()]


def of_words():
    return [row for row, _ in rows()]


def of_choices():
    """Which of two texts begins with the key word."""
    made = []
    for number, (row, _) in enumerate(rows()):
        words = [i for i in row["input_ids"][1:-1] if i != KEY]
        texts = [[START, KEY, *words, END], [START, *words, KEY, END]]
        ids = texts if number % 2 else texts[::-1]
        made.append({"input_ids": ids, "attention_mask": [[1] * len(ids[0])] * 2})
        made[-1]["labels"] = 1 - number % 2
    return made


def padded(tokenizer):
    return transformers.DataCollatorWithPadding(tokenizer)


def with_masks(tokenizer):
    return transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.3)


KINDS = {
    "SequenceClassification": (of_texts, padded),
    "TokenClassification": (of_tokens, transformers.DataCollatorForTokenClassification),
    "QuestionAnswering": (of_spans, padded),
    "MaskedLM": (of_words, with_masks),
    "MultipleChoice": (of_choices, transformers.DataCollatorForMultipleChoice),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind="SequenceClassification", package=distilbert, **settings):
    torch.manual_seed(0)
    config = package.DistilBertConfig(**{**SETTINGS, **settings})
    return getattr(package, f"DistilBertFor{kind}")(config)


def pair(kind):
    """Our model and theirs, of the same weights, without dropout."""
    ours, theirs = (
        made(kind, package, **WITHOUT_DROPOUT) for package in (distilbert, transformers)
    )
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def assert_moved_alike(before, ours, theirs):
    """Whether two trainings went the same way.

    Adam divides a gradient by its own size: rounding of 1e-7 in one near zero moves a weight by a
    share of the learning rate. So weights may differ by 1e-3 of the way that the farthest has gone.
    """
    assert ours.keys() == theirs.keys()
    moved = max((theirs[name] - before[name]).abs().max() for name in theirs)
    assert moved > 1e-2
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-3 * float(moved), msg=name)


def loaded(folder, kind="SequenceClassification", **settings):
    """A model whose weights are mapped from a file, which training must leave as it is."""
    made(kind, **settings).save_pretrained(folder)
    return getattr(distilbert, f"DistilBertFor{kind}").from_pretrained(folder).train()


class Rows(list):
    """Examples that a collator may take apart."""

    def __getitem__(self, number):
        return dict(super().__getitem__(number))


def batches(tokenizer, kind, shuffle=True):
    examples, collator = KINDS[kind]
    return DataLoader(
        Rows(examples()), batch_size=8, shuffle=shuffle, collate_fn=collator(tokenizer)
    )


def optimizer_of(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)


def adapted(folder, kind, adapter, **settings):
    model = loaded(folder, kind, **settings)
    if adapter is not None:
        torch.manual_seed(3)
        model.add_adapter("mine", adapter)
        model.train_adapter("mine")
    return model


resumable = pytest.mark.parametrize(
    ("kind", "adapter"),
    [("SequenceClassification", None), ("MaskedLM", None), ("TokenClassification", "lora")],
)
