"""The most probable tokens for the masks of a text."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distilbert.errors import InputError
from distilbert.pipelines.base import (
    Pipeline,
    Progress,
    TextError,
    TextOptions,
    at_least,
    list_of_texts,
    shortened,
    texts_of,
    unpack_tokenizer_options,
)
from distilbert.pipelines.rows import rows_of

if TYPE_CHECKING:
    import torch

Fill = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FillOptions(TextOptions):
    """top_k: how many tokens to give for a mask, best first.

    targets: the only words that may be given. Of a word that is no token of the vocabulary its
        first token stands for it, with a warning. Scores stay those among all tokens.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, top_k=self.top_k)
        if self.targets is not None and not isinstance(self.targets, str):
            list_of_texts("targets", self.targets)


class FillMaskPipeline(Pipeline[FillOptions]):
    """Tokens for the masks of a text: `score`, `token` (its id), `token_str` and the `sequence`.

    A text with one mask gives a list of those, one with several a list a mask (each mask by itself,
    the others still masked). A list of texts gives a list, and a list of one text its answer. The
    tokenizer's options may be given as `tokenizer_kwargs`.
    """

    task = "fill-mask"
    option_type = FillOptions

    def __call__(self, inputs: Any, **options: Any) -> Any:
        answer = super().__call__(inputs, **options)
        return answer[0] if isinstance(inputs, list | tuple) and len(inputs) == 1 else answer

    def answers(
        self,
        inputs: Sequence[Any],
        options: FillOptions,
        progress: Progress | None = None,
    ) -> list[Any]:
        every = self.every_fill(inputs, options, progress)
        return [one[0] if len(one) == 1 else one for one in every]

    def every_fill(
        self,
        inputs: Sequence[Any],
        options: FillOptions,
        progress: Progress | None = None,
    ) -> list[list[list[Fill]]]:
        """For each text a list a mask, always."""
        texts = texts_of(inputs, self.task)
        targets = None if options.targets is None else self._target_ids(options.targets)
        rows = rows_of(self, texts, None, options)
        mask = self.tokenizer.mask_token_id
        for number, (text, row) in enumerate(zip(texts, rows, strict=True)):
            if mask not in row:
                raise TextError(
                    number,
                    f"no {self.tokenizer.mask_token} in {shortened(text)!r}; write "
                    f"{self.tokenizer.mask_token} where a word is to be filled in",
                )
        if not rows:
            return []
        logits = self.session.logits(rows, progress=progress)
        return [
            self._fills(row, own.float().softmax(-1).cpu(), targets, options.top_k)
            for row, own in zip(rows, logits, strict=True)
        ]

    def spelled(self, options: dict[str, Any]) -> dict[str, Any]:
        if options.get("top_k", 0) is None:
            del options["top_k"]
        return unpack_tokenizer_options(options, "tokenizer_kwargs")

    def _fills(
        self, row: list[int], scores: "torch.Tensor", targets: list[int] | None, count: int
    ) -> list[list[Fill]]:
        """`scores` has shape (masks, vocabulary)."""
        if targets is not None:
            scores = scores[:, targets]
        best, places = scores.topk(min(count, scores.shape[-1]), dim=-1)
        masks = [at for at, token in enumerate(row) if token == self.tokenizer.mask_token_id]
        alone = len(masks) == 1
        fills = []
        for at, own_scores, own_places in zip(masks, best.tolist(), places.tolist(), strict=True):
            tokens = own_places if targets is None else [targets[place] for place in own_places]
            fills.append(
                [
                    {
                        "score": score,
                        "token": token,
                        "token_str": self.tokenizer.decode([token]),
                        "sequence": self._sequence([*row[:at], token, *row[at + 1 :]], alone),
                    }
                    for score, token in zip(own_scores, tokens, strict=True)
                ]
            )
        return fills

    def _sequence(self, row: list[int], alone: bool) -> str:
        shown = [token for token in row if token != self.tokenizer.pad_token_id]
        # With several masks the others must stay to be seen, so all special tokens do.
        text: str = self.tokenizer.decode(shown, skip_special_tokens=alone)
        return text

    def _target_ids(self, targets: str | Sequence[str]) -> list[int]:
        vocabulary = self.tokenizer.get_vocab()
        found: list[int] = []
        for target in [targets] if isinstance(targets, str) else targets:
            if target in vocabulary:
                found.append(vocabulary[target])
                continue
            pieces = self.tokenizer(target, add_special_tokens=False)["input_ids"]
            if pieces:
                found.append(pieces[0])
            taken = (
                f"its first token {self.tokenizer.convert_ids_to_tokens(pieces[0])!r} stands for it"
                if pieces
                else "and nothing can stand for it"
            )
            warnings.warn(
                f"the target {target!r} is not in the vocabulary; {taken}",
                UserWarning,
                stacklevel=2,
            )
        if not found:
            raise InputError(
                f"none of the targets {targets!r} is in the vocabulary; name words of it"
            )
        return list(dict.fromkeys(found))
