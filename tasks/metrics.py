"""Scores of generated text against a reference: overlap by the field's own library, decisions by their labels."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

KINDS = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
Labels = frozenset[str]


def rouge(reference: str, answer: str) -> dict[str, float]:
    """{"rouge_1", "rouge_2", "rouge_l"}: F1 with Porter stemming, 0 to 1. English only. Source: Lin 2004."""
    scores = _scorer().score(reference, answer)
    return {name: scores[kind].fmeasure for name, kind in KINDS.items()}


def rouge_l(reference: str, answer: str) -> float:
    """The ROUGE-L of rouge()."""
    return rouge(reference, answer)["rouge_l"]


def labels(text: str) -> Labels:
    """The labels of a row whose several are joined by "|"; case and spaces do not count."""
    return frozenset(label for part in text.split("|") if (label := " ".join(part.casefold().split())))


def decided(answer: str, known: Collection[str]) -> Labels:
    """The known labels that an answer begins with; empty if it begins with none.

    One after another, separated by "|", "," or ";". What follows them is the reason and decides nothing: "no: ..." is
    no, and "not known" or "I don't know" is no answer. known: single labels as labels() gives them.
    """
    rest = " ".join(answer.casefold().split())
    found: set[str] = set()
    longest_first = sorted(known, key=lambda label: (-len(label), label))
    while True:
        label = next((one for one in longest_first if re.match(rf"{re.escape(one)}(?!\w)", rest)), None)
        if label is None:
            return frozenset(found)
        found.add(label)
        separator = re.match(r" ?[|,;] ?", rest[len(label):])
        if separator is None:
            return frozenset(found)
        rest = rest[len(label) + separator.end():]


def accuracy(gold: Sequence[Labels], found: Sequence[Labels]) -> float:
    """The share of rows whose labels are found exactly, 0 to 1."""
    return sum(one == other for one, other in zip(gold, found, strict=True)) / len(gold)


def macro_f1(gold: Sequence[Labels], found: Sequence[Labels]) -> float:
    """The mean over the labels, of gold or found, of their F1 over the rows, 0 to 1."""
    pairs = list(zip(gold, found, strict=True))
    scores = []
    for label in sorted(frozenset().union(*gold, *found)):
        both = sum(label in one and label in other for one, other in pairs)
        either = sum((label in one) + (label in other) for one, other in pairs)
        scores.append(2 * both / either)
    return sum(scores) / len(scores) if scores else 0.0


@lru_cache(maxsize=1)
def _scorer() -> Any:
    # takes a second or more: it brings nltk, scipy and sklearn
    from rouge_score.rouge_scorer import RougeScorer
    return RougeScorer([*KINDS.values()], use_stemmer=True)
