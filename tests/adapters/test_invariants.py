"""What must hold for every method, in every composition, in both layouts: tables, not copies."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from adapted import (
    LENGTHS,
    METHODS,
    PROMPTS,
    batch,
    shake,
    tiny,
    with_adapters,
)
from distilbert import AdapterError
from distilbert.adapters import Average, BatchSplit, MultiTask, Parallel, PerRow, Split, Stack
from distilbert.flow import Flow
from distilbert.layout import Packed
from distilbert.model.call import Call

CLOSE = {"rtol": 1e-4, "atol": 2e-5}  # float32 sums in another order, through three layers
OTHERS = dict(zip(METHODS, [*METHODS][7:] + [*METHODS][:7], strict=True))  # a partner for each
PAIRS = [pytest.param(a, b, id=f"{a} + {b}") for a, b in OTHERS.items()]
MERGEABLE = ("lora", "lora all", "dora", "ia3", "vera", "dvora", "mtl_lora")
ROOTED = ("nice", "glow", "prompt", "prompt behind", "prompt and lora")  # not of layers alone
LAYERED = [method for method in METHODS if method not in ROOTED]


def rows_padded(model, setup, lengths=LENGTHS, columns=None, **options):
    """The last layer of each row's real tokens and prompts, through padded rows."""
    ids, mask = batch(lengths, columns)
    flow = model.flow(Call(ids, mask, adapter_names=setup, task_ids=options.get("task_ids")))
    encoded = model.encode(ids, flow)
    return _rows(encoded, lengths * flow.plan.copies)


def rows_packed(model, setup, lengths=LENGTHS, columns=None, **options):
    """The same through packed rows."""
    ids, mask = batch(lengths)
    flow = Flow(Packed(lengths), plan=model.plan(setup), task_ids=options.get("task_ids"))
    encoded = model.encode(ids[mask.bool()], flow)
    return torch.split(encoded.hidden, list(encoded.layout.lengths))


def _rows(encoded, lengths):
    extra = [i.front + i.behind for i in encoded.layout.inserted for _ in range(i.rows)]
    extra = extra or [0] * len(lengths)
    return [x[: n + m] for x, n, m in zip(encoded.hidden, lengths, extra, strict=True)]


LAYOUTS = [pytest.param(rows_padded, id="padded"), pytest.param(rows_packed, id="packed")]


def assert_rows_equal(found, wanted):
    assert len(found) == len(wanted)
    for row, (one, other) in enumerate(zip(found, wanted, strict=True)):
        torch.testing.assert_close(one, other, **CLOSE, msg=lambda m, row=row: f"row {row}: {m}")


@pytest.fixture(scope="module")
def model():
    """One model with every method, each under its own name, and a copy of each."""
    found = tiny()
    for method in METHODS:
        with_adapters(found, {method: method, f"{method} again": method})
        _copy_weights(found, method, f"{method} again")
    return found


def _copy_weights(model, name, to):
    for (_, places), (_, others) in zip(
        sorted(model.get_adapter(name).items()),
        sorted(model.get_adapter(to).items()),
        strict=True,
    ):
        for place, module in places.items():
            others[place].load_state_dict(module.state_dict())


# One adapter -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_changes_what_every_row_says(model, method, rows):
    plain = rows(model, [])
    adapted = rows(model, method)
    for before, after in zip(plain, adapted, strict=True):
        extra = PROMPTS.get(method, 0)
        assert len(after) == len(before) + extra
        assert not torch.allclose(after[-len(before) :], before, atol=1e-3)


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_rows_one_by_one(model, method, rows):
    ids, _ = batch()
    together = rows(model, method)
    for row, length in enumerate(LENGTHS):
        flow = model.flow(Call(ids[row : row + 1, :length], adapter_names=method))
        alone = model.encode(ids[row : row + 1, :length], flow).hidden[0]
        torch.testing.assert_close(together[row], alone, **CLOSE)


