"""What a data set holds: examples of one kind of problem, each knowing where it stands."""

import random
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from distilbert.errors import InputError

IGNORED = -100  # the target of what is not scored


class Answer(NamedTuple):
    """One right answer of a question: a piece of its context, and the character it starts at."""

    text: str
    start: int


@dataclass(frozen=True)
class Example:
    """One thing to be judged, and what is right of it.

    What texts and label are depends on the kind of problem:

    | kind           | texts                        | label                                     |
    |----------------|------------------------------|-------------------------------------------|
    | classification | a text, or a pair of them    | the name of its class                     |
    | regression     | the same                     | a number                                  |
    | multi_label    | the same                     | a tuple of names, none or several         |
    | choice         | a text, then what may follow | the number of the right one, counted from 0 |
    | tags           | words                        | a tuple with the name of each word's tag  |
    | spans          | question, context            | a tuple of `Answer`; () for unanswerable  |
    | words          | the texts of a document      | None                                      |

    label is None where nobody has said what is right. where: Such as "dev.tsv, line 3".
    """

    texts: tuple[str, ...]
    label: Any
    where: str
    id: str


@dataclass(frozen=True)
class Dataset:
    """Examples of one kind of problem.

    kind: A key of `distilbert.data.kinds.KINDS`.
    labels: The names of classes or tags, in the order of their ids; () where there are none.
    """

    kind: str
    examples: tuple[Example, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feature:
    """What the model reads of one example, or of one window or block of it.

    rows: Rows of ids: one, or one for each choice.
    target: What the loss compares with: an id or number for a text, a tuple of 0.0 and 1.0 for
        several labels, the number of the right choice, a tuple with an id for each token (-100
        where none is scored), (start, end) tokens of an answer, (0, 0) where it has none; None
        where it is not known, and for plain text, where masks make it.
    example: The number of its example.
    offsets: Of each token, the characters (start, end) of the context that it covers, or None for
        tokens of no context. For spans alone.
    words: Of each token, the number of its word; None for special ones and for words that another
        window of the example judges, where they have more around them. For tags alone.
    """

    rows: tuple[tuple[int, ...], ...]
    target: Any
    example: int
    offsets: tuple[tuple[int, int] | None, ...] = ()
    words: tuple[int | None, ...] = ()

    @property
    def tokens(self) -> int:
        return sum(map(len, self.rows))


def hold_out(data: Dataset, share: float, *, seed: int = 42) -> tuple[Dataset, Dataset]:
    """The data without a random share of the examples, and that share, both in their order.

    Raises InputError if one of them would be empty.
    """
    count = len(data.examples)
    held = round(share * count)
    if not 0 < held < count:
        raise InputError(
            f"a share of {share} of {count} examples holds out {held}; allowed: at least 1, and "
            "not all"
        )
    chosen = frozenset(random.Random(seed).sample(range(count), held))
    parts: tuple[list[Example], list[Example]] = ([], [])
    for number, example in enumerate(data.examples):
        parts[number in chosen].append(example)
    rest, kept = (replace(data, examples=tuple(part)) for part in parts)
    return rest, kept
