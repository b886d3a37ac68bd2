"""The figures of a set of items: each metric of their benchmark as sums that can be resampled, with its interval."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation import statistics
from evaluation.benchmarks.benchmark import ACCURACY, LABELS, MEAN
from evaluation.items import Scored, Stated
from evaluation.statistics import Estimate, Floats, Statistic
from tasks import metrics

EXACT, MACRO, MICRO = "subset_accuracy", "macro_f1", "micro_f1"
SURPRISE, BITS = "perplexity", "bits_per_byte"
ABOVE, BELOW, ALIKE = "above", "below", "not told apart"
DIGITS = 6                          # of a figure in the report: the same on every machine


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Items in numbers. names: the metrics, the main one first; statistic: makes them of the sums of parts.

    counts: {metric: items that have it}; binary: {metric: its values}, of metrics that are always 0 or 1, on items that
    weigh the same. is_mean: parts are two columns for each metric, its values and its weights, 0 on items that lack it.
    """

    names: tuple[str, ...]
    parts: Floats                   # (items, columns)
    statistic: Statistic
    counts: Mapping[str, int]
    binary: Mapping[str, Floats] = field(default_factory=dict)
    is_mean: bool = False


def scored(items: Sequence[Scored]) -> list[Scored]:
    """Those that were not skipped."""
    return [one for one in items if not one.skipped]


def clusters(items: Sequence[Scored]) -> list[str] | None:
    """A name for each item, shared by those of one patient or document; None where all are on their own."""
    names = [one.cluster or f"item {one.number}" for one in items]
    return names if len(set(names)) < len(names) else None


def labels_of(items: Sequence[Scored]) -> list[str]:
    """Every label that is right or was said somewhere, sorted."""
    return sorted(frozenset().union(*(metrics.labels(text) for one in items for text in (one.gold, one.answer))))


def measured(stated: Stated, items: Sequence[Scored], labels: Sequence[str] = ()) -> Measured:
    """Scored items in numbers. labels: at least those of labels_of(items), where the benchmark is of labels."""
    if stated.kind == LABELS:
        return _of_labels(items, labels)
    if stated.kind in (ACCURACY, MEAN):
        return _of_means(stated, items)
    return _of_nats(items)


def _of_means(stated: Stated, items: Sequence[Scored]) -> Measured:
    main, *others = stated.metrics
    columns, counts, binary = [], {}, {}
    shares = {main} if stated.kind == ACCURACY else set(stated.shares)
    weights = [one.weight for one in items]
    for name in (main, *others):
        values = [_value(one) if name == main else one.values.get(name) for one in items]
        has = np.array([value is not None for value in values], dtype=np.float64)
        numbers = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
        columns += [numbers * has * weights, has * weights]
        counts[name] = int(has.sum())
        if name in shares and len(set(weights)) <= 1:
            binary[name] = numbers[has > 0]
    return Measured(names=(main, *others), parts=_columns(columns, items), counts=counts, binary=binary,
                    is_mean=True, statistic=lambda sums: sums[:, ::2] / sums[:, 1::2])


def _value(one: Scored) -> float | None:
    return float(one.right) if one.value is None and one.right is not None else one.value


def _of_labels(items: Sequence[Scored], labels: Sequence[str]) -> Measured:
    """Columns: exact, items, then of each label: right, in gold, said."""
    pairs = [(metrics.labels(one.gold), metrics.labels(one.answer)) for one in items]
    exact = np.array([gold == said for gold, said in pairs], dtype=np.float64)
    parts = np.array([[float(gold == said), 1.0, *(
        float(part) for label in labels for part in (label in gold and label in said, label in gold, label in said))]
        for gold, said in pairs]).reshape(len(items), 2 + 3 * len(labels))

    def statistic(sums: Floats) -> Floats:
        right, gold, said = (sums[:, 2 + k::3] for k in range(3))
        scores = 2 * right / (gold + said)              # nan where a label neither stands nor is said
        known = np.isfinite(scores)
        return np.stack([sums[:, 0] / sums[:, 1], np.where(known, scores, 0).sum(1) / known.sum(1),
                         2 * right.sum(1) / (gold + said).sum(1)], 1)

    return Measured(names=(EXACT, MACRO, MICRO), parts=parts, statistic=statistic, binary={EXACT: exact},
                    counts={EXACT: len(items), MACRO: len(items), MICRO: len(items)})


def _of_nats(items: Sequence[Scored]) -> Measured:
    parts = [[one.values[name] for one in items] for name in ("nats", "tokens", "bytes")]

    def statistic(sums: Floats) -> Floats:
        nats, tokens, size = sums.T
        return np.stack([np.exp(nats / tokens), nats / math.log(2) / size], 1)

    return Measured(names=(SURPRISE, BITS), parts=_columns(parts, items), statistic=statistic,
                    counts={SURPRISE: len(items), BITS: len(items)})


def _columns(columns: Sequence[Any], items: Sequence[Scored]) -> Floats:
    return np.array(columns, dtype=np.float64).reshape(len(columns), len(items)).T


