"""The rows of a training as HTML: how each file is read, what was found in them, and how the model sees them."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from corpus.layouts.columns import LEFT_OUT
from train import preview_page
from ui.actions.train_draft import ROLES, Draft
from ui.actions.train_tables import LAYOUT_NAMES, Mapped, Seen
from ui.actions.train_view import Prepared, RunView
from ui.terminal import duration, size

SHOWN_ROWS = 100                # of a finding
FIRST = ("line", "file", "why", "reason")      # columns of a finding, then the others


def tables(view: RunView) -> str:
    """Each file with its use, its layout and its columns, all of which can be changed by hand."""
    if view.draft is None:
        return ""
    stages = view.draft.stages()
    return "".join(_table(one, view.draft, stages) for one in view.tables)


def _table(seen: Seen, draft: Draft, stages: Sequence[str]) -> str:
    name, file = escape(seen.name), escape(seen.file)
    told = f'<p class="problem" role="alert">{escape(seen.problem)}</p>' if seen.problem else ""
    unread = f'<p class="quiet">Not read: {escape(", ".join(seen.unread))}.</p>' if seen.unread else ""
    return (f'<section class="table"><header><b>{name}</b> <span class="quiet">{size(seen.bytes / 1e6)}</span>'
            f'{_uses(seen, stages)}<button type="button" data-act="remove" data-file="{file}" '
            f'aria-label="Remove {name}">Remove</button></header>{told}{_sheets(seen)}{_layouts(seen, draft)}'
            f'{_fields(seen)}{unread}</section>')


def _uses(seen: Seen, stages: Sequence[str]) -> str:
    now = seen.role + (f":{seen.stage}" if seen.stage else "")
    uses = [(role, words) for role, words in ROLES.items()]
    uses += [(f"{role}:{stage}", f"{words}, {stage} only") for stage in stages for role, words in ROLES.items()]
    return (f'<label>Use <select data-act="place" data-file="{escape(seen.file)}">'
            f'{_options(uses, now)}</select></label>')


def _sheets(seen: Seen) -> str:
    if not seen.sheets:
        return ""
    choices = [("", "choose one"), *((title, title) for title in seen.sheets)]
    choices += [] if seen.sheet in ("", *seen.sheets) else [(seen.sheet, seen.sheet)]
    return f'<label>Sheet <select data-act="sheet">{_options(choices, seen.sheet)}</select></label>'


def _layouts(seen: Seen, draft: Draft) -> str:
    if not seen.columns:
        return ""
    recognised = f"recognised: {seen.layout}" if seen.layout and not draft.layout else "as recognised"
    choices = [("", recognised), *((name, name) for name in LAYOUT_NAMES)]
    return f'<label>Layout <select data-act="layout">{_options(choices, draft.layout)}</select></label>'


def _fields(seen: Seen) -> str:
    if not seen.fields:
        return ""
    rows = "".join(_field(one, seen) for one in seen.fields)
    return (f'<table><thead><tr><th scope="col">Field</th><th scope="col">Column</th>'
            f'<th scope="col">In the first row</th></tr></thead><tbody>{rows}</tbody></table>')


def _field(one: Mapped, seen: Seen) -> str:
    by_name = f"{one.column}, by its name" if one.column and not one.is_by_hand else "by its name"
    choices = [("", by_name), *((column, column) for column in seen.columns)]
    choices += [] if one.is_needed else [(LEFT_OUT, "not read")]
    name = escape(one.field)
    needed = "" if one.is_needed else '<br><span class="quiet">if there is one</span>'
    return (f'<tr><th scope="row">{name}{needed}</th><td><select data-act="column" data-field="{name}" '
            f'aria-label="Column of {name}">{_options(choices, one.column if one.is_by_hand else "")}</select></td>'
            f'<td class="quiet">{escape(one.first)}</td></tr>')


def _options(choices: Sequence[tuple[str, str]], chosen: str) -> str:
    return "".join(f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(words)}</option>'
                   for value, words in choices)


def findings(preview: Prepared) -> str:
    """What reading, cleaning, the leak guard and the scan for identifiers found; each with its rows to review."""
    if not preview.made:
        return ""
    counted = "".join(f"<p>{escape(_named(stage) + preview_page.counted(stage))}</p>"
                      for stage in preview.made["stages"])
    found = "".join(_finding(one) for one in preview.findings if one["count"])
    return f'<h2>What was found</h2>{counted}{found}{_left_out(preview.left_out)}'


def _named(stage: Mapping[str, Any]) -> str:
    return f"{stage['name']}: " if stage["name"] else ""


def _finding(found: Mapping[str, Any]) -> str:
    if not found["rows"]:
        return f'<p class="found">{escape(found["text"])}</p>'
    return _folded(f"{found['text']}", found["rows"])


def _left_out(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    noun = "row is" if len(rows) == 1 else "rows are"
    return _folded(f"{len(rows):,} {noun} left out, each for its reason.", rows, "left-out")


def _folded(text: str, rows: Sequence[Mapping[str, Any]], kind: str = "found") -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(name, row.get(name, '')))}</td>" for name in names) + "</tr>"
                   for row in rows[:SHOWN_ROWS])
    more = f'<p class="quiet">and {len(rows) - SHOWN_ROWS:,} more</p>' if len(rows) > SHOWN_ROWS else ""
    return (f'<details class="{kind}"><summary>{escape(text)}</summary><div class="scroll" tabindex="0"><table><thead>'
            f'<tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{more}</details>')


def _cell(name: str, value: Any) -> str:
    return str(value).replace("\\", "/").rsplit("/", 1)[-1] if name.endswith("file") else str(value)


def tokens(preview: Prepared) -> str:
    """Samples token by token, and how long all of them are."""
    if not preview.made:
        return ""
    stages = preview.made["stages"]
    parts = [preview_page.legend()]
    for stage in stages:
        parts += [f"<h2>{escape(stage['name'])}</h2>"] if len(stages) > 1 else []
        parts += [f"<p>{escape(stage['cut_words'])}</p>"] if stage["cut_words"] else []
        parts += [preview_page.histogram(stage["lengths"], stage["max_len"])]
        parts += [preview_page.sample_part(sample) for sample in stage["samples"]]
    return "".join(parts)


def state(prepared: Prepared, stale: str) -> str:
    """How far a preview or an estimate is, or why there is none; stale: what to say of one for other settings."""
    job = prepared.job
    if job is None:
        return ""
    if not job.is_over:
        left = f", about {duration(job.left_s)} left" if job.left_s and " left" not in job.words else ""
        words = "Waits for another job to end" if job.state == "waiting" and not job.words else job.words
        share = f' style="--share: {job.share:.3f}"' if job.share is not None else ""
        return (f'<p class="working" role="status">{escape(words)}{left} …'
                f'<i class="progress"{share}></i></p>')
    if job.state in ("error", "interrupted"):
        return f'<p class="problem" role="alert">{escape(job.words)}</p>'
    if job.state == "stopped":
        return '<p class="quiet">Stopped.</p>'
    return f'<p class="caution">{escape(stale)}</p>' if prepared.is_stale else ""
