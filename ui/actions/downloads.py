"""Downloads of models as jobs: start, pause, resume, cancel, and use what has arrived."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import download, knobs, runs
from models.download import DownloadConfig
from models.errors import UserError
from ui import job_folder
from ui.actions.models import Models
from ui.job_list import JobList, JobView
from ui.outside import Outside

MODULE, KIND = "models.worker", "download"
CANCELLED = "cancelled"         # in a run folder: it is to go, with what it has fetched, once its process has ended
PAUSED = ("stopped", "interrupted", "error")    # states of a job that may go on


@dataclass(frozen=True, kw_only=True)
class Download:
    """One download. state: "waiting", "running", "pausing", "cancelling", "paused", "failed" or "done"."""
    run: str
    title: str
    state: str
    words: str                  # how far it is, or what is wrong
    share: float | None = None
    left_s: float | None = None
    entry: str = ""             # of the catalog; "" for a repository that the catalog does not know
    repo: str = ""
    is_base: bool = False       # a whole model folder, for training
    path: Path | None = None    # of a finished one: the GGUF, or the folder


class Downloads:
    """The downloads of one Galen. May be used from several threads."""

    def __init__(self, jobs: JobList, outside: Outside, models: Models):
        self._jobs, self._outside, self._models = jobs, outside, models
        self._one_start, self._one_clearing = threading.Lock(), threading.Lock()

    def listed(self) -> list[Download]:
        """Every download that runs, waits, is paused or has arrived, the newest first; cancelled ones are cleared."""
        found = []
        for job in self._jobs.all():
            if job.kind == KIND and not self._cleared(job):
                found.append(_seen(job))
        return found

    def start(self, config: DownloadConfig, title: str) -> str:
        """Begin to fetch, or go on with what was paused before; the name of its run.

        UserError while offline, and while what was asked for before is still ending.
        """
        self._outside.refuse_offline("download a model")
        with self._one_start:                   # two who press at once start one
            return self._started(config, title)

    def _started(self, config: DownloadConfig, title: str) -> str:
        before = next((one for one in self.listed() if _config(self._jobs.folder_of(one.run)) == config), None)
        if before and before.state in ("pausing", "cancelling"):
            raise UserError(f"The last download of {title} is still ending; try again in a moment.")
        if before and before.state in ("paused", "failed"):
            self.resume(before.run)
        if before and before.state != "done":
            return before.run
        if before:
            self.forget(before.run)             # asked for again: its files may be gone, and if not nothing is fetched
        name = config.entry or config.repo.rpartition("/")[2]
        return self._jobs.submit(MODULE, config, kind=KIND, title=title, name=f"download-{name}", memory_mb=0).name

    def pause(self, run: str) -> None:
        """Stop one, keeping what it has fetched."""
        self._jobs.stop(self._folder(run))

    def resume(self, run: str) -> None:
        """Go on with a paused one. UserError while offline."""
        self._outside.refuse_offline("go on with the download")
        self._jobs.start_again(self._folder(run))

    def cancel(self, run: str) -> None:
        """End one and delete what it has fetched, as soon as its process is gone."""
        folder = self._folder(run)
        job = self._jobs.view(folder)
        if job.is_over:                         # on a full disk nothing could be noted
            self._clear(job)
            return
        (folder / CANCELLED).touch()
        self._jobs.stop(folder)
        self.listed()

    def use(self, run: str) -> None:
        """Make a downloaded model the one that answers. UserError if its file is gone or can not be talked to."""
        path = _seen(self._jobs.view(self._folder(run))).path
        found = next((one for one in self._models.listed() if path and one.path.resolve() == path.resolve()), None)
        if found is None:
            raise UserError("The downloaded file is not here any more; download it again.")
        self._models.use(found.key)

    def forget(self, run: str) -> None:
        """Take a finished one out of the list of downloads; its files stay."""
        self._jobs.delete(self._folder(run))

    def _folder(self, run: str) -> Path:
        folder = self._jobs.folder_of(run)
        if self._jobs.view(folder).kind != KIND:
            raise UserError(f"{run} is no download.")
        return folder

    def _cleared(self, job: JobView) -> bool:
        """True for a cancelled one that is over: it is deleted now."""
        if not job.is_over or not (job.folder / CANCELLED).exists():
            return False
        try:
            self._clear(job)
        except UserError:       # some program has a file of it open: it stays in the list, and is tried again
            return False
        return True

    def _clear(self, job: JobView) -> None:
        """Delete it with what it has fetched; another thread may be at it."""
        with self._one_clearing:
            if job.folder.exists():
                download.discard(job.folder)
                self._jobs.delete(job.folder)


def _config(folder: Path) -> DownloadConfig | None:
    try:
        return knobs.from_json(DownloadConfig, job_folder.config_of(folder))
    except (UserError, TypeError):
        return None             # of another version


def _seen(job: JobView) -> Download:
    values = job_folder.config_of(job.folder)
    state, words = job.state, job.words
    if (job.folder / CANCELLED).exists():
        state = "cancelling"
    elif not job.is_over and (job.folder / runs.STOP).exists():
        state = "pausing"
    elif state in PAUSED:
        state = "paused" if state == "stopped" else "failed"
        words = _so_far(job) if state == "paused" else words
    return Download(run=job.folder.name, title=job.title, state=state, words=words, share=job.share, left_s=job.left_s,
                    entry=str(values.get("entry", "")), repo=str(values.get("repo", "")),
                    is_base=not values.get("files"), path=_arrived(job.folder) if state == "done" else None)


def _so_far(job: JobView) -> str:
    """How much of a paused one has been fetched."""
    from ui.terminal import download_words
    told = [event for event in job_folder.last_events(job.folder) if event["kind"] == "progress"]
    return download_words({**told[-1], "bytes_s": 0}) if told else "nothing fetched yet"


def _arrived(folder: Path) -> Path | None:
    """The GGUF that a finished download brought (of several parts the first), or the model folder."""
    result: Mapping[str, Any] = _result(folder)
    ggufs = [Path(name) for name in result.get("files", ()) if str(name).endswith(".gguf")]
    models = [path for path in ggufs if "mmproj" not in path.name.lower()]
    return next(iter(models or ggufs), Path(str(result["path"])) if result.get("path") else None)


def _result(folder: Path) -> dict[str, Any]:
    try:
        values: Any = json.loads((folder / runs.RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
