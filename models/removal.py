"""Deleting a model's files: those of the user's folder, and what Galen fetched into the shared Hugging Face cache."""

import os
import stat
from pathlib import Path

from models import fetched
from models.elsewhere.hf_cache import snapshot_of
from models.errors import UserError

KEPT = ("That frees no space: the file itself lies somewhere else, or has another name by which another folder or "
        "program keeps it.")


def remove(path: Path) -> int:
    """Delete one file; returns how many bytes that freed.

    A file of the shared cache goes with the names and notes of all versions for which Galen fetched it; where another
    program has it under a version of its own, that name and the file stay.
    Raises UserError if something keeps it.
    """
    try:
        size, snapshot = frees(path), snapshot_of(path)
        if snapshot is None:
            path.unlink()
            return size
        real, noted = Path(os.path.realpath(path)), fetched.notes()
        links = _links(snapshot.parent, real)
        ours = [link for link in links if fetched.is_ours(link, noted)]
        for link in ours:
            link.unlink()
            fetched.forget(link)
            _prune(link.parent, snapshot.parent)
        if len(ours) == len(links):
            real.unlink(missing_ok=True)        # last: what is cut off here leaves no link that leads nowhere
    except FileNotFoundError:
        return 0                                # somebody else was quicker
    except OSError as error:
        raise UserError(f"{path.name} could not be deleted ({error.strerror}); close what has it open.") from error
    return size


def frees(path: Path) -> int:
    """The bytes that deleting a file would free: 0 for a link, and for a file that has another name, which stays."""
    snapshot, real = snapshot_of(path), Path(os.path.realpath(path))
    try:
        state = (real if snapshot else path).lstat()
    except OSError:
        return 0
    noted = fetched.notes()
    is_last = stat.S_ISREG(state.st_mode) and state.st_nlink == 1 and (
        snapshot is None or all(fetched.is_ours(link, noted) for link in _links(snapshot.parent, real)))
    return state.st_size if is_last else 0


def told(freed: int, size: str) -> str:
    """What a person is told of a deletion that frees so many bytes; size: the same in words."""
    return f"{size} freed." if freed else f"Deleted. {KEPT}"


def is_ours(path: Path) -> bool:
    """False for a file of the shared cache that Galen did not fetch: nothing else there may be deleted."""
    return snapshot_of(path) is None or fetched.is_ours(path)


def _links(snapshots: Path, real: Path) -> list[Path]:
    """Every name of one file in the snapshots of its repository."""
    return [path for path in snapshots.rglob("*") if not path.is_dir() and os.path.realpath(path) == str(real)]


def _prune(folder: Path, above: Path) -> None:
    """Remove folders that became empty."""
    while folder != above and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
