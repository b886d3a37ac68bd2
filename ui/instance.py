"""The one running app of a folder: who holds it, and where its page is."""

import http.client
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from models.errors import UserError

LOCK_FILE = "app.lock"          # locked by the operating system while the app runs, so a killed app leaves no lock
ADDRESS_FILE = "app.json"       # {"url": ..., "pid": ...}
START_WAIT_S = 15.0             # how long a second start waits for the first to answer
ASK_TIMEOUT_S, MOST_ANSWER = 2.0, 1 << 14


class Instance:
    """The right to be the app of a folder. Hold it while the app runs."""

    def __init__(self, home: Path, lock: IO[bytes]):
        self._home, self._lock = home, lock

    def publish(self, url: str) -> None:
        """Say where the page is, for later starts."""
        part = self._home / (ADDRESS_FILE + ".part")
        part.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
        os.replace(part, self._home / ADDRESS_FILE)

    def release(self) -> None:
        """Give the folder back."""
        (self._home / ADDRESS_FILE).unlink(missing_ok=True)
        self._lock.close()


def claim(home: Path) -> Instance | None:
    """Become the app of this folder; None if another process is."""
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / LOCK_FILE).open("ab")
    try:
        _lock(lock)
    except OSError:
        lock.close()
        return None
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    return Instance(home, lock)


def _lock(file: IO[bytes]) -> None:
    """Lock file without waiting. Raises OSError if another process has it."""
    if sys.platform == "win32":
        import msvcrt
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def running_url(home: Path, wait_s: float = START_WAIT_S) -> str | None:
    """The page of the app that holds this folder, once it answers; None if it does not within wait_s."""
    until = time.monotonic() + wait_s
    while True:
        try:
            url = str(json.loads((home / ADDRESS_FILE).read_text(encoding="utf-8"))["url"])
            if is_answering(url):
                return url
        except (OSError, ValueError, KeyError, TypeError):
            pass                # not published yet
        if time.monotonic() > until:
            return None
        time.sleep(0.1)


def is_answering(url: str) -> bool:
    """True if a Galen answers at url. Asks this machine only, whatever a copied folder names as its Galen, and never
    through a proxy or where a redirect leads."""
    if not _is_here(url):
        return False
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    try:
        with opener.open(url.rstrip("/") + "/health", timeout=ASK_TIMEOUT_S) as answer:
            said = json.loads(answer.read1(MOST_ANSWER))        # one piece: another program may send for ever
            return isinstance(said, dict) and said.get("status") == "ok"
    except (http.client.HTTPException, OSError, ValueError, RecursionError):
        return False


def _is_here(url: str) -> bool:
    # not before: a look into the file needs no package
    from ui.api import addresses
    try:
        parts = urlsplit(url)
        addresses.place(parts.hostname or "?")
    except (UserError, ValueError):
        return False
    return parts.scheme == "http"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none."""
