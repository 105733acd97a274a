"""`pipeline(task, model=…)`: texts in, answers out. One file a task.

The classes are imported when first used: `import distilbert.pipelines` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from distilbert.pipelines.load import pipeline as pipeline

if TYPE_CHECKING:
    from distilbert.pipelines.answering import (
        QuestionAnsweringPipeline as QuestionAnsweringPipeline,
    )
    from distilbert.pipelines.classification import (
        TextClassificationPipeline as TextClassificationPipeline,
    )
    from distilbert.pipelines.features import FeatureExtractionPipeline as FeatureExtractionPipeline
    from distilbert.pipelines.filling import FillMaskPipeline as FillMaskPipeline
    from distilbert.pipelines.sentences import (
        SentenceEmbeddingPipeline as SentenceEmbeddingPipeline,
    )
    from distilbert.pipelines.sentences import (
        SentenceSimilarityPipeline as SentenceSimilarityPipeline,
    )
    from distilbert.pipelines.tagging import (
        TokenClassificationPipeline as TokenClassificationPipeline,
    )

_HOMES = {
    "FeatureExtractionPipeline": "features",
    "SentenceEmbeddingPipeline": "sentences",
    "SentenceSimilarityPipeline": "sentences",
    "TextClassificationPipeline": "classification",
    "TokenClassificationPipeline": "tagging",
    "QuestionAnsweringPipeline": "answering",
    "FillMaskPipeline": "filling",
}

__all__ = ["pipeline", *_HOMES]  # noqa: PLE0604

if not TYPE_CHECKING:

    def __getattr__(name):
        if name in _HOMES:
            return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
