"""Which files of the shared Hugging Face cache Galen fetched itself: only those may be deleted here."""

import hashlib
from pathlib import Path

from models import runs
from models.elsewhere.hf_cache import snapshot_of

FOLDER = "downloads"            # in the user's folder: one small file for each


def add(repo: str, revision: str, file: str) -> None:
    """Note that Galen fetched a file. revision: the commit, as the snapshot's folder is called."""
    note = _note(repo, revision, file)
    runs.make_folder(note.parent)
    runs.write_json(note, {"repo": repo, "revision": revision, "file": file})


def forget(path: Path) -> None:
    """Take the note back: the file at path is deleted."""
    place = _place(path)
    if place:
        _note(*place).unlink(missing_ok=True)


def notes() -> frozenset[str]:
    """The names of all notes, for many questions at once."""
    try:
        return frozenset(one.name for one in (runs.home() / FOLDER).iterdir())
    except OSError:
        return frozenset()


def is_ours(path: Path, noted: frozenset[str] | None = None) -> bool:
    """True for the path of a file in a snapshot that Galen fetched. noted: what notes() said."""
    place = _place(path)
    return place is not None and _note(*place).name in (notes() if noted is None else noted)


def _place(path: Path) -> tuple[str, str, str] | None:
    """Repository, revision and file of a path in a snapshot of the cache; None for any other path."""
    snapshot = snapshot_of(path)
    if snapshot is None:
        return None
    repo = snapshot.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
    return repo, snapshot.name, path.relative_to(snapshot).as_posix()


def _note(repo: str, revision: str, file: str) -> Path:
    key = hashlib.sha256(f"{repo}\n{revision}\n{file}".encode()).hexdigest()
    return runs.home() / FOLDER / f"{key[:32]}.json"
