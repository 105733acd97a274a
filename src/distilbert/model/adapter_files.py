"""Adapters, fusions, heads and setups of a model in files: AdapterHub's folders, and PEFT's."""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from distilbert.adapters import fusing, manage, store, transfer
from distilbert.adapters.composition import Composition
from distilbert.adapters.older import without_type
from distilbert.adapters.store import StoredHead
from distilbert.adapters.stored import setup_parts
from distilbert.errors import AdapterError
from distilbert.files.find import HUB_OPTIONS
from distilbert.model.adapted import Adapted

logger = logging.getLogger("distilbert")
Place = str | os.PathLike[str]


class AdapterFiles(Adapted):
    """Reading and writing what `Adapted` has.

    A place to read from is a folder, a hub id, a zip of a folder, or the URL of one. Files that are
    missing weights, or have more than their configuration asks for, are refused.
    """

    # Adapters --------------------------------------------------------------------------------

    def save_adapter(
        self,
        save_directory: Place,
        adapter_name: str,
        with_head: bool = True,
        meta_dict: Mapping[str, Any] | None = None,
        custom_weights_loaders: None = None,
        use_safetensors: bool = True,
        *,
        peft: bool = False,
    ) -> None:
        """Writes one adapter into a folder, which is made where it is not there.

        Options that AdapterHub's library does not have (`use_rslora`, `alpha_pattern`, "out" in
        `attn_matrices`) are written, passed over there, and logged here.

        Args:
            save_directory: The folder.
            adapter_name: Of the adapter.
            with_head: Write the head of the same name, or that of a fixed class, too.
            meta_dict: More entries of `adapter_config.json`.
            custom_weights_loaders: None; there are no others.
            use_safetensors: Write safetensors rather than a pickled file.
            peft: Write PEFT's files, for an adapter that is a LoRA alone.
        """
        _no_loaders(custom_weights_loaders)
        stored = transfer.stored_adapter(self.base_model, adapter_name, type(self).__name__)
        head = self._stored_head(adapter_name) if with_head else None
        info = {**stored.info, **(meta_dict or {})}
        stored = store.StoredAdapter(stored.name, stored.config, info, stored.weights, head)
        if peft:
            store.write_peft(save_directory, stored)
        else:
            store.write_adapter(save_directory, stored, safe=use_safetensors)

    @without_type
    def load_adapter(
        self,
        adapter_name_or_path: Place,
        config: Any = None,
        version: str | None = None,
        model_name: str | None = None,
        load_as: str | None = None,
        with_head: bool = True,
        custom_weights_loaders: None = None,
        leave_out: Sequence[int] | None = None,
        id2label: Mapping[int, str] | None = None,
        set_active: bool = False,
        use_safetensors: bool | None = None,
        *,
        strict: bool = True,
        **where: Any,
    ) -> str:
        """Adds a stored adapter, in place of one of the same name, and returns its name.

        Args:
            adapter_name_or_path: A folder, a hub id, a zip, or the URL of one.
            config: In place of the configuration in the file. A DiReFT that AdapterHub saved needs
                it, since its files do not tell DiReFT from NoReFT and are read as the latter:
                `AdapterConfig.load("….json", subtract_projection=False)`.
            version: The revision of a hub repository.
            model_name: Told by the file; without effect.
            load_as: Another name.
            with_head: Load its head too, where it has one and this class can hold it.
            custom_weights_loaders: None; there are no others.
            leave_out: Layers to leave without it.
            id2label: Names of its head's labels, in place of those in the file.
            set_active: Let it act in every call that names no other.
            use_safetensors: Read safetensors (True, as if left out) or pickled files (False) where
                there are both; the others where there are none.
            strict: Refuse a file that lacks weights or holds more than it should.
            **where: `revision`, `token`, `cache_dir`, `local_files_only`, `subfolder`, …; and
                `source="hf"`, which published descriptions of adapters write.

        Raises:
            FileError: Files are missing or damaged.
            AdapterError: The adapter was made for another model, or its weights do not fit.
        """
        _no_loaders(custom_weights_loaders)
        stored = store.read_adapter(
            adapter_name_or_path,
            config=config,
            with_head=with_head,
            use_safetensors=use_safetensors,
            **_where(where, version),
        )
        name = load_as or stored.name
        keep = self._checked_head(stored.head, name, id2label)
        transfer.load_adapter(self.base_model, stored, name, leave_out=leave_out, strict=strict)
        if keep is not None:
            keep(False)
        if set_active:
            self.set_active_adapters(name)
        return name

    def save_all_adapters(
        self,
        save_directory: Place,
        with_head: bool = True,
        meta_dict: Mapping[str, Any] | None = None,
        custom_weights_loaders: None = None,
        use_safetensors: bool = True,
    ) -> None:
        """Writes every adapter into a folder of its name below `save_directory`."""
        for name in self.adapters_config:
            self.save_adapter(
                Path(save_directory) / name,
                name,
                with_head,
                meta_dict,
                custom_weights_loaders,
                use_safetensors,
            )

    # Fusions ---------------------------------------------------------------------------------

    def save_adapter_fusion(
        self,
        save_directory: Place,
        adapter_names: Any,
        meta_dict: Mapping[str, Any] | None = None,
        custom_weights_loaders: None = None,
        with_head: bool | str = False,
        use_safetensors: bool = True,
    ) -> None:
        """Writes a fusion; with_head names a head to write too, or is True for one of its name."""
        _no_loaders(custom_weights_loaders)
        own = self.adapters_config
        known = isinstance(adapter_names, str) and adapter_names in own.fusions
        name = adapter_names if known else fusing.fusion_name(adapter_names)[0]
        stored = transfer.stored_fusion(self.base_model, name, type(self).__name__)
        head = self._stored_head(name if with_head is True else with_head) if with_head else None
        info = {**stored.info, **(meta_dict or {})}
        stored = store.StoredFusion(
            stored.name, stored.adapters, stored.config, info, stored.weights, head
        )
        store.write_fusion(save_directory, stored, safe=use_safetensors)

    def load_adapter_fusion(
        self,
        adapter_fusion_name_or_path: Place,
        load_as: str | None = None,
        custom_weights_loaders: None = None,
        set_active: bool = False,
        with_head: bool = True,
        use_safetensors: bool | None = None,
        *,
        strict: bool = True,
        **where: Any,
    ) -> str:
        """Adds a stored fusion, whose adapters must be there, and returns its name."""
        _no_loaders(custom_weights_loaders)
        stored = store.read_fusion(
            adapter_fusion_name_or_path,
            with_head=with_head,
            use_safetensors=use_safetensors,
            **_where(where),
        )
        name = load_as or stored.name
        keep = self._checked_head(stored.head, name, None)
        transfer.load_fusion(self.base_model, stored, name, strict=strict)
        if keep is not None:
            keep(False)
        if set_active:
            self.set_active_adapters(self.adapters_config.fuse(name))
        return name

    def save_all_adapter_fusions(
        self,
        save_directory: Place,
        meta_dict: Mapping[str, Any] | None = None,
        custom_weights_loaders: None = None,
        use_safetensors: bool = True,
    ) -> None:
        """Writes every fusion into a folder of its name below `save_directory`."""
        for name in self.adapters_config.fusions:
            self.save_adapter_fusion(
                Path(save_directory) / name,
                name,
                meta_dict,
                custom_weights_loaders,
                use_safetensors=use_safetensors,
            )

    # Setups ----------------------------------------------------------------------------------

    def save_adapter_setup(
        self,
        save_directory: Place,
        adapter_setup: Any,
        head_setup: Any = None,
        meta_dict: Mapping[str, Any] | None = None,
        custom_weights_loaders: None = None,
        use_safetensors: bool = True,
    ) -> None:
        """Writes a composition with its adapters and fusions, and heads, each in a folder below.

        head_setup: The name of a head, a list or composition of names, or True for the head of a
            class for one task.
        """
        tree = self.adapters_config.plan(adapter_setup).setup
        if tree is None:
            raise AdapterError("there is no setup to save; name an adapter or a composition")
        named = _plain(head_setup)
        parts = setup_parts(tree.to_dict(), named, "the setup")
        heads = {name: self._required_head(name or None) for name in parts["heads"]}
        options: dict[str, Any] = {
            "meta_dict": meta_dict,
            "custom_weights_loaders": custom_weights_loaders,
            "use_safetensors": use_safetensors,
        }
        place = Path(save_directory)
        for name in parts["adapters"]:
            self.save_adapter(place / name, name, with_head=False, **options)
        for name in parts["fusions"]:
            self.save_adapter_fusion(place / name, name, **options)
        for name, head in heads.items():
            store.write_head(place / name, head, safe=use_safetensors)
        store.write_setup(place, tree.to_dict(), named)  # last: it stands for all the others

    def load_adapter_setup(
        self,
        adapter_setup_name_or_path: Place,
        version: str | None = None,
        custom_weights_loaders: None = None,
        set_active: bool = False,
        use_safetensors: bool | None = None,
        **where: Any,
    ) -> tuple[Composition, Any]:
        """Adds what `save_adapter_setup` wrote; the composition and the heads that it names.

        Where one part is refused, none is added. set_active: Let the composition act, and its
        heads, in every call that names no other.
        """
        _no_loaders(custom_weights_loaders)
        place, options = adapter_setup_name_or_path, _where(where, version)
        found = store.read_setup(place, **options)
        tree, heads = Composition.from_dict(found.adapter_setup), _heads_of(found.head_setup)
        if set_active:
            self._check_active_heads(heads, found.heads)
        above = str(options.pop("subfolder", "") or "")
        options["use_safetensors"] = use_safetensors

        def below(name: str) -> dict[str, Any]:
            return {"subfolder": f"{above}/{name}".strip("/"), **options}

        with manage.all_or_nothing(self.base_model):
            for name in found.adapters:
                self.load_adapter(place, load_as=name, with_head=False, **below(name))
            for name in found.fusions:
                self.load_adapter_fusion(place, load_as=name, with_head=False, **below(name))
            plan = self.adapters_config.plan(tree)
            keeps = [
                self._checked_head(store.read_head(place, **below(name)), name or None, None)
                for name in found.heads
            ]
        for name, keep in zip(found.heads, keeps, strict=True):
            if keep is not None:
                keep(False)
            else:
                logger.warning(
                    "the setup's head %r is left out: a %s has no place for it",
                    name,
                    type(self).__name__,
                )
        if set_active:
            self.set_active_adapters(plan.setup)
            self._activate_heads(heads)
        return tree, heads

    # Heads -----------------------------------------------------------------------------------

    def save_head(
        self, save_directory: Place, head_name: str | None = None, use_safetensors: bool = True
    ) -> None:
        """Writes a head into a folder: that of this name, or the one of a fixed class."""
        store.write_head(save_directory, self._required_head(head_name), safe=use_safetensors)

    def load_head(
        self,
        save_directory: Place,
        load_as: str | None = None,
        id2label: Mapping[int, str] | None = None,
        use_safetensors: bool | None = None,
        **where: Any,
    ) -> str | None:
        """Loads a head, in place of one of the same name, and returns its name.

        In a model with named heads it becomes the active one. A class for one task takes one whose
        layers and labels are its own.
        """
        stored = store.read_head(save_directory, use_safetensors=use_safetensors, **_where(where))
        keep = self._checked_head(stored, load_as or stored.name, id2label)
        if keep is None:
            raise AdapterError(
                f"a {type(self).__name__} has no place for this head; load it into "
                "DistilBertModelWithHeads, which has one for every head"
            )
        name: str | None = keep(True)
        return name

    def save_all_heads(self, save_directory: Place, use_safetensors: bool = True) -> None:
        """Writes every head into a folder of its name below `save_directory`."""
        for name in self._head_names():
            self.save_head(Path(save_directory) / name, name, use_safetensors)

    # What a class with heads says of them ----------------------------------------------------

    def _head_names(self) -> list[str]:
        return []

    def _stored_head(self, name: Any) -> StoredHead | None:
        """The head of this name as data; None where there is none."""
        return None

    def _checked_head(
        self, stored: StoredHead | None, name: str | None, id2label: Mapping[int, str] | None
    ) -> Any:
        """What puts a stored head in place, checked before; None if this class has no place.

        Raises AdapterError if it should have, and the head does not fit.
        """
        return None

    def _required_head(self, name: Any) -> StoredHead:
        """The head of this name as data. Raises AdapterError where there is none."""
        head = self._stored_head(name)
        if head is None:
            raise AdapterError(
                f"{type(self).__name__} has no head {name!r} to save, but {self._head_names()}; "
                "DistilBertModelWithHeads and the classes for tasks have heads"
            )
        return head

    def _check_active_heads(self, heads: Any, known: Collection[str]) -> None:
        """Raises AdapterError if the heads of a setup, with these names, could not be active."""

    def _activate_heads(self, heads: Any) -> None:
        """Lets the heads of a setup be those of calls that name none."""


def _no_loaders(given: Any) -> None:
    if given:
        raise AdapterError(
            "custom_weights_loaders are given; allowed: None. Weights of one's own are saved with "
            "torch or safetensors beside the adapter"
        )


def _where(options: Mapping[str, Any], version: str | None = None) -> dict[str, Any]:
    source = options.get("source", "hf")
    if source not in ("hf", None):
        raise AdapterError(
            f"source is {source!r}; allowed: 'hf', the hub, to which AdapterHub has moved what was "
            "elsewhere ('ah'); give the id of a repository there, such as 'AdapterHub/…', a "
            "folder or a URL"
        )
    options = {name: value for name, value in options.items() if name != "source"}
    unknown = sorted(options.keys() - HUB_OPTIONS)
    if unknown:
        raise AdapterError(
            f"unknown options {unknown}; allowed beside the named: {sorted(HUB_OPTIONS)}"
        )
    return {**({} if version is None else {"revision": version}), **options}


def _plain(heads: Any) -> Any:
    """The heads of a setup as files hold them."""
    return heads.to_dict() if isinstance(heads, Composition) else heads


def _heads_of(data: Any) -> Any:
    """The heads of a setup as models take them."""
    return Composition.from_dict(data) if isinstance(data, Mapping) else data
