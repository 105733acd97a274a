"""The ways to call a tokenizer: `__call__`, `encode`, `encode_plus`, `batch_encode_plus`, `pad`…"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distilbert.errors import InputError
from distilbert.text.encoding import BatchEncoding
from distilbert.text.given import Batch, read_call, read_many, read_one
from distilbert.text.options import Options, resolve
from distilbert.text.padding import pad_encoded
from distilbert.text.prepare import Preparing
from distilbert.text.tensors import id_list

Text = str | Sequence[str] | Sequence[Sequence[str]] | None
Ids = str | Sequence[str] | Sequence[int]


class Calling(Preparing):
    """The part of a tokenizer that callers call: signatures and names are those of the field."""

    split_special_tokens: bool

    def __call__(
        self,
        text: Text = None,
        text_pair: Text = None,
        text_target: Text = None,
        text_pair_target: Text = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        *,
        split_special_tokens: bool | None = None,
    ) -> BatchEncoding:
        """Encode one text, one pair, or a batch of either.

        text, text_pair: a string, or a list of them; with is_split_into_words a list of words, or a
            list of such lists. A list of pairs may also be given as `text`.
        text_target: texts whose ids become "labels" (or "input_ids" if there is no `text`).
        add_special_tokens: put `[CLS]` and `[SEP]` around.
        padding: True or "longest", "max_length", or False; pad_to_multiple_of, padding_side.
        truncation: True or "longest_first", "only_first", "only_second", or False, to max_length
            (default: `model_max_length`). `max_length` without `padding` means to truncate.
        return_overflowing_tokens: instead of throwing away what is cut, return every window of a
            text as a row, neighbours sharing `stride` tokens, with "overflow_to_sample_mapping".
        return_tensors: "pt", "np", or None for lists.
        return_*: what else the answer holds. Rows of one text have no batch axis in lists, unless
            they are windows.
        split_special_tokens: special tokens that stand in a text are cut like other characters.

        Raises InputError for an empty batch, for anything that is no text, for options that are
        unknown or cannot go together, and for tensors of rows of different lengths.

        >>> from distilbert import DistilBertTokenizerFast
        >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s"]
        >>> tokenizer = DistilBertTokenizerFast(vocabulary)
        >>> tokenizer("Hello worlds")
        {'input_ids': [2, 5, 6, 7, 3], 'attention_mask': [1, 1, 1, 1, 1]}
        >>> tokenizer(["hello", "hello world"], padding=True)["input_ids"]
        [[2, 5, 3, 0], [2, 5, 6, 3]]
        >>> tokenizer("hello", "world worlds hello", truncation="only_second", max_length=6,
        ...           stride=1, return_overflowing_tokens=True)["input_ids"]
        [[2, 5, 3, 6, 6, 3], [2, 5, 3, 6, 7, 3], [2, 5, 3, 7, 5, 3]]
        """
        options = self._options(
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_tensors=return_tensors,
            return_token_type_ids=return_token_type_ids,
            return_attention_mask=return_attention_mask,
            return_overflowing_tokens=return_overflowing_tokens,
            return_special_tokens_mask=return_special_tokens_mask,
            return_offsets_mapping=return_offsets_mapping,
            return_length=return_length,
            verbose=verbose,
            split_special_tokens=split_special_tokens,
        )
        split = is_split_into_words
        if text is None and text_target is None:
            raise InputError("there is nothing to encode: give text or text_target")
        targets = None
        if text_target is not None:
            batch = read_call(text_target, text_pair_target, split=split, name="text_target")
            targets = self._encode(batch, options)
        if text is None and targets is not None:
            return targets
        encoding = self._encode(read_call(text, text_pair, split=split), options)
        if targets is not None:
            encoding["labels"] = targets["input_ids"]
        return encoding

    def encode(
        self,
        text: Ids,
        text_pair: Ids | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """The `input_ids` of one text or pair: a list, or a tensor of one row.

        kwargs: other options of `encode_plus`.
        """
        return self.encode_plus(
            text,
            text_pair,
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            padding_side=padding_side,
            return_tensors=return_tensors,
            **kwargs,
        )["input_ids"]

    def encode_plus(
        self,
        text: Ids,
        text_pair: Ids | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """`__call__` for one text or pair, which may also be a list of tokens or a list of ids.

        kwargs: split_special_tokens.
        """
        options = self._options(
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_tensors=return_tensors,
            return_token_type_ids=return_token_type_ids,
            return_attention_mask=return_attention_mask,
            return_overflowing_tokens=return_overflowing_tokens,
            return_special_tokens_mask=return_special_tokens_mask,
            return_offsets_mapping=return_offsets_mapping,
            return_length=return_length,
            verbose=verbose,
            **kwargs,
        )
        kinds = "words" if is_split_into_words else "any"
        return self._encode(read_one(text, text_pair, kinds=kinds), options)

    def batch_encode_plus(
        self,
        batch_text_or_text_pairs: Sequence[Any],
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
    ) -> BatchEncoding:
        """`__call__` for a list of texts, or of pairs of texts, tokens or ids."""
        options = self._options(
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_tensors=return_tensors,
            return_token_type_ids=return_token_type_ids,
            return_attention_mask=return_attention_mask,
            return_overflowing_tokens=return_overflowing_tokens,
            return_special_tokens_mask=return_special_tokens_mask,
            return_offsets_mapping=return_offsets_mapping,
            return_length=return_length,
            verbose=verbose,
            split_special_tokens=split_special_tokens,
        )
        kinds = "words" if is_split_into_words else "any"
        batch = read_many(batch_text_or_text_pairs, kinds=kinds, name="batch_text_or_text_pairs")
        return self._encode(batch, options)

    def prepare_for_model(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
    ) -> BatchEncoding:
        """One row from ids without special tokens: template, truncation, padding.

        What truncation cuts off comes back as "overflowing_tokens", not as windows; see
        `truncate_sequences`. return_offsets_mapping: ids have no offsets, so this is an error.
        """
        if return_offsets_mapping:
            raise InputError("ids have no offsets; call the tokenizer with the text to have them")
        options = self._options(
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_tensors=return_tensors,
            return_token_type_ids=return_token_type_ids,
            return_attention_mask=return_attention_mask,
            return_overflowing_tokens=return_overflowing_tokens,
            return_special_tokens_mask=return_special_tokens_mask,
            return_length=return_length,
            verbose=verbose,
        )
        return self._prepare(
            id_list(ids, "ids"),
            None if pair_ids is None else id_list(pair_ids, "pair_ids"),
            options,
            prepend_batch_axis,
        )

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that are encoded already: one or many, as a dictionary or a list of them.

        Usable as the function that a DataLoader collates with. Tensors come back as tensors.
        Raises InputError for an empty batch, and for what are no encoded rows.

        >>> from distilbert import DistilBertTokenizer
        >>> tokenizer = DistilBertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        >>> tokenizer.pad([{"input_ids": [2, 3]}, {"input_ids": [2, 1, 3]}])
        {'input_ids': [[2, 3, 0], [2, 1, 3]], 'attention_mask': [[1, 1, 0], [1, 1, 1]]}
        """
        options = self._options(
            padding=padding,
            truncation=False,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
            verbose=verbose,
        )
        return pad_encoded(self, encoded_inputs, options)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The tokens of a text, and of its pair. kwargs: other options of `encode_plus`.

        >>> from distilbert import DistilBertTokenizer
        >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "##s"]
        >>> DistilBertTokenizer(vocabulary).tokenize("Hellos there")
        ['hello', '##s', '[UNK]']
        """
        encoding = self.encode_plus(text, pair, add_special_tokens=add_special_tokens, **kwargs)
        return encoding.tokens()

    def _options(self, split_special_tokens: bool | None = None, **given: Any) -> Options:
        split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        return resolve(self, split_special_tokens=split, **given)

    def _encode(self, batch: Batch, options: Options) -> BatchEncoding:
        raise NotImplementedError
