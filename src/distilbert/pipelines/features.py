"""Every token's vector of the last layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distilbert.pipelines.base import (
    Pipeline,
    Progress,
    TextOptions,
    texts_of,
    unpack_tokenizer_options,
)
from distilbert.pipelines.rows import rows_of


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(TextOptions):
    """return_tensors: True gives a tensor (1, tokens, dim) a text; else nested lists of numbers."""

    return_tensors: bool = False


class FeatureExtractionPipeline(Pipeline[FeatureOptions]):
    """The last hidden states of a text, special tokens included, shape (1, tokens, dim).

    The tokenizer's options may be given as `tokenize_kwargs`. Padding never is part of an answer.
    A model with a head gives its encoder's states.

    >>> from distilbert import pipeline
    >>> features = pipeline("feature-extraction")
    >>> features("A simple test.", return_tensors=True).shape
    torch.Size([1, 6, 384])
    """

    task = "feature-extraction"
    option_type = FeatureOptions

    def answers(
        self,
        inputs: Sequence[Any],
        options: FeatureOptions,
        progress: Progress | None = None,
    ) -> list[Any]:
        rows = rows_of(self, texts_of(inputs, self.task), None, options)
        if not rows:
            return []
        states = [hidden[None] for hidden in self.session.hidden(rows, progress=progress)]
        return states if options.return_tensors else [state.tolist() for state in states]

    def spelled(self, options: dict[str, Any]) -> dict[str, Any]:
        return unpack_tokenizer_options(options, "tokenize_kwargs")
