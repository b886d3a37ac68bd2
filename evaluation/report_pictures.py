"""The pictures of a report's page, from its figures."""

from collections import Counter
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from evaluation import plots, words
from evaluation.benchmarks.benchmark import LABELS
from evaluation.items import SIDES, Stated
from evaluation.plots import Curve, Whisker

MODEL, AGAINST = SIDES
ORDER = (AGAINST, MODEL)            # from the other model to this one
FEWEST_BINS = 2
MOST_LINES = 4
NOTHING, EXTRA = "(nothing)", "(not asked for)"
Json = Mapping[str, Any]


def overview(stated: Stated, report: Json) -> str:
    """The main figure of each model, with and without leaked items, and what trivial answers get."""
    main, called = _main(report), words.names(stated)
    found = []
    for name, part in (("", report["whole"]), (", without leaked items", report["without_leaked"])):
        found += [row for side in ORDER if part and side in part["models"]
                  for row in _whisker(part["models"][side], main, called[side] + name, side)]
    if not found:
        return ""
    side = report["whole"]["models"][MODEL]
    lines = [(one["name"], one["value"]) for one in side["baselines"][:MOST_LINES] if one["metric"] == main]
    picture = plots.whiskers(f"{stated.title}: {words.metric(main)}", found, lines, _axis(stated, main), _shown(stated))
    beside = " Dashed lines: what trivial answers get on the same items." if lines else ""
    return _figure(picture, f"Dots: {words.metric(main)}; whiskers: 95% intervals; n: items.{beside}")


def groups(stated: Stated, report: Json) -> str:
    """The main figure of each group."""
    main, called = _main(report), words.names(stated)
    found = []
    largest = sorted(report["groups"].items(), key=lambda pair: -pair[1]["items"])
    for name, part in largest:
        for side in ORDER:
            if side in part["models"]:
                label = name if len(part["models"]) == 1 else f"{name}: {called[side]}"
                found += _whisker(part["models"][side], main, label, side)
    if not found:
        return ""
    picture = plots.whiskers(f"{words.metric(main)} of each group", found, [], _axis(stated, main), _shown(stated),
                             is_bars=True)
    more = "" if len(found) <= plots.MOST_ROWS else f" The first {plots.MOST_ROWS} are drawn; the table has all."
    return f"<h2>Groups</h2>{_figure(picture, 'Bars from zero, with 95% intervals; the largest group first.' + more)}"


def labels(stated: Stated, report: Json) -> str:
    """F1 of every label."""
    found, called = [], words.names(stated)
    sides = {side: {row["label"]: row for row in one["labels"]} for side, one in report["labels"].items() if one}
    names = sorted(set().union(*sides.values()), key=lambda name: (-max(
        rows[name]["n"] for rows in sides.values() if name in rows), name)) if sides else []
    for name in names:
        for side in ORDER:
            row = sides.get(side, {}).get(name)
            if row and row["f1"]["value"] is not None:
                label = name if len(sides) == 1 else f"{name}: {called[side]}"
                found.append(_row(row["f1"] | {"n": row["n"]}, label, side))
    if not found:
        return ""
    picture = plots.whiskers("F1 of each label", found, [], "F1", lambda value: f"{value:.2f}", is_bars=True)
    return _figure(picture, "F1 of each label with 95% intervals; n: items that have the label.")


def confusions(stated: Stated, report: Json) -> str:
    """What was said for what, of each model."""
    called = words.names(stated)
    drawn = [_confusion(report["labels"][side]["confusion"], called[side]) for side in ORDER
             if report["labels"].get(side)]
    several = ("<p>With several labels, those found stand on the diagonal, and each missed one beside each wrong one."
               "</p>") if stated.kind == LABELS else ""
    return f"<h2>What was said for what</h2>{several}{''.join(drawn)}" if drawn else ""


def _confusion(pairs: list[dict[str, Any]], name: str) -> str:
    counts = {(one["gold"] or EXTRA, one["said"] or NOTHING): one["n"] for one in pairs}
    size: Counter[str] = Counter()
    for (right, said), n in counts.items():
        size.update(dict.fromkeys({right, said} - {EXTRA, NOTHING}, n))
    known = sorted(label for label, _ in sorted(size.items(), key=lambda pair: (-pair[1], pair[0]))[:plots.MOST_LABELS])
    rows = [*known, *([EXTRA] if any(right == EXTRA for right, _ in counts) else [])]
    columns = [*known, *([NOTHING] if any(said == NOTHING for _, said in counts) else [])]
    picture = plots.matrix(f"What {name} said for what", rows, columns, counts)
    more = f" The commonest {len(known)} of {len(size)} labels." if len(known) < len(size) else ""
    return _figure(picture, f"{name}: items with the label of the row for which that of the column was said.{more}")


def calibration(stated: Stated, report: Json) -> str:
    """The reliability curves."""
    called = words.names(stated)
    curves = []
    for side in ORDER:
        one = report["calibration"].get(side)
        if one:
            curves.append(Curve(name=called[side], shape=SIDES.index(side), points=[
                (bin["confidence"], bin["right"]["value"], bin["right"]["low"], bin["right"]["high"], bin["n"])
                for bin in one["bins"]]))
    if not curves:
        return ""
    lines = "".join(f"<p>{escape(text)}</p>" for text in words.calibration(stated, report["calibration"]))
    return "<h2>How sure, and how often right</h2>" + lines + _figure(
        plots.reliability("Reliability curve", curves),
        "On the dashed line answers are right as often as the model is sure; below it it is too sure. Each dot stands "
        "for about a tenth of the answers, with the 95% interval of its share right where answers are independent.")


def _main(report: Json) -> str:
    whole = report["whole"]
    return whole["pair"]["main"] if whole["pair"] else next(iter(whole["models"][MODEL]["metrics"]))


def _whisker(side: Json, metric: str, name: str, which: str) -> list[Whisker]:
    one = side["metrics"].get(metric)
    return [_row(one, name, which)] if one and one["value"] is not None else []


def _row(one: Json, name: str, side: str) -> Whisker:
    return Whisker(name=name, value=one["value"], low=one["low"], high=one["high"], n=one["n"],
                   shape=SIDES.index(side))


def _shown(stated: Stated) -> Callable[[float], str]:
    if words.is_share(stated):
        return lambda value: f"{100 * value:.1f}%".replace(".0%", "%")
    return lambda value: f"{value:.3g}"


def _axis(stated: Stated, metric: str) -> str:
    better = "" if stated.is_higher_better else " (less is better)"
    return f"{words.metric(metric)}{better}"


def _figure(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"
