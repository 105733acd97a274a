"""Heads by name: which are active, what their labels are called, and what files hold of them."""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from distilbert.adapters.arithmetic import counts_of
from distilbert.adapters.means import means
from distilbert.adapters.naming import check_name
from distilbert.adapters.store import StoredHead
from distilbert.config import DistilBertConfig
from distilbert.errors import AdapterError, InputError
from distilbert.model.added_heads import Active, AddedHeads
from distilbert.model.flexible import LanguageModelHead
from distilbert.model.head_files import checked_named, stored_named
from distilbert.model.prediction import PredictionHead
from distilbert.model.routing import check_choice, check_head, heads_of, names_in


class NamedHeads(AddedHeads):
    """An encoder and its heads, of which some are active, deleted, saved or loaded."""

    # Choosing --------------------------------------------------------------------------------

    def delete_head(self, head_name: str) -> None:
        """Takes a head off. Raises AdapterError where there is none of this name."""
        check_head(head_name, [*self.heads])
        del self.heads[head_name]
        self._list_heads()
        active = self._active_head
        if head_name == active or (active is not None and head_name in active):
            self._active_head = None

    @property
    def active_head(self) -> Active:
        """Which heads a pass uses that names none: a name, several, or None.

        It takes what `head=` of the forward pass takes, and makes the labels of the configuration
        those of the head. `set_active_adapters` sets it to the head of the last adapter, if there
        is one: to several for `Parallel` and `BatchSplit`, if all are there. Set afterwards, it
        holds whatever the active adapters are called.
        """
        return self._active_head

    @active_head.setter
    def active_head(self, head: Active) -> None:
        self._activate(head)
        self._heads_of_adapters = False

    def set_active_adapters(
        self, adapter_setup: Any, skip_layers: Iterable[int] | None = None
    ) -> None:
        """As in every class; rows then take the heads that are called as their adapters, if any."""
        super().set_active_adapters(adapter_setup, skip_layers)
        self._heads_of_adapters = True
        heads = heads_of(self.active_adapters)
        if heads and all(name in self.heads for name in names_in(heads)):
            self._activate(heads)

    def _activate(self, head: Active) -> None:
        if not head:
            self._active_head = None
            return
        check_choice(head, [*self.heads])
        if isinstance(head, (list, tuple)):
            head = head[0] if len(head) == 1 else list(head)
        self._active_head = head
        if not isinstance(head, str):
            return
        names, count = self.get_labels_dict(head), self.named_head(head).num_labels
        if names is not None and list(names) == list(range(count)):
            self.config.update({"id2label": names})
            self._list_heads()  # an update makes copies

    def named_head(self, name: str) -> PredictionHead:
        """The head of this name. Raises AdapterError where there is none."""
        check_head(name, [*self.heads])
        return self.heads[name]  # type: ignore[return-value]

    def get_prediction_heads_config(self) -> dict[str, dict[str, Any]]:
        """The options of every head by its name."""
        return {name: self.named_head(name).config for name in self.heads}

    def get_labels_dict(self, head_name: str | None = None) -> dict[int, str] | None:
        """The names of a head's labels by number; None for a head whose labels have no names.

        head_name: Left out, that of the active head. Raises AdapterError where there is no one.
        """
        name = self.active_head if head_name is None else head_name
        if head_name is None and not isinstance(name, str):
            raise AdapterError(
                f"active_head is {name!r}; name one head whose labels you want: "
                f"{sorted(self.heads)}"
            )
        return self.named_head(name).id2label  # type: ignore[arg-type]

    def get_labels(self, head_name: str | None = None) -> list[str] | None:
        """The names of a head's labels in the order of their numbers; see `get_labels_dict`."""
        names = self.get_labels_dict(head_name)
        return None if names is None else list(names.values())

    def average_head(
        self,
        head_name: str,
        head_list: Sequence[str] | Mapping[str, float],
        weights: Sequence[float] | None = None,
        normalize_weights: bool = True,
        overwrite_ok: bool = False,
        set_active: bool = False,
    ) -> None:
        """Adds a head whose weights are the weighted mean of those of others of one kind.

        Args:
            head_name: Of the new one; its labels are those of the first.
            head_list: Names of heads of one type and options, or a map from name to weight.
            weights: One for each; left out, all alike.
            normalize_weights: Scale the weights so that their sum is 1.
            overwrite_ok: Replace a head of the same name.
            set_active: Let passes that name no head use it.
        """
        self._check_new(head_name, overwrite_ok)
        counts = counts_of("head_list", head_list, weights, normalize_weights)
        heads = [(self.named_head(name), count) for name, count in counts.items()]
        first = heads[0][0]
        for head, _ in heads[1:]:
            unequal = sorted(
                key
                for key in {*first.config, *head.config} - {"dropout_prob", "label2id"}
                if first.config.get(key) != head.config.get(key)
            )
            if unequal or type(head) is not type(first):
                raise AdapterError(
                    f"cannot average the heads {first.name!r} and {head.name!r}, which differ in "
                    f"{unequal or 'their class'}; allowed: heads of one type and options"
                )
        new = self.built_head(head_name, first.config)
        values = means(heads)
        if isinstance(new, LanguageModelHead) and self.config.tie_word_embeddings:
            del values[new.decoder_key]  # the embeddings' own table
        new.load_state_dict(values, strict=False)
        self.add_prediction_head(new, overwrite_ok, set_active)

    # Files -----------------------------------------------------------------------------------

    def saved_config(self) -> DistilBertConfig:
        config = super().saved_config()
        config.prediction_heads = {n: copy.deepcopy(h.config) for n, h in self.heads.items()}
        return config

    def _head_names(self) -> list[str]:
        return [*self.heads]

    def _stored_head(self, name: Any) -> StoredHead | None:
        if name is None and isinstance(self.active_head, str):
            name = self.active_head
        return stored_named(self, name) if name in self.heads else None

    def _checked_head(
        self, stored: StoredHead | None, name: str | None, id2label: Mapping[int, str] | None
    ) -> Any:
        if stored is None:
            return None
        label = name or stored.name or "default"
        check_name(label, "a head")
        return checked_named(self, stored, label, id2label)

    def _check_active_heads(self, heads: Any, known: Collection[str]) -> None:
        if heads and heads is not True:
            check_choice(heads, known)

    def _activate_heads(self, heads: Any) -> None:
        if heads:
            self.active_head = "default" if heads is True else heads

    # Vocabulary ------------------------------------------------------------------------------

    def _language_models(self) -> dict[str, LanguageModelHead]:
        return {n: head for n, head in self.heads.items() if isinstance(head, LanguageModelHead)}

    def get_output_embeddings(self) -> nn.Linear | None:
        """The projection to the vocabulary of the active head, where it has one."""
        active = self.active_head
        return self.named_head(active).get_output_embeddings() if isinstance(active, str) else None

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replaces that of the active head. Raises InputError if it has none."""
        head = self.heads[self.active_head] if isinstance(self.active_head, str) else None
        if not isinstance(head, LanguageModelHead):
            raise InputError(
                f"the active head, {self.active_head!r}, has no projection to the vocabulary; "
                "set active_head to one for language modelling"
            )
        head.set_output_embeddings(value)

    def tied_keys(self) -> set[str]:
        if not self.config.tie_word_embeddings:
            return set()
        heads = self._language_models()
        return {f"heads.{name}.{head.decoder_key}" for name, head in heads.items()}

    def tie_weights(self) -> None:
        if self.config.tie_word_embeddings:
            table = self.get_input_embeddings().weight
            for head in self._language_models().values():
                head.tie(table)

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """As in every class; the projections of all heads follow."""
        words = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        for head in self._language_models().values():
            head.config["vocab_size"] = head.decoder.out_features
        return words
