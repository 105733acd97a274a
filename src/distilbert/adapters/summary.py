"""What adapters a model has, in numbers."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from distilbert.adapters import fusing, walk
from distilbert.adapters.composition import names

_COLUMNS = ("name", "architecture", "#param", "%param", "active", "train")
_WIDTH = 80


def summary(encoder: Any, as_dict: bool = False) -> str | list[dict[str, Any]]:
    """A table of the adapters, or its rows; the last row is the model without them.

    #param: What the adapter runs with, what it shares with others included. %param: Of the model
    without adapters and fusions. active: Whether it acts in calls that name none. train: Whether
    all of it trains that ever does.
    """
    own = walk.registry(encoder)
    active = names(own.active.setup)
    taken: set[nn.Parameter] = set()
    rows: list[dict[str, Any]] = []
    for name, config in own.configs.items():
        modules = [module for _, _, module in walk.modules(encoder, name)]
        parameters = {parameter for module in modules for parameter in module.parameters()}
        taken |= parameters
        rows.append(
            {
                "name": name,
                "architecture": config.get("architecture") or "bottleneck",
                "#param": sum(parameter.numel() for parameter in parameters),
                "active": name in active,
                "train": all(parameter.requires_grad for parameter in _trainable(modules)),
            }
        )
    for fusion in own.fusions:
        taken |= {
            p for _, module in fusing.fusion_modules(encoder, fusion) for p in module.parameters()
        }
    rest = sum(parameter.numel() for parameter in encoder.parameters() if parameter not in taken)
    frozen = encoder.model_frozen
    rows.append({"name": "Full model", "#param": rest, "train": not frozen})
    for row in rows:
        row["%param"] = 100 * row["#param"] / rest
    return rows if as_dict else _table(rows)


def _trainable(modules: list[nn.Module]) -> Iterator[nn.Parameter]:
    """The parameters that a method trains."""
    for module in modules:
        for part in module.modules():
            fixed = getattr(part, "fixed", ())
            for name, parameter in part.named_parameters(recurse=False):
                if name not in fixed:
                    yield parameter


def _table(rows: list[dict[str, Any]]) -> str:
    line = "{:<25}{:<15}{:>12}{:>12}{:>8}{:>8}"
    shown = [line.format(*map(str.title, _COLUMNS)), "-" * _WIDTH, *(_line(row) for row in rows)]
    shown.insert(-1, "-" * _WIDTH)
    return "\n".join(["=" * _WIDTH, *shown, "=" * _WIDTH])


def _line(row: dict[str, Any]) -> str:
    architecture, active = row.get("architecture", ""), row.get("active")
    return (
        f"{row['name']:<25}{architecture:<15}{row['#param']:>12,}{row['%param']:>12.3f}"
        f"{'' if active is None else _word(active):>8}{_word(row['train']):>8}"
    )


def _word(flag: bool) -> str:
    return "yes" if flag else "no"
