"""Compositions against the installed `adapters`: values and gradients, where it is right.

Both compute in float64 with the same random weights. Batches are padded, except for prefixes, which
padding lifts there. Where it is wrong, what is right is pinned here or in `tests/adapters`.
"""

import warnings

import adapters.composition as theirs_of
import pytest
import torch
import transformers

import adapters
import distilbert
import distilbert.adapters as ours_of
from adapted import WORDS, batch, shake

SIZES = {"vocab_size": WORDS, "dim": 24, "hidden_dim": 40, "n_layers": 3, "n_heads": 4}
SIZES |= {"max_position_embeddings": 32, "initializer_range": 0.2}
CLOSE = {"rtol": 1e-9, "atol": 1e-9}

BN = {
    "seq_bn": "seq_bn[reduction_factor=4]",
    "double_seq_bn": "double_seq_bn[reduction_factor=4]",
    "compacter": "compacter[reduction_factor=2]",
}
# With original_ln_before, nested blocks norm twice there: what stands before the first of a stack.
POST = {"double_seq_bn": BN["double_seq_bn"], "compacter": BN["compacter"]}
LORA = {
    "lora": "lora[r=3,alpha=5]",
    "lora all": "lora[r=3,intermediate_lora=True,output_lora=True]",
    "ia3": "ia3",
    "vera": "vera[r=3]",
}
CHAINED = {name: text for name, text in LORA.items() if name != "lora all"}
PREFIX = {
    "flat prefix": "prefix_tuning_flat[prefix_length=2]",
    "prefix": "prefix_tuning[prefix_length=3,bottleneck_size=8]",
}
BESIDE = {"par_bn": "par_bn[reduction_factor=4]"}
GATED = {  # by means that count padding there
    "gated lora": "lora[r=3,use_gating=True]",
    "gated double_seq_bn": "double_seq_bn[reduction_factor=4,use_gating=True]",
    "gated prefix": "prefix_tuning[prefix_length=3,bottleneck_size=8,use_gating=True]",
}
UNIPELT = {
    "unipelt": "prefix_tuning[prefix_length=2,bottleneck_size=8,use_gating=True]"
    "|seq_bn[reduction_factor=4,use_gating=True]|lora[r=4,use_gating=True]"
}
MIXED = {
    "union": "lora[r=2]|double_seq_bn[reduction_factor=4]",
    "mtl_lora": "mtl_lora[r=3,n_up_projection=2,weights_sharpness=0.7]",
}
MORE = {**GATED, **MIXED}
UNPADDED = {**PREFIX, **GATED, **UNIPELT}
REFT = {"noreft": "noreft[r=2]"}


def compositions(of):
    """The compositions of one of the packages, over adapters a, b and c, and who can run them."""
    stack, fuse, split = of.Stack, of.Fuse, of.Split
    halves, parallel, average = of.BatchSplit, of.Parallel, of.Average
    return {
        "stack": (stack("a", "b"), {**BN, **CHAINED, **PREFIX, **MORE, **UNIPELT}),
        "stack of three": (stack("c", "a", "b"), {**BN, **CHAINED, **PREFIX}),
        "batch split": (
            halves("a", "b", batch_sizes=[1, 3]),
            {**BN, **LORA, **PREFIX, **BESIDE, **MORE, **UNIPELT},
        ),
        "one size": (halves("a", "b", batch_sizes=2), {**BN, **LORA}),
        "parallel": (parallel("a", "b"), {**BN, **LORA, **PREFIX, **MORE}),
        "three parallel": (parallel("a", "b", "c"), {**BN, **LORA}),
        "split": (split("a", "b", splits=[3, 4]), {**BN, **BESIDE}),
        "stack, parallel": (stack("c", parallel("a", "b")), {**POST, **CHAINED, **MIXED}),
        "stack, batch split": (
            stack("c", halves("a", "b", batch_sizes=[3, 1])),
            {**POST, **CHAINED},
        ),
        "stack, split": (stack("c", split("a", "b", splits=[2, 5])), POST),
        "batch split of stacks": (
            halves(stack("a", "c"), "b", batch_sizes=[2, 2]),
            {**POST, **CHAINED},
        ),
        "parallel stacks": (parallel(stack("a", "c"), stack("b", "c")), {**POST, **CHAINED}),
        "fuse": (fuse("a", "b"), BN),
        "fuse of stacks": (fuse(stack("c", "a"), "b"), POST),
        "stack, fuse": (stack("c", fuse("a", "b")), BN),
        "one average": (average("a"), {**BN, **LORA}),
        "multi task": (
            of.MultiTask("a", "b"),
            {**POST, **LORA, **PREFIX, **BESIDE, **MORE},
        ),
        "stack, multi task": (stack("c", of.MultiTask("a", "b")), {**POST, **CHAINED, **MIXED}),
        "reft alone": (stack("a"), REFT),
    }


