"""Exports as HTML: the table of types, progress, the check's report, what was sent where."""

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from convert.config import ADAPTER, SAFETENSORS
from convert.plot import Point, svg
from ui.actions.export_page import ExportView, Row, Sizes
from ui.job_list import JobView
from ui.terminal import duration

HEAD = ('<h1>Export</h1><p class="lead">A trained run or a model becomes a file that runs on any computer. Each file '
        "is checked against the original before you get it.</p>")
KL, RED = "mean KL divergence", "red"
ABOUT = {"F32": "32-bit floats, exact", "F16": "16-bit floats", "BF16": "16 bits, as the original",
         "Q8_0": "8 bits, hardly any loss", "Q6_K": "6 bits", "Q5_K_M": "5 bits",
         "Q5_0": "5 bits, plain", "Q4_K_M": "4 bits, the usual choice", "Q4_K_S": "4 bits, smaller",
         "Q4_0": "4 bits, plain and fast", "IQ4_XS": "4 bits, smallest of them", "IQ4_NL": "4 bits, uneven steps",
         "Q3_K_M": "3 bits, with a loss", "Q2_K": "2 bits, with a large loss",
         ADAPTER: "the adapter alone, for its base", SAFETENSORS: "merged weights for other programs (vLLM)"}
STATES = {"waiting": "waits", "running": "runs", "done": "done", "stopped": "stopped", "error": "did not work",
          "interrupted": "was interrupted"}
MARKS = {"green": "✓", "red": "✗", "grey": "–"}
WORDS = {"green": "passed", "red": "failed", "grey": "not compared"}
FIRST = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", ADAPTER)
MOST_LISTED = 30
NUMBER = ' class="number"'


def table(rows: Sequence[Row], ticked: Collection[str], sizes: Sizes, room_mb: float) -> str:
    """A line for each type, with a box to tick; the rarer ones are folded unless one of them matters now."""
    if sizes.problem:
        return f'<p class="problem" role="alert">{escape(sizes.problem)}</p>'
    reading = " Finding out the sizes." if sizes.is_reading else ""
    first = [row for row in rows if row.kind in FIRST]
    others = [row for row in rows if row.kind not in FIRST]
    is_open = " open" if any(row.kind in ticked or row.measured for row in others) else ""
    return (f'<p class="quiet">{escape(_room(room_mb))}{reading}</p>{_table(first, ticked, sizes, "Types")}'
            f"<details{is_open}><summary>More types</summary>{_table(others, ticked, sizes, 'More types')}</details>")


