"""Deleting a model's files: those of the user's folder, and what Galen fetched into the shared Hugging Face cache."""

import os
from pathlib import Path

from models import fetched
from models.elsewhere.hf_cache import snapshot_of
from models.errors import UserError


def remove(path: Path) -> int:
    """Delete one file; returns how many bytes that freed.

    A file of the shared cache goes with the names and notes of all versions for which Galen fetched it; where another
    program has it under a version of its own, that name and the file stay.
    Raises UserError if something keeps it.
    """
    try:
        size = path.stat().st_size
        snapshot = snapshot_of(path)
        if snapshot is None:
            path.unlink()
            return size
        real = Path(os.path.realpath(path))
        links, noted = _links(snapshot.parent, real), fetched.notes()
        ours = [link for link in links if fetched.is_ours(link, noted)]
        for link in ours:
            link.unlink()
            fetched.forget(link)
            _prune(link.parent, snapshot.parent)
        if len(ours) < len(links):
            return 0
        real.unlink(missing_ok=True)            # last: what is cut off here leaves no link that leads nowhere
    except FileNotFoundError:
        return 0                                # somebody else was quicker
    except OSError as error:
        raise UserError(f"{path.name} could not be deleted ({error.strerror}); close what has it open.") from error
    return size


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
