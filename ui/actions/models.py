"""What the Models page does: list the model files that are here, add one, choose one, delete one."""

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from models import library, removal, runs
from models.errors import UserError
from models.facts import Facts
from models.folders import shown
from models.header import Header, read_header
from models.opened import full_path
from models.quant_name import PART
from models.shelf import EMBEDDED, Entry
from runtime.device import machine
from runtime.expect import USUAL_WORDS, working_bytes
from runtime.pool import cache_bytes_per_token, conversation_tokens, pool_cells
from ui.actions.model import CurrentModel
from ui.job_list import JobView
from ui.settings import SettingsFile

RESERVE_MB = 256                # left to the rest of the machine
ENDING = ".gguf"
LONGEST_NAME = 80
NAMING = ("model", "against", "base", "ggufs", "path")  # fields of a config, or of base.json, that name a model
NO_TEMPLATE = "{} has no chat template: it is not known how to talk to it."
GO_TEMPLATE = ("Ollama keeps the chat template of {} in a form of its own, which Galen can read for Gemma 1 to 3 only, "
               "and the file has none: it is not known how to talk to it. Get the model as a GGUF instead.")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One GGUF. problem: why it can not be used, one sentence; then only key, file, place and bytes say anything."""
    key: str                    # what a button hands back; known to this list only
    path: Path
    file: str                   # its name; of a model in several parts that of the first
    place: str                  # "embedded", "models folder", the run that made it, or the program that holds it
    bytes: int                  # of all parts
    problem: str = ""
    title: str = ""
    types: tuple[tuple[str, float], ...] = ()   # tensor type and its share of the bytes, the largest first
    licence: str = ""           # as the header names it
    ctx_tokens: int = 0         # that the model was made for
    parameters: int = 0
    can_chat: bool = False
    can_see: bool = False
    memory_mb: int = 0          # about what it takes once it is loaded
    uses_ctx_tokens: int = 0    # with a conversation this long
    notice: str = ""
    is_ours: bool = True        # False: another program's, which Galen uses where it lies and never deletes
    is_unread: bool = False     # its header is still to be read
    repo: str = ""              # of the hub, where the place says so
    names: tuple[str, ...] = () # what file, place and header call it
    files: tuple[Path, ...] = ()        # its parts
    projector: Path | None = None       # with which it sees
    weights_bytes: int = 0
    is_made: bool = False       # by an export here: no model of the catalog, whatever it calls itself


class Jobs(Protocol):
    """What is asked of ui.job_list.JobList."""

    def all(self) -> Sequence[JobView]:
        """Every job."""
        ...


class Models:
    """The model files of this computer. Headers are read once for each state of a file (models/shelf.py)."""

    def __init__(self, home: Path, settings: SettingsFile, model: CurrentModel, jobs: Jobs):
        self.home, self._settings, self._model, self._jobs = home, settings, model, jobs
        self._lock = threading.Lock()
        self._listed: tuple[tuple[Entry, ...], int, list[Found]] = ((), -1, [])

    def version(self) -> str:
        """Changes whenever listed() may: a file came, went, grew or was read, or another model is in use."""
        state, shelf = self._model.state, self._model.shelf
        shelf.look()
        return str(hash((shelf.number, state.chosen, state.loading, self._settings.value.ctx_tokens)))

    def listed(self) -> list[Found]:
        """Every model file: the embedded one first, then the newest of the folder, of runs, of other programs."""
        entries, asked = self._model.shelf.look(), self._settings.value.ctx_tokens
        with self._lock:
            if entries is not self._listed[0] or asked != self._listed[1]:
                self._listed = entries, asked, _told_apart([
                    _found(entry, self.home, asked) for entry in entries if entry.is_ours or not _is_part(entry)])
            return self._listed[2]

    @property
    def is_reading(self) -> bool:
        """True while headers are read in the background: the list still grows."""
        return self._model.shelf.is_reading

    def find(self, key: str) -> Found:
        """The listed file that a page names. Raises UserError if it is gone."""
        found = [one for one in self.listed() if one.key == key]
        if not found:
            raise UserError("That file is not here any more.")
        return found[0]

    def is_in_use(self, found: Found) -> bool:
        """True for the model that is loaded, or being loaded."""
        chosen = self._model.state.chosen       # it may have been named by a link to the file
        return chosen is not None and os.path.realpath(chosen) == os.path.realpath(found.path)

    def use(self, key: str) -> None:
        """Begin to load a listed file. Raises UserError if it can not be talked to."""
        found = self.find(key)
        if found.problem or not found.can_chat:
            raise UserError(found.problem or NO_TEMPLATE.format(found.file))
        name = next((model.name for model in self._model.listed() if model.path == found.path), None)
        if name is None:
            raise UserError(f"{found.file} is still being looked at; try again in a moment.")
        self._model.choose(name)

    def depending(self, found: Found) -> list[str]:
        """The runs whose settings or adapters name this file."""
        names = {str(found.path), found.path.stem, found.path.name, str(full_path(found.path)), *found.names[:2]}
        return [folder.name for folder in sorted((self.home / "runs").glob("*")) if folder not in found.path.parents
                and any(_named(path) & names for path in _notes(folder))]

    def going(self, found: Found) -> tuple[Path, ...]:
        """What deleting it would delete: all its parts, and its projector where no other model here sees with that.

        A model in the same folder whose header is still to be read may see with it.
        """
        projector = found.projector
        if projector is None or not removal.is_ours(projector):
            return found.files
        others = [one for one in self.listed() if one.key != found.key]
        is_shared = any(one.projector and os.path.realpath(one.projector) == os.path.realpath(projector)
                        or one.is_unread and one.path.parent == found.path.parent for one in others)
        return found.files if is_shared else (*found.files, projector)

    def delete(self, key: str) -> int:
        """Delete a listed file with what goes with it; returns how many bytes that freed.

        Raises UserError for the embedded model, another program's, the one in use or its projector, and one that an
        unfinished job reads.
        """
        found = self.find(key)
        self._refuse(found)
        busy = {job.folder.name for job in self._jobs.all() if not job.is_over}
        for name in self.depending(found):
            if name in busy:
                raise UserError(f"The job {name} reads {found.file}; wait for its end, or stop it first.")
        return sum(removal.remove(path) for path in reversed(self.going(found)))    # the first part last

    def _refuse(self, found: Found) -> None:
        if found.place == "embedded":
            raise UserError("The embedded model belongs to Galen itself and can not be deleted.")
        if not found.is_ours:
            raise UserError(f"{found.file} belongs to {found.place}, and Galen deletes nothing of other programs; "
                            "delete it there.")
        if self.is_in_use(found):
            raise UserError(f"{found.file} is the model in use; choose another one first.")
        info = self._model.state.info
        if info and info.projector and Path(info.projector) in (found.path, *self.going(found)):
            raise UserError(f"The model in use sees with {Path(info.projector).name}; choose another one first.")

    def new_file(self, told: str) -> Path:
        """Where an uploaded model will lie, under a name of ours. Raises UserError for another kind of file."""
        name = Path(told.replace("\\", "/")).name
        if not name.lower().endswith(ENDING):
            raise UserError("Only GGUF files can be added here; choose one whose name ends in .gguf.")
        stem = re.sub(r"[^\w.+-]+", "-", name[:-len(ENDING)]).strip("-.") or "model"
        number = PART.search(stem)              # of one part of a model: without it nothing finds the part again
        stem = f"{stem[:number.start()][:LONGEST_NAME]}{number[0]}" if number else stem[:LONGEST_NAME]
        return next(one for k in range(1, 1000)
                    if not (one := self.home / f"{stem}{f'-{k}' if k > 1 else ''}{ENDING}").exists())

    def take(self, part: Path, to: Path) -> None:
        """Give an uploaded file its name, once it is seen to be a sound GGUF. Raises UserError if it is not.

        A file that got that name while it was on its way stays: it then has the next one that is free.
        """
        try:
            read_header(part)
        except UserError as error:
            raise UserError(str(error).replace(part.name, to.name)) from error
        with self._lock:
            os.replace(part, self.new_file(to.name))


def _found(entry: Entry, home: Path, asked_ctx_tokens: int) -> Found:
    place, facts = _place(entry, home), entry.facts
    file = shown(entry.spot.name or entry.path.name)
    key = file if place == "models folder" else f"{place}/{file}" if not entry.spot.repo else (
        f"{place}/{entry.spot.repo}/{file}")
    problem = entry.problem or _no_template(entry, file)
    if _is_part(entry) and facts and not problem:
        problem = f"{file} is {library.PARTS[facts.kind]}, no model that can be talked to."
    if problem or facts is None:
        return Found(key=key, path=entry.path, file=file, place=place, bytes=entry.bytes, problem=problem,
                     is_ours=entry.is_ours, is_unread=not entry.is_read, repo=entry.spot.repo, files=entry.files)
    tokens = conversation_tokens(asked_ctx_tokens, facts.ctx_tokens)
    total = facts.weights_bytes or 1
    shares = sorted(((name, count / total) for name, count in facts.types.items()), key=lambda one: -one[1])
    names = (library.name_of(entry), file, *facts.names, entry.spot.repo, *entry.spot.also)
    return Found(
        key=key, path=entry.path, file=file, place=place, bytes=entry.bytes, title=facts.name, types=tuple(shares),
        licence=facts.licence, ctx_tokens=facts.ctx_tokens, parameters=facts.parameters, can_chat=entry.can_chat,
        can_see=entry.projector is not None, uses_ctx_tokens=tokens, notice=library.notice_of(facts.name),
        memory_mb=_memory_mb(_header(entry, facts), facts.weights_bytes, facts.parameters, tokens, entry.projector),
        is_ours=entry.is_ours, repo=entry.spot.repo, names=tuple(dict.fromkeys(one for one in names if one)),
        files=entry.files, projector=entry.projector, weights_bytes=facts.weights_bytes,
        is_made=entry.path.is_relative_to(home / "runs"))


def _is_part(entry: Entry) -> bool:
    """True for an adapter, a projector or an importance matrix, as the file itself says."""
    return entry.facts is not None and entry.facts.kind in library.PARTS


def _told_apart(listed: list[Found]) -> list[Found]:
    """The same with a key of its own for each."""
    count = Counter(one.key for one in listed)
    return [one if count[one.key] == 1 else replace(one, key=str(one.path)) for one in listed]


def _no_template(entry: Entry, file: str) -> str:
    """Why a model of Ollama's can not be talked to, where its template is all that is missing."""
    facts = entry.facts
    is_silent = facts and not entry.can_chat and not facts.can_embed
    return GO_TEMPLATE.format(file) if is_silent and entry.spot.has_go_template else ""


