"""What the Export page does: what can be exported, its sizes beforehand, the job, and what becomes of its files."""

import json
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from convert.config import ADAPTER, SAFETENSORS, TYPES, ExportConfig
from models import library, runs
from models.errors import UserError
from models.tuned import CONFIG as ADAPTER_CONFIG
from runtime import child
from ui import job_folder, job_memory, job_packages
from ui.actions.desktop import open_folder
from ui.actions.export import export_config
from ui.actions.model import CurrentModel
from ui.actions.train_draft import bases
from ui.job_list import JobList, JobView
from ui.outside import Outside

MODULE, SIZES = "convert.worker", "convert.sizes"
BESIDE_MB = 600.0               # Python, the libraries and the working memory of a batch
USUAL = ("Q8_0", "Q4_K_M")      # ticked at first
KINDS = (*TYPES, ADAPTER, SAFETENSORS)
SUMS = "SHA256SUMS"             # in a folder of exported files
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Something that can be exported. name: what the page says to the server; only listed ones are taken."""
    name: str
    title: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """A type of file. needed_mb: what a conversation with it takes; measured: as report.json has the file."""
    kind: str
    bytes: int | None = None
    needed_mb: float | None = None
    fits: bool | None = None
    is_here: bool = False
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a source would come to. problem: why it can not be exported; is_reading: the answer is on its way."""
    planned: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    is_reading: bool = False


@dataclass(frozen=True, kw_only=True)
class ExportView:
    """One export. files: those that were checked so far; folder: where they lie, None until they do.

    sent: the jobs that took its files to Ollama or to the hub, the newest first.
    """
    job: JobView
    config: Mapping[str, Any]
    files: tuple[Mapping[str, Any], ...]
    folder: Path | None
    notes: tuple[str, ...]
    sent: tuple[JobView, ...] = ()


