"""What every model class has: a configuration, files, and ways to change its shape."""

import copy
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import torch
from torch import Tensor, nn

from distilbert.adapters.transfer import described
from distilbert.config import DistilBertConfig
from distilbert.errors import ConfigError, InputError
from distilbert.files.checkpoint import load_pretrained, save_pretrained
from distilbert.model import resize
from distilbert.model.adapter_files import AdapterFiles
from distilbert.model.embedded import Embedded
from distilbert.model.layers import initialise, sinusoids

if TYPE_CHECKING:
    from typing_extensions import Self

    from distilbert.model.encoder import DistilBertModel


class DistilBertPreTrainedModel(AdapterFiles, Embedded):
    """Base of the model classes. A subclass builds its layers, then calls `post_init()`."""

    config_class = DistilBertConfig
    base_model_prefix: ClassVar[str] = "distilbert"
    main_input_name: ClassVar[str] = "input_ids"
    supports_gradient_checkpointing: ClassVar[bool] = True
    accepts_loss_kwargs: ClassVar[bool] = False  # a Trainer gives `num_items_in_batch` otherwise

    config: DistilBertConfig

    def __init__(self, config: DistilBertConfig) -> None:
        if not isinstance(config, DistilBertConfig):
            raise ConfigError(
                f"a model is built of a DistilBertConfig, not of a {type(config).__name__}; to "
                f"load one that exists, call {type(self).__name__}.from_pretrained(...)"
            )
        super().__init__()
        config.validate()
        self.config = config

    def post_init(self) -> None:
        """Initialises what was built, ties what is tied. On the meta device only the latter."""
        if self.device.type != "meta":
            self.initialise(name for name, _ in self.named_parameters())
        self.tie_weights()

    def init_weights(self) -> None:
        """Another name of `post_init`."""
        self.post_init()

    def initialise(self, keys: Iterable[str]) -> None:
        """Fills the parameters of these names as a fresh model has them.

        Those of layers that are no Linear, Embedding or LayerNorm are left as they are.
        """
        for key in keys:
            owner, _, name = key.rpartition(".")
            initialise(self.get_submodule(owner), name, self.config.initializer_range)
            if key.endswith("position_embeddings.weight") and self.config.sinusoidal_pos_embds:
                table = self.get_parameter(key)
                with torch.no_grad():
                    table.copy_(sinusoids(*table.shape))

    # Files -----------------------------------------------------------------------------------

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        output_loading_info: Literal[True],
        **kwargs: Any,
    ) -> "tuple[Self, dict[str, Any]]": ...

    @overload
    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> "Self": ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> "Self | tuple[Self, dict[str, Any]]":
        """A model, in eval mode, with the weights of a folder, a hub id or a backbone (`minilm`).

        Weights are mapped from the file, not copied. Those that the file lacks (a new head) are
        initialised, and a message of the logger `distilbert` says which.

        Args:
            pretrained_model_name_or_path: Where the checkpoint lies.
            output_loading_info: Also return the report: `missing_keys`, `unexpected_keys`, ….
            **kwargs: `config`, `dtype`, `device`, `ignore_mismatched_sizes`, `use_safetensors`,
                `variant`, `state_dict`; where to look: `revision`, `token`, `cache_dir`,
                `local_files_only`, `force_download`, `subfolder`; every other name replaces a
                setting of the configuration (`num_labels=3`).

        Raises:
            FileError: Files are missing, damaged or of another kind of model.
            ConfigError: The configuration cannot work.
        """
        model, report = load_pretrained(cls, pretrained_model_name_or_path, **kwargs)
        report.log()
        return (model, report.as_dict()) if output_loading_info else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        state_dict: Mapping[str, Tensor] | None = None,
        safe_serialization: bool = True,
        max_shard_size: int | str = "50GB",
        variant: str | None = None,
        is_main_process: bool = True,
        push_to_hub: bool = False,
        **ineffective: Any,
    ) -> None:
        """Writes `config.json` and the weights into a folder, each file whole or not at all.

        Of several processes only the main one writes. `ineffective` takes what code written for
        others passes and what needs no option here (`save_function`).

        Raises FileError, and changes nothing, if the folder is a file or cannot be written.
        """
        save_pretrained(
            self,
            save_directory,
            state_dict=state_dict,
            safe_serialization=safe_serialization,
            max_shard_size=max_shard_size,
            variant=variant,
            is_main_process=is_main_process,
            push_to_hub=push_to_hub,
            **ineffective,
        )

    def saved_config(self) -> DistilBertConfig:
        """The configuration as files hold it: with the adapters that the model has now."""
        config = copy.deepcopy(self.config)
        adapters = described(self.base_model)
        if adapters is not None:
            config.adapters = adapters
        elif hasattr(config, "adapters"):
            del config.adapters
        return config

    def fit(self, tensors: Mapping[str, Tensor]) -> None:
        """Lets adapters that know several shapes of a weight take that of a checkpoint."""
        for path, module in self.named_modules():
            if not hasattr(module, "take"):
                continue
            take: Any = module.take
            for name, _ in [*module.named_parameters(recurse=False)]:
                if f"{path}.{name}" in tensors:
                    take(name, tensors[f"{path}.{name}"])

    # What it is made of ----------------------------------------------------------------------

    @property
    def base_model(self) -> "DistilBertModel":
        """The encoder, without a head."""
        encoder: DistilBertModel = getattr(self, self.base_model_prefix, self)  # type: ignore[arg-type]
        return encoder

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def name_or_path(self) -> str:
        return self.config.name_or_path

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of values in the parameters, tied ones counted once."""
        tables = {m.weight for m in self.modules() if isinstance(m, nn.Embedding)}
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if (parameter.requires_grad or not only_trainable)
            and not (exclude_embeddings and parameter in tables)
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of the parameters, and of the buffers unless they are left out."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @classmethod
    def can_generate(cls) -> bool:
        """Whether the class writes text word by word: an encoder does not."""
        return False

    def get_input_embeddings(self) -> nn.Embedding:
        return self.base_model.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replaces the embeddings of words; the vocabulary's size follows theirs.

        A projection that is tied to them gets or loses entries of its bias, new ones being 0.
        Raises InputError, and changes nothing, for embeddings that do not fit this model.
        """
        resize.check_embeddings(value, self.config)
        self.base_model.embeddings.word_embeddings = value
        self.config.vocab_size = value.num_embeddings
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        """The projection to the vocabulary, where the class has one."""
        return None

    def set_output_embeddings(self, value: nn.Linear) -> None:
        raise InputError(f"{type(self).__name__} has no projection to the vocabulary to replace")

    def get_position_embeddings(self) -> nn.Embedding:
        return self.base_model.embeddings.position_embeddings

    def tied_keys(self) -> set[str]:
        """Keys of the state dict whose tensors are those of other keys."""
        return set()

    @property
    def _keys_to_ignore_on_save(self) -> list[str] | None:
        """What `save_pretrained` leaves out. (Trainers that load such files ask.)"""
        return sorted(self.tied_keys()) or None

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Every tensor by its key. One that stands under several is a copy under the later ones.

        With `keep_vars` the parameters themselves, as of any module.
        """
        held = super().state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
        seen: set[nn.Parameter] = set()
        for name, parameter in self.named_parameters(remove_duplicate=False):
            if parameter in seen and not keep_vars and prefix + name in held:
                # safetensors, with which others write it, refuses two that share memory
                held[prefix + name] = held[prefix + name].clone()
            seen.add(parameter)
        return held

    def tie_weights(self) -> None:
        """Makes the projection to the vocabulary share the embeddings' table, where it should."""

    def returns_dict(self, asked: bool | None) -> bool:
        return self.config.use_return_dict if asked is None else asked

    # Changing its shape ----------------------------------------------------------------------

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """Gives the model a vocabulary of another size, and returns its embeddings of words.

        Old rows stay. New ones are drawn around the mean of the old ones, or, without
        `mean_resizing`, as in a fresh model. Raises InputError, and changes nothing, for a size
        below 1 or one that loses the padding id.
        """
        size = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of is not None:
            resize.check_count("pad_to_multiple_of", pad_to_multiple_of)
            size += -size % pad_to_multiple_of
        resize.check_vocabulary(size, self.config.pad_token_id)
        if size != self.config.vocab_size:
            resize.token_embeddings(self, size, mean_resizing)
        return self.get_input_embeddings()

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Lets rows be longer (or shorter) than before.

        Old positions stay. New ones continue the sinusoids, or are drawn as in a fresh model.
        """
        resize.check_count("new_num_position_embeddings", new_num_position_embeddings)
        resize.position_embeddings(self, new_num_position_embeddings)

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Removes attention heads: `{layer: [head, …]}`, numbered as before any pruning.

        Raises InputError, and changes nothing, for layers or heads that do not exist, or where no
        head of a layer would be left.
        """
        config = copy.deepcopy(self.config)
        gone = {layer: {*heads} for layer, heads in config.pruned_heads.items()}
        try:
            for layer, heads in heads_to_prune.items():
                gone[layer] = gone.get(layer, set()) | {*heads}
            config.update({"pruned_heads": {layer: sorted(heads) for layer, heads in gone.items()}})
        except (AttributeError, ConfigError, TypeError) as error:
            raise InputError(f"heads_to_prune is {heads_to_prune!r}: {error}") from None
        self.base_model.adapters_config.check_pruning(gone)
        for layer, heads in config.pruned_heads.items():
            self.base_model.transformer.block(layer).attention.prune_heads(heads)
        self.config.pruned_heads = config.pruned_heads

    # Training --------------------------------------------------------------------------------

    @property
    def is_gradient_checkpointing(self) -> bool:
        return self.base_model.transformer.checkpointing is not None

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Recomputes each block in the backward pass instead of keeping its activations.

        The keywords are those of `torch.utils.checkpoint.checkpoint`.
        """
        options = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        self.base_model.transformer.checkpointing = options

    def gradient_checkpointing_disable(self) -> None:
        self.base_model.transformer.checkpointing = None

    def enable_input_require_grads(self) -> None:
        """Lets gradients flow through frozen embeddings, which re-entrant checkpointing needs."""
        self._embeddings_hook = self.get_input_embeddings().register_forward_hook(_require_grad)

    def disable_input_require_grads(self) -> None:
        """Undoes `enable_input_require_grads`."""
        self._embeddings_hook.remove()


def _require_grad(module: nn.Module, inputs: Any, output: Tensor) -> None:
    output.requires_grad_(True)
