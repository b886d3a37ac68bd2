"""A training as HTML: the line of each step, its recipe, its promise, its run, and the list of all runs."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from train.config import TrainConfig
from train.curve import METRICS
from ui import job_folder
from ui.actions.train_draft import CHOSEN_ELSEWHERE
from ui.actions.train_record import Answers, Record
from ui.actions.train_view import RunLine, RunView
from ui.terminal import duration, size
from ui.views.curve import Line, curve

STATES = {"draft": "being prepared", "waiting": "waiting", "running": "running", "done": "done",
          "stopped": "stopped", "error": "failed", "interrupted": "interrupted"}
LEAD = ("Teach a model from your own examples. It learns a small adapter (LoRA) beside its weights; everything stays "
        "on this computer.")
EMPTY = ("Nothing trained yet. Start with a table of examples, or try the demonstration.")
ENDED = f"{job_folder.ENDED} Resume goes on at its last checkpoint."
SHOWN_NOTES = 6
KEPT = (("time", "seconds", duration), ("memory", "peak_rss_mb", size), ("GPU memory", "peak_vram_mb", size),
        ("disk", "peak_disk_mb", size))


def title(view: RunView | None) -> str:
    """The head of the page."""
    if view is None:
        return f"<h1>Train</h1><p class=\"lead\">{LEAD}</p>"
    return f'<h1>Train</h1><p class="lead">{escape(view.name)} <a href="/train">New run</a></p>'


def heads(view: RunView | None) -> list[str]:
    """The one line of each of the five steps; before there is a run only the first step's."""
    lines = [("1 Data", "")] if view is None else _lines(view)
    html = [f'<h2><button type="button" aria-expanded="false"><span>{name}</span> '
            f'<span class="said">{escape(words)}</span></button></h2>' for name, words in lines]
    return [*html, *[""] * (5 - len(html))]


def _lines(view: RunView) -> list[tuple[str, str]]:
    return [
        ("1 Data", _data_words(view)), ("2 What it will see", _seen_words(view)),
        ("3 Base and recipe", _recipe_words(view)), ("4 The promise", promise_words(view)),
        ("5 Run", _run_words(view))]


def _data_words(view: RunView) -> str:
    stages = view.preview.made.get("stages", [])
    result = view.record.result if view.record else {}
    if stages and not (view.draft and view.preview.is_stale):
        rows = sum(one["rows"] + one["validation_rows"] + one["test_rows"] for one in stages)
        return f"{rows:,} rows, {sum(one['left_out'] for one in stages):,} left out"
    if "samples" in result:
        rows = result["samples"] + result["validation_samples"] + result["test_rows"]
        return f"{rows:,} rows, {result['left_out']:,} left out"
    return ", ".join(one.name for one in view.tables)


def _seen_words(view: RunView) -> str:
    stages = view.preview.made.get("stages", [])
    if not stages or (view.draft and view.preview.is_stale):
        return ""
    return f"{sum(one['tokens'] for one in stages):,} tokens, {sum(one['learned'] for one in stages):,} of them learned"


def _recipe_words(view: RunView) -> str:
    if view.config:
        return f"{Path(view.config.base).name}, {view.config.recipe or 'no recipe'}"
    return view.draft.recipe if view.draft else ""


def promise_words(view: RunView) -> str:
    """The promise in a few words: "2 h 10 min, 5.8 GB, fits"."""
    made = _promise(view)
    if not made:
        return ""
    asked = made.get("peak_vram_mb") or made["peak_rss_mb"]
    return f"about {duration(made['seconds'])}, {size(asked)}, {'fits' if made['fits'] else 'does not fit'}"


def _promise(view: RunView) -> Mapping[str, Any]:
    if view.record is not None:
        return view.record.promise
    return {} if view.estimate.is_stale else view.estimate.made


def _run_words(view: RunView) -> str:
    if view.job is None:
        return ""
    left = f", {duration(view.job.left_s)} left" if view.job.left_s else ""
    return STATES[view.job.state] + left


def recipe(view: RunView) -> str:
    """What stands in the way of the run, and what its stages are."""
    told = f'<p class="problem" role="alert">{escape(view.problem)}</p>' if view.draft and view.problem else ""
    return told + (stages(view.config) if view.config else "")


