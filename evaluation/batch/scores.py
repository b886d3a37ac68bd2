"""What a batch came to against the answers that its file holds: counts, intervals and the trivial answer beside it."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from evaluation.batch.journal import Row
from evaluation.batch.work import PROBLEM
from evaluation.statistics import bootstrap, mean, wilson
from tasks import metrics


def choices(golds: Sequence[str], found: Sequence[Row]) -> dict[str, Any]:
    """Accuracy over the rows that have a right answer and were done; {} if there is none. "" as answer is wrong."""
    pairs = [(gold, str(row["answer"])) for gold, row in zip(golds, found, strict=True) if gold and not row[PROBLEM]]
    if not pairs:
        return {}
    right = sum(gold == said for gold, said in pairs)
    commonest, count = Counter(gold for gold, _ in pairs).most_common(1)[0]
    low, high = wilson(right, len(pairs))
    return {"n": len(pairs), "accuracy": right / len(pairs), "intervals": {"accuracy": [low, high]},
            "not_answered": sum(not said for _, said in pairs),
            "baseline": {"name": f"always {commonest}", "accuracy": count / len(pairs)}}


def labels(golds: Sequence[Collection[str] | None], found: Sequence[Collection[str] | None],
           names: Sequence[str]) -> dict[str, Any]:
    """Subset accuracy and F1 over the rows that have labels and were done (None: not so); {} if there is none."""
    from sklearn.metrics import precision_recall_fscore_support
    pairs = [(frozenset(gold), frozenset(said)) for gold, said in zip(golds, found, strict=True)
             if gold is not None and said is not None]
    if not pairs:
        return {}
    known = sorted({*names, *(label for gold, _ in pairs for label in gold)})
    right, given = ([[label in one[side] for label in known] for one in pairs] for side in (0, 1))
    exact = sum(gold == said for gold, said in pairs)
    commonest, count = Counter(gold for gold, _ in pairs).most_common(1)[0]
    low, high = wilson(exact, len(pairs))

    def scored(average: str | None) -> Any:
        return precision_recall_fscore_support(right, given, average=average, zero_division=0)

    of_each = zip(known, *scored(None), strict=True)
    macro, micro = _f1_intervals(np.array(right), np.array(given))
    return {"n": len(pairs), "subset_accuracy": exact / len(pairs),
            "macro_f1": float(scored("macro")[2]), "micro_f1": float(scored("micro")[2]),
            "intervals": {"subset_accuracy": [low, high], "macro_f1": macro, "micro_f1": micro},
            "labels": {label: {"precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
                       for label, p, r, f, n in of_each},
            "baseline": {"name": f"always {' | '.join(sorted(commonest))}", "subset_accuracy": count / len(pairs)}}


def _f1_intervals(right: Any, given: Any) -> list[list[float | None]]:
    """[low, high] of macro and micro F1, by resampling rows; right, given: (rows, labels) of True and False."""
    parts = np.concatenate([right & given, ~right & given, right & ~given], axis=1).astype(np.float64)

    def f1s(sums: Any) -> Any:
        found, wrong, missed = np.split(sums, 3, axis=1)
        each = 2 * found / np.maximum(2 * found + wrong + missed, 1)
        whole = [part.sum(1) for part in (found, wrong, missed)]
        return np.stack([each.mean(1), 2 * whole[0] / np.maximum(2 * whole[0] + whole[1] + whole[2], 1)], axis=1)

    return [[one.low, one.high] for one in bootstrap(parts, f1s)]


def summaries(golds: Sequence[str], found: Sequence[Row], inputs: Sequence[str]) -> dict[str, Any]:
    """Mean ROUGE over the rows that have a text to compare with and were done; {} if there is none. English only."""
    triples = [(gold, str(row["summary"]), said) for gold, row, said in zip(golds, found, inputs, strict=True)
               if gold and not row[PROBLEM]]
    if not triples:
        return {}
    rouges = [metrics.rouge(gold, said) for gold, said, _ in triples]
    means = {name: mean([one[name] for one in rouges]) for name in metrics.KINDS}
    copied = [metrics.rouge(gold, said)["rouge_1"] for gold, _, said in triples]
    return {"n": len(triples), **{name: one.value for name, one in means.items()},
            "intervals": {name: [one.low, one.high] for name, one in means.items()},
            "baseline": {"name": "the dialogue itself", "rouge_1": sum(copied) / len(copied)}}
