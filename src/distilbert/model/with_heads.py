"""`DistilBertModelWithHeads`: one encoder, and in a pass one head, several, or one for each row."""

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from distilbert.adapters.naming import check_name
from distilbert.adapters.plan import merged
from distilbert.adapters.setup import current_setup
from distilbert.config import DistilBertConfig
from distilbert.errors import AdapterError, InputError
from distilbert.files.find import HUB_OPTIONS
from distilbert.flow import Flow
from distilbert.model import for_tasks
from distilbert.model.call import Call
from distilbert.model.conversion import (
    FIXED,
    fixed_from_flexible,
    flexible_from_fixed,
    move,
    renames,
    shared,
)
from distilbert.model.encoder import Encoded
from distilbert.model.flexible import LanguageModelHead, MultipleChoiceHead
from distilbert.model.heads import of_rows
from distilbert.model.named_heads import NamedHeads
from distilbert.model.passed import check_undo, reported, undo
from distilbert.model.routing import (
    Batch,
    Route,
    check_given,
    flattened,
    given_to,
    head_of,
    routes,
)
from distilbert.outputs import BaseModelOutput, MultiHeadOutput, Output

if TYPE_CHECKING:
    from typing_extensions import Self

Outputs = Output | tuple[Any, ...]
DEFAULT = "default"  # the head of a fixed class's checkpoint, as AdapterHub calls it


