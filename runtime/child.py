"""How a Python process of ours is started from another: what it finds, and what it must not hear."""

import os
import sys
from typing import Any

from models import runs

NATIVE = {
    "GGML_NO_BACKTRACE": "1",                   # an abort would start gdb, where there is one, and take seconds
    "GOMP_SPINCOUNT": "60000",                  # about 0.6 ms: they wait for our next batch, then give their core back
}


def command(module: str, *arguments: str) -> list[str]:
    """The command line of `python -m module`, for subprocess together with options()."""
    return [sys.executable, "-m", module, *arguments]


def options() -> dict[str, Any]:
    """What subprocess is told beside it: where our modules are, UTF-8, and to stay out of the terminal's interrupts.

    A Ctrl-C in the terminal is for the parent: no console there, a group of its own here. Not a session of its
    own: Linux would give all its threads together the share of one program.
    """
    environment = {**NATIVE, **os.environ, "PYTHONPATH": str(runs.ROOT), "PYTHONUTF8": "1"}
    apart: dict[str, Any] = {"creationflags": 0x08000000} if sys.platform == "win32" else {"process_group": 0}
    return {"env": environment, "cwd": runs.ROOT, **apart}