@pytest.mark.parametrize("method", METHODS)
def test_more_padding_changes_nothing(model, method):
    assert_rows_equal(rows_padded(model, method, columns=12), rows_padded(model, method))


@pytest.mark.parametrize("method", METHODS)
def test_padded_and_packed_rows_agree(model, method):
    assert_rows_equal(rows_packed(model, method), rows_padded(model, method))


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("method", LAYERED)
def test_skipped_layers_have_no_adapter(model, method, rows):
    model.set_active_adapters(method, skip_layers=[0, 1, 2])
    try:
        assert_rows_equal(rows(model, None), rows(model, []))
        model.set_active_adapters(method, skip_layers=[0, 2])
        some = rows(model, None)
    finally:
        model.set_active_adapters(None)
    assert not torch.allclose(some[0], rows(model, [])[0], atol=1e-4)
    assert not torch.allclose(some[0], rows(model, method)[0], atol=1e-4)


@pytest.mark.parametrize("wanted", ["first", "some"])
@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_tokens_that_a_head_reads_are_those_of_the_whole_layer(model, method, rows, wanted):
    ids, mask = batch()
    chosen = wanted
    if wanted == "some":
        chosen = (ids % 3 == 0) & mask.bool()
    if rows is rows_packed:
        ids, layout = ids[mask.bool()], Packed(LENGTHS)
        chosen = chosen if wanted == "first" else chosen[mask.bool()]
        flow = Flow(layout, plan=model.plan(method))
    else:
        flow = model.flow(Call(ids, mask, adapter_names=method))
    whole = model.encode(ids, flow)
    read = model.encode(ids, flow, chosen)
    if wanted == "first":
        expected = whole.layout.first(whole.hidden)
    else:
        expected = whole.own().flatten(0, -2)[chosen.flatten()]
    torch.testing.assert_close(read.hidden, expected, **CLOSE)
    assert sum(read.counts) == len(read.hidden)


# Rows of their own -------------------------------------------------------------------------------


def per_row(a, b):
    return PerRow([a, None, b, a]), (a, None, b, a), {}


def per_row_of_stacks(a, b):
    return PerRow([Stack(a, f"{a} again"), b, None, b]), ([a, f"{a} again"], b, None, b), {}


def batch_split(a, b):
    return BatchSplit(a, b, batch_sizes=[1, 3]), (a, b, b, b), {}


def multi_task(a, b):
    return MultiTask(a, b), (b, a, a, b), {"task_ids": [1, 0, 0, 1]}


def multi_task_by_name(a, b):
    return MultiTask(a, b), (b, a, b, b), {"task_ids": [b, a, b, b]}


def parallel(a, b):
    return Parallel(a, b), (a,) * 4 + (b,) * 4, {}


ROWS = (per_row, batch_split, multi_task, multi_task_by_name, parallel)


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("composed", ROWS)
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_each_row_equals_its_own_adapter_alone(model, a, b, composed, rows):
    setup, own, options = composed(a, b)
    found = rows(model, setup, **options)
    alone = {str(name): rows(model, [] if name is None else name) for name in own}
    assert_rows_equal(found, [alone[str(name)][i % 4] for i, name in enumerate(own)])


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("method", [m for m in METHODS if "lora all" not in m])
def test_rows_may_stack_several(model, method, rows):
    setup, own, _ = per_row_of_stacks(method, "seq_bn")
    alone = [rows(model, name or []) for name in own]
    assert_rows_equal(rows(model, setup), [alone[i][i] for i in range(4)])


@pytest.mark.parametrize("rows", LAYOUTS)
def test_rows_of_a_stack_take_its_other_adapters_too(model, rows):
    setup = Stack("seq_bn", PerRow(["lora", None, "par_bn", "lora"]), "ia3")
    own = (["seq_bn", "lora", "ia3"], ["seq_bn", "ia3"], ["seq_bn", "par_bn", "ia3"], None)
    alone = [rows(model, name) for name in own[:3]]
    found = rows(model, setup)
    assert_rows_equal(found[:3], [alone[i][i] for i in range(3)])
    torch.testing.assert_close(found[3], alone[0][3], **CLOSE)


