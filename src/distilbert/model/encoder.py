"""The encoder, and `DistilBertModel`, which users name."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from distilbert.adapters import merge, transfer
from distilbert.adapters.composition import fused, names
from distilbert.adapters.embeddings import Tables
from distilbert.adapters.fusing import fusion_modules
from distilbert.adapters.plan import Plan, by_rows, repeated_tasks
from distilbert.adapters.registry import Adapters
from distilbert.adapters.site import ROOT, HiddenState, Holder, Notes, Site, Slot
from distilbert.config import DistilBertConfig
from distilbert.errors import AdapterError, InputError
from distilbert.flow import Flow
from distilbert.layout import Layout, Padded, Read
from distilbert.model.call import Call
from distilbert.model.inputs import check_head_mask, check_inputs, has_values
from distilbert.model.layers import Block, Embeddings
from distilbert.model.passed import reported
from distilbert.model.pretrained import DistilBertPreTrainedModel
from distilbert.model.stream import Stream, Wanted, inverted
from distilbert.outputs import BaseModelOutput


class Encoded(NamedTuple):
    """What the encoder computed, rows in the caller's order.

    hidden: (rows, columns, dim) of the last layer, or (tokens read, dim).
    hidden_states, attentions: of the layers, where the flow asks for them.
    layout: How the rows lie that came out: their copies, and what prompts put in.
    columns: How many columns the caller's padded rows have.
    counts: How many tokens were read of each row, or None where none were chosen.
    notes: What adapters noted, where the flow asks for it.
    """

    hidden: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None
    layout: Layout
    columns: int
    counts: tuple[int, ...] | None = None
    notes: Notes = ()

    def own(self) -> Tensor:
        """`hidden` without what prompts put in; tokens that were chosen are the caller's anyway."""
        return self.hidden if self.counts else self.layout.own(self.hidden, self.columns)


class Transformer(nn.Module):
    """The blocks, one after the other."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Block(config, i) for i in range(config.n_layers))
        self.checkpointing: dict[str, Any] | None = None

    def block(self, layer: int) -> Block:
        """The block of this number, counted from 0."""
        return self.layer[layer]  # type: ignore[return-value]

    def forward(self, stream: Stream) -> Encoded:
        """All blocks, and the rows back in the caller's order.

        The last block is computed for the wanted tokens alone, where no adapter needs the others.
        """
        flow = stream.flow
        if stream.wanted is not None and (flow.hidden_states or flow.attentions):
            raise InputError(
                "hidden states and attentions need every token, but the last layer is to be "
                "computed for those read alone; ask for one or the other"
            )
        passed = [stream]
        attentions: list[tuple[Stream, Tensor]] = []
        notes: Notes = ()
        read: Read | None = None
        last = len(self.layer) - 1
        for i in range(len(self.layer)):
            if i == flow.plan.fork and flow.plan.copies > 1:
                stream = stream.forked()
            if i == last and not flow.plan.whole_last:
                read = stream.read()
            x, probabilities, more = self._block(i, stream, read)
            stream = replace(stream, x=x)
            notes += more
            if flow.hidden_states:  # kept only where asked for: they are most of the memory
                passed.append(stream)
            if probabilities is not None:
                attentions.append((stream, probabilities))
        hidden, counts, layout = _out(stream, read)
        return Encoded(
            hidden,
            tuple(_hidden(s, stream) for s in passed) if flow.hidden_states else None,
            tuple(_rows(s, p, stream) for s, p in attentions) if flow.attentions else None,
            layout,
            stream.columns,
            counts,
            notes,
        )

    def _block(
        self, layer: int, stream: Stream, read: Read | None
    ) -> tuple[Tensor, Tensor | None, Notes]:
        """One block, recomputed in the backward pass where that is asked for."""
        block = self.layer[layer]
        if self.checkpointing is None or not self.training:
            return block(stream.x, stream.flow, read)  # type: ignore[no-any-return]
        how = self.checkpointing
        if stream.flow.parts:  # reentrant, it loses what reaches adapters in a frozen encoder
            how = {**how, "use_reentrant": False}
        return checkpoint(block, stream.x, stream.flow, read, **how)  # type: ignore[no-any-return]


def _out(stream: Stream, read: Read | None) -> tuple[Tensor, tuple[int, ...] | None, Layout]:
    """The last layer in the caller's order, how much of it is each row's, and how rows lie."""
    if stream.wanted is None:
        plain = stream.settled()
        return plain.x, None, plain.flow.layout
    x = stream.x
    if read is None:  # every token was computed
        read = stream.read()
        assert read is not None
        x = read.take(x)
    hidden, counts = stream.restored(x, read)
    return hidden, counts, stream.given  # chosen tokens: nothing asks how their rows lie


def _hidden(then: Stream, now: Stream) -> Tensor:
    """An earlier layer in the caller's order, in as many copies as the last."""
    plain = then.settled()
    layout = plain.flow.layout
    copies = now.flow.layout.count(now.x) // layout.count(plain.x)
    return plain.x if copies == 1 else layout.repeat(plain.x, copies)


