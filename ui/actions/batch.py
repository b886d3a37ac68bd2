"""A task over a file as a job: started, found again after a kill, gone on with."""

import importlib.util
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from corpus.config import DataConfig
from corpus.read import fingerprint
from evaluation.batch import output
from evaluation.batch.config import FREE, BatchConfig, from_json
from models import knobs, runs
from models.errors import UserError
from ui import jobs

MODULE = "evaluation.batch.worker"
Config = TypeVar("Config", bound=BatchConfig)
Started = tuple[Path, subprocess.Popen | None, int]         # its folder, its process if we have it, older events' end


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user says of any task, as words. columns: "abstract=Text"; assignments: "threshold=0.4"."""

    file: str
    out: str = ""
    model: str = ""
    columns: Sequence[str] = ()
    assignments: Sequence[str] = ()


def config_of(cls: type[Config], wishes: Wishes, settings: Mapping[str, Any]) -> Config:
    """The task that is wished for, files as absolute paths; settings: what was said of this task alone, None = not.

    Raises UserError for what does not fit, a missing file included.
    """
    if not wishes.file:
        raise UserError("Name the file with the rows, as --in FILE.")
    values: dict[str, Any] = {name: value for name, value in settings.items() if value not in (None, "", ())}
    values |= knobs.parse(cls, list(wishes.assignments))
    values |= {"file": existing(wishes.file), "columns": tuple(wishes.columns)}
    if wishes.model:
        values["model"] = absolute(wishes.model)
    if wishes.out:
        values["out"] = str(runs.typed(wishes.out).resolve())
    config = knobs.from_json(cls, values)
    DataConfig(columns=config.columns, sheet=config.sheet)              # says what is wrong with columns by hand
    form = output.form_of(output.out_path(config), Path(config.file))
    if importlib.util.find_spec("pyarrow") is None and "parquet" in (form.kind, Path(config.file).suffix.lower()[1:]):
        raise UserError("Parquet needs the packages for training; get them with: python launcher.py setup --all")
    return config


def absolute(path: str) -> str:
    """The absolute path of what is a file or a folder here; any other name as it is."""
    full = runs.typed(path)
    return str(full.resolve()) if full.exists() else path


def existing(path: str) -> str:
    """The absolute path of a file or folder that must be here, "" for none. Raises UserError if it is not."""
    if path and not runs.typed(path).exists():
        raise UserError(f"There is no file {path}.")
    return absolute(path) if path else ""


def start(config: BatchConfig, at: str = "") -> Started:
    """Start the task in a new run folder (at, or one in home()/runs); or go on where the same task was interrupted.

    A task of the same config that still runs is returned as it is.
    """
    folder = runs.typed(at).resolve() if at else None
    if folder is None or _is_of(folder, config):
        found = folder or _interrupted(config)
        if found:
            return _again(found, config)
    folder = runs.new_run(str(knobs.to_json(config)["task"]), at)
    return folder, jobs.start(MODULE, folder, config), 0


def resume(name: str, out: str = "") -> Started:
    """Go on with the task in a folder (its path, or its name in home()/runs). Raises UserError if it is finished."""
    folder = next((one.resolve() for one in (runs.typed(name), runs.home() / "runs" / name)
                   if (one / runs.CONFIG).is_file()), None)
    if folder is None:
        raise UserError(f"There is no run folder {name}; give the one that was named when it began.")
    values = runs.read_json(folder / runs.CONFIG)
    config = from_json({**values, "out": str(runs.typed(out).resolve())} if out else values)
    if (folder / runs.RESULT).is_file() and not out:
        written = runs.read_json(folder / runs.RESULT)["out"]
        raise UserError(f"The run in {folder} is finished; its rows are in {written}.")
    return _again(folder, config)


def _again(folder: Path, config: BatchConfig) -> Started:
    if jobs.is_running(folder):
        return folder, None, 0
    (folder / runs.STOP).unlink(missing_ok=True)
    events = folder / runs.EVENTS
    seen = events.stat().st_size if events.is_file() else 0
    return folder, jobs.start(MODULE, folder, config), seen


def _interrupted(config: BatchConfig) -> Path | None:
    """The newest run in home()/runs that began this very task, on this very file, and has not finished it."""
    task = knobs.to_json(config)["task"]
    folders = sorted((runs.home() / "runs").glob(f"{task}-*"), key=lambda one: one.name, reverse=True)
    unfinished = (one for one in folders if not (one / runs.RESULT).exists() and _is_of(one, config))
    return next((one for one in unfinished if _began_with(one, config)), None)


def _is_of(folder: Path, config: BatchConfig) -> bool:
    """Whether the folder's task is config's, but for what a task that goes on may change."""
    path = folder / runs.CONFIG
    if not path.is_file():
        return False
    there, wanted = runs.read_json(path), knobs.to_json(config)
    return isinstance(there, dict) and all(there.get(name) == value for name, value in wanted.items()
                                           if name not in FREE)


def _began_with(folder: Path, config: BatchConfig) -> bool:
    """Whether the file is still the one that the folder's rows are of."""
    path = folder / runs.STARTED
    return not path.is_file() or runs.read_json(path)["file"] == fingerprint(config.file, DataConfig())
