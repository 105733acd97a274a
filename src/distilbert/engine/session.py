"""A model and its tokenizer, ready to answer: the package's one way to run inference."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import index
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from distilbert.adapters.plan import by_rows
from distilbert.adapters.site import held
from distilbert.errors import AdapterError, InputError
from distilbert.flow import Flow
from distilbert.layout import Packed
from distilbert.model.encoder import Encoded
from distilbert.model.for_tasks import ForTask
from distilbert.model.passed import undo
from distilbert.model.pretrained import DistilBertPreTrainedModel
from distilbert.model.stream import Wanted

Rows = Iterable[Sequence[int]]
Progress = Callable[[int], None]
Found = tuple[Tensor, tuple[int, ...] | None]  # of a batch, and how much of it is each row's

TOKEN_BUDGET = 2048


class Session:
    """Answers rows of ids with a model: packed, without padding, only what the head reads.

    Rows are ordered by length and cut into batches of `token_budget` tokens (a longer row runs
    alone); answers come back in the caller's order, as float32 on the CPU, and do not depend on
    what else is in the call. May be called from several threads at once. The weights are shared
    with the model that was given, which may go on to be used or trained; its mode does not matter.
    The adapters that are active when the session is made act in every answer.

    Args:
        model: Any model class of this package.
        tokenizer: The tokenizer that belongs to it.
        token_budget: Most tokens of a batch.
    """

    def __init__(
        self,
        model: DistilBertPreTrainedModel,
        tokenizer: Any,
        *,
        token_budget: int = TOKEN_BUDGET,
    ) -> None:
        if not isinstance(model, DistilBertPreTrainedModel):
            raise InputError(
                f"a session runs a model of this package, not a {type(model).__name__}; load one, "
                "such as DistilBertModel.from_pretrained(…)"
            )
        reads_masks = isinstance(model, ForTask) and model.task.reads == "masks"
        if reads_masks and getattr(tokenizer, "mask_token_id", None) is None:
            raise InputError(
                f"a {type(model).__name__} answers at masks, but the tokenizer "
                f"({type(tokenizer).__name__}) has no mask token; give the model's own tokenizer"
            )
        if not isinstance(token_budget, int) or isinstance(token_budget, bool) or token_budget < 1:
            raise InputError(
                f"token_budget is {token_budget!r}; allowed: a whole number of at least 1"
            )
        self.plan = model.plan()
        if self.plan.copies > 1 or by_rows(self.plan.setup):
            raise AdapterError(
                f"{self.plan.setup!r} speaks of the rows of one batch, and a session cuts batches "
                "of its own; activate a composition that is the same for every row, or make a "
                "session for each adapter"
            )
        # other parameters in the same memory: moving them, there or here, changes one alone
        shared = {id(p): Parameter(p.detach(), p.requires_grad) for p in held(model)}
        self.model = copy.deepcopy(model, shared).eval()
        self.tokenizer = tokenizer
        self.config = self.model.config
        self.token_budget = token_budget

    def hidden(self, rows: Rows, *, progress: Progress | None = None) -> list[Tensor]:
        """The last layer of each row, (tokens, dim) each. Raises InputError for unusable rows."""
        return self._answers(rows, self._hidden, progress)

    def means(
        self, rows: Rows, *, normalize: bool = True, progress: Progress | None = None
    ) -> Tensor:
        """The mean of each row's last layer, of length 1 if `normalize`: (rows, dim)."""
        means = torch.stack(self._answers(rows, self._means, progress))
        return F.normalize(means, dim=-1) if normalize else means

    def logits(self, rows: Rows, *, progress: Progress | None = None) -> list[Tensor]:
        """What the model's head says of each row.

        (labels,) for a text's label, (1,) for each choice, (tokens, labels) for labels of tokens,
        (tokens, 2) for spans, (masks in the row, vocabulary) for masked words.

        Raises InputError if the model has no head, or for unusable rows.
        """
        if not isinstance(self.model, ForTask):
            heads = list(getattr(self.model, "heads", ()))
            raise InputError(
                f"a {type(self.model).__name__} has "
                + (
                    f"heads by name, {heads}, and a session runs one; make it of "
                    f"model.as_fixed({heads[0]!r})"
                    if heads
                    else "no head; load a class that has one, such as "
                    "DistilBertForSequenceClassification"
                )
            )
        return self._answers(rows, self._logits, progress)

    def _answers(
        self, rows: Rows, run: Callable[[Tensor, Packed], Found], progress: Progress | None
    ) -> list[Tensor]:
        checked = self._checked(rows)
        answers: list[Tensor | None] = [None] * len(checked)
        for batch in self._batches(checked):
            ids = torch.tensor([i for row in batch for i in checked[row]], device=self.model.device)
            with torch.inference_mode():
                found, counts = run(ids, Packed(tuple(len(checked[row]) for row in batch)))
                found = found.float().cpu()
            parts = found.unbind() if counts is None else torch.split(found, list(counts))
            for row, answer in zip(batch, parts, strict=True):
                answers[row] = answer.clone()  # memory of its own, and ready for autograd
            if progress is not None:
                progress(len(batch))
        return answers  # type: ignore[return-value]

    def _batches(self, rows: list[list[int]]) -> Iterator[list[int]]:
        """Numbers of rows, longest first, so that memory is at its peak at once or never."""
        batch: list[int] = []
        tokens = 0
        for row in sorted(range(len(rows)), key=lambda row: -len(rows[row])):
            if batch and tokens + len(rows[row]) > self.token_budget:
                yield batch
                batch, tokens = [], 0
            batch.append(row)
            tokens += len(rows[row])
        yield batch

    def _encode(self, ids: Tensor, layout: Packed, wanted: Wanted | None = None) -> Encoded:
        return self.model.base_model.encode(ids, self._flow(layout), wanted)

    def _flow(self, layout: Packed) -> Flow:
        return Flow(layout, plan=self.plan)

    def _hidden(self, ids: Tensor, layout: Packed) -> Found:
        return self._encode(ids, layout).own(), layout.lengths

    def _means(self, ids: Tensor, layout: Packed) -> Found:
        return layout.means(self._encode(ids, layout).own()), None

    def _logits(self, ids: Tensor, layout: Packed) -> Found:
        assert isinstance(self.model, ForTask)
        reads = self.model.task.reads
        if reads == "first":
            return self.model.logits(self._encode(ids, layout, "first").hidden), None
        if reads == "tokens":
            return self.model.logits(self._encode(ids, layout).own()), layout.lengths
        encoded = self._encode(ids, layout, ids == self.tokenizer.mask_token_id)
        undone = undo(self.model.base_model, self._flow(layout), encoded)
        more = () if undone is None else (undone,)
        return self.model.logits(encoded.hidden, *more), encoded.counts

    def _checked(self, rows: Rows) -> list[list[int]]:
        """The rows as lists of ids. Raises InputError, naming the row that cannot be read."""
        if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
            raise InputError(f"rows are a {type(rows).__name__}; allowed: a list of lists of ids")
        checked = [_ids(number, row) for number, row in enumerate(rows)]
        if not checked:
            raise InputError("there are no rows; give at least one")
        limit, words = self.config.max_position_embeddings, self.config.vocab_size
        for number, row in enumerate(checked):
            if not 0 < len(row) <= limit:
                raise InputError(
                    f"row {number} has {len(row)} tokens; this model reads 1 to {limit}; cut the "
                    "text (truncation=True), or into overlapping windows (stride=…, "
                    "return_overflowing_tokens=True)"
                )
            if min(row) < 0 or max(row) >= words:
                wrong = next(i for i in row if not 0 <= i < words)
                raise InputError(
                    f"row {number}: id {wrong} is not in the vocabulary of {words} ids "
                    f"(0 to {words - 1}); use the tokenizer that belongs to this model"
                )
        return checked


def _ids(number: int, row: Any) -> list[int]:
    """One row as whole numbers of Python, which tensors and arrays of ids become."""
    try:
        if isinstance(row, (str, bytes)):
            raise TypeError("text is no list of ids")
        ids = row.tolist() if hasattr(row, "tolist") else list(row)
        return ids if {*map(type, ids)} <= {int} else [*map(index, ids)]
    except TypeError as error:
        raise InputError(
            f"row {number} is {row!r:.60}: {error}; allowed: a list of ids, whole numbers "
            "(a tokenizer makes them)"
        ) from None
