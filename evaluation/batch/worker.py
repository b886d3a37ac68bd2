"""The job that does a task over a file, and goes on after a kill: `python -m evaluation.batch.worker RUN_DIR`."""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from evaluation.batch import answer, classify, config, output, summarise
from evaluation.batch.config import FREE, AnswerConfig, BatchConfig, ClassifyConfig, SummariseConfig
from evaluation.batch.journal import Journal, Row, alone
from evaluation.batch.output import Form
from evaluation.batch.work import PROBLEM, Say, Work, done
from models import job, knobs, runs
from models.errors import UserError
from models.job import Job
from tasks.engine import Engine

OpenEngine = Callable[[BatchConfig], AbstractContextManager[Engine]]


def work(running: Job, open_engine: OpenEngine | None = None) -> None:
    """Do what is not done yet, and write the file and result.json. Returns early, without them, when asked to stop."""
    with alone(running.folder / runs.ROWS, running.is_stop_asked) as is_alone:
        if is_alone:
            _work(running, open_engine or opened)


def _work(running: Job, open_engine: OpenEngine) -> None:
    began = time.monotonic()
    folder = running.folder
    wanted = config.from_json(runs.read_json(folder / runs.CONFIG))
    out = output.out_path(wanted)
    form = output.form_of(out, Path(wanted.file))

    def say(text: str) -> None:
        running.event("note", text=text)

    task = prepare(wanted, folder, say)
    for note in (*task.rows.notes, *task.notes):
        say(note)
    cells = [item.cells for item in task.rows.items]
    output.check(form, task.rows.names, cells)
    started = _started(wanted, task, folder)
    journal = Journal(folder / runs.ROWS, sizes(len(cells), task.group))
    if not journal.is_whole():
        ctx_tokens = started["models"].get("ctx_tokens", wanted.ctx_tokens)     # what fits may be more or less by now
        again = dataclasses.replace(wanted, ctx_tokens=ctx_tokens)
        _do(task, journal, running, started, lambda: open_engine(again))
    if not journal.is_whole():
        return                      # asked to stop
    _finish(out, form, task, list(itertools.chain(*journal.groups)), {
        "task": runs.read_json(folder / runs.CONFIG)["task"], "out": str(out), "models": started["models"],
        "seconds": time.monotonic() - began}, folder)


def prepare(wanted: BatchConfig, folder: Path, say: Say) -> Work:
    """The work of the task that is wanted."""
    if isinstance(wanted, ClassifyConfig):
        return classify.prepare(wanted, folder, say)
    if isinstance(wanted, SummariseConfig):
        return summarise.prepare(wanted, say)
    assert isinstance(wanted, AnswerConfig)
    return answer.prepare(wanted, say)


def opened(wanted: BatchConfig) -> AbstractContextManager[Engine]:
    """The model that config names."""
    from runtime.engines import open_engine
    return open_engine(wanted.model, exact=wanted.exact, threads=wanted.threads, ctx_tokens=wanted.ctx_tokens)


def sizes(rows: int, group: int) -> list[int]:
    """How many rows each group has."""
    return [min(group, rows - start) for start in range(0, rows, group)]


def _started(wanted: BatchConfig, task: Work, folder: Path) -> dict[str, Any]:
    """What the rows of this folder are done with; written down at the first start.

    Raises UserError if a later start would do other rows, or in another way.
    """
    now = {"config": {name: value for name, value in knobs.to_json(wanted).items() if name not in FREE},
           "file": task.rows.digest, "rows": len(task.rows.items), "group": task.group, "task": task.identity,
           "models": {}}
    path = folder / runs.STARTED
    if not path.exists():
        runs.write_json(path, now)
        return now
    then = runs.read_json(path)
    for name, words in (("config", "The settings"), ("file", f"{wanted.file}"), ("task", "What the rows are done with"),
                        ("rows", "The rows"), ("group", "Galen")):
        if then[name] != _as_json(now[name]):
            raise UserError(f"{words} changed since {folder.name} began, so it can not go on; put it back as it was, "
                            "or start anew with --run DIR.")
    return then


