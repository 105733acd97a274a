"""Which words are hidden depends on the seed, the epoch and the row, and on nothing else."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from distilbert import InputError
from distilbert.data.examples import IGNORED
from distilbert.data.masking import Masking
from problems import MASK, WORDS, batches_of, features_of

ROW = [2, *range(5, 55), 3] * 4  # 200 words among 8 special tokens


def test_masks_depend_on_seed_epoch_and_row_alone():
    batches = batches_of("words")
    together = next(batches.parts([3, 5], 1))
    alone = [
        next(batches.parts([n], 1))
        for n in sorted([3, 5], key=lambda n: -len(features_of("words")[n].rows[0]))
    ]
    assert together.ids.tolist() == [i for part in alone for i in part.ids.tolist()]
    assert together.ids.tolist() != next(batches.parts([3, 5], 2)).ids.tolist()
    hidden = MASK(ROW, 7, 1)
    assert hidden == MASK(ROW, 7, 1)
    assert hidden not in (MASK(ROW, 7, 2), MASK(ROW, 8, 1), replace(MASK, seed=1)(ROW, 7, 1))


def test_masks_hide_the_share_they_are_asked_for():
    ids, targets = MASK(ROW, 0)
    scored = [i for i, t in enumerate(targets) if t != IGNORED]
    assert len(scored) == round(0.3 * 200)
    assert all(targets[i] == ROW[i] and ROW[i] not in (2, 3) for i in scored)
    fates = [sum(ids[i] == 4 for i in scored), sum(ids[i] == ROW[i] for i in scored)]
    assert fates[0] > 35
    assert 1 <= fates[1] < 20
    assert sum(fates) < len(scored)  # some became other words
    assert all(ids[i] == ROW[i] for i in range(len(ROW)) if i not in scored)


def test_all_become_masks_where_none_is_kept_or_changed():
    ids, targets = replace(MASK, random=0.0, keep=0.0)(ROW, 0)
    assert [i for i, id in enumerate(ids) if id == 4] == [
        i for i, t in enumerate(targets) if t != IGNORED
    ]


def test_one_word_at_least_is_hidden_and_special_tokens_never_are():
    assert MASK([2, 5, 3], 0)[1] == [IGNORED, 5, IGNORED]
    assert MASK([2, 3], 0) == ([2, 3], [IGNORED, IGNORED])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "the share of masked tokens is 0.0; allowed: above 0, to 1"),
        ({"share": 1.1}, "the share of masked tokens is 1.1"),
        ({"random": 0.6, "keep": 0.5}, "0.6 become random words and 0.5 stay; .*at most 1"),
        ({"keep": -0.1}, "and -0.1 stay"),
    ],
)
def test_shares_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        replace(MASK, **options)


def test_a_tokenizer_says_what_hides_and_which_ids_stay():
    tokenizer = SimpleNamespace(mask_token_id=4, all_special_ids=[0, 1, 2, 3, 4])
    with pytest.raises(InputError, match=r"\(SimpleNamespace\) has no mask token"):
        Masking.of(SimpleNamespace(mask_token_id=None))
    known = type("Tokenizer", (SimpleNamespace,), {"__len__": lambda self: WORDS})
    assert Masking.of(known(**vars(tokenizer)), share=0.3) == MASK
