"""Several configurations under one name."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from distilbert.adapters.configs.base import AdapterConfig, require_names
from distilbert.adapters.configs.bottleneck import BnConfig, ParBnConfig, SeqBnConfig
from distilbert.adapters.configs.lora import LoRAConfig
from distilbert.adapters.configs.prefix import PrefixTuningConfig
from distilbert.adapters.configs.rules import shown, thaw
from distilbert.errors import AdapterError

if TYPE_CHECKING:
    from typing_extensions import Self


class ConfigUnion(AdapterConfig, method="union"):
    """Several methods that are added, used, saved and trained as one adapter.

    As a mapping, a union names the settings of its members by their numbers: `union["0.r"]`;
    `union[0]` is the first member.

    Raises AdapterError if a member is no configuration or a union itself, or if two members hang
    at the same place. Where both leave out layers, that depends on the model: see `check_places`.

    >>> union = ConfigUnion(LoRAConfig(r=4), SeqBnConfig())
    >>> union["0.r"], union.replace(r=16)
    (4, ConfigUnion(LoRAConfig(r=16), SeqBnConfig()))
    """

    architecture: str = "union"
    configs: tuple[AdapterConfig, ...]

    def __init__(self, *configs: AdapterConfig) -> None:
        object.__setattr__(self, "configs", configs)
        if not configs:
            raise AdapterError("a union has no members; give it at least one configuration")
        for config in configs:
            if not isinstance(config, AdapterConfig) or config.method in ("union", "fusion"):
                raise AdapterError(
                    f"a union holds {shown(config)}, a {type(config).__name__}; allowed: "
                    "configurations of single methods"
                )
        check_places(self)

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, int):
            return self.configs[key]
        if key in self.unknown:
            return self.unknown[key]
        if key in ("architecture", "configs"):
            return getattr(self, key)
        number, _, name = key.partition(".") if isinstance(key, str) else ("", "", "")
        if not number.isdecimal() or not int(number) < len(self.configs):
            raise KeyError(key)
        return self.configs[int(number)][name]

    def __iter__(self) -> Iterator[str]:
        for number, config in enumerate(self.configs):
            yield from (f"{number}.{name}" for name in config)
        yield from self.unknown

    def __len__(self) -> int:
        return sum(map(len, self.configs)) + len(self.unknown)

    def _key(self) -> tuple[Any, ...]:
        return self.method, self.configs, self.unknown

    def __repr__(self) -> str:
        shown = [*map(repr, self.configs), *self._shown_unknown()]
        return f"{type(self).__name__}({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """What AdapterHub writes for this union."""
        return {
            "architecture": self.architecture,
            "configs": [config.to_dict() for config in self.configs],
            **thaw(self.unknown),
        }

    def replace(self, **changes: Any) -> "ConfigUnion":
        """A union whose members have other values: each change goes to all that have the setting.

        Raises AdapterError for a name that no member has.
        """
        if not changes:
            return self
        known = dict.fromkeys(name for config in self.configs for name in config)
        require_names(type(self).__name__, changes, known)
        return ConfigUnion(
            *(
                config.replace(**{name: v for name, v in changes.items() if name in config})
                for config in self.configs
            )
        )._with_unknown(self.unknown)

    @classmethod
    def _read(cls, data: dict[str, Any]) -> "Self":
        parts = data.pop("configs", None)
        if not isinstance(parts, (list, tuple)) or any(map(_is_union, parts)):
            raise AdapterError(
                f"a union's configs are {shown(parts)}; allowed: a list of configurations, none "
                "of them a union"
            )
        return cls(*map(AdapterConfig.from_dict, parts))._with_unknown(data)


class MAMConfig(ConfigUnion):
    """Mix-and-match: a prefix and a parallel bottleneck. He et al. 2021, arXiv:2110.04366."""

    def __init__(
        self,
        prefix_tuning: PrefixTuningConfig | None = None,
        adapter: BnConfig | None = None,
    ) -> None:
        super().__init__(
            _of(PrefixTuningConfig, prefix_tuning or PrefixTuningConfig(bottleneck_size=800)),
            _of(BnConfig, adapter or ParBnConfig()),
        )

    @property
    def prefix_tuning(self) -> AdapterConfig:
        """The prefix."""
        return self.configs[0]

    @property
    def adapter(self) -> AdapterConfig:
        """The bottleneck."""
        return self.configs[1]


class UniPELTConfig(ConfigUnion):
    """A prefix, a bottleneck and a LoRA, all gated. Mao et al. 2021, arXiv:2110.07577."""

    def __init__(
        self,
        prefix_tuning: PrefixTuningConfig | None = None,
        adapter: BnConfig | None = None,
        lora: LoRAConfig | None = None,
    ) -> None:
        members = (
            _of(PrefixTuningConfig, prefix_tuning or PrefixTuningConfig(prefix_length=10)),
            _of(BnConfig, adapter or SeqBnConfig()),
            _of(LoRAConfig, lora or LoRAConfig(alpha=2)),
        )
        super().__init__(*(config.replace(use_gating=True) for config in members))


def _is_union(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("architecture") == ConfigUnion.method


def _of(kind: type[AdapterConfig], config: AdapterConfig) -> AdapterConfig:
    if not isinstance(config, kind):
        raise AdapterError(f"{shown(config)} is no {kind.__name__}; give one, or None")
    return config


def members(config: AdapterConfig) -> tuple[AdapterConfig, ...]:
    """The parts of a union, in order, or the configuration alone."""
    return config.configs if isinstance(config, ConfigUnion) else (config,)


def check_places(config: AdapterConfig, n_layers: int | None = None) -> None:
    """Raises AdapterError if two members of a union hang at the same place.

    For a model of `n_layers`, or, without that number, as far as it is certain for all models: two
    members that both leave out layers may share none, unless the number tells.
    """
    for (i, first), (j, second) in combinations(enumerate(members(config)), 2):
        shared = set(first._once() & second._once())
        if _meet(first, second, n_layers):
            shared |= first._places() & second._places()
        if shared:
            raise AdapterError(
                f"members {i} and {j} of a union, {first!r} and {second!r}, both take "
                f"{', '.join(sorted(shared))}; give one of them another place, or other layers"
            )


def check_layers(config: AdapterConfig, n_layers: int) -> None:
    """Raises AdapterError if a configuration names layers that a model of `n_layers` has not.

    Files may name them: one for another depth is told by its weights.
    """
    for member in members(config):
        named = {
            "leave_out": member.get("leave_out", ()),
            "layers": member._listed() or (),
            **{
                option: [int(path.split(".")[2]) for path in member.get(option, ())]
                for option in ("rank_pattern", "alpha_pattern")
            },
        }
        for option, layers in named.items():
            beyond = sorted(layer for layer in layers if layer >= n_layers)
            if beyond:
                raise AdapterError(
                    f"{option} of {type(member).__name__} names layer {beyond[0]}; this model has "
                    f"the layers 0 to {n_layers - 1}"
                )


def _meet(first: AdapterConfig, second: AdapterConfig, n_layers: int | None) -> bool:
    """Whether a layer holds both; False where that is open."""
    out = {*first.get("leave_out", ()), *second.get("leave_out", ())}
    listed = [layers for c in (first, second) if (layers := c._listed()) is not None]
    if listed:
        return bool(frozenset.intersection(*listed) - out)
    if n_layers is None:
        return not (first.get("leave_out") or second.get("leave_out"))
    return not out.issuperset(range(n_layers))
