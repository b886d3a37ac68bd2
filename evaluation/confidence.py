"""How far a model's probabilities can be believed: the reliability curve and the calibration error of its answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation import statistics
from evaluation.benchmarks.benchmark import LABELS
from evaluation.figures import as_json, rounded
from evaluation.items import Scored, Stated
from evaluation.statistics import Estimate
from tasks import metrics
from tasks.calibrate import BINS, calibration_error, reliability

DRAWS = 2_000                       # of right and wrong answers, as often right as the model is sure


def calibration(stated: Stated, items: Sequence[Scored]) -> dict[str, Any] | None:
    """The bins of similar confidence, their error, and what chance alone makes of a perfect model's; None without
    probabilities.

    Of one choice among several: how sure the model was of the likeliest, and whether that is right. Of labels: every
    label of every item, and whether it stands in gold.
    """
    sure, hits = judged(stated, items)
    if not sure:
        return None
    bins = reliability(sure, hits)
    return {
        "n": len(sure), "items": sum(bool(one.probabilities) for one in items),
        "error": rounded(calibration_error(sure, hits)), "perfect_up_to": rounded(_perfect(sure)),
        "confidence": rounded(float(np.mean(sure))), "right": rounded(float(np.mean(hits))),
        "bins": [{"n": one.rows, "confidence": rounded(one.confidence),
                  "right": as_json(_right(one.rows, one.accuracy, stated))} for one in bins]}


def judged(stated: Stated, items: Sequence[Scored]) -> tuple[list[float], list[bool]]:
    """(how sure, whether right) of each item, or of each label of each."""
    if stated.kind == LABELS:
        pairs = [(p, label in metrics.labels(one.gold)) for one in items for label, p in one.probabilities.items()]
    else:
        likeliest = [(one, max(one.probabilities, key=lambda choice: one.probabilities[choice]))
                     for one in items if one.probabilities]
        pairs = [(one.probabilities[choice], choice == one.gold) for one, choice in likeliest]
    return [p for p, _ in pairs], [hit for _, hit in pairs]


def _right(n: int, share: float, stated: Stated) -> Estimate:
    """The labels of one item are not independent of each other: of them, only the share."""
    if stated.kind == LABELS:
        return Estimate(share, None, None, n, "labels of one item are not independent")
    return statistics.share(round(share * n), n)


def _perfect(sure: Sequence[float]) -> float:
    """The calibration error that a model whose probabilities are true stays below in 95% of samples of this size."""
    ordered = np.sort(np.clip(np.asarray(sure, dtype=np.float64), 0, 1))
    rows = [one.rows for one in reliability(list(ordered), [False] * len(ordered), BINS)]
    starts = np.concatenate([[0], np.cumsum(rows)[:-1]]).astype(int)
    expected, generator = np.add.reduceat(ordered, starts), np.random.default_rng(statistics.SEED)
    errors: list[float] = []
    while len(errors) < DRAWS:
        draws = min(DRAWS - len(errors), max(1, statistics.MOST_AT_ONCE // len(ordered)))
        hits = (generator.random((draws, len(ordered))) < ordered).astype(np.float64)
        errors += list(np.abs(np.add.reduceat(hits, starts, axis=1) - expected).sum(1) / len(ordered))
    return float(np.quantile(errors, statistics.LEVEL))
