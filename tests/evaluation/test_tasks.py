"""The table of tasks stands on layouts, kinds and metrics that are there."""

import inspect

import pytest

from distilbert.data.layouts import LAYOUTS
from distilbert.errors import InputError
from distilbert.evaluation.evaluate import evaluate
from distilbert.evaluation.metrics import find_metric
from distilbert.evaluation.tasks import TASKS, find_task

GLUE = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_task_is_whole(task):
    layout = LAYOUTS[task.layout]
    known = {split for source in layout.sources for split in source.files}
    assert set(task.dev) <= known
    assert all(find_metric(name, task.kind) for name in task.metrics)
    assert task.options.keys() <= inspect.signature(evaluate).parameters.keys()


def test_all_tasks_of_glue_are_there():
    assert TASKS.keys() >= GLUE


def test_the_parts_of_mnli_are_judged_together():
    assert find_task("mnli").splits("dev") == ("dev_matched", "dev_mismatched")
    assert find_task("mnli").splits("test") == ("test_matched", "test_mismatched")
    assert find_task("mnli").splits("dev_matched") == ("dev_matched",)
    assert find_task("rte").splits("train") == ("train",)


def test_an_unknown_task_is_told_with_those_there_are():
    with pytest.raises(InputError, match="there is no task 'sst'; the tasks are: cola, sst2"):
        find_task("sst")
