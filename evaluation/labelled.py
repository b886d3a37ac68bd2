"""Every label by itself: precision, recall and F1, and which label was said in place of which."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation import statistics
from evaluation.benchmarks.benchmark import ACCURACY, LABELS
from evaluation.figures import as_json, clusters, columns, indicators, rounded
from evaluation.items import Scored, Stated
from tasks import metrics

MOST_LABELS = 40                    # more right answers are no set of labels
NOTHING = ""                        # said where a label is missed, or missed where one is said beside the right ones


def per_label(stated: Stated, items: Sequence[Scored]) -> dict[str, Any] | None:
    """{"labels", "confusion"} of scored items whose answers are labels or choices; None where they are none."""
    if stated.kind not in (ACCURACY, LABELS) or not items or len({one.gold for one in items}) > (
            MOST_LABELS if stated.kind == ACCURACY else len(items)):
        return None
    gold, said, labels = indicators(items)
    if not labels:
        return None
    from sklearn.metrics import precision_recall_fscore_support
    scores = precision_recall_fscore_support(gold, said, average=None, labels=columns(labels), zero_division=np.nan)
    parts = np.hstack([gold & said, gold + said]).astype(np.float64)
    f1 = statistics.bootstrap(parts, lambda sums: 2 * sums[:, :len(labels)] / sums[:, len(labels):], clusters(items))
    rows = [{"label": label, "n": int(gold[:, k].sum()), "said": int(said[:, k].sum()),
             "right": int((gold[:, k] & said[:, k]).sum()), "precision": rounded(scores[0][k]),
             "recall": rounded(scores[1][k]), "f1": as_json(f1[k])} for k, label in enumerate(labels)]
    return {"labels": rows, "confusion": [
        {"gold": right, "said": wrong, "n": n} for (right, wrong), n in sorted(confusion(items).items())]}


def confusion(items: Sequence[Scored]) -> Counter[tuple[str, str]]:
    """{(right label, said label): items}; NOTHING on one side where a label was missed, or said beside the right ones.

    Of items with one label and one answer it is the confusion matrix. Of several labels: those found stand with
    themselves, and each missed one with each wrong one.
    """
    found: Counter[tuple[str, str]] = Counter()
    for one in items:
        gold, said = metrics.labels(one.gold), metrics.labels(one.answer)
        found.update((label, label) for label in gold & said)
        missed, wrong = sorted(gold - said) or [NOTHING], sorted(said - gold) or [NOTHING]
        found.update((right, other) for right in missed for other in wrong if (right, other) != (NOTHING, NOTHING))
    return found
