"""Every adapter method but LoRA's family against the installed `adapters`: values and gradients.

All weights are random and none is zero. Batches are padded, except where `adapters` lets padding
into the result: gates average over it there, and its masks let prefixes and prompts lift it.

Both compute in float64: what differs by more than 1e-7 is no rounding, even where streams without
norms grow, and norms then magnify small sums of large terms.
"""

import pytest
import torch
import transformers

import adapters
import distilbert
from distilbert.adapters import Fuse
from distilbert.adapters.configs import resolve, resolve_fusion

TINY = {
    "vocab_size": 60,
    "dim": 24,
    "hidden_dim": 40,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,  # far from linear, so that what is wrong shows
}
IDS = torch.tensor([[2, 9, 4, 31, 7, 3], [2, 5, 3, 0, 0, 0], [2, 8, 50, 3, 0, 0]])
CLOSE = {"rtol": 1e-7, "atol": 1e-7}
MASK = (IDS != 0).long()
FULL = IDS + 5 * (IDS == 0)  # the same size, no padding

BN = "double_seq_bn[reduction_factor=4"
COMPACT = "compacter[reduction_factor=2"
GATED = "use_gating=True"
REFT = "prefix_positions=2,suffix_positions=1,r=2"
BOTTLENECKS = {
    "seq_bn": "seq_bn[reduction_factor=4]",
    "double_seq_bn": f"{BN}]",
    "par_bn": "par_bn",
    "scaled_par_bn": "scaled_par_bn",
    "mh alone": f"{BN},output_adapter=False]",
    "by layer": "seq_bn[reduction_factor={'0': 2, 'default': 8}]",
    "wider than the model": "double_seq_bn[reduction_factor=0.5]",
    "leave_out": f"{BN},leave_out=[0, 2]]",
    "scaling": f"{BN},scaling=2.5]",
    "scaling by channel": f"{BN},scaling='channel']",
    "original_ln_before": f"{BN},original_ln_before=True]",
    "post_add": f"{BN},original_ln_before=True,residual_before_ln='post_add']",
    "residual after": f"{BN},original_ln_before=True,residual_before_ln=False]",
    "no ln after": f"{BN},original_ln_after=False]",
    "no ln after, before": f"{BN},original_ln_before=True,original_ln_after=False]",
    "parallel, no ln after": "par_bn[original_ln_after=False]",
    "own norms": f"{BN},ln_before=True,ln_after=True]",
    "own norm, residual in it": f"{BN},ln_after=True,adapter_residual_before_ln=True]",
    "parallel, own norms": "par_bn[ln_before=True,ln_after=True,adapter_residual_before_ln=True]",
    "parallel, both places": f"{BN},is_parallel=True]",
    **{
        f"{word}": f"seq_bn[reduction_factor=4,non_linearity={word!r}]"
        for word in ("gelu", "gelu_new", "leakyrelu", "tanh", "relu6", "quick_gelu", "silu", "mish")
    },
    "seq_bn_inv": "seq_bn_inv[reduction_factor=4]",
    "inverse, narrow": "double_seq_bn_inv[reduction_factor=4,inv_adapter_reduction_factor=4]",
}
COMPACTERS = {
    "compacter": f"{COMPACT}]",
    "compacter++": "compacter++[reduction_factor=2]",
    "phm_dim": f"{COMPACT},phm_dim=2]",
    "phm_rank": f"{COMPACT},phm_rank=3]",
    "no bias": f"{COMPACT},phm_bias=False]",
    "whole W": f"{COMPACT},factorized_phm_W=False]",
    "shared W": f"{COMPACT},shared_W_phm=True]",
    "shared W, own rules": f"{COMPACT},shared_W_phm=True,shared_phm_rule=False]",
    "own rules": f"{COMPACT},shared_phm_rule=False]",
    "factorized rule": f"{COMPACT},factorized_phm_rule=True]",
    "own factorized rules": f"{COMPACT},shared_phm_rule=False,factorized_phm_rule=True]",
    "beside the stream": f"{COMPACT},is_parallel=True,ln_before=True]",
}
REFTS = {
    "loreft": f"loreft[{REFT}]",
    "noreft": f"noreft[{REFT}]",
    "direft": f"direft[{REFT}]",
    "square loreft": "loreft[r=24]",
    "tied": f"loreft[{REFT},tied_weights=True]",
    "some layers": f"noreft[{REFT},layers=[1]]",
    "reft with gelu": f"noreft[{REFT},non_linearity='gelu']",
    "last tokens": "noreft[prefix_positions=0,suffix_positions=2,r=2]",
}
PREFIX = "prefix_tuning[prefix_length=3,bottleneck_size=8"
UNPADDED = {
    "gated seq_bn": f"seq_bn[reduction_factor=4,{GATED}]",
    "gated double_seq_bn": f"{BN},{GATED}]",
    "gated par_bn": f"par_bn[{GATED}]",
    "gated compacter": f"{COMPACT},{GATED}]",
    "prefix": f"{PREFIX}]",
    "flat prefix": "prefix_tuning_flat[prefix_length=4]",
    "prefix, left out": f"{PREFIX},leave_out=[1]]",
    "prefix, relu": f"{PREFIX},non_linearity='relu']",
    "gated prefix": f"{PREFIX},{GATED}]",
    "prefix of two gates": f"{PREFIX},{GATED},shared_gating=False]",
    "prompt": "prompt_tuning[prompt_length=4]",
    "prompt behind": "prompt_tuning[prompt_length=4,combine='prefix_after_bos']",
    "mam": f"{PREFIX}]|par_bn",
    "unipelt": f"{PREFIX},{GATED}]|seq_bn[reduction_factor=4,{GATED}]|lora[r=2,{GATED}]",
}
DYNAMIC = {
    "query": False,
    "key": False,
    "value": False,
    "query_before_ln": True,
    "residual_before": True,
    "temperature": True,
    "value_before_softmax": False,
    "value_initialized": False,
    "regularization": False,
}
FUSIONS = {
    "static": "static",
    "dynamic": "dynamic",
    "nothing": {"query": False, "key": False, "value": False},
    **{name: {name: value} for name, value in DYNAMIC.items()},
}
METHODS = {**BOTTLENECKS, **COMPACTERS, **REFTS, **UNPADDED}


