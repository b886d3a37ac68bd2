"""A task over a file -> HTML: a look at the rows, the job's progress, its first results, and the jobs before it."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from evaluation.batch.work import PROBLEM
from ui.actions.file_task import Look, Seen
from ui.job_list import JobView
from ui.terminal import SCORES, duration
from ui.views.classify import percent

LOOK_ROWS, LOOK_CHARS, SUMMARY_CHARS, NOTES, MOST_LISTED = 5, 90, 300, 12, 12
STATES = {"waiting": "Waiting", "running": "Running", "done": "Done", "stopped": "Stopped", "error": "Not done",
          "interrupted": "Interrupted"}
SHOWN = {"summarise": ("header", "summary", "marks"), "classify": ("predicted_labels", "confidence", "by")}
HEADS = {"header": "Section", "summary": "Summary", "marks": "Not said", "predicted_labels": "Labels",
         "confidence": "Confidence", "by": "By"}
TEXTS = {"summarise": "Conversation", "classify": "Text"}


def look(found: Look) -> str:
    """The first rows of an uploaded file."""
    if not found.columns:
        return f'<p class="quiet">{escape(found.name)}. {escape(found.problem)}</p>'
    rows = "".join(f"<tr>{''.join(f'<td>{escape(_cut(cell))}</td>' for cell in row)}</tr>"
                   for row in found.rows[:LOOK_ROWS])
    told = found.problem or f"Recognised: {', '.join(found.used.values())}."
    return (f'<div class="table" tabindex="0" role="region" aria-label="First rows"><table><caption>'
            f'{escape(found.name)}</caption>{_heads(*found.columns)}<tbody>{rows}</tbody></table></div>'
            f'<p class="{"problem" if found.problem else "quiet"}">{escape(told)}</p>')


def job(seen: Seen) -> str:
    """What the job is doing, or how it ended."""
    view = seen.view
    left = f"{duration(view.left_s)} left" if view.left_s is not None else ""
    percent = "" if view.share is None or view.is_over else f"{view.share:.0%}"
    words = " · ".join(part for part in (percent, left, own_words(view)) if part)
    bar = ""
    if not view.is_over:
        share = f' aria-valuenow="{view.share * 100:.0f}"' if view.share is not None else ""
        bar = (f'<div class="bar" role="progressbar" aria-label="{escape(view.title)}" aria-valuemin="0" '
               f'aria-valuemax="100"{share}><i style="width: {(view.share or 0) * 100:.1f}%"></i></div>')
    notes = "".join(f"<li>{escape(note)}</li>" for note in seen.notes[-NOTES:])
    elsewhere = bool(seen.result) and Path(seen.result["out"]).parent != view.folder
    place = f'<p>Its rows are in {escape(seen.result["out"])}.</p>' if elsewhere else ""
    more = f"<details><summary>Notes</summary><ul>{notes}</ul></details>" if notes else ""
    state = "" if view.state == "done" else f"<b>{STATES[view.state]}</b> "
    return (f'<div class="job {view.state}"><h3>{escape(view.title)}</h3><p role="status">{state}{escape(words)}</p>'
            f"{bar}{place}{more}</div>")


def own_words(view: JobView) -> str:
    """What a job says, its files named without the folder of the run, in which nobody put them."""
    return re.sub(re.escape(f"{view.folder}{os.sep}") + r"(?:\w+[/\\])*", "", view.words)


def rows(seen: Seen, task: str) -> str:
    """What became of the first rows; "" as long as none is done."""
    if not seen.rows:
        return ""
    columns = SHOWN[task]
    heads = _heads("#", TEXTS[task], *(HEADS[one] for one in columns))
    body = "".join(_row(number, seen.texts[number - 1] if number <= len(seen.texts) else "", row, columns)
                   for number, row in enumerate(seen.rows, 1))
    told = f"The first {len(seen.rows):,} rows" if len(seen.rows) > 1 else "The first row"
    return (f'<div class="table" tabindex="0" role="region" aria-label="First results"><table><caption>{told}</caption>'
            f"{heads}<tbody>{body}</tbody></table></div>")


def scores(result: Mapping[str, Any]) -> str:
    """What a finished job came to against the file's own answers; "" where it has none, or there is no result yet."""
    if not result:
        return ""
    parts = []
    if result["not_done"]:
        lines = "".join(f"<li>Row {one['row']:,}, line {one['line']:,}: {escape(one['problem'])}</li>"
                        for one in result["problems"][:NOTES])
        parts.append(f'<details class="problems"><summary>{result["not_done"]:,} of {result["rows"]:,} rows could not '
                     f"be done</summary><ul>{lines}</ul></details>")
    if result["scores"]:
        parts.append(_figures(result["scores"], "Against the file's own answers"))
    if result["learned_from"]:
        parts.append(_figures(result["scores_of_others"],
                              f"Without the {result['learned_from']:,} rows that were learned from"))
    if result["learned_from"] is None and result["scores"]:
        parts.append('<p class="quiet">Which of these rows the model learned from is not known, so it may know them by '
                     "heart.</p>")
    return "".join(parts)