def _as_json(value: Any) -> Any:
    """The value as it is read back."""
    return json.loads(runs.json_bytes(value))


def _do(task: Work, journal: Journal, running: Job, started: dict[str, Any],
        open_engine: Callable[[], AbstractContextManager[Engine]]) -> None:
    """Append every group that is not there, until the job is asked to stop."""
    if running.is_stop_asked():
        return
    total, items = len(task.rows.items), task.rows.items
    if journal.groups:
        running.event("note", text=f"Goes on behind row {sum(map(len, journal.groups)):,} of {total:,}.")
    is_needed = task.needs_model and any(not item.reason for item in items)
    with open_engine() if is_needed else nullcontext() as engine:
        if engine is not None:
            _name_model(engine, started, running.folder)
        task.begin(engine)
        began, before = time.monotonic(), len(journal.groups)
        place = sum(map(len, journal.groups))
        for number in range(before, len(sizes(total, task.group))):
            if running.is_stop_asked():
                return
            part = items[place:place + task.group]
            journal.append(done(task, engine, part))
            place += len(part)
            spent = (time.monotonic() - began) / (number + 1 - before)
            left = spent * (len(sizes(total, task.group)) - number - 1)
            running.event("phase", text="Rows", done=place, of=total, left_s=round(left, 1))


def _name_model(engine: Engine, started: dict[str, Any], folder: Path) -> None:
    """Write down what answers. Raises UserError if earlier rows were done by another model."""
    now = {"name": engine.name, "fingerprint": engine.fingerprint, "ctx_tokens": engine.ctx_tokens}
    if started["models"] not in ({}, now):
        raise UserError(f"{engine.name} is no longer the model that {folder.name} began with "
                        f"({started['models']['name']}, {started['models']['ctx_tokens']:,} tokens); put it back, or "
                        "start anew with --run DIR.")
    if not started["models"]:
        started["models"] = now
        runs.write_json(folder / runs.STARTED, started)


def _finish(out: Path, form: Form, task: Work, found: Sequence[Row], said: dict[str, Any], folder: Path) -> None:
    """Write the rows, and what they came to."""
    names = added_names(task.rows.names, task.columns)
    rows = [{**dict.fromkeys(task.rows.names if form.kind != "jsonl" else ()), **item.cells,
             **{names[column]: row.get(column, "" if column == PROBLEM else None) for column in task.columns}}
            for item, row in zip(task.rows.items, found, strict=True)]
    output.write(out, form, [*task.rows.names, *names.values()], rows)
    problems = [{"row": number, "line": item.line, "problem": row[PROBLEM]}
                for number, (item, row) in enumerate(zip(task.rows.items, found, strict=True), 1) if row[PROBLEM]]
    runs.write_json(folder / runs.RESULT, {
        **said, "rows": len(rows), "not_done": len(problems), "problems": problems, "columns": list(names.values()),
        **_scores(task, found)})


def _scores(task: Work, found: Sequence[Row]) -> dict[str, Any]:
    """What the rows came to; where the model learned from some of them, without these as well."""
    scores = task.scores(found)
    learned = task.learned() if scores else frozenset()
    if learned is None:
        return {"scores": scores, "learned_from": None, "scores_of_others": {}}
    others = [{PROBLEM: "learned from"} if number in learned else row for number, row in enumerate(found)]
    return {"scores": scores, "learned_from": len(learned), "scores_of_others": task.scores(others) if learned else {}}


def added_names(there: Sequence[str], added: Sequence[str]) -> dict[str, str]:
    """{column: its name in the file}: another one where the file has a column of that name."""
    names: dict[str, str] = {}
    for column in added:
        tries = itertools.chain([column], (f"{column} {number}" for number in itertools.count(2)))
        names[column] = next(name for name in tries if name not in there and name not in names.values())
    return names


if __name__ == "__main__":
    job.main(work)
