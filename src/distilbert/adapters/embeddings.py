"""Embeddings of words for other vocabularies: which a model has, what they share, their files."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.errors import AdapterError, FileError, InputError
from distilbert.files.atomic import to_path, writing
from distilbert.files.sources import Folder, kind_of
from distilbert.files.weights import unpickle

DEFAULT = "default"  # what the model was made or loaded with
FILE, TOKENIZER = "embedding.pt", "tokenizer"


@dataclass
class Table:
    """Embeddings of words that are not in the model now.

    padding: The padding id of their vocabulary. biases: What goes with the words elsewhere: biases
    of projections that share the table, by the projection's name.
    """

    words: nn.Embedding
    padding: int | None = None
    biases: dict[str, nn.Parameter] = field(default_factory=dict)


class Tables(Collection[str]):
    """The embeddings of a model by name. One of them is active: that is in the model itself."""

    def __init__(self) -> None:
        self.active = DEFAULT
        self.others: dict[str, Table] = {}

    def __contains__(self, name: object) -> bool:
        return name == self.active or name in self.others

    def __iter__(self) -> Iterator[str]:
        return iter((self.active, *self.others))

    def __len__(self) -> int:
        return 1 + len(self.others)

    def require(self, name: Any) -> str:
        """Raises AdapterError if there are no embeddings of this name."""
        if not isinstance(name, str) or name not in self:
            raise AdapterError(
                f"no embeddings {name!r:.100}; this model has {sorted(self)}; call add_embeddings "
                "or load_embeddings first"
            )
        return name

    def require_new(self, name: Any) -> None:
        """Raises AdapterError unless embeddings can be given this name."""
        if not isinstance(name, str) or not name:
            raise AdapterError(f"{name!r:.100} is no name for embeddings; allowed: a text")
        if name in self:
            raise AdapterError(
                f"this model already has embeddings {name!r}; choose another name, or call "
                "delete_embeddings first"
            )

    def delete(self, name: Any) -> None:
        """Forgets embeddings. Raises AdapterError for unknown, active and default ones."""
        self.require(name)
        if name == self.active:
            raise AdapterError(
                f"the embeddings {name!r} are active; call set_active_embeddings with other ones "
                "first"
            )
        if name == DEFAULT:
            raise AdapterError("the default embeddings are the model's own and stay with it")
        del self.others[name]


# Vocabularies ------------------------------------------------------------------------------------


def vocabulary(tokenizer: Any) -> dict[str, int]:
    """From token to id. Raises InputError for what is no tokenizer."""
    try:
        found = dict(tokenizer.get_vocab())
    except (AttributeError, TypeError, ValueError):
        found = {}
    if not found:
        raise InputError(
            f"{tokenizer!r:.100} is no tokenizer with tokens; allowed: a DistilBertTokenizer, a "
            "DistilBertTokenizerFast, or another with get_vocab()"
        )
    return found


def known_rows(own: dict[str, int], reference: dict[str, int], rows: int) -> tuple[Tensor, Tensor]:
    """The ids of tokens that both vocabularies have, in each of them: (tokens,) twice.

    rows: Of the reference's embeddings. Raises InputError if its ids go beyond them.
    """
    largest = max(reference.values())
    if largest >= rows:
        raise InputError(
            f"reference_tokenizer has ids up to {largest}, and the reference embeddings have "
            f"{rows} rows; give the tokenizer that belongs to them"
        )
    both = [token for token in own if token in reference]
    ids = [[ids_of[token] for token in both] for ids_of in (own, reference)]
    return torch.tensor(ids[0], dtype=torch.long), torch.tensor(ids[1], dtype=torch.long)


# Files -------------------------------------------------------------------------------------------


def write(folder: str | os.PathLike[str], words: nn.Embedding, tokenizer: Any = None) -> None:
    """Writes `embedding.pt`, whole or not at all, and the tokenizer into `tokenizer/`.

    A tokenizer that lies there stays where none is given. Raises FileError if that cannot be.
    """
    place = to_path(folder)
    if tokenizer is not None:
        if not callable(getattr(tokenizer, "save_pretrained", None)):
            raise InputError(f"{tokenizer!r:.100} is no tokenizer that can be saved")
        tokenizer.save_pretrained(os.fspath(place / TOKENIZER))
    with writing(place / FILE) as temporary:
        # a copy: torch writes the storage, which may be that of the whole checkpoint
        torch.save(words.weight.detach().cpu().clone(), temporary)


def read(folder: str | os.PathLike[str], dim: int) -> tuple[Tensor, Any]:
    """The rows that `write` wrote, (tokens, dim), and their tokenizer or None.

    Raises FileError if they are missing, damaged, of another width, or not of their tokenizer.
    """
    if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
        raise InputError(f"{folder!r:.100} is no path; allowed: a folder of save_embeddings")
    if kind_of(folder) != "folder":
        raise FileError(f"{str(folder)!r} is no folder; give one that save_embeddings wrote")
    place = Folder(str(folder), Path(folder))
    path = place.require(FILE)
    rows = unpickle(path)
    plain = isinstance(rows, Tensor) and rows.layout == torch.strided and not rows.is_quantized
    if not plain or rows.is_meta or rows.ndim != 2 or not rows.is_floating_point() or not len(rows):
        raise FileError(
            f"{str(path)!r} holds no embeddings; allowed: one tensor of floating-point numbers, "
            "(tokens, width), as save_embeddings writes it"
        )
    if rows.shape[1] != dim:
        raise FileError(
            f"the embeddings in {str(path)!r} are {rows.shape[1]} wide; this model's width is {dim}"
        )
    # a copy: others may write over the file that it would be mapped from
    return rows.detach().clone(), _read_tokenizer(place.folder / TOKENIZER, len(rows))


def _read_tokenizer(folder: Path, rows: int) -> Any:
    if kind_of(folder) != "folder":
        return None
    from distilbert.text.fast import DistilBertTokenizerFast

    tokenizer = DistilBertTokenizerFast.from_pretrained(folder)
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= rows:
        raise FileError(
            f"the tokenizer in {str(folder)!r} has ids up to {largest}, and the embeddings beside "
            f"it {rows} rows; take both from one place, anew"
        )
    return tokenizer
