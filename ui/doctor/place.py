"""What the doctor finds about the folders that Galen writes to: whether it can, the room there, the settings."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from models import runs
from models.errors import UserError
from ui.doctor.finding import BAD, CAUTION, GOOD, NOTHING_TO_DO, Finding, gb, one_line

TRIAL_BYTES = 1 << 20
ROOM_HOME, ROOM_CACHE, ROOM_SCRATCH = (5e8, 5e9), (5e8, 5e9), (5e7, 1e9)     # free bytes: (bad below, caution below)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that Galen writes to. elsewhere: how it is put on another disk."""
    name: str
    path: Path
    room: tuple[float, float]
    elsewhere: str


def home() -> Iterator[Finding]:
    """The folder of the user's models and runs."""
    try:
        path = runs.home()
    except UserError as error:
        words = str(error)
        if "which is not there now" in words:
            found, advice = "the disk that it was moved to is not there", "Connect that disk and start again."
        elif runs.MOVED_TO in words:
            found, advice = "the note of where it was moved to is damaged", f"Delete the file {runs.MOVED_TO} in it."
        else:
            found, advice = "can not be looked into", "Set GALEN_HOME to a folder of yours, or leave it out."
        yield Finding(name="Your folder", state=BAD, found=found, advice=advice, personal=one_line(words))
        return
    yield written(Folder(name="Your folder", path=path, room=ROOM_HOME,
                         elsewhere="set GALEN_HOME to a folder on another disk"))


def cache() -> Iterator[Finding]:
    """Hugging Face's cache, where downloads go; other programs share it."""
    yield written(Folder(name="Download cache", path=hub_cache(), room=ROOM_CACHE,
                         elsewhere="set HF_HUB_CACHE to a folder on another disk"))


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it downloads."""
    from huggingface_hub import constants
    return Path(constants.HF_HUB_CACHE)


def scratch() -> Iterator[Finding]:
    """The folder for temporary files. Python silently takes another one than TMPDIR where that can not be used."""
    asked = next((os.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), "")
    try:
        path = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        yield Finding(name="Temporary files", state=BAD, found="no folder can be written to",
                      advice="Make room on the disk, or set TMPDIR to a folder on another one.",
                      personal=one_line(str(error)))
        return
    finding = written(Folder(name="Temporary files", path=path, room=ROOM_SCRATCH,
                             elsewhere="set TMPDIR to a folder on another disk"))
    if finding.state == GOOD and asked and Path(asked).resolve() != path.resolve():
        finding = Finding(name=finding.name, state=CAUTION, personal=f"{asked}; used instead: {path}",
                          found="TMPDIR names a folder that can not be written to, so another one is used",
                          advice="Set TMPDIR to a folder that you may write to, or leave it out.")
    yield finding


def written(folder: Folder) -> Finding:
    """Whether a file can be written there, tried out; and the room that is left."""
    try:
        there = _nearest(folder.path)
        _try_to_write(there)
        free = disk_usage(there).free
    except OSError as error:
        if runs.is_disk_full(error):
            return Finding(name=folder.name, state=BAD, found="the disk is full", personal=str(folder.path),
                           advice=f"Free some space, or {folder.elsewhere}.")
        return Finding(name=folder.name, state=BAD, found=f"can not be written to ({error.strerror})",
                       advice=f"Make it writable, or {folder.elsewhere}.", personal=str(folder.path))
    bad, caution = folder.room
    state = BAD if free < bad else CAUTION if free < caution else GOOD
    advice = NOTHING_TO_DO if state == GOOD else f"Free some space, or {folder.elsewhere}."
    return Finding(name=folder.name, state=state, found=f"can be written to, {gb(free)} free", advice=advice,
                   personal=str(folder.path))


def _nearest(path: Path) -> Path:
    """path, or the nearest folder above it that is there: looking makes no folders."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _try_to_write(folder: Path) -> None:
    """Write a file that has no name, or is gone at once. Raises OSError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0" * TRIAL_BYTES)
        file.flush()
        os.fsync(file.fileno())


def settings() -> Iterator[Finding]:
    """The settings file, and the offline switch in it."""
    from ui.settings import FILE, SettingsFile
    path = runs.home() / FILE
    try:
        value = SettingsFile(runs.home()).value
    except (UserError, TypeError, AttributeError) as error:     # no JSON; or JSON, and no settings
        yield Finding(name="Settings", state=BAD, found="the file is damaged", personal=one_line(f"{path}: {error}"),
                      advice=f"Move {FILE} away from your folder: Galen starts with its defaults then.")
        return
    yield Finding(name="Settings", state=GOOD, personal=str(path),
                  found="can be read" if path.is_file() else "nothing set yet")
    yield Finding(name="Offline", state=GOOD, found="on: the page makes no connection outside this computer"
                  if value.is_offline else "off: the page may connect when it is asked to",
                  advice="Switch it off in Settings to download a model." if value.is_offline else
                  "Switch it on in Settings when nothing is to be downloaded.")
