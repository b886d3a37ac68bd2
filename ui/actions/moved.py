"""Paths into Galen's own folders, written anew in runs and settings once somebody has moved those folders by hand."""

import os
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError
from models.tuned import CONFIG as ADAPTER_CONFIG
from ui.settings import FILE as SETTINGS

PLACE = "place.json"            # in the cache: where the folders lay at the last start
NAMES = {runs.CONFIG, runs.DRAFT, runs.BASE, runs.STARTED, ADAPTER_CONFIG}      # what names files by their whole path
WHOLE = {runs.CHECKPOINTS, runs.EXPORT}         # folders whose files are held against checksums of theirs


def settle(home: Path, root: Path = runs.ROOT) -> None:
    """See whether home or the program's folder was moved since the last start, and follow them.

    A path is changed only if there is nothing left where it points to, and there is something where it would now.
    """
    note, now = home / "cache" / PLACE, {"home": str(home), "program": str(root)}
    try:
        before = runs.read_json(note)
    except UserError:
        before = {}                             # the first start, or the cache was emptied
    if before == now:
        return
    known = before if isinstance(before, dict) else {}
    moves = [(old, now[name]) for name in now if isinstance(old := known.get(name), str) and old not in ("", now[name])]
    for path in _files(home) if moves else []:
        _follow(path, moves)
    runs.make_folder(note.parent)
    runs.write_json(note, now)


def _files(home: Path) -> list[Path]:
    found = [home / SETTINGS]
    for parent, folders, names in os.walk(home / "runs"):
        folders[:] = [name for name in folders if name not in WHOLE]
        found += [Path(parent, name) for name in names if name in NAMES]
    return [path for path in found if path.is_file()]


def _follow(path: Path, moves: list[tuple[str, str]]) -> None:
    try:
        values = runs.read_json(path)
        changed = _changed(values, moves)
    except (UserError, RecursionError):
        return                                  # damaged: whoever needs it says so
    if changed != values:
        runs.write_json(path, changed)


def _changed(value: Any, moves: list[tuple[str, str]]) -> Any:
    """The value with every path in it that was moved along."""
    if isinstance(value, dict):
        return {_changed(key, moves): _changed(one, moves) for key, one in value.items()}
    if isinstance(value, list):
        return [_changed(one, moves) for one in value]
    for old, new in moves if isinstance(value, str) else []:
        if (value == old or value.startswith(old + os.sep)) and not os.path.lexists(value):
            there = new + value[len(old):]
            if os.path.lexists(there):
                return there
    return value