CASES = [
    pytest.param(name, method, id=f"{name}-{method}")
    for name, (_, methods) in compositions(ours_of).items()
    for method in methods
]
TEXTS = {**BN, **LORA, **PREFIX, **REFT, **BESIDE, **MORE, **UNIPELT}


@pytest.fixture(autouse=True)
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def pair(*texts):
    """Our model and theirs, with adapters a, b, c of the same random weights."""
    torch.manual_seed(0)
    ours = distilbert.DistilBertModel(distilbert.DistilBertConfig(**SIZES)).eval()
    theirs = transformers.DistilBertModel(transformers.DistilBertConfig(**SIZES)).eval()
    adapters.init(theirs)
    for name, text in zip("abc", texts, strict=True):
        ours.add_adapter(name, text)
        shake(ours, name)
        config = ours.adapters_config.get(name)
        theirs.add_adapter(name, adapters.AdapterConfig.load(config.to_dict()))
    return ours, theirs


def copy_weights(ours, theirs):
    weights = {
        key: torch.diag(value) if "vera_" in key and value.ndim == 1 else value
        for key, value in ours.state_dict().items()
    }
    theirs.double()  # it makes the rules of compacters in float32, whatever the default is
    found = theirs.load_state_dict(weights, strict=False)
    assert not found.unexpected_keys
    theirs.eval()  # it adds some parts in training mode
    missing = {key for key in found.missing_keys if ".pool." not in key}
    assert missing <= {"prompt_tuning.base_model_embeddings.weight"}


