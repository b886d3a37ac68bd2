"""What surrounds every page, as HTML: the rail, the chips of the header, the notice. No gradio."""

from collections.abc import Sequence
from html import escape

from ui.actions.model import ModelState
from ui.job_list import JobView

RAIL_ICON = ('<svg viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.7" '
             'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{}"/></svg>')


def rail(pages: Sequence[tuple[str, str, str, tuple[str, ...]] | None], here: str, jobs: Sequence[JobView]) -> str:
    """The links to the pages; under one whose job runs, a thin line of its progress."""
    parts = []
    for page in pages:
        if page is None:
            parts.append("<hr>")
            continue
        name, path, icon, kinds = page
        current = ' aria-current="page"' if name == here else ""
        open_ones = [job for job in jobs if job.kind in kinds and not job.is_over]
        running = next((job for job in open_ones if job.state == "running"), next(iter(open_ones), None))
        parts.append(f'<a href="{path}"{current}>{RAIL_ICON.format(icon)}<span>{name}</span>{_progress(running)}</a>')
    return f'<nav aria-label="Pages">{"".join(parts)}</nav>'


def _progress(job: JobView | None) -> str:
    if job is None:
        return ""
    share = f' style="--share: {job.share:.3f}" aria-valuenow="{job.share * 100:.0f}"' if job.share is not None else ""
    return (f'<i class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
            f'aria-label="{escape(job.title)}"{share}></i>')


def offline(connections: int, is_offline: bool) -> str:
    """The chip: whether connections to other computers are allowed, and how many there were since the start."""
    words = "offline" if is_offline else "online"
    return (f'<a href="/settings#connections" title="Connections outside this computer since Galen was started">'
            f'{words} ·{connections}</a>')


def model_facts(model: ModelState) -> str:
    """What the list of models does not say of the loaded one."""
    return f"{model.info.ctx_tokens:,} tokens" if model.info and not model.loading else ""


def notice(model: ModelState) -> str:
    """The strip under the header: loading, a refused file, a silent model, or what must be said of it."""
    if model.lent_to:
        words = f"The memory is in use for {model.lent_to}; the model comes back when that has ended."
        return f'<p class="loading">{escape(words)}</p>'
    if model.loading:
        return f'<p class="loading">{escape(f"Loading {model.loading} … You can write meanwhile.")}</p>'
    if model.problem:
        return f'<p class="problem" role="alert">{escape(model.problem)}</p>'
    lines = [("silent", f"{model.name} does not answer at the moment.")] if model.is_silent else []
    lines += [("caution", model.notice)] if model.notice else []
    return "".join(f'<p class="{kind}">{escape(text)}</p>' for kind, text in lines)
