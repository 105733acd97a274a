"""The encoder, and `DistilBertModel`, which users name."""

from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from distilbert.config import DistilBertConfig
from distilbert.errors import InputError
from distilbert.flow import Flow
from distilbert.layout import Layout, Padded, Read
from distilbert.model.inputs import check_head_mask, check_inputs, has_values
from distilbert.model.layers import Block, Embeddings
from distilbert.model.pretrained import DistilBertPreTrainedModel
from distilbert.outputs import BaseModelOutput


class Encoded(NamedTuple):
    """What the encoder computed.

    hidden: (rows, columns, dim) of the last layer, or (tokens read, dim).
    hidden_states, attentions: of the layers, where the flow asks for them.
    """

    hidden: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class Transformer(nn.Module):
    """The blocks, one after the other."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Block(config, i) for i in range(config.n_layers))
        self.checkpointing: dict[str, Any] | None = None

    def block(self, layer: int) -> Block:
        """The block of this number, counted from 0."""
        return self.layer[layer]  # type: ignore[return-value]

    def forward(self, x: Tensor, flow: Flow, read: Read | None = None) -> Encoded:
        """x: embeddings (rows, columns, dim). With `read`, the last layer is of those tokens."""
        states = [x] if flow.hidden_states else []
        attentions: list[Tensor] = []
        last = len(self.layer) - 1
        if read is not None and (flow.hidden_states or flow.attentions):
            raise InputError(
                "hidden states and attentions need every token, but the last layer is to be "
                "computed for those read alone; ask for one or the other"
            )
        for i, block in enumerate(self.layer):
            wanted = read if i == last else None
            if self.checkpointing is not None and self.training:
                x, probabilities = checkpoint(block, x, flow, wanted, **self.checkpointing)
            else:
                x, probabilities = block(x, flow, wanted)
            if flow.hidden_states:  # kept only where asked for: they are most of the memory
                states.append(x)
            if flow.attentions:
                attentions.append(probabilities)
        return Encoded(
            x,
            tuple(states) if flow.hidden_states else None,
            tuple(attentions) if flow.attentions else None,
        )


class DistilBertModel(DistilBertPreTrainedModel):
    """The encoder without a head.

    >>> import torch
    >>> from distilbert import DistilBertConfig, DistilBertModel
    >>> config = DistilBertConfig(vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4)
    >>> model = DistilBertModel(config).eval()
    >>> outputs = model(torch.tensor([[2, 15, 3], [2, 3, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]))
    >>> outputs.last_hidden_state.shape
    torch.Size([2, 3, 24])
    """

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.transformer = Transformer(config)
        self.post_init()

    def encode(
        self,
        ids: Tensor | None,
        flow: Flow | Layout,
        read: Read | None = None,
        *,
        embeds: Tensor | None = None,
    ) -> Encoded:
        """One pass over rows in any layout: the inner entry, which checks nothing.

        ids: (rows, columns), or (tokens,) packed; `embeds`, (…, dim), may stand in for them.
        With `read`, the last layer is computed for those tokens only: hidden is (tokens read, dim).
        """
        flow = flow if isinstance(flow, Flow) else Flow(flow)
        return self.transformer(self.embeddings(ids, flow, embeds), flow, read)  # type: ignore[no-any-return]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        position_ids: Tensor | None = None,
    ) -> BaseModelOutput | tuple[Tensor, ...]:
        """Encodes a padded batch.

        Args:
            input_ids: (rows, columns) ids; or else `inputs_embeds`.
            attention_mask: (rows, columns), 0 at padding; left out, every token is real.
            head_mask: (heads,) or (layers, heads) factors of the attention probabilities.
            inputs_embeds: (rows, columns, dim) in place of the embeddings of words.
            output_attentions: Also return each layer's attention probabilities.
            output_hidden_states: Also return the embeddings and each layer's output.
            return_dict: A `BaseModelOutput` (the default) or a plain tuple.
            position_ids: (rows or 1, columns); left out, the numbers of the columns.

        Raises:
            InputError: Shapes, types or values do not fit this model.
        """
        flow = self.flow(
            input_ids,
            attention_mask,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            position_ids,
        )
        output = BaseModelOutput(*self.encode(input_ids, flow, embeds=inputs_embeds))
        return output if self.returns_dict(return_dict) else output.to_tuple()

    def flow(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        head_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        position_ids: Tensor | None,
    ) -> Flow:
        """Checks the arguments of a forward pass and says how it runs. Raises InputError."""
        check_inputs(self.config, input_ids, attention_mask, inputs_embeds, position_ids)
        config = self.config
        flow = Flow(
            Padded(_real(attention_mask), position_ids),
            hidden_states=(
                config.output_hidden_states
                if output_hidden_states is None
                else output_hidden_states
            ),
            attentions=config.output_attentions if output_attentions is None else output_attentions,
        )
        if head_mask is None:
            return flow
        check_head_mask(config, head_mask)
        every_layer = head_mask.to(self.dtype).expand(config.n_layers, config.n_heads)
        return replace(flow, head_mask=every_layer)


def _real(mask: Tensor | None) -> Tensor | None:
    """Which tokens are real; None where all are, which attention runs faster without a mask."""
    if mask is None:
        return None
    real = mask != 0
    if has_values(mask) and bool(real.all()):
        return None
    return real
