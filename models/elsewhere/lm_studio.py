"""LM Studio's models: PUBLISHER/REPOSITORY/FILE.gguf under one folder.

Source: lmstudio.ai/docs (import models) and public code: the home is ~/.lmstudio, ~/.cache/lm-studio before version
0.3, or what ~/.lmstudio-home-pointer names; its settings.json may name another folder as downloadsFolder.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from models.elsewhere.spot import Spot, user_home
from models.folders import Folders
from models.ggufs import ggufs_in

PROGRAM = "LM Studio"
POINTER = ".lmstudio-home-pointer"
LONGEST = 1 << 20               # bytes of settings that are read


def stores() -> list[Path]:
    """The folders in which LM Studio may keep models on this machine."""
    user = user_home()
    if user is None:
        return []
    said = _read(user / POINTER).strip().splitlines()
    homes = [Path(said[0].strip())] if said and said[0].strip() else []
    homes += [user / ".lmstudio", user / ".cache" / "lm-studio"]
    found = []
    for home in homes:
        chosen = _chosen(home)
        found += [chosen] if chosen else []
        found.append(home / "models")
    return list(dict.fromkeys(found))


def spots(folders: Folders) -> Iterator[Spot]:
    """The models of every store."""
    for store in stores():
        for publisher in folders.list(store).folders:
            for repo in folders.list(store / publisher).folders:
                place = store / publisher / repo
                yield from ggufs_in(place, folders.list(place).files, program=PROGRAM, repo=f"{publisher}/{repo}",
                                    is_own_projector=True)


def _chosen(home: Path) -> Path | None:
    """The models folder that the settings name."""
    try:
        said = json.loads(_read(home / "settings.json") or "{}")
    except (ValueError, RecursionError):
        return None
    folder = said.get("downloadsFolder") if isinstance(said, dict) else None
    return Path(folder) if isinstance(folder, str) and Path(folder).is_absolute() else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST).decode("utf-8-sig", "replace")       # Windows programs write the mark
    except (OSError, ValueError):
        return ""
