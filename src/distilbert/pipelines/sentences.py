"""One vector a text: the mean of its tokens' states, and how similar two texts are by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distilbert.errors import InputError
from distilbert.pipelines.base import (
    Pipeline,
    Progress,
    TextError,
    TextOptions,
    counted,
    shortened,
    texts_of,
)
from distilbert.pipelines.rows import rows_of


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions(TextOptions):
    """normalize: to length 1, so that a product of two is their cosine.

    return_tensors: True gives torch tensors, else NumPy arrays.
    """

    normalize: bool = True
    return_tensors: bool = False


class SentenceEmbeddingPipeline(Pipeline[EmbeddingOptions]):
    """A text's vector: the mean of its tokens' last states (special ones too), of length 1.

    One text gives an array of shape (dim,), a list of texts one of shape (texts, dim), float32.

    >>> from distilbert import pipeline
    >>> embed = pipeline("sentence-embedding")
    >>> embed("A simple test.").shape
    (384,)
    """

    task = "sentence-embedding"
    option_type = EmbeddingOptions

    def __call__(self, inputs: Any, **options: Any) -> Any:
        answer = super().__call__(inputs, **options)
        if not isinstance(inputs, list | tuple):
            return answer
        chosen = self.choose(options)
        if chosen.return_tensors:
            import torch

            return torch.stack(answer) if answer else torch.zeros(0, self.session.config.dim)
        import numpy as np

        return np.stack(answer) if answer else np.zeros((0, self.session.config.dim), np.float32)

    def answers(
        self,
        inputs: Sequence[Any],
        options: EmbeddingOptions,
        progress: Progress | None = None,
    ) -> list[Any]:
        rows = rows_of(self, texts_of(inputs, self.task), None, options)
        if not rows:
            return []
        means = self.session.means(rows, normalize=options.normalize, progress=progress)
        return list(means) if options.return_tensors else list(means.float().cpu().numpy())


class SentenceSimilarityPipeline(Pipeline[TextOptions]):
    """How similar sentences are to a source sentence: the cosines of their embeddings.

    Takes `{"source_sentence": text, "sentences": [texts]}` and gives one number in [-1, 1] a
    sentence; a list of those gives a list of lists.
    """

    task = "sentence-similarity"
    option_type = TextOptions

    def is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, str | Mapping)

    def answers(
        self, inputs: Sequence[Any], options: TextOptions, progress: Progress | None = None
    ) -> list[Any]:
        comparisons = [_comparison(one) for one in inputs]
        owners = [at for at, texts in enumerate(comparisons) for _ in texts]
        try:
            rows = rows_of(self, [text for texts in comparisons for text in texts], None, options)
        except TextError as error:
            raise TextError(owners[error.number], str(error)) from error
        if not rows:
            return []
        tell = counted(progress, len(rows), len(inputs))
        means = iter(self.session.means(rows, progress=tell).float().cpu().numpy())
        answers = []
        for texts in comparisons:
            source, *others = [next(means) for _ in texts]
            answers.append([min(max(float(other @ source), -1.0), 1.0) for other in others])
        return answers


def _comparison(one: Any) -> list[str]:
    """The source sentence, then those to compare with it."""
    if not isinstance(one, Mapping) or set(one) != {"source_sentence", "sentences"}:
        raise InputError(
            'sentence-similarity takes {"source_sentence": text, "sentences": [texts]}; '
            f"it was given {shortened(repr(one), 80)}"
        )
    if not isinstance(one["sentences"], list | tuple) or not one["sentences"]:
        raise InputError(
            "'sentences' must be a list of at least one text; give those to compare with"
        )
    return texts_of([one["source_sentence"], *one["sentences"]], "sentence-similarity")
