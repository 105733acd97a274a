"""Rows from ids that a caller has already: the template alone, and `prepare_for_model`."""

from __future__ import annotations

from typing import Any

from distilbert.errors import InputError
from distilbert.text.encoding import BatchEncoding
from distilbert.text.options import Options, check_count, check_side, truncate_strategy
from distilbert.text.padding import pad_row
from distilbert.text.special import SpecialTokens
from distilbert.text.template import Template
from distilbert.text.tensors import id_list


class Preparing(SpecialTokens):
    """The part of a tokenizer that puts special tokens around ids."""

    @property
    def template(self) -> Template:
        """Where special tokens stand."""
        raise NotImplementedError

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a row of one text, or of a pair, has."""
        return self.template.frame(pair).size

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of a text fit in a row of `model_max_length`."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of a pair of texts fit in a row of `model_max_length`."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """`[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]`, as ids."""
        first, second = _rows(token_ids_0, token_ids_1)
        return self.template.frame(second is not None).ids(first, second)

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for the first text and its special tokens, 1 for the second and its own."""
        first, second = _rows(token_ids_0, token_ids_1)
        return self.template.frame(second is not None).type_ids(len(first), len(second or []))

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for special tokens, 0 for others: of the row that the texts would give.

        already_has_special_tokens: token_ids_0 is such a row itself.
        """
        first, second = _rows(token_ids_0, token_ids_1)
        if already_has_special_tokens:
            if second is not None:
                raise InputError(
                    "a row that has its special tokens is one list: leave token_ids_1 out"
                )
            special = frozenset(self.all_special_ids)
            return [int(id in special) for id in first]
        frame = self.template.frame(second is not None)
        marks = frame._replace(
            before=[1] * len(frame.before),
            between=[1] * len(frame.between),
            after=[1] * len(frame.after),
        )
        return marks.ids([0] * len(first), None if second is None else [0] * len(second))

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: Any = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """The two texts without `num_tokens_to_remove` tokens, and what was cut off.

        What was cut off is of the one text that was cut, with `stride` tokens that were kept; where
        "longest_first" cuts a pair it is empty, and of an odd number the second loses one more.
        Raises InputError if the text that may be cut is too short.
        """
        ids = id_list(ids, "ids")
        pair_ids = None if pair_ids is None else id_list(pair_ids, "pair_ids")
        strategy = truncate_strategy(truncation_strategy)
        num_tokens_to_remove = check_count("num_tokens_to_remove", num_tokens_to_remove)
        stride = check_count("stride", stride, least=0)
        if num_tokens_to_remove <= 0 or strategy == "do_not_truncate":
            return ids, pair_ids, []
        if strategy == "longest_first" and pair_ids is not None:
            first, second = _removals(len(ids), len(pair_ids), num_tokens_to_remove)
            return self._cut(ids, first), self._cut(pair_ids, second), []
        if strategy == "only_second":
            if pair_ids is None:
                raise InputError("truncation='only_second', but there is no second text")
            cut, rest = self._cut_and_rest(pair_ids, num_tokens_to_remove, stride, "second")
            return ids, cut, rest
        cut, rest = self._cut_and_rest(ids, num_tokens_to_remove, stride, "first")
        return cut, pair_ids, rest

    def _cut(self, ids: list[int], count: int) -> list[int]:
        side = check_side(self.truncation_side, "truncation_side")
        return ids[: len(ids) - count] if side == "right" else ids[count:]

    def _cut_and_rest(
        self, ids: list[int], count: int, stride: int, which: str
    ) -> tuple[list[int], list[int]]:
        if len(ids) <= count:
            raise InputError(
                f"{count} tokens would have to be cut from the {which} text, which has {len(ids)}; "
                "raise max_length or use 'longest_first'"
            )
        window = min(len(ids), stride + count)
        rest = ids[-window:] if self.truncation_side == "right" else ids[:window]
        return self._cut(ids, count), rest

    def _prepare(
        self, ids: list[int], pair_ids: list[int] | None, options: Options, prepend: bool
    ) -> BatchEncoding:
        pair = pair_ids is not None
        template = self.template if options.add_special_tokens else Template.bare()
        frame = template.frame(pair)
        total = len(ids) + len(pair_ids or []) + frame.size
        excess = total - options.max_length if options.max_length is not None else 0
        rest: list[int] = []
        if options.truncation != "do_not_truncate" and excess > 0:
            if options.return_overflowing_tokens and pair and options.truncation == "longest_first":
                raise InputError(
                    "prepare_for_model cannot return what 'longest_first' cuts from a pair; use "
                    "'only_first' or 'only_second', or call the tokenizer with the texts"
                )
            ids, pair_ids, rest = self.truncate_sequences(
                ids, pair_ids, excess, options.truncation, options.stride
            )
        values: dict[str, Any] = {}
        if options.return_overflowing_tokens:
            values["overflowing_tokens"] = rest
            values["num_truncated_tokens"] = excess
        values["input_ids"] = frame.ids(ids, pair_ids)
        if options.return_token_type_ids:
            values["token_type_ids"] = frame.type_ids(len(ids), len(pair_ids or []))
        if options.return_special_tokens_mask:
            values["special_tokens_mask"] = (
                self.get_special_tokens_mask(ids, pair_ids)
                if options.add_special_tokens
                else [0] * len(values["input_ids"])
            )
        padded = pad_row(self, values, "input_ids", options, len(values["input_ids"]))
        if options.return_length:
            padded["length"] = len(padded["input_ids"])
        return BatchEncoding(padded, None, options.return_tensors, prepend)


def _rows(first: Any, second: Any) -> tuple[list[int], list[int] | None]:
    """The ids of one text or two, of lists or tensors."""
    return (
        id_list(first, "token_ids_0"),
        None if second is None else id_list(second, "token_ids_1"),
    )


def _removals(first: int, second: int, count: int) -> tuple[int, int]:
    """How many tokens each of two texts loses: the longer one until they are equally long."""
    from_longer = min(abs(first - second), count)
    half = (count - from_longer) // 2
    other_half = count - from_longer - half
    return (from_longer + half, other_half) if first > second else (half, from_longer + other_half)