def _header(entry: Entry, facts: Facts) -> Header:
    """As much of the header as the reckoning of memory asks for."""
    return Header(path=entry.path, bytes=entry.bytes, metadata=facts.keys, tensors=(), special_tokens={})


def memory_mb(header: Header, ctx_tokens: int, projector: Path | None = None) -> int:
    """About what a loaded model takes: its tensors, a cache for conversations of ctx_tokens, its eyes, the process."""
    weights = sum(tensor.bytes for tensor in header.tensors)
    return _memory_mb(header, weights, header.parameters, ctx_tokens, projector)


def _memory_mb(header: Header, weights: int, parameters: int, ctx_tokens: int, projector: Path | None) -> int:
    cells = pool_cells(header, 8, ctx_tokens)
    try:
        seeing = projector.stat().st_size if projector else 0
    except OSError:
        seeing = 0                              # deleted a moment ago
    width = header.metadata.get(f"{header.architecture}.embedding_length")
    words = min(USUAL_WORDS, parameters // width) if isinstance(width, int) and width > 0 else USUAL_WORDS
    working = working_bytes(parameters, words)          # a small model can not have the usual vocabulary
    return round((weights + seeing + cache_bytes_per_token(header) * cells + working) / 1e6)


def missing_mb(found: Found) -> int:
    """How many MB are missing to load it beside what runs now; 0: it fits."""
    return max(0, found.memory_mb + RESERVE_MB - machine().free_mb)


def _place(entry: Entry, home: Path) -> str:
    if entry.spot.program:
        return entry.spot.program
    if entry.spot.rank == EMBEDDED:
        return "embedded"
    folder = entry.path.parent
    inside = folder.relative_to(home) if folder.is_relative_to(home) else folder
    parts = [part for part in inside.parts if part not in ("runs", runs.EXPORT)]
    place = shown("/".join(parts))
    return f"models folder/{place}" if place in ("embedded", "models folder") else place or "models folder"


def _notes(run: Path) -> Iterator[Path]:
    yield run / runs.CONFIG
    yield run / runs.ADAPTER / runs.BASE
    yield from run.glob(f"{runs.STAGES}/*/{runs.ADAPTER}/{runs.BASE}")


def _named(path: Path) -> set[str]:
    """The models that a run's settings or an adapter's note name."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    found = [values.get(key) for key in NAMING] if isinstance(values, dict) else []
    return {one for value in found for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)}
