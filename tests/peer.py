"""Models of the installed `adapters` that equal ours, for the tests that compare files."""

from typing import Any

import torch
import transformers

import adapters
import distilbert
from adapted import METHODS, WORDS, batch
from distilbert.adapters.configs import resolve
from travelling import FUSED, FUSIONS, fresh

SIZES = {"vocab_size": WORDS, "dim": 24, "hidden_dim": 40, "n_layers": 3, "n_heads": 4}
SIZES |= {"max_position_embeddings": 32, "initializer_range": 0.2}
CLOSE = {"rtol": 1e-4, "atol": 2e-5}  # float32 sums in another order, through three layers
IDS = batch((7, 7, 7, 7))[0]  # padding gets into gates, prefixes and prompts there
THERE = "DistilBertAdapterModel"


def theirs(kind: str = THERE, **settings: Any) -> Any:
    """Their model of a class, its encoder the same as those of `fresh`."""
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(**SIZES, **settings)
    if kind == THERE:
        model = adapters.DistilBertAdapterModel(config)
    else:
        model = getattr(transformers, kind)(config)
        adapters.init(model)
    weights = fresh("DistilBertModel").state_dict()
    missing = model.base_model.load_state_dict(weights, strict=False).missing_keys
    assert missing == ["prompt_tuning.base_model_embeddings.weight"]
    return model.eval()


def their_config(text: str) -> Any:
    """Their configuration of a text in the short-name language."""
    ours = resolve(text)
    if ours.get("subtract_projection", True):
        return adapters.AdapterConfig.load(ours.to_dict())
    settings = {name: value for name, value in ours.items() if name != "subtract_projection"}
    return adapters.DiReftConfig(**settings)


def stir(model: Any, *names: str) -> None:
    """Moves the weights of adapters, fusions or heads; of orthogonal ones what turns them."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if any(f".{name}." in f".{key}" for name in names):
                noise = 0.3 * torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise.tril(-1) if "parametrizations" in key else noise)


def ours_with(method: Any, *names: str) -> Any:
    """Our model with adapters of one method."""
    model = fresh()
    for name in names:
        model.add_adapter(name, METHODS.get(method, method))
    stir(model, *names)
    return model


def fused(model: Any, config_of: Any = str) -> Any:
    """A model of either package with the adapters a, b and c and every fusion of them."""
    for name in "abc":
        model.add_adapter(name, config=config_of(FUSED))
    for names, config, given in FUSIONS.values():
        model.add_adapter_fusion(names, config, name=given)
    stir(model, *"abc", *(given or ",".join(names) for names, _, given in FUSIONS.values()))
    return model


def hidden(model: Any, setup: Any, **options: Any) -> torch.Tensor:
    """What an encoder of either package says with adapters."""
    encoder = model.base_model
    with torch.no_grad():
        if isinstance(encoder, distilbert.DistilBertModel):
            return encoder(IDS, adapter_names=setup, **options).last_hidden_state
        model.set_active_adapters(setup)
        model.eval()  # adapters come in training mode
        found: torch.Tensor = encoder(IDS, **options).last_hidden_state
        model.set_active_adapters(None)
    return found


def answers(model: Any, **options: Any) -> dict[str, torch.Tensor]:
    """What a model of either package says of the batch: its tensors by name."""
    with torch.no_grad():
        found = model.eval()(options.pop("ids", IDS), **options)
    return {key: value for key, value in found.items() if torch.is_tensor(value)}


def close(one: Any, two: Any) -> None:
    torch.testing.assert_close(one, two, **CLOSE)


def differ(one: torch.Tensor, two: torch.Tensor) -> None:
    assert one.shape != two.shape or (one - two).abs().max() > 0.01
