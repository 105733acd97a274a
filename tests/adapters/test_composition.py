"""Compositions are frozen trees: compared, copied, written and read, nested as published."""

import copy
import json
import pickle

import pytest

from distilbert import AdapterError
from distilbert.adapters import (
    ALLOWED_NESTINGS,
    Average,
    BatchSplit,
    Composition,
    Fuse,
    MultiTask,
    Parallel,
    PerRow,
    Split,
    Stack,
)
from distilbert.adapters.composition import COMPOSITIONS, copies, names, parse

TREES = [
    Stack("a"),
    Stack("a", "b"),
    Fuse("a", "b"),
    Fuse("a", Stack("b", "c")),
    Fuse("a", "b", name="mine"),
    Split("a", "b", splits=[3, 5]),
    Split("a", "b", splits=4),
    BatchSplit("a", "b", batch_sizes=[2, 0]),
    Parallel("a", Stack("b", "c")),
    Average("a", "b"),
    Average("a", "b", weights=[1, 3]),
    Average("a", "b", weights=[2, -0.5], normalize_weights=False),
    MultiTask("a", Fuse("b", "c")),
    Stack("a", Fuse("b", "c"), Parallel("d", BatchSplit("e", "f", batch_sizes=1))),
]
ROWS = PerRow(["a", None, ["b", "c"], Average("a", "b"), "a"])


def make(kind, *children):
    options = {Split: {"splits": 2}, BatchSplit: {"batch_sizes": 2}}.get(kind, {})
    return PerRow(children) if kind is PerRow else kind(*children, **options)


@pytest.mark.parametrize("tree", [*TREES, ROWS], ids=repr)
def test_copies_pickles_and_texts_of_a_composition_are_equal_to_it(tree):
    kinds = {**COMPOSITIONS, "PerRow": PerRow}
    found = [copy.copy(tree), copy.deepcopy(tree), pickle.loads(pickle.dumps(tree))]
    if not isinstance(tree, Average):  # whose text shows weights that are normalised already
        found.append(eval(repr(tree), kinds))
    for other in found:
        assert other == tree
        assert hash(other) == hash(tree)
        assert repr(other) == repr(tree)


def test_compositions_of_other_children_kinds_or_options_differ():
    everything = [
        *TREES,
        ROWS,
        Parallel("a", "b"),
        Stack("b", "a"),
        Split("a", "b", splits=[5, 3]),
        Fuse("a", "b", name="yours"),
        BatchSplit("a", "b", batch_sizes=[1, 1]),
        PerRow(["a", None]),
        PerRow([None, "a"]),
    ]
    assert len(set(everything)) == len(everything)
    assert Stack("a") != "a"
    assert Stack("a") != ("a",)
    assert Split("a", "b", splits=4) == Split("a", "b", splits=[4, 4])
    assert Average("a", "b", weights=[2, 2]) == Average("a", "b")
    assert Fuse("a", "b", name="a,b").name == Fuse("a", "b").name


def test_a_composition_is_a_sequence_that_cannot_change():
    tree = Stack("a", Fuse("b", "c"), "d")
    assert [*tree] == ["a", Fuse("b", "c"), "d"]
    assert (len(tree), tree[1], tree[-1], "d" in tree) == (3, Fuse("b", "c"), "d", True)
    for change in (
        lambda: setattr(tree, "children", ()),
        lambda: setattr(tree, "other", 1),
        lambda: delattr(tree, "children"),
    ):
        with pytest.raises(AttributeError, match="a Stack is immutable; make a new one"):
            change()
    with pytest.raises(TypeError):
        tree[0] = "b"


def test_a_composition_tells_its_names_and_copies():
    tree = Stack("a", Parallel("b", Stack("c", "a")), "d")
    assert names(tree) == ["a", "b", "c", "d"]
    assert tree.flatten() == {"a", "b", "c", "d"}
    assert (tree.first(), tree.last(), tree[1].last()) == ("a", "d", "a")
    assert copies(tree) == tree.parallel_channels == 2
    assert copies(Stack("a", "b")) == 1
    assert copies(Parallel("a", "b", "c")) == 3
    assert copies(ROWS) == 1
    assert (names(ROWS), ROWS.first(), ROWS.last()) == (["a", "b", "c"], "a", "c")
    assert (names(None), copies(None), names("a"), copies("a")) == ([], 1, ["a"], 1)
    with pytest.raises(AdapterError, match=r"no row of .* has an adapter"):
        PerRow([None, None]).first()


def test_a_fusion_is_called_as_the_last_adapters_of_its_children():
    assert Fuse("a", Stack("b", "c")).name == "a,c"
    assert Fuse("a", "b", name="mine").name == "mine"


def test_average_divides_its_weights_by_their_sum_unless_asked_otherwise():
    assert Average("a", "b").weights == (0.5, 0.5)
    assert Average("a", "b", normalize_weights=False).weights == (0.5, 0.5)
    assert Average("a", "b", weights=[1, 3]).weights == (0.25, 0.75)
    assert Average("a", "b", weights=[1, 3], normalize_weights=False).weights == (1.0, 3.0)
    for weights in ([1, float("nan")], [1, float("inf")], ["x", 1], 3):
        with pytest.raises(AdapterError, match="weights"):
            Average("a", "b", weights=weights)


