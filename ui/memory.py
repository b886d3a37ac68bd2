"""The peak memory of a process tree, sampled from outside: `python -m ui.memory PID`.

It samples until its stdin is closed, then prints the peak in MB.
Proportional set size where the system has it (Linux), so that shared pages count once; else resident size.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

SAMPLE_S = 0.2


class PeakMemory:
    """Samples the tree under this process, in a process of its own, between start and stop."""

    def __init__(self) -> None:
        self._sampler: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin to sample."""
        options: dict[str, Any] = {"start_new_session": True}   # a Ctrl-C in the terminal is for the parent
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        self._sampler = subprocess.Popen([sys.executable, str(Path(__file__)), str(os.getpid())], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)

    def stop(self) -> float:
        """End the sampling; returns the peak in MB (10^6 bytes), 0.0 if the sampler was killed."""
        assert self._sampler is not None
        said, _ = self._sampler.communicate()
        return float(said or 0.0)


def tree_bytes(pid: int, leave_out: int) -> int:
    """Memory of pid and all its descendants but leave_out; processes that end meanwhile count as nothing."""
    total = 0
    try:
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        if process.pid != leave_out:
            try:
                memory: Any = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    return total


def _sample(pid: int) -> None:
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    peak = tree_bytes(pid, os.getpid())
    while not ended.wait(SAMPLE_S):
        peak = max(peak, tree_bytes(pid, os.getpid()))
    print(f"{peak / 1e6:.1f}")


if __name__ == "__main__":
    _sample(int(sys.argv[1]))
