"""A file that is being fetched, on disk: what is here of it is kept over a kill, and it counts once its sum is right.

NAME.part grows from its beginning, byte after byte. NAME is what the hub calls the content (its sha256, or git's id of
a small file), so that whoever wants the same content goes on where another stopped. The parts lie in the folder of
models and runs, in cache/downloads; so does a note of each whole file whose sum was found right, which is read once.
"""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError

PARTS = "downloads"             # in the cache of the user's folder
LOCKS, SUMS = "locks", "sums"
READ_BYTES = 1 << 20            # at a time, by the thread that sums
FLUSH_BYTES = 256 << 20         # what may wait for the disk; else all of it would at the end
GIVEN_BACK_BYTES = 1 << 20
LOCK_S, LOOK_S = 0.5, 0.1
SHA256, GIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")


class Wrong(UserError):
    """What was sent is not what the hub says it is. Nothing of it is kept."""


def folder() -> Path:
    """Where parts lie; made if it is not there."""
    path = runs.home() / "cache" / PARTS
    runs.make_folder(path / LOCKS)
    return path


def check_etag(etag: str) -> None:
    """Raise UserError if what the hub calls a content is no checksum."""
    if not (SHA256.fullmatch(etag) or GIT.fullmatch(etag)):
        raise UserError(f"The server names no checksum for this file (its ETag is {etag[:80]!r}), so it can not be "
                        "verified; unset HF_ENDPOINT, or use another mirror.")


def kept_bytes(etag: str) -> int:
    """How much of that content is here."""
    try:
        return path_of(etag).stat().st_size
    except FileNotFoundError:
        return 0


def path_of(etag: str) -> Path:
    """Where its part lies, or would."""
    return folder() / f"{etag}.part"


def is_sound(path: Path, etag: str, check: Callable[[], None]) -> bool:
    """True if the file holds that content. It is read, unless that was found before and the file is the same since.

    check: called again and again; what it raises ends the reading. Raises UserError for a file that can not be read.
    """
    try:
        if is_known(path, etag):
            return True
        before = _mark(path)
        digest = _digest(etag, before[1])
        with path.open("rb", buffering=0) as file:
            while data := file.read(READ_BYTES):
                check()
                digest.update(data)
        is_right = digest.hexdigest() == etag and _mark(path) == before
    except FileNotFoundError:
        return False                            # gone meanwhile
    except OSError as error:
        raise UserError(f"{path} can not be read ({error.strerror}), so nobody knows whether it is whole; make it "
                        "readable, or set HF_HOME to another folder.") from error
    if is_right:
        remember(path, etag)
    return is_right


def is_known(path: Path, etag: str) -> bool:
    """True if the file was found to hold that content, and is the same since."""
    try:
        return _known(etag).get(os.path.realpath(path)) == _mark(path)
    except OSError:                             # gone, or on a disk that is away
        return False


def known(etag: str) -> list[Path]:
    """The files that were found to hold that content, and are the same since."""
    return [path for path in map(Path, _known(etag)) if is_known(path, etag)]


def remember(path: Path, etag: str) -> None:
    """Note that the file holds that content."""
    note = folder() / SUMS / f"{etag}.json"
    with suppress(UserError, OSError):          # without the note it is read again
        runs.make_folder(note.parent)
        kept = {name: mark for name, mark in _known(etag).items() if os.path.exists(name)}
        runs.write_json(note, {**kept, os.path.realpath(path): _mark(path)})


def _known(etag: str) -> dict[str, list[int]]:
    try:
        said = runs.read_json(folder() / SUMS / f"{etag}.json")
    except UserError:                           # not there, or damaged
        return {}
    return said if isinstance(said, dict) else {}


def _mark(path: Path) -> list[int]:
    """Changes whenever the file does: its number, bytes, times of change of its content and of its state."""
    state = path.stat()
    return [state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _digest(etag: str, total_bytes: int) -> Any:
    if SHA256.fullmatch(etag):
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % total_bytes, usedforsecurity=False)     # as git names a file


def discard(etag: str) -> bool:
    """Delete what is here of that content; False if somebody is fetching it right now, and nothing was deleted."""
    with locked(etag, lambda: True) as is_ours:
        if is_ours:
            path_of(etag).unlink(missing_ok=True)
        return is_ours


@contextmanager
def locked(etag: str, is_given_up: Callable[[], bool]) -> Iterator[bool]:
    """Hold the content against other downloads. Yields False once is_given_up says to wait no longer for another."""
    with held(folder() / LOCKS / f"{etag}.lock", is_given_up) as is_ours:
        yield is_ours


