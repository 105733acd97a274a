"""Which adapters a model has, which are active, and whether a composition of them can run."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from distilbert.adapters.composition import (
    Average,
    BatchSplit,
    Composition,
    Fuse,
    MultiTask,
    Parallel,
    PerRow,
    Split,
    Stack,
    copies,
    names,
    parse,
)
from distilbert.adapters.configs import AdapterConfig, members, preset_name
from distilbert.adapters.plan import Plan
from distilbert.adapters.traits import FusionEntry, Traits
from distilbert.errors import AdapterError


class Adapters(Collection[str]):
    """The adapters of a model by name, with what is active by default. Part of the encoder.

    configs: From name to configuration. traits: What plans know of each. fusions: By name.
    active: What runs where a call names no adapters.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.configs: dict[str, AdapterConfig] = {}
        self.traits: dict[str, Traits] = {}
        self.fusions: dict[str, FusionEntry] = {}
        self.active = Plan()
        self.merged: str | None = None

    def __contains__(self, name: object) -> bool:
        return name in self.configs

    def __iter__(self) -> Iterator[str]:
        return iter(self.configs)

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def adapters(self) -> dict[str, str]:
        """From name to the name of a preset, or of the method where it is none."""
        return {
            name: preset_name(config) or type(config).__name__
            for name, config in self.configs.items()
        }

    @property
    def active_setup(self) -> Composition | None:
        """The composition that runs where a call names no adapters."""
        return self.active.setup

    @property
    def skip_layers(self) -> list[int] | None:
        """The layers in which the active adapters do not act."""
        return sorted(self.active.skip_layers) or None

    def get(self, adapter_name: str) -> AdapterConfig | None:
        """The configuration of an adapter, or None."""
        return self.configs.get(adapter_name)

    def require(self, name: Any) -> AdapterConfig:
        """The configuration of an adapter. Raises AdapterError if there is none of this name."""
        if not isinstance(name, str) or name not in self.configs:
            raise AdapterError(
                f"no adapter {name!r}; this model has {sorted(self.configs)}; call add_adapter or "
                "load_adapter first"
            )
        return self.configs[name]

    def match(
        self,
        adapter_name: str,
        config_type: type,
        layer_idx: int | None = None,
        location_key: str | None = None,
    ) -> AdapterConfig | None:
        """The configuration of an adapter, or the member of its union, that is of a type.

        layer_idx: Only if the layer is not left out. location_key: Only if this setting is on.
        None where there is none. Raises AdapterError where there are several.
        """
        config = self.configs.get(adapter_name)
        if config is None:
            return None
        found = [
            each
            for each in ((config,) if isinstance(config, config_type) else members(config))
            if isinstance(each, config_type)
            and (layer_idx is None or layer_idx not in each.get("leave_out", ()))
            and (location_key is None or each.get(location_key, False))
        ]
        if len(found) > 1:
            raise AdapterError(
                f"{adapter_name!r} has {len(found)} members that are a {config_type.__name__}; "
                "name a location_key that one of them has alone"
            )
        return found[0] if found else None

    def check_pruning(self, layers: Iterable[int]) -> None:
        """Raises AdapterError if adapters hang in one of the layers, whose sizes they have."""
        for name, traits in self.traits.items():
            held = sorted({s.layer for s in traits.sites} & {*layers})
            prefixes = "prefixes" in traits.methods
            if held or prefixes:
                raise AdapterError(
                    f"heads of layers {sorted(layers)} cannot be pruned: the adapter {name!r} "
                    f"hangs in {f'layers {held}' if held else 'all layers'}, and has the sizes of "
                    "the whole layers; delete_adapter first, and add it after pruning"
                )

    def fuse(self, name: str) -> Fuse:
        """The composition that runs a fusion. Raises AdapterError if there is none of this name."""
        if name not in self.fusions:
            raise AdapterError(f"no fusion {name!r}; this model has {sorted(self.fusions)}")
        adapters = self.fusions[name].adapters
        return Fuse(*adapters, name=None if name == ",".join(adapters) else name)

    # Plans -----------------------------------------------------------------------------------

    def plan(self, setup: Any, skip_layers: Iterable[int] | None = None) -> Plan:
        """A composition, checked and ready to run on this model.

        Raises AdapterError if its adapters do not exist, or cannot be combined so.
        """
        tree = parse(setup)
        skipped = _layers(skip_layers, self.depth)
        if tree is None:
            return Plan(None, skipped)
        for name in names(tree):
            self.require(name)
        self._check_merged(tree)
        self._check(tree)
        self._check_tasks(tree)
        return Plan(
            tree, skipped, copies(tree), self._fork(tree, skipped), self._whole_last(tree, skipped)
        )

    def _check_tasks(self, tree: Composition) -> None:
        counts = {len(node.children) for node in _all(tree, MultiTask)}
        if len(counts) > 1:
            raise AdapterError(
                f"{tree!r} holds several MultiTask of {sorted(counts)} adapters, and each row has "
                "one task for all of them; give them equally many adapters"
            )

    def _check_merged(self, tree: Composition) -> None:
        if self.merged is not None and tree != Stack(self.merged):
            raise AdapterError(
                f"{self.merged!r} is merged into the weights, so {tree!r} would run on top of it; "
                "call reset_adapter() first"
            )

    def _check(self, node: Any) -> None:
        """Raises AdapterError for what has no meaning for the methods of its adapters."""
        if not isinstance(node, Composition):
            return
        match node:
            case Fuse():
                self._check_fuse(node)
            case Split():
                self._check_split(node)
            case Average():
                self._check_average(node)
            case Stack():
                self._check_stack(node)
            case _:
                if copies(node) > 1 and any(copies(c) not in (1, copies(node)) for c in node):
                    raise AdapterError(f"{node!r} makes different numbers of copies")
        for child in node.children:
            self._check(child)

    def _check_fuse(self, node: Fuse) -> None:
        for name in names(node):
            for method in sorted(self.traits[name].methods - {"bottleneck"}):
                raise AdapterError(
                    f"{name!r} has {method}, which a fusion cannot attend to; Fuse takes "
                    "bottleneck adapters (seq_bn, double_seq_bn, par_bn, compacter) alone"
                )
        if node.name not in self.fusions:
            raise AdapterError(
                f"no fusion {node.name!r}; this model has {sorted(self.fusions)}; call "
                f"add_adapter_fusion({[_last(child) for child in node.children]}) first"
            )
        adapters = self.fusions[node.name].adapters
        held = [names(child) for child in node.children]
        if len(held) != len(adapters) or any(
            [adapter not in here for adapter, here in zip(adapters, held, strict=True)]  # noqa: C419
        ):
            raise AdapterError(
                f"{node!r} does not hold the adapters of the fusion {node.name!r} in their order, "
                f"{list(adapters)}, for which its weights are; add another fusion for these"
            )

    def _check_split(self, node: Split) -> None:
        for name in names(node):
            for method in sorted(self.traits[name].methods & {"prefixes", "a prompt", "ReFT"}):
                raise AdapterError(
                    f"{name!r} has {method}, which belongs to whole rows and not to some of their "
                    "columns; Split takes bottleneck, LoRA and invertible adapters"
                )

    def _check_average(self, node: Average) -> None:
        inserts = {found for child in node.children for found in self._inserts(child)}
        if len(inserts) > 1:
            raise AdapterError(
                f"{node!r} averages prefixes or prompts of unequal length {sorted(inserts)}; the "
                "mean needs one length and place in every row"
            )

    def _inserts(self, node: Any) -> set[tuple[Any, ...]]:
        """What a part of a composition puts into rows, in order; several where rows differ."""
        if node is None:
            return {()}
        if isinstance(node, str):
            return {self.traits[node].inserts}
        parts = [self._inserts(child) for child in node.children]
        if isinstance(node, Stack):
            found: set[tuple[Any, ...]] = {()}
            for part in parts:
                found = {(*before, *more) for before in found for more in part}
            return found
        return set().union(*parts)

    def _check_stack(self, node: Stack) -> None:
        counts = {copies(child) for child in node.children} - {1}
        if len(counts) > 1:
            raise AdapterError(f"{node!r} makes {sorted(counts)} copies of each row at once")
        before: list[tuple[int, str, int, int]] = []
        for child in node.children:
            here = [place for name in names(child) for place in self.traits[name].uneven]
            both = sorted([place for place in here if place in before])
            if both:
                layer, name, width, out = both[0]
                raise AdapterError(
                    f"{node!r} stacks LoRAs at {name!r} of layer {layer}, which changes the width "
                    f"from {width} to {out}: what one says cannot be what the next reads; leave "
                    "one of them out there, or average them"
                )
            before += here

    def _fork(self, tree: Composition, skipped: frozenset[int]) -> int:
        """Before which layer copies of rows begin to differ."""
        fork = self.depth - 1  # at the latest, so that what is read is read of copies
        for name in names(_parallel(tree)):
            for site in self.traits[name].sites:
                if site.name in ("invertible", "prompt"):
                    fork = -1
                elif site.layer >= 0 and site.layer not in skipped:
                    fork = min(fork, site.layer)
        return fork

    def _whole_last(self, tree: Composition, skipped: frozenset[int]) -> str:
        """Why the last layer needs every token of a row, or ""."""
        last = self.depth - 1
        if last in skipped:
            return ""
        if _all(tree, Split):
            return "Split counts columns"
        for name in names(tree):
            traits = self.traits[name]
            if traits.whole and any([s.layer == last for s in traits.sites]):  # noqa: C419  (traced)
                return traits.whole
        return ""

    def check_inverse(self, setup: Any) -> None:
        """Raises AdapterError if a row's invertible adapters have no inverse together."""
        if isinstance(setup, (Stack, PerRow, BatchSplit, Parallel, MultiTask)):
            for child in setup.children:
                self.check_inverse(child)
        elif setup is not None:
            self.inverse(setup)

    def inverse(self, tree: Any) -> list[str]:
        """The invertible adapters to undo before a language-model head, in order.

        tree: A composition that chooses no rows, or None. Raises AdapterError where there is no
        inverse.
        """
        if tree is None:
            return []
        if isinstance(tree, str):
            return [tree] if "an invertible adapter" in self.traits[tree].methods else []
        if isinstance(tree, Stack):
            return [name for child in reversed(tree.children) for name in self.inverse(child)]
        found = [name for name in names(tree) if self.inverse(name)]
        if found:
            raise AdapterError(
                f"{tree!r} has the invertible adapters {found}, and what they become together has "
                "no inverse, which a language-model head needs; use one of them, or a Stack"
            )
        return []


def _last(child: Any) -> str:
    return child.last() if isinstance(child, Composition) else child


def _all(tree: Any, kind: type) -> list[Any]:
    """The parts of a composition that are of a kind."""
    found = [tree] if isinstance(tree, kind) else []
    if isinstance(tree, Composition):
        for child in tree.children:
            found += _all(child, kind)
    return found


def _parallel(tree: Any) -> Any:
    """What differs between copies: all that stands inside a `Parallel`, or None."""
    if isinstance(tree, Parallel):
        return tree
    found: list[Any] = []
    if isinstance(tree, Composition):
        for child in tree.children:
            part = _parallel(child)
            if part is not None:
                found.append(part)
    return Stack(*found) if found else None


def _layers(given: Any, depth: int) -> frozenset[int]:
    try:
        layers = [] if given is None else list(given)
    except TypeError:
        raise AdapterError(
            f"skip_layers is {given!r}; allowed: a list of numbers of layers, 0 to {depth - 1}"
        ) from None
    wrong = [
        i for i in layers if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < depth
    ]
    if wrong:
        raise AdapterError(
            f"skip_layers holds {wrong[0]!r}; allowed: numbers of layers, 0 to {depth - 1}"
        )
    return frozenset(layers)