def stages(config: TrainConfig) -> str:
    """The stages of a staged recipe: each with what is its own."""
    if not config.stages:
        return ""
    rows = []
    for number, (own, one) in enumerate(zip(config.stages, config.stage_configs(), strict=True), 1):
        settings = ", ".join(f"{name} = {_plain(value)}" for name, value in own.items()
                             if name not in ("name", "data", "eval", "guard"))
        files = ", ".join(Path(path).name for path in one.data)
        rows.append(f'<tr><th scope="row">{number} {escape(one.name)}</th><td>{escape(files)}</td>'
                    f"<td>{escape(settings) or 'as below'}</td></tr>")
    return (f'<table class="stages"><thead><tr><th scope="col">Stage</th><th scope="col">Rows</th>'
            f'<th scope="col">Its own settings</th></tr></thead><tbody>{"".join(rows)}</tbody></table>')


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def settings(view: RunView) -> str:
    """The settings of a run that has begun: those that differ from the usual ones first, the others folded."""
    if view.config is None:
        return f'<p class="problem">{escape(view.problem)}</p>'
    usual, own, rest = TrainConfig(), list[tuple[str, str]](), list[tuple[str, str]]()
    for name, field in TrainConfig.__dataclass_fields__.items():
        value = getattr(view.config, name)
        if name not in CHOSEN_ELSEWHERE:
            (own if value != getattr(usual, name) else rest).append((field.metadata.get("label", name), _plain(value)))
    chosen = [("Recipe", view.config.recipe or "none"), ("Base model", view.config.base), *own]
    return (f'{stages(view.config)}<dl>{_pairs(chosen)}</dl><details><summary>Everything else</summary>'
            f'<dl>{_pairs(rest)}</dl></details>')


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value) or '–'}</dd></div>" for label, value in pairs)


def promise(view: RunView) -> str:
    """What the run takes and whether that fits, with what it rests on."""
    made = view.record.promise if view.record else view.estimate.made
    if not made:
        return ""
    rows = []
    for name, asked, there in (("Memory", "peak_rss_mb", "memory_mb"), ("GPU memory", "peak_vram_mb", "vram_mb"),
                               ("Disk", "peak_disk_mb", "disk_free_mb")):
        if made.get(asked) is not None:
            kind, words = ("good", "fits") if made[asked] <= made[there] else ("bad", "does not fit")
            rows.append(f'<div class="{kind}"><dt>{name}</dt><dd>{size(made[asked])}</dd>'
                        f'<dd class="quiet">{words}: {size(made[there])} are free</dd></div>')
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in made["parts"].items() if seconds >= 1)
    notes = "".join(f'<p class="caution">{escape(note)}</p>' for note in made["notes"])
    return (f'<dl class="promise"><div><dt>Time</dt><dd>about {duration(made["seconds"])}</dd>'
            f'<dd class="quiet">{made["steps"]:,} steps</dd></div>{"".join(rows)}</dl>{notes}'
            f'<p class="quiet">{escape(parts)}. Measured on {made["measured_steps"]} steps of this run in '
            f'{duration(made["measured_s"])}, {escape(made["machine"])}.</p>')


def run(view: RunView, other: tuple[str, Record] | None = None) -> str:
    """The run as it is now. other: a second run's name and record, whose curve is drawn beside it."""
    if view.job is None or view.record is None:
        return ""
    record, lines = view.record, [Line(name=view.name, stages=view.record.stages)]
    if other:
        lines.append(Line(name=other[0], stages=other[1].stages, is_other=True))
    known = record.steps if len(record.stages) == 1 and not (view.config and view.config.stages) else 0
    return (_state(view) + curve(lines, known) + _result(record) + _answers(record) + _kept(record)
            + _next(view) + _notes(record))


def _state(view: RunView) -> str:
    job = view.job
    assert job is not None
    if job.state in ("error", "interrupted"):
        return f'<p class="problem" role="alert">{escape(job.words)}</p>'
    left = f" About {duration(job.left_s)} left." if job.left_s and " left" not in job.words else ""
    stopped = ENDED if job.words == job_folder.ENDED else "Stopped. Resume goes on where it was."
    words = {"waiting": "Waits for its turn: another job has the machine.", "stopped": stopped,
             "done": "Done."}.get(job.state, "")
    told = job.words if job.state in ("running", "waiting", "done") and job.words else words
    share = f' style="--share: {job.share:.3f}"' if job.share is not None else ""
    bar = f'<i class="progress"{share}></i>' if not job.is_over else ""
    return f'<p class="working">{escape(told)}{"" if told.endswith((".", "…")) else "."}{left}{bar}</p>'


def _result(record: Record) -> str:
    """What was gained, in a sentence."""
    result = record.result
    if result.get("best_val_loss") is None or result.get("base_val_loss") is None:
        return ""
    words = (f"Validation loss {result['base_val_loss']:.3f} before, {result['best_val_loss']:.3f} after step "
             f"{result['best_step']:,}: the adapter that is kept.")
    if result.get("best_metric") is not None and result.get("base_metric") is not None:
        name = METRICS.get(result["metric"], result["metric"])
        words += f" {name} {result['base_metric']:.3f} before, {result['best_metric']:.3f} after."
    return f'<p class="result">{escape(words)}</p>'


def _answers(record: Record) -> str:
    """Each shown validation row with the newest answer; the earlier ones folded."""
    if not record.answers:
        return ""
    return "<h2>What it answers now</h2>" + "".join(_answer(one) for one in record.answers)


