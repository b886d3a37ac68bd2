"""The folder as one archive, and an archive checked so that the next start can put it in place."""

import hashlib
import json
import shutil
import stat
import struct
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models import knobs, runs, token
from models.errors import UserError
from ui.actions.space import BACKUPS, REPLACED, files_in
from ui.chore import Progress
from ui.history import FILE as HISTORY
from ui.history import History
from ui.settings import FILE as SETTINGS
from ui.settings import Settings

MANIFEST = "galen-backup.json"  # in the archive, its last entry: {"format", "made", "files": {name: [bytes, sha256]}}
FORMAT = 1
WAITING = "restore.json"        # in the folder: {"from", "replaced", "entries"}; the next start finishes it
CHECKED = runs.SCRATCH + "restore-"     # begins the name of the folder that a checked archive lies in
CHUNK = 1 << 20
MOST_LIST_BYTES = 64 << 20      # of the manifest: some 500,000 files
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, KeyError, TypeError, AttributeError,
           NotImplementedError, RuntimeError)           # what zipfile and json raise for bytes that are no such archive
PACKED_ALREADY = {".gguf", ".safetensors", ".pt", ".bin", ".zip", ".parquet", ".png"}
FOLDERS = ("runs", "exports")   # of these each folder is an entry of its own: what is not in the archive stays
NOT_KEPT = {"cache", "logs", BACKUPS, REPLACED, "app.lock", "app.json", "history.lock", WAITING, runs.MOVED_TO,
            "moved-from.json", "move.json"}


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A backup that lies in the folder of backups."""
    name: str
    bytes: int
    made: float                 # seconds since 1970


def listed(home: Path) -> list[Archive]:
    """The backups, the newest first."""
    found = [(path.stat(), path.name) for path in (home / BACKUPS).glob("*.zip") if path.is_file()]
    return sorted((Archive(name=name, bytes=one.st_size, made=one.st_mtime) for one, name in found),
                  key=lambda archive: archive.made, reverse=True)


def find(home: Path, name: str) -> Path:
    """The backup called name. Raises UserError if it is none of those that are listed."""
    if name not in [archive.name for archive in listed(home)]:
        raise UserError(f"There is no backup {name!r} in {home / BACKUPS}; choose one that is listed.")
    return home / BACKUPS / name


def new_file(home: Path, told: str) -> Path:
    """Where an uploaded backup will lie, under a name of ours. Raises UserError for another kind of file."""
    if not told.lower().endswith(".zip"):
        raise UserError("A backup of Galen is a .zip file; choose one whose name ends so.")
    runs.make_folder(home / BACKUPS)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return next(one for k in range(1, 1000)
                if not (one := home / BACKUPS / f"added-{stamp}{f'-{k}' if k > 1 else ''}.zip").exists())


def take(part: Path, to: Path) -> None:
    """Give an uploaded file its name. Raises UserError if it is no backup."""
    try:
        with zipfile.ZipFile(part) as archive:
            archive.getinfo(MANIFEST)
    except DAMAGED as error:
        raise UserError("This file is no backup of Galen, or not whole; choose another one.") from error
    part.replace(to)


def kept_files(home: Path, with_models: bool = True, with_checkpoints: bool = True) -> list[Path]:
    """The files of home that a copy of it holds, but for the conversations."""
    found = []
    for path in files_in(home):
        parts = path.relative_to(home).parts
        is_ours = parts[0] in NOT_KEPT or parts[0].startswith(HISTORY) or any(p.startswith(runs.SCRATCH) for p in parts)
        if is_ours or path.suffix == ".part" or not stat.S_ISREG(path.lstat().st_mode):
            continue
        if (with_models or path.suffix != ".gguf") and (with_checkpoints or runs.CHECKPOINTS not in parts):
            found.append(path)
    return sorted(found)


def write(home: Path, history: History, progress: Progress, *, with_models: bool, with_checkpoints: bool) -> Path:
    """Write home/backups/galen-DATE.zip; it appears whole or not at all."""
    runs.make_folder(home / BACKUPS)
    to = home / BACKUPS / f"galen-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    sums: dict[str, tuple[int, str]] = {}
    with runs.scratch_folder(home / BACKUPS) as scratch, runs.whole_file(to) as part:
        copy = Path(scratch) / HISTORY
        history.copy(copy)
        secret = {home / token.DOTENV, token.path()}    # archives go to other disks and other people
        found = [(copy, HISTORY), *((path, path.relative_to(home).as_posix())
                                    for path in kept_files(home, with_models, with_checkpoints) if path not in secret)]
        total = sum(path.stat().st_size for path, _ in found)
        _refuse_full(home, total)
        progress.begin("Writing the archive", total)
        with zipfile.ZipFile(part, "w", allowZip64=True, compresslevel=1) as archive:
            for path, name in found:
                sums[name] = _pack(archive, path, name, progress)
            manifest = {"format": FORMAT, "made": time.time(), "files": sums}
            archive.writestr(MANIFEST, json.dumps(manifest), zipfile.ZIP_DEFLATED)
        progress.begin("Reading it back", part.stat().st_size)
        _verify(part, progress)
    return to


def _pack(archive: zipfile.ZipFile, path: Path, name: str, progress: Progress) -> tuple[int, str]:
    how = zipfile.ZIP_STORED if path.suffix in PACKED_ALREADY else zipfile.ZIP_DEFLATED
    info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
    info.compress_type = how
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as into:
        while block := source.read(CHUNK):
            into.write(block)
            digest.update(block)
            size += len(block)
            progress.add(len(block))
    return size, digest.hexdigest()


def _verify(path: Path, progress: Progress) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as source:
                while source.read(CHUNK):
                    pass                        # the end of each entry holds its checksum against what was read
            progress.add(info.compress_size)


def check(home: Path, archive: Path, progress: Progress) -> int:
    """Unpack an archive beside what is there, hold every file against its checksum, and leave it to the next start.

    Returns how many files it holds. Raises UserError, and changes nothing, if it is no backup of ours, is damaged, of
    a newer Galen, or too large for the disk.
    """
    drop_unfinished(home)
    to = home / (CHECKED + time.strftime("%Y%m%d-%H%M%S"))
    try:
        sums = _unpack(archive, to, progress)
        _check_contents(to)
    except BaseException as error:
        shutil.rmtree(to, ignore_errors=True)
        if isinstance(error, DAMAGED):
            raise UserError(f"{archive.name} is damaged, or no backup of Galen; nothing was changed.") from error
        if isinstance(error, OSError):
            why = "the disk became full" if runs.is_disk_full(error) else error.strerror
            raise UserError(f"{archive.name} could not be unpacked ({why}); nothing was changed.") from error
        raise
    runs.write_json(home / WAITING, {"from": to.name, "replaced": f"{REPLACED}/{time.strftime('%Y%m%d-%H%M%S')}",
                                     "entries": sorted({_entry(name) for name in sums})})
    return len(sums)


def _unpack(path: Path, to: Path, progress: Progress) -> dict[str, tuple[int, str]]:
    with zipfile.ZipFile(path) as archive:
        if MANIFEST not in archive.namelist():
            raise UserError(f"{path.name} is no backup of Galen: it holds no {MANIFEST}.")
        with archive.open(MANIFEST) as source:
            manifest = json.loads(source.read(MOST_LIST_BYTES))
        if manifest.get("format") != FORMAT:
            raise UserError(f"{path.name} was made by a newer version of Galen; update this one to restore it.")
        sums = {str(name): (int(size), str(digest)) for name, (size, digest) in manifest["files"].items()}
        _refuse_full(to.parent, sum(size for size, _ in sums.values()))
        progress.begin("Unpacking and checking", sum(size for size, _ in sums.values()))
        for name, (size, digest) in sums.items():
            if not _is_safe(name):
                raise UserError(f"{path.name} holds a file {name!r}, which no backup of Galen does.")
            try:
                info = archive.getinfo(name)
            except KeyError:
                raise UserError(f"{path.name} lacks {name}, so it is not whole; nothing was changed.") from None
            _unpack_one(archive, info, to / name, (size, digest), progress)
    return sums


def _unpack_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, to: Path, known: tuple[int, str],
                progress: Progress) -> None:
    runs.make_folder(to.parent)
    digest, size = hashlib.sha256(), 0
    with archive.open(info) as source, to.open("xb") as into:
        while block := source.read(CHUNK):
            size += len(block)
            if size > known[0]:
                break                           # more than it said it holds
            into.write(block)
            digest.update(block)
            progress.add(len(block))
    if (size, digest.hexdigest()) != known:
        raise UserError(f"{info.filename} in the backup is not what was put there, so the archive is damaged; "
                        "nothing was changed.")


def _check_contents(folder: Path) -> None:
    if (folder / SETTINGS).is_file():
        knobs.from_json(Settings, runs.read_json(folder / SETTINGS))
    if (folder / HISTORY).is_file():
        History(folder).close()


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    is_plain = bool(parts) and not name.startswith("/") and not any(c in name for c in "\\:\0")
    is_ours = is_plain and parts[0] not in NOT_KEPT and parts[0] != token.DOTENV
    return is_ours and ".." not in parts and not parts[0].startswith(runs.SCRATCH)


def _entry(name: str) -> str:
    parts = PurePosixPath(name).parts
    return "/".join(parts[:2] if parts[0] in FOLDERS else parts[:1])


def waiting(home: Path) -> bool:
    """True while a checked backup waits for the next start."""
    return (home / WAITING).is_file()


def forget(home: Path) -> None:
    """Do not restore what waits."""
    (home / WAITING).unlink(missing_ok=True)
    drop_unfinished(home)


def drop_unfinished(home: Path) -> None:
    """Delete what checks left that were killed, or gave way to another."""
    keep = str(runs.read_json(home / WAITING)["from"]) if waiting(home) else ""
    for folder in home.glob(CHECKED + "*"):
        if folder.name != keep:
            shutil.rmtree(folder)


def finish(home: Path) -> None:
    """Put a checked backup in place, before anything in home is open. A kill in the middle goes on at the next start.

    What it takes the place of lies in home/replaced afterwards.
    """
    if waiting(home):
        plan = runs.read_json(home / WAITING)
        source, replaced = home / plan["from"], home / plan["replaced"]
        if (source / HISTORY).exists():
            for side in home.glob(HISTORY + "-*"):      # belong to the file that goes
                _set_aside(side, replaced / side.name)
        for entry in filter(_is_safe, plan["entries"]):
            new, now = source / entry, home / entry
            if new.exists():
                _set_aside(now, replaced / entry)
                runs.make_folder(now.parent)
                new.replace(now)
        (home / WAITING).unlink()
    drop_unfinished(home)
    for left in (home / BACKUPS).glob("*.part"):        # by a killed backup, of conversations without a passphrase
        left.unlink()
    for folder in (home / BACKUPS).glob(runs.SCRATCH + "*"):
        shutil.rmtree(folder)


def _set_aside(path: Path, to: Path) -> None:
    if path.exists() and not to.exists():
        runs.make_folder(to.parent)
        path.replace(to)


def _refuse_full(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise UserError(f"This needs {wanted / 1e9:.1f} GB and the disk of {folder} has {free / 1e9:.1f} GB free; "
                        "free some space and try again.")
