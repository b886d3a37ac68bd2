"""The tables of a report's page, and its items to read."""

from collections.abc import Mapping
from html import escape
from typing import Any

from evaluation import report_table, words
from evaluation.benchmarks.benchmark import ACCURACY, MEAN
from evaluation.items import SIDES, Stated
from models.page import table

MODEL, AGAINST = SIDES
OPEN = 3                            # questions that are shown unfolded
Json = Mapping[str, Any]


def figures(stated: Stated, report: Json) -> str:
    """Every figure of all items, and without leaked ones."""
    heads = ["Metric", "Model", "Items", "Value", "95% interval", "n", "Best trivial answer", "p"]
    keys = ["metric", "model", "items", "value", "95% interval", "n", "best trivial answer", "p"]
    kinds = ["name", "", "", "number", "number", "number", "", "number"]
    rows = [[escape(row[key]) for key in keys] for row in report_table.overall(stated, report)]
    return "<h2>Every figure</h2>" + table(heads, kinds, rows) + _trivial(stated, report)


def _trivial(stated: Stated, report: Json) -> str:
    """The trivial answers, and how each model stands to them."""
    called, rows = words.names(stated), []
    for side, one in report["whole"]["models"].items():
        for best in one["baselines"]:
            gap = best["difference"]
            rows.append([escape(best["name"]), escape(words.metric(best["metric"])),
                         report_table.figure(stated, best["value"]), escape(called[side]),
                         report_table.signed(stated, gap["value"]),
                         report_table.interval(stated, gap, is_change=True), f"{best['n']:,}", best["verdict"]])
    heads = ["Trivial answer", "Metric", "Value", "Model", "Model minus it", "95% interval", "n", "Model is"]
    kinds = ["name", "", "number", "", "number", "number", "number", ""]
    return "<h3>Beside trivial answers</h3>" + table(heads, kinds, rows) if rows else ""


def groups(stated: Stated, report: Json) -> str:
    """The main figure of every group, and the difference of two models in it."""
    called, rows = words.names(stated), []
    for name, part in report["groups"].items():
        for side, one in part["models"].items():
            for metric, found in one["metrics"].items():
                rows.append([escape(name), escape(words.metric(metric)), escape(called[side]),
                             report_table.figure(stated, found["value"]), report_table.interval(stated, found),
                             f"{found['n']:,}", ""])
        pair = part["pair"]
        if pair and pair["main"] in pair["metrics"]:
            gap = pair["metrics"][pair["main"]]
            rows.append([escape(name), f"{escape(words.metric(pair['main']))}, change",
                         escape(f"{called[AGAINST]} to {called[MODEL]}"),
                         report_table.signed(stated, gap["difference"]["value"]),
                         report_table.interval(stated, gap["difference"], is_change=True), f"{pair['n']:,}",
                         report_table.p(gap["p"])])
    heads = ["Group", "Metric", "Model", "Value", "95% interval", "n", "p (of all groups)"]
    kinds = ["name", "", "", "number", "number", "number", "number"]
    return _folded(f"All figures of {len(report['groups']):,} groups", table(heads, kinds, rows)) if rows else ""


def labels(stated: Stated, report: Json) -> str:
    """Precision, recall and F1 of every label."""
    called, rows = words.names(stated), []
    found = [(row["label"], side, row) for side, one in report["labels"].items() if one for row in one["labels"]]
    for label, side, row in sorted(found, key=lambda one: one[:2]):
        rows.append([escape(label), escape(called[side]), f"{row['n']:,}", f"{row['said']:,}", f"{row['right']:,}",
                     *(_share(row[key]) for key in ("precision", "recall")), _share(row["f1"]["value"]),
                     _interval(row["f1"])])
    heads = ["Label", "Model", "n", "Said", "Right", "Precision", "Recall", "F1", "95% interval"]
    kinds = ["name", "", *["number"] * 7]
    return "<h2>Labels</h2>" + table(heads, kinds, rows) if rows else ""


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(one: Json) -> str:
    return "–" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"


def to_read(stated: Stated, report: Json) -> str:
    """The items that flipped, those that went wrong first; or those that the one model did worst."""
    called = words.names(stated)
    if report["flips"] and not any(found["n"] for found in report["flips"].values()):
        return "<h2>What changed</h2><p>No item that both models did is better or worse with one of them.</p>"
    if report["flips"]:
        return "<h2>What changed</h2>" + "".join(
            _items(stated, f"{called[MODEL]} is {name} than {called[AGAINST]} on {found['n']:,} items", found)
            for name, found in report["flips"].items())
    worst = report["worst"]
    if not worst or not worst["items"]:
        return ""
    kind = {MEAN: "answers, the lowest figures first", ACCURACY: "wrong answers, the surest first"}
    title = f"{worst['n']:,} {kind.get(stated.kind, 'wrong answers')}"
    return f"<h2>To read</h2>{_items(stated, title, worst)}"


def _items(stated: Stated, title: str, found: Json) -> str:
    called, shown = words.names(stated), found["items"]
    if not shown:
        return f"<h3>{escape(title)}</h3>"
    more = (f'<p class="note">The first {len(shown)} of them; report.json names all, items.jsonl holds them.</p>'
            if len(shown) < found["n"] else "")
    blocks = [_item(stated, one, called) for one in shown]
    rest = _folded(f"{len(blocks) - OPEN} more", "".join(blocks[OPEN:])) if len(blocks) > OPEN else ""
    return f"<h3>{escape(title)}</h3>{more}{''.join(blocks[:OPEN])}{rest}"


def _item(stated: Stated, one: Json, called: Mapping[str, str]) -> str:
    place = " · ".join(filter(None, [f"Item {one['number'] + 1:,}", one["id"], one["group"]]))
    leak = f'<p class="leak">Also a training row: {escape(one["leak"])}</p>' if one["leak"] else ""
    answers = [(called[side], one[key]) for side, key in ((AGAINST, "was"), (MODEL, "is")) if key in one]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{_answer(stated, answer)}</dd>" for name, answer in answers)
    asked = (f'<details><summary>What was asked</summary><div><p class="text">{escape(one["prompt"])}</p></div>'
             "</details>") if one["prompt"] else ""
    gold = "Reference" if stated.kind == MEAN else "Right answer"
    return (f'<div class="flip"><p class="note">{escape(place)}</p>{leak}{asked}'
            f"<dl><dt>{gold}</dt><dd>{escape(one['gold'])}</dd>{rows}</dl></div>")


def _answer(stated: Stated, answer: Json) -> str:
    sure = "" if answer["probability"] is None else f" · {answer['probability']:.0%} sure"
    value = "" if words.is_share(stated) else f" · {words.plain(answer['value'])}"
    note = f" · {answer['note']}" if answer["note"] else ""
    return (f"<bdi>{escape(answer['answer'])}</bdi>" if answer["answer"] else "(no answer)") + (
        f'<span class="note">{escape(sure + value + note)}</span>')


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary><div>{body}</div></details>"