@pytest.mark.parametrize("rows", LAYOUTS)
def test_copies_fork_where_they_begin_to_differ(model, rows):
    with_adapters(model, {"late": "seq_bn[leave_out=[0,1]]", "later": "lora[leave_out=[0,1]]"})
    try:
        setup = Stack("seq_bn", Parallel("late", "later"))
        assert model.plan(setup).fork == 2
        assert model.plan(Parallel("seq_bn", "late")).fork == 0
        assert model.plan(Parallel("prompt", "late")).fork == -1
        alone = [*rows(model, ["seq_bn", "late"]), *rows(model, ["seq_bn", "later"])]
        assert_rows_equal(rows(model, setup), alone)
        nested = Stack(BatchSplit("par_bn", "ia3", batch_sizes=[2, 2]), Parallel("late", "later"))
        own = [["par_bn", "late"]] * 2 + [["ia3", "late"]] * 2
        own += [["par_bn", "later"]] * 2 + [["ia3", "later"]] * 2
        alone = [rows(model, name)[i % 4] for i, name in enumerate(own)]
        assert_rows_equal(rows(model, nested), alone)
    finally:
        model.delete_adapter("late")
        model.delete_adapter("later")


# Several on one row ------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_stack_of_one_is_the_one(model, method, rows):
    assert_rows_equal(rows(model, Stack(method)), rows(model, method))


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("weights", [None, [3, 1], [0.25, 0.75]])
@pytest.mark.parametrize("method", METHODS)
def test_the_average_of_copies_is_the_adapter(model, method, weights, rows):
    setup = Average(method, f"{method} again", weights=weights)
    assert_rows_equal(rows(model, setup), rows(model, method))


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("method", ["seq_bn", "par_bn", "lora", "lora all", "ia3", "dora", "nice"])
def test_the_columns_of_a_split_take_one_adapter_each(model, method, rows):
    same = Split(method, f"{method} again", splits=[2, 5])
    assert_rows_equal(rows(model, same), rows(model, method))
    two = rows(model, Split(method, "seq_bn by layer", splits=[3, 99]))
    assert not torch.allclose(two[0], rows(model, method)[0], atol=1e-3)
    # the last part is open-ended, so that longer rows and more padding change nothing
    short = Split(method, "seq_bn by layer", splits=[3, 1])
    assert_rows_equal(rows(model, short), two)
    assert_rows_equal(rows_padded(model, short, columns=11), two)


def test_layouts_agree_on_splits_of_gated_adapters(model):
    setup = Split("gated lora", "gated par_bn", splits=[3, 3])
    assert_rows_equal(rows_packed(model, setup), rows_padded(model, setup))
    assert_rows_equal(rows_padded(model, setup, columns=12), rows_padded(model, setup))


# Adding, copying, threads ------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_adding_and_deleting_leaves_the_model_as_it_was(method):
    found = tiny()
    before = copy.deepcopy(found.state_dict())
    names = [name for name, _ in found.named_modules()]
    plain = rows_padded(found, None)
    with_adapters(found, {"a": method})
    assert_rows_equal(rows_padded(found, None), plain)  # not active yet
    found.delete_adapter("a")
    assert [name for name, _ in found.named_modules()] == names
    after = found.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    for one, other in zip(rows_padded(found, None), plain, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("method", METHODS)
def test_copies_and_pickles_keep_adapters(method, copied):
    found = with_adapters(tiny(), {"a": method})
    found.set_active_adapters("a")
    other = copied(found)
    assert_rows_equal(rows_padded(other, None), rows_padded(found, None))
    shake(other, "a", seed=5)
    assert not torch.allclose(rows_padded(other, None)[0], rows_padded(found, None)[0], atol=1e-4)
    other.delete_adapter("a")
    assert "a" in found.adapters_config


def test_threads_with_other_adapters_do_not_mix(model):
    methods = [*METHODS]
    alone = {method: rows_padded(model, method) for method in methods}

    def run(number):
        method = methods[number % len(methods)]
        assert_rows_equal(rows_padded(model, method), alone[method])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(120)))


