"""The models of this computer for the command line: what is here, what the catalog offers, adding and deleting."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models import library, runs
from models.catalog import catalog
from models.errors import UserError
from models.header import read_header
from runtime.session import Session
from ui.actions.fits import Machine
from ui.actions.measuring import Measuring
from ui.actions.model import CurrentModel
from ui.actions.models import Found, Models
from ui.job_list import JobView, look_at
from ui.settings import SettingsFile

LOOK_S, MEASURED_S = 0.1, 8.0


def here() -> list[dict[str, Any]]:
    """What can be chatted with."""
    return [{"name": one.name, "title": one.title, "path": str(one.path), "notice": one.notice, "place": one.place,
             "is_ours": one.is_ours} for one in library.chat_models()]


def available() -> list[dict[str, Any]]:
    """What the catalog offers, with what of it fits this machine. The hub is not asked."""
    found = []
    with machine_here() as machine:
        for entry in catalog():
            files = entry.ggufs[0].files if entry.ggufs else ()
            types = [{"type": one.type, "bytes": one.bytes, "fits": machine.for_file(one.bytes, entry, one.type).words}
                     for one in files]
            found.append({"id": entry.id, "title": entry.title, "types": types, "licence": entry.licence,
                          "licence_url": entry.licence_url, "is_gated": entry.is_gated, "hub_id": entry.hub_id,
                          "good_for": entry.good_for})
    return found


@contextmanager
def machine_here() -> Iterator[Machine]:
    """What this computer can hold; its speed is known, unless it is busy with something else."""
    model, settings = _nobody()
    machine = Machine(model, settings, Measuring(lambda: model.is_busy, start_s=0.0))
    until = time.monotonic() + MEASURED_S
    while machine.recommended() is None and time.monotonic() < until:
        time.sleep(LOOK_S)
    try:
        yield machine
    finally:
        machine.close()


def name_of(files: Sequence[str]) -> str:
    """What a fetched model is called here; "" if it can not be talked to."""
    paths = {Path(name).resolve() for name in files}
    return next((one.name for one in library.chat_models() if one.path.resolve() in paths), "")


def add(file: Path) -> Path:
    """Put a GGUF into the models folder: linked where that is one disk, else copied. Returns its place there.

    Raises UserError for what is no sound GGUF.
    """
    file = Path(os.path.expanduser(file))
    if not os.path.isfile(file):
        raise UserError(f"There is no file {file}; give the path of a GGUF.")
    models = _models()
    if file.resolve().parent == models.home:
        raise UserError(f"{file.name} lies in the models folder already.")
    to = models.new_file(file.name)
    runs.make_folder(models.home)
    with runs.whole_file(to) as part:
        part.unlink(missing_ok=True)
        try:
            os.link(file.resolve(), part)
        except OSError:                         # another disk, or one without links
            shutil.copyfile(file, part)
        _check(part, to.name)
    return to


def _check(part: Path, name: str) -> None:
    try:
        read_header(part)
    except UserError as error:
        raise UserError(str(error).replace(part.name, name)) from error


def remove(name: str) -> tuple[int, list[str]]:
    """Delete the model called name: bytes freed, and the runs that name it. UserError for what Galen may not delete."""
    models = _models()
    found = _called(name, models.listed())
    needed_by = models.depending(found)
    return models.delete(found.key), needed_by


def _called(name: str, listed: Sequence[Found]) -> Found:
    path = Path(os.path.realpath(os.path.expanduser(name)))
    found = [one for one in listed if name in (one.key, one.file, *one.names[:1]) or one.path == path]
    if not found:
        raise UserError(f"There is no model {name!r} here; python launcher.py models lists what there is.")
    if len(found) > 1:
        raise UserError(f"There are {len(found)} models called {name}; name one by its path: "
                        f"{', '.join(str(one.path) for one in found)}.")
    return found[0]


def _nobody() -> tuple[CurrentModel, SettingsFile]:
    """No model in use, under the settings of this folder."""
    settings = SettingsFile(runs.home())
    return CurrentModel(Session(), settings), settings


def _models() -> Models:
    model, settings = _nobody()
    models = Models(runs.home(), settings, model, _Jobs())
    models.listed()
    while models.is_reading:
        time.sleep(LOOK_S)
    return models


class _Jobs:
    """The jobs of this folder, of which none is started here."""

    def all(self) -> list[JobView]:
        """Every job."""
        return look_at(runs.home())
