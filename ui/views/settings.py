"""Records -> what the Settings page shows. Everything that came from elsewhere is escaped here; no gradio."""

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from models.access import YES, Access
from models.token import NEW_PAGE
from ui.actions.backup import Archive
from ui.actions.space import Run, Space
from ui.actions.token import Gated, TokenState
from ui.chore import ChoreState
from ui.outside import Connection
from ui.terminal import duration
from ui.views.models import size

SHOWN = 200                     # connections in the list


def space(folder: Path, used: Space, listed: Sequence[Run], old: Path | None) -> str:
    """Where the folder is, what it takes part by part, what is free, and what can be deleted."""
    parts = [("Models", used.models), ("Runs", used.runs), ("Checkpoints", used.checkpoints),
             ("Conversations", used.conversations), ("Backups", used.backups)]
    parts += [("Replaced by a backup", used.replaced)] if used.replaced else []
    rows = "".join(f"<div><dt>{name}</dt><dd>{size(count)}</dd></div>" for name, count in parts)
    acts = [] if not used.spare_checkpoints else [_button(
        "checkpoints", "", f"Delete checkpoints of finished runs ({size(used.spare_checkpoints)})",
        "Delete the checkpoints of all runs that are done? Their adapters and results stay.")]
    acts += [] if not used.replaced else [_button(
        "replaced", "", f"Delete what a backup replaced ({size(used.replaced)})",
        "Delete for good what the restored backup took the place of?")]
    left = "" if old is None else (
        f'<p class="caution">The folder was moved from <code>{escape(str(old))}</code>, where a copy still lies. When '
        f"everything is here, the old copy can go; only a small note that says where the folder is stays there.</p>"
        + _button("old", "", "Delete the old copy", f"Delete what still lies in {old}?"))
    return (f'<p><code>{escape(str(folder))}</code></p><dl class="space">{rows}</dl>'
            f'<p class="quiet">{size(used.total)} in all; {size(used.free)} of the disk are free.</p>'
            f'<div class="acts">{"".join(acts)}</div>{left}{_runs(listed)}')


def _runs(listed: Sequence[Run]) -> str:
    """The runs, each with its size and a button, folded away."""
    over = [run for run in listed if run.job.is_over]
    if not over:
        return '<p class="quiet">There is no finished run to delete.</p>'
    rows = "".join(
        f"<li><span><b>{escape(run.job.title)}</b> {escape(run.job.state)}, {size(run.bytes)}</span>"
        + _button("run", run.job.folder.name, "Delete", f"Delete {run.job.title} and all that it made? That frees "
                  f"{size(run.bytes)}.", f"Delete {run.job.title}") + "</li>" for run in over)
    return f"<details><summary>Runs ({len(over)})</summary><ul class=\"rows\">{rows}</ul></details>"


def _button(act: str, key: str, words: str, question: str = "", label: str = "") -> str:
    """A button that the page's script hands on, after the question, if there is one."""
    asks = f' data-confirm="{escape(question)}"' if question else ""
    told = f' aria-label="{escape(label)}"' if label else ""
    return f'<button type="button" data-act="{act}" data-key="{escape(key)}"{asks}{told}>{escape(words)}</button>'


def backups(listed: Sequence[Archive]) -> str:
    """The backups with their links and buttons."""
    if not listed:
        return '<p class="quiet">There is no backup yet.</p>'
    rows = "".join(
        f'<li><span><b>{escape(one.name)}</b> {size(one.bytes)}, {_when(one.made)}</span>'
        f'<a href="/files/backup/{escape(one.name)}" download aria-label="Download {escape(one.name)}">Download</a>'
        + _button("restore", one.name, "Restore", "", f"Restore {one.name}")
        + _button("delete", one.name, "Delete", f"Delete the backup {one.name}?", f"Delete {one.name}")
        + "</li>" for one in listed)
    return f'<ul class="rows">{rows}</ul>'


def chore(state: ChoreState, waiting: str) -> str:
    """How far the housekeeping is, how it ended, and what waits for the next start."""
    parts = []
    if state.is_running:
        left = f", about {duration(state.left_s)} left" if state.left_s else ""
        parts.append(f'<p>{escape(state.title)}: {escape(state.words or "beginning")} ({state.share:.0%}{left})</p>'
                     f'<div class="bar" role="progressbar" aria-label="{escape(state.title)}" aria-valuemin="0" '
                     f'aria-valuemax="100" aria-valuenow="{state.share * 100:.0f}">'
                     f'<i style="width: {state.share * 100:.0f}%"></i></div>' + _button("cancel", "", "Cancel"))
    elif state.problem:
        parts.append(f'<p class="problem" role="alert">{escape(state.problem)}</p>')
    elif state.outcome:
        parts.append(f'<p class="good" role="status">{escape(state.outcome)}</p>')
    if waiting and not state.is_running:
        parts.append(f'<p class="caution">{escape(waiting)}</p>' + _button("forget", "", "Do not do it"))
    return "".join(parts)