def _rows(then: Stream, x: Tensor, now: Stream) -> Tensor:
    """The same of what an earlier layer has for each row: (rows, …)."""
    if then.order is not None:
        x = x[torch.tensor(inverted(then.order), device=x.device)]
    copies = now.flow.layout.count(now.x) // x.shape[0]
    return x if copies == 1 else x.repeat(copies, *[1] * (x.ndim - 1))


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
        dim = config.dim
        self.embeddings = Embeddings(config)
        self.transformer = Transformer(config)
        self.invertible_adapters = Slot(Site("invertible", ROOT, dim, dim))
        self.prompt_tuning = Holder("prompt_tunings", Site("prompt", ROOT, dim, dim))
        self.prefix_tuning = Holder("prefix_tunings", Site("prefixes", ROOT, dim, dim))
        self.shared_parameters = Slot(Site("shared", ROOT, dim, dim))
        self.own_adapters = Adapters(config.n_layers)
        self.own_embeddings = Tables()
        self.post_init()
        described = getattr(config, "adapters", None)
        if described is not None:
            transfer.restore(self, described)

    def encode(
        self,
        ids: Tensor | None,
        flow: Flow | Layout,
        wanted: Wanted | None = None,
        *,
        embeds: Tensor | None = None,
    ) -> Encoded:
        """One pass over rows in any layout: the inner entry, which checks nothing.

        ids: (rows, columns), or (tokens,) packed; `embeds`, (…, dim), may stand in for them.
        wanted: "first" for each row's first token, or booleans that lie as `ids`; the last layer
        is then computed for those tokens alone where it can be: hidden is (tokens read, dim).
        """
        flow = flow if isinstance(flow, Flow) else Flow(flow)
        stream = Stream.start(self.embeddings(ids, flow, embeds), flow, wanted)
        if stream.flow.parts:
            stream = self._enter(stream)
            if self.training:
                self._cool(flow.plan)
        return self.transformer(stream)  # type: ignore[no-any-return]

    def _enter(self, stream: Stream) -> Stream:
        """What adapters do at the embeddings, and what they compute once for all layers."""
        acting = names(stream.flow.plan.setup)  # those of copies that fork later, too
        slots: tuple[Any, Any] = self.shared_parameters, self.prefix_tuning.slot
        shared = {name: slots[0][name].values() for name in acting if name in slots[0]}
        prefixes = {name: slots[1][name]() for name in acting if name in slots[1]}
        flow = replace(stream.flow, shared=shared, prefixes=prefixes)
        runs = [(part.tree, part.rows) for part in flow.parts]
        stream = replace(stream, flow=flow.divided(runs, stream.order))
        adapted = stream.flow.adapt(self.invertible_adapters, HiddenState(stream.x))
        if adapted is not None:
            stream = replace(stream, x=adapted[0])
        prompts = stream.flow.prompts(self.prompt_tuning.slot)
        return stream.prompted(prompts) if prompts else stream

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
        adapter_names: Any = None,
        task_ids: Any = None,
        output_adapter_gating_scores: bool = False,
        output_adapter_fusion_attentions: bool = False,
        adapter_input_parallelized: bool | None = None,
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
            adapter_names: The adapters of this call: a name, a list (a stack), a list of lists (a
                fusion), a composition such as `PerRow([…])`; left out or None, the active ones;
                [], none at all.
            task_ids: (rows,) numbers or names of each row's task, where `MultiTask` acts.
            output_adapter_gating_scores: Also return the gates of adapters.
            output_adapter_fusion_attentions: Also return the attentions of adapter fusions.
            adapter_input_parallelized: False or None; AdapterHub's library has it.

        Raises:
            InputError: Shapes, types or values do not fit this model.
            AdapterError: Adapters do not exist, or cannot be combined so.
        """
        call = Call(
            input_ids,
            attention_mask,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            position_ids,
            adapter_names,
            task_ids,
            output_adapter_gating_scores,
            output_adapter_fusion_attentions,
            adapter_input_parallelized,
        )
        flow = self.flow(call)
        encoded = self.encode(input_ids, flow, embeds=inputs_embeds)
        output = BaseModelOutput(
            encoded.hidden, encoded.hidden_states, encoded.attentions, *reported(encoded, flow)
        )
        return output if self.returns_dict(return_dict) else output.to_tuple()

    def flow(self, call: Call, choices: int = 1) -> Flow:
        """Checks what a forward pass is asked for, and says how it runs.

        Where `choices` neighbouring rows belong together, adapters are named for all of them once.

        Raises InputError or AdapterError.
        """
        config = self.config
        check_inputs(config, call.ids, call.mask, call.embeds, call.positions)
        plan = self._plan(call.adapter_names)
        if choices > 1:  # what does not fit is told of the caller's rows
            first = call.embeds if call.ids is None else call.ids
            plan.runs(first.shape[0] // choices, call.task_ids)  # type: ignore[union-attr]
        states, attentions = call.hidden_states, call.attentions
        flow = Flow(
            Padded(_real(call.mask), call.positions),
            hidden_states=config.output_hidden_states if states is None else states,
            attentions=config.output_attentions if attentions is None else attentions,
            gates=call.gates,
            fusions=call.fusions,
            plan=plan.for_choices(choices),
            task_ids=repeated_tasks(call.task_ids, choices),
        )
        if call.head_mask is None:
            return flow
        check_head_mask(config, call.head_mask)
        every_layer = call.head_mask.to(self.dtype).expand(config.n_layers, config.n_heads)
        return replace(flow, head_mask=every_layer)

    def _plan(self, adapter_names: Any) -> Plan:
        plan = self.plan(adapter_names)
        if getattr(self, "_is_replica", False) and (plan.copies > 1 or by_rows(plan.setup)):
            raise AdapterError(
                f"{plan.setup!r} speaks of the rows of a whole batch, and DataParallel gives each "
                "copy of the model a part of it; run one process for each device instead"
            )
        return plan

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        inner = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
        merge.check_loading(self, inner)  # before any layer loads, so that nothing changes
        super()._load_from_state_dict(state, prefix, *rest)

    def _cool(self, plan: Plan) -> None:
        """Lets fusions with a temperature become sharper, once for each pass of training."""
        for name in fused(plan.setup):
            for _, fusion in fusion_modules(self, name):
                fusion.cool()


def _real(mask: Tensor | None) -> Tensor | None:
    """Which tokens are real; None where all are, which attention runs faster without a mask."""
    if mask is None:
        return None
    real = mask != 0
    if has_values(mask) and bool(real.all()):
        return None
    return real
