"""The most that this process has used: memory, and what a folder holds."""

import contextlib
import os
import re
import sys
from pathlib import Path

import psutil


def peak_rss_mb() -> float:
    """The largest resident memory of this process so far, in MB (10^6 bytes)."""
    if sys.platform == "linux":         # ru_maxrss would be that of the parent
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
        return int(found[1]) * 1024 / 1e6 if found else float(psutil.Process().memory_info().rss) / 1e6
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def folder_mb(folder: Path) -> float:
    """What the files in a folder hold, in MB; other processes may write and remove some meanwhile."""
    found = 0
    for place, _, names in os.walk(folder):         # a folder that goes away meanwhile is left out, not an error
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(os.path.join(place, name)).st_size
    return found / 1e6
