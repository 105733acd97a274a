"""SQuAD's own scores of answers to questions, versions 1.1 and 2.0, as its official scripts count.

Answers and predictions are by the id of their question, as in SQuAD's files. Scores are shares
from 0 to 1; the scripts print a hundred times as much.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from distilbert.errors import InputError

Right = Mapping[str, Sequence[str]]  # the right answers to each question; none: unanswerable
Said = Mapping[str, str]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII's alone, as in the scripts


def normalized(text: str) -> str:
    """The text in lower case, without ASCII punctuation and articles, its words one space apart."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(said: str, right: str) -> float:
    """Whether the two are the same once normalized, as 1.0 or 0.0."""
    return float(normalized(said) == normalized(right))


def overlap_v1(said: str, right: str) -> float:
    """F1 of the words that both have; two without a word share none: 0.0 (version 1.1)."""
    given, wanted = normalized(said).split(), normalized(right).split()
    same = sum((Counter(given) & Counter(wanted)).values())
    if not same:
        return 0.0
    precision, recall = same / len(given), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def overlap_v2(said: str, right: str) -> float:
    """F1 of the words that both have; two without a word are the same: 1.0 (version 2.0)."""
    given, wanted = normalized(said), normalized(right)
    return overlap_v1(said, right) if given and wanted else float(given == wanted)


def best_of(score: Callable[[str, str], float], said: str, right: Sequence[str]) -> float:
    """The score beside the right answer that is nearest."""
    return max(score(said, one) for one in right)


def answers_v2(right: Sequence[str]) -> list[str]:
    """The answers that version 2.0 compares with: those with a word; "" where there is none."""
    return [one for one in right if normalized(one)] or [""]


def score_v1(right: Right, said: Said) -> dict[str, float]:
    """`exact_match` and `f1` of version 1.1: means over all questions, 0 where nothing was said.

    Raises InputError if there are no questions, or one without an answer.
    """
    _check_some(right)
    unanswerable = [id for id, answers in right.items() if not answers]
    if unanswerable:
        raise InputError(
            f"question {unanswerable[0]!r} has no answer, and version 1.1 knows no such question; "
            "score it by version 2.0"
        )
    both = {"exact_match": exact_match, "f1": overlap_v1}
    return {
        name: sum(best_of(score, said[id], right[id]) for id in right if id in said) / len(right)
        for name, score in both.items()
    }


def score_v2(
    right: Right,
    said: Said,
    nulls: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """The scores of version 2.0.

    said: What is answered; "" for "no answer". nulls: How much speaks for "no answer": where it is
    above `threshold`, the answer is taken as empty.

    `exact_match` and `f1` over all questions, and with `HasAns_` and `NoAns_` over those that have
    an answer, and that have none, where there are such; with `nulls` also `best_exact` and
    `best_f1`, which the thresholds `best_exact_thresh` and `best_f1_thresh` would give.

    Raises InputError if there are no questions, or one is left out in `said` or `nulls`.
    """
    _check_some(right)
    _check_all("prediction", right, said)
    if nulls is not None:
        _check_all("score of no answer", right, nulls)
    answerable = {id: bool(right[id]) for id in right}
    raised = {id: nulls is not None and nulls[id] > threshold for id in right}
    scores: dict[str, float] = {}
    parts: dict[str, dict[str, float]] = {"HasAns_": {}, "NoAns_": {}}
    best: dict[str, float] = {}
    for name, score in (("exact", exact_match), ("f1", overlap_v2)):
        own = {id: best_of(score, said[id], answers_v2(right[id])) for id in right}
        kept = {id: float(not answerable[id]) if raised[id] else own[id] for id in right}
        scores["exact_match" if name == "exact" else name] = sum(kept.values()) / len(kept)
        for part, has in (("HasAns_", True), ("NoAns_", False)):
            if values := [kept[id] for id in right if answerable[id] == has]:
                parts[part][part + name] = sum(values) / len(values)
        if nulls is not None:
            best[f"best_{name}"], best[f"best_{name}_thresh"] = best_threshold(
                own, said, nulls, answerable
            )
    return {**scores, **parts["HasAns_"], **parts["NoAns_"], **best}


def best_threshold(
    scores: Mapping[str, float],
    said: Said,
    nulls: Mapping[str, float],
    answerable: Mapping[str, bool],
) -> tuple[float, float]:
    """The best mean score that a threshold of `nulls` gives, and that threshold.

    Everything is "no answer" at first; then the questions least in favour of it are answered one by
    one, those of equal value too, as the script does. 0.0 where no answer at all is best.
    """
    current = float(sum(not has for has in answerable.values()))
    best, threshold = current, 0.0
    for id in sorted((id for id in nulls if id in scores), key=lambda id: nulls[id]):
        if answerable[id]:
            current += scores[id]
        elif said[id]:
            current -= 1
        if current > best:
            best, threshold = current, nulls[id]
    return best / len(scores), threshold


def _check_some(right: Right) -> None:
    if not right:
        raise InputError("there are no questions; give at least one")


def _check_all(what: str, right: Right, given: Mapping[str, object]) -> None:
    missing = [id for id in right if id not in given]
    if missing:
        raise InputError(
            f"question {missing[0]!r} has no {what} ({len(missing)} of {len(right)} have none); "
            'say something of every question, "" for no answer'
        )