@contextmanager
def held(lock: Path, is_given_up: Callable[[], bool]) -> Iterator[bool]:
    """The same for any lock file, as the hub's library locks."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        holder = WeakFileLock(lock, timeout=LOCK_S)
        try:
            holder.__enter__()
        except Timeout:
            if is_given_up():
                yield False
                return
            continue
        break
    try:
        yield True
    finally:
        holder.__exit__(None, None, None)


class Part:
    """One content's file while it grows; a thread sums it up as it does, what was kept from before included.

    Used by one thread, which holds the content's lock. A context manager: closed at the end, and kept.
    """

    def __init__(self, etag: str, total_bytes: int):
        self.etag, self.total_bytes = etag, total_bytes
        self.path = path_of(etag)
        if kept_bytes(etag) > total_bytes:      # of no use whatever it is
            self.path.unlink()
        self._file = self.path.open("ab", buffering=0)
        self.bytes = self.kept = os.fstat(self._file.fileno()).st_size
        self._sum = _Sum(self.path, _digest(etag, total_bytes))
        self._sum.grown_to(self.bytes)
        self._summed = self.bytes

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_: object) -> None:
        self._sum.abandon()
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append. Raises Wrong if that is more than the file has, OSError if the disk is full; the rest is kept.

        A full disk gets a little back of it: others write there, too, and what is wrong is to be said somewhere.
        """
        if self.bytes + len(data) > self.total_bytes:
            raise Wrong(f"The server sent more than the {self.total_bytes:,} bytes that this file has; try again.")
        left = memoryview(data)
        while left:                             # a disk that is nearly full takes a piece
            try:
                count = self._file.write(left)
            except OSError as error:
                if runs.is_disk_full(error):
                    self._give_back()
                raise
            self.bytes += count
            left = left[count:]
        if self.bytes - self._summed >= READ_BYTES:     # the thread is not woken for each small piece
            self._sum.grown_to(self.bytes)
            self._summed = self.bytes

    def _give_back(self) -> None:
        with suppress(OSError):                 # not a plain file
            self._file.truncate(max(0, self.bytes - GIVEN_BACK_BYTES))
            self.bytes = os.fstat(self._file.fileno()).st_size

    def is_right(self, check: Callable[[], None]) -> bool:
        """True once all is here, lies on the disk and has the right sum; if the sum is wrong, it is deleted.

        check: called again and again until the sum is there; what it raises ends that.
        """
        assert self.bytes == self.total_bytes
        self._sum.grown_to(self.bytes)
        is_right = self._sum.result(check) == self.etag
        if is_right:
            os.fsync(self._file.fileno())
        self._file.close()
        if not is_right:
            self.path.unlink()
        return is_right


class _Sum:
    """The checksum of a file that grows: a thread reads it from the beginning, behind who writes it."""

    def __init__(self, path: Path, digest: Any):
        self._path, self._digest = path, digest
        self._grown, self._goal, self._is_over = threading.Condition(), 0, False
        self._pool = ThreadPoolExecutor(1, "sum")
        self._future: Future[str] = self._pool.submit(self._run)

    def grown_to(self, count: int) -> None:
        """The file now has so many bytes."""
        with self._grown:
            self._goal = count
            self._grown.notify()

    def result(self, check: Callable[[], None]) -> str:
        """The sum of all bytes told so far, in hex. Raises what the thread met, and what check raises meanwhile."""
        with self._grown:
            self._is_over = True
            self._grown.notify()
        while not wait([self._future], LOOK_S).done:
            check()
        return self._future.result()

    def abandon(self) -> None:
        """End the thread; nobody wants the sum."""
        with self._grown:
            self._goal, self._is_over = 0, True
            self._grown.notify()
        self._pool.shutdown(wait=True)

    def _run(self) -> str:
        at = flushed = 0
        with self._path.open("rb+", buffering=0) as file:
            while True:
                with self._grown:
                    while self._goal <= at and not self._is_over:
                        self._grown.wait()
                    goal = self._goal
                if at >= goal:
                    return str(self._digest.hexdigest())
                data = file.read(min(READ_BYTES, goal - at))
                if not data:
                    raise UserError(f"{self._path.name} became shorter while it was read; start the download again.")
                self._digest.update(data)
                at += len(data)
                if at - flushed >= FLUSH_BYTES:
                    os.fsync(file.fileno())
                    flushed = at