def _answer(one: Answers) -> str:
    *earlier, newest = one.by_step or ((0, ""),)
    before = "".join(f"<dt>{_after(step)}</dt><dd>{escape(text) or '(nothing)'}</dd>"
                     for step, text in reversed(earlier))
    key = escape(f"{one.stage} {one.question[:80]}")
    folded = (f'<details data-key="{key}"><summary>{len(earlier)} earlier</summary><dl>{before}</dl></details>'
              if earlier else "")
    stage = f'<span class="quiet">{escape(one.stage)}</span> ' if one.stage else ""
    return (f'<section class="answer"><p class="quiet">{stage}{escape(one.question)}</p><dl><dt>expected</dt>'
            f'<dd>{escape(one.reference)}</dd><dt>{_after(newest[0])}</dt>'
            f'<dd class="new">{escape(newest[1]) or "(nothing)"}</dd></dl>{folded}</section>')


def _after(step: int) -> str:
    return f"after step {step:,}" if step else "untrained"


def _kept(record: Record) -> str:
    """Promise against fact, of a run that went from its start to its end in one go."""
    result, promised = record.result, record.promise
    if not promised or not result or result.get("is_stopped") or result.get("is_resumed"):
        return ""
    rows = [f'<tr><th scope="row">{name}</th><td>{words(promised[key])}</td><td>{words(result[key])}</td>'
            f"<td>{result[key] / promised[key] - 1:+.0%}</td></tr>"
            for name, key, words in KEPT if promised.get(key) and result.get(key)]
    return ('<h2>Promise against fact</h2><table><thead><tr><th scope="col"></th><th scope="col">promised</th>'
            '<th scope="col">was</th><th scope="col">off by</th></tr></thead>'
            f'<tbody>{"".join(rows)}</tbody></table>')


def _next(view: RunView) -> str:
    if view.job is None or not view.job.is_over or not (view.job.folder / "adapter").is_dir():
        return ""
    name = quote(view.name)
    return (f'<p class="next">Next: <a href="/export?source={name}">Export this</a> '
            f'<a href="/evaluate?model={name}">Evaluate this</a></p>')


def _notes(record: Record) -> str:
    """What the run said, the newest last."""
    left_out = "".join(f"<li>{escape(Path(row['file']).name)}, line {row['line']}: {escape(row['reason'])}</li>"
                       for row in record.left_out)
    rows = f"<p>Rows that were left out:</p><ul>{left_out}</ul>" if left_out else ""
    notes = "".join(f"<p>{escape(note)}</p>" for note in record.notes)
    if not notes and not rows:
        return ""
    return f'<details class="notes" data-key="notes"><summary>What the run said</summary>{notes}{rows}</details>'


def runs(lines: Sequence[RunLine], here: str, other: str) -> str:
    """The list of runs: open one, lay its curve over the one that is open, delete it."""
    if not lines:
        return f'<h2>Runs</h2><p class="empty">{EMPTY}</p>'
    rows = "".join(_line(line, here, other, any(one.name == here and one.best is not None for one in lines))
                   for line in lines)
    return ('<h2>Runs</h2><div class="scroll" tabindex="0"><table class="runs"><thead><tr><th scope="col">Run</th>'
            '<th scope="col">State</th><th scope="col">Base</th><th scope="col" class="number">Best loss</th>'
            '<th scope="col">When</th><th scope="col" class="number">Size</th><th scope="col"><span class="hidden">'
            f'What to do</span></th></tr></thead><tbody>{rows}</tbody></table></div>')


def _line(line: RunLine, here: str, other: str, has_curve: bool) -> str:
    name, link = escape(line.name), quote(line.name)
    is_here = ' aria-current="true"' if line.name == here else ""
    beside = ""
    if has_curve and line.best is not None and line.name != here:
        beside = (f'<a href="/train?run={quote(here)}">Take its curve away</a>' if line.name == other else
                  f'<a href="/train?run={quote(here)}&amp;with={link}">Lay its curve over</a>')
    weight = size(line.bytes / 1e6) if line.bytes is not None else ""
    delete = (f'<button type="button" data-act="delete" data-run="{name}" data-size="{weight}" '
              f'aria-label="Delete {name}">Delete</button>' if line.bytes is not None else "")
    best = f"{line.best:.3f}" if line.best is not None else "–"
    when = time.strftime("%d %b %H:%M", time.localtime(line.began))
    return (f'<tr{is_here}><th scope="row"><a href="/train?run={link}">{name}</a> <span class="quiet">'
            f'{escape(line.recipe)}</span></th><td><span class="state {line.state}">{STATES[line.state]}</span></td>'
            f'<td>{escape(line.base)}</td><td class="number">{best}</td><td>{when}</td><td class="number">{weight}</td>'
            f'<td class="acts">{beside}{delete}</td></tr>')


def freed(count: int) -> str:
    """What deleting came to."""
    return f"Deleted; {size(count / 1e6)} are free again."


