"""Where adapters hang, and what flows through them there.

A site is a place in the encoder, a slot the modules that hang there, and a state what they change.
An adapter is a module from state to state: `forward(state, flow) → state`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = -1  # the layer of what hangs at the embeddings, or is shared by all layers


@dataclass(frozen=True)
class Site:
    """A place in the encoder.

    name: Projections are `q`, `k`, `v`, `out`, `lin1`, `lin2`; behind attention and feed-forward
        are `mh_adapter` and `output_adapter`; in attention is `prefix`, behind a layer `reft`; at
        the embeddings `invertible` and `prompt`; of all layers `prefixes` and `shared`.
    layer: Counted from 0, or `ROOT`.
    width: Of what comes in. out: Of what goes out.
    """

    name: str
    layer: int
    width: int
    out: int

    @property
    def place(self) -> str:
        """What the field calls it where adapters report: `selfattn_lora`, `mh_adapter`, …"""
        return PLACES.get(self.name, self.name)


PLACES = {
    **dict.fromkeys(("q", "k", "v", "out"), "selfattn_lora"),
    "lin1": "intermediate_lora",
    "lin2": "output_lora",
    "prefix": "self",
}


class Note(NamedTuple):
    """What an adapter tells beside its work: gates of rows, or attentions of a fusion."""

    kind: str  # "gates" or "fusions"
    name: str  # of the adapter or fusion
    values: Tensor


class Noted(NamedTuple):
    """A note, and where it was written: the layer, the place, the rows that it is of."""

    note: Note
    layer: int
    place: str
    rows: tuple[int, ...] | None  # None: all rows of the pass, in their order


Notes = tuple[Noted, ...]


class LinearState(NamedTuple):
    """Beside a projection: its input x (…, in), its output y (…, out), and what adds to it.

    source: What the next low-rank adapter reads: x, or in a stack what the one before it said.
    delta: What low-rank adapters add to y, (…, out), or None.
    weight: Of the projection, (out, in). bias: (out,) or None.
    """

    x: Tensor
    y: Tensor
    source: Tensor
    weight: Tensor
    bias: Tensor | None = None
    delta: Tensor | None = None
    notes: tuple[Note, ...] = ()

    def end(self) -> Tensor:
        """(…, out)"""
        return self.y if self.delta is None else self.y + self.delta


class ResidualState(NamedTuple):
    """Before an add-and-norm: norm(hidden + skip), both (…, dim).

    after: Whether the add-and-norm is still to be done when all adapters are through; a tensor of
        booleans, (…, 1), where tokens differ.
    up: What the last bottleneck added to the stream, (…, dim): what a fusion attends to.
    """

    hidden: Tensor
    skip: Tensor
    norm: nn.Module
    after: bool | Tensor = True
    up: Tensor | None = None
    notes: tuple[Note, ...] = ()

    def end(self) -> Tensor:
        """(…, dim)"""
        if self.after is False:
            return self.hidden
        normal: Tensor = self.norm(self.hidden + self.skip)
        return normal if self.after is True else torch.where(self.after, normal, self.hidden)


class HiddenState(NamedTuple):
    """The stream of activations: hidden (…, dim)."""

    hidden: Tensor
    notes: tuple[Note, ...] = ()

    def end(self) -> Tensor:
        """(…, dim)"""
        return self.hidden


class PrefixState(NamedTuple):
    """What attention reads beside the rows' own keys and values.

    x: What goes into the attention, (…, dim).
    keys, values: (rows or 1, length, heads × width), or None for nothing.
    """

    x: Tensor
    keys: Tensor | None = None
    values: Tensor | None = None
    notes: tuple[Note, ...] = ()


class PromptState(NamedTuple):
    """Vectors that come into every row, before and behind its first token.

    front, behind: (count, dim), or None for nothing.
    """

    front: Tensor | None = None
    behind: Tensor | None = None
    notes: tuple[Note, ...] = ()


State = LinearState | ResidualState | HiddenState | PrefixState | PromptState


class Slot(nn.ModuleDict):
    """From an adapter's name to its module, at one site. Empty, it adds nothing to a state dict.

    merged: The adapter that is in the projection's weights now, and so acts no more, or None.
    plain: The projection's own parameters meanwhile, without it, by name.
    """

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.merged: str | None = None
        self.plain: dict[str, nn.Parameter] = {}

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        if self.plain:  # moved as modules move theirs: they stay the same objects
            aside = nn.ParameterDict(self.plain)._apply(fn)  # type: ignore[no-untyped-call]
            self.plain = dict(aside.items())
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def acts(self, name: str) -> bool:
        """Whether the adapter hangs here and is not merged."""
        return name in self and name != self.merged


def held(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of a module and of all in it, with those that merging has put aside."""
    yield from module.parameters()
    for part in module.modules():
        if isinstance(part, Slot):
            yield from part.plain.values()


class Holder(nn.Module):
    """A slot below a name of its own, for the keys that published files have."""

    def __init__(self, name: str, site: Site) -> None:
        super().__init__()
        self._name = name
        self.add_module(name, Slot(site))

    @property
    def slot(self) -> Slot:
        return self._modules[self._name]  # type: ignore[return-value]