# What users write --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a", Stack("a")),
        (None, None),
        ([], None),
        ((), None),
        (["a"], Stack("a")),
        (["a", "b"], Stack("a", "b")),
        (("a", "b"), Stack("a", "b")),
        ([["a", "b"]], Stack(Fuse("a", "b"))),
        (["a", ["b", "c"]], Stack("a", Fuse("b", "c"))),
        ([["a", ["b", "c"]]], Stack(Fuse("a", Stack("b", "c")))),
        (["a", Parallel("b", "c")], Stack("a", Parallel("b", "c"))),
        (Parallel("a", ["b", "c"]), Parallel("a", Stack("b", "c"))),
        (PerRow(["a", ["b", "c"], None]), PerRow(["a", Stack("b", "c"), None])),
        (Fuse("a", "b"), Fuse("a", "b")),
    ],
)
def test_lists_are_read_as_older_versions_of_the_interface_did(written, meant):
    assert parse(written) == meant


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "no adapter's name"),
        ([""], "no adapter's name"),
        ([None], "PerRow"),
        (["a", []], "PerRow"),
        ([["a", None]], "PerRow"),
        (3, "3 is a int; allowed"),
        (["a", 3], "3 is a int; allowed"),
        ({"a"}, "is a set; allowed"),
        (Stack("a", ["b", "c"]), "Stack cannot hold Stack"),
    ],
)
def test_what_says_nothing_is_refused(written, message):
    with pytest.raises(AdapterError, match=message):
        parse(written)


# Nesting -----------------------------------------------------------------------------------------

KINDS = (Stack, Fuse, Split, BatchSplit, Parallel, Average, MultiTask, PerRow)
NESTED = {  # as published, and what `PerRow` may hold
    Stack: (Fuse, Split, Parallel, BatchSplit, Average, MultiTask, PerRow),
    Fuse: (Stack,),
    Split: (Split, Stack, BatchSplit, Average),
    Parallel: (Stack, BatchSplit, Average),
    MultiTask: (Stack, Average, Fuse),
    BatchSplit: (Stack, Split, BatchSplit, Average),
    Average: (Stack, Split, BatchSplit),
    PerRow: (Stack, Average, Split, Fuse),
}


@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("outer", KINDS)
def test_kinds_nest_as_the_published_table_says(outer, inner):
    tree = make(outer, "a", make(inner, "b", "c"))
    if inner in NESTED[outer]:
        assert parse(tree) == tree
        assert inner in ALLOWED_NESTINGS[outer]
        return
    with pytest.raises(AdapterError) as raised:
        parse(tree)
    assert f"{outer.__name__} cannot hold {inner.__name__}(" in str(raised.value)
    assert "allowed inside it: str" in str(raised.value)


def test_two_levels_and_a_stack_below_them_are_the_deepest():
    deepest = Stack("a", Parallel("b", Stack("c", "d")))
    assert parse(deepest) == deepest
    assert parse(Stack(BatchSplit("a", Stack("b"), batch_sizes=1)))
    for deeper in (
        Stack("a", Parallel("b", Average("c", "d"))),
        Split("a", Split("b", Split("c", "d", splits=1), splits=1), splits=1),
        BatchSplit("a", BatchSplit("b", Average("c", "d"), batch_sizes=1), batch_sizes=1),
    ):
        with pytest.raises(AdapterError, match="stands too deep"):
            parse(deeper)


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_a_composition_goes_through_a_file(tree):
    data = json.loads(json.dumps(tree.to_dict()))
    assert Composition.from_dict(data) == tree
    assert data["type"] == type(tree).__name__
    assert len(data["children"]) == len(tree)


def test_a_composition_is_written_as_adapterhub_writes_it():
    assert Stack("a", Split("b", "c", splits=[1, 2])).to_dict() == {
        "type": "Stack",
        "children": [
            {"type": "single", "children": ["a"]},
            {
                "type": "Split",
                "children": [
                    {"type": "single", "children": ["b"]},
                    {"type": "single", "children": ["c"]},
                ],
                "kwargs": {"splits": [1, 2]},
            },
        ],
    }


@pytest.mark.parametrize("tree", [PerRow(["a"]), Stack("a", PerRow(["b", None]))], ids=repr)
def test_rows_of_one_batch_are_not_written(tree):
    with pytest.raises(AdapterError, match="belongs to one batch and cannot be saved"):
        tree.to_dict()


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        "Stack",
        [],
        {},
        {"type": "Stack"},
        {"type": "Stack", "children": []},
        {"type": "Stack", "children": ["a"]},
        {"type": "Stack", "children": [{"type": "single", "children": []}]},
        {"type": "Stack", "children": [{"type": "single", "children": [3]}]},
        {"type": "PerRow", "children": [{"type": "single", "children": ["a"]}]},
        {"type": "eval", "children": [{"type": "single", "children": ["a"]}]},
        {"type": "Split", "children": [{"type": "single", "children": ["a"]}]},
        {"type": "Stack", "children": [{"type": "single", "children": ["a"]}], "kwargs": {"x": 1}},
        {"type": "Stack", "children": [{"type": "single", "children": ["a"]}], "kwargs": [1]},
        {"type": ["Stack"], "children": [{"type": "single", "children": ["a"]}]},
    ],
)
def test_a_damaged_composition_is_refused(data):
    with pytest.raises(AdapterError, match=r"is no composition|holds|has no children|splits"):
        Composition.from_dict(data)
