"""What the folder takes on the disk, part by part, and deleting what can go."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models import runs
from models.errors import UserError
from ui.history import FILE as HISTORY
from ui.job_list import JobList, JobView

BACKUPS = "backups"
REPLACED = "replaced"           # what a restored backup took the place of


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run folder: its job, and how many bytes it and its checkpoints take."""
    job: JobView
    bytes: int
    checkpoint_bytes: int


@dataclass(frozen=True, kw_only=True)
class Space:
    """Bytes of each part. models: GGUFs outside run folders; runs without their checkpoints."""
    free: int
    models: int
    runs: int
    checkpoints: int
    spare_checkpoints: int      # of these, of runs that are done: nothing goes on from them any more
    conversations: int
    backups: int
    replaced: int

    @property
    def total(self) -> int:
        return self.models + self.runs + self.checkpoints + self.conversations + self.backups + self.replaced


def used(home: Path, jobs: JobList) -> Space:
    """What home takes now."""
    here = list_runs(home, jobs)
    return Space(
        free=shutil.disk_usage(home).free,
        models=sum(_size(path) for path in home.glob("*.gguf")) + tree_bytes(home / "exports"),
        runs=tree_bytes(home / "runs") - sum(run.checkpoint_bytes for run in here),
        checkpoints=sum(run.checkpoint_bytes for run in here),
        spare_checkpoints=sum(run.checkpoint_bytes for run in here if run.job.state == "done"),
        conversations=sum(_size(path) for path in home.glob(HISTORY + "*")),
        backups=tree_bytes(home / BACKUPS), replaced=tree_bytes(home / REPLACED))


def list_runs(home: Path, jobs: JobList) -> list[Run]:
    """The runs of the folder, the newest first."""
    inside = [job for job in jobs.all() if job.folder.parent == home / "runs"]
    return [Run(job=job, bytes=tree_bytes(job.folder),
                checkpoint_bytes=sum(tree_bytes(path) for path in _checkpoints(job.folder))) for job in inside]


def delete_checkpoints(home: Path, jobs: JobList) -> int:
    """Delete the checkpoints of runs that are done; returns how many bytes that freed."""
    freed = 0
    for run in list_runs(home, jobs):
        if run.job.state == "done":
            for folder in _checkpoints(run.job.folder):
                freed += tree_bytes(folder)
                shutil.rmtree(folder)
    return freed


def delete_runs(jobs: JobList, names: list[str], model: Path | None) -> int:
    """Delete runs by name; returns how many bytes that freed.

    model: the file that is loaded. Raises UserError if it lies in one of them, or one still runs; then none is gone.
    """
    chosen = [jobs.view(name) for name in names]
    for job in chosen:
        if not job.is_over:
            raise UserError(f"{job.folder.name} is still running; stop it first.")
        if model and model.is_relative_to(job.folder):
            raise UserError(f"The model in use, {model.name}, lies in the run {job.folder.name}; choose another model "
                            "first.")
    return sum(jobs.delete(job.folder) for job in chosen)


def delete_replaced(home: Path) -> int:
    """Delete what a restored backup took the place of; returns how many bytes that freed."""
    freed = tree_bytes(home / REPLACED)
    if freed:
        shutil.rmtree(home / REPLACED)
    return freed


def refuse_while_running(jobs: JobList, what: str) -> None:
    """Raise UserError if a job runs or waits; what, say "back up the folder", can not be done meanwhile."""
    running = [job for job in jobs.all() if not job.is_over]
    if running:
        raise UserError(f"{running[0].title} is not done yet. Wait for its end, or stop it, to {what}.")


def tree_bytes(folder: Path) -> int:
    """Bytes of all files under folder; links are not followed."""
    return sum(_size(path) for path in files_in(folder))


def files_in(folder: Path) -> Iterator[Path]:
    """Every file under folder, links to folders not entered."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _size(path: Path) -> int:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0                # gone a moment ago
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _checkpoints(run: Path) -> list[Path]:
    places = [run, *run.glob(f"{runs.STAGES}/*")]
    return [place / runs.CHECKPOINTS for place in places if (place / runs.CHECKPOINTS).is_dir()]
