"""The processes of one run under `accelerate launch`: who is the first, and what all must agree on.

Every process is started with the same command line; the first one owns the run folder, its events and its results.
No torch at import: the command line asks rank() before anything heavy.
"""

import json
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from models import runs
from models.job import Job

WAIT = timedelta(hours=2)       # for the first process, which alone answers validation rows and writes files
FOLDER = "galen/folder"
LOOK_S = 1.0


def rank() -> int:
    """Which process of the run this is; 0 without accelerate."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes compute this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """True in the process that owns the run folder."""
    return rank() == 0


class Quiet(Job):
    """The job as further processes have it: it says nothing and is asked nothing."""

    def __init__(self, folder: Path):
        self.folder = folder

    def event(self, kind: str, **values: Any) -> None:
        """Nothing: the first process says it."""

    def is_stop_asked(self) -> bool:
        """False: the first process asks, and shares the answer."""
        return False


def join() -> int:
    """Compute as a further process until the run ends: `python -m train.worker` without a folder. Its exit status."""
    environment = {**os.environ, "PYTHONPATH": str(runs.ROOT), "PYTHONUTF8": "1"}
    return subprocess.run([sys.executable, "-m", "train.worker"], env=environment, cwd=runs.ROOT,
                          stdin=subprocess.DEVNULL, check=False).returncode


def end_with_parent() -> None:
    """End this process when the one that started it is gone: what it waits for would never come."""
    parent = os.getppid()

    def watch() -> None:
        while psutil.pid_exists(parent) and os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def share_folder(folder: Path | None) -> Path:
    """The first process's run folder, in every process: the first gives it, the others wait for it."""
    from torch.distributed import rendezvous
    store, _, _ = next(rendezvous("env://", timeout=WAIT))
    if folder:
        store.set(FOLDER, json.dumps(str(folder)))
    return Path(json.loads(store.get(FOLDER)))


def agree(value: Any) -> Any:
    """The first process's value, in every process. Called by all at the same place."""
    if count() == 1:
        return value
    from torch import distributed
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def total(values: list[float]) -> list[float]:
    """Each value summed over the processes. Called by all at the same place."""
    if count() == 1:
        return values
    from torch import distributed
    everybody: list[Any] = [None] * count()
    distributed.all_gather_object(everybody, values)
    return [sum(column) for column in zip(*everybody, strict=True)]


def wait() -> None:
    """Go on when every process has come here."""
    if count() > 1:
        from torch import distributed
        distributed.barrier()


def start(device: str) -> None:
    """Meet the other processes; nothing where there are none."""
    if count() > 1:
        from accelerate import PartialState
        PartialState(cpu=device == "cpu", timeout=WAIT)


def end() -> None:
    """Part from the other processes."""
    if count() > 1:
        from torch import distributed
        if distributed.is_initialized():
            distributed.destroy_process_group()
