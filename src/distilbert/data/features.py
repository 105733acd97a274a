"""What the model reads of examples: rows of ids that fit, and what the loss compares with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from distilbert.data.examples import IGNORED, Dataset, Example, Feature
from distilbert.data.kinds import KINDS
from distilbert.errors import InputError
from distilbert.text.face import TokenizerBase
from distilbert.text.pieces import Pieces
from distilbert.text.template import Frame
from distilbert.text.truncation import first_window, limits, windows

LONGEST = 512
LONGEST_OF = {"spans": 384}  # as is usual for questions and contexts
CHUNK = 1024  # examples that are encoded together


@dataclass(frozen=True)
class _Reader:
    """How examples are read: a tokenizer and how long rows may be."""

    tokenizer: TokenizerBase
    max_length: int
    stride: int
    max_query: int
    labels: dict[str, int]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer.backend.batch_ids(texts)

    def room(self, frame: Frame, beside: int = 0) -> int:
        return self.max_length - frame.size - beside

    def overlap(self, room: int) -> int:
        """The tokens that neighbouring windows share: at most half of one."""
        return min(self.stride, room // 2)

    def row(self, first: list[int], second: list[int] | None = None) -> tuple[int, ...]:
        """One row of a text or a pair; what is too long is cut, of a pair the longer text first."""
        frame = self.tokenizer.template.frame(pair=second is not None)
        room, two = self.room(frame), len(second or ())
        if len(first) + two > room:
            side = self.tokenizer.truncation_side
            most = limits(len(first), None if second is None else two, room, "longest_first", 0)
            start, end = first_window(len(first), most[0], side)
            first = first[start:end]
            if second is not None:
                start, end = first_window(two, most[1], side)
                second = second[start:end]
        return tuple(frame.ids(first, second))


def features(
    dataset: Dataset,
    tokenizer: TokenizerBase,
    *,
    max_length: int | None = None,
    stride: int = 128,
    max_query: int = 64,
) -> list[Feature]:
    """The features of every example, in order; several for one of several windows or blocks.

    max_length: Most tokens of a row, special ones included; None: as `row_length` says of a model
    of 512 positions. Texts that are longer are cut, of a pair the longer one first; words with
    tags, and contexts, go on in further windows; plain text fills blocks, each of one document.
    stride: The tokens that neighbouring windows share, at most half of a window. max_query: The
    tokens of a question that are kept, at most half of a row.

    Raises InputError if a length cannot work, or for a label that is not among the data's names.
    """
    if dataset.kind not in _MAKERS:
        raise InputError(f"there is no kind {dataset.kind!r}; allowed: {', '.join(_MAKERS)}")
    if max_length is None:
        max_length = row_length(dataset.kind, tokenizer, LONGEST)
    reader = _Reader(
        tokenizer,
        _length(max_length, tokenizer),
        _whole("stride", stride, 0),
        _whole("max_query", max_query, 1),
        {name: id for id, name in enumerate(dataset.labels)},
    )
    _check_labels(dataset)
    make, found = _MAKERS[dataset.kind], list[Feature]()
    for start in range(0, len(dataset.examples), CHUNK):
        found += make(reader, dataset.examples[start : start + CHUNK], start)
    return found


def row_length(
    kind: str, tokenizer: TokenizerBase, positions: int, asked: int | None = None
) -> int:
    """How many tokens a row of such data may have, for a model of so many positions.

    As many as are asked for (None: 384 for spans, else all), but no more than model and tokenizer
    take. Raises InputError for a number that cannot be.
    """
    limit = min(positions, tokenizer.model_max_length)
    if asked is None:
        asked = LONGEST_OF.get(kind, limit)
    return min(limit, _length(asked, tokenizer))


def _class(label: str, labels: dict[str, int]) -> int:
    return labels[label]


def _score(label: float, labels: dict[str, int]) -> float:
    return label


def _shares(label: tuple[str, ...], labels: dict[str, int]) -> tuple[float, ...]:
    return tuple([1.0 if name in label else 0.0 for name in labels])


def _of_texts(target: Callable[[Any, dict[str, int]], Any]) -> Callable[..., Iterator[Feature]]:
    """A row for each text or pair of texts, and the target that `target` makes of a label."""

    def make(reader: _Reader, examples: Sequence[Example], first: int) -> Iterator[Feature]:
        encoded = iter(reader.ids([text for example in examples for text in example.texts]))
        for number, example in enumerate(examples, first):
            row = reader.row(*(next(encoded) for _ in example.texts))
            label = example.label
            yield Feature((row,), None if label is None else target(label, reader.labels), number)

    return make


def _of_choices(reader: _Reader, examples: Sequence[Example], first: int) -> Iterator[Feature]:
    """A row for each choice: the context, and what may follow."""
    encoded = iter(reader.ids([text for example in examples for text in example.texts]))
    for number, example in enumerate(examples, first):
        context, *choices = [next(encoded) for _ in example.texts]
        rows = tuple(reader.row(context, choice) for choice in choices)
        yield Feature(rows, example.label, number)


def _of_words(reader: _Reader, examples: Sequence[Example], first: int) -> Iterator[Feature]:
    """Windows over the pieces of words.

    Each word is scored at its first piece, and in one window alone: where it has more around it.
    """
    frame = reader.tokenizer.template.single
    room = reader.room(frame)
    before, after = len(frame.before), len(frame.after)
    batch = reader.tokenizer.backend.batch_of_words([example.texts for example in examples])
    for number, (example, pieces) in enumerate(zip(examples, batch, strict=True), first):
        ids = None if example.label is None else [reader.labels[name] for name in example.label]
        spans = windows(len(pieces.ids), room, reader.overlap(room), "right")
        ends = [(end + begin) // 2 for (_, end), (begin, _) in pairwise(spans)]
        firsts = _firsts(pieces.words)
        own = 0
        for (start, end), until in zip(spans, [*ends, len(pieces.ids)], strict=True):
            words = [
                word if own <= firsts[word] < until else None for word in pieces.words[start:end]
            ]
            target = None
            if ids is not None:
                scored = (
                    IGNORED if word is None or firsts[word] != place else ids[word]
                    for place, word in enumerate(words, start)
                )
                target = (*[IGNORED] * before, *scored, *[IGNORED] * after)
            yield Feature(
                (tuple(frame.ids(pieces.ids[start:end], None)),),
                target,
                number,
                words=(*[None] * before, *words, *[None] * after),
            )
            own = until


def _firsts(words: Sequence[int]) -> dict[int, int]:
    """The place of each word's first piece."""
    return {word: place for place, word in reversed(list(enumerate(words)))}