class Exports:
    """The exports of one Galen. May be used from several threads."""

    def __init__(self, jobs: JobList, model: CurrentModel, outside: Outside):
        self._jobs, self._model, self._outside = jobs, model, outside
        self._lock = threading.Lock()
        self._sizes: dict[tuple[Path, int], Sizes] = {}         # by folder and when it changed

    def choices(self) -> list[Choice]:
        """Finished runs, the newest first; then the models that lie here as safetensors."""
        return [*self._runs(), *_models()]

    def first(self, wanted: str) -> str:
        """The choice that the page begins with: the one asked for, if it is there."""
        names = [one.name for one in self.choices()]
        return wanted if wanted in names else names[0]

    def choice(self, name: str) -> Choice:
        """The listed one. Raises UserError if it is gone."""
        found = next((one for one in self.choices() if one.name == name), None)
        if found is None:
            raise UserError("That run or model is not here any more; reload the page to see what there is.")
        return found

    def _runs(self) -> list[Choice]:
        found = []
        for view in self._jobs.all():
            if view.kind == "train" and (view.folder / runs.ADAPTER / ADAPTER_CONFIG).is_file():
                found.append(Choice(name=view.folder.name, title=f"{view.title} ({view.folder.name})",
                                    folder=view.folder))
        return found

    def sizes(self, choice: Choice) -> Sizes:
        """What its files would weigh, as far as that is known by now; begins to find it out."""
        if not job_packages.has_training():
            return Sizes(problem=job_packages.MISSING)
        marks = (choice.folder / name for name in (f"{runs.ADAPTER}/{ADAPTER_CONFIG}", "config.json"))
        key = choice.folder, max((path.stat().st_mtime_ns for path in marks if path.is_file()), default=0)
        with self._lock:
            if key not in self._sizes:
                self._sizes[key] = Sizes(is_reading=True)
                threading.Thread(target=self._read_sizes, args=key, name="sizes", daemon=True).start()
            return self._sizes[key]

    def _read_sizes(self, folder: Path, changed: int) -> None:
        done = subprocess.run(child.command(SIZES, str(folder)), capture_output=True, text=True, encoding="utf-8",
                              stdin=subprocess.DEVNULL, check=False, **child.options())
        if done.returncode == 0:
            found = Sizes(planned=json.loads(done.stdout.splitlines()[-1]))
        elif done.returncode == 2:
            found = Sizes(problem=done.stderr.strip().splitlines()[-1])
        else:
            found = Sizes(problem=f"The sizes could not be found out: the process that asks llama.cpp ended with "
                                  f"status {done.returncode}. Choose another source.")
        with self._lock:
            self._sizes[folder, changed] = found

    def rows(self, choice: Choice, view: ExportView | None) -> list[Row]:
        """The table of types for a source, with what the export in view measured."""
        planned = self.sizes(choice).planned
        measured = {str(one.get("type")): one for one in view.files} if view else {}
        kinds = [kind for kind in KINDS if not planned or kind in planned["bytes"]]
        return [self._row(kind, planned, choice, measured.get(kind, {})) for kind in kinds]

    def _row(self, kind: str, planned: Mapping[str, Any], choice: Choice, measured: Mapping[str, Any]) -> Row:
        if not planned:
            return Row(kind=kind, measured=measured)
        size, needed = int(planned["bytes"][kind]), None
        if kind in TYPES:
            needed = (size + planned["projector_bytes"] + planned["cache_bytes"]) / 1e6 + BESIDE_MB
        is_run = (choice.folder / runs.ADAPTER).is_dir()
        name = f"{planned['stem']}-{kind}" + ("" if kind == SAFETENSORS else ".gguf")
        return Row(kind=kind, bytes=size, needed_mb=needed, fits=None if needed is None else needed <= self.room_mb(),
                   is_here=is_run and (Path(planned["out"]) / name).exists(), measured=measured)

    def room_mb(self) -> float:
        """Memory that a model could have here: what is free, and what the loaded one would give back."""
        pid, free = self._model.pid, psutil.virtual_memory().available
        try:                    # what is mapped from its file counts as free already
            memory: Any = psutil.Process(pid).memory_info() if pid else None
            free += memory.rss - getattr(memory, "shared", 0) if memory else 0
        except psutil.NoSuchProcess:
            pass                # gone meanwhile: it is free
        return free / 1e6 - job_memory.RESERVE_MB

    def start(self, choice: Choice, kinds: list[str], settings: Mapping[str, Any]) -> str:
        """Start to export; the name of its run. settings: fields of ExportConfig. UserError for what does not fit."""
        problem = self.sizes(choice).problem
        if problem:                     # there is no table to tick
            raise UserError(problem)
        if not kinds:
            raise UserError("No type is ticked; tick one or more in the table, Q8_0 if you are not sure.")
        config = export_config([str(choice.folder)], kinds, settings=settings)
        return self._submit(config, f"Export of {choice.name}", f"export-{choice.name}")

    def _submit(self, config: ExportConfig, title: str, name: str) -> str:
        return self._jobs.submit(MODULE, config, kind="export", title=title, name=name).name

    def view(self, run: str) -> ExportView | None:
        """The export called run; None if there is none."""
        try:
            job = self._jobs.view(run)
        except UserError:
            return None
        if job.kind != "export":
            return None
        began = job_folder.began_at(job.folder)
        events = [event for event in self._jobs.events(job.folder)[0] if event["t"] >= began]
        result = job.folder / runs.RESULT
        folder = Path(runs.read_json(result)["folder"]) if result.is_file() else None
        files = [event for event in events if event["kind"] == "file"]
        if folder and (folder / runs.REPORT).is_file():
            files = runs.read_json(folder / runs.REPORT)["files"]
        notes = [str(event["text"]) for event in events if event["kind"] == "note"]
        return ExportView(job=job, config=job_folder.config_of(job.folder), files=tuple(files), folder=folder,
                          notes=tuple(notes), sent=tuple(self._sent(folder)) if folder else ())

    def _sent(self, folder: Path) -> list[JobView]:
        return [view for view in self._jobs.all() if view.kind == "export"
                and job_folder.config_of(view.folder).get("source") == str(folder)]

    def earlier(self) -> list[JobView]:
        """Every export here, the newest first, without what only took its files elsewhere."""
        return [view for view in self._jobs.all() if view.kind == "export"
                and not (Path(str(job_folder.config_of(view.folder).get("source", ""))) / SUMS).is_file()]

    def version(self, run: str, choice: str) -> str:
        """Changes whenever what the page shows would."""
        views = self._jobs.all()
        runs_here = [(view.folder.name, view.is_over) for view in views if view.kind == "train"]
        exports = [view for view in views if view.kind == "export"]
        return str(hash((run, choice, tuple(runs_here), tuple(exports), tuple(map(repr, self._sizes.values())))))

    def choice_of(self, view: ExportView) -> Choice | None:
        """What an export was made from, if that is still here."""
        source = Path(str(view.config.get("source", "")))
        return next((one for one in self.choices() if one.folder == source), None)

    def stop(self, run: str) -> None:
        """Cancel an export."""
        self._jobs.stop(self._jobs.folder_of(run))

    def end(self, run: str) -> None:
        """End at once an export that was asked to stop and has not."""
        self._jobs.end(self._jobs.folder_of(run))

    def again(self, run: str) -> None:
        """Start an export that was stopped or interrupted from its beginning."""
        self._jobs.start_again(self._jobs.folder_of(run))

    def chat_with(self, run: str, file: str) -> None:
        """Make one of the export's files the model that answers. Raises UserError if that can not be."""
        folder = self._folder(run)
        model = next((one for one in self._model.listed() if one.path == (folder / file).resolve()), None)
        if model is None:
            raise UserError(f"{file} is not among the models that can be chatted with; was it moved or deleted?")
        self._model.choose(model.name)

    def open_folder(self, run: str) -> None:
        """Show the export's files in this computer's file manager."""
        open_folder(self._folder(run))

    def to_ollama(self, run: str, name: str) -> str:
        """Start to send the export's model to Ollama under a name; the name of the job's run."""
        if not name.strip():
            raise UserError("The model has no name in Ollama yet; write one, such as notes:q4.")
        config = ExportConfig(source=str(self._folder(run)), ollama=name.strip())
        return self._submit(config, f"{name.strip()} to Ollama", f"ollama-{run}")

    def push(self, run: str, repository: str, is_public: bool, allows_identifiers: bool) -> str:
        """Start to upload the export to a repository of the hub; the name of the job's run."""
        repository = repository.strip()
        if not REPOSITORY.fullmatch(repository):
            raise UserError(f"The repository is {repository!r}; write it as owner/name.")
        self._outside.refuse_offline("push to the hub")
        config = ExportConfig(source=str(self._folder(run)), push=repository, public=is_public,
                              allow_identifiers=allows_identifiers)
        return self._submit(config, f"Push to {repository}", f"push-{run}")

    def _folder(self, run: str) -> Path:
        view = self.view(run)
        if view is None or view.folder is None or not view.folder.is_dir():
            raise UserError("The files of this export are not here; export again.")
        return view.folder


def _models() -> list[Choice]:
    """The embedded model and the others that are whole here."""
    found = []
    for title, name in bases():
        try:
            found.append(Choice(name=name, title=title, folder=library.find_base(name)))
        except UserError:
            continue            # a part of a model
    return found
