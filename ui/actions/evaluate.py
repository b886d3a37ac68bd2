"""What `evaluate` does: a benchmark on one model or two, in a job of its own; and the page's list of them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.config import EvaluateConfig
from models import knobs, runs
from models.errors import UserError
from ui import jobs
from ui.actions import uploads
from ui.actions.batch import Started, absolute, existing
from ui.actions.model import CurrentModel
from ui.job_list import JobList, JobView
from ui.job_packages import check_packages

MODULE = "evaluation.worker"


def benchmarks() -> list[dict[str, str]]:
    """What there is: name, title and a sentence of each."""
    from evaluation.benchmarks.catalog import BENCHMARKS  # here and below: half a second that no start needs
    return [{"name": one.name, "title": one.title, "licence": one.licence, "about": one.about}
            for one in BENCHMARKS.values()]


def config_of(benchmark: str, said: Mapping[str, Any], assignments: Sequence[str] = ()) -> EvaluateConfig:
    """The evaluation that is wished for, files as absolute paths. said: settings by name, None or "" = not said.

    Raises UserError for an unknown benchmark, or what does not fit it.
    """
    from corpus.hub import is_hub
    from evaluation.benchmarks.catalog import find
    values = {name: value for name, value in said.items() if value not in (None, "")}
    values |= knobs.parse(EvaluateConfig, list(assignments))
    values["benchmark"] = find(benchmark).name
    for name in ("model", "against", "guard"):
        if values.get(name):
            values[name] = absolute(values[name])
    for name in ("file", "dev", "calibration", "classifier"):
        if values.get(name) and not is_hub(values[name]):
            values[name] = existing(values[name])
    return knobs.from_json(EvaluateConfig, values)


def start(config: EvaluateConfig, out: str = "") -> Started:
    """Start the evaluation in out (or a new folder in home()/runs); in the folder of the same one, unfinished, go on.

    Raises UserError if out holds something else.
    """
    from evaluation.run import FREE
    folder = runs.typed(out).resolve() if out else None
    if folder is None or not (folder / runs.CONFIG).is_file():
        folder = runs.new_run(f"evaluate-{config.benchmark}", out)
        return folder, jobs.start(MODULE, folder, config), 0
    there, wanted = runs.read_json(folder / runs.CONFIG), knobs.to_json(config)
    for name, value in wanted.items():
        if name not in FREE and there.get(name) != value:
            raise UserError(f"{out} holds an evaluation with another setting: {name} is {there.get(name)!r} there, "
                            f"and {value!r} now; choose another folder.")
    if jobs.is_running(folder):
        return folder, None, 0
    (folder / runs.STOP).unlink(missing_ok=True)
    events = folder / runs.EVENTS
    return folder, jobs.start(MODULE, folder, config), events.stat().st_size if events.is_file() else 0


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the page asks for. file: where an upload lies, "" = the benchmark's own; guard: a training's folder."""
    benchmark: str
    model: str
    against: str = ""
    file: str = ""
    is_sample: bool = False
    guard: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


class Evaluations:
    """The evaluate page's actions: what can be asked, what runs, and what came of it."""

    def __init__(self, job_list: JobList, model: CurrentModel):
        self._jobs, self._model = job_list, model

    def models(self) -> list[tuple[str, str]]:
        """What can be asked, as (title, name): the GGUFs that are listed, then finished trainings with their base."""
        ggufs = [(one.title, one.name) for one in self._model.listed()]
        trained = [(f"{one.title}, not exported", str(one.folder)) for one in self._jobs.all()
                   if one.kind == "train" and (one.folder / runs.ADAPTER).is_dir()]
        return ggufs + trained

    def trainings(self) -> list[tuple[str, str]]:
        """The trainings, as (title, folder): whose rows can be looked for among the items."""
        return [(one.title, str(one.folder)) for one in self._jobs.all() if one.kind == "train"]

    def first(self, wanted: str = "") -> str | None:
        """The model to begin with: the run or model called wanted, else the one that is loaded."""
        names = [name for _, name in self.models()]
        chosen = [one.name for one in self._model.listed() if one.path == self._model.state.chosen]
        return next((name for name in names if wanted and wanted in (name, Path(name).name)),
                    next(iter([*chosen, *names]), None))

    def jobs(self) -> list[JobView]:
        """The evaluations, the newest first."""
        return [one for one in self._jobs.all() if one.kind == "evaluate"]

    def known(self, run: str) -> str:
        """run if there is an evaluation of that name, else "": an address may be older than what it names."""
        return run if any(one.folder.name == run for one in self.jobs()) else ""

    def start(self, asked: Question) -> str:
        """Begin an evaluation, on the file that was given or the benchmark's own. Returns its name.

        Raises UserError for what does not fit, most of it while the file is still where it was uploaded.
        """
        if asked.against and asked.against == asked.model:
            raise UserError("Both models are the same; choose another one to put beside it, or nothing.")
        allowed = {"", *(name for _, name in [*self.models(), *self.trainings()])}
        for one in (asked.model, asked.against, asked.guard):
            if one not in allowed:
                raise UserError(f"There is no {one!r} here any more; reload the page to see what there is.")
        if asked.file:
            uploads.placed(asked.file)
        said = {**asked.settings, "model": asked.model, "against": asked.against, "guard": asked.guard,
                "fast": asked.is_sample or None}
        config = config_of(asked.benchmark, {**said, "file": asked.file})
        check_packages(MODULE, knobs.to_json(config))
        title = next(one["title"] for one in benchmarks() if one["name"] == config.benchmark)
        folder = runs.new_run(f"evaluate-{config.benchmark}")
        try:
            if asked.file:
                title += f", {uploads.told_name(asked.file)}"
                name = Path(uploads.told_name(asked.file)).stem
                file = uploads.taken(asked.file, folder / runs.DATA, name)
                config = config_of(asked.benchmark, {**said, "file": str(file)})
            self._jobs.submit(MODULE, config, kind="evaluate", title=title, name=folder.name, at=str(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder.name

    def act(self, what: str, run: str, current: str) -> str:
        """Open, stop, end at once, resume or delete an evaluation; returns the one that is to be shown then."""
        folder = self._jobs.folder_of(run)
        if what == "stop":
            self._jobs.stop(folder)
        elif what == "end":
            self._jobs.end(folder)
        elif what == "resume":
            self._jobs.start_again(folder)
        elif what == "delete":
            self._jobs.delete(folder)
            return "" if run == current else current
        return run

    def report(self, run: str) -> dict[str, Any] | None:
        """What report.json of an evaluation holds; None as long as there is none."""
        path = self._jobs.folder_of(run) / runs.REPORT
        return runs.read_json(path) if path.is_file() else None

    def saved(self, run: str) -> list[Path]:
        """The report's page and table and the items, as files that the page may hand out; [] while there is none."""
        folder = self._jobs.folder_of(run)
        if not (folder / runs.REPORT).is_file():
            return []
        return [uploads.offered(folder / name, f"{run}-{name}")
                for name in (runs.REPORT_PAGE, runs.REPORT_TABLE, runs.ITEMS)]