class DistilBertModelWithHeads(NamedHeads):
    """An encoder with any number of heads, each under a name.

    `DistilBertAdapterModel` is the same class. Without a head it gives what the encoder gives.

    >>> import torch
    >>> from distilbert import DistilBertConfig
    >>> config = DistilBertConfig(vocab_size=100, dim=24, hidden_dim=48, n_layers=2, n_heads=4)
    >>> model = DistilBertModelWithHeads(config).eval()
    >>> model.add_classification_head("mood", num_labels=3)
    >>> model.add_tagging_head("names", num_labels=5)
    >>> ids = torch.tensor([[2, 15, 3], [2, 27, 3]])
    >>> model(ids).logits.shape, model(ids, head="mood").logits.shape
    (torch.Size([2, 3, 5]), torch.Size([2, 3]))
    """

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        head: Any = None,
        labels: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        word_starts: Any = None,
        *,
        position_ids: Tensor | None = None,
        adapter_names: Any = None,
        task_ids: Any = None,
        output_adapter_gating_scores: bool = False,
        output_adapter_fusion_attentions: bool = False,
        adapter_input_parallelized: bool | None = None,
        **kwargs: Any,
    ) -> Outputs:
        """The output of one head, a `MultiHeadOutput` of several, or that of the encoder.

        Other arguments are told at `DistilBertModel.forward`. Labels are tensors with an entry for
        each row, lists with one, or dictionaries from heads to tensors with one for their rows.

        Args:
            input_ids: (rows, columns); for choices (rows, choices, columns), as all inputs then,
                or (rows × choices, columns) with as many choices as the head has.
            head: A name; a list of names, whose heads all read every row, or where `Parallel` acts
                each its copy; or `PerRow` or `BatchSplit` of names, for other heads on other rows.
                Left out, the heads that are called as the rows' adapters, and where there is none,
                `active_head`.
            labels: As the fixed class of the head's task takes them. A head for the next word takes
                the ids; one that tags passes over the labels of padding.
            start_positions, end_positions: (rows,) columns, for heads that find answers.
            word_starts: (rows, words + 1) columns in which words start, and the one behind the
                last, then 0 or -1, for heads that parse.
            **kwargs: For heads that parse, `labels_arcs`, (rows, words), the word that each hangs
                on, counted from 1, 0 for the root, negative where a word carries no loss; and
                `labels_rels`, (rows, words), what it is to that word. (They are not named above,
                since trainers wait for every label that is.) And what heads of one's own take.

        The loss of several heads is the sum of theirs, where each has one.

        Raises:
            AdapterError: A head does not exist, or heads do not fit the batch.
            InputError: Shapes, types or values do not fit, or no head takes an argument.
        """
        given = {
            "labels": labels,
            "start_positions": start_positions,
            "end_positions": end_positions,
            "word_starts": word_starts,
            **kwargs,
        }
        given = {name: value for name, value in given.items() if value is not None}
        batch = flattened(input_ids, attention_mask, inputs_embeds, position_ids)
        call = Call(
            batch.ids,
            batch.mask,
            head_mask,
            batch.embeds,
            output_attentions,
            output_hidden_states,
            batch.positions,
            adapter_names,
            task_ids,
            output_adapter_gating_scores,
            output_adapter_fusion_attentions,
            adapter_input_parallelized,
        )
        flow = self.distilbert.flow(call, batch.choices or 1)
        found = self._heads_of_rows(head, flow, batch, named=adapter_names is not None)
        self._check_heads(found, flow, batch, given)
        encoded = self.distilbert.encode(batch.ids, flow, embeds=batch.embeds)
        named = self.returns_dict(return_dict)
        if not named and len(found) == 1 and found[0].rows is None:
            given["return_dict"] = False  # of several heads, losses must be found before
        output = self._answers(found, encoded, flow, batch, given)
        if named:
            return output
        if isinstance(output, MultiHeadOutput):
            output.head_outputs = tuple(_plain(each) for each in output.head_outputs)
        plain: Outputs = _plain(output)
        return plain

    def _heads_of_rows(self, head: Any, flow: Flow, batch: Batch, *, named: bool) -> list[Route]:
        """Which head reads which rows: named in the call, in an `AdapterSetup`, or as adapters are.

        named: Whether the call names adapters.
        """
        setup = None if named else current_setup()
        if head is None and setup is not None:
            head = setup.head_setup
        plan, choices = flow.plan, batch.choices or 1
        own: list[tuple[str | None, int]] = []
        if plan.setup is not None and (named or setup is not None or self._heads_of_adapters):
            runs = merged(plan.runs(batch.size, flow.task_ids))
            own = [(head_of(tree), count // choices) for tree, count in runs]
        return routes(head, self._active_head, [*self.heads], batch.rows, plan.copies, own)

    def _check_heads(
        self, found: list[Route], flow: Flow, batch: Batch, given: Mapping[str, Any]
    ) -> None:
        """Raises InputError unless these heads can read this batch and take what is given."""
        taken = {}
        for route in found:
            head = self.named_head(route.head)
            if isinstance(head, LanguageModelHead):
                check_undo(self.distilbert, flow)
            taken[route.head] = tuple(given) if head.runs_itself else head.takes
            chooses = isinstance(head, MultipleChoiceHead)
            if batch.choices and not chooses and not head.runs_itself:
                raise InputError(
                    f"the batch has an axis of {batch.choices} choices, which head {route.head!r} "
                    "does not read; give (rows, columns), or name a head for multiple choice"
                )
            if not batch.choices and chooses:
                count = head.config["num_choices"]
                if route.rows is not None or batch.rows % count:
                    raise InputError(
                        f"head {route.head!r} chooses among {count} texts, and the batch has "
                        f"{batch.rows} rows without an axis of choices; give (rows, choices, "
                        "columns), or for one head alone (rows × choices, columns)"
                    )
        check_given(given, taken)

    def _answers(
        self,
        found: list[Route],
        encoded: Encoded,
        flow: Flow,
        batch: Batch,
        given: Mapping[str, Any],
    ) -> Output:
        if not found:
            return BaseModelOutput(
                encoded.hidden, encoded.hidden_states, encoded.attentions, *reported(encoded, flow)
            )
        if len(found) == 1 and found[0].rows is None:
            return self._answer(found[0], encoded, flow, batch, given)
        quiet = replace(flow, gates=False, fusions=False)  # the notes are of the whole batch
        outputs = tuple(self._answer(route, encoded, quiet, batch, given) for route in found)
        losses: list[Any] = [getattr(output, "loss", None) for output in outputs]
        numbers = [
            None if route.rows is None else tuple(row % batch.rows for row in route.rows)
            for route in found
        ]
        return MultiHeadOutput(
            None if any(loss is None for loss in losses) else torch.stack(losses).sum(),
            outputs,
            None if None in numbers else tuple(numbers),
            *reported(encoded, flow),
        )

    def _answer(
        self,
        route: Route,
        encoded: Encoded,
        flow: Flow,
        batch: Batch,
        given: Mapping[str, Any],
    ) -> Output:
        head = self.named_head(route.head)
        choices, rows, order = batch.choices, batch.rows, route.rows
        if isinstance(head, MultipleChoiceHead) and not choices:
            choices = head.config["num_choices"]
            rows //= choices
        if order is not None:
            if choices:
                order = tuple(row * choices + choice for row in order for choice in range(choices))
            encoded, flow = of_rows(encoded, flow, order)
        everything = given if batch.mask is None else {**given, "attention_mask": batch.mask}
        own = {
            name: given_to(route, name, value, rows, encoded.hidden.device)
            for name, value in everything.items()
            if head.runs_itself or name in head.takes
        }
        words = isinstance(head, LanguageModelHead) and not head.runs_itself
        undone = undo(self.distilbert, flow, encoded) if words else None
        return head.answer(encoded, flow, own, choices, undone)

    # Fixed classes ---------------------------------------------------------------------------

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> "Self | tuple[Self, dict[str, Any]]":
        """As in every class. A checkpoint of a fixed class has its head under the name "default".

        Raises AdapterError too, for a head of a type that is not registered.
        """
        config = kwargs.get("config")
        if not isinstance(config, DistilBertConfig):
            where = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
            place = pretrained_model_name_or_path if config is None else config
            config = DistilBertConfig.from_pretrained(place, **where)
        named = config.architectures[0] if config.architectures else ""
        if named not in FIXED:
            return super().from_pretrained(
                pretrained_model_name_or_path, output_loading_info=output_loading_info, **kwargs
            )
        fixed, info = getattr(for_tasks, named).from_pretrained(
            pretrained_model_name_or_path, output_loading_info=True, **kwargs
        )
        model = cls.from_fixed(fixed)
        keys = renames(named, DEFAULT)
        info["missing_keys"] = [keys.get(key, key) for key in info["missing_keys"]]
        return (model, info) if output_loading_info else model

    @classmethod
    def from_fixed(cls, model: for_tasks.ForTask, head_name: str = DEFAULT) -> "Self":
        """A fixed class's model as an encoder with one head, which is active.

        They share their parameters: training one trains the other. Answers are the same; while
        training, a head with two layers drops values before the first too. Raises AdapterError for
        a loss that no head has.
        """
        named = type(model).__name__
        if named not in FIXED:
            raise AdapterError(f"a {named} is no fixed class; allowed: {', '.join(FIXED)}")
        check_name(head_name, "a head")
        config = copy.deepcopy(model.config)
        options = flexible_from_fixed(named, config)
        config.prediction_heads = {head_name: options}
        with torch.device("meta"):
            flexible = cls(config)
        flexible.distilbert = shared(model.distilbert, flexible.config)
        for old, new in renames(named, head_name).items():
            move(model, old, flexible, new)
        flexible.tie_weights()
        return flexible.train(model.training)

    def as_fixed(self, head_name: str | None = None) -> for_tasks.ForTask:
        """One head as the published class of its task, with the encoder and its adapters.

        They share their parameters: training one trains the other. `head_name` left out, the active
        head. Raises AdapterError, with the reason, for a head that no published class has.
        """
        name = self.active_head if head_name is None else head_name
        head = self.named_head(name)  # type: ignore[arg-type]
        if head.runs_itself:
            raise AdapterError(f"head {name!r} decides everything itself, and is no fixed class")
        named, settings = fixed_from_flexible(head.name, head.config, self.config)
        config = copy.deepcopy(self.config)
        del config.prediction_heads
        config.update(settings)
        with torch.device("meta"):
            fixed: for_tasks.ForTask = getattr(for_tasks, named)(config)
        fixed.distilbert = shared(self.distilbert, config)
        for new, old in renames(named, head.name).items():
            move(self, old, fixed, new)
        fixed.tie_weights()
        return fixed.train(self.training)


DistilBertAdapterModel = DistilBertModelWithHeads


def _plain(output: Any) -> Any:
    return output.to_tuple() if hasattr(output, "to_tuple") else output