@pytest.mark.parametrize("method", METHODS)
def test_gradients_flow_to_the_adapter_that_trains_alone(method):
    found = with_adapters(tiny(), {"a": method, "b": method})
    found.train_adapter("a")
    ids, mask = batch()
    found.eval()(ids, mask).last_hidden_state.square().sum().backward()
    trained = {name for name, p in found.named_parameters() if p.grad is not None}
    trainable = {name for name, p in found.named_parameters() if p.requires_grad}
    idle = {name for name in trainable if ".units.1." in name and "loreft" in method}
    assert trained == trainable - idle  # without suffix positions, nothing reaches their unit
    assert trained
    assert all(".a." in f".{name}." for name in trainable)


# Refusing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("nobody", "no adapter 'nobody'; this model has"),
        (["seq_bn", "nobody"], "no adapter 'nobody'"),
        (PerRow(["seq_bn", None, "nobody", None]), "no adapter 'nobody'"),
        (3, "3 is a int; allowed: an adapter's name, a list"),
        ("", "'' is no adapter's name"),
        ([None], "use PerRow"),
        (Average("prefix", "flat prefix"), "unequal length"),
        (Average("prompt", "prompt behind"), "unequal length"),
        (Average("prefix", "lora"), "unequal length"),
        (Average(BatchSplit("prefix", "lora", batch_sizes=[1, 3]), "prefix"), "unequal length"),
        (Average(Stack("prefix", "prefix"), "prefix"), "unequal length"),
        (Stack(MultiTask("seq_bn", "lora"), MultiTask("ia3")), "several MultiTask"),
        (Split("prefix", "seq_bn", splits=2), "prefixes, which belongs to whole rows"),
        (Split("seq_bn", "prompt", splits=2), "a prompt, which belongs to whole rows"),
        (Split("seq_bn", "loreft", splits=2), "ReFT, which belongs to whole rows"),
        (["lora all", "lora all again"], "stacks LoRAs at 'lin1' of layer 0"),
        (Average(Average("seq_bn", "lora"), "ia3"), "cannot hold Average"),
        (Parallel("seq_bn", Parallel("lora", "ia3")), "cannot hold Parallel"),
        (Stack(Stack("seq_bn", "lora"), "ia3"), "cannot hold Stack"),
        (PerRow(["seq_bn", Parallel("lora", "ia3"), None, None]), "cannot hold Parallel"),
        (Stack(Parallel("seq_bn", "lora"), Parallel("ia3", "nice", "glow")), "copies"),
        (BatchSplit("seq_bn", "lora", batch_sizes=[1, 2]), r"\[1, 2\] .* the batch has 4"),
        (PerRow(["seq_bn"]), "adapters for 1 rows, and the batch has 4"),
        (MultiTask("seq_bn", "lora"), "needs task_ids"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(model, setup, message):
    with pytest.raises(AdapterError, match=message):
        model(*batch(), adapter_names=setup)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([0, 1, 2, 0], "numbers 0 to 1"),
        ([0, 1], "4 of them"),
        (["seq_bn", "lora", "ia3", "lora"], "names out of"),
        (torch.tensor([0.5, 1, 0, 0]), "numbers 0 to 1"),
    ],
)
def test_task_ids_that_fit_no_task_are_refused(model, tasks, message):
    with pytest.raises(AdapterError, match=message):
        model(*batch(), adapter_names=MultiTask("seq_bn", "lora"), task_ids=tasks)


