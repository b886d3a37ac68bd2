"""The environment of a process of ours that asks the Hugging Face hub: its libraries online and silent, without xet."""

import os
from collections.abc import Mapping, MutableMapping

from models import proxy, runs

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
QUIET = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0",
         "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}

FOLDERS = ("GALEN_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH", "XDG_CACHE_HOME")


def settle(names: MutableMapping[str, str] = os.environ) -> None:
    """Make what the user set mean the same in all of our processes, wherever they run: before any is begun.

    Folders in full, as seen from here; what is set to nothing is not set (the hub's library would take it as an
    address, or as the folder in which it happens to run).
    """
    for name in (*FOLDERS, "HF_ENDPOINT"):
        if not names.get(name, "").strip():
            names.pop(name, None)
        elif name in FOLDERS and names[name][0] not in ("~" if name == "GALEN_HOME" else "~$%"):
            names[name] = os.path.abspath(names[name])


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """What such a process finds, made from base (this process's own if None), with the proxies of this computer.

    The offline switch still refuses its connections: models/outside.py.
    """
    kept = {name: value for name, value in (os.environ if base is None else base).items() if name not in OFFLINE}
    settle(kept)
    return {**kept, **proxy.hidden(), **QUIET, "PYTHONPATH": str(runs.ROOT), "PYTHONUTF8": "1"}
