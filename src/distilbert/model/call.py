"""What one forward pass is asked for."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from distilbert.errors import AdapterError


@dataclass(frozen=True)
class Call:
    """The arguments of `DistilBertModel.forward` that say what it computes; nothing is checked yet.

    Raises AdapterError if the input is said to be in copies, one for each of `Parallel`.
    """

    ids: Tensor | None = None
    mask: Tensor | None = None
    head_mask: Tensor | None = None
    embeds: Tensor | None = None
    attentions: bool | None = None
    hidden_states: bool | None = None
    positions: Tensor | None = None
    adapter_names: Any = None
    task_ids: Any = None
    gates: bool = False
    fusions: bool = False
    parallelized: bool | None = None

    def __post_init__(self) -> None:
        if self.parallelized:
            raise AdapterError(
                "adapter_input_parallelized is True; allowed: False, as Parallel copies the batch "
                "itself. For rows that differ, use BatchSplit or PerRow"
            )
