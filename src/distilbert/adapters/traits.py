"""What adapters and fusions are made of, as far as plans must know it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distilbert.adapters.configs import (
    AdapterConfig,
    AdapterFusionConfig,
    BnConfig,
    LoRAConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    ReftConfig,
    members,
)
from distilbert.adapters.site import Site

_PROJECTIONS = ("q", "k", "v", "out", "lin1", "lin2")
_METHODS: Sequence[tuple[type[AdapterConfig], str]] = (
    (BnConfig, "bottleneck"),
    (LoRAConfig, "LoRA"),
    (PrefixTuningConfig, "prefixes"),
    (PromptTuningConfig, "a prompt"),
    (ReftConfig, "ReFT"),
)


@dataclass(frozen=True)
class FusionEntry:
    """A fusion: which adapters, and how."""

    adapters: tuple[str, ...]
    config: AdapterFusionConfig


@dataclass(frozen=True)
class Traits:
    """What an adapter is made of, as far as plans must know it. Worked out once, when it is added.

    sites: Where it hangs. methods: In words. uneven: The projections that change the width where it
    adds a low-rank product, (layer, name, width, out) each: stacks cannot chain there. inserts:
    What it puts into rows. whole: Why it needs every token of a row, or "".
    """

    sites: tuple[Site, ...]
    methods: frozenset[str]
    uneven: tuple[tuple[int, str, int, int], ...]
    inserts: tuple[Any, ...]
    whole: str

    @staticmethod
    def of(name: str, config: AdapterConfig, sites: tuple[Site, ...]) -> "Traits":
        """Of an adapter of this configuration that hangs there."""
        methods: set[str] = set()
        inserts: list[tuple[Any, ...]] = []
        whole, adds = "", False
        for member in members(config):
            methods |= {word for kind, word in _METHODS if isinstance(member, kind)}
            if isinstance(member, LoRAConfig):
                adds = adds or member.composition_mode == "add"
            elif isinstance(member, PrefixTuningConfig):
                inserts.append(("prefix", member.prefix_length, tuple(member.leave_out)))
            elif isinstance(member, PromptTuningConfig):
                inserts.append(("prompt", member.prompt_length, member.combine))
            elif isinstance(member, ReftConfig):
                whole = f"the ReFT {name!r} counts positions"
            if member.get("use_gating") or member.get("stochastic_depth"):
                whole = f"{name!r} has gates or drops rows"
        if any(site.name == "invertible" for site in sites):
            methods.add("an invertible adapter")
        uneven = tuple(
            (site.layer, site.name, site.width, site.out)
            for site in sites
            if adds and site.name in _PROJECTIONS and site.width != site.out
        )
        return Traits(sites, frozenset(methods), uneven, tuple(inserts), whole)
