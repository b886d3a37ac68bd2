"""Which sets of labels a text may have, and how likely each is, from what a model would write for it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

ALL_OF, PAIRS_OF = 4, 10            # up to so many labels every set is a candidate; up to so many every pair is
MOST_ODDS = 30.0                    # log-odds are kept within, so that no probability is 0 or 1

LabelSet = tuple[str, ...]
Written = Sequence[int]


def candidates(labels: Sequence[str], is_single: bool, seen: Iterable[Iterable[str]] = ()) -> list[LabelSet]:
    """The sets to choose from, each in alphabetical order: single labels first, then all sets of up to ALL_OF labels,
    all pairs of up to PAIRS_OF, and those seen in training."""
    names = sorted(set(labels))
    if is_single:
        return [(name,) for name in names]
    most = len(names) if len(names) <= ALL_OF else 2 if len(names) <= PAIRS_OF else 1
    found: dict[LabelSet, None] = {one: None for size in range(1, most + 1) for one in combinations(names, size)}
    known = set(names)
    for one in sorted({tuple(sorted(set(one))) for one in seen}, key=lambda one: (len(one), one)):
        if one and known.issuperset(one):
            found[one] = None
    return list(found)


def logs(written: Sequence[Written], scores: Sequence[Sequence[float]]) -> list[float]:
    """log p of each answer, given that it is one of these: they add up to 1.

    written: ids, each with its terminator; scores: log p of each token. A token counts by its share among the tokens
    with which one of the answers goes on there, as if all others were forbidden: where only one is left it costs
    nothing, however unlikely the model finds it. (The separator of labels is a raw byte in some vocabularies, which
    such models give a small share of the same size everywhere.)
    """
    following: dict[Written, dict[int, float]] = {}
    for ids, tokens in zip(written, scores, strict=True):
        for k, (token, log_p) in enumerate(zip(ids, tokens, strict=True)):
            following.setdefault(tuple(ids[:k]), {})[token] = log_p
    totals = {prefix: log_sum(list(then.values())) for prefix, then in following.items()}
    return [math.fsum(log_p - totals[tuple(ids[:k])] for k, log_p in enumerate(tokens))
            for ids, tokens in zip(written, scores, strict=True)]


def label_logs(sets: Mapping[LabelSet, float], labels: Sequence[str], is_single: bool) -> dict[str, float]:
    """What the sets' log p say of each label: its log p where a text has one, else its log-odds."""
    if is_single:
        return {name: sets[name,] for name in labels}
    found = {}
    for name in labels:
        of = [log_p for one, log_p in sets.items() if name in one]
        without = [log_p for one, log_p in sets.items() if name not in one]
        odds = log_sum(of) - log_sum(without) if of and without else MOST_ODDS if of else -MOST_ODDS
        found[name] = bounded(odds)
    return found


def bounded(odds: float) -> float:
    """odds, within -MOST_ODDS and MOST_ODDS."""
    return min(MOST_ODDS, max(-MOST_ODDS, odds))


def log_sum(values: Sequence[float]) -> float:
    """log of the sum of the exponentials."""
    most = max(values)
    return most + math.log(math.fsum(math.exp(one - most) for one in values))
