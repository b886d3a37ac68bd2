"""What became of each group of rows, one line a group, appended as it is done: what a kill leaves whole."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from models import runs
from models.errors import UserError

WAIT_S = 0.2

Row = dict[str, Any]                # {column that the task adds: value} of one row


@contextmanager
def alone(path: Path, is_stop_asked: Callable[[], bool]) -> Iterator[bool]:
    """True once no other process writes the journal at path; False if asked to stop while one does.

    The system forgets the lock of a process that is killed.
    """
    with path.with_suffix(".lock").open("ab") as lock:
        while not _locked(lock):
            if is_stop_asked():
                yield False
                return
            time.sleep(WAIT_S)
        yield True


def _locked(lock: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt
            lock.seek(0)
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Journal:
    """The groups that are done, in order. A line that was not written whole, and what stands behind it, is cut off."""

    def __init__(self, path: Path, sizes: Sequence[int]):
        """sizes: how many rows each group of the batch has."""
        self._path, self._sizes = path, sizes
        self.groups: list[list[Row]] = []
        if path.exists():
            self._read()

    def _read(self) -> None:
        kept = 0
        with self._path.open("rb+") as file:
            for line in file:
                rows = self._rows(line)
                if rows is None:
                    break
                self.groups.append(rows)
                kept += len(line)
            file.truncate(kept)

    def _rows(self, line: bytes) -> list[Row] | None:
        """The rows of a line if it is the next group, whole; else None."""
        number = len(self.groups)
        if not line.endswith(b"\n") or number >= len(self._sizes):
            return None
        try:
            found = json.loads(line)
            rows, is_next = found["rows"], found["group"] == number
        except (ValueError, TypeError, KeyError):
            return None
        return rows if is_next and isinstance(rows, list) and len(rows) == self._sizes[number] else None

    def append(self, rows: Sequence[Row]) -> None:
        """Write the next group to the disk. Raises UserError when the disk is full."""
        number = len(self.groups)
        assert len(rows) == self._sizes[number]
        line = runs.json_bytes({"group": number, "rows": list(rows)}) + b"\n"
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            if runs.is_disk_full(error):
                raise UserError(f"The disk is full: {self._path.name} could not be written to {self._path.parent}. "
                                "Free some space and start again: it goes on where it is.") from error
            raise
        # as a later start reads it: the rows of this run and of an interrupted one are the same values
        self.groups.append(json.loads(line)["rows"])

    def is_whole(self) -> bool:
        """True once every group is there."""
        return len(self.groups) == len(self._sizes)
