"""Gates: how much of an adapter a row gets, from the mean over its real tokens.

Source: Mao et al. 2022, "UniPELT".
"""

from torch import Tensor, nn

from distilbert.adapters.site import Note
from distilbert.flow import Flow


class Gate(nn.Linear):
    """x: (…, dim) → (rows, gates) in (0, 1), the mean over each row's real tokens."""

    def __init__(self, dim: int, gates: int = 1) -> None:
        super().__init__(dim, gates)
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, flow: Flow) -> Tensor:  # type: ignore[override]
        return flow.layout.means(super().forward(x).sigmoid())

    def notes(self, values: Tensor, name: str, flow: Flow) -> tuple[Note, ...]:
        """What to tell of the gates, (rows, gates), of the adapter of this name."""
        return (Note("gates", name, values.detach()),) if flow.gates else ()
