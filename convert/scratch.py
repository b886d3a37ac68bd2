"""The hidden folder an export works in, beside its output; those of dead exports are removed."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from models import runs
from models.errors import UserError

OWNER = "owner.json"            # {"pid", "started": seconds since 1970} of the process that made the folder


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """A new folder inside beside, removed at the end. Raises UserError if beside can not be written to."""
    runs.make_folder(beside)
    remove_stale(beside)
    try:
        folder = runs.scratch_folder(beside)
    except OSError as error:
        raise UserError(f"The folder {beside} can not be written to ({error.strerror}); "
                        "choose another place.") from error
    with folder as name:
        runs.write_json(Path(name) / OWNER, {"pid": os.getpid(), "started": psutil.Process().create_time()})
        yield Path(name)


def remove_stale(beside: Path) -> None:
    """Remove scratch folders whose process is no more (killed, or the machine was switched off)."""
    for owner in beside.glob(f".galen-*/{OWNER}"):
        if not _is_alive(owner):
            shutil.rmtree(owner.parent, ignore_errors=True)


def _is_alive(owner: Path) -> bool:
    with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
        values = json.loads(owner.read_text(encoding="utf-8"))
        return abs(psutil.Process(values["pid"]).create_time() - values["started"]) < 1
    return False
