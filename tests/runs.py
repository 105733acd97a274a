"""Runs of training that tell what they do, without doing it."""

from distilbert.training import Begin, Evaluation, Step

SCORES = {"accuracy": 0.75, "f1": 0.5}


def step(number, loss=0.5, steps=10, **more):
    values = {"rate": 1e-3, "norm": 1.0, "tokens": 100, "seconds": 0.5, **more}
    return Step(number, steps, number / 5, loss, **values)


def evaluation(number, better=True, **scores):
    return Evaluation(number, number / 5, scores or SCORES, better, 0.25)


def watch(observer, steps, *, start=0, evaluations=(), **more):
    """Tell an observer of the updates after `start`, up to `steps`."""
    observer(Begin(start, 10, 5, 50))
    for number in range(start + 1, steps + 1):
        observer(step(number, **more))
        if number in evaluations:
            observer(evaluation(number))
