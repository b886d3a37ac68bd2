"""What the Train page does: prepare a run in a folder of its own, look at its rows, promise, start, stop, delete."""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import knobs, runs
from models.errors import UserError
from train.config import TrainConfig
from ui.actions import train, train_draft
from ui.actions.train_draft import Draft
from ui.actions.train_record import Reader, Record, json_of, lines_of
from ui.actions.train_tables import Tables
from ui.actions.train_view import Prepared, RunLine, RunView
from ui.actions.uploads import taken, told_name
from ui.job_list import JobList, JobView, size_of

DEMONSTRATION = runs.ROOT / "corpus" / "demo" / "train.csv"
DEMONSTRATION_RECIPE = "demo"
PREPARED = ("preview", "estimate")      # jobs beside a run, in NAME-preview and NAME-estimate
SHOWN_LEFT_OUT = 500
OF_STAGES = "of_stages"               # beside the fields of what a form was filled with
END_WAIT_S = 10.0                       # for a preview or an estimate of a run that is deleted


class Trainings:
    """The runs in the user's folder, as the page works with them. May be used from several threads."""

    def __init__(self, home: Path, jobs: JobList):
        self._runs, self._jobs = home / "runs", jobs
        self._tables, self._reader, self._lock = Tables(), Reader(jobs.events), threading.RLock()
        self._lines: dict[Path, tuple[Any, RunLine]] = {}

    # preparing

    def begin(self, name: str, uploads: Sequence[str]) -> str:
        """Add uploaded files to the draft called name, or to a new one; returns the draft's name.

        The first file says which recipe is offered. Raises UserError for a file that is no table.
        """
        is_new = not self.is_draft(name)
        folder = runs.new_run("train", "") if is_new else self.folder(name)
        try:
            for path in uploads:
                self._add(folder, taken(path, folder / runs.DATA, Path(told_name(path)).stem))
        except UserError:
            if is_new and not (folder / runs.DRAFT).exists():
                shutil.rmtree(folder)
            raise
        return folder.name

    def begin_demonstration(self) -> str:
        """A new draft with the demonstration's rows and recipe; returns its name."""
        with _new_run() as folder:
            place = _copied(DEMONSTRATION, folder / runs.DATA / "demonstration.csv")
            train_draft.keep(Draft(recipe=DEMONSTRATION_RECIPE), folder)
            self._add(folder, place)
        return folder.name

    def begin_again(self, name: str) -> str:
        """A new draft with the rows and settings of a run; returns its name. Raises UserError if its files are gone."""
        before = self.folder(name)
        is_ours = (before / runs.DRAFT).is_file()
        draft = train_draft.of(before) if is_ours else train_draft.of_config(self._config(before))
        files = []
        with _new_run() as folder:
            for one in draft.files:
                path = Path(one["file"])
                if path.parent == before / runs.DATA:
                    if not path.is_file():
                        raise UserError(f"The file {path.name} of that run is gone; begin a new run with its rows.")
                    path = _copied(path, folder / runs.DATA / path.name)
                files.append({**one, "file": str(path)})
            train_draft.keep(replace(draft, files=tuple(files)), folder)
        return folder.name

    def _add(self, folder: Path, path: Path) -> None:
        with self._lock:
            draft = train_draft.of(folder) if (folder / runs.DRAFT).is_file() else Draft()
            is_first = not draft.files
            one = {"file": str(path), "role": "data", "stage": ""}
            draft = replace(draft, files=(*draft.files, one))
            if is_first and draft.recipe == train_draft.USUAL:
                layout = self._tables.seen(draft)[0].layout
                draft = replace(draft, recipe=train_draft.SUITED.get(layout, train_draft.USUAL))
            train_draft.keep(draft, folder)

    def change(self, name: str, **values: Any) -> Draft:
        """Set fields of a draft. A new recipe brings its own settings.

        Raises UserError once the run has begun, and for a base that is not listed: no path from a browser is opened.
        """
        with self._lock:
            draft = self.draft(name)
            if values.get("base") and values["base"] not in {draft.base, *(one for _, one in train_draft.bases())}:
                raise UserError(f"There is no base model {values['base']!r} here; put its folder into {runs.home()}, "
                                "or choose one of the list.")
            if values.get("recipe", draft.recipe) != draft.recipe:
                values = {"settings": (), "of_stages": (), "base": "", **values}
                known = train_draft.Draft(recipe=values["recipe"]).stages()
                values["files"] = tuple({**one, "stage": one["stage"] if one["stage"] in known else ""}
                                        for one in draft.files)
            draft = replace(draft, **values)
            train_draft.keep(draft, self.folder(name))
            return draft

    def set(self, name: str, values: dict[str, Any], of_stages: str, before: Mapping[str, Any] | None = None) -> Draft:
        """Set what the form holds. before: what it was filled with; what is still so there stays as it is in the draft,
        which another page may have changed. Raises UserError with the sentence about the first value that does not fit.
        """
        with self._lock:
            draft = self.draft(name)
            now = draft.as_set()
            values = {field: getattr(now, field) if before and before.get(field) == value else value
                      for field, value in values.items()}
            if before and before.get(OF_STAGES) == of_stages:
                of_stages = "\n".join(draft.of_stages)
            draft = draft.with_settings(values, of_stages)
            train_draft.keep(draft, self.folder(name))
            return draft

    def place(self, name: str, file: str, where: str) -> None:
        """Give a file of a draft its role: "data", "eval", "guard", or "data:STAGE" and so on."""
        role, _, stage = where.partition(":")
        with self._lock:
            draft = self.draft(name)
            if role not in train_draft.ROLES or stage not in ("", *draft.stages()):
                raise UserError(f"There is no use {where!r} for a file; reload the page.")
            files = tuple({**one, "role": role, "stage": stage} if one["file"] == file else one for one in draft.files)
            train_draft.keep(replace(draft, files=files), self.folder(name))

    def remove(self, name: str, file: str) -> None:
        """Take a file out of a draft, and delete it."""
        with self._lock:
            folder, draft = self.folder(name), self.draft(name)
            kept = tuple(one for one in draft.files if one["file"] != file)
            train_draft.keep(replace(draft, files=kept), folder)
            if len(kept) < len(draft.files) and Path(file).parent == folder / runs.DATA:
                Path(file).unlink(missing_ok=True)

    def read_sheet(self, name: str, title: str) -> None:
        """Read the rows from that sheet of a workbook; "" for the only one."""
        with self._lock:
            train_draft.keep(self.draft(name).of_sheet(title), self.folder(name))

    def map(self, name: str, field_name: str, column: str) -> None:
        """Read a field from this column; "" leaves it to the column's name. Raises UserError if that can not be."""
        with self._lock:
            draft = self.draft(name).mapped(field_name, column)
            knobs.from_json(TrainConfig, {"columns": draft.columns})
            train_draft.keep(draft, self.folder(name))

    # jobs

    def look(self, name: str) -> None:
        """Write the draft's rows as the model would see them, as a job."""
        self._prepare(name, "preview", "Reading the rows")

    def promise(self, name: str) -> None:
        """Try a few steps of the draft, as a job."""
        self._prepare(name, "estimate", "Trying some steps")

    def _prepare(self, name: str, what: str, title: str) -> None:
        config, place = self.draft(name).config(), self._beside(name, what)
        with self._lock:
            if place.is_dir():
                if not self._jobs.view(place).is_over:
                    raise UserError("That is being done already; it takes a moment.")
                self._jobs.delete(place)
            self._jobs.submit(train.MODULES[what], config, kind=what, title=title, name=place.name, at=str(place))

    def start(self, name: str) -> None:
        """Begin the run of a draft. Raises UserError for what is missing or does not fit."""
        with self._lock:
            folder, config = self.folder(name), self.draft(name).config()
            estimate = self._prepared(name, "estimate", config)
            if estimate.made and not estimate.is_stale:
                runs.write_json(folder / runs.ESTIMATE, estimate.made)
            self._jobs.submit(train.MODULES["run"], config, kind="train", title=f"Training {config.recipe}",
                              name=name, at=str(folder))

    def stop(self, name: str) -> None:
        """Ask the run to stop; its best adapter is kept, and it can go on later."""
        self._jobs.stop(self.folder(name))

    def end(self, name: str) -> None:
        """End at once a run that was asked to stop and has not; it can go on from its last checkpoint."""
        self._jobs.end(self.folder(name))

    def resume(self, name: str) -> None:
        """Go on where the run stopped or was interrupted."""
        folder = self.folder(name)
        if not self.can_resume(folder):
            raise UserError("This run has come to its end; begin another one with its settings.")
        self._jobs.start_again(folder)

    def can_resume(self, folder: Path) -> bool:
        """True for a run that is not running and not finished."""
        is_over = (folder / runs.CONFIG).is_file() and self._jobs.view(folder).is_over
        result = json_of(folder / runs.RESULT)
        return is_over and ((folder / runs.CHECKPOINTS).exists() or not result or bool(result.get("is_stopped")))

    def delete(self, name: str) -> int:
        """Delete a run with its files, preview and estimate; returns the bytes freed.

        Raises UserError while one of them runs.
        """
        folder = self.folder(name)
        others = [place for what in PREPARED if (place := self._beside(name, what)).is_dir()]
        for place in others:
            self._end(place)
        with self._lock:
            if (folder / runs.CONFIG).is_file():
                freed = self._jobs.delete(folder)
            else:
                freed = size_of(folder)
                shutil.rmtree(folder)
            freed += sum(self._jobs.delete(place) for place in others)
            self._lines.pop(folder, None)
            self._reader.forget(folder)
        return freed

    def _end(self, place: Path) -> None:
        """Stop a preview or estimate; one that does not obey in time is ended, as its run is to be deleted anyway."""
        for ask in (self._jobs.stop, self._jobs.end):
            until = time.monotonic() + END_WAIT_S
            if not self._jobs.view(place).is_over:
                ask(place)
            while not self._jobs.view(place).is_over and time.monotonic() < until:
                time.sleep(0.1)
        if not self._jobs.view(place).is_over:
            raise UserError("Its rows are still being read or tried; wait for the end, then delete it.")

    # looking

    def folder(self, name: str) -> Path:
        """The run folder called name. Raises UserError if there is none."""
        return self._jobs.folder_of(name)

    def is_known(self, name: str) -> bool:
        """True for a draft or a training in the folder of runs."""
        try:
            folder = self.folder(name)
        except UserError:
            return False
        return (folder / runs.DRAFT).is_file() or (
            (folder / runs.CONFIG).is_file() and self._jobs.view(folder).kind == "train")

    def is_draft(self, name: str) -> bool:
        """True for a run that has not begun."""
        return self.is_known(name) and not (self.folder(name) / runs.CONFIG).is_file()

    def draft(self, name: str) -> Draft:
        """A run that has not begun. Raises UserError for one that has."""
        folder = self.folder(name)
        if (folder / runs.CONFIG).is_file():
            raise UserError("This run has begun, and goes on as it was set up; begin another one with its settings.")
        return train_draft.of(folder)

    def view(self, name: str) -> RunView:
        """Everything the page shows of a run. Raises UserError if there is none."""
        folder = self.folder(name)
        has_begun = (folder / runs.CONFIG).is_file()
        draft = train_draft.of(folder) if (folder / runs.DRAFT).is_file() else None
        config, problem = None, ""
        try:
            config = self._config(folder) if has_begun or draft is None else draft.config()
        except UserError as error:
            problem = str(error)
        return RunView(
            name=name, draft=None if has_begun else draft, config=config, problem=problem,
            tables=self._tables.seen(draft) if draft else (),
            preview=self._prepared(name, "preview", config), estimate=self._prepared(name, "estimate", config),
            job=self._jobs.view(folder) if has_begun else None,
            record=self._reader.record(folder) if has_begun else None)

    def versions(self, name: str, other: str) -> dict[str, str]:
        """{part of the page: what changes whenever that part does}. Cheap: asked once a second by every open page."""
        versions = dict.fromkeys(("begun", "data", "see", "base", "promise", "run"), "")
        if name:
            folder = self.folder(name)
            preview, estimate = (self._beside(name, what) for what in PREPARED)
            chosen = [_changed(folder / one) for one in (runs.DRAFT, runs.CONFIG)]
            begun = str(bool(chosen[1][0]))
            seen = f"{chosen}{_changed(preview / runs.PREVIEW_DATA)}"
            versions = {
                "begun": begun, "see": seen, "base": f"{chosen}", "data": f"{seen}{self._told(preview)}",
                "promise": f"{chosen}{_changed(estimate / runs.ESTIMATE)}{self._told(estimate)}",
                "run": "".join(f"{self._told(one)}{_changed(one / runs.EVENTS)}{_changed(one / runs.RESULT)}"
                               for one in (folder, *([self.folder(other)] if other else [])))}
        listed = [(line.name, line.state, line.best, line.bytes) for line in self.lines()]
        return {**versions, "list": hashlib.sha256(repr(listed).encode()).hexdigest()[:16]}

    def _told(self, folder: Path) -> str:
        """What the job in a folder says of itself now; "" where there is none."""
        if not (folder / runs.CONFIG).is_file():
            return ""
        job = self._jobs.view(folder)
        return f"{job.state}{job.share}{job.left_s and round(job.left_s)}{job.words}"

    def record(self, name: str) -> Record:
        """What the events of a run say, for a curve beside another one."""
        return self._reader.record(self.folder(name))

    def lines(self) -> list[RunLine]:
        """Every run, the newest first."""
        begun = {view.folder: view for view in self._jobs.all() if view.kind == "train"}
        drafts = [folder for folder in self._runs.glob("*") if folder not in begun and (folder / runs.DRAFT).is_file()
                  and not (folder / runs.CONFIG).is_file()] if self._runs.is_dir() else []
        lines = [*(self._line(folder, view) for folder, view in begun.items()),
                 *(self._line(folder, None) for folder in drafts)]
        return sorted(lines, key=lambda line: (-line.began, line.name))

    def _line(self, folder: Path, view: JobView | None) -> RunLine:
        changed = [_changed(folder / name) for name in (runs.DRAFT, runs.RESULT, runs.EVENTS)]
        key = (view.state if view else "draft", view.started if view else 0.0, changed)
        known = self._lines.get(folder)
        if known and known[0] == key:
            return known[1]
        try:
            config = self._config(folder) if view else train_draft.of(folder).as_set()
        except UserError:               # of another version, or damaged: listed all the same, so that it can be deleted
            config = TrainConfig()
        is_over = view is None or view.is_over
        line = RunLine(name=folder.name, state=view.state if view else "draft", recipe=config.recipe,
                       base=Path(config.base).name, best=self._best(folder) if view else None,
                       began=view.started if view else changed[0][0] / 1e9,
                       bytes=size_of(folder) if is_over else None)
        self._lines[folder] = key, line
        if is_over:
            self._reader.forget(folder)         # of two hundred runs only the lines are kept
        return line

    def _best(self, folder: Path) -> float | None:
        result = json_of(folder / runs.RESULT)
        return result["best_val_loss"] if "best_val_loss" in result else self._reader.record(folder).best()

    def _config(self, folder: Path) -> TrainConfig:
        return knobs.from_json(TrainConfig, runs.read_json(folder / runs.CONFIG))

    def _beside(self, name: str, what: str) -> Path:
        return self._runs / f"{self.folder(name).name}-{what}"

    def _prepared(self, name: str, what: str, config: TrainConfig | None) -> Prepared:
        place = self._beside(name, what)
        if not (place / runs.CONFIG).is_file():
            return Prepared()
        try:
            made_for = self._config(place)
        except UserError:
            return Prepared()
        made = json_of(place / (runs.PREVIEW_DATA if what == "preview" else runs.ESTIMATE))
        is_same = config is None or (_rows_of(made_for) == _rows_of(config) if what == "preview"
                                     else made_for == config)
        findings = runs.read_json(place / runs.FINDINGS) if (place / runs.FINDINGS).is_file() else []
        return Prepared(job=self._jobs.view(place), made=made, is_stale=not is_same, findings=tuple(findings),
                        left_out=tuple(lines_of(place / runs.UNUSABLE, SHOWN_LEFT_OUT)))


@contextmanager
def _new_run() -> Iterator[Path]:
    """A run folder, which is taken away again if it does not become a draft."""
    folder = runs.new_run("train", "")
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copied(path: Path, to: Path) -> Path:
    """A copy of a file of rows. Raises UserError when the disk is full."""
    runs.make_folder(to.parent)
    with runs.whole_file(to) as part:
        shutil.copyfile(path, part)
    return to


def _rows_of(config: TrainConfig) -> dict[str, Any]:
    """The settings that decide what the model sees."""
    from corpus.config import DataConfig
    names = {*DataConfig.__dataclass_fields__, "base", "max_len", "stages"}
    return {name: value for name, value in knobs.to_json(config).items() if name in names}


def _changed(path: Path) -> tuple[int, int, int]:
    """When a file changed, its number and its size: two changes within one tick of the clock have the same time."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return 0, 0, 0
    return state.st_mtime_ns, state.st_ino, state.st_size
