"""A label a token or entity of a text: names, parts of speech, and the like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from distilbert.engine.windows import stitch, windows
from distilbert.errors import InputError
from distilbert.pipelines.base import (
    Options,
    Pipeline,
    Progress,
    at_least,
    counted,
    list_of_texts,
    shortened,
    texts_of,
)
from distilbert.pipelines.entities import (
    Entity,
    Floats,
    Token,
    check_strategy,
    entities,
    merge_overlapping,
    without_labels,
)

OVERLAP = 128  # tokens that neighbouring windows of a long text share, where nothing is asked


@dataclass(frozen=True, kw_only=True)
class TaggingOptions(Options):
    """aggregation_strategy: "none" (an entity a token), "simple", "first", "average" or "max".

    ignore_labels: labels, or groups of entities, that are left out of the answer.
    stride: how many tokens the windows of a long text share. A text is cut into windows where it
        has to be. Without a stride, every token takes its scores from the window where it has most
        context; with one, each window's entities are grouped by themselves, and of those that
        overlap the longest stays. Without aggregation the first way is taken either way.
    is_split_into_words: an input is a list of words, and offsets are those in the words joined by
        `delimiter`.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] = ("O",)
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str = " "

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strategy(self.aggregation_strategy)
        if self.stride is not None:
            at_least(0, stride=self.stride)
        list_of_texts("ignore_labels", self.ignore_labels)
        if not isinstance(self.delimiter, str):
            raise InputError(f"delimiter must be a text, not {self.delimiter!r}")


@dataclass(frozen=True)
class _Text:
    """A text as tokens: ids, characters, and the windows that the model reads."""

    text: str
    ids: list[int]
    offsets: list[tuple[int, int]]
    ranges: list[tuple[int, int]]


class TokenClassificationPipeline(Pipeline[TaggingOptions]):
    """Entities of texts, a list a text, each a dictionary with `score`, `word`, `start` and `end`.

    Without aggregation a token gives an `entity` and its `index` ([CLS] being 0); with it a group
    of tokens gives an `entity_group`.
    """

    task = "token-classification"
    option_type = TaggingOptions

    def __call__(self, inputs: Any, **options: Any) -> Any:
        words_alone = (
            isinstance(inputs, list | tuple)
            and self.choose(options).is_split_into_words
            and all(isinstance(word, str) for word in inputs)
        )
        return super().__call__([inputs] if words_alone else inputs, **options)

    def answers(
        self,
        inputs: Sequence[Any],
        options: TaggingOptions,
        progress: Progress | None = None,
    ) -> list[Any]:
        if not inputs:
            return []
        texts = [self._read(one, options) for one in self._checked(inputs, options)]
        rows = [
            self.tokenizer.build_inputs_with_special_tokens(text.ids[start:end])
            for text in texts
            for start, end in text.ranges
        ]
        logits = self.session.logits(rows, progress=counted(progress, len(rows), len(texts)))
        scores = iter([row.float().softmax(-1).cpu().numpy()[1:-1] for row in logits])
        return [
            self._entities(text, [next(scores) for _ in text.ranges], options) for text in texts
        ]

    def spelled(self, options: dict[str, Any]) -> dict[str, Any]:
        if "grouped_entities" in options:
            options["aggregation_strategy"] = (
                "simple" if options.pop("grouped_entities") else "none"
            )
        if options.get("delimiter", "") is None:
            del options["delimiter"]
        if options.get("ignore_labels", "") is None:
            del options["ignore_labels"]
        if isinstance(options.get("aggregation_strategy"), str):
            options["aggregation_strategy"] = options["aggregation_strategy"].lower()
        return options

    def _checked(self, inputs: Sequence[Any], options: TaggingOptions) -> list[Any]:
        if not options.is_split_into_words:
            return list(texts_of(inputs, self.task))
        for number, words in enumerate(inputs):
            if not isinstance(words, list | tuple):
                raise InputError(
                    "with is_split_into_words=True an input is a list of words; number "
                    f"{number + 1} of {len(inputs)} is {shortened(repr(words))}"
                )
            texts_of(words, self.task)
        return list(inputs)

    def _read(self, one: Any, options: TaggingOptions) -> _Text:
        encoded = self.tokenizer(
            list(one) if options.is_split_into_words else one,
            add_special_tokens=False,
            return_offsets_mapping=True,
            is_split_into_words=options.is_split_into_words,
            verbose=False,
        )
        ids, offsets = (
            encoded["input_ids"],
            [(start, end) for start, end in encoded["offset_mapping"]],
        )
        text = one
        if options.is_split_into_words:
            text = options.delimiter.join(one)
            steps = [len(word) + len(options.delimiter) for word in one]
            begins = [0, *accumulate(steps)]
            offsets = [
                (begins[word] + start, begins[word] + end)
                for word, (start, end) in zip(encoded.word_ids(), offsets, strict=True)
            ]
        room = self.limit - self.tokenizer.num_special_tokens_to_add()
        overlap = min(OVERLAP, room // 2) if options.stride is None else options.stride
        return _Text(text, ids, offsets, windows(len(ids), room, overlap))

    def _entities(self, text: _Text, scores: list[Floats], options: TaggingOptions) -> list[Entity]:
        strategy = options.aggregation_strategy
        labels: dict[int, str] = self.session.config.id2label

        def found(tokens: Iterator[Token]) -> list[Entity]:
            every = entities(
                list(tokens), strategy, labels, self.tokenizer.convert_tokens_to_string
            )
            return without_labels(every, options.ignore_labels)

        if len(scores) == 1 or options.stride is None or strategy == "none":
            whole = stitch(text.ranges, [list(one) for one in scores])  # (labels,) a token
            return found(self._tokens(text, 0, whole))
        return merge_overlapping(
            entity
            for (start, _), own in zip(text.ranges, scores, strict=True)
            for entity in found(self._tokens(text, start, list(own)))
        )

    def _tokens(self, text: _Text, begin: int, scores: Sequence[Floats]) -> Iterator[Token]:
        """The tokens from number `begin` on, one for each of `scores`, shape (labels,)."""
        ids = text.ids[begin : begin + len(scores)]
        offsets = text.offsets[begin : begin + len(scores)]
        names = self.tokenizer.convert_ids_to_tokens(ids)
        unknown = self.tokenizer.unk_token_id
        for at, (token, name, (start, end)) in enumerate(zip(ids, names, offsets, strict=True)):
            yield Token(
                word=text.text[start:end] if token == unknown else name,
                scores=scores[at],
                index=begin + at + 1,
                start=start,
                end=end,
                continues=name.startswith("##"),
            )
