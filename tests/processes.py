"""Processes as tests look at them: some are gone, or wait for their parent, by the time they are asked."""

import psutil


def command(process: psutil.Process) -> list[str]:
    """How a process was called; [] of one that is gone or has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:                # a zombie as well
        return []
