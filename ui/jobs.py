"""One long child process (training, export, evaluation): start it, follow its events, stop it, find it again."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from models import knobs, proxy, runs
from models.errors import UserError

FINAL = ("done", "stopped", "error")
POLL_S = 0.1
STOP_WAIT_S = 30.0              # how long a job that is to stop may take, before it is ended
REFUSED = 2                     # exit status after a UserError
DEAD_AFTER_S = 10.0             # a heartbeat older than this belongs to a process that is gone or hung


class Interrupted(UserError):
    """The job's process ended without a last word: killed, out of memory, or the machine went down."""


def start(module: str, folder: Path, config: Any) -> subprocess.Popen:
    """Write config (a dataclass) to folder/config.json and start `python -m module folder` on its own.

    The process outlives this one; what it prints goes to folder/log.txt.
    """
    runs.write_json(folder / runs.CONFIG, knobs.to_json(config))
    return launch(module, folder)


def launch(module: str, folder: Path) -> subprocess.Popen:
    """Start `python -m module folder` where config.json lies already. UserError for a module that is none of ours."""
    if not (runs.ROOT / f"{module.replace('.', '/')}.py").is_file() or not module[:1].isidentifier():
        raise UserError(f"{module!r} is no job of Galen, so it was not started; delete this run.")
    # waiting threads that spin take the cores from those that compute, beside any other program; and a training whose
    # threads each have a heap of their own takes more memory from step to step (docs/log.md)
    heaps = {"MALLOC_ARENA_MAX": "1"} if module.startswith("train.") else {}
    environment = {"OMP_WAIT_POLICY": "passive", **heaps, **proxy.hidden(), **os.environ, "PYTHONPATH": str(runs.ROOT),
                   "PYTHONUTF8": "1", "TOKENIZERS_PARALLELISM": "false"}
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    with (folder / runs.LOG).open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", module, str(folder)], env=environment, cwd=runs.ROOT,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)


def follow(folder: Path, process: subprocess.Popen | None = None, position: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the job's events, old and new, until its last one ("done" or "stopped", which is yielded too).

    position: where to begin in the file of events; a job that was started again has older ones before it. Raises
    UserError with the job's own words if the user can fix what ended it, RuntimeError for a bug of ours, Interrupted
    if the process is gone without a last event.
    """
    while True:
        is_gone = not is_running(folder, process)           # asked before reading: a last event is not missed
        events, position = read_from(folder / runs.EVENTS, position)
        for k, event in enumerate(events):
            is_old = k < len(events) - 1 or (not is_gone and _was_started_after(folder, event))
            if event["kind"] in FINAL and is_old:           # the end of an earlier start of this job
                continue
            if event["kind"] in FINAL and process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_WAIT_S)               # it closes its files; then it may be started again
            if event["kind"] == "error":
                raise _failure(event)
            yield event
            if event["kind"] in FINAL:
                return
        if is_gone and process is not None and process.returncode == REFUSED:   # before it could write an event
            raise UserError(last_line(folder))
        if is_gone:
            raise Interrupted(f"The job in {folder} ended without finishing{_last_words(folder, process)}. "
                              f"What it wrote so far is kept there.")
        time.sleep(POLL_S)


def _was_started_after(folder: Path, event: dict[str, Any]) -> bool:
    try:
        return json.loads((folder / runs.PID).read_text(encoding="utf-8"))["started"] > event["t"]
    except (FileNotFoundError, ValueError):
        return False


def stop(folder: Path) -> None:
    """Ask the job to stop; it obeys within one step."""
    if not (folder / runs.STOP).exists():       # the first time counts
        (folder / runs.STOP).touch()


def end(folder: Path, process: subprocess.Popen) -> None:
    """Stop a job of ours and wait until its process is gone; one that does not obey, or a second Ctrl-C, ends it."""
    try:
        stop(folder)
        process.wait(STOP_WAIT_S)
    except (subprocess.TimeoutExpired, OSError):
        pass                    # it does not obey, or can not be told (a full disk)
    finally:
        process.kill()          # nothing, when it has ended
        process.wait()


def is_running(folder: Path, process: subprocess.Popen | None = None) -> bool:
    """True while the job's process lives; process is its handle when this process started it."""
    if process is not None:
        return process.poll() is None
    try:
        pid = json.loads((folder / runs.PID).read_text(encoding="utf-8"))["pid"]
        beat = (folder / runs.PID).stat().st_mtime
    except (FileNotFoundError, ValueError):
        return False
    try:
        is_there = psutil.Process(pid).status() != psutil.STATUS_ZOMBIE         # killed, and nobody asked how it ended
    except (psutil.NoSuchProcess, psutil.AccessDenied):         # gone, and its number is somebody else's now
        return False
    return is_there and is_recent(beat, DEAD_AFTER_S)


def is_recent(at: float, seconds: float) -> bool:
    """True if at (seconds since 1970) lies within so many seconds of now; after it, if the clock was set back."""
    return abs(time.time() - at) < seconds


def read_from(path: Path, position: int) -> tuple[list[dict[str, Any]], int]:
    """Whole lines of path after position, and the position after them."""
    if not path.exists():
        return [], position
    with path.open("rb") as file:
        file.seek(position)
        data = file.read()
    whole = data[:data.rfind(b"\n") + 1]
    return parsed(whole.splitlines()), position + len(whole)


def parsed(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The events that lines hold; what a full disk has damaged is passed over."""
    events = []
    for line in lines:
        with contextlib.suppress(ValueError):
            events.append(json.loads(line))
    return events


def _failure(event: dict[str, Any]) -> Exception:
    if event.get("is_users"):
        return UserError(event["text"])
    return RuntimeError(f"{event['text']}\n{event.get('traceback', '')}")


def _last_words(folder: Path, process: subprocess.Popen | None) -> str:
    if process is not None and process.returncode is not None and process.returncode < 0:
        hint = "; the memory may have run out" if process.returncode == -9 else ""
        return f" (ended by signal {-process.returncode}{hint})"
    line = last_line(folder)
    return f" (its last line: {line[:200]})" if line else ""


def last_line(folder: Path) -> str:
    """The last line that the process printed; "" if it printed nothing."""
    log = folder / runs.LOG
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""
