"""Which words of plain text are hidden, for a model to guess them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distilbert.data.examples import IGNORED
from distilbert.errors import InputError


@dataclass(frozen=True)
class Masking:
    """Hides a share of the tokens of a row, other ones in every epoch, the same ones by the seed.

    Which ones depends on the seed, the epoch and the number of the row alone: not on its batch.

    mask: The id of the mask token. words: How many ids there are. special: Ids that stay.
    share: Of the other tokens, how many are to be guessed; at least one is. random: Of these, how
    many become any word, and keep, how many stay as they are; the rest becomes masks.

    Source: BERT paper, section 3.1.
    """

    mask: int
    words: int
    special: frozenset[int]
    share: float = 0.15
    random: float = 0.1
    keep: float = 0.1
    seed: int = 42

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"the share of masked tokens is {self.share}; allowed: above 0, to 1")
        if min(self.random, self.keep) < 0 or self.random + self.keep > 1:
            raise InputError(
                f"of masked tokens {self.random} become random words and {self.keep} stay; "
                "allowed: shares that are together at most 1"
            )

    @classmethod
    def of(cls, tokenizer: Any, **options: Any) -> "Masking":
        """For the vocabulary of a tokenizer. Raises InputError if that has no mask token."""
        if tokenizer.mask_token_id is None:
            raise InputError(
                f"the tokenizer ({type(tokenizer).__name__}) has no mask token, with which words "
                "are hidden; give one that has"
            )
        special: Collection[int] = tokenizer.all_special_ids
        return cls(tokenizer.mask_token_id, len(tokenizer), frozenset(special), **options)

    def __call__(
        self, row: Sequence[int], number: int, epoch: int = 0
    ) -> tuple[list[int], list[int]]:
        """The ids with some hidden, and for each token what it was, or -100."""
        ids = np.array(row, dtype=np.int64)
        targets = np.full_like(ids, IGNORED)
        may = np.flatnonzero(~np.isin(ids, list(self.special)))
        if len(may):
            draw = np.random.Generator(np.random.PCG64([self.seed, epoch, number]))
            count = max(1, round(self.share * len(may)))
            chosen = draw.permutation(may)[:count]
            targets[chosen] = ids[chosen]
            fate = draw.random(count)
            ids[chosen[fate >= self.random + self.keep]] = self.mask
            changed = chosen[fate < self.random]
            ids[changed] = draw.integers(0, self.words, len(changed))
        return ids.tolist(), targets.tolist()