def _table(rows: Sequence[Row], ticked: Collection[str], sizes: Sizes, name: str) -> str:
    heads = "".join(f'<th scope="col"{kind}>{head}</th>' for head, kind in (
        ("Type", ' class="type"'), ("Size", NUMBER), ("Here", ""), ("Loss", NUMBER), ("Speed", NUMBER), ("Check", "")))
    body = "".join(_row(row, row.kind in ticked and not row.is_here, sizes.is_reading) for row in rows)
    return (f'<div class="scroll" role="region" tabindex="0" aria-label="{name}"><table><thead><tr>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def _room(room_mb: float) -> str:
    return (f"Sizes are exact. A model fits here if it takes less than {_gb(room_mb * 1e6)} of memory with a "
            "conversation open. Loss is the distance from the original, 0 is the same model.")


def _row(row: Row, is_ticked: bool, is_reading: bool) -> str:
    size = "…" if is_reading or row.bytes is None else _gb(row.bytes)
    box = (f'<label><input type="checkbox" value="{row.kind}"{" checked" if is_ticked else ""}'
           f'{" disabled" if row.is_here else ""}><b>{row.kind}</b> '
           f'<span class="quiet">{ABOUT[row.kind]}</span></label>')
    measured = row.measured
    kl = _check(measured, KL)
    loss = "" if kl.get("figure") is None else f"{kl['figure']:.2g}"
    speed = measured.get("generated_tokens_per_s")
    status = str(measured.get("status", ""))
    mark = (f'<span class="mark {escape(status)}">{MARKS.get(status, "")} {WORDS.get(status, "")}</span>' if status
            else "is here already" if row.is_here else "")
    return (f"<tr><td>{box}</td><td{NUMBER}>{size}</td><td>{_fits(row)}</td><td{NUMBER}>{loss}</td>"
            f"<td{NUMBER}>{f'{speed:,.0f} tok/s' if speed else ''}</td><td>{mark}</td></tr>")


def _fits(row: Row) -> str:
    if row.fits is None or row.needed_mb is None:
        return ""
    needed = f"takes about {_gb(row.needed_mb * 1e6)}"
    return (f'<span class="mark green" title="{needed}">✓ fits</span>' if row.fits
            else f'<span class="mark red">✗ {needed}</span>')


def progress(view: ExportView | None) -> str:
    """What an export does, with its cancel; what went wrong; "" for one that is done."""
    if view is None:
        return ""
    return "".join(_job(job) for job in (view.job, *(one for one in view.sent)) if job.state != "done") + "".join(
        f'<p class="told" role="status">✓ {escape(one.title)}: {escape(one.words)}</p>' for one in view.sent
        if one.state == "done")


def _job(job: JobView) -> str:
    left = f", about {duration(job.left_s)} left" if job.left_s is not None else ""
    share = "" if job.share is None else f' value="{job.share:.4f}"'
    bar = "" if job.is_over else f'<progress max="1"{share} aria-label="{escape(job.title)}"></progress>'
    acts = [("again", "Try again")] if job.is_over else [("stop", "Cancel")] + [("end", "End it now")] * job.is_deaf
    buttons = "".join(f'<button type="button" data-act="{act}" data-run="{escape(job.folder.name)}">{label}</button>'
                      for act, label in acts)
    kind = ' class="problem" role="alert"' if job.state in ("error", "interrupted") else ""
    return (f'<div class="job"><p{kind}>{escape(job.title)}: {escape(job.words or STATES[job.state])}{left}</p>'
            f"{buttons}{bar}</div>")


def result(view: ExportView | None) -> str:
    """The files, the check of each, and how size and loss go together."""
    if view is None or not view.files:
        return ""
    is_there = view.folder is not None
    place = f'<p class="quiet">In {escape(str(view.folder))}</p>' if is_there else ""
    return (f"<h2>The check</h2>{place}{''.join(_file(one, is_there) for one in view.files)}{_figure(view.files)}"
            f"{_notes(view.notes)}")


def _file(one: Mapping[str, Any], is_there: bool) -> str:
    status = str(one.get("status", "grey"))
    can_chat = is_there and one.get("type") not in (ADAPTER, SAFETENSORS, "mmproj") and status != RED
    name = escape(str(one.get("name")))
    button = (f'<button type="button" data-act="chat" data-file="{name}" aria-label="Chat with {name}">Chat with it'
              "</button>" if can_chat else "")
    compared = one.get("compared") or {}
    own = compared.get("heldout_tokens", 0)
    text = f"{own:,} of them of your own held-out rows" if own else "none of them of rows of your own"
    rows = f"<p>Compared over {compared['tokens']:,} tokens, {text}.</p>" if compared else ""
    ticks = "".join(f"<li>{_tick(check)}</li>" for check in one.get("checks") or ())
    size = _gb(one["bytes"]) if one.get("bytes") else ""
    return (f'<section class="file"><div class="name"><h3><span class="mark {escape(status)}">{MARKS.get(status, "")} '
            f'{WORDS.get(status, "")}</span> {escape(str(one.get("type")))} <small>{name}, {size}</small></h3>{button}'
            f"</div>{rows}<ul>{ticks}</ul></section>")


def _tick(check: Mapping[str, Any]) -> str:
    """One check: a mark and its name, which opens to the figures."""
    if check.get("is_ok") is None:
        colour, mark = "grey", "does not apply" if check.get("figure") is None else "for information"
    else:
        colour, mark = ("green", "passed") if check["is_ok"] else ("red", "failed")
    figure, limit = _number(check.get("figure")), check.get("limit")
    held = f"Found {figure}" + (f", allowed {_number(limit)}" if limit is not None else "")
    note = f"; {check['note']}" if check.get("note") else ""
    is_open = " open" if colour == "red" else ""
    return (f'<details{is_open}><summary><span class="mark {colour}" aria-label="{mark}">{MARKS[colour]}</span> '
            f"{escape(str(check.get('name')))}</summary><p>{escape(held + note)}.</p></details>")


def _figure(files: Sequence[Mapping[str, Any]]) -> str:
    points = [Point(label=str(one.get("type", "")), size_mb=one["bytes"] / 1e6, loss=kl["figure"], limit=kl["limit"],
                    colour="red" if one.get("status") == RED else "green", is_filled=bool(one.get("has_importance")))
              for one in files if one.get("type") != ADAPTER
              and (kl := _check(one, KL)).get("figure") is not None and kl.get("limit")]
    if not points:
        return ""
    return (f"<h2>Size against loss</h2><figure>{svg(points)}<figcaption>Lower is nearer to the original, further left "
            "is smaller. The dash is the limit of the type.</figcaption></figure>")


def _notes(notes: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>' if notes else ""


def listing(jobs: Sequence[JobView], current: str) -> str:
    """Every export with its state."""
    if not jobs:
        return ('<p class="lead">Nothing exported yet. Tick a type above and press Start; the embedded model is there '
                "to try it with.</p>")
    rows = "".join(_line(job, job.folder.name == current) for job in jobs[:MOST_LISTED])
    more = f'<p class="quiet">{len(jobs) - MOST_LISTED:,} older ones.</p>' if len(jobs) > MOST_LISTED else ""
    return f"<h2>Exports</h2><ul>{rows}</ul>{more}"


def _line(job: JobView, is_current: bool) -> str:
    run, address = escape(job.folder.name), quote(job.folder.name)
    current = ' aria-current="true"' if is_current else ""
    return (f'<li><a href="/export?run={address}" data-act="open" data-run="{run}"{current}>{escape(job.title)}</a> '
            f'<span class="quiet">{run}, {STATES[job.state]}</span></li>')


def _check(one: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((check for check in one.get("checks") or () if check.get("name") == name), {})


def _number(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _gb(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
