"""The hidden folder an export works in, beside its output; those of dead exports are removed."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from models import runs
from models.errors import UserError

OWNER = "owner.json"            # {"pid", "started": seconds since 1970} of the process that made the folder
OWNERLESS_S = 3600              # how long a folder without one is left alone


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """A new folder inside beside, removed at the end: one export at a time has one.

    Raises UserError if beside can not be written to, or another export works in it.
    """
    runs.make_folder(beside)
    remove_stale(beside)
    try:
        folder = runs.scratch_folder(beside)
    except OSError as error:
        raise UserError(f"The folder {beside} can not be written to ({error.strerror}); "
                        "choose another place.") from error
    with folder as name:
        runs.write_json(Path(name) / OWNER, {"pid": os.getpid(), "started": psutil.Process().create_time()})
        # each writes its own name before it looks: of two that start together at least one sees the other
        if any((other / OWNER).is_file() and _is_used(other)
               for other in beside.glob(".galen-*") if other != Path(name)):
            raise UserError(f"Another export is writing into {beside}; wait until it has ended, or choose another "
                            "folder.")
        yield Path(name)


def remove_stale(beside: Path) -> None:
    """Remove scratch folders whose process is no more (killed, or the machine was switched off)."""
    for folder in beside.glob(".galen-*"):
        if folder.is_dir() and not folder.is_symlink() and not _is_used(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_used(folder: Path) -> bool:
    """True while the process that owns it lives; one that says no owner may be about to, or is of another job."""
    owner = folder / OWNER
    with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError, TypeError):
        if not owner.is_file():
            return time.time() - folder.stat().st_mtime < OWNERLESS_S
        values = json.loads(owner.read_text(encoding="utf-8"))
        return abs(psutil.Process(values["pid"]).create_time() - values["started"]) < 1
    return False
