"""What an option of a configuration changes: of the output, of training, or of fresh weights."""

import re
import zlib
from dataclasses import fields
from typing import Any

import torch

from adapted import batch, tiny
from distilbert.adapters.configs import AdapterConfig, resolve
from distilbert.model.call import Call


def with_adapter(config: Any, **settings: Any) -> Any:
    """A tiny model without dropout of its own, whose adapter "a" acts, every weight not zero."""
    model = fresh(config, **settings)
    stir(model)
    model.set_active_adapters("a")
    return model


def fresh(config: Any, **settings: Any) -> Any:
    """The same with the weights that the adapter starts with."""
    model = tiny(dropout=0.0, attention_dropout=0.0, **settings)
    torch.manual_seed(5)
    model.add_adapter("a", config)
    return model


def stir(model: Any) -> None:
    """Draws the weights of adapters by their names, so that a changed option changes no other.

    Of orthogonal matrices, what turns them; scales and norms are near 1.
    """
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".a." not in key and ".fusion." not in key:
                continue
            name = re.sub(r"adapter_down\.\d", "adapter_down", key)
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            drawn = 0.3 * torch.randn(parameter.shape, generator=generator)
            if "parametrizations" in key:
                parameter.add_(drawn.tril(-1))
            else:
                parameter.copy_(drawn + (1.0 if "scaling" in key or "norm" in key else 0.0))


def output(config: Any) -> Any:
    """The last layer of a padded batch, of its real tokens and prompts."""
    return _hidden(with_adapter(config).eval())


def training(config: Any) -> Any:
    """The same in training mode, random numbers drawn from a seed."""
    model = with_adapter(config).train()
    torch.manual_seed(6)
    return _hidden(model)


def weights(config: Any) -> Any:
    """The weights that an adapter starts with, by name."""
    return {k: v for k, v in fresh(config).state_dict().items() if ".a." in k}


def trained(config: Any) -> Any:
    """The names of the weights that train."""
    model = fresh(config)
    model.train_adapter("a")
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _hidden(model: Any) -> Any:
    ids, mask = batch()
    flow = model.flow(Call(ids, mask))
    encoded = model.encode(ids, flow)
    real = encoded.layout.real
    return encoded.hidden if real is None else encoded.hidden[real]


def same(a: Any, b: Any) -> bool:
    """Whether two effects are equal, to rounding."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)
    return bool(a == b)


def assert_changes(base: str, effect: Any, option: str, value: Any) -> None:
    """That `option=value` changes the effect of a configuration, and its old value does not."""
    before = resolve(base)
    after = before.replace(**{option: value})
    assert before != after, "the value is new"
    expected = effect(before)
    assert same(effect(before), expected), "nothing else changes it"
    assert not same(effect(after), expected)


def options(kind: type[AdapterConfig]) -> set[str]:
    """The options that a configuration of this kind has."""
    return {field.name for field in fields(kind)} - {"architecture"}
