"""Every long job of this folder: what waits, what runs, what is done, as pages show it."""

import os
import shutil
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models import knobs, runs
from models.errors import UserError
from models.folders import is_settled
from ui import job_folder, jobs
from ui.actions.model import CurrentModel
from ui.job_folder import Asked
from ui.job_packages import check_packages
from ui.job_progress import deaf_words, progress
from ui.job_queue import JobQueue
from ui.terminal import duration

HEAVY = ("train", "estimate", "export", "evaluate", "classify", "summarise", "answer")      # one after the other


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job as a page shows it. state: "waiting", "running", "done", "stopped", "error" or "interrupted"."""
    folder: Path
    kind: str                   # "train", "preview", "estimate", "export", "evaluate", "classify", ...
    title: str
    state: str
    share: float | None         # done so far, 0 to 1; None where it is not known
    left_s: float | None        # seconds to go, None where it is not known
    words: str                  # what it is doing, or how it ended, one line
    started: float              # seconds since 1970; of a waiting one: when it was asked for
    is_deaf: bool = False       # asked to stop a while ago, and still running: it can be ended at once

    @property
    def is_over(self) -> bool:
        """True once nothing computes for it any more."""
        return self.state not in ("waiting", "running")


class JobList:
    """The jobs of one folder, those of the command line included. May be used from several threads."""

    def __init__(self, home: Path, model: CurrentModel):
        """Goes on with what waited when the last Galen ended; a job that has the model's memory keeps it."""
        self._runs = home / "runs"
        self._lock, self._one_start = threading.Lock(), threading.Lock()
        self._over: dict[Path, tuple[tuple[int, int], JobView]] = {}        # what has ended, by times of change
        self._queue = JobQueue(self._open_ones, model)

    def submit(self, module: str, config: Any, *, kind: str, title: str, name: str, at: str | Path = "",
               memory_mb: float | None = None) -> Path:
        """Put `python -m module` with config (a dataclass) into the queue; returns its new run folder.

        name begins the folder's name; at: the folder itself, directly inside the folder of runs, which may hold the
        job's input files already. memory_mb: what it takes at the most, where that is known (0: whatever there is will
        do); the loaded model makes room for it if the memory does not hold both. Raises UserError if packages are
        missing, or the folder can not be made or holds a job.
        """
        check_packages(module, knobs.to_json(config))
        folder = self._place(Path(at)) if at else runs.new_run(name)
        self._write(folder, Asked(
            module=module, kind=kind, title=title, asked=time.time(), memory_mb=memory_mb,
            is_heavy=kind in HEAVY and not getattr(config, "fast", False)), config)
        self._put(folder)
        return folder

    def start_again(self, folder: Path) -> None:
        """Put a job that was stopped or interrupted into the queue again. Raises UserError if it is not over."""
        with self._one_start:           # two who press at once start one process
            self._start_again(folder)

    def _start_again(self, folder: Path) -> None:
        view = self.view(folder)
        if not view.is_over:
            raise UserError(f"{view.title} has not ended yet; there is nothing to start again.")
        asked = job_folder.asked_of(folder)
        if not asked.module:            # the command line started it
            module = next((one for one, kind in job_folder.KINDS.items() if kind == asked.kind), None)
            module = module or ("evaluation.batch.worker" if asked.kind in HEAVY else None)
            if module is None:
                raise UserError(f"What {folder.name} does is not known, so it can not be started again.")
            self._write(folder, Asked(**{**asdict(asked), "module": module}))
        self._put(folder)

    def all(self) -> list[JobView]:
        """Every job, the newest first."""
        views = [self._with_reason(self._seen(folder)) for folder in self._folders()]
        return sorted(views, key=lambda view: (-view.started, view.folder.name))

    def view(self, job: Path | str) -> JobView:
        """One job, by its folder or the folder's name. Raises UserError if there is none."""
        folder = self.folder_of(job) if isinstance(job, str) else job
        if not folder.is_dir():
            raise UserError(f"There is no run {folder.name} here any more.")
        return self._with_reason(self._seen(folder))

    def folder_of(self, name: str) -> Path:
        """The run folder called name, directly inside the folder of runs. Raises UserError if there is none."""
        folder = self._runs / name
        is_plain = bool(name) and name == Path(name).name and not name.startswith(".") and "\\" not in name
        if not is_plain or os.path.islink(folder) or not os.path.isdir(folder):     # of any name, without an OSError
            raise UserError(f"There is no run {name!r} here.")
        return folder

    def events(self, folder: Path, position: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The events after position, whole lines only, and the position after them."""
        return jobs.read_from(folder / runs.EVENTS, position)

    def stop(self, folder: Path) -> None:
        """Take a waiting job out of the queue; ask a running one to stop, which it does within a step."""
        if job_folder.claim(folder) or job_folder.is_lost(folder):
            job_folder.note_not_started(folder, "stopped", job_folder.TAKEN_OUT)
        elif job_folder.is_alive(folder):
            jobs.stop(folder)
        self._queue.wake()

    def end(self, folder: Path) -> None:
        """End a job at once that was asked to stop and has not; what it has not kept is lost. UserError before that."""
        if not self.view(folder).is_over and not (folder / runs.STOP).exists():
            raise UserError("Ask the job to stop first; it keeps more of its work that way.")
        job_folder.kill(folder)
        self._queue.wake()

    def delete(self, folder: Path) -> int:
        """Delete the run folder with all that lies in it; returns the bytes freed. UserError while it runs or waits."""
        view = self.view(folder)
        if not view.is_over:
            raise UserError(f"{view.title} has not ended yet; stop it before you delete it.")
        freed = size_of(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise UserError(f"{error.filename} could not be deleted ({error.strerror}); close the programs that use "
                            "it, and delete the run again.") from error
        return freed

    def close(self) -> None:
        """Start nothing more. Jobs that run go on."""
        self._queue.close()

    def _write(self, folder: Path, asked: Asked, config: Any = None) -> None:
        if config is not None:
            runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
        runs.write_json(folder / job_folder.JOB, asdict(asked))

    def _place(self, folder: Path) -> Path:
        folder = folder.resolve()
        if folder.parent != self._runs.resolve():
            raise UserError(f"The run folder would be {folder}; choose one directly inside {self._runs}.")
        if any((folder / name).exists() for name in (runs.CONFIG, job_folder.JOB)):
            raise UserError(f"{folder} holds a run already; delete that first, or choose another name.")
        runs.make_folder(folder)
        return folder

    def _put(self, folder: Path) -> None:
        with self._lock:
            self._over.pop(folder, None)
        job_folder.ask(folder)
        self._queue.wake()

    def _folders(self) -> list[Path]:
        """The run folders, those being made left out."""
        if not self._runs.is_dir():
            return []
        return [folder for folder in self._runs.iterdir() if not folder.name.startswith(".") and (
            folder in self._over or any((folder / name).is_file() for name in (runs.CONFIG, job_folder.JOB)))]

    def _open_ones(self) -> list[Path]:
        """The folders of what waits or runs, the oldest wish first."""
        views = [self._seen(folder) for folder in self._folders()]
        return sorted((view.folder for view in views if not view.is_over), key=job_folder.waits_since)

    def _with_reason(self, view: JobView) -> JobView:
        return replace(view, words=self._queue.why(view.folder)) if view.state == "waiting" else view

    def _seen(self, folder: Path) -> JobView:
        """The job as it is now; read again only if something of it may have changed."""
        changed = _changed(folder)
        kept = self._over.get(folder)
        if kept and kept[0] == changed:
            return kept[1]
        view = _look(folder)
        if view.is_over and is_settled(max(changed)) and changed == _changed(folder):
            with self._lock:
                self._over[folder] = changed, view
        return view


def size_of(folder: Path) -> int:
    """Bytes of all files in folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def look_at(home: Path) -> list[JobView]:
    """Every job of a folder as it is now, for one who starts none."""
    folders = (folder for folder in (home / "runs").glob("[!.]*") if (folder / runs.CONFIG).is_file())
    return [_look(folder) for folder in folders]


def _look(folder: Path) -> JobView:
    asked = job_folder.asked_of(folder)
    if job_folder.is_waiting(folder) or job_folder.is_lost(folder):
        return JobView(folder=folder, kind=asked.kind, title=asked.title, state="waiting", share=None, left_s=None,
                       words="", started=job_folder.waits_since(folder) or asked.asked)
    is_alive = job_folder.is_alive(folder)              # asked before reading: a last event is not missed
    began, events = job_folder.began_at(folder), job_folder.last_events(folder)
    started = began or asked.asked
    if not is_alive:
        end = job_folder.end_of(folder, events)
        words = end.words + (f" in {duration(events[-1]['t'] - started)}" if end.state == "done" else "")
        return JobView(folder=folder, kind=asked.kind, title=asked.title, state=end.state, left_s=None, words=words,
                       share=1.0 if end.state == "done" else None, started=started)
    now = progress(asked.kind, job_folder.config_of(folder), [one for one in events if one["t"] >= began],
                   time.time() - started)
    is_stopping, is_deaf = (folder / runs.STOP).exists(), job_folder.is_deaf(folder)
    words = deaf_words(asked.kind) if is_deaf else "Stopping" if is_stopping else now.words
    return JobView(folder=folder, kind=asked.kind, title=asked.title, state="running", share=now.share, words=words,
                   left_s=None if is_stopping else now.left_s, started=started, is_deaf=is_deaf)


def _changed(folder: Path) -> tuple[int, int]:
    """When a name in the folder and its heartbeat changed last."""
    try:
        beat = (folder / runs.PID).stat().st_mtime_ns
    except FileNotFoundError:
        beat = 0
    try:
        return folder.stat().st_mtime_ns, beat
    except FileNotFoundError:
        return 0, beat
