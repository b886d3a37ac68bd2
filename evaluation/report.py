"""The report of an evaluation: report.json for programs, report.html to read, report.md for a model card."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evaluation import figures, pairs, statistics, words
from evaluation.benchmarks.benchmark import ACCURACY, LABELS
from evaluation.confidence import calibration
from evaluation.items import SIDES, Scored, Stated, read_items
from evaluation.labelled import per_label
from evaluation.report_page import page
from evaluation.report_table import rows, table
from models import runs
from models.errors import UserError

MODEL, AGAINST = SIDES
LIBRARIES = ("llama-cpp-python", "transformers", "torch", "scikit-learn", "rouge-score", "scipy", "numpy")
METHODS = (
    "Shares of items that are right or wrong: Wilson intervals; where items weigh differently, of as many equal items "
    "as say as much (Kish). Differences of two such shares on the same items: "
    "Newcombe's interval (method 10) and McNemar's exact test.",
    f"Everything else: bootstrap intervals (BCa, {statistics.RESAMPLES:,} resamples, seed {statistics.SEED}); "
    "differences by drawing the same items for both models (paired bootstrap), their p values by swapping the two "
    f"models' results at random ({statistics.SWAPS:,} times, or in every way where there are fewer).",
    "Items of one patient or document are no independent ones: where there are any, whole patients or documents are "
    "drawn and swapped, also for shares.",
    "All intervals are 95% intervals. p values of groups are corrected for the number of groups (Holm); none is "
    "corrected for the number of metrics.",
    "F1, precision and recall: scikit-learn. ROUGE: the rouge-score library. Calibration error: mean distance of "
    "confidence and share right over ten bins of equally many answers.")


def write(folder: Path, stated: Stated) -> dict[str, Any]:
    """Write all three into the folder that holds items.jsonl, and return what report.json holds.

    Raises UserError if an item was answered by another model than stated, or the disk is full.
    """
    found = report(stated, read_items(folder / runs.ITEMS))
    with runs.whole_file(folder / runs.REPORT_PAGE) as part:
        part.write_bytes(page(stated, found).encode("utf-8", "backslashreplace"))
    with runs.whole_file(folder / runs.REPORT_TABLE) as part:
        part.write_bytes(table(stated, found).encode("utf-8", "backslashreplace"))
    runs.write_json(folder / runs.REPORT, found)
    return found


def report(stated: Stated, items: Sequence[Scored]) -> dict[str, Any]:
    """What report.json holds. "sentences" say it in words, the headline first; "rows" is the table of report.md."""
    check(stated, items)
    items = sorted(items, key=lambda one: (SIDES.index(one.side), one.number))
    labels = figures.labels_of(items) if stated.kind == LABELS else []
    leaked = {one.number: one for one in items if one.leak}
    clean = [one for one in items if one.number not in leaked]
    apart = dict.fromkeys(one.group for one in items if one.group)
    found: dict[str, Any] = {
        "title": stated.title, "sentences": [], "rows": [], "stated": dataclasses.asdict(stated),
        "whole": part(stated, items, labels),
        "without_leaked": part(stated, clean, labels) if leaked else None,
        "groups": _corrected({name: part(stated, [one for one in items if one.group == name], labels)
                              for name in apart}),
        "labels": _of_each(stated, items, per_label), "calibration": _of_each(stated, items, calibration),
        "calibration_without_leaked": _of_each(stated, clean, calibration) if leaked else {},
        **_to_read(stated, items),
        "leaked": [{"number": one.number, "id": one.id, "leak": one.leak} for _, one in sorted(leaked.items())],
        "skipped": [{"side": one.side, "number": one.number, "id": one.id, "why": one.skipped}
                    for one in items if one.skipped],
        "notes": [{"side": side, "note": note, "n": n} for (side, note), n
                  in sorted(Counter((one.side, one.note) for one in items if one.note).items())],
        "measured_by": {"libraries": _versions(), "methods": list(METHODS)}}
    found["sentences"] = words.sentences(stated, found)
    found["rows"] = rows(stated, found)
    return found


def check(stated: Stated, items: Sequence[Scored]) -> None:
    """Raise UserError if the items are not those of the stated models."""
    known = {one["side"]: one["fingerprint"] for one in stated.models}
    for one in items:
        if known.get(one.side) != one.model:
            raise UserError(f"Item {one.id} was answered by the model {one.model[:12] or '(unknown)'}, which this "
                            f"evaluation does not state; its {runs.ITEMS} was changed. Evaluate in a new folder.")


def part(stated: Stated, items: Sequence[Scored], labels: Sequence[str]) -> dict[str, Any]:
    """The figures of some of the items: of each model by itself, and of both on the items that both did."""
    sides = [side for side in SIDES if any(one["side"] == side for one in stated.models)]
    return {"items": len({one.number for one in items}),
            "models": {side: _of_model(stated, [one for one in items if one.side == side], labels) for side in sides},
            "pair": pairs.compare(stated, pairs.paired(items), labels) if AGAINST in sides else None}


def _of_model(stated: Stated, items: Sequence[Scored], labels: Sequence[str]) -> dict[str, Any]:
    done = figures.scored(items)
    found = figures.estimates(stated, done, labels)
    is_decided = stated.kind in (ACCURACY, LABELS)
    answered = [one for one in done if one.answer or one.right] if is_decided else done
    right = sum(pairs.value_of(one) > 0 for one in answered) if is_decided else 0
    as_wrong = right / len(items) if is_decided and len(done) < len(items) else None
    return {"items": len(items), "scored": len(done), "skipped": len(items) - len(done),
            "skipped_as_wrong": figures.rounded(as_wrong), "unanswered": len(done) - len(answered),
            "answered": figures.as_json(statistics.share(right, len(answered))) if is_decided else None,
            "clusters": len(set(figures.clusters(done) or [])) or len(done),
            "metrics": {name: figures.as_json(one) for k, (name, one) in enumerate(found.items()) if one.n or k == 0},
            "baselines": figures.beside(stated, done, labels)}


def _corrected(groups: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The groups with the p values of each metric corrected for how many groups there are."""
    found = [one["pair"]["metrics"] for one in groups.values() if one["pair"]]
    for name in dict.fromkeys(name for metrics in found for name in metrics):
        tested = [metrics[name] for metrics in found if name in metrics and metrics[name]["p"] is not None]
        for one, p in zip(tested, statistics.holm([one["p"] for one in tested]), strict=True):
            one["p_uncorrected"], one["p"] = one["p"], figures.rounded(p)
    return groups


def _of_each(stated: Stated, items: Sequence[Scored], found: Any) -> dict[str, Any]:
    """What found() makes of each model's scored items."""
    return {one["side"]: found(stated, figures.scored([item for item in items if item.side == one["side"]]))
            for one in stated.models}


def _to_read(stated: Stated, items: Sequence[Scored]) -> Mapping[str, Any]:
    """The items that a person should look at: those that flipped, or those that the one model did worst."""
    if any(one["side"] == AGAINST for one in stated.models):
        return {"flips": pairs.flips(stated, pairs.paired(items)), "worst": None}
    return {"flips": None, "worst": pairs.to_read(stated, figures.scored(items))}


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
