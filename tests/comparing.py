"""Models with adapters of chosen configurations, and what tests compare of them."""

import torch

from adapted import batch, shake, tiny

CLOSE = {"rtol": 1e-4, "atol": 2e-5}  # float32 sums in another order, through three layers


def made(configs, model=None):
    """A tiny model with adapters, all their weights random and different."""
    model = model or tiny()
    for name, config in configs.items():
        model.add_adapter(name, config)
        shake(model, name)
    return model


def alike(config, names="ab", model=None):
    """The same with adapters of one configuration."""
    return made(dict.fromkeys(names, config), model)


def outputs(model, adapter):
    with torch.no_grad():
        return model(*batch(), adapter_names=adapter).last_hidden_state


def weights(model, adapter):
    """Copies of all weights of an adapter, by the place and their own names."""
    return {
        f"{layer}.{place}.{key}": tensor.clone()
        for layer, places in model.get_adapter(adapter).items()
        for place, module in places.items()
        for key, tensor in module.state_dict().items()
    }


def snapshot(model):
    own = model.adapters_config
    tensors = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    return tensors, dict(own.configs), dict(own.traits), own.active


def assert_unchanged(model, before):
    after = snapshot(model)
    assert after[0].keys() == before[0].keys()
    assert all(torch.equal(tensor, before[0][key]) for key, tensor in after[0].items())
    assert after[1:] == before[1:]


def projections(model, adapter):
    for number, block in enumerate(model.transformer.layer):
        attention, ffn = block.attention, block.ffn
        for at in (attention.q_lin, attention.k_lin, attention.v_lin, attention.out_lin):
            if adapter in at.loras:
                yield (number, at.loras.site.name), at.loras[adapter]
        for at in (ffn.lin1, ffn.lin2):
            if adapter in at.loras:
                yield (number, at.loras.site.name), at.loras[adapter]


def deltas(model, adapter):
    """What a LoRA adds to each matrix, its scale included."""
    return {
        site: module.scale * (module.lora_B @ module.lora_A).detach().double()
        for site, module in projections(model, adapter)
    }
