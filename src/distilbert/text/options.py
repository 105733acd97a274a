"""What a caller asked of one call, checked once and in one form."""

from __future__ import annotations

import logging
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

from distilbert.errors import InputError
from distilbert.text.tensors import check_kind
from distilbert.text.truncation import STRATEGIES

if TYPE_CHECKING:
    from distilbert.text.special import SpecialTokens

logger = logging.getLogger("distilbert")

PADDINGS = ("longest", "max_length", "do_not_pad")
SIDES = ("right", "left")
LARGE = 10**20
"""A model_max_length above this means that nobody said one."""


class Options(NamedTuple):
    """The options of one call: names as in `__call__`, defaults filled in."""

    add_special_tokens: bool = True
    padding: str = "do_not_pad"
    truncation: str = "do_not_truncate"
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: str = "right"
    truncation_side: str = "right"
    return_tensors: str | None = None
    return_token_type_ids: bool = False
    return_attention_mask: bool = True
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool = False


class Notes:
    """Things worth saying once to who uses a tokenizer; logged by the logger "distilbert"."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, key: str, message: str) -> None:
        """Log a warning, unless one with this key was logged before."""
        if key not in self._said:
            self._said.add(key)
            logger.warning(message)


def resolve(
    tokenizer: SpecialTokens,
    *,
    padding: Any = False,
    truncation: Any = None,
    max_length: int | None = None,
    stride: int = 0,
    pad_to_multiple_of: int | None = None,
    padding_side: str | None = None,
    return_tensors: Any = None,
    return_token_type_ids: bool | None = None,
    return_attention_mask: bool | None = None,
    verbose: bool = True,
    **others: Any,
) -> Options:
    """The options of a call to `tokenizer`, whose attributes give the defaults.

    As everywhere in the field: `max_length` alone means to truncate; and where a maximum is needed
    but neither the caller nor the tokenizer names one, nothing is padded or truncated (said once).
    Raises InputError for values that are unknown, or that cannot go together.
    """
    side = check_side(
        tokenizer.padding_side if padding_side is None else padding_side, "padding_side"
    )
    max_length = None if max_length is None else check_count("max_length", max_length, least=0)
    stride = check_count("stride", stride, least=0)
    if pad_to_multiple_of is not None:
        pad_to_multiple_of = check_count("pad_to_multiple_of", pad_to_multiple_of, least=1)
    if max_length is not None and padding is False and truncation is None:
        truncation = True
    pads = pad_strategy(padding)
    cuts = truncate_strategy(truncation)
    longest = tokenizer.model_max_length
    if max_length is None and (pads == "max_length" or cuts != "do_not_truncate"):
        if longest > LARGE:
            if verbose:
                tokenizer.notes.say(
                    "no maximum",
                    "padding or truncation to a maximum was asked for, but no max_length was given "
                    "and this tokenizer has no model_max_length, so neither was done",
                )
            pads = "do_not_pad" if pads == "max_length" else pads
            cuts = "do_not_truncate"
        else:
            max_length = longest
    if pads != "do_not_pad" and tokenizer.pad_token is None:
        raise InputError(
            "padding was asked for, but this tokenizer has no pad_token; set one: "
            "tokenizer.add_special_tokens({'pad_token': '[PAD]'})"
        )
    if (
        cuts != "do_not_truncate"
        and pads != "do_not_pad"
        and pad_to_multiple_of
        and max_length is not None
        and max_length % pad_to_multiple_of
    ):
        raise InputError(
            f"rows cannot both be cut to max_length={max_length} and be padded to a multiple of "
            f"{pad_to_multiple_of}; give a max_length that is such a multiple"
        )
    names = tokenizer.model_input_names
    return Options(
        padding=pads,
        truncation=cuts,
        max_length=max_length,
        stride=stride,
        pad_to_multiple_of=pad_to_multiple_of,
        padding_side=side,
        truncation_side=check_side(tokenizer.truncation_side, "truncation_side"),
        return_tensors=check_kind(return_tensors),
        return_token_type_ids=(
            "token_type_ids" in names if return_token_type_ids is None else return_token_type_ids
        ),
        return_attention_mask=(
            "attention_mask" in names if return_attention_mask is None else return_attention_mask
        ),
        verbose=verbose,
        **others,
    )


def pad_strategy(padding: Any) -> str:
    """One of PADDINGS from what callers write: True, False, a name, or an enumeration's member."""
    if padding is None or isinstance(padding, bool):
        return "longest" if padding else "do_not_pad"
    return _choice("padding", padding, PADDINGS)


def truncate_strategy(truncation: Any) -> str:
    """One of STRATEGIES from what callers write."""
    if truncation is None or isinstance(truncation, bool):
        return "longest_first" if truncation else "do_not_truncate"
    return _choice("truncation", truncation, STRATEGIES)


def check_side(side: Any, name: str) -> str:
    """`side` if it is one. Raises InputError otherwise."""
    if isinstance(side, str) and side in SIDES:
        return side
    raise InputError(f"{name}={side!r} is unknown; give 'right' or 'left'")


def _choice(name: str, given: Any, allowed: tuple[str, ...]) -> str:
    value = getattr(given, "value", given)
    if isinstance(value, str) and value in allowed:
        return value
    choices = ", ".join(map(repr, allowed))
    raise InputError(f"{name}={given!r} is unknown; give True, False or one of {choices}")


def check_count(name: str, value: Any, *, least: int | None = None) -> int:
    """`value` as a whole number, `least` or more. Raises InputError if it is none."""
    try:
        count: int | None = operator.index(value)  # numpy's whole numbers too
    except TypeError:
        count = None
    if count is None or isinstance(value, bool) or (least is not None and count < least):
        bound = "" if least is None else f", {least} or more"
        raise InputError(f"{name}={value!r} has to be a whole number{bound}")
    return count
