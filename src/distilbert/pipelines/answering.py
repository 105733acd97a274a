"""Answers to questions: the spans of a context that the model finds most probable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distilbert.engine.spans import best_spans
from distilbert.engine.windows import windows
from distilbert.errors import InputError
from distilbert.pipelines.base import (
    Options,
    Pipeline,
    Progress,
    TextError,
    at_least,
    counted,
    shortened,
)

Answer = dict[str, Any]
Offsets = list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(Options):
    """top_k (or topk): how many answers to give, best first.

    max_seq_len: how many tokens a window holds, question included; at most 384 unless asked.
    doc_stride: how many tokens neighbouring windows of a context share; 128 or what fits.
    max_answer_len: how many tokens an answer has at most.
    max_question_len: a longer question is cut to this many tokens.
    handle_impossible_answer: let "no answer" (an empty one) compete.
    align_to_words: widen an answer that begins or ends within a word to the whole word.
    """

    top_k: int = 1
    max_seq_len: int | None = None
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(
            1,
            top_k=self.top_k,
            max_answer_len=self.max_answer_len,
            max_question_len=self.max_question_len,
        )
        if self.max_seq_len is not None:
            at_least(1, max_seq_len=self.max_seq_len)
        if self.doc_stride is not None:
            at_least(0, doc_stride=self.doc_stride)


@dataclass(frozen=True)
class _Context:
    """A context as tokens: ids, characters [start, end) and words, the words counted from 0."""

    text: str
    ids: list[int]
    offsets: Offsets
    words: list[int]
    word_spans: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class _Asked:
    """One question with the windows of its context, and where in a row the context begins."""

    question: list[int]
    context: _Context
    ranges: list[tuple[int, int]]
    begin: int


class QuestionAnsweringPipeline(Pipeline[AnswerOptions]):
    """The answer to a question, found in a context: `score`, `start`, `end` (characters), `answer`.

    Called with `question=` and `context=` (texts, lists of as many texts, or one context for all
    questions), or with `{"question": …, "context": …}`, or a list of those. One question, also in a
    list, gives its answer; several give a list of theirs; with `top_k` an answer is a list if it
    holds more than one. A context longer than the model reads is read in overlapping windows.
    The scores of spans with the same text, whatever its case, add up.
    """

    task = "question-answering"
    option_type = AnswerOptions

    def __call__(self, inputs: Any = None, context: Any = None, **options: Any) -> Any:
        if isinstance(inputs, str) and isinstance(context, str):
            inputs = _paired(inputs, context)
        elif context is not None and "question" in options:
            inputs = _paired(options.pop("question"), context)
        elif context is not None or "question" in options or inputs is None:
            raise InputError(
                "question-answering needs both a question and a context; pass question= and "
                "context="
            )
        answer = super().__call__(inputs, **options)
        return answer[0] if isinstance(inputs, list | tuple) and len(inputs) == 1 else answer

    def is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, str | Mapping)

    def answers(
        self,
        inputs: Sequence[Any],
        options: AnswerOptions,
        progress: Progress | None = None,
    ) -> list[Any]:
        every = self.every_answer(inputs, options, progress)
        return [one[0] if len(one) == 1 else one for one in every]

    def every_answer(
        self,
        inputs: Sequence[Any],
        options: AnswerOptions,
        progress: Progress | None = None,
    ) -> list[list[Answer]]:
        """The best answers to each question, always as a list."""
        if not inputs:
            return []
        contexts: dict[str, _Context] = {}
        asked = []
        for number, one in enumerate(inputs):
            try:
                question, text = _checked(one)
                if text not in contexts:
                    contexts[text] = self._context(text)
                asked.append(self._ask(question, contexts[text], options))
            except InputError as error:
                raise TextError(number, str(error)) from error
        rows = [
            self.tokenizer.build_inputs_with_special_tokens(
                one.question, one.context.ids[start:end]
            )
            for one in asked
            for start, end in one.ranges
        ]
        tell = counted(progress, len(rows), len(asked))
        logits = iter(self.session.logits(rows, progress=tell))
        return [
            self._best(one, [next(logits).float().cpu().numpy() for _ in one.ranges], options)
            for one in asked
        ]

    def spelled(self, options: dict[str, Any]) -> dict[str, Any]:
        topk = options.pop("topk", None)
        if topk is not None:
            options.setdefault("top_k", topk)
        return {name: value for name, value in options.items() if value is not None}

    def _context(self, text: str) -> _Context:
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets = [(start, end) for start, end in encoded["offset_mapping"]]
        words = encoded.word_ids()
        spans: dict[int, tuple[int, int]] = {}
        for word, (start, end) in zip(words, offsets, strict=True):
            spans[word] = (spans[word][0] if word in spans else start, end)
        if not offsets:
            raise InputError(
                f"the context {shortened(text)!r} holds no word; give a text to search"
            )
        return _Context(text, encoded["input_ids"], offsets, words, spans)

    def _ask(self, text: str, context: _Context, options: AnswerOptions) -> _Asked:
        encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
        question = encoded["input_ids"]
        question = question[: options.max_question_len]
        size = min(self.limit, 384) if options.max_seq_len is None else options.max_seq_len
        if size > self.limit:
            raise InputError(
                f"max_seq_len is {size}, and this model reads at most {self.limit} tokens at once; "
                "lower it"
            )
        room = size - len(question) - self.tokenizer.num_special_tokens_to_add(pair=True)
        if room < 1:
            raise InputError(
                f"a question of {len(question)} tokens leaves no room for its context in windows "
                f"of {size}; raise max_seq_len or lower max_question_len"
            )
        overlap = options.doc_stride
        if overlap is None:
            overlap = min(size // 2, 128)
            overlap = overlap if overlap < room else room // 2
        ranges = windows(len(context.ids), room, overlap)
        # [CLS] question [SEP] context [SEP]
        return _Asked(question, context, ranges, len(question) + 2)

    def _best(
        self, asked: _Asked, logits: list[np.ndarray[Any, Any]], options: AnswerOptions
    ) -> list[Answer]:
        context = asked.context
        # Words may swallow some candidates, so there are more of them than answers.
        count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        found: dict[str, Answer] = {}
        nulls = []
        for (begin, _), window in zip(asked.ranges, logits, strict=True):
            own = window[asked.begin : -1]  # (context tokens, 2)
            spans, null = best_spans(
                own[:, 0],
                own[:, 1],
                (float(window[0, 0]), float(window[0, 1])),
                count=count,
                longest=options.max_answer_len,
            )
            nulls.append(null)
            for span in spans:
                start, end = _characters(
                    context, begin + span.first, begin + span.last, options.align_to_words
                )
                text = context.text[start:end]
                if text.lower() in found:
                    found[text.lower()]["score"] += span.score
                else:
                    found[text.lower()] = {
                        "score": span.score,
                        "start": start,
                        "end": end,
                        "answer": text,
                    }
        answers = list(found.values())
        if options.handle_impossible_answer:
            answers.append({"score": min(nulls), "start": 0, "end": 0, "answer": ""})
        answers.sort(key=lambda answer: answer["score"], reverse=True)
        return answers[: options.top_k]


def _characters(context: _Context, first: int, last: int, to_words: bool) -> tuple[int, int]:
    """The characters [start, end) of the tokens `first` to `last`, widened to whole words."""
    if to_words:
        spans = context.word_spans
        return spans[context.words[first]][0], spans[context.words[last]][1]
    return context.offsets[first][0], context.offsets[last][1]


def _paired(question: Any, context: Any) -> list[dict[str, Any]]:
    if isinstance(question, str) and isinstance(context, str):
        return [{"question": question, "context": context}]
    if isinstance(question, list | tuple) and isinstance(context, str):
        return [{"question": one, "context": context} for one in question]
    if isinstance(question, list | tuple) and isinstance(context, list | tuple):
        if len(question) != len(context):
            raise InputError(
                f"{len(question)} questions and {len(context)} contexts do not pair; give as many "
                "of both, or one context for all"
            )
        return [{"question": q, "context": c} for q, c in zip(question, context, strict=True)]
    raise InputError(
        "question and context are texts, or lists of texts; they are of type "
        f"{type(question).__name__} and {type(context).__name__}"
    )


def _checked(one: Any) -> tuple[str, str]:
    """The question and the context of one input."""
    if not isinstance(one, Mapping) or set(one) != {"question", "context"}:
        raise InputError(
            'question-answering takes {"question": text, "context": text}; '
            f"it was given {shortened(repr(one), 80)}"
        )
    for name in ("question", "context"):
        text = one[name]
        if not isinstance(text, str):
            raise InputError(f"the {name} must be a text (str), not {type(text).__name__}")
        if not text.strip():
            raise InputError(f"the {name} is empty; give a text")
    return one["question"], one["context"]
