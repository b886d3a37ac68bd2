"""llama.cpp's own cache of before it shared Hugging Face's: OWNER_REPOSITORY_FILE.gguf, all in one folder.

Source: llama.cpp's fs_get_cache_directory and common/download.cpp. LLAMA_CACHE may name a folder of either layout.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from models.elsewhere import hf_cache
from models.elsewhere.spot import Spot, user_home
from models.folders import Folders
from models.ggufs import ggufs_in

PROGRAM = "llama.cpp cache"


def stores() -> list[Path]:
    """The folders in which llama.cpp may keep models on this machine."""
    home = user_home()
    if home is None:
        return []
    said = os.environ.get("LLAMA_CACHE", "").strip()
    if sys.platform == "win32":
        usual = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        usual = home / "Library" / "Caches"
    else:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return list(dict.fromkeys([*([Path(os.path.expanduser(said))] if said else []), usual / "llama.cpp"]))


def spots(folders: Folders) -> Iterator[Spot]:
    """The models of every store."""
    for store in stores():
        yield from ggufs_in(store, folders.list(store).files, program=PROGRAM)
        if store != hf_cache.store():
            yield from hf_cache.spots(folders, store, PROGRAM)
