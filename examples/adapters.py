"""Several adapters on one batch: two are trained for some steps, then each row takes its own.

The texts are paragraphs of constitution.txt, their labels the places where they stand. Each adapter
is tried on a fifth of its paragraphs, which it was not trained on. They are few, and so are the
steps: this shows the way, and measures no method.
"""

import random
from pathlib import Path

import torch

from distilbert import DistilBertModelWithHeads, DistilBertTokenizerFast
from distilbert.adapters import PerRow

STEPS, ROWS, TOKENS = 25, 8, 32
METHODS = {"branch": "seq_bn", "power": "lora[r=16,alpha=32]"}  # from adapter to method
LABELS = {  # from adapter to label to the places of its paragraphs
    "branch": {"Congress": "Article I,", "President": "Article II,", "courts": "Article III,"},
    "power": {
        "granted": "Article I, section 8",
        "denied": ("Article I, section 9", "Article I, section 10"),
    },
}
Labelled = list[tuple[str, str]]  # texts, each with its label


def paragraphs(places: dict[str, str | tuple[str, ...]]) -> Labelled:
    lines = Path(__file__).with_name("constitution.txt").read_text(encoding="utf-8").splitlines()
    found = [
        (line.split(": ", 1)[1], label)
        for line in lines
        for label, place in places.items()
        if line.startswith(place)
    ]
    random.shuffle(found)
    return found


def encode(texts: list[str]) -> dict[str, torch.Tensor]:
    return tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")


def train(name: str, method: str, examples: Labelled) -> None:
    """Adds an adapter and a head of the same name, and trains these two alone."""
    labels = [*LABELS[name]]
    texts = [[text for text, own in examples if own == label] for label in labels]
    model.add_adapter(name, method)
    model.add_classification_head(name, len(labels), id2label=dict(enumerate(labels)))
    model.train_adapter(name)  # freezes the encoder, activates both, turns to training mode
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    for step in range(1, STEPS + 1):
        targets = torch.randint(len(labels), (ROWS,))  # about as many rows of each label
        batch = encode([random.choice(texts[label]) for label in targets])
        loss = model(**batch, labels=targets).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (1, STEPS):
            print(f"{name}: step {step}, loss {loss.item():.2f}")
    model.eval()


random.seed(0)
torch.manual_seed(0)
tokenizer = DistilBertTokenizerFast.from_pretrained("minilm")
model = DistilBertModelWithHeads.from_pretrained("minilm")

kept: list[tuple[str, str, str]] = []  # adapter, text, label
for name, method in METHODS.items():
    examples = paragraphs(LABELS[name])
    fifth = len(examples) // 5
    train(name, method, examples[fifth:])
    kept += [(name, text, label) for text, label in examples[:fifth]]
print(model.adapter_summary())

# All that was kept in one batch: each row takes the adapter that it names, and its head.
random.shuffle(kept)
names, texts, wanted = zip(*kept, strict=True)
batch = encode([*texts])
with torch.inference_mode():
    output = model(**batch, adapter_names=PerRow(names))
    alone = {name: model(**batch, adapter_names=name).logits for name in METHODS}

for one, rows in zip(output.head_outputs, output.rows, strict=True):
    name = names[rows[0]]
    torch.testing.assert_close(one.logits, alone[name][[*rows]])  # as the adapter alone has it
    labels = model.get_labels(name)
    found = [labels[label] for label in one.logits.argmax(-1)]
    right = sum(label == wanted[row] for label, row in zip(found, rows, strict=True))
    print(f"\n{name}: {right} of {len(rows)} kept paragraphs as they stand; found, wanted, text:")
    for label, row in [*zip(found, rows, strict=True)][:4]:
        print(f"  {label:9} {wanted[row]:9} {texts[row]:.70}")
