"""The peak memory of a process tree, sampled from outside: `python -m ui.memory PID FILE`.

Proportional set size where the system has it (Linux), so that shared pages count once; else resident size.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

SAMPLE_S = 0.2


class PeakMemory:
    """Samples the tree under this process, in a process of its own, between start and stop."""

    def __init__(self, scratch: Path):
        self._file = scratch
        self._sampler: subprocess.Popen | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._sampler = subprocess.Popen([sys.executable, str(Path(__file__)), str(os.getpid()), str(self._file)],
                                         stdin=subprocess.DEVNULL)

    def stop(self) -> float:
        """End the sampling; returns the peak in MB (10^6 bytes)."""
        assert self._sampler is not None
        self._sampler.terminate()
        self._sampler.wait()
        return float(self._file.read_text(encoding="utf-8"))


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


def _sample(pid: int, file: Path) -> None:
    peak = 0
    while psutil.pid_exists(pid):
        peak = max(peak, tree_bytes(pid, os.getpid()))
        part = file.with_suffix(".part")
        part.write_text(f"{peak / 1e6:.1f}", encoding="utf-8")
        os.replace(part, file)              # the reader may end this process at any moment
        time.sleep(SAMPLE_S)


if __name__ == "__main__":
    _sample(int(sys.argv[1]), Path(sys.argv[2]))
