"""What lies in folders, each listed anew only when it has changed, so that looking once a second costs little."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

SETTLED_S = 2.5                 # a folder that changed more recently may change again within one tick of its clock
NO_TIME, GONE = -1, -2


@dataclass(frozen=True)
class Listing:
    """Names of files and of folders, links to them included, in order."""
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    is_sure: bool = True        # False: it could not be read, or a link in it leads nowhere as yet


class Folders:
    """Remembers listings by folder. For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Listing]] = {}

    def list(self, folder: Path | str) -> Listing:
        """What lies in folder now; nothing for one that is not there, or may not be read."""
        place = str(folder)
        changed, known = _changed(place), self._known.get(place)
        if known and known[0] == changed and known[1].is_sure:
            return known[1]
        found = _listed(place) if changed != GONE else Listing()
        self._known[place] = (changed if is_settled(changed) else NO_TIME, found)
        return found

    def are_same(self) -> bool:
        """True if every folder that was ever listed is as it was then."""
        return all(_changed(place) == changed for place, (changed, _) in self._known.items())


def is_settled(changed_ns: int) -> bool:
    """False while what changed at that time (ns since 1970) may change again and show the same time."""
    return time.time_ns() - changed_ns > SETTLED_S * 1e9


def shown(name: str) -> str:
    """A file's name as text: one that is not in UTF-8 can be neither printed nor sent to a page as it is."""
    return name.encode("utf-8", "backslashreplace").decode()


def _changed(place: str) -> int:
    """When a folder changed last, in ns since 1970."""
    try:
        return os.stat(place).st_mtime_ns
    except (OSError, ValueError):
        return GONE


def _listed(place: str) -> Listing:
    files, folders, is_sure = list[str](), list[str](), True
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                is_folder = _is_folder(entry)
                (folders if is_folder else files).append(entry.name)
                is_sure = is_sure and (is_folder or not entry.is_symlink() or os.path.exists(entry.path))
    except OSError:
        return Listing(is_sure=False)
    return Listing(tuple(sorted(files)), tuple(sorted(folders)), is_sure)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
