"""The faster product gives what PyTorch's own gives, to rounding, and steps aside for tracers."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from distilbert import products
from distilbert.model.layers import Linear

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="a PyTorch without oneDNN"
)


@pytest.fixture(autouse=True)
def faster(monkeypatch):
    """Whatever the processor is, and however small the weights."""
    used = []
    product = products._product
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "SMALLEST", 1)
    monkeypatch.setattr(products, "_product", lambda *a: used.append(1) or product(*a))
    return used


def tensors(*shape, inner=48, out=40, bias=True):
    generator = torch.Generator().manual_seed(0)
    shapes = ((*shape, inner), (out, inner), (out,))
    made = [torch.randn(s, generator=generator).requires_grad_() for s in shapes]
    return made if bias else [*made[:2], None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 5), (3, 1, 4)])
def test_values_and_gradients_are_those_of_pytorch(faster, shape, bias):
    given = tensors(*shape, bias=bias)
    there = [x for x in given if x is not None]
    grad = torch.randn(*shape, 40)
    ours, theirs = products.linear(*given), F.linear(*given)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad(ours, there, grad),
        torch.autograd.grad(theirs, there, grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert len(faster) == 3  # forward, and the gradients of both factors


def test_gradients_that_lie_strangely_are_read_right():
    x, weight, bias = tensors(6)
    expanded = torch.ones(()).expand(6, 40)
    strided = torch.randn(40, 6).t()
    for grad in (expanded, strided):
        found = torch.autograd.grad(products.linear(x, weight, bias), (x, weight), grad)
        expected = torch.autograd.grad(F.linear(x, weight, bias), (x, weight), grad)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    turned = torch.randn(48, 6).t()
    torch.testing.assert_close(
        products.linear(turned, weight), F.linear(turned, weight), rtol=1e-5, atol=1e-5
    )


def test_what_is_frozen_gets_no_gradient(faster):
    x, weight, bias = tensors(6)
    frozen = weight.detach()
    out = products.linear(x, frozen, None)
    assert torch.autograd.grad(out.sum(), x)[0].abs().sum() > 0
    assert len(faster) == 2
    with torch.no_grad():
        assert not products.linear(x, weight, bias).requires_grad


def test_gradients_have_gradients():
    x, weight, _ = tensors(3, inner=4, out=5)

    def of(x, weight):
        (gradient,) = torch.autograd.grad(
            products.linear(x, weight).square().sum(), x, create_graph=True
        )
        return gradient.square().sum()

    def plain(x, weight):
        (gradient,) = torch.autograd.grad(F.linear(x, weight).square().sum(), x, create_graph=True)
        return gradient.square().sum()

    for a, b in zip(
        torch.autograd.grad(of(x, weight), (x, weight)),
        torch.autograd.grad(plain(x, weight), (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_other_numbers_go_the_plain_way(faster, monkeypatch):
    x, weight, bias = (t.detach().double().requires_grad_() for t in tensors(3))
    assert gradcheck(products.linear, (x, weight, bias))
    assert products.linear(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
    assert products.linear(torch.randn(0, 48), weight.detach().float()).shape == (0, 40)
    x, weight, bias = (t.detach().float() for t in (x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert products.linear(x, weight, bias).dtype == torch.bfloat16
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    products.linear(x, weight, bias)
    assert not faster


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_what_follows_a_computation_sees_pytorchs_own_product(faster):
    x, weight, bias = (t.detach() for t in tensors(3))
    plain = F.linear(x, weight, bias)
    torch.testing.assert_close(torch.vmap(lambda row: products.linear(row, weight, bias))(x), plain)
    torch.testing.assert_close(
        torch.func.jacrev(lambda row: products.linear(row, weight, bias))(x[0]), weight
    )
    _, change = torch.func.jvp(lambda x: products.linear(x, weight, bias), (x,), (x,))
    torch.testing.assert_close(change, F.linear(x, weight))
    traced = torch.jit.trace(lambda x: products.linear(x, weight, bias), x, check_trace=False)
    assert "_linear_pointwise" not in str(traced.graph)
    compiled = torch.compile(
        lambda x: products.linear(x, weight, bias), fullgraph=True, backend="eager"
    )
    torch.testing.assert_close(compiled(x), plain)
    with torch.device("meta"):
        assert products.linear(torch.empty(3, 48), torch.empty(40, 48)).is_meta
    assert not faster


def test_every_layer_of_the_model_multiplies_so(faster):
    layer = Linear(48, 40)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(5, 48)
    torch.testing.assert_close(
        layer(x), F.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5
    )
    assert faster


def test_small_weights_go_the_plain_way(faster, monkeypatch):
    monkeypatch.setattr(products, "SMALLEST", 40 * 48 + 1)
    products.linear(*tensors(3))
    assert not faster
