"""Plans say which rows take which adapters, once for all layers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapted import tiny, with_adapters
from distilbert import AdapterError
from distilbert.adapters import Average, BatchSplit, Fuse, MultiTask, Parallel, PerRow, Split, Stack
from distilbert.adapters.composition import copies, fused
from distilbert.adapters.plan import Plan, by_rows, grouped, merged, repeated_tasks


def runs(setup, rows=4, tasks=None):
    return Plan(setup, copies=copies(setup)).runs(rows, tasks)


def by_row(found):
    return [tree for tree, count in found for _ in range(count)]


@pytest.mark.parametrize(
    ("setup", "rows"),
    [
        (None, [None] * 4),
        (Stack("a"), ["a"] * 4),
        (Stack("a", "b"), [Stack("a", "b")] * 4),
        (Fuse("a", "b"), [Fuse("a", "b")] * 4),
        (BatchSplit("a", "b", batch_sizes=[1, 3]), ["a", "b", "b", "b"]),
        (BatchSplit("a", "b", batch_sizes=[0, 4]), ["b"] * 4),
        (PerRow(["a", None, Stack("a", "b"), "a"]), ["a", None, Stack("a", "b"), "a"]),
        (MultiTask("a", Stack("b", "c")), [Stack("b", "c"), "a", "a", Stack("b", "c")]),
        (Parallel("a", "b"), ["a"] * 4 + ["b"] * 4),
        (Stack("a", Parallel("b", "c")), [Stack("a", "b")] * 4 + [Stack("a", "c")] * 4),
        (
            Stack("a", PerRow(["b", None, "c", "b"])),
            [Stack("a", "b"), "a", Stack("a", "c"), Stack("a", "b")],
        ),
        (
            Parallel("a", BatchSplit("b", "c", batch_sizes=2)),
            ["a"] * 4 + ["b"] * 2 + ["c"] * 2,
        ),
        (
            Stack(BatchSplit("a", "b", batch_sizes=[1, 3]), Parallel("c", "d")),
            [Stack("a", "c"), *[Stack("b", "c")] * 3, Stack("a", "d"), *[Stack("b", "d")] * 3],
        ),
        (
            Average("a", BatchSplit("b", "c", batch_sizes=2), weights=[1, 3]),
            [Average("a", "b", weights=[1, 3])] * 2 + [Average("a", "c", weights=[1, 3])] * 2,
        ),
        (
            Split("a", BatchSplit("b", "c", batch_sizes=2), splits=[1, 2]),
            [Split("a", "b", splits=[1, 2])] * 2 + [Split("a", "c", splits=[1, 2])] * 2,
        ),
    ],
)
def test_each_row_has_a_tree_that_chooses_no_rows(setup, rows):
    tasks = [1, 0, 0, 1] if isinstance(setup, MultiTask) else None
    found = runs(setup, tasks=tasks)
    assert by_row(found) == rows
    assert not any(by_rows(tree) or copies(tree) > 1 for tree, _ in found)


def tree_of_row(node, row, copy):
    """What a row takes, worked out for that row alone."""
    match node:
        case Parallel():
            return tree_of_row(node[copy], row, copy)
        case PerRow():
            return tree_of_row(node[row], row, copy)
        case BatchSplit(batch_sizes=sizes):
            start = 0
            for child, size in zip(node, sizes, strict=True):
                if row < start + size:
                    return tree_of_row(child, row - start, copy)
                start += size
            raise AssertionError("a row behind the last")
        case Stack():
            flat = []
            for child in node:
                tree = tree_of_row(child, row, copy)
                flat += [*tree] if isinstance(tree, Stack) else [] if tree is None else [tree]
            return None if not flat else flat[0] if len(flat) == 1 else Stack(*flat)
        case _:
            return node


names = st.sampled_from("abc")
stacks = st.lists(names, min_size=1, max_size=3).map(lambda n: Stack(*n))
plain = names | stacks | st.just(Fuse("a", "b")) | st.just(Average("a", "b"))


def choosing(rows):
    """Compositions that choose among some rows."""
    cuts = st.integers(0, rows).flatmap(
        lambda n: st.tuples(names | stacks, names | stacks).map(
            lambda pair: BatchSplit(*pair, batch_sizes=[n, rows - n])
        )
    )
    each = st.lists(st.none() | plain, min_size=rows, max_size=rows).map(PerRow)
    return cuts | each


@st.composite
def setups(draw):
    rows = draw(st.integers(1, 6))
    inner = choosing(rows) | names
    parts = draw(st.lists(inner, min_size=1, max_size=3))
    if draw(st.booleans()):
        several = st.lists(names | stacks | choosing(rows), min_size=2, max_size=3)
        parts.insert(draw(st.integers(0, len(parts))), Parallel(*draw(several)))
    return rows, Stack(*parts)


@given(setups())
def test_any_composition_gives_each_row_what_it_gives_that_row_alone(drawn):
    rows, setup = drawn
    found = runs(setup, rows)
    expected = [
        tree_of_row(setup, row, copy) for copy in range(copies(setup)) for row in range(rows)
    ]
    assert by_row(found) == expected
    together, order = grouped(found)
    assert len({tree for tree, _ in together}) == len(together)
    order = range(len(expected)) if order is None else order
    assert sorted(order) == [*range(len(expected))]
    assert [expected[row] for row in order] == by_row(together)


def test_rows_of_equal_trees_are_brought_together_in_their_order():
    assert merged([("a", 1), ("a", 2), (None, 1), ("a", 1)]) == [("a", 3), (None, 1), ("a", 1)]
    assert grouped([("a", 1), ("a", 2), (None, 1)]) == ([("a", 3), (None, 1)], None)
    found = grouped([("a", 1), ("b", 2), ("a", 1), (None, 1), ("b", 1)])
    assert found == ([("a", 2), ("b", 3), (None, 1)], [0, 3, 1, 2, 5, 4])


# Choices and tasks -------------------------------------------------------------------------------


def test_the_choices_of_a_row_take_its_adapters():
    setup = Stack("a", BatchSplit("b", PerRow(["c", None, "c"]), batch_sizes=[1, 3]))
    found = Plan(setup).for_choices(2).runs(8)
    expected = by_row(Plan(setup).runs(4))
    assert by_row(found) == [tree for tree in expected for _ in range(2)]
    assert Plan(setup).for_choices(1).setup is setup
    whole = Plan(Stack("a", Parallel("b", "c")), copies=2)
    assert whole.for_choices(3) is whole
    average = Average("a", BatchSplit("b", "c", batch_sizes=[1, 1]), weights=[1, 3])
    assert Plan(average).for_choices(2).setup.weights == (0.25, 0.75)


@pytest.mark.parametrize("tasks", [[1, 0], ["b", "a"], ["b", 0], torch.tensor([1, 0])])
def test_the_choices_of_a_row_have_its_task(tasks):
    found = runs(MultiTask("a", "b"), 4, repeated_tasks(tasks, 2))
    assert by_row(found) == ["b", "b", "a", "a"]
    assert repeated_tasks(tasks, 1) is tasks
    assert repeated_tasks(None, 2) is None


@pytest.mark.parametrize(
    ("setup", "tasks", "message"),
    [
        (MultiTask("a", "b"), None, "needs task_ids: one for each row, numbers 0 to 1 or names"),
        (MultiTask("a", "b"), [0, 1], "allowed: 4 of them"),
        (MultiTask("a", "b"), [0, 1, 2, 0], "numbers 0 to 1"),
        (MultiTask("a", "b"), [0, 1, -1, 0], "numbers 0 to 1"),
        (MultiTask("a", "b"), [0, 1, True, 0], "numbers 0 to 1"),
        (MultiTask("a", "b"), ["a", "b", "c", "a"], r"out of \['a', 'b'\]"),
        (MultiTask("a", "b"), "abab", "task_ids are 'abab'"),
        (MultiTask("a", "b"), 3, "task_ids are 3"),
        (MultiTask("a", "b"), torch.zeros(4, 1).long(), r"shape \(4, 1\)"),
        (MultiTask("a", "b"), torch.zeros(4), "numbers 0 to 1"),
        (Stack("a"), [0, 0, 0, 0], "no MultiTask is active"),
        (None, [0, 0, 0, 0], "no MultiTask is active"),
        (PerRow(["a", "b"]), None, "for 2 rows, and the batch has 4"),
        (BatchSplit("a", "b", batch_sizes=[1, 2]), None, "3 rows in all, and the batch has 4"),
        (Stack("a", PerRow(["a"] * 5)), None, "for 5 rows, and the batch has 4"),
    ],
)
def test_sizes_and_tasks_that_do_not_fit_a_batch_are_refused(setup, tasks, message):
    with pytest.raises(AdapterError, match=message):
        runs(setup, tasks=tasks)


def test_a_composition_tells_its_fusions_and_whether_it_chooses_rows():
    setup = Stack(Fuse("a", "b"), PerRow([Fuse("b", "c", name="mine"), None]))
    assert fused(setup) == ["a,b", "mine"]
    assert fused(None) == []
    assert by_rows(setup)
    assert by_rows(Parallel("a", BatchSplit("a", "b", batch_sizes=1)))
    assert not by_rows(Parallel("a", Stack("b", "c")))
    assert not by_rows(None)


# Plans of a model --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    methods = {"a": "seq_bn", "b": "lora", "late": "seq_bn[leave_out=[0,1]]", "p": "prompt"}
    methods |= {"g": "gated lora", "r": "loreft[layers=[0]]", "inv": "nice", "t": "mam"}
    return with_adapters(tiny(), methods)


@pytest.mark.parametrize(
    ("setup", "number", "fork"),
    [
        (Parallel("a", "b"), 2, 0),
        (Stack("a", Parallel("late", "late")), 2, 2),
        (Stack("p", Parallel("late", "a", "late")), 3, 0),
        (Parallel("p", "late"), 2, -1),
        (Parallel("late", "inv"), 2, -1),
        (Parallel("late", "t"), 2, 0),
    ],
)
def test_copies_fork_before_the_first_layer_in_which_they_differ(model, setup, number, fork):
    plan = model.plan(setup)
    assert (plan.copies, plan.fork) == (number, fork)
    assert len(by_row(plan.runs(3))) == 3 * number
    assert len(by_row(plan.trunk(3))) == 3


def test_copies_that_are_skipped_everywhere_fork_before_the_last_layer(model):
    model.set_active_adapters(Parallel("a", "b"), skip_layers=[0, 1, 2])
    assert model.plan().fork == 2
    model.set_active_adapters(Parallel("a", "b"), skip_layers=[0])
    assert model.plan().fork == 1
    assert model.plan().skip_layers == {0}
    assert model.plan("a").skip_layers == {0}  # a call skips what is skipped by default
    model.set_active_adapters(None)


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        ("a", ""),
        ("b", ""),
        ("p", ""),
        ("g", "'g' has gates or drops rows"),
        (Stack("a", "g"), "'g' has gates or drops rows"),
        (PerRow(["a", None, "g"]), "'g' has gates or drops rows"),
        ("r", ""),  # it hangs in the first layer
        (Split("a", "b", splits=2), "Split counts columns"),
    ],
)
def test_a_plan_tells_why_the_last_layer_needs_every_token(model, setup, reason):
    assert model.plan(setup).whole_last == reason


def test_a_plan_is_a_value_and_a_key(model):
    setup = Stack("a", Parallel("b", "late"))
    assert model.plan(setup) == model.plan(Stack("a", Parallel("b", "late")))
    assert len({model.plan(setup), model.plan(Stack("a", Parallel("b", "late"))), Plan()}) == 2
    with pytest.raises(AttributeError):
        model.plan(setup).copies = 3