def earlier(views: Sequence[JobView], address: str, current: str) -> str:
    """Links to the newest jobs; "" without any."""
    parts = []
    for view in views[:MOST_LISTED]:
        here = ' aria-current="true"' if view.folder.name == current else ""
        day = time.strftime("%d %b %H:%M", time.localtime(view.started))
        parts.append(f'<li><a href="{address}?run={escape(view.folder.name)}"{here}>{escape(view.title)}</a> '
                     f'<span class="quiet">{STATES[view.state]} · {day}</span></li>')
    more = f'<p class="quiet">{len(views) - MOST_LISTED:,} older ones.</p>' if len(views) > MOST_LISTED else ""
    return f'<h2>Files before</h2><ul class="earlier">{"".join(parts)}</ul>{more}' if parts else ""


def _row(number: int, text: str, row: Mapping[str, Any], columns: Sequence[str]) -> str:
    if row.get(PROBLEM):
        cells = f'<td colspan="{len(columns)}" class="problem">{escape(str(row[PROBLEM]))}</td>'
    else:
        cells = "".join(f'<td class="{column}">{_cell(column, row.get(column))}</td>' for column in columns)
    return f'<tr><td class="number">{number}</td><td class="text">{escape(_cut(text))}</td>{cells}</tr>'


def _cell(column: str, value: Any) -> str:
    return percent(value) if column == "confidence" and isinstance(value, float) else escape(
        _cut(str(value or "—"), SUMMARY_CHARS))


def _figures(scores: Mapping[str, Any], title: str) -> str:
    """A table of figures, each with its interval and the trivial answer's; those of single labels folded."""
    if not scores:
        return '<p class="quiet">The model learned from all of these rows, so this says nothing.</p>'
    trivial = scores["baseline"]
    lines = "".join(
        f'<tr><th scope="row">{SCORES[name]}</th><td>{scores[name]:.3f}</td><td>{_interval(scores, name)}</td>'
        f"<td>{f'{trivial[name]:.3f}' if name in trivial else ''}</td></tr>" for name in SCORES if name in scores)
    labels = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{one["f1"]:.3f}</td><td>{one["precision"]:.3f}</td>'
                     f'<td>{one["recall"]:.3f}</td><td>{one["n"]:,}</td></tr>'
                     for name, one in scores.get("labels", {}).items())
    each = (f"<details><summary>Each label</summary><table>{_heads('Label', 'F1', 'Precision', 'Recall', 'Rows')}"
            f"<tbody>{labels}</tbody></table></details>") if labels else ""
    heads = _heads("Figure", "Value", "95% interval", trivial["name"])
    return (f'<section class="scores" tabindex="0" aria-label="{escape(title)}"><h3>{escape(title)}, '
            f'{scores["n"]:,} rows</h3>'
            f"<table>{heads}<tbody>{lines}</tbody></table>{each}</section>")


def _heads(*names: str) -> str:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead>"


def _interval(scores: Mapping[str, Any], name: str) -> str:
    low, high = scores["intervals"][name]
    return "none can be given" if low is None else f"{low:.3f} to {high:.3f}"


def _cut(text: str, most: int = LOOK_CHARS) -> str:
    return text if len(text) <= most else text[:most - 1] + "…"
