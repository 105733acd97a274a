"""What every model class can do with adapters: the interface that users of AdapterHub know."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from distilbert.adapters import arithmetic, fusing, manage, merge, walk
from distilbert.adapters.composition import Composition
from distilbert.adapters.configs import AdapterConfig
from distilbert.adapters.older import without_type
from distilbert.adapters.plan import Plan
from distilbert.adapters.registry import Adapters
from distilbert.adapters.setup import current_setup
from distilbert.errors import AdapterError

if TYPE_CHECKING:
    from distilbert.model.encoder import DistilBertModel


class Adapted(nn.Module):
    """Adapters of a model: added, combined, trained, merged, averaged.

    An adapter is a small trained part that hangs in the encoder under a name. Which ones act is
    said by `set_active_adapters`, or for one call by `adapter_names`. What fails changes nothing.
    """

    _frozen = False  # of an encoder

    if TYPE_CHECKING:

        @property
        def base_model(self) -> DistilBertModel: ...

    @property
    def adapters_config(self) -> Adapters:
        """The adapters by name, their configurations and fusions, and what is active."""
        return self.base_model.own_adapters

    def plan(self, adapter_names: Any = None) -> Plan:
        """What one call runs: its own adapters, those of an `AdapterSetup`, or the active ones.

        Raises AdapterError for adapters that do not exist or cannot be combined so.
        """
        own = self.adapters_config
        if adapter_names is None:
            setup = current_setup()
            if setup is None:
                return own.active
            adapter_names = setup.adapter_setup
        plan = own.plan(adapter_names, own.active.skip_layers)
        if plan.setup is None and own.merged is not None:
            raise AdapterError(
                f"no adapter is to act, but {own.merged!r} is merged into the weights; call "
                "reset_adapter() first, or leave adapter_names out"
            )
        return plan

    # Which there are -------------------------------------------------------------------------

    @without_type
    def add_adapter(
        self,
        adapter_name: str,
        config: str | Mapping[str, Any] | AdapterConfig | None = None,
        overwrite_ok: bool = False,
        set_active: bool = False,
    ) -> None:
        """Adds a new adapter, with the dtype and on the device of the model.

        Args:
            adapter_name: Without dots; part of the names of its weights.
            config: A preset (`"seq_bn"`, the default, `"lora"`, …), settings in short form
                (`"lora[r=16,alpha=32]|seq_bn"`), a configuration, a dictionary or a JSON file.
            overwrite_ok: Replace an adapter of the same name.
            set_active: Let it act in every call that names no other.

        Raises:
            AdapterError: The name is taken or impossible, or the configuration does not fit.
        """
        manage.add(self.base_model, adapter_name, config, overwrite=overwrite_ok)
        if set_active:
            self.set_active_adapters(adapter_name)

    def delete_adapter(self, adapter_name: str) -> None:
        """Removes an adapter; the active setup is emptied if it was part of it.

        Raises AdapterError if it is merged, or part of a fusion.
        """
        manage.delete(self.base_model, adapter_name)

    def get_adapter(self, name: str) -> dict[int, dict[str, nn.Module]]:
        """Its modules as {layer: {place: module}}; -1 for what is no layer's own."""
        return manage.by_layer(self.base_model, name)

    def has_adapters(self) -> bool:
        """Whether there are any."""
        return len(self.adapters_config) > 0

    def supports_adapter(self, type_or_config: Any) -> bool:
        """Whether an adapter of this configuration can hang in this model."""
        own = self.base_model
        try:
            manage.built(own, "supported", manage.resolved_for(own, type_or_config))
        except AdapterError:
            return False
        return True

    def iter_layers(self) -> Iterable[tuple[int, nn.Module]]:
        """The blocks of the encoder with their numbers."""
        return enumerate(self.base_model.transformer.layer)

    # Which act -------------------------------------------------------------------------------

    @property
    def active_adapters(self) -> Composition | None:
        """What acts in every call that names no adapters; settable, as `set_active_adapters`."""
        return self.adapters_config.active_setup

    @active_adapters.setter
    def active_adapters(self, adapter_setup: Any) -> None:
        self.set_active_adapters(adapter_setup)

    def set_active_adapters(
        self, adapter_setup: Any, skip_layers: Iterable[int] | None = None
    ) -> None:
        """Lets a composition act in every call that names none; None or [] for no adapter.

        A merged adapter is taken out of the weights again, as in AdapterHub.

        Args:
            adapter_setup: A name, a list (a stack), a list of lists (a fusion), a composition.
            skip_layers: Layers in which adapters do not act (AdapterDrop), also in calls that name
                others.

        Raises AdapterError, and changes nothing, for what does not exist or cannot be combined so.
        """
        own = self.adapters_config
        merged, own.merged = own.merged, None
        try:
            active = own.plan(adapter_setup, skip_layers)
        finally:
            own.merged = merged
        merge.reset(self.base_model)
        own.active = active

    @property
    def has_parallel_adapters(self) -> bool:
        """Whether the active setup copies each row."""
        return self.adapters_config.active.copies > 1

    # Training --------------------------------------------------------------------------------

    def train_adapter(self, adapter_setup: Any, train_embeddings: bool = False) -> None:
        """Freezes the encoder except these adapters, activates them, and turns to training mode.

        Heads go on training. `train_embeddings` lets the embeddings of words train too.
        """
        tree = manage.checked(self.base_model, adapter_setup)
        self.set_active_adapters(tree)
        self.train()
        self.freeze_model(True)
        manage.let_train(self.base_model, tree)
        if train_embeddings:
            self.base_model.embeddings.word_embeddings.requires_grad_(True)

    def train_adapter_fusion(self, adapter_setup: Any, unfreeze_adapters: bool = False) -> None:
        """Freezes the encoder except a fusion, activates it, and turns to training mode.

        Args:
            adapter_setup: A `Fuse`, a stack that holds one, or a list of lists of names.
            unfreeze_adapters: Let the fused adapters train too.
        """
        if isinstance(adapter_setup, list) and all(isinstance(n, str) for n in adapter_setup):
            adapter_setup = [adapter_setup]  # as older versions of the interface had it
        tree = manage.checked(self.base_model, adapter_setup)
        fusing.check_fusions(tree)
        self.set_active_adapters(tree)
        self.train()
        self.freeze_model(True)
        fusing.let_fusions_train(self.base_model, tree)
        if unfreeze_adapters:
            manage.let_train(self.base_model, tree)

    def train_fusion(self, adapter_setup: Any, unfreeze_adapters: bool = False) -> None:
        """The old name of `train_adapter_fusion`."""
        self.train_adapter_fusion(adapter_setup, unfreeze_adapters)

    def freeze_model(self, freeze: bool = True) -> None:
        """Freezes everything in the encoder, adapters too, or lets it train. Not the heads."""
        manage.freeze(self.base_model, freeze)
        self.base_model._frozen = freeze

    @property
    def model_frozen(self) -> bool:
        """Whether `freeze_model` has frozen the encoder."""
        return self.base_model._frozen

    # Fusions ---------------------------------------------------------------------------------

    def add_adapter_fusion(
        self,
        adapter_names: Any,
        config: Any = None,
        name: str | None = None,
        overwrite_ok: bool = False,
        set_active: bool = False,
    ) -> None:
        """Adds an AdapterFusion over bottleneck adapters that are there.

        Args:
            adapter_names: A list of names, names with commas between, or `Fuse(…)`.
            config: "dynamic" (the default), "static", or a configuration.
            name: Of the fusion; left out, the names with commas between.
            overwrite_ok: Replace a fusion of the same name.
            set_active: Let it act in every call that names no other.
        """
        with manage.all_or_nothing(self.base_model):
            label = fusing.add_fusion(
                self.base_model, adapter_names, config, name, overwrite=overwrite_ok
            )
            if set_active:
                self.set_active_adapters(self.adapters_config.fuse(label))

    def add_fusion(self, adapter_names: Any, config: Any = None) -> None:
        """The old name of `add_adapter_fusion`."""
        self.add_adapter_fusion(adapter_names, config)

    def delete_adapter_fusion(self, adapter_names: Any) -> None:
        """Removes a fusion: its name, a list of its adapters, or `Fuse(…)`."""
        fusing.delete_fusion(self.base_model, adapter_names)

    def get_fusion_regularization_loss(self) -> Tensor | None:
        """What keeps the value matrices of fusions that train near the identity, or None."""
        return fusing.regularization(self.base_model)

    # Moving ----------------------------------------------------------------------------------

    def adapter_to(
        self,
        name: str,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Moves an adapter to a device, or turns it into a dtype."""
        self.adapters_config.require(name)
        for _, _, module in walk.modules(self.base_model, name):
            module.to(device=device, dtype=dtype)

    def adapter_fusion_to(
        self,
        adapter_names: Any,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Moves a fusion to a device, or turns it into a dtype."""
        label = self._fusion(adapter_names)
        for _, fusion in fusing.fusion_modules(self.base_model, label):
            fusion.to(device=device, dtype=dtype)

    def _fusion(self, given: Any) -> str:
        """The name of a fusion that is there. Raises AdapterError for none."""
        own = self.adapters_config
        if not (isinstance(given, str) and given in own.fusions):
            given = fusing.fusion_name(given)[0]
        own.fuse(given)
        return str(given)

    # Weights ---------------------------------------------------------------------------------

    def merge_adapter(self, name: str) -> None:
        """Works an adapter of the LoRA family into the weights, so that it costs nothing to run.

        What else the adapter has (a bottleneck) goes on acting while it is active. Files that are
        saved meanwhile hold the weights without it. Raises AdapterError for gates.
        """
        merge.merge(self.base_model, name)

    def reset_adapter(self) -> None:
        """Takes a merged adapter out of the weights again: they are as before, bit for bit."""
        merge.reset(self.base_model)

    def average_adapter(
        self,
        adapter_name: str,
        adapter_list: Sequence[str] | Mapping[str, float],
        weights: Sequence[float] | None = None,
        combine_strategy: str = "linear",
        normalize_weights: bool = True,
        overwrite_ok: bool = False,
        set_active: bool = False,
        svd_rank: int | None = None,
    ) -> None:
        """Adds an adapter whose weights are the weighted mean of those of others.

        Args:
            adapter_name: Of the new one.
            adapter_list: Names of adapters of one configuration, or a map from name to weight.
            weights: One for each; left out, all alike.
            combine_strategy: "linear", the mean of each weight; "lora_linear_only_negate_b", the
                same with the sign of a negative weight at B alone; "lora_delta_w_svd", the mean of
                the products B·A, cut to rank `svd_rank`.
            normalize_weights: Scale the weights so that their sum is 1.
            overwrite_ok: Replace an adapter of the same name.
            set_active: Let it act in every call that names no other.
            svd_rank: Of "lora_delta_w_svd".
        """
        arithmetic.average(
            self.base_model,
            adapter_name,
            adapter_list,
            weights,
            combine_strategy,
            normalize_weights,
            overwrite_ok,
            svd_rank,
        )
        if set_active:
            self.set_active_adapters(adapter_name)

    def share_parameters(
        self,
        adapter_names: Any,
        name: str | None = None,
        reference_adapter_name: str | None = None,
    ) -> None:
        """Lets several MTL-LoRA adapters share their A and B matrices, those of the reference."""
        arithmetic.share(self.base_model, adapter_names, name, reference_adapter_name)

    def unshare_parameters(self, adapter_names: Any, name: str | None = None) -> None:
        """Gives adapters that share matrices copies of their own."""
        arithmetic.unshare(self.base_model, adapter_names, name)

    def eject_prefix_tuning(self, name: str) -> None:
        """Turns a prefix that a bottleneck computes into plain values, which then can train."""
        arithmetic.eject(self.base_model, name)

    def adapter_summary(self, as_dict: bool = False) -> str | list[dict[str, Any]]:
        """A table of the adapters: method, parameters, share of the model, active, training."""
        return arithmetic.summary(self.base_model, as_dict)
