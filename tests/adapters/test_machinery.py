"""What is put around models (precisions, compilers, exporters, replicas) works with adapters."""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
from torch.utils import _pytree as pytree

from adapted import METHODS, batch, shake, tiny, with_adapters
from distilbert import AdapterError
from distilbert.adapters import (
    AdapterSetup,
    Average,
    BatchSplit,
    Fuse,
    MultiTask,
    Parallel,
    PerRow,
    Split,
    Stack,
)
from distilbert.model.call import Call
from distilbert.outputs import MultiHeadOutput, SequenceClassifierOutput

pytestmark = pytest.mark.usefixtures("one_thread")

CLOSE = {"rtol": 1e-4, "atol": 2e-5}  # float32 sums in another order
OTHER_SHAPES = ((3, 6, 9), (2, 2, 2, 2, 2, 5), (7, 4, 5, 2, 3))
COMPOSITIONS = {
    "stack": ["a", "b"],
    "fusion": Fuse("a", "b"),
    "list of lists": [["a", "b"]],
    "split": Split("a", "b", splits=[3, 1]),
    "average": Average("a", "b", weights=[1, 3]),
    "parallel": Stack("a", Parallel("b", "c")),
    "batch split": BatchSplit("a", "b", batch_sizes=[1, 3]),
    "tasks": MultiTask("a", "b"),
    "per row": PerRow([["a", "b"], None, Average("a", "c"), Fuse("a", "b")]),
}
BY_ROWS = ("batch split", "tasks", "per row")  # these fix how many rows there are


def one(method):
    """A model with one adapter, which is active, and as few layers as compilers like best."""
    layers = 2 if method in ("flat prefix", "seq_bn by layer") else 1
    model = with_adapters(tiny(n_layers=layers), {"a": method})
    model.set_active_adapters("a")
    return model


def three(name="DistilBertModel"):
    """A model with three bottlenecks, and a fusion of two of them."""
    model = with_adapters(
        tiny(name, n_layers=1),
        {"a": "seq_bn[reduction_factor=4]", "b": "seq_bn[reduction_factor=8]", "c": "seq_bn"},
    )
    model.add_adapter_fusion(["a", "b"])
    return model


def assert_equal(found, expected):
    for a, b in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b, **CLOSE)
        else:
            assert a == b


