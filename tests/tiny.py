"""Tiny random models that lie in folders, as any package saves them."""

import json
from pathlib import Path
from typing import Any

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the a of in on and is was to cat dog mouse house river city paris london berlin anna
    ben clara sees likes finds runs sleeps big small red blue old new who where what why how lives
    answer question text word film good bad day night sun moon stone water fire tree very never
    rain 12 7 2024 don t s un believe""".split()  # noqa: SIM905
SIGNS = list(".,?!'-()\"")
PIECES = ["##s", "##ing", "##ed", "##er", "##able", "##ly", "##ness", "##est", "##n"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = list(
    dict.fromkeys([*SPECIAL, *WORDS, *SIGNS, *PIECES, *LETTERS, *(f"##{c}" for c in LETTERS)])
)

POSITIONS = 64

LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}

TEXTS = [
    "Anna sees the old river in Paris.",
    "cat",
    "The small mouse finds a big blue stone in the house of Clara and Ben.",
    "",
    "never",
]
LONG = " ".join(WORDS)
CLASSES = {
    "feature-extraction": "DistilBertModel",
    "sentence-embedding": "DistilBertModel",
    "sentence-similarity": "DistilBertModel",
    "text-classification": "DistilBertForSequenceClassification",
    "token-classification": "DistilBertForTokenClassification",
    "question-answering": "DistilBertForQuestionAnswering",
    "fill-mask": "DistilBertForMaskedLM",
}
"""The class of model that a task needs."""

INPUTS = {
    "feature-extraction": TEXTS,
    "sentence-embedding": TEXTS,
    "sentence-similarity": [
        {"source_sentence": text, "sentences": ["a cat", "the sun in Paris"]} for text in TEXTS
    ],
    "text-classification": [*TEXTS, {"text": "a cat", "text_pair": "a dog"}],
    "token-classification": [*TEXTS, LONG * 2],
    "question-answering": [
        {"question": question, "context": context}
        for question in ("who sees the cat?", "where")
        for context in ("Anna sees the cat in Paris.", " ".join(WORDS * 4), "the sun")
    ],
    "fill-mask": ["The [MASK] sleeps.", "[MASK]", "Anna [MASK] the [MASK] of a small old city."],
}
"""Inputs for the pipeline of each task, of many lengths."""


def write_vocabulary(folder: Path, *, lower_case: bool = True) -> Path:
    """`vocab.txt` and `tokenizer_config.json` of the tiny vocabulary; the path of the former."""
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    settings = {
        "tokenizer_class": "DistilBertTokenizer",
        "do_lower_case": lower_case,
        "model_max_length": POSITIONS,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return path


def write_model(folder: Path, class_name: str, *, seed: int = 0, **settings: Any) -> Path:
    """A tiny random model of this class and its tokenizer; the folder.

    Weights are large, so that answers are far apart and no test stands on a tie.
    """
    import torch

    import distilbert

    write_vocabulary(folder)
    config = distilbert.DistilBertConfig(
        **{
            "vocab_size": len(VOCABULARY),
            "max_position_embeddings": POSITIONS,
            "n_layers": 2,
            "n_heads": 2,
            "dim": 16,
            "hidden_dim": 32,
            "initializer_range": 0.4,
            **settings,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(distilbert, class_name)(config)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder
