"""Two models on the same items: the difference of each metric with interval and p value, and the items that flipped."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation import statistics
from evaluation.benchmarks.benchmark import ACCURACY, MEAN, PERPLEXITY
from evaluation.figures import BITS, SURPRISE, Measured, as_json, clusters, measured, rounded, scored
from evaluation.items import SIDES, Scored, Stated
from evaluation.statistics import Estimate, Floats
from models import runs

LISTED = 50                         # items of each kind that a person is shown
PROMPT_CHARS, ANSWER_CHARS = 2_000, 1_000
MODEL, AGAINST = SIDES
Pair = tuple[Scored, Scored]        # what the model made of an item, and what the other one made of it


def paired(items: Sequence[Scored]) -> list[Pair]:
    """The items that both models did, in order."""
    sides: Mapping[str, dict[int, Scored]] = {side: {one.number: one for one in scored(items) if one.side == side}
                                              for side in SIDES}
    return [(sides[MODEL][k], sides[AGAINST][k]) for k in sorted(sides[MODEL].keys() & sides[AGAINST].keys())]


def compare(stated: Stated, pairs: Sequence[Pair], labels: Sequence[str] = ()) -> dict[str, Any]:
    """{"n", "main", "metrics": {metric: from the other model to the model}} on the items that both did."""
    ours, theirs = (measured(stated, [pair[side] for pair in pairs], labels) for side in (0, 1))
    main = main_metric(stated, pairs)
    if not pairs:
        return {"n": 0, "main": main, "metrics": {}}
    both = _shared_columns(ours, theirs)
    together = clusters([one for one, _ in pairs])
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = [ours.statistic(parts.sum(0, keepdims=True))[0] for parts in both]
    binary = set(ours.binary) & set(theirs.binary) if together is None else set()
    gaps, ps = ({}, {}) if binary == set(ours.names) else _drawn(both, ours, together)
    found = {}
    for k, name in enumerate(ours.names):
        gap, p = _of_binary(both, k) if name in binary else (gaps[name], ps[name])
        if math.isfinite(figures[0][k]) and math.isfinite(figures[1][k]):
            found[name] = {"from": rounded(figures[1][k]), "to": rounded(figures[0][k]), "difference": as_json(gap),
                           "p": rounded(p), "test": statistics.MCNEMAR if name in binary else statistics.SWAPPED}
    return {"n": len(pairs), "main": main, "metrics": found}


def _drawn(both: tuple[Floats, Floats], ours: Measured, together: Sequence[str] | None
           ) -> tuple[dict[str, Estimate], dict[str, float | None]]:
    """The difference of every metric by drawing the same items for both, and its p value by swapping."""
    width, statistic = ours.parts.shape[1], ours.statistic
    gaps = statistics.bootstrap(np.hstack(both), lambda sums: (
        statistic(sums[:, :width]) - statistic(sums[:, width:])), together)
    ps = statistics.swapped(*both, statistic, together)
    return dict(zip(ours.names, gaps, strict=True)), dict(zip(ours.names, ps, strict=True))


def _shared_columns(ours: Measured, theirs: Measured) -> tuple[Floats, Floats]:
    """The parts of both; of means, a metric that one side lacks on an item counts for neither."""
    if not ours.is_mean:
        return ours.parts, theirs.parts
    keep = np.repeat((ours.parts[:, 1::2] > 0) & (theirs.parts[:, 1::2] > 0), 2, axis=1)
    return ours.parts * keep, theirs.parts * keep


def _of_binary(both: tuple[Floats, Floats], k: int) -> tuple[Estimate, float]:
    """The difference of two shares on the same items, by the items on which they differ; columns 2 k and 2 k + 1."""
    kept = both[0][:, 2 * k + 1] > 0
    one, other = (parts[kept, 2 * k] > 0 for parts in both)
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    gap = statistics.newcombe(int((one & other).sum()), only_one, only_other, int((~one & ~other).sum()))
    return gap, statistics.mcnemar(only_one, only_other)


def main_metric(stated: Stated, pairs: Sequence[Pair]) -> str:
    """What two models are compared by: bits a byte where their tokens are not the same."""
    main = stated.metrics[0]
    is_shared = all(one.values.get("tokens") == other.values.get("tokens") for one, other in pairs)
    return BITS if main == SURPRISE and not is_shared else main


def flips(stated: Stated, pairs: Sequence[Pair]) -> dict[str, Any]:
    """What the model does worse than the other one, and what better: counts, all numbers, and the first to read.

    Where answers are right or wrong, the items that flipped, the surest wrong ones first; else by how far they moved.
    """
    sign = 1 if stated.is_higher_better else -1
    moved = [(sign * (value_of(one) - value_of(other)), one, other) for one, other in pairs]
    worse, better = ([pair for pair in moved if pair[0] * side > 0] for side in (-1, 1))
    worse.sort(key=lambda pair: (pair[0], -surety(stated, pair[1]), pair[1].number))
    better.sort(key=lambda pair: (-pair[0], -surety(stated, pair[2]), pair[1].number))
    return {name: {"n": len(found), "numbers": sorted(one.number for _, one, _ in found),
                   "items": [_read(stated, one, other) for _, one, other in found[:LISTED]]}
            for name, found in (("worse", worse), ("better", better))}


def to_read(stated: Stated, items: Sequence[Scored]) -> dict[str, Any] | None:
    """The items that one model did worst, the surest wrong answers first; None for mere text."""
    if stated.kind == PERPLEXITY:
        return None
    sign = 1 if stated.is_higher_better else -1
    wrong = [one for one in items if one.right is False] if stated.kind != MEAN else list(items)
    wrong.sort(key=lambda one: (sign * value_of(one), -surety(stated, one), one.number))
    return {"n": len(wrong), "numbers": sorted(one.number for one in wrong),
            "items": [_read(stated, one, None) for one in wrong[:LISTED]]}


def value_of(one: Scored) -> float:
    """The main metric of an item that was not skipped; of mere text its bits a byte, whatever the tokens are."""
    if "nats" in one.values:
        return one.values["nats"] / math.log(2) / one.values["bytes"]
    return float(bool(one.right)) if one.value is None else one.value


def surety(stated: Stated, one: Scored) -> float:
    """How sure the model was of its one answer; 0 where it said no probabilities, or chose labels."""
    return max(one.probabilities.values(), default=0.0) if stated.kind == ACCURACY else 0.0


def _read(stated: Stated, one: Scored, other: Scored | None) -> dict[str, Any]:
    """An item as a person reads it."""
    return {"number": one.number, "id": one.id, "group": one.group, "leak": one.leak,
            "prompt": cut(one.prompt, PROMPT_CHARS), "gold": cut(one.gold, ANSWER_CHARS), "is": _answered(stated, one),
            **({"was": _answered(stated, other)} if other else {})}


def _answered(stated: Stated, one: Scored) -> dict[str, Any]:
    return {"answer": cut(one.answer, ANSWER_CHARS), "value": rounded(value_of(one)), "note": one.note,
            "probability": rounded(surety(stated, one)) or None}


def cut(text: str, chars: int) -> str:
    """The beginning of a text that is longer."""
    return text if len(text) <= chars else f"{text[:chars]} … ({len(text):,} characters; all in {runs.ITEMS})"
