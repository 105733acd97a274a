"""Tokenizer options as users of the field write them, brought to the pipelines' own names."""

from typing import Any

from distilbert.errors import InputError


def unpack_tokenizer_options(options: dict[str, Any], name: str) -> dict[str, Any]:
    """Move `options[name]` (`truncation` and `max_length` among them) to where pipelines read it.

    Raises InputError if an option is given both there and by itself.
    """
    given = options.pop(name, None)
    inner = dict(given or {})
    for own in ("truncation", "max_length"):
        if own in inner:
            if own in options:
                raise InputError(f"{own} is given twice: by itself and in {name}; give it once")
            options[own] = inner.pop(own)
    if inner:
        options["tokenizer_options"] = {**(options.get("tokenizer_options") or {}), **inner}
    return options


def gather_tokenizer_options(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Move options that are a tokenizer's (`names`) from beside the others into their place."""
    inner = {name: options.pop(name) for name in names if name in options}
    if inner:
        options["tokenizer_options"] = {**(options.get("tokenizer_options") or {}), **inner}
    return options
