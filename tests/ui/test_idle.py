import threading
import time
from pathlib import Path

from models.errors import UserError
from ui.idle import IdleLock
from ui.settings import SettingsFile

LOOK_S = 0.02


def test_it_locks_after_the_minutes_and_not_while_something_is_written(tmp_path: Path):
    settings, locked, is_busy = SettingsFile(tmp_path), threading.Event(), threading.Event()
    settings.change(lock_minutes=0.005)
    is_busy.set()
    idle = IdleLock(settings, is_busy.is_set, locked.set, LOOK_S)
    assert not locked.wait(1.0)
    is_busy.clear()
    assert locked.wait(60)
    idle.close()


def test_a_touch_begins_anew_and_zero_never_locks(tmp_path: Path):
    settings, locked = SettingsFile(tmp_path), threading.Event()
    idle = IdleLock(settings, lambda: False, locked.set, LOOK_S)
    assert not locked.wait(0.5)
    settings.change(lock_minutes=0.05)
    until = time.monotonic() + 4                        # longer than the 3 s that are set
    while time.monotonic() < until:
        idle.touch()
        time.sleep(0.05)
    assert not locked.is_set()
    assert locked.wait(60)
    idle.close()


def test_a_lock_that_failed_is_tried_again(tmp_path: Path):
    settings, is_locked = SettingsFile(tmp_path), threading.Event()
    settings.change(lock_minutes=0.001)
    problems = [UserError("The disk is full."), UserError("There is no passphrase yet.")]

    def lock() -> None:
        if problems:
            raise problems.pop()
        is_locked.set()

    idle = IdleLock(settings, lambda: False, lock, LOOK_S)
    assert is_locked.wait(60)
    idle.close()