def estimates(stated: Stated, items: Sequence[Scored], labels: Sequence[str] = ()) -> dict[str, Estimate]:
    """{metric: its figure with interval} of scored items: Wilson where items are right or wrong, else bootstrap."""
    found = measured(stated, items, labels)
    if not items:
        return {name: Estimate(None, None, None, 0, "no items") for name in found.names}
    together = clusters(items)
    shares = {} if together else {**_weighted(stated, found), **{
        name: statistics.share(int(values.sum()), len(values)) for name, values in found.binary.items()}}
    if set(shares) == set(found.names):
        return shares
    drawn = dict(zip(found.names, statistics.bootstrap(found.parts, found.statistic, together), strict=True))
    drawn = {name: dataclasses.replace(one, n=found.counts[name]) for name, one in drawn.items()}
    if stated.kind == LABELS:
        drawn = {name: dataclasses.replace(one, value=_f1(items, name)) if name != EXACT else one
                 for name, one in drawn.items()}
    return drawn | shares


def _weighted(stated: Stated, found: Measured) -> dict[str, Estimate]:
    """The metrics of a mean that are 0 or 1 on every item, by the items' weights."""
    columns = {name: found.parts[:, 2 * k:2 * k + 2] for k, name in enumerate(found.names)
               if found.is_mean and name in stated.shares}
    has = {name: both[both[:, 1] > 0] for name, both in columns.items()}
    return {name: statistics.weighted_share(both[:, 0] / both[:, 1], both[:, 1]) for name, both in has.items()}


def _f1(items: Sequence[Scored], name: str) -> float:
    from sklearn.metrics import f1_score
    gold, said, labels = indicators(items)
    return float(f1_score(gold, said, average={MACRO: "macro", MICRO: "micro"}[name], labels=columns(labels),
                          zero_division=0)) if labels else math.nan


def indicators(items: Sequence[Scored]) -> tuple[Any, Any, list[str]]:
    """(gold, said, labels) as scikit-learn takes them: 0 or 1 for each item and label of labels_of(items)."""
    from sklearn.preprocessing import MultiLabelBinarizer
    labels = labels_of(items)
    binarizer = MultiLabelBinarizer(classes=labels).fit([])
    return (binarizer.transform([metrics.labels(one.gold) for one in items]),
            binarizer.transform([metrics.labels(one.answer) for one in items]), labels)


def columns(labels: Sequence[str]) -> list[int]:
    """What scikit-learn calls the columns of indicators(): a single one it takes for the two classes 0 and 1."""
    return list(range(len(labels))) if len(labels) > 1 else [1]


def beside(stated: Stated, items: Sequence[Scored], labels: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Each trivial answer's figure on the same items, best first, and whether the model's main one differs from it."""
    names = dict.fromkeys(name for one in items for name in one.baselines)
    found = [_against(stated, [one for one in items if name in one.baselines], name, labels) for name in names]
    return sorted(found, key=lambda one: -one["value"] if stated.is_higher_better else one["value"])


def _against(stated: Stated, items: Sequence[Scored], name: str, labels: Sequence[str]) -> dict[str, Any]:
    trivial = np.array([one.baselines[name] for one in items])
    weights = np.array([one.weight for one in items])
    found, together = measured(stated, items, labels), clusters(items)
    main = compared(stated)
    place = found.names.index(main)
    ours = found.binary.get(main)
    ours = ours if together is None and ours is not None and len(ours) == len(items) else None
    if ours is not None and set(trivial) <= {0.0, 1.0}:
        gap = statistics.newcombe(*(int(((ours == one) & (trivial == other)).sum())
                                    for one, other in ((1, 1), (1, 0), (0, 1), (0, 0))))
    elif ours is not None and len(set(trivial)) == 1:
        low, high = statistics.wilson(int(ours.sum()), len(ours))
        gap = Estimate(float(ours.mean() - trivial[0]), low - trivial[0], high - trivial[0], len(ours),
                       statistics.WILSON)
    else:
        parts = np.column_stack([found.parts, trivial * weights, weights])
        gap, = statistics.bootstrap(parts, lambda sums: (
            found.statistic(sums[:, :-2])[:, [place]] - sums[:, -2:-1] / sums[:, -1:]), together)
    return {"name": name, "metric": main, "value": rounded(float((trivial * weights).sum() / weights.sum())),
            "n": len(items), "difference": as_json(gap), "verdict": verdict(gap)}


def compared(stated: Stated) -> str:
    """The metric that baselines are in."""
    return BITS if stated.metrics[0] == SURPRISE else stated.metrics[0]


def verdict(gap: Estimate) -> str:
    """Whether the interval of a difference lies above 0, below it, or holds it."""
    if gap.low is not None and gap.low > 0:
        return ABOVE
    return BELOW if gap.high is not None and gap.high < 0 else ALIKE


def as_json(one: Estimate) -> dict[str, Any]:
    """An estimate as the report has it."""
    return {"value": rounded(one.value), "low": rounded(one.low), "high": rounded(one.high), "n": one.n,
            "how": one.how}


def rounded(value: float | None) -> float | None:
    """So many digits as every machine agrees on."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