def run(model, setup, mask, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.set_active_adapters(setup)
    return model(batch()[0], mask, **options).last_hidden_state


@pytest.mark.parametrize(("name", "method"), CASES)
def test_values_and_gradients_agree(name, method):
    ours, theirs = pair(*[TEXTS[method]] * 3)
    setups = [compositions(of)[name][0] for of in (ours_of, theirs_of)]
    if "fuse" in name:
        ours.add_adapter_fusion(["a", "b"])
        theirs.add_adapter_fusion(["a", "b"])
        for key, parameter in ours.named_parameters():
            if "fusion" in key:
                torch.nn.init.normal_(parameter, std=0.3)
    copy_weights(ours, theirs)
    ids, mask = batch()
    if method in UNPADDED or "parallel" in name:  # whose mask is written to, with no way back
        mask = None
    options = {"task_ids": torch.tensor([1, 0, 0, 1])} if "multi task" in name else {}
    found, wanted = (
        run(model, setup, mask, options)
        for model, setup in zip((ours, theirs), setups, strict=True)
    )
    real = torch.ones_like(ids) if mask is None else mask
    real = real.repeat(len(found) // len(ids), 1)[..., None]
    torch.testing.assert_close(found * real, wanted * real, **CLOSE)
    weights = torch.randn_like(found) * real
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    others = dict(theirs.named_parameters(remove_duplicate=False))
    for key, parameter in ours.named_parameters():
        other = others[key].grad
        if other is not None and "vera_" in key and parameter.ndim == 1:
            other = other.diagonal()
        if other is None or other.abs().max() < 1e-9:  # a shift of all keys changes no softmax
            assert parameter.grad is None or parameter.grad.abs().max() < 1e-9, key
        else:
            away = (parameter.grad - other).abs().max() / other.abs().max()
            assert away < 1e-9, f"{key}: {away}"


@pytest.mark.diverges("adapters 1.3.0: nested blocks norm the input of the first adapter twice")
@pytest.mark.parametrize("name", ["batch split of stacks", "parallel stacks"])
def test_a_stack_inside_a_block_is_the_stack(name):
    ours, theirs = pair(*[BN["seq_bn"]] * 3)
    copy_weights(ours, theirs)
    _, mask = batch()
    setups = [compositions(of)[name][0] for of in (ours_of, theirs_of)]
    found = run(ours, setups[0], mask, {})
    assert not torch.allclose(found, run(theirs, setups[1], mask, {}))
    alone = run(theirs, theirs_of.Stack("a", "c"), mask, {})[:2]  # which it has right by itself
    torch.testing.assert_close(found[:2] * mask[:2, :, None], alone * mask[:2, :, None], **CLOSE)


@pytest.mark.diverges("adapters 1.3.0: Average divides by the number of adapters twice")
@pytest.mark.parametrize("method", [*BN, *LORA])
def test_an_average_of_two_is_their_mean(method):
    ours, theirs = pair(*[TEXTS[method]] * 3)
    copy_weights(ours, theirs)
    _, mask = batch()
    weights = {"weights": [2.0, 6.0]}
    found = run(ours, ours_of.Average("a", "b", **weights), mask, {})
    assert not torch.allclose(found, run(theirs, theirs_of.Average("a", "b", **weights), mask, {}))
    doubled = theirs_of.Average("a", "b", weights=[0.5, 1.5], normalize_weights=False)
    wanted = run(theirs, doubled, mask, {})  # twice the weights, for its second division by two
    torch.testing.assert_close(found * mask[..., None], wanted * mask[..., None], **CLOSE)


@pytest.mark.diverges("adapters 1.3.0: MultiTask norms the input of an adapter twice")
def test_tasks_take_bottlenecks_as_they_are():
    ours, theirs = pair(*[BN["seq_bn"]] * 3)
    copy_weights(ours, theirs)
    _, mask = batch()
    tasks = {"task_ids": torch.tensor([1, 0, 0, 1])}
    found = run(ours, ours_of.MultiTask("a", "b"), mask, tasks) * mask[..., None]
    wrong = run(theirs, theirs_of.Stack(theirs_of.MultiTask("a", "b")), mask, tasks)
    assert not torch.allclose(found, wrong * mask[..., None])
    a, b = (run(theirs, name, mask, {}) * mask[..., None] for name in "ab")
    torch.testing.assert_close(found, torch.stack([b[0], a[1], a[2], b[3]]), **CLOSE)


@pytest.mark.diverges("adapters 1.3.0: a Stack drops what parallel adapters before the last add")
def test_stacked_parallel_adapters_all_add():
    ours, theirs = pair(*["par_bn[reduction_factor=4,leave_out=[1,2]]"] * 3)
    copy_weights(ours, theirs)
    _, mask = batch()
    one, two, both = (run(ours, setup, mask, {}) for setup in ("a", "b", ["a", "b"]))
    assert not torch.allclose(both, two)
    assert not torch.allclose(both, one)
    torch.testing.assert_close(
        run(theirs, theirs_of.Stack("a", "b"), mask, {}) * mask[..., None],
        two * mask[..., None],
        **CLOSE,
    )


@pytest.mark.diverges("adapters 1.3.0: a batch split between methods fails")
def test_a_batch_may_be_split_between_methods():
    ours, theirs = pair(BN["seq_bn"], LORA["lora"], "ia3")
    copy_weights(ours, theirs)
    _, mask = batch()
    setup = {"batch_sizes": [1, 3]}
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever it stumbles over)
        run(theirs, theirs_of.BatchSplit("a", "b", **setup), mask, {})
    found = run(ours, ours_of.BatchSplit("a", "b", **setup), mask, {}) * mask[..., None]
    a, b = (run(theirs, name, mask, {}) * mask[..., None] for name in "ab")
    torch.testing.assert_close(found, torch.cat([a[:1], b[1:]]), **CLOSE)
