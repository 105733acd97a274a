"""SQuAD 2.0's scores against the port of its official script in transformers."""

import random
from types import SimpleNamespace

import pytest
from transformers.data.metrics.squad_metrics import squad_evaluate

from distilbert.evaluation.squad import score_v2

PIECES = [
    "the",
    "a",
    "An",
    "cat",
    "Cat",
    "dog,",
    "dog.",
    "fox“",
    "–",
    "'",
    "red",
    "7",
    "U.S.",
    "?!",
    "é",
]


def _questions(seed: int):
    """Random answers with articles, punctuation and cases, and what is said of each question."""
    draw = random.Random(seed)

    def text(least=0):
        return draw.choice([" ", "  "]).join(draw.choices(PIECES, k=draw.randint(least, 4)))

    right = {f"q{n}": [text(1) for _ in range(draw.choice([0, 1, 3]))] for n in range(60)}
    said = {
        id: draw.choice([*answers, text(), text(), "", f"{text()} {''.join(answers[:1])}"])
        for id, answers in right.items()
    }
    nulls = {id: draw.choice([-2.0, -0.5, 0.0, draw.gauss(0, 2)]) for id in right}
    return right, said, nulls


@pytest.mark.parametrize("seed", range(25))
def test_version_2_scores_are_those_of_the_official_script(seed):
    right, said, nulls = _questions(seed)
    examples = [
        SimpleNamespace(qas_id=id, answers=[{"text": text} for text in answers])
        for id, answers in right.items()
    ]
    threshold = (1.0, 0.0, -0.5)[seed % 3]
    wanted = squad_evaluate(examples, said, nulls, threshold)
    found = score_v2(right, said, nulls, threshold)
    assert 0 < found["f1"] < 1
    for name, value in found.items():
        official = wanted[{"exact_match": "exact"}.get(name, name)]
        factor = 1 if name.endswith("thresh") else 100
        assert value * factor == pytest.approx(official, abs=1e-9), name


@pytest.mark.parametrize("seed", [1, 2])
def test_what_the_official_script_stumbles_over_is_refused_by_name(seed):
    right, said, nulls = _questions(seed)
    del said["q3"]
    examples = [
        SimpleNamespace(qas_id=id, answers=[{"text": text} for text in answers])
        for id, answers in right.items()
    ]
    with pytest.raises(KeyError, match="q3"):
        squad_evaluate(examples, said, nulls)
    with pytest.raises(ValueError, match="question 'q3' has no prediction"):
        score_v2(right, said, nulls)
