"""Prompt tuning: trained vectors that stand among the embeddings of every row.

Source: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning".
"""

from typing import Any

import torch
from torch import Tensor, nn

from distilbert.adapters.build import register, seeded
from distilbert.adapters.configs import PromptTuningConfig
from distilbert.adapters.site import PromptState, Site
from distilbert.errors import AdapterError, DistilBertError
from distilbert.flow import Flow


@register(PromptTuningConfig)
def prompt(config: PromptTuningConfig, site: Site, host: Any, name: str) -> nn.Module | None:
    """The prompt of a configuration, or None anywhere but at the embeddings.

    Raises AdapterError if it is to start from a text, and there is no tokenizer to read it.
    """
    if site.name != "prompt":
        return None
    module = Prompt(config, site.width)
    weight = module.prompt_embedding.weight
    if config.prompt_init == "from_string" and not weight.is_meta:  # there, a file will fill it
        with torch.no_grad():
            weight.copy_(_embedded(config, host))
    return module


def _embedded(config: PromptTuningConfig, host: Any) -> Tensor:
    """The embeddings of the text's word pieces, repeated or cut: (prompt_length, dim)"""
    pieces = _pieces(config, host.config)
    ids = (pieces * (-(-config.prompt_length // len(pieces))))[: config.prompt_length]
    words: Tensor = host.embeddings.word_embeddings.weight
    if max(ids) >= len(words):
        raise AdapterError(
            f"the tokenizer of this model knows the id {max(ids)}, which is none of the "
            f"{len(words)} that it has embeddings of; set tokenizer_name_or_path in its "
            "configuration to the tokenizer that belongs to it"
        )
    return words[torch.tensor(ids, device=words.device)]


def _pieces(config: PromptTuningConfig, model_config: Any) -> list[int]:
    """The ids of the text, with the special tokens before and behind it."""
    from distilbert.text.tokenizer import DistilBertTokenizer

    place = getattr(model_config, "tokenizer_name_or_path", None) or model_config.name_or_path
    remedy = (
        "set tokenizer_name_or_path in the model's configuration to the folder or hub id of its "
        "tokenizer, or take prompt_init='random_uniform'"
    )
    if not place:
        raise AdapterError(
            f"the text {config.prompt_init_text!r:.100} needs a tokenizer, and this model was not "
            f"loaded from a folder or hub id that could have one; {remedy}"
        )
    try:
        tokenizer = DistilBertTokenizer.from_pretrained(place)
    except DistilBertError as error:
        raise AdapterError(
            f"the text {config.prompt_init_text!r:.100} needs a tokenizer, and none loads from "
            f"{str(place)!r}: {error}; {remedy}"
        ) from error
    ids: list[int] = tokenizer(config.prompt_init_text)["input_ids"]
    return ids


class Prompt(nn.Module):
    """Puts its vectors before each row's first token, or behind it."""

    def __init__(self, config: PromptTuningConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        scale = config.random_uniform_scale
        with seeded(config.init_weights_seed):
            weight = torch.empty(config.prompt_length, dim).uniform_(-scale, scale)
        self.prompt_embedding = nn.Embedding(config.prompt_length, dim, _weight=weight)

    def forward(self, state: PromptState, flow: Flow) -> PromptState:
        """As if this prompt came into rows that already have those of the state."""
        own = self.prompt_embedding.weight  # (length, dim)
        front, behind = state.front, state.behind
        if self.config.combine == "prefix":
            return state._replace(front=own if front is None else torch.cat([own, front]))
        if front is None:
            return state._replace(behind=own if behind is None else torch.cat([own, behind]))
        return state._replace(front=torch.cat([front[:1], own, front[1:]]))