def test_task_ids_without_a_multi_task_are_refused(model):
    with pytest.raises(AdapterError, match="no MultiTask is active"):
        model(*batch(), adapter_names="seq_bn", task_ids=[0, 0, 0, 0])


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("seq_bn", "par_bn")])
def test_only_bottlenecks_can_be_fused(model, method):
    from distilbert.adapters import Fuse

    fusable = {"seq_bn by layer", "double_seq_bn", "gated double_seq_bn", "gated par_bn"}
    fusable |= {"channel scaling", "compacter", "compacter++"}
    message = "no fusion" if method in fusable else "cannot attend to"
    with pytest.raises(AdapterError, match=message):
        model.plan(Fuse("seq_bn", method))


# Found by trying at random -----------------------------------------------------------------------


@pytest.mark.parametrize("rows", LAYOUTS)
def test_gated_and_plain_prefixes_have_a_mean(model, rows):
    with_adapters(model, {"gated": "prefix_tuning_flat[prefix_length=3,use_gating=True]"})
    with_adapters(model, {"plain one": "prefix_tuning_flat[prefix_length=3]"})
    try:
        mean = rows(model, Average("gated", "plain one"))
        flipped = rows(model, Average("plain one", "gated"))
        assert_rows_equal(mean, flipped)
        for name in ([], "gated", "plain one"):
            assert not torch.allclose(mean[0], rows(model, name)[0], atol=1e-3)
        near = rows(model, Average("gated", "plain one", weights=[1, 1e-9]))
        assert_rows_equal(near, rows(model, "gated"))
    finally:
        model.delete_adapter("gated")
        model.delete_adapter("plain one")


@pytest.mark.parametrize("rows", LAYOUTS)
def test_the_order_of_an_average_does_not_matter_where_norms_differ(model, rows):
    for other in ("lora", "seq_bn"):
        one = rows(model, Average("channel scaling", other))
        assert_rows_equal(one, rows(model, Average(other, "channel scaling")))
        near = rows(model, Average("channel scaling", other, weights=[1, 1e-9]))
        assert_rows_equal(near, rows(model, "channel scaling"))
    inner = Split("channel scaling", "lora", splits=2)
    assert_rows_equal(rows(model, Average(inner, inner)), rows(model, inner))


@pytest.mark.parametrize("rows", LAYOUTS)
def test_a_parallel_of_one_goes_with_every_copy(model, rows):
    for setup in (
        Stack(Parallel("seq_bn"), Parallel("lora", "ia3")),
        Stack(Parallel("lora", "ia3"), Parallel("seq_bn")),
    ):
        first = isinstance(setup[0][0], str) and len(setup[0]) == 1
        own = [["seq_bn", n] if first else [n, "seq_bn"] for n in ("lora", "ia3")]
        alone = [row for name in own for row in rows(model, name)]
        assert_rows_equal(rows(model, setup), alone)


@pytest.mark.parametrize("rows", LAYOUTS)
@pytest.mark.parametrize("other", ["prefix", "prompt"])
def test_a_split_may_run_beside_prefixes_and_prompts(model, other, rows):
    inner = Split("seq_bn", "lora", splits=2)
    found = rows(model, PerRow([inner, other, None, other]))
    alone = [rows(model, name) for name in (inner, other, [])]
    assert_rows_equal(found, [alone[0][0], alone[1][1], alone[2][2], alone[1][3]])


def test_a_split_without_columns_gives_finite_gradients():
    found = tiny()
    for name in "ab":
        with_adapters(found, {name: "ia3[use_gating=True]"})
    ids, _ = batch()
    setup = Split("a", "b", splits=[9, 1])
    hidden = found(ids, adapter_names=setup).last_hidden_state
    hidden.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in found.parameters() if p.grad is not None)


@pytest.mark.parametrize("wanted", ["first", "some"])
def test_copies_that_nothing_tells_apart_are_read_like_others(model, wanted):
    ids, mask = batch()
    plan = model.adapters_config.plan(Parallel("lora", "ia3"), [0, 1, 2])
    chosen = wanted if wanted == "first" else (ids % 3 == 0) & mask.bool()
    layout = model.flow(Call(ids, mask)).layout
    read = model.encode(ids, Flow(layout, plan=plan), chosen)
    plain = model.encode(ids, Flow(layout), chosen)
    torch.testing.assert_close(read.hidden, plain.hidden.repeat(2, 1), **CLOSE)
    assert read.counts == plain.counts * 2


