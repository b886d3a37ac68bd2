"""The environment of a process of ours that asks the Hugging Face hub: its libraries online and silent, without xet."""

import os
from collections.abc import Mapping

from models import proxy, runs

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
QUIET = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0",
         "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """What such a process finds, made from base (this process's own if None), with the proxies of this computer.

    The offline switch still refuses its connections: models/outside.py.
    """
    kept = {name: value for name, value in (os.environ if base is None else base).items() if name not in OFFLINE}
    return {**kept, **proxy.hidden(), **QUIET, "PYTHONPATH": str(runs.ROOT), "PYTHONUTF8": "1"}