# Precision and place -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_inherits_the_dtype_of_its_model_and_runs_in_it(method, dtype):
    model = with_adapters(tiny(n_layers=2).to(dtype), {"a": method, "b": "seq_bn"})
    tensors = [*model.named_parameters(), *model.named_buffers()]
    assert {name: t.dtype for name, t in tensors if t.dtype != dtype} == {}
    for setup in ("a", ["b", "a"], PerRow(["a", None, "b", "a"]), Average("a", "a")):
        hidden = model.train()(*batch(), adapter_names=setup).last_hidden_state
        assert hidden.dtype == dtype
        hidden.float().square().sum().backward()
        assert hidden.isfinite().all()
    later = with_adapters(tiny(n_layers=2), {"a": method, "b": "seq_bn"}).to(dtype)
    later.load_state_dict(model.state_dict())
    assert_equal(
        later(*batch(), adapter_names="a").last_hidden_state,
        model.eval()(*batch(), adapter_names="a").last_hidden_state,
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_of_another_dtype_stays_usable(method, dtype):
    model = with_adapters(tiny(n_layers=2), {"a": method, "b": "seq_bn"})
    setups = ("a", ["a", "b"], PerRow(["a", None, "b", "a"]), Average("a", "b"))
    if "prompt" in method or "prefix" in method or method in ("mam", "unipelt", "channel scaling"):
        setups = setups[:3]
    before = [model(*batch(), adapter_names=setup).last_hidden_state for setup in setups]
    model.adapter_to("a", dtype=dtype)
    moved = {n: p.dtype for n, p in model.named_parameters() if ".a." in f".{n}."}
    assert {*moved.values()} == {dtype}
    assert model.dtype == torch.float32
    for setup, expected in zip(setups, before, strict=True):
        hidden = model(*batch(), adapter_names=setup).last_hidden_state
        assert hidden.dtype == torch.float32
        limit = 0.5 if dtype == torch.bfloat16 else 1e-3  # 8 bits, through random weights
        assert (hidden - expected).abs().max() < limit


@pytest.mark.parametrize("config", ["static", "dynamic"])
def test_a_fusion_of_another_dtype_stays_usable(config):
    model = three()
    model.add_adapter_fusion(["b", "c"], config)
    setup = Fuse("b", "c")
    before = model(*batch(), adapter_names=setup).last_hidden_state
    model.adapter_fusion_to(["b", "c"], dtype=torch.float64)
    moved = [p.dtype for n, p in model.named_parameters() if "adapter_fusion_layer.b,c" in n]
    assert {*moved} == {torch.float64}
    assert_equal(model(*batch(), adapter_names=setup).last_hidden_state, before)
    with pytest.raises(AdapterError, match="no fusion 'a,c'"):
        model.adapter_fusion_to(["a", "c"], dtype=torch.float64)


def test_moving_moves_what_adapters_have_alone():
    model = with_adapters(tiny(), {"a": "lora", "b": "prefix"})
    model.adapter_to("b", "meta")
    there = {name for name, p in model.named_parameters() if p.is_meta}
    assert there == {name for name, _ in model.named_parameters() if ".b." in name}
    with pytest.raises(AdapterError, match="no adapter 'nobody'"):
        model.adapter_to("nobody", "meta")


@pytest.mark.parametrize("method", METHODS)
def test_adapters_train_under_autocast(method):
    model = with_adapters(tiny(n_layers=2), {"a": method, "b": method})
    model.train_adapter("a")
    for setup in ("a", PerRow(["a", None, "a", "b"])):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(*batch(), adapter_names=setup).last_hidden_state.square().sum().backward()
        found = [p.grad for p in model.parameters() if p.grad is not None]
        assert found
        assert all(gradient.isfinite().all() for gradient in found)


@pytest.mark.parametrize("method", METHODS)
def test_adapters_of_a_model_without_memory_have_none(method):
    with torch.device("meta"):
        model = tiny(n_layers=2)
    model.add_adapter("a", METHODS[method])
    assert all(tensor.is_meta for tensor in model.state_dict().values())


# Compilers ---------------------------------------------------------------------------------------


@pytest.fixture
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(model, **options):
    whole = {"fullgraph": True, "dynamic": True, "backend": "eager", **options}
    return torch.compile(model, **whole)


def assert_compiles(model, shapes=OTHER_SHAPES, **options):
    """One graph, the values of the model, and no other graph for batches of other shapes."""
    fast = compiled(model)
    assert_equal(fast(*batch(), **options), model(*batch(), **options))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for lengths in shapes:
            assert_equal(fast(*batch(lengths), **options), model(*batch(lengths), **options))


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_compiles_whole_with_dynamic_shapes(method):
    assert_compiles(one(method))


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_every_composition_compiles_whole_with_dynamic_shapes(name):
    shapes = ((1, 9, 6, 3), (3, 8, 8, 8)) if name in BY_ROWS else OTHER_SHAPES
    options = {"task_ids": [1, 0, "a", "b"]} if name == "tasks" else {}
    assert_compiles(three(), shapes, adapter_names=COMPOSITIONS[name], **options)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", ["average", "per row"])
def test_a_class_with_a_head_compiles_whole_with_adapters(name):
    model = three("DistilBertForSequenceClassification")
    model.set_active_adapters(COMPOSITIONS[name])
    assert_compiles(model, ((1, 9, 6, 3),) if name in BY_ROWS else OTHER_SHAPES)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", ["stack", "per row"])
def test_a_model_with_heads_compiles_whole_with_adapters(name):
    model = three("DistilBertModelWithHeads")
    model.add_classification_head("b", num_labels=3)
    model.add_tagging_head("a")
    setup = {"stack": ["a", "b"], "per row": PerRow(["a", "b", "b", "a"])}[name]
    model.set_active_adapters(setup)
    output = model(*batch())
    assert type(output) is (SequenceClassifierOutput if name == "stack" else MultiHeadOutput)
    assert_compiles(model, ((1, 9, 6, 3),) if name in BY_ROWS else OTHER_SHAPES)


@pytest.mark.usefixtures("fresh_compiler")
def test_the_tokens_that_a_head_reads_compile_with_adapters():
    model = three()

    def first(ids, mask, setup):
        return model.encode(ids, model.flow(Call(ids, mask, adapter_names=setup)), "first").hidden

    fast = compiled(first)
    for setup in ("a", PerRow(["a", None, "b", "a"])):
        assert_equal(fast(*batch(), setup), first(*batch(), setup))


@pytest.mark.usefixtures("fresh_compiler")
def test_no_graph_is_stale():
    model = with_adapters(tiny(n_layers=1), {"a": "seq_bn", "b": "lora"})
    fast = compiled(model)
    seen = []

    def check(**options):
        found = fast(*batch(), **options).last_hidden_state
        assert_equal(found, model(*batch(), **options).last_hidden_state)
        assert all(not torch.allclose(found, other, atol=1e-3) for other in seen)
        seen.append(found)

    with torch._dynamo.config.patch(recompile_limit=32), torch.no_grad():
        check()
        model.set_active_adapters("a")
        check()
        check(adapter_names="b")
        check(adapter_names=["a", "b"])
        model.set_active_adapters("b")
        shake(model, "b", seed=3)
        check()  # the same graph, other weights
        model.delete_adapter("b")
        with_adapters(model, {"b": "ia3"})
        model.set_active_adapters("b")
        check()
        unmerged = seen[-1]
        model.merge_adapter("b")
        assert_equal(fast(*batch()).last_hidden_state, unmerged)
        shake(model, "b", seed=4)
        assert_equal(fast(*batch()).last_hidden_state, unmerged)
        model.reset_adapter()
        check()
        model.set_active_adapters("b", skip_layers=[0])
        assert_equal(fast(*batch()).last_hidden_state, seen[0])


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_model_trains_an_adapter():
    model = with_adapters(tiny(n_layers=1), {"a": "gated prefix"})
    model.train_adapter("a")
    model.eval()  # without dropout, which draws other numbers in a graph
    gradients = []
    for run in (model, compiled(model, backend="aot_eager")):
        model.zero_grad()
        run(*batch()).last_hidden_state.square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    assert gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(("fullgraph", "warm"), [(True, False), (True, True), (False, True)])
def test_a_compiled_model_never_passes_over_a_setup(fullgraph, warm):
    model = three()
    fast = compiled(model, fullgraph=fullgraph)
    with torch.no_grad():
        if warm:
            assert_equal(fast(*batch()), model(*batch()))
        with AdapterSetup("a"):
            expected = model(*batch())
            assert_equal(fast(*batch(), adapter_names="a"), expected)
            if fullgraph:
                with pytest.raises(Exception, match="cannot see AdapterSetup; pass adapter_names="):
                    fast(*batch())
            else:  # it runs without a graph
                assert_equal(fast(*batch()), expected)
        assert_equal(fast(*batch()), model(*batch()))


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_layers_see_setups_since_the_face_reads_them():
    plain = three()
    model = copy.deepcopy(plain)
    model.base_model.transformer.compile(fullgraph=True, dynamic=True, backend="eager")
    with torch.no_grad():
        assert_equal(model(*batch()), plain(*batch()))
    for setup in ("a", Average("a", "b")):
        with AdapterSetup(setup), torch.no_grad():
            assert_equal(model(*batch()), plain(*batch()))
            assert_equal(model(*batch((3, 6))), plain(*batch((3, 6))))
    assert model.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiler_cannot_see_tasks_in_a_tensor():
    model = three()
    options = {"adapter_names": MultiTask("a", "b"), "task_ids": torch.tensor([0, 1, 1, 0])}
    with pytest.raises(Exception, match="give a list of numbers or names"):
        compiled(model)(*batch(), **options)
    with torch.no_grad():
        loose = compiled(model, fullgraph=False)
        assert_equal(loose(*batch(), **options), model(*batch(), **options))


# Exporters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_exports_with_dynamic_shapes(method):
    assert_exports(one(method))


@pytest.mark.parametrize("name", [name for name in COMPOSITIONS if name not in BY_ROWS])
def test_compositions_export_with_dynamic_shapes(name):
    model = three()
    model.set_active_adapters(COMPOSITIONS[name])
    if name == "split":  # whose parts must be there
        assert_exports(model, shapes=OTHER_SHAPES, fewest=5)
    else:
        assert_exports(model)


@pytest.mark.parametrize("method", ["prompt behind", "mam"])
def test_a_head_of_tokens_exports_with_what_adapters_insert(method):
    model = with_adapters(tiny("DistilBertForTokenClassification", n_layers=2), {"a": method})
    model.set_active_adapters("a")
    assert_exports(model)


def assert_exports(model, shapes=(*OTHER_SHAPES, (2, 1)), fewest=None):
    columns = torch.export.Dim("columns", min=fewest, max=16)
    axes = {0: torch.export.Dim("rows", max=64), 1: columns}
    program = torch.export.export(model, batch(), dynamic_shapes=(axes, axes)).module()
    for lengths in shapes:
        assert_equal(program(*batch(lengths)), model(*batch(lengths)))


# Replicas ----------------------------------------------------------------------------------------


def replica(model):
    """What `DataParallel` makes for a second device, and runs with some rows of the batch."""
    made = {module: module._replicate_for_data_parallel() for module in model.modules()}
    for module, copied in made.items():
        for name, child in module.named_children():
            setattr(copied, name, made[child])
        for name, parameter in module._parameters.items():
            setattr(copied, name, parameter)  # as an attribute: a replica has no parameters
        for name, buffer in module._buffers.items():
            copied._buffers[name] = buffer
    return made[model]


@pytest.mark.parametrize("name", [*BY_ROWS, "parallel"])
def test_a_replica_of_data_parallel_refuses_compositions_of_rows(name):
    options = {"task_ids": [1, 0, "a", "b"]} if name == "tasks" else {}
    for_task = replica(three("DistilBertForSequenceClassification"))
    for model in (replica(three()), for_task):
        with pytest.raises(AdapterError, match=r"DataParallel .* one process for each device"):
            model(*batch(), adapter_names=COMPOSITIONS[name], **options)


@pytest.mark.parametrize("name", ["stack", "average", "fusion"])
def test_data_parallel_runs_all_other_compositions(name):
    model = three("DistilBertForSequenceClassification")
    model.set_active_adapters(COMPOSITIONS[name])
    expected = model(*batch())
    assert_equal(replica(model)(*batch()), expected)
    assert_equal(torch.nn.DataParallel(model)(*batch()), expected)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_in_a_replica(method):
    model = one(method)
    assert_equal(replica(model)(*batch()), model(*batch()))


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_call_that_names_adapters_runs_though_another_thread_is_inside_a_setup():
    model = three("DistilBertModelWithHeads")
    model.add_classification_head("a", num_labels=3)
    model.add_tagging_head("tags")
    fast = compiled(model)
    entered, done = Event(), Event()

    def inside():
        with AdapterSetup("b", head_setup="tags"):
            entered.set()
            done.wait(60)

    with ThreadPoolExecutor(1) as pool, torch.no_grad():
        pool.submit(inside)
        try:
            assert entered.wait(60)
            for heads in ({}, {"head": "tags"}, {"head": ["a", "tags"]}):
                call = {"adapter_names": "a", **heads}
                assert_equal(fast(*batch(), **call), model(*batch(), **call))
            with pytest.raises(Exception, match="cannot see AdapterSetup; pass adapter_names="):
                fast(*batch())
        finally:
            done.set()
    assert_equal(fast(*batch()), model(*batch()))
