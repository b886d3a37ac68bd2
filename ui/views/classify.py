"""The labels of one text -> HTML: a bar for each label, the likeliest first, and what the figures rest on."""

import time
from collections.abc import Iterable
from html import escape

from ui.actions.labellings import Labelled, Wanted
from ui.actions.single import State
from ui.job_list import JobView
from ui.terminal import duration

EMPTY = ("<p class=\"none\">Name the labels, paste a text, and the bars will show how likely each label is. Or begin "
         "with the example.</p>")


def result(state: State[Wanted, Labelled]) -> str:
    """What stands where the bars will be, and the bars."""
    if state.asked is None:
        return EMPTY
    if state.problem:
        return f'<p class="problem" role="alert">{escape(state.problem)}</p>'
    if state.found is None:
        return f'<p class="quiet" role="status">{"Stopped." if state.is_stopped else "Reading the text …"}</p>'
    found = state.found.sorted
    decided = f"Decided by: {' and '.join(found.by) or 'nothing'}"
    model = f"{state.model} {state.fingerprint[:4]}".strip()
    took = duration(state.seconds) if state.seconds >= 1 else ""
    by = " · ".join(part for part in (decided, model, took) if part)
    note = f"<p>{escape(found.note)}</p>" if found.note else ""
    return (f"<article><h2>{_answer(state.found)}</h2>{bars(state.found)}{note}<p class=\"about\">"
            f'{escape(state.found.about)}</p><p class="quiet">{escape(by)}</p></article>')


def bars(found: Labelled) -> str:
    """A bar and a number for each label."""
    shares = sorted(found.sorted.probabilities.items(), key=lambda one: (-one[1], one[0]))
    lines = []
    for name, share in shares:
        chosen = ' class="chosen"' if name in found.sorted.labels else ""
        lines.append(f'<li{chosen}><span class="name">{escape(name)}</span><span class="bar"><i style="width: '
                     f'{share * 100:.1f}%"></i></span><span class="share">{percent(share)}</span></li>')
    return f'<ul class="bars" aria-label="How likely each label is">{"".join(lines)}</ul>' if lines else ""


def percent(share: float) -> str:
    """"93%"; never 0% or 100%, which nothing is."""
    return "&lt;1%" if share < 0.01 else "&gt;99%" if share > 0.99 else f"{share:.0%}"


def learned(jobs: Iterable[JobView]) -> list[tuple[str, str]]:
    """What the list of what decides offers: the language model, then what was learned in runs."""
    return [("The language model, by the labels below", ""),
            *((f"What was learned for {job.title} ({time.strftime('%d %b %H:%M', time.localtime(job.started))})",
               job.folder.name) for job in jobs)]


def _answer(found: Labelled) -> str:
    labels = found.sorted.labels
    if not labels:
        return "No label applies"
    meant = " <small>that these apply and no others</small>" if len(labels) > 1 else ""
    return f"{escape(', '.join(labels))}: {percent(found.sorted.confidence)}{meant}"
