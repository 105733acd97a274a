"""Tiny models whose adapters all have weights that matter, and batches that are not even."""

import torch

import distilbert
from distilbert import DistilBertConfig

WORDS, LENGTHS = 50, (7, 4, 5, 2)

# Every method, in the small. What each is called in the tables of the tests.
METHODS = {
    "seq_bn": "seq_bn[reduction_factor=4]",
    "seq_bn by layer": 'seq_bn[reduction_factor={"1": 8, "default": 4}]',
    "double_seq_bn": "double_seq_bn[reduction_factor=4,ln_before=True,ln_after=True]",
    "gated double_seq_bn": "double_seq_bn[reduction_factor=4,use_gating=True]",
    "par_bn": "par_bn[scaling=2.0]",
    "gated par_bn": "par_bn[use_gating=True]",
    "channel scaling": "seq_bn[scaling='channel',original_ln_after=False,residual_before_ln=False]",
    "compacter": "compacter[reduction_factor=2,phm_dim=2]",
    "compacter++": "compacter++[reduction_factor=2,phm_dim=2,shared_W_phm=True]",
    "nice": "seq_bn_inv[reduction_factor=4]",
    "glow": "seq_bn_inv[reduction_factor=4,inv_adapter='glow']",
    "prefix": "prefix_tuning[prefix_length=3,bottleneck_size=8]",
    "flat prefix": "prefix_tuning_flat[prefix_length=2,leave_out=[0]]",
    "gated prefix": "prefix_tuning[prefix_length=3,bottleneck_size=8,use_gating=True]",
    "prompt": "prompt_tuning[prompt_length=2]",
    "prompt behind": "prompt_tuning[prompt_length=3,combine='prefix_after_bos']",
    "lora": "lora[r=4,alpha=6]",
    "lora all": "lora[r=3,intermediate_lora=True,output_lora=True,"
    "attn_matrices=['q','k','v','out']]",
    "gated lora": "lora[r=4,use_gating=True]",
    "dora": "dora[r=4]",
    "ia3": "ia3",
    "vera": "vera[r=4,vera_b=0.3]",
    "dvora": "dvora[r=4,vera_b=0.3]",
    "mtl_lora": "mtl_lora[r=4,n_up_projection=2]",
    "loreft": "loreft[r=2]",
    "noreft": "noreft[r=2,prefix_positions=2,suffix_positions=2]",
    "direft": "direft[r=2,suffix_positions=1,tied_weights=True]",
    "mam": "prefix_tuning[prefix_length=3,bottleneck_size=8]|par_bn",
    "unipelt": "prefix_tuning[prefix_length=2,bottleneck_size=8,use_gating=True]"
    "|seq_bn[reduction_factor=4,use_gating=True]|lora[r=4,use_gating=True]",
    "prompt and lora": "prompt_tuning[prompt_length=2]|lora[r=4]",
}
PROMPTS = {"prompt": 2, "prompt behind": 3, "prompt and lora": 2}  # vectors put into each row


def tiny(name="DistilBertModel", **settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": WORDS, "dim": 24, "hidden_dim": 40, "n_layers": 3, "n_heads": 4}
    sizes |= {"max_position_embeddings": 32, "initializer_range": 0.2}
    return getattr(distilbert, name)(DistilBertConfig(**{**sizes, **settings})).eval()


def with_adapters(model, adapters):
    """The model with adapters {name: method or configuration}, every weight of theirs random."""
    for name, method in adapters.items():
        model.add_adapter(name, METHODS.get(method, method))
        shake(model, name)
    return model


def shake(model, name, seed=0):
    """Draws every weight of an adapter anew, so that none is 0 and no two adapters are alike."""
    generator = torch.Generator().manual_seed(seed + sum(name.encode()))
    for places in model.get_adapter(name).values():
        for module in places.values():
            for parameter in module.parameters():
                drawn = torch.randn(parameter.shape, generator=generator) * 0.3
                parameter.data.copy_(drawn + (1.0 if parameter.ndim == 1 else 0.0))


def batch(lengths=LENGTHS, columns=None):
    """ids and mask of rows of these lengths, padded with words that must not matter."""
    generator = torch.Generator().manual_seed(1)
    columns = columns or max(lengths)
    rows = [torch.randint(1, WORDS, (n,), generator=generator) for n in lengths]
    ids = torch.full((len(lengths), columns), 3)
    for row, words in enumerate(rows):
        ids[row, : len(words)] = words
    mask = (torch.arange(columns) < torch.tensor(lengths)[:, None]).long()
    return ids, mask
