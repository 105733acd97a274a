"""DistilBERT in one small package: load, adapt, train, distil, evaluate, run and serve it.

Names are imported when first used: `import distilbert` loads neither torch nor tokenizers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distilbert.config import DistilBertConfig as DistilBertConfig
    from distilbert.engine.session import Session as Session
    from distilbert.errors import AdapterError as AdapterError
    from distilbert.errors import ConfigError as ConfigError
    from distilbert.errors import DistilBertError as DistilBertError
    from distilbert.errors import FileError as FileError
    from distilbert.errors import InputError as InputError
    from distilbert.errors import TokenizerError as TokenizerError
    from distilbert.model.encoder import DistilBertModel as DistilBertModel
    from distilbert.model.for_tasks import DistilBertForMaskedLM as DistilBertForMaskedLM
    from distilbert.model.for_tasks import (
        DistilBertForMultipleChoice as DistilBertForMultipleChoice,
    )
    from distilbert.model.for_tasks import (
        DistilBertForQuestionAnswering as DistilBertForQuestionAnswering,
    )
    from distilbert.model.for_tasks import (
        DistilBertForSequenceClassification as DistilBertForSequenceClassification,
    )
    from distilbert.model.for_tasks import (
        DistilBertForTokenClassification as DistilBertForTokenClassification,
    )
    from distilbert.model.pretrained import DistilBertPreTrainedModel as DistilBertPreTrainedModel
    from distilbert.model.with_heads import DistilBertAdapterModel as DistilBertAdapterModel
    from distilbert.model.with_heads import DistilBertModelWithHeads as DistilBertModelWithHeads
    from distilbert.pipelines import pipeline as pipeline
    from distilbert.text.fast import DistilBertTokenizerFast as DistilBertTokenizerFast
    from distilbert.text.tokenizer import DistilBertTokenizer as DistilBertTokenizer

__version__ = "0.1.0"

_HOMES = {
    "DistilBertConfig": "config",
    "DistilBertError": "errors",
    "AdapterError": "errors",
    "ConfigError": "errors",
    "FileError": "errors",
    "InputError": "errors",
    "TokenizerError": "errors",
    "DistilBertTokenizer": "text.tokenizer",
    "DistilBertTokenizerFast": "text.fast",
    "DistilBertPreTrainedModel": "model.pretrained",
    "DistilBertModel": "model.encoder",
    "DistilBertForMaskedLM": "model.for_tasks",
    "DistilBertForSequenceClassification": "model.for_tasks",
    "DistilBertForQuestionAnswering": "model.for_tasks",
    "DistilBertForTokenClassification": "model.for_tasks",
    "DistilBertForMultipleChoice": "model.for_tasks",
    "DistilBertModelWithHeads": "model.with_heads",
    "DistilBertAdapterModel": "model.with_heads",
    "Session": "engine.session",
    "pipeline": "pipelines",
}
_ROOMS = (
    *("errors", "settings", "config", "outputs", "layout", "flow"),
    *("text", "adapters", "files", "model", "engine", "pipelines", "cli"),
)

__all__ = [*_HOMES]  # noqa: PLE0604

if not TYPE_CHECKING:  # a type checker would otherwise accept names that do not exist

    def __getattr__(name):
        if name in _HOMES:
            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        if name in _ROOMS:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted([*__all__, *_ROOMS, "__version__"])