@pytest.fixture(autouse=True)
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def pair(names, text, fusion=None, **settings):
    """Our model and theirs, with adapters of these names, of the same random weights."""
    settings = {**TINY, **settings}
    torch.manual_seed(0)
    ours = distilbert.DistilBertModel(distilbert.DistilBertConfig(**settings))
    theirs = transformers.DistilBertModel(transformers.DistilBertConfig(**settings))
    adapters.init(theirs)
    for name in names:
        ours.add_adapter(name, text)
        theirs.add_adapter(name, config=their_config(resolve(text)))
    ours, theirs = ours.double(), theirs.double()  # theirs makes some weights float32 all the same
    if fusion is not None:
        ours.add_adapter_fusion(names, fusion)
        theirs.add_adapter_fusion(names, fusion.to_dict())
    stir(ours)
    copy_weights(ours, theirs)
    return ours, theirs


def their_config(ours):
    if ours.get("subtract_projection", True):
        return adapters.AdapterConfig.load(ours.to_dict())
    settings = {k: v for k, v in ours.items() if k != "subtract_projection"}
    return adapters.DiReftConfig(**settings)


def stir(model):
    """Moves every weight, but of orthogonal matrices only what turns them."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = 0.2 * torch.randn_like(parameter)
            parameter.add_(noise.tril(-1) if "parametrizations" in key else noise)


def copy_weights(ours, theirs):
    values, keys = ours.state_dict(), theirs.state_dict().keys()
    theirs.load_state_dict({key: values[our_key(key, keys)] for key in keys})
    assert {our_key(key, keys) for key in keys} == values.keys(), "both have the same weights"


def our_key(theirs, keys):
    """Our key of what their state dict may also hold under a second name."""
    _, pool, rest = theirs.partition(".prefix_tuning.pool.")
    if pool:
        return f"prefix_tuning.{rest}"
    if theirs == "prompt_tuning.base_model_embeddings.weight":
        return "embeddings.word_embeddings.weight"
    norm = theirs.replace(".adapter_down.0.", ".adapter_norm_before.")
    return norm if norm in keys else theirs


def inputs(method):
    if method in UNPADDED:
        return {"input_ids": FULL}
    return {"input_ids": IDS, "attention_mask": MASK}


def assert_same(ours, theirs, batch, **options):
    """Values of the last layer, and gradients of every weight."""
    a = ours.eval()(**batch, **options).last_hidden_state
    b = theirs.eval()(**batch).last_hidden_state
    torch.testing.assert_close(a, b, **CLOSE)
    weights = torch.randn(a.shape, generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    keys = dict(theirs.named_parameters(remove_duplicate=False)).keys()
    expected = {our_key(key, keys): p.grad for key, p in theirs.named_parameters()}
    found = {key: parameter.grad for key, parameter in ours.named_parameters()}
    assert found.keys() == expected.keys()
    for key, gradient in found.items():
        one, other = (0.0 if g is None else g for g in (gradient, expected[key]))
        one, other = torch.broadcast_tensors(torch.as_tensor(one), torch.as_tensor(other))
        torch.testing.assert_close(one, other, **CLOSE, msg=lambda m, k=key: f"{k}: {m}")
    return a


@pytest.mark.parametrize("method", METHODS)
def test_values_and_gradients_agree(method):
    ours, theirs = pair(["a"], METHODS[method])
    theirs.set_active_adapters("a")
    a = assert_same(ours, theirs, inputs(method), adapter_names="a")
    plain = ours(**inputs(method)).last_hidden_state
    assert a.shape != plain.shape or not torch.allclose(a, plain)


FUSED = {
    "seq_bn": "seq_bn[reduction_factor=4]",
    "double_seq_bn": f"{BN}]",
    "par_bn": "par_bn",
    "own norms": f"{BN},ln_before=True,ln_after=True,original_ln_before=True]",
    "compacter": f"{COMPACT}]",
    "no ln after": "seq_bn[reduction_factor=4,original_ln_after=False]",
}


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusions_agree(fusion, fused):
    given = FUSIONS[fusion]
    found = resolve_fusion(given) if isinstance(given, str) else resolve_fusion("dynamic", **given)
    ours, theirs = pair(["a", "b", "c"], FUSED[fused], fusion=found)
    setup = adapters.composition.Fuse("a", "b", "c")
    theirs.set_active_adapters(setup)
    assert_same(ours, theirs, inputs(""), adapter_names=Fuse("a", "b", "c"))


@pytest.mark.parametrize("method", [name for name in UNPADDED if GATED in UNPADDED[name]])
def test_gates_agree(method):
    ours, theirs = pair(["a"], METHODS[method])
    theirs.set_active_adapters("a")
    asked = {"input_ids": FULL, "output_adapter_gating_scores": True}
    a = ours.eval()(**asked, adapter_names="a").adapter_gating_scores
    b = theirs.eval()(**asked).adapter_gating_scores
    assert_same_tree(a, b, squeeze=True)  # theirs drop the axis of a single gate


def test_attentions_of_fusions_agree():
    ours, theirs = pair(["a", "b"], FUSED["double_seq_bn"], fusion=resolve_fusion("dynamic"))
    theirs.set_active_adapters(adapters.composition.Fuse("a", "b"))
    asked = {"input_ids": IDS, "attention_mask": MASK, "output_adapter_fusion_attentions": True}
    a = ours.eval()(**asked, adapter_names=Fuse("a", "b")).adapter_fusion_attentions
    assert_same_tree(a, theirs.eval()(**asked).adapter_fusion_attentions)


def assert_same_tree(ours, theirs, squeeze=False):
    if not isinstance(theirs, dict):
        found = ours.squeeze(-1) if squeeze else ours
        torch.testing.assert_close(found, torch.as_tensor(theirs), **CLOSE)
        return
    assert ours.keys() == theirs.keys()
    for key in theirs:
        assert_same_tree(ours[key], theirs[key], squeeze)


def test_the_losses_that_hold_the_values_of_fusions_near_the_identity_agree():
    ours, theirs = pair(["a", "b"], FUSED["double_seq_bn"], fusion=resolve_fusion("dynamic"))
    ours.train_adapter_fusion(Fuse("a", "b"))
    theirs.train_adapter_fusion(adapters.composition.Fuse("a", "b"))
    losses = [model.get_fusion_regularization_loss() for model in (ours, theirs)]
    torch.testing.assert_close(*losses, **CLOSE)


DROPPED = {
    "seq_bn": "seq_bn[reduction_factor=4,dropout=0.4]",
    "double_seq_bn": f"{BN},ln_after=True,dropout=0.4]",
    "par_bn": "par_bn[dropout=0.4]",
    "compacter": f"{COMPACT},dropout=0.4]",
    "noreft": f"noreft[{REFT},dropout=0.4]",
    "tied loreft": f"loreft[{REFT},tied_weights=True,dropout=0.4]",
}


@pytest.mark.parametrize("method", DROPPED)
def test_training_mode_draws_the_same_dropout_from_the_same_seed(method):
    ours, theirs = pair(["a"], DROPPED[method], attention_dropout=0.2)
    theirs.set_active_adapters("a")
    options = {"adapter_names": "a"}, {}
    found = []
    for model, more in zip((ours.train(), theirs.train()), options, strict=True):
        torch.manual_seed(7)
        found.append(model(input_ids=IDS, attention_mask=MASK, **more).last_hidden_state)
    torch.testing.assert_close(*found, **CLOSE)


def test_fusions_draw_the_same_dropout_from_the_same_seed():
    found = resolve_fusion("dynamic", dropout_prob=0.3)
    ours, theirs = pair(["a", "b"], FUSED["seq_bn"], fusion=found)
    theirs.set_active_adapters(adapters.composition.Fuse("a", "b"))
    options = {"adapter_names": Fuse("a", "b")}, {}
    found = []
    for model, more in zip((ours.train(), theirs.train()), options, strict=True):
        torch.manual_seed(7)
        found.append(model(input_ids=IDS, attention_mask=MASK, **more).last_hidden_state)
    torch.testing.assert_close(*found, **CLOSE)


SEED = "init_weights_seed=42"
SEEDED = {
    "bert": f"{BN},{SEED}]",
    "mam_adapter": f"par_bn[{SEED}]",
    "houlsby": f"{BN},init_weights='houlsby',{SEED}]",
    "gated": f"{BN},{GATED},{SEED}]",
    "compacter": f"{COMPACT},hypercomplex_nonlinearity='glorot-normal',{SEED}]",
    "own rules": f"{COMPACT},hypercomplex_nonlinearity='glorot-normal',"
    f"shared_phm_rule=False,phm_c_init='uniform',{SEED}]",
    "prefix": f"{PREFIX},{SEED}]",
    "flat prefix": f"prefix_tuning_flat[{SEED}]",
    "prompt": f"prompt_tuning[{SEED}]",
    "noreft": f"noreft[{REFT},{SEED}]",
    "loreft": f"loreft[{REFT},{SEED}]",
}


@pytest.mark.parametrize("method", SEEDED)
def test_fresh_weights_of_a_seed_are_the_same(method):
    text = SEEDED[method]
    torch.set_default_dtype(torch.float32)
    ours = distilbert.DistilBertModel(distilbert.DistilBertConfig(**TINY))
    theirs = transformers.DistilBertModel(transformers.DistilBertConfig(**TINY))
    adapters.init(theirs)
    ours.add_adapter("a", text)
    theirs.add_adapter("a", config=their_config(resolve(text)))
    expected = theirs.state_dict()
    keys = [key for key in ours.state_dict() if ".a." in key and "shared_parameters" not in key]
    assert keys
    for key in keys:
        torch.testing.assert_close(ours.state_dict()[key], expected[key], rtol=0, atol=0)