def test_notes_are_told_once(model):
    ids, mask = batch()
    asked = {"output_adapter_gating_scores": True}

    def gates(setup):
        scores = model(ids, mask, adapter_names=setup, **asked).adapter_gating_scores
        return scores["gated lora"][0]["selfattn_lora"].shape

    assert gates("gated lora") == (4, 2)
    assert gates(Stack("gated lora", Average("ia3", "lora"))) == (4, 2)
    assert gates(Stack("gated lora", Split("ia3", "lora", splits=3))) == (4, 2)


def test_fusions_run_what_they_were_made_of_alone(model):
    from distilbert.adapters import Fuse

    model.add_adapter_fusion(["seq_bn", "seq_bn again"], name="two")
    try:
        with pytest.raises(AdapterError, match="for which its weights are"):
            model.plan(Fuse("seq_bn", "seq_bn by layer", name="two"))
        with pytest.raises(AdapterError, match="for which its weights are"):
            model.plan(Fuse("seq_bn again", "seq_bn", name="two"))
        model.plan(Fuse("seq_bn", "seq_bn again", name="two"))
    finally:
        model.delete_adapter_fusion("two")


def test_one_setup_may_be_entered_by_several_threads(model):
    from distilbert.adapters import AdapterSetup

    alone = rows_padded(model, "seq_bn")
    setup = AdapterSetup("seq_bn")

    def run(_):
        with setup, setup:
            assert_rows_equal(rows_padded(model, None), alone)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(40)))


def test_tasks_without_adapters_are_refused(model):
    for names in (None, []):
        with pytest.raises(AdapterError, match="no MultiTask is active"):
            model(*batch(), adapter_names=names, task_ids=[0] * 4)


def test_a_refused_pass_cools_no_fusion():
    found = with_adapters(tiny(), {"a": "seq_bn", "b": "seq_bn"})
    found.add_adapter_fusion(["a", "b"], "dynamic[temperature=True]")
    found.train_adapter_fusion([["a", "b"]])
    fusion = found.transformer.layer[0].output_adapters.adapter_fusion_layer["a,b"]
    with pytest.raises(AdapterError):
        found(*batch(), task_ids=[0] * 4)
    assert fusion.temperature == 50.0
    found(*batch())
    assert fusion.temperature == pytest.approx(49.95)


def test_notes_are_of_every_row_that_ran_the_adapter(model):
    ids, mask = batch()
    with_adapters(model, {"late": "seq_bn[leave_out=[0,1]]"})
    try:
        setup = Stack("gated lora", Parallel("late", "lora"))
        found = model(ids, mask, adapter_names=setup, output_adapter_gating_scores=True)
        shapes = {
            places["selfattn_lora"].shape
            for places in found.adapter_gating_scores["gated lora"].values()
        }
        assert shapes == {(8, 2)}
        twice = PerRow([Stack("gated lora", "gated lora"), "gated lora", None, None])
        found = model(ids, mask, adapter_names=twice, output_adapter_gating_scores=True)
        gates = found.adapter_gating_scores["gated lora"][0]["selfattn_lora"]
        assert gates.isnan().tolist() == [[False] * 4, [False, False, True, True]]
    finally:
        model.delete_adapter("late")


def test_layouts_agree_on_means_of_splits_whose_last_columns_nobody_has(model):
    setup = Average(
        Stack("channel scaling", "par_bn"),
        Split("par_bn", "seq_bn", "channel scaling", splits=[6, 4, 2]),
    )
    short = (4, 5, 5, 6)
    wanted = rows_padded(model, setup, short)
    assert_rows_equal(rows_packed(model, setup, short), wanted)
    assert_rows_equal(rows_padded(model, setup, short, columns=9), wanted)