def connections(listed: Sequence[Connection], count: int, refused: int) -> str:
    """Every connection to another computer since the start, with its reason."""
    head = f"{count:,} since Galen was started" + (f", and {refused:,} that were refused" if refused else "")
    if not listed:
        return (f'<p>{head}.</p><p class="quiet">Counted are connections, packets and name look-ups that Galen, the '
                "model's process and every job make through Python; not what the browser does by itself.</p>")
    rows = "".join(
        f"<tr><td>{time.strftime('%H:%M:%S', time.localtime(one.t))}</td><td>{one.what}</td>"
        f"<td>{escape(one.address)}</td><td>{escape(one.reason)}</td><td>{escape(one.by) or 'Galen'}</td>"
        f"<td>{'refused' if one.is_refused else 'made'}</td></tr>" for one in listed[:SHOWN])
    return (f'<p>{head}.</p><div class="table" tabindex="0" role="region" aria-label="Connections"><table><thead><tr>'
            "<th>When</th><th>What</th><th>Where</th><th>Why</th><th>By</th><th></th></tr></thead>"
            f"<tbody>{rows}</tbody></table></div>")


JOBS = " The files that a job works on lie on the disk as they are.</p>"


def privacy(is_encrypted: bool, is_private: bool) -> str:
    """What of the conversations lies on the disk, and how."""
    if is_private:
        return ('<p class="good">A leave-no-trace session runs: what is written now is in memory only and is gone when '
                "it ends." + JOBS)
    if is_encrypted:
        return '<p class="good">The conversations are encrypted with your passphrase.' + JOBS
    return ('<p class="caution">The conversations lie on the disk as plain text, for everybody who can read the '
            "folder. A passphrase encrypts them.</p>")


def api(address: str, has_token: bool) -> str:
    """Where the API is."""
    token = ("A token was made; only its hash is kept, so it can not be shown again." if has_token else
             "No token was made yet.")
    return (f"<p>OpenAI-compatible, at <code>{escape(address)}v1</code>; all endpoints are described at "
            f'<a href="{escape(address)}docs"><code>{escape(address)}docs</code></a>.</p><p class="quiet">{token}</p>')


def hub_token(state: TokenState, model: Gated) -> str:
    """What a token of the hub is for, where it is made, and which one there is."""
    if state.problem:
        there = f'<p class="problem" role="alert">{escape(state.problem)}</p>'
    elif state.source:
        before = ", ".join(f"<code>{escape(one)}</code>" for one in state.others)
        before = f"; it goes before what is set in {before}" if before else ""
        there = f'<p class="good">There is a token, from <code>{escape(state.source)}</code>{before}.</p>'
    else:
        there = '<p class="quiet">There is no token yet.</p>'
    return ('<h2 id="hub-token">Hugging Face</h2><p>Some models, MedGemma among them, are given only to people who '
            "have an account there and accepted the model's licence. A token tells who asks.</p><ol>"
            f"<li>{_page(NEW_PAGE, 'Make a token')} (log in, then Create token), and copy it.</li>"
            f"<li>{_page(model.page, f'Accept the licence of {model.title}')}.</li><li>Paste the token here.</li></ol>"
            f'{there}<p class="quiet">It is kept where all programs of Hugging Face on this computer look for it, for '
            "your account alone, and is never shown or logged. To test it, Galen asks the hub.</p>")


def hub_answer(told: Access | None, done: str) -> str:
    """What became of a token, and what the hub said of it."""
    kept = f'<p class="good" role="status">{escape(done)}</p>' if done else ""
    if told is None:
        return kept
    kind, words = "good" if told.verdict == YES else "caution", escape(told.words)
    if told.page:
        words = words.replace(escape(told.page), _page(told.page, told.page))
    return f'{kept}<p class="{kind}" role="status">{words}</p>'


def _page(address: str, words: str) -> str:
    """A link that opens beside Galen, and does not tell where it was clicked."""
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(words)}</a>'


def log_lines(lines: Sequence[str], folder: Path) -> str:
    """The end of the log."""
    text = escape("\n".join(lines)) or "Nothing was logged yet."
    return (f'<p class="quiet">In <code>{escape(str(folder))}</code>. Questions, answers, names and contents of files '
            f'are never written there.</p><pre tabindex="0" aria-label="The last lines of the log">{text}</pre>')


def _when(then: float) -> str:
    return time.strftime("%d %b %Y, %H:%M", time.localtime(then))


def awake(problem: str) -> str:
    """Why the machine can not be kept awake; "" if it can."""
    return f'<p class="caution">{escape(problem)}</p>' if problem else ""
