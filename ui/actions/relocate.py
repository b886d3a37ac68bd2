"""The folder moved to another disk: copied and verified while Galen runs, put to use by the next start.

Until the last step, one small file written in the old folder, the old folder is the one that counts, and is whole.
"""

import hashlib
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

from models import runs
from models.errors import UserError
from ui.actions import backup
from ui.actions.space import BACKUPS, REPLACED, files_in, tree_bytes
from ui.chore import Progress
from ui.history import FILE as HISTORY
from ui.history import History

NAME = "Galen"                  # the folder that is made in a place
PLAN = "move.json"              # in the old folder: {"to"}; the next start finishes it
FROM = "moved-from.json"        # in the new folder: {"from"}
COPY = ".part"                  # ends the name of the copy until it is complete
CHUNK = 1 << 20
UNFIT = ("/boot", "/proc", "/sys", "/dev", "/run/", "/snap", "/etc")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the folder could be moved to."""
    folder: Path
    free: int


def places(home: Path) -> list[Place]:
    """The person's own folder and every disk that can be written to, each with a folder of our name in it."""
    roots = [Path(os.path.expanduser("~")), *(Path(part.mountpoint) for part in psutil.disk_partitions())]
    found: dict[Path, Place] = {}
    for root in roots:
        folder = root / NAME
        is_fit = root.is_dir() and os.access(root, os.W_OK) and not str(root).startswith(UNFIT)
        if is_fit and folder not in home.parents and folder != home and not folder.exists():
            found[folder] = Place(folder=folder, free=shutil.disk_usage(root).free)
    return list(found.values())


def find(home: Path, name: str) -> Path:
    """The place called name. Raises UserError if it is none of those that are offered."""
    known = {str(place.folder): place.folder for place in places(home)}
    if name not in known:
        raise UserError("That place is not there any more; choose another one.")
    return known[name]


def copy(home: Path, history: History, to: Path, progress: Progress) -> None:
    """Copy the whole folder to TO.part, read every file back, and leave the rest to the next start.

    Raises UserError if the disk has no room; a copy that was not finished is deleted.
    """
    part = _part(to)
    if part.exists():                           # of a start that was killed
        shutil.rmtree(part)
    files = _files(home)
    total = sum(path.stat().st_size for path in files)
    if total > shutil.disk_usage(to.parent).free:
        raise UserError(f"The folder takes {total / 1e9:.1f} GB and {to.parent} has too little room; choose another "
                        "place, or delete something first.")
    try:
        runs.make_folder(part)
        progress.begin("Copying and reading back", 2 * total)
        for path in files:
            _copy_file(path, part / path.relative_to(home), progress)
        history.copy(part / HISTORY)
        runs.write_json(home / PLAN, {"to": str(to)})
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(f"The folder could not be copied to {to} ({error.strerror}); it stays here.") from error
        raise


def waits_for(home: Path) -> Path | None:
    """Where the next start will move the folder; None if nothing waits."""
    return Path(runs.read_json(home / PLAN)["to"]) if (home / PLAN).is_file() else None


def forget(home: Path) -> None:
    """Do not move; the copy is deleted."""
    to = waits_for(home)
    (home / PLAN).unlink(missing_ok=True)
    if to and _part(to).exists():
        shutil.rmtree(_part(to))


def settle(home: Path) -> Path:
    """Finish what a restore and a move left to this start; returns the folder to use from now on."""
    backup.finish(home)
    return finish(home)


def finish(home: Path) -> Path:
    """Put a waiting move to use, before anything in home is open; returns the folder to use from now on.

    What changed since the copy is copied again. A kill in the middle goes on at the next start. While the other disk
    is away, home stays.
    """
    to = waits_for(home)
    if to is None or not to.parent.is_dir():
        return home
    part = _part(to)
    if part.is_dir():
        _catch_up(home, part)
        runs.write_json(part / FROM, {"from": str(home)})
        part.replace(to)
    if not to.is_dir():                         # somebody deleted the copy
        forget(home)
        return home
    runs.write_json(home / runs.MOVED_TO, {"to": str(to)})
    (home / PLAN).unlink()
    return to


def old_folder(home: Path) -> Path | None:
    """The folder that home was moved from, as long as it still holds a copy."""
    if not (home / FROM).is_file():
        return None
    old = Path(runs.read_json(home / FROM)["from"])
    has_pointer = (old / runs.MOVED_TO).is_file() and runs.read_json(old / runs.MOVED_TO)["to"] == str(home)
    return old if has_pointer and any(one.name != runs.MOVED_TO for one in old.iterdir()) else None


def delete_old(home: Path) -> int:
    """Delete what the old folder still holds, but the note that says where it is now; returns the bytes freed."""
    old = old_folder(home)
    if old is None:
        raise UserError("There is no old folder any more.")
    freed = tree_bytes(old)
    for one in old.iterdir():
        if one.name != runs.MOVED_TO:
            shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
    return freed - tree_bytes(old)


def _part(to: Path) -> Path:
    return to.with_name(to.name + COPY)


def _catch_up(home: Path, part: Path) -> None:
    """Make part what home is now. Nothing else runs."""
    silent = Progress(lambda words, share: None, threading.Event())
    files, links = [*_files(home), *home.glob(HISTORY + "*")], _links(home)
    names = {path.relative_to(home) for path in files}
    for there in [*files_in(part), *_links(part)]:
        if there.is_symlink() or there.relative_to(part) not in names:
            there.unlink(missing_ok=True)
    for link in links:
        there = part / link.relative_to(home)
        runs.make_folder(there.parent)
        there.symlink_to(os.readlink(link))
    for path in files:
        there = part / path.relative_to(home)
        if path.name.startswith(HISTORY) or _state(path) != _state(there):
            there.unlink(missing_ok=True)
            _copy_file(path, there, silent)


def _files(home: Path) -> list[Path]:
    """What is copied, but for the conversations and links."""
    return [*backup.kept_files(home), *files_in(home / BACKUPS), *files_in(home / REPLACED)]


def _links(folder: Path) -> list[Path]:
    """The links under folder: a model that lies elsewhere."""
    return [path for parent, folders, names in os.walk(folder) for name in (*folders, *names)
            if (path := Path(parent, name)).is_symlink()]


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return -1, 0
    return found.st_size, int(found.st_mtime)   # whole seconds: some disks keep no more


def _copy_file(path: Path, to: Path, progress: Progress) -> None:
    """Copy one file and its times, and hold what can be read there against what was read here."""
    runs.make_folder(to.parent)
    with path.open("rb") as source, to.open("wb") as into:
        digest = hashlib.sha256()
        while block := source.read(CHUNK):
            into.write(block)
            digest.update(block)
            progress.add(len(block))
        into.flush()
        os.fsync(into.fileno())
    shutil.copystat(path, to)
    again = hashlib.sha256()
    with to.open("rb") as source:
        while block := source.read(CHUNK):
            again.update(block)
            progress.add(len(block))
    if digest.digest() != again.digest():
        raise UserError(f"{to} is not what was copied there; that disk is not sound. Nothing was changed.")
