"""The page of an evaluation: the sentence first, then the intervals, then the items to read, then everything else."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from evaluation import report_parts as parts
from evaluation import report_pictures as pictures
from evaluation import words
from evaluation.items import SIDES, Stated
from models.page import page as frame

MODEL, AGAINST = SIDES
CSS = Path(__file__).with_name("report.css")
MOST_LISTED = 200
YES_NO = {"True": "yes", "False": "no"}
Json = Mapping[str, Any]


def page(stated: Stated, report: Json) -> str:
    """The page of a report."""
    called = words.names(stated)
    title = stated.title + ": " + (called.get(MODEL) or "no model") + (
        f" against {called[AGAINST]}" if AGAINST in called else "")
    leaks = words.leaks(stated, report)[:2]             # how many, and the main figure of the others
    first, *others = (text for text in report["sentences"] if text not in leaks)
    body = [f"<h1>{escape(title)}</h1>", f'<p class="lead">{escape(first)}</p>',
            *(f'<p class="leak">{escape(text)}</p>' for text in leaks),
            pictures.overview(stated, report), f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in others)}</ul>",
            parts.to_read(stated, report), parts.figures(stated, report), pictures.groups(stated, report),
            parts.groups(stated, report), parts.labels(stated, report), pictures.labels(stated, report),
            pictures.confusions(stated, report), pictures.calibration(stated, report), _leaked(report),
            _skipped(stated, report), _asked(stated, report), _methods(stated, report)]
    return frame(title, body, CSS.read_text(encoding="utf-8"))


def _leaked(report: Json) -> str:
    lines = [f"{one['id']}: {one['leak']}" for one in report["leaked"]]
    return _listed("Items that are also training rows", lines)


def _skipped(stated: Stated, report: Json) -> str:
    called = words.names(stated)
    lines = [f"{one['id']} ({called[one['side']]}): {one['why']}" for one in report["skipped"]]
    return _listed("Items that could not be scored", lines)


def _listed(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    more = f"<p>And {len(lines) - MOST_LISTED:,} more, in report.json.</p>" if len(lines) > MOST_LISTED else ""
    return (f"<h2>{escape(title)}</h2><details><summary>{len(lines):,}</summary><div><ul>"
            + "".join(f"<li>{escape(line)}</li>" for line in lines[:MOST_LISTED]) + f"</ul>{more}</div></details>")


def _asked(stated: Stated, report: Json) -> str:
    """What was asked, of whom, and with what."""
    facts: list[tuple[str, Iterable[str]]] = [
        ("Benchmark", [stated.title]), ("What it says", stated.about.splitlines()), ("Items", [stated.sample]),
        ("Official split", [stated.split]), ("Read from", [stated.file]), ("Fingerprint of the items", [stated.digest]),
        ("Source", [stated.source]), ("Licence", [stated.licence]),
        ("Languages", ["English only" if stated.is_english_only else "any that the items are in"]),
        ("Training rows", [stated.guard or "not looked for: name the run or its training file to have that done"])]
    called = words.names(stated)
    for one in stated.models:
        facts.append(("Model" if one["side"] == MODEL else "Other model", [
            called[one["side"]], *(f"{name.replace('_', ' ')}: {text}" for name, text in one.items()
                                   if name not in ("side", "name"))]))
    facts += [("How it was asked", [
        f"{name}: {YES_NO.get(text, text)}" for name, text in stated.settings.items()]),
              ("Notes", [*stated.notes, *(f"{one['note']}: {one['n']:,} answers of {called[one['side']]}"
                                          for one in report["notes"])]),
              ("Rows that are no items", stated.left_out)]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{'<br>'.join(map(escape, lines))}</dd>"
                   for name, texts in facts if (lines := [text for text in texts if text]))
    return f"<h2>What was asked, of whom</h2><dl>{rows}</dl>"


def _methods(stated: Stated, report: Json) -> str:
    by = report["measured_by"]
    libraries = ", ".join(f"{name} {number}" for name, number in by["libraries"].items())
    items = "".join(f"<li>{escape(text)}</li>" for text in by["methods"])
    answered = "; ".join(f"{one['name']}, fingerprint {one['fingerprint']}" for one in stated.models)
    return (f"<h2>How it was reckoned</h2><ul>{items}</ul><p>Answers and likelihoods: {escape(answered)}. Every item "
            "of items.jsonl carries the fingerprint of the model that answered it. Libraries: "
            f"{escape(libraries)}.</p>")
