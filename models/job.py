"""A job's own side of its run folder: events, heartbeat, stop file, and how it ends."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import outside, runs
from models.errors import UserError

HEARTBEAT_S = 1.0


class Job:
    """Appends events to a run folder and reads its stop file. Used by one process: the worker."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()
        _drop_torn_line(folder / runs.EVENTS)
        self._events = (folder / runs.EVENTS).open("ab")

    def event(self, kind: str, **values: Any) -> None:
        """Append one line {"t": seconds since 1970, "kind": kind, **values} and flush it.

        While the disk is full, lines wait in memory for the next one; what is too much for it is lost, not the job.
        """
        line = runs.json_bytes({"t": _now(), "kind": kind, **values})
        with self._lock:
            try:
                self._events.write(line + b"\n")
                self._events.flush()
            except OSError as error:
                if not runs.is_disk_full(error):
                    raise

    def is_stop_asked(self) -> bool:
        """True once somebody has made the stop file."""
        return (self.folder / runs.STOP).exists()

    def beat(self) -> None:
        """Renew the heartbeat: the modification time of pid.json."""
        os.utime(self.folder / runs.PID)


def _now() -> float:
    """Seconds since 1970, to the ms: rounded alike, no event lies before the beginning of its job."""
    return round(time.time(), 3)


def _drop_torn_line(path: Path) -> None:
    """A process that was killed, or met a full disk, may have left the beginning of a line."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        data = file.read(size)
        if data and not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)


def main(work: Callable[[Job], None]) -> None:
    """Run work(job) as a worker process: `python -m train.worker RUN_DIR`.

    The last event is "done", "stopped" (work returned after a stop request) or "error".
    Exit status 0, 2 for a UserError (its text is in the event and on stderr), 1 for a bug (traceback on stderr).
    """
    job = Job(Path(sys.argv[1]).resolve())
    os.environ[outside.TOLD_TO] = str(job.folder / runs.EVENTS)     # its children tell there, too
    outside.watch()
    runs.write_json(job.folder / runs.PID, {"pid": os.getpid(), "started": _now()})
    beating = threading.Event()
    threading.Thread(target=_beat_until, args=(job, beating), daemon=True).start()
    try:
        work(job)
        job.event("stopped" if job.is_stop_asked() else "done")
    except UserError as error:
        job.event("error", text=str(error), is_users=True)
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    except BaseException as error:
        job.event("error", text=f"{type(error).__name__}: {error}", is_users=False,
                  traceback=traceback.format_exc(limit=-8))
        raise
    finally:
        beating.set()


def _beat_until(job: Job, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_S):
        job.beat()
