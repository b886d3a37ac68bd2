"""Where a file of the hub lies in Hugging Face's shared cache: placed there once, linked by the hub's own library."""

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models import parts, runs
from models.errors import UserError

INSIDE = re.compile(r"[^\\:\x00-\x1f]+")
COPYING = ".galen.incomplete"   # ends the name of a copy that is not whole yet, from another disk
COPIED_BYTES = 1 << 20          # at a time
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One file of one version of a repository; etag: what the hub calls its content."""
    repo: str
    commit: str
    name: str
    bytes: int
    etag: str = ""              # "" until the hub was asked

    def __post_init__(self) -> None:
        if self.etag:
            parts.check_etag(self.etag)
        if not COMMIT.fullmatch(self.commit):
            raise UserError(f"What answered for {self.repo} names no version of it; it is no hub, or HF_ENDPOINT is "
                            "wrong.")
        if not INSIDE.fullmatch(self.name) or self.name.startswith("/") or ".." in PurePosixPath(self.name).parts:
            raise UserError(f"{self.repo} holds a file named {self.name!r}, which would lie outside its folder; it is "
                            "not fetched.")


def root() -> Path:
    """The shared cache: HF_HUB_CACHE, or as HF_HOME says."""
    from huggingface_hub import constants
    return Path(os.path.realpath(os.path.expanduser(constants.HF_HUB_CACHE)))     # which stand links in a circle


def lock(wanted: Wanted) -> Path:
    """The lock that the hub's own library takes while it fetches that content."""
    return root() / ".locks" / _repo(wanted.repo).name / f"{wanted.etag}.lock"


def snapshot(repo: str, commit: str) -> Path:
    """The folder in which the files of that version have their names."""
    return _repo(repo) / "snapshots" / commit


def pointer(wanted: Wanted) -> Path:
    """Where the file has its name."""
    return snapshot(wanted.repo, wanted.commit) / wanted.name


def is_linked(wanted: Wanted) -> bool:
    """True if the file is here under its name; the hub's library then asks for nothing more."""
    return _bytes(pointer(wanted)) == wanted.bytes


def is_here(wanted: Wanted) -> bool:
    """True if the file or, under another name, its content is here."""
    return is_linked(wanted) or bool(wanted.etag) and _bytes(_blob(wanted.repo, wanted.etag)) == wanted.bytes


def place(part: Path, wanted: Wanted) -> None:
    """Move a verified file into the cache, where its content appears whole or not at all; it has no name there yet."""
    to = _blob(wanted.repo, wanted.etag)
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(part, to)
    except OSError as error:
        if error.errno != errno.EXDEV:          # another disk
            raise
        copy = to.with_name(f"{to.name}{COPYING}")
        try:
            with part.open("rb") as source, copy.open("wb") as file:
                shutil.copyfileobj(source, file, COPIED_BYTES)
                os.fsync(file.fileno())         # before the part goes
        except OSError:
            copy.unlink(missing_ok=True)        # the disk is full, and this is what fills it
            raise
        os.replace(copy, to)
        part.unlink()


def link(wanted: Wanted, token: str | bool) -> Path:
    """Have the hub's library give the placed file its name; returns that path.

    Where there are no symbolic links (Windows without the developer mode) it would copy; there the file moves.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.file_download import are_symlinks_supported
    blob, named = _blob(wanted.repo, wanted.etag), pointer(wanted)
    if not is_linked(wanted) and wanted.etag and blob.is_file():
        named.unlink(missing_ok=True)           # half a file: the hub's library would take it as it is
        if not are_symlinks_supported(root()):
            named.parent.mkdir(parents=True, exist_ok=True)
            os.replace(blob, named)
    return Path(hf_hub_download(wanted.repo, wanted.name, revision=wanted.commit, token=token))


def drop_nameless(repo: str, etag: str) -> None:
    """Delete that content if it lies there without a name, whole or as a copy that a kill has cut off."""
    blob = _blob(repo, etag)
    named = {path.resolve() for path in (_repo(repo) / "snapshots").rglob("*") if path.is_symlink()}
    for path in (blob, blob.with_name(f"{blob.name}{COPYING}")):
        if path.is_file() and path.resolve() not in named:
            path.unlink()


def remember(repo: str, revision: str, commit: str) -> None:
    """Note which version a name like "main" is now, as the hub's library does; without it no name leads there."""
    if revision == commit:
        return
    at = _repo(repo) / "refs" / revision
    if at.is_file() and at.read_text() == commit:       # the cache may be one that can not be written
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    with runs.whole_file(at) as part:
        part.write_text(commit)


def _repo(repo: str) -> Path:
    from huggingface_hub.file_download import repo_folder_name
    return root() / repo_folder_name(repo_id=repo, repo_type="model")


def _blob(repo: str, etag: str) -> Path:
    return _repo(repo) / "blobs" / etag


def _bytes(path: Path) -> int:
    """-1 if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