ROW_FIELDS = ("x", "y", "source", "hidden", "skip", "delta", "up")  # lie as the layout's tokens do
_KEPT = ("notes", "norm", "weight", "bias", "x", "skip")  # no adapter changes these


def mixed(
    state: Any, children: Sequence[Any], weights: Sequence[float], *, norms_differ: bool = False
) -> Any:
    """The weighted mean of what became of a state; every tensor of it that has changed.

    Where the weights do not sum to 1, it is the changes that are weighted and added. `norms_differ`
    says that some children leave the add-and-norm to be done, and others do not: all do it first.
    """
    if isinstance(state, ResidualState) and norms_differ:
        state, children = _ended(state), [_ended(child) for child in children]
    changed: dict[str, Any] = {"notes": _all_notes(state, children)}
    rest = 1.0 - sum(weights)
    for name, before, after in _changes(state, children):
        known = [value for value in after if isinstance(value, Tensor)]
        widths = [value.shape[-1] for value in known]
        if not known:
            changed[name] = after[0]
        elif name != "source" or all([width == widths[0] for width in widths]):  # noqa: C419
            terms = [
                weight * (torch.zeros_like(known[0]) if value is None else value)
                for value, weight in zip(after, weights, strict=True)
            ]
            total = sum(terms[1:], terms[0])
            adds = name in ("y", "hidden") and abs(rest) > 1e-6
            changed[name] = total + rest * before if adds else total
    return state._replace(**changed)


def _ended(state: ResidualState) -> ResidualState:
    """The state with its add-and-norm done."""
    return state._replace(hidden=state.end(), after=False)


def cut(state: Any, pieces: Callable[[Tensor], Sequence[Tensor]]) -> list[Any]:
    """A state in pieces, every field that lies as the tokens do taken apart by `pieces`."""
    parts = {
        name: pieces(value)
        for name, value in state._asdict().items()
        if name in ROW_FIELDS and value is not None
    }
    count = len(next(iter(parts.values())))
    return [
        state._replace(**{name: values[i] for name, values in parts.items()}) for i in range(count)
    ]


def joined(state: Any, ends: Sequence[Any], join: Callable[[Sequence[Tensor]], Tensor]) -> Any:
    """The state whose pieces became `ends`; `join` puts tensors together again."""
    changed: dict[str, Any] = {"notes": _all_notes(state, ends)}
    for name, _, after in _changes(state, ends):
        known = [value for value in after if isinstance(value, Tensor)]
        if not known and len({*after}) == 1:
            changed[name] = after[0]
            continue
        whole = [_tensor(value, end, known) for value, end in zip(after, ends, strict=True)]
        if len({value.shape[-1] for value in whole}) == 1:
            changed[name] = join(whole)
    return state._replace(**changed)


def _tensor(value: Any, end: Any, known: Sequence[Tensor]) -> Tensor:
    """A field of one piece as a tensor: a flag of each token, or zeros where nothing was added."""
    if isinstance(value, Tensor):
        return value
    tokens: Tensor = end.hidden if hasattr(end, "hidden") else end.y
    if value is None:
        return tokens.new_zeros(*tokens.shape[:-1], known[0].shape[-1])
    return torch.full((*tokens.shape[:-1], 1), value, dtype=torch.bool, device=tokens.device)


def _changes(state: Any, ends: Sequence[Any]) -> Iterator[tuple[str, Any, list[Any]]]:
    """The fields that differ from those of the state: name, before, after."""
    for name, before in state._asdict().items():
        after = [getattr(end, name) for end in ends]
        if name not in _KEPT and not all(value is before for value in after):
            yield name, before, after


def _all_notes(state: Any, ends: Sequence[Any]) -> tuple[Note, ...]:
    """What a state was told, and each of the states that it became, once."""
    told = len(state.notes)
    return (*state.notes, *(note for end in ends for note in end.notes[told:]))


def by_place(notes: Notes, kind: str) -> dict[str, dict[int, dict[str, Tensor]]]:
    """Notes of a kind as {name of the adapter: {layer: {place: values}}}.

    Rows are those that ran the adapter, in the caller's order; several gates at one place (of
    queries and values) stand side by side, (rows, gates).
    """
    parts: dict[tuple[str, int, str], list[Noted]] = {}
    for noted in notes:
        if noted.note.kind == kind:
            parts.setdefault((noted.note.name, noted.layer, noted.place), []).append(noted)
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    for (name, layer, place), of_place in parts.items():
        found.setdefault(name, {}).setdefault(layer, {})[place] = _side_by_side(of_place)
    return found


def _side_by_side(of_place: Sequence[Noted]) -> Tensor:
    """Values of the same rows side by side, those of different rows one below the other.

    NaN stands where an adapter acted less often on some rows than on others.
    """
    of_rows: dict[tuple[int, ...] | None, list[Tensor]] = {}
    for noted in of_place:
        of_rows.setdefault(noted.rows, []).append(noted.note.values)
    values = [torch.cat(parts, -1) if len(parts) > 1 else parts[0] for parts in of_rows.values()]
    if len(values) == 1 and None in of_rows:
        return values[0]
    numbers = torch.tensor([row for rows in of_rows for row in rows or ()])
    widest = max([value.shape[-1] for value in values])
    even = [F.pad(value, (0, widest - value.shape[-1]), value=torch.nan) for value in values]
    return torch.cat(even)[numbers.argsort()]
