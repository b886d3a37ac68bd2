"""Where a file of the hub lies in Hugging Face's shared cache: placed there once, named as the hub's library does."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models import parts, runs
from models.errors import UserError

INSIDE = re.compile(r"[^\\:\x00-\x1f]+")
COPYING = ".galen.incomplete"   # ends the name of a copy that is not whole yet, from another disk
COPIED_BYTES = 1 << 20          # at a time
COMMIT = re.compile(r"[0-9a-f]{40}")
TAG = "CACHEDIR.TAG"            # tells programs that make backups to leave the cache out, as the hub's library does
TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# Cache directory tag, see http://www.brynosaurus.com/cachedir/\n"


class Lost(Exception):
    """A content that was placed has gone before it got its name, with another download's cancelling."""


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
    return _lock(wanted.repo, wanted.etag)


def snapshot(repo: str, commit: str) -> Path:
    """The folder in which the files of that version have their names."""
    return _repo(repo) / "snapshots" / commit


def pointer(wanted: Wanted) -> Path:
    """Where the file has its name."""
    return snapshot(wanted.repo, wanted.commit) / wanted.name


def disk_of(wanted: Wanted) -> Path:
    """A folder on the disk on which its content lies, or would."""
    blobs = _blob(wanted.repo, "").resolve()    # a folder of the cache may be a link to another disk
    return next(one for one in (blobs, *blobs.parents) if one.is_dir())


def is_linked(wanted: Wanted) -> bool:
    """True if a file as large as that is here under its name."""
    return _bytes(pointer(wanted)) == wanted.bytes


def is_here(wanted: Wanted) -> bool:
    """True if such a file or, under another name, its content seems to be here, by its bytes."""
    return any(_places(wanted))


def is_sound(wanted: Wanted, check: Callable[[], None]) -> bool:
    """True if the file or its content is here, and is what the hub says it is; read only once (parts.is_sound)."""
    return any(parts.is_sound(path, wanted.etag, check) for path in _places(wanted))


def is_known(wanted: Wanted) -> bool:
    """True if that was found before."""
    return any(parts.is_known(path, wanted.etag) for path in _places(wanted))


def names(wanted: Wanted) -> Iterator[Path]:
    """The links that lead to its content, in all versions."""
    blob = _blob(wanted.repo, wanted.etag).resolve()
    return (path for path in (_repo(wanted.repo) / "snapshots").rglob("*")
            if path.is_symlink() and path.resolve() == blob)


def place(part: Path, wanted: Wanted, check: Callable[[], None]) -> None:
    """Move a verified file into the cache, where its content appears whole or not at all; it has no name there yet.

    A damaged one that lies there is replaced: who has it open keeps what is open. check may raise to end a copying.
    """
    to = _blob(wanted.repo, wanted.etag)
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(part, to)
    except OSError as error:
        if error.errno != errno.EXDEV:          # another disk
            raise
        _copy(part, to, check)
        part.unlink()
    parts.remember(to, wanted.etag)


def place_twin(wanted: Wanted, check: Callable[[], None]) -> bool:
    """Place the content from another version's file that holds it: there are such where names are no links."""
    to = _blob(wanted.repo, wanted.etag)
    twin = next((path for path in parts.known(wanted.etag) if _repo(wanted.repo) in path.parents and path != to), None)
    if twin is None:
        return False
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    try:
        os.link(twin, to)
    except OSError:                             # nor are there these
        _copy(twin, to, check)
    for path in (twin, to):
        parts.remember(path, wanted.etag)
    return True


def _copy(source: Path, to: Path, check: Callable[[], None]) -> None:
    copy = to.with_name(f"{to.name}{COPYING}")
    try:
        with source.open("rb") as whole, copy.open("wb") as file:
            while data := whole.read(COPIED_BYTES):
                check()
                file.write(data)
            file.flush()
            os.fsync(file.fileno())             # before the source may go
    except BaseException:
        copy.unlink(missing_ok=True)            # the disk is full, and this is what fills it
        raise
    os.replace(copy, to)


def link(wanted: Wanted, check: Callable[[], None]) -> Path:
    """Give the placed file its name, as the hub's library does and then finds it; returns that path.

    Not by that library itself: it would ask the hub once more, and fetch, unseen, what is not there. Where there are
    no symbolic links (Windows without the developer mode) it would copy, too; there the file moves. Raises Lost.
    """
    from huggingface_hub import hf_hub_download
    blob, named = _blob(wanted.repo, wanted.etag), pointer(wanted)

    def is_named() -> bool:
        return is_linked(wanted) and parts.is_sound(named, wanted.etag, check)

    def is_given_up() -> bool:
        check()
        return False

    if not is_named():
        with parts.held(lock(wanted), is_given_up):
            if not is_named():                  # another download of the same may have been quicker
                if not blob.is_file():
                    raise Lost
                _name(blob, named, wanted.etag)
    return Path(hf_hub_download(wanted.repo, wanted.name, revision=wanted.commit, local_files_only=True))


def _name(blob: Path, named: Path, etag: str) -> None:
    from huggingface_hub.file_download import are_symlinks_supported
    named.parent.mkdir(parents=True, exist_ok=True)
    if are_symlinks_supported(root()):
        named.unlink(missing_ok=True)           # half a file, or a link that leads nowhere
        named.symlink_to(os.path.relpath(blob, named.parent))
    else:
        os.replace(blob, named)
        parts.remember(named, etag)
    with suppress(OSError), (root() / TAG).open("x", encoding="ascii") as file:
        file.write(TAG_TEXT)


def drop_nameless(repo: str, etag: str) -> None:
    """Delete that content if it lies there without a name, whole or as a copy that a kill has cut off.

    What somebody is fetching or naming at this moment is left to it.
    """
    blob = _blob(repo, etag)
    found = [path for path in (blob, blob.with_name(f"{blob.name}{COPYING}")) if path.is_file()]
    if not found:
        return
    with parts.held(_lock(repo, etag), lambda: True) as is_free:
        named = {path.resolve() for path in (_repo(repo) / "snapshots").rglob("*") if path.is_symlink()}
        for path in found:
            if is_free and path.resolve() not in named:
                path.unlink(missing_ok=True)


def remember(repo: str, revision: str, commit: str) -> None:
    """Note which version a name like "main" is now, as the hub's library does; without it no name leads there."""
    if revision == commit:
        return
    at = _repo(repo) / "refs" / revision
    if at.is_file() and at.read_bytes() == commit.encode():     # the cache may be one that can not be written
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    with runs.whole_file(at) as part:
        part.write_text(commit)


def _repo(repo: str) -> Path:
    from huggingface_hub.file_download import repo_folder_name
    return root() / repo_folder_name(repo_id=repo, repo_type="model")


def _places(wanted: Wanted) -> Iterator[Path]:
    """Where a file of its length lies: under its name, and where its content is kept."""
    named, blob = pointer(wanted), _blob(wanted.repo, wanted.etag)
    is_placed = bool(wanted.etag) and _bytes(blob) == wanted.bytes      # first: without links it goes to the other
    is_named = is_linked(wanted)
    if is_named:
        yield named
    if is_placed and not (is_named and os.path.realpath(named) == os.path.realpath(blob)):
        yield blob


def _lock(repo: str, etag: str) -> Path:
    return root() / ".locks" / _repo(repo).name / f"{etag}.lock"


def _blob(repo: str, etag: str) -> Path:
    return _repo(repo) / "blobs" / etag


def _bytes(path: Path) -> int:
    """-1 if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