def _of_spans(reader: _Reader, examples: Sequence[Example], first: int) -> Iterator[Feature]:
    """Windows over the context, each behind the question."""
    frame = reader.tokenizer.template.pair
    # A context stands behind each of its questions, and is encoded once for those of this chunk
    texts = list(dict.fromkeys(example.texts[1] for example in examples))
    contexts = dict(zip(texts, reader.tokenizer.backend.batch(texts), strict=True))
    questions = reader.ids([example.texts[0] for example in examples])
    most = min(reader.max_query, reader.room(frame) // 2)
    for number, (example, whole) in enumerate(zip(examples, questions, strict=True), first):
        question, context = whole[:most], contexts[example.texts[1]]
        room = reader.room(frame, len(question))
        lead = [None] * (len(frame.before) + len(question) + len(frame.between))
        tail = [None] * len(frame.after)
        place = _place(example, context)
        for start, end in windows(len(context.ids), room, reader.overlap(room), "right"):
            target = (0, 0) if example.label is not None else None
            if place is not None and start <= place[0] and place[1] < end:
                target = (place[0] - start + len(lead), place[1] - start + len(lead))
            yield Feature(
                (tuple(frame.ids(question, context.ids[start:end])),),
                target,
                number,
                offsets=(*lead, *context.offsets[start:end], *tail),
            )


def _place(example: Example, context: Pieces) -> tuple[int, int] | None:
    """The first and last token of the first answer, None where there is none."""
    if not example.label:
        return None
    answer = example.label[0]
    end = answer.start + len(answer.text)
    inside = [
        token
        for token, (begin, until) in enumerate(context.offsets)
        if begin < end and until > answer.start
    ]
    return (inside[0], inside[-1]) if inside else None


def _of_documents(reader: _Reader, examples: Sequence[Example], first: int) -> Iterator[Feature]:
    """Blocks of a document's pieces, its texts one after another."""
    frame = reader.tokenizer.template.single
    room = reader.room(frame)
    encoded = iter(reader.ids([text for example in examples for text in example.texts]))
    for number, example in enumerate(examples, first):
        ids = [id for _ in example.texts for id in next(encoded)]
        for start in range(0, len(ids), room):
            yield Feature((tuple(frame.ids(ids[start : start + room], None)),), None, number)


_MAKERS: dict[str, Callable[[_Reader, Sequence[Example], int], Iterator[Feature]]] = {
    "classification": _of_texts(_class),
    "regression": _of_texts(_score),
    "multi_label": _of_texts(_shares),
    "choice": _of_choices,
    "tags": _of_words,
    "spans": _of_spans,
    "words": _of_documents,
}


def _check_labels(dataset: Dataset) -> None:
    names, known = KINDS[dataset.kind].names, set(dataset.labels)
    if names is None:
        return
    for example in dataset.examples:
        if example.label is not None and not known.issuperset(names(example.label)):
            raise InputError(
                f"{example.where}: the label {example.label!r:.80} is not of this data's labels, "
                f"{', '.join(map(repr, dataset.labels[:8]))}; add what is missing to labels"
            )


def _length(given: int, tokenizer: TokenizerBase) -> int:
    """The most tokens of a row. Raises InputError if a pair of texts does not fit in it."""
    return _whole("max_length", given, tokenizer.template.pair.size + 2)


def _whole(name: str, value: int, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}; allowed: a whole number of at least {least}")
    return value
