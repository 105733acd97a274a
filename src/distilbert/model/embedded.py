"""What every model class can do with embeddings of several vocabularies, as AdapterHub has it."""

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from distilbert.adapters.embeddings import Table, Tables, known_rows, read, vocabulary, write
from distilbert.errors import InputError
from distilbert.model.layers import embedding, initialise

if TYPE_CHECKING:
    from distilbert.config import DistilBertConfig
    from distilbert.model.encoder import DistilBertModel


class Embedded(nn.Module):
    """Embeddings of words under names: added, loaded, swapped.

    "default" are those that the model was made or loaded with. The active ones are part of the
    model, with all that trains and saves it; the others wait beside it, and come onto its device
    and into its dtype when they become active. What fails changes nothing.
    """

    if TYPE_CHECKING:
        config: DistilBertConfig

        @property
        def base_model(self) -> DistilBertModel: ...
        def get_input_embeddings(self) -> nn.Embedding: ...
        def set_input_embeddings(self, value: nn.Embedding) -> None: ...

    @property
    def _tables(self) -> Tables:
        encoder: Any = self.base_model
        tables: Tables = encoder.own_embeddings
        return tables

    @property
    def active_embeddings(self) -> str:
        """The name of the embeddings that are in the model."""
        return self._tables.active

    @property
    def loaded_embeddings(self) -> dict[str, nn.Embedding]:
        """All embeddings by name, the active ones among them."""
        others = {name: table.words for name, table in self._tables.others.items()}
        return {self.active_embeddings: self.get_input_embeddings(), **others}

    def add_embeddings(
        self,
        name: str,
        tokenizer: Any,
        reference_embedding: str | None = None,
        reference_tokenizer: Any = None,
        embedding_dim: int | None = None,
    ) -> None:
        """Adds embeddings for the vocabulary of a tokenizer, and makes them active.

        They are frozen; `train_adapter(…, train_embeddings=True)` trains them. Rows are drawn as
        in a fresh model, those of tokens that the reference knows are copied from it. So are
        biases of projections that are tied to the embeddings; other biases are 0.

        Args:
            name: Of the new embeddings.
            tokenizer: Whose vocabulary they are for.
            reference_embedding: The name of embeddings to copy known tokens from.
            reference_tokenizer: The tokenizer that belongs to those.
            embedding_dim: The width; this model's, which is the only one that works.

        Raises:
            AdapterError: The name is taken, or the reference unknown.
            InputError: A tokenizer is none, or does not belong to its embeddings.
        """
        self._tables.require_new(name)
        dim = self.config.dim
        if embedding_dim not in (None, dim):
            raise InputError(f"embedding_dim is {embedding_dim!r}; this model's width is {dim}")
        if (reference_embedding is None) != (reference_tokenizer is None):
            raise InputError(
                "reference_embedding and reference_tokenizer belong together; give both, or none"
            )
        own = vocabulary(tokenizer)
        size, padding = max(own.values()) + 1, getattr(tokenizer, "pad_token_id", None)
        now = self.get_input_embeddings().weight
        words = embedding(size, dim, padding).to(now)
        initialise(words, "weight", self.config.initializer_range)
        biases = {
            path: nn.Parameter(linear.bias.new_zeros(size), linear.bias.requires_grad)
            for path, linear in self._tied().items()
        }
        if reference_embedding is not None:
            reference = self._table(reference_embedding)
            known = known_rows(own, vocabulary(reference_tokenizer), len(reference.words.weight))
            _copy(words.weight, reference.words.weight, *known)
            for path in biases.keys() & reference.biases.keys():
                _copy(biases[path], reference.biases[path], *known)
        words.requires_grad_(False)
        self._tables.others[name] = Table(words, padding, biases)
        self.set_active_embeddings(name)

    def load_embeddings(self, path: str | os.PathLike[str], name: str) -> Any:
        """Adds embeddings that `save_embeddings` wrote, makes them active; their tokenizer or None.

        They are frozen, and biases of tied projections are as `set_input_embeddings` leaves them.
        Raises AdapterError if the name is taken; FileError if the folder holds no embeddings of
        this model's width.
        """
        self._tables.require_new(name)
        rows, tokenizer = read(path, self.config.dim)
        padding = self.config.pad_token_id if tokenizer is None else tokenizer.pad_token_id
        if padding is not None and padding >= len(rows):
            padding = None
        words = nn.Embedding(len(rows), self.config.dim, padding, _weight=rows)
        words.requires_grad_(False)
        self._tables.others[name] = Table(words, padding)
        self.set_active_embeddings(name)
        return tokenizer

    def save_embeddings(
        self, path: str | os.PathLike[str], name: str, tokenizer: Any = None
    ) -> None:
        """Writes embeddings, and a tokenizer beside them, into a folder.

        Raises AdapterError for unknown embeddings, FileError if the folder cannot be written.
        """
        write(path, self._table(name).words, tokenizer)

    def delete_embeddings(self, name: str) -> None:
        """Removes embeddings. Raises AdapterError for unknown, active and default ones."""
        self._tables.delete(name)

    def set_active_embeddings(self, name: str) -> None:
        """Puts other embeddings of words into the model; the size of the vocabulary follows.

        Projections that are tied to them follow too, with the biases that they had before. Raises
        AdapterError for unknown embeddings.
        """
        tables = self._tables
        if tables.require(name) == tables.active:
            return
        before, after = self._table(tables.active), tables.others[name]
        tied = self._tied()
        self.set_input_embeddings(after.words.to(before.words.weight))
        for path, bias in after.biases.items():
            if path in tied:
                bias.data = bias.data.to(tied[path].bias)
                tied[path].bias = bias
        self.config.pad_token_id = after.padding
        tables.others[tables.active] = before
        del tables.others[name]
        tables.active = name

    def _table(self, name: str) -> Table:
        """Embeddings with what goes with them. Raises AdapterError if there are none so called."""
        tables = self._tables
        if tables.require(name) != tables.active:
            return tables.others[name]
        biases = {path: linear.bias for path, linear in self._tied().items()}
        return Table(self.get_input_embeddings(), self.config.pad_token_id, biases)

    def _tied(self) -> dict[str, nn.Linear]:
        """The projections with a bias that share the table of the embeddings, by name."""
        table = self.get_input_embeddings().weight
        return {
            path: module
            for path, module in self.named_modules()
            if isinstance(module, nn.Linear) and module.weight is table and module.bias is not None
        }


def _copy(new: Tensor, old: Tensor, rows: Tensor, old_rows: Tensor) -> None:
    """Copies some rows of another tensor."""
    with torch.no_grad():
        new[rows.to(new.device)] = old[old_rows.to(old.device)].to(new)
