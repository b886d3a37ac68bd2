"""When a person last did something, and the lock that closes the conversations after a while of nothing."""

import contextlib
import threading
import time
from collections.abc import Callable

from models.errors import UserError
from ui.settings import SettingsFile

LOOK_S = 1.0


class IdleLock:
    """Calls lock once nobody has acted, and nothing was being written, for the minutes that are set."""

    def __init__(self, settings: SettingsFile, is_busy: Callable[[], bool], lock: Callable[[], None],
                 look_s: float = LOOK_S):
        """is_busy: something is being written, or there is nothing to lock."""
        self._look_s = look_s
        self._settings, self._is_busy, self._lock = settings, is_busy, lock
        self._touched = time.monotonic()
        self._has_ended = threading.Event()
        threading.Thread(target=self._watch, name="idle lock", daemon=True).start()

    def touch(self) -> None:
        """A person did something just now."""
        self._touched = time.monotonic()

    def close(self) -> None:
        """Lock nothing any more."""
        self._has_ended.set()

    def _watch(self) -> None:
        while not self._has_ended.wait(self._look_s):
            minutes = self._settings.value.lock_minutes
            if not minutes or self._is_busy():
                self.touch()
            elif time.monotonic() - self._touched >= minutes * 60:
                with contextlib.suppress(UserError):    # a full disk, or no passphrase any more: the next look
                    self._lock()
