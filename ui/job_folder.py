"""What the folder of a job says: what was asked for, whether it waits, runs or is over, and its last events."""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from models import runs
from models.errors import UserError
from ui import jobs

# A job that waits has WAITING: {"since"}. Who renames it to CLAIMED starts the job: only one can. CLAIMED then gets
# {"since", "pid", "created", "has_memory"}, and at its end "exit"; or, if it was not to be started or could not be,
# {"ended", "state", "words"}.
JOB, WAITING, CLAIMED = "job.json", "waiting.json", "claimed.json"
LIGHT = ("preview", "download")         # run beside the others
TAKEN_OUT = "Taken out of the queue."
ENDED = "Ended at once, as asked."
KILLED = "killed"               # in the file that asks for the stop: the job was not left the time
TAIL_BYTES = 1 << 16            # of the events: enough for some hundred
SETTING_UP_S = 30.0             # a process that was just started has written nothing yet
SAME_PROCESS_S = 2.0            # between two readings of the time at which a process began
KINDS = {"train.worker": "train", "train.preview": "preview", "train.estimate": "estimate",
         "convert.worker": "export", "evaluation.worker": "evaluate", "models.worker": "download"}
TITLES = {"train": "Training", "preview": "Preview", "estimate": "Estimate", "export": "Export",
          "evaluate": "Evaluation", "classify": "Classification", "summarise": "Summaries", "answer": "Answers",
          "download": "Download"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """job.json: what the list was asked for. module "": the job was not started by the list."""
    module: str
    kind: str
    title: str
    asked: float                # seconds since 1970
    is_heavy: bool
    memory_mb: float | None = None


def asked_of(folder: Path) -> Asked:
    """What was asked for; of a job that the command line started, as much as its config shows."""
    try:
        return Asked(**runs.read_json(folder / JOB))
    except (UserError, TypeError):
        pass                    # the command line's, or of another version
    kind = _kind_of(folder)
    since = _changed_at(folder / runs.CONFIG) or _changed_at(folder)
    return Asked(module="", kind=kind, title=f"{TITLES.get(kind, 'Job')} {folder.name}", asked=since,
                 is_heavy=kind not in LIGHT)


def _kind_of(folder: Path) -> str:
    config = config_of(folder)
    if "task" in config:
        return str(config["task"])
    if "benchmark" in config or "rows" in config:
        return "evaluate"
    if "source" in config:
        return "export"
    if "repo" in config:
        return "download"
    if "rank" in config:
        is_run = any((folder / name).exists() for name in (runs.CHECKPOINTS, runs.ADAPTER, runs.STARTED))
        for word, made in (("preview", runs.PREVIEW), ("estimate", runs.ESTIMATE)):
            if not is_run and (f"-{word}-" in folder.name or (folder / made).exists()):
                return word
        return "train"
    return "job"


def config_of(folder: Path) -> dict[str, Any]:
    """config.json; empty where there is none that can be read."""
    return _read(folder / runs.CONFIG)


def promise_of(folder: Path) -> dict[str, Any]:
    """estimate.json; empty where there is none."""
    return _read(folder / runs.ESTIMATE)


def is_waiting(folder: Path) -> bool:
    """True until somebody has claimed the job."""
    return (folder / WAITING).exists()


def ask(folder: Path) -> None:
    """Put the job into the queue."""
    (folder / runs.STOP).unlink(missing_ok=True)
    runs.write_json(folder / WAITING, {"since": time.time()})


def ask_again(folder: Path) -> None:
    """Put a lost job into the queue once more, unless it was to be stopped meanwhile."""
    if (folder / runs.STOP).exists():
        note_not_started(folder, "stopped", TAKEN_OUT)
    else:
        ask(folder)


def waits_since(folder: Path) -> float:
    """When it was put into the queue, seconds since 1970."""
    return float(_read(folder / WAITING).get("since", 0.0))


def claim(folder: Path) -> bool:
    """Take the job out of the queue. Of several threads and processes that try, one gets True."""
    try:
        os.replace(folder / WAITING, folder / CLAIMED)
    except FileNotFoundError:
        return False
    os.utime(folder / CLAIMED)
    return True


def note_started(folder: Path, pid: int, has_memory: bool) -> None:
    """Write down the process of a claimed job."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:                # over already
        created = time.time()
    runs.write_json(folder / CLAIMED, {"since": time.time(), "pid": pid, "created": created, "has_memory": has_memory})


def note_exit(folder: Path, pid: int, status: int) -> None:
    """Write down how the process of a claimed job ended, unless the job was started again since."""
    claimed = _read(folder / CLAIMED)
    if claimed.get("pid") == pid:
        runs.write_json(folder / CLAIMED, {**claimed, "exit": status})


def note_not_started(folder: Path, state: str, words: str) -> None:
    """Write down why a claimed job was not started: "stopped" by somebody, or an "error"."""
    runs.write_json(folder / CLAIMED, {"ended": time.time(), "state": state, "words": words})


def has_memory(folder: Path) -> bool:
    """True if the loaded model had to make room for this job."""
    return bool(_read(folder / CLAIMED).get("has_memory"))


def is_lost(folder: Path) -> bool:
    """True for a job that was claimed by a process which was killed before it had started it."""
    at = _changed_at(folder / CLAIMED)
    is_old = at > 0.0 and not jobs.is_recent(at, SETTING_UP_S)
    return is_old and not ({"pid", "ended"} & _read(folder / CLAIMED).keys()) and not _has_begun(folder)


def _has_begun(folder: Path) -> bool:
    """True if a process has begun since the job was claimed, whoever could write that down."""
    return jobs.is_running(folder) or _changed_at(folder / runs.PID) > _changed_at(folder / CLAIMED)


def is_alive(folder: Path) -> bool:
    """True while the job's process lives, or is about to begin."""
    if jobs.is_running(folder):
        return True
    claimed = _read(folder / CLAIMED)
    if "pid" in claimed:
        return "exit" not in claimed and _is_process(claimed["pid"], claimed["created"])
    if (folder / CLAIMED).exists():
        return "ended" not in claimed and not is_lost(folder) and not _has_begun(folder)
    names = (runs.PID, JOB, runs.EVENTS)
    is_new = jobs.is_recent(_changed_at(folder / runs.CONFIG), SETTING_UP_S)
    return is_new and not any((folder / name).exists() for name in names)       # of the command line, and still mute


def _changed_at(path: Path) -> float:
    """Seconds since 1970; 0.0 if it is not there, or was deleted a moment ago."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def is_deaf(folder: Path) -> bool:
    """True once a job had all the time that a stop may take, whether it still runs or not."""
    asked_at = _changed_at(folder / runs.STOP)
    return asked_at > 0.0 and not jobs.is_recent(asked_at, jobs.STOP_WAIT_S)


def kill(folder: Path) -> None:
    """End the job's process and those that it started, at once; nothing where none lives."""
    pid = _read(folder / runs.PID if jobs.is_running(folder) else folder / CLAIMED).get("pid")
    if not pid or not is_alive(folder):
        return
    with contextlib.suppress(OSError):          # on a full disk it ends all the same
        (folder / runs.STOP).write_text(KILLED, encoding="utf-8")
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):        # it ended by itself meanwhile
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def _is_process(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return not is_zombie and abs(process.create_time() - created) < SAME_PROCESS_S
    except (psutil.NoSuchProcess, psutil.AccessDenied):         # gone, and its number is somebody else's now
        return False


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job that neither waits nor runs ended: "done", "stopped", "error" or "interrupted", in words."""
    state: str
    words: str


def end_of(folder: Path, events: list[dict[str, Any]]) -> End:
    """events: its last ones."""
    claimed = _read(folder / CLAIMED)
    began, last = began_at(folder), events[-1] if events else {}
    if claimed.get("ended", 0.0) > began:
        return End(state=claimed["state"], words=claimed["words"])
    if last.get("kind") in jobs.FINAL and last["t"] >= began:
        words = {"done": "Done", "stopped": "Stopped, as asked", "error": last.get("text", "")}[last["kind"]]
        return End(state=last["kind"], words=words)
    if _was_killed(folder):
        return End(state="stopped", words=ENDED)
    if claimed.get("exit") == jobs.REFUSED:
        return End(state="error", words=jobs.last_line(folder))
    signal = -claimed.get("exit", 0)
    if signal > 0:
        return End(state="interrupted", words=f"Interrupted (ended by signal {signal}"
                                              f"{'; the memory may have run out' if signal == 9 else ''}).")
    line = jobs.last_line(folder)
    return End(state="interrupted", words=f"Interrupted (its last line: {line[:200]})." if line else "Interrupted.")


def _was_killed(folder: Path) -> bool:
    try:
        return (folder / runs.STOP).read_text(encoding="utf-8") == KILLED
    except (OSError, ValueError):
        return False


def began_at(folder: Path) -> float:
    """When its process began last, seconds since 1970; 0 if none did."""
    started = _read(folder / runs.PID).get("started", 0.0)
    claimed = _read(folder / CLAIMED)
    return max(float(started), float(claimed.get("since", 0.0)) if "pid" in claimed and not started else 0.0)


def last_events(folder: Path) -> list[dict[str, Any]]:
    """The last events, whole lines only; not more than fit into TAIL_BYTES."""
    try:
        with (folder / runs.EVENTS).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read()
    except FileNotFoundError:
        return []
    lines = data[:data.rfind(b"\n") + 1].splitlines()
    if size > TAIL_BYTES:
        lines = lines[1:]
    return jobs.parsed(lines)


def _read(path: Path) -> dict[str, Any]:
    """A JSON object that may be missing, or be replaced this moment; then empty."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
