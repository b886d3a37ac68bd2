"""Downloads -> rows of the Models page: what arrives, with its pause, and what has arrived, with its use. No gradio."""

import json
from collections.abc import Sequence
from html import escape

from ui.actions.downloads import Download
from ui.terminal import duration
from ui.views.catalog import linked

STATES = {"waiting": "Begins", "pausing": "Pausing", "cancelling": "Cancelling", "paused": "Paused",
          "failed": "Stopped", "done": "Here"}
ONLINE = "online-resume"
# of each state: what a button does, and its words
ACTS = {"waiting": (("pause", "Pause"), ("cancel", "Cancel")), "running": (("pause", "Pause"), ("cancel", "Cancel")),
        "pausing": (), "cancelling": (), "paused": (("resume", "Resume"), ("cancel", "Discard")),
        "failed": (("resume", "Try again"), ("cancel", "Discard"))}


def line(one: Download) -> str:
    """How far a download is, as plain text: "1.2 GB of 2.5 GB, 11.3 MB/s, about 2 min 05 s left"."""
    if one.state == "running":
        return one.words + (f", about {duration(one.left_s)} left" if one.left_s is not None else "")
    words = STATES.get(one.state, "")
    return f"{words}: {one.words}" if one.state in ("paused", "failed") and one.words else words


def progress(listed: Sequence[Download], version: str) -> str:
    """What the page asks for once a second: its version, and for each run [share done or null, the line]."""
    runs = {one.run: [one.share, line(one)] for one in listed if one.state == "running"}
    return json.dumps({"version": version, "runs": runs})


def rows(listed: Sequence[Download], is_offline: bool = False) -> str:
    """One row each; "" where there is none."""
    if not listed:
        return ""
    return f'<h2>Downloads</h2><ul class="models downloads">{"".join(_row(one, is_offline) for one in listed)}</ul>'


def _row(one: Download, is_offline: bool) -> str:
    run, title = escape(one.run), escape(one.title)
    is_over = one.state == "done"
    share = "" if one.share is None else f' value="{one.share:.4f}"'
    bar = "" if is_over or one.state in ("paused", "failed") else (
        f'<progress max="1"{share} aria-label="{title}"></progress>')
    told = (f'<p class="problem" role="alert">{linked(one.words)}</p>' if one.state == "failed" else
            f'<p class="line">{escape(_arrived(one) if is_over else line(one))}</p>')
    acts = _acts_of_done(one) if is_over else ACTS[one.state]
    if is_offline:                              # one press does both, and says so
        acts = tuple((ONLINE, f"Go online, {words.lower()}") if act == "resume" else (act, words)
                     for act, words in acts)
    buttons = "".join(f'<button type="button" data-act="{act}" data-run="{run}" aria-label="{words}: {title}">{words}'
                      "</button>" for act, words in acts)
    train = '<a class="go" href="/train">Train with it</a>' if is_over and one.is_base and one.path else ""
    return (f'<li data-run="{run}"><div class="about"><h3>{title}</h3>{told}{bar}</div>'
            f'<div class="acts">{train}{buttons}</div></li>')


def _acts_of_done(one: Download) -> tuple[tuple[str, str], ...]:
    use = (("use-download", "Use it"),) if one.path and not one.is_base else ()
    return (*use, ("forget", "Dismiss"))


def _arrived(one: Download) -> str:
    if one.path is None:
        return "Its files are gone."
    return "Here. The Train page offers it as a base." if one.is_base else "Here, and in the list below."
