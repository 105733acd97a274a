"""`AdapterSetup` holds inside its `with`, in its thread and task, and nowhere else."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from adapted import batch, tiny, with_adapters
from distilbert import AdapterError
from distilbert.adapters import AdapterSetup, BatchSplit, Fuse, PerRow, Stack
from distilbert.outputs import MultiHeadOutput, TokenClassifierOutput

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def model():
    methods = ("seq_bn[reduction_factor=4]", "lora", "prefix")
    return with_adapters(tiny(), dict(zip(NAMES, methods, strict=True)))


def said(model, **options):
    return model(*batch(), **options).last_hidden_state


def acts(model, setup):
    """Whether what acts now, in a call that names nothing, is this."""
    return torch.equal(said(model), said(model, adapter_names=[] if setup is None else setup))


def test_the_innermost_setup_holds_and_the_outer_one_again_behind_it(model):
    assert acts(model, None)
    with AdapterSetup("a") as outer:
        assert AdapterSetup.get_context() is outer
        assert acts(model, "a")
        with AdapterSetup(["b", "c"]):
            assert acts(model, ["b", "c"])
            assert AdapterSetup.get_context_adapter_setup() == Stack("b", "c")
            with AdapterSetup([]):
                assert acts(model, None)
        assert acts(model, "a")
        with outer:
            assert acts(model, "a")
        assert acts(model, "a")
    assert acts(model, None)
    assert AdapterSetup.get_context() is None
    assert AdapterSetup.get_context_adapter_setup() is None
    assert AdapterSetup.get_context_head_setup() is None


def test_a_call_that_names_adapters_does_not_mind_a_setup(model):
    expected, plain = said(model, adapter_names="b"), said(model)
    with AdapterSetup("a"):
        assert torch.equal(said(model, adapter_names="b"), expected)
        assert torch.equal(said(model, adapter_names=[]), plain)


def test_a_setup_holds_before_what_is_active_and_leaves_it_active(model):
    model.set_active_adapters("b", skip_layers=[0])
    try:
        expected = said(model, adapter_names="a")
        with AdapterSetup("a"):
            assert torch.equal(said(model), expected)  # skipping the same layers
            assert model.active_adapters == Stack("b")
        assert torch.equal(said(model), said(model, adapter_names="b"))
    finally:
        model.set_active_adapters(None)


def test_an_error_inside_ends_a_setup(model):
    with pytest.raises(RuntimeError, match="inside"), AdapterSetup("a"):
        raise RuntimeError("inside")
    assert acts(model, None)
    with AdapterSetup("nobody"), pytest.raises(AdapterError, match="no adapter 'nobody'"):
        said(model)
    two = AdapterSetup(BatchSplit("a", "b", batch_sizes=[1, 1]))
    with two, pytest.raises(AdapterError, match="the batch has 4"):
        said(model)
    assert acts(model, None)


@pytest.mark.parametrize(
    ("setup", "message"),
    [("", "no adapter's name"), (3, "3 is a int"), (["a", None], "PerRow")],
)
def test_what_is_no_setup_is_refused_when_it_is_made(setup, message):
    with pytest.raises(AdapterError, match=message):
        AdapterSetup(setup)
    assert AdapterSetup.get_context() is None


def test_an_empty_setup_is_one_of_no_adapter_unless_it_is_to_be_ignored(model):
    with AdapterSetup("a"):
        for empty in (None, []):
            with AdapterSetup(empty):
                assert acts(model, None)
            with AdapterSetup(empty, ignore_empty=True):
                assert acts(model, "a")
        with AdapterSetup("b", ignore_empty=True):
            assert acts(model, "b")
    with AdapterSetup(None, ignore_empty=True):
        assert AdapterSetup.get_context() is None


def test_threads_do_not_see_each_others_setups(model):
    expected = {name: said(model, adapter_names=name) for name in NAMES}
    plain = said(model)
    inside = Barrier(len(NAMES) + 1)

    def run(name):
        with AdapterSetup(name):
            inside.wait()  # all of them are in a setup now
            found = [said(model) for _ in range(5)]
            inside.wait()
        return all(torch.equal(one, expected[name]) for one in found) and acts(model, None)

    with ThreadPoolExecutor(len(NAMES)) as pool:
        done = [pool.submit(run, name) for name in NAMES]
        inside.wait()
        assert torch.equal(said(model), plain)
        inside.wait()
        assert all(future.result() for future in done)


def test_one_setup_may_be_entered_by_many_threads_at_once(model):
    setup, inside = AdapterSetup("a"), Barrier(3)

    def run(_):
        with setup:
            inside.wait()
            seen = AdapterSetup.get_context() is setup
            inside.wait()
        return seen and AdapterSetup.get_context() is None

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(run, range(3)))


def test_tasks_do_not_see_each_others_setups(model):
    async def run(name):
        for _ in range(3):
            with AdapterSetup(name):
                await asyncio.sleep(0)  # the others enter theirs
                assert acts(model, name)
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert acts(model, None)

    async def all_of_them():
        await asyncio.gather(*map(run, NAMES))
        with AdapterSetup("b"):
            await asyncio.create_task(inherits())  # as every context is by a task
        assert acts(model, None)

    async def inherits():
        assert acts(model, "b")

    asyncio.run(all_of_them())


# Heads -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heads():
    found = with_adapters(tiny("DistilBertModelWithHeads"), {"a": "seq_bn", "b": "lora"})
    found.add_classification_head("a", num_labels=3)
    found.add_tagging_head("tags", num_labels=2)
    found.active_head = "a"
    return found


def test_a_setup_may_name_heads(heads):
    with AdapterSetup("b", head_setup="tags"):
        assert AdapterSetup.get_context_head_setup() == "tags"
        found = heads(*batch())
    assert type(found) is TokenClassifierOutput
    expected = heads(*batch(), adapter_names="b", head="tags")
    assert torch.equal(found.logits, expected.logits)
    with AdapterSetup("b", head_setup=PerRow(["a", "tags", "a", "a"])):
        found = heads(*batch())
    assert type(found) is MultiHeadOutput
    assert found.rows == ((0, 2, 3), (1,))


def test_a_setup_without_heads_takes_those_of_its_adapters(heads):
    heads.active_head = "tags"
    with AdapterSetup("a"):
        assert heads(*batch()).logits.shape == (4, 3)
    with AdapterSetup("b"):  # which has none, so that the active one reads
        assert heads(*batch()).logits.shape == (4, 7, 2)
    with AdapterSetup("a"):
        assert heads(*batch(), head="tags").logits.shape == (4, 7, 2)


def test_a_call_that_names_adapters_passes_over_the_heads_of_a_setup_too(heads):
    with AdapterSetup("b", head_setup="tags"):
        found = heads(*batch(), adapter_names="a")
    assert torch.equal(found.logits, heads(*batch(), adapter_names="a", head="a").logits)


def test_a_head_that_is_not_there_is_refused(heads):
    with AdapterSetup("a", head_setup="nobody"), pytest.raises(AdapterError, match="no head 'nob"):
        heads(*batch())


def test_a_setup_holds_for_every_class():
    model = with_adapters(tiny("DistilBertForMaskedLM"), {"a": "seq_bn", "b": "seq_bn"})
    model.add_adapter_fusion(["a", "b"])
    with AdapterSetup([["a", "b"]]):
        found = model(*batch()).logits
    assert torch.equal(found, model(*batch(), adapter_names=Fuse("a", "b")).logits)
    with AdapterSetup("a"), AdapterSetup("b"):
        inner = model(*batch()).logits
    assert torch.equal(inner, model(*batch(), adapter_names="b").logits)
