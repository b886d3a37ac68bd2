"""What this machine has to compute with; so far: how many threads a model gets."""

import os

import psutil

LARGE_PARAMETERS = 100_000_000


def default_threads(parameters: int = LARGE_PARAMETERS) -> int:
    """One thread for each physical core this process may use; one alone for a small model.

    Threads of a small model wait for each other more than they compute, and far more beside another process
    (docs/log.md).
    """
    if parameters < LARGE_PARAMETERS:
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))
