"""Evaluations as text and HTML: progress, the list of them, and what a report says."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ui.job_list import JobView
from ui.terminal import duration
from ui.views.file_task import own_words

HEAD = ('<h1>Evaluate</h1><p class="lead">Ask a model questions whose answers are known, and read how sure one can be '
        "of the result. Two models side by side answer the same questions.</p>")
EMPTY = ('<p class="lead">Nothing evaluated yet. Choose a benchmark and press Start; or use a file of your own, with '
         "questions and right answers.</p>")
STATES = {"waiting": "waits", "running": "runs", "done": "done", "stopped": "stopped", "error": "did not work",
          "interrupted": "was interrupted"}
MOST_LISTED = 50


def version(current: str, jobs: Sequence[JobView]) -> str:
    """Changes whenever the page would; what stands before the "|" only when the result would."""
    shown = next((one for one in jobs if one.folder.name == current), None)
    result = f"{current} {shown.state}" if shown else ""
    return f"{result}|{hash(tuple(jobs))}"


def result_of(of_version: str) -> str:
    """The part of a version that the result depends on."""
    return of_version.partition("|")[0]


def about(benchmark: str) -> str:
    """What a benchmark is, and what its figures say."""
    from evaluation.benchmarks.catalog import BENCHMARKS
    one = BENCHMARKS[benchmark]
    first, *others = (escape(text) for text in (*" ".join(one.about.split()).split(". "), f"Licence: {one.licence}"))
    more = f"<details><summary>More about it</summary><p>{'. '.join(others)}.</p></details>"
    return f"<p>{first[0].upper()}{first[1:]}.</p>{more}"


def progress(job: JobView | None) -> str:
    """The line of an evaluation that waits, runs or went wrong, with what can be done; "" for one that is done."""
    if job is None or job.state == "done":
        return ""
    left = f", {duration(job.left_s)} left" if job.left_s is not None else ""
    run = escape(job.folder.name)
    acts = [("resume", "Resume")] if job.is_over else [("stop", "Stop")] + [("end", "End it now")] * job.is_deaf
    buttons = "".join(f'<button type="button" data-act="{act}" data-run="{run}">{label}</button>'
                      for act, label in acts)
    share = "" if job.share is None else f' value="{job.share:.4f}"'
    bar = f'<progress max="1"{share} aria-label="{escape(job.title)}"></progress>' if not job.is_over else ""
    kind = ' class="problem" role="alert"' if job.state in ("error", "interrupted") else ""
    words = own_words(job) or STATES[job.state]
    return (f'<div class="job"><p{kind}>{escape(job.title)}: {escape(words)}{left}</p>{bar}'
            f"{buttons}</div>")


def listing(jobs: Sequence[JobView], current: str) -> str:
    """Every evaluation with its state."""
    if not jobs:
        return EMPTY
    rows = "".join(_row(job, job.folder.name == current) for job in jobs[:MOST_LISTED])
    more = f'<p class="quiet">{len(jobs) - MOST_LISTED:,} older ones.</p>' if len(jobs) > MOST_LISTED else ""
    return f"<h2>Evaluations</h2><ul>{rows}</ul>{more}"


def _row(job: JobView, is_current: bool) -> str:
    run, title = escape(job.folder.name), escape(job.title)
    here = ' aria-current="true"' if is_current else ""
    delete = (f'<button type="button" data-act="delete" data-run="{run}" aria-label="Delete: {title}">Delete</button>'
              if job.is_over else "")
    return (f'<li><a href="?run={run}" data-act="open" data-run="{run}"{here}>{title}</a> '
            f'<span class="quiet">{STATES[job.state]} · {run}</span>{delete}</li>')


def result(report: Mapping[str, Any]) -> str:
    """A report: the sentence first, then the intervals, then the items to read."""
    from evaluation import report_parts, report_pictures  # with all that they are reckoned by
    from evaluation.items import Stated
    stated = Stated(**report["stated"])
    first, *others = report["sentences"]
    more = "".join(f"<li>{escape(text)}</li>" for text in others)
    return (f'<p class="headline">{escape(first)}</p>{report_pictures.overview(stated, report)}'
            f"<ul>{more}</ul>{report_parts.to_read(stated, report)}"
            f"<details><summary>Every figure</summary><div>{report_parts.figures(stated, report)}"
            f"{report_pictures.groups(stated, report)}{report_pictures.labels(stated, report)}"
            f"{report_pictures.calibration(stated, report)}</div></details>")
