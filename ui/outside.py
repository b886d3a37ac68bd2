"""Connections to other computers since this start: of this process, of the model's, and of every job's events."""

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from models import outside, runs
from models.errors import UserError
from ui.settings import FILE, SettingsFile

LOOK_S = 0.9                    # every page asks once a second
KEPT = 1000                     # the newest are listed; all are counted
TOLD = "connections.jsonl"      # in the cache: what this process and its children other than jobs tell


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One connection, packet or look-up of a name that went, or was to go, to another computer."""
    t: float                    # seconds since 1970
    what: str                   # "connected", "sent to" or "looked up"
    address: str
    reason: str
    by: str                     # the run that did it; "" for Galen itself
    is_refused: bool


class Outside:
    """Reads what the processes of ours told, and holds the offline switch."""

    def __init__(self, home: Path, settings: SettingsFile, look_s: float = LOOK_S):
        """look_s: how long what was read serves before the files are looked at again."""
        self._look_s = look_s
        self._home, self._settings = home, settings
        self._own = home / "cache" / TOLD
        self._started = time.time()
        self._lock = threading.Lock()
        self._looked = 0.0
        self._ends: dict[Path, int] = {}        # of each file: how far it was read
        self._found: list[Connection] = []
        self._count = self._refused = 0

    def watch(self) -> None:
        """Hang the hook into this process, and have its children tell where theirs go. Once, at the start."""
        runs.make_folder(self._own.parent)
        self._own.write_bytes(b"")
        os.environ.update({outside.TOLD_TO: str(self._own), outside.SWITCH: str(self._home / FILE)})
        outside.watch()

    def count(self) -> int:
        """How many connections left this computer; those that were refused did not."""
        self._look()
        return self._count

    def refused(self) -> int:
        """How many were refused."""
        self._look()
        return self._refused

    def listed(self) -> list[Connection]:
        """All of them, refused ones too, the newest first."""
        self._look()
        with self._lock:
            return sorted(self._found, key=lambda one: one.t, reverse=True)

    @property
    def is_offline(self) -> bool:
        """True while no connection outside this computer is allowed."""
        return self._settings.value.is_offline

    def switch(self, is_offline: bool) -> None:
        """Turn the offline switch. Processes that run see it at their next connection."""
        self._settings.change(is_offline=is_offline)
        self.follow()

    def refuse_offline(self, what: str) -> None:
        """Raise UserError for what (say "push to the hub") while Galen is offline."""
        if self._settings.value.is_offline:
            raise UserError(f"Galen is offline, so it can not {what}. Switch Offline off in Settings first; "
                            "switch it on again when it is done.")

    def follow(self) -> None:
        """Tell the hub's libraries in processes that are started from now on; in this one they stay offline."""
        os.environ["HF_HUB_OFFLINE"] = "1" if self._settings.value.is_offline else "0"

    def _look(self) -> None:
        with self._lock:
            if time.monotonic() - self._looked < self._look_s:
                return
            self._looked = time.monotonic()
            self._read(self._own, "")
            for events in self._home.glob(f"runs/*/{runs.EVENTS}"):
                self._read(events, events.parent.name)
            for events in self._home.glob(f"runs/*/*/{runs.EVENTS}"):
                self._read(events, events.parent.parent.name)
            del self._found[:-KEPT]

    def _read(self, path: Path, by: str) -> None:
        with contextlib.suppress(FileNotFoundError):        # deleted a moment ago, or not there yet
            state, seen = path.stat(), self._ends.get(path, 0)
            if state.st_size == seen or state.st_mtime < self._started - 1:
                return
            with path.open("rb") as file:
                file.seek(seen if state.st_size > seen else 0)
                data = file.read()
                whole = data[:data.rfind(b"\n") + 1]
                self._ends[path] = file.tell() - len(data) + len(whole)
            for line in whole.splitlines():
                if b'"connection"' in line:
                    self._add(line, by)

    def _add(self, line: bytes, by: str) -> None:
        event = json.loads(line)
        if event.get("kind") != outside.KIND or event["t"] < self._started:
            return
        self._found.append(Connection(t=event["t"], what=event["what"], address=event["address"],
                                      reason=event["reason"], by=by, is_refused=event["is_refused"]))
        if event["is_refused"]:
            self._refused += 1
        else:
            self._count += 1
