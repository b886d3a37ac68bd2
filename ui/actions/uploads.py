"""Files that a page was given, and files that it hands out: all inside one folder, which is emptied at start and end.

No other path that comes from a browser is ever opened.
"""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from models import runs
from models.errors import UserError

TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".ndjson", ".parquet")
OUT = "out"                         # in the folder: what can be downloaded
NAME_CHARS = 60
NOT_IN_NAMES = re.compile(r"[^\w .()+-]+|\.{2,}")       # no separators, nothing that a shell or a browser reads
GONE = "The file is not here any more; choose it once more."


def upload_folder() -> Path:
    """Where the page keeps files while it runs: inside the user's folder, emptied at start and end."""
    return runs.home() / "cache" / "page"


def placed(path: str | Path) -> Path:
    """The uploaded file itself, behind every link. Raises UserError if that is none in the upload folder."""
    folder = upload_folder().resolve()
    try:
        place = Path(path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):         # gone, too long a name, a NUL in it, links in a circle
        raise UserError(GONE) from None
    if not place.is_relative_to(folder) or not place.is_file() or place.is_relative_to(folder / OUT):
        raise UserError(GONE)
    return place


def taken(path: str | Path, into: Path, name: str = "file", endings: Collection[str] = TABLES) -> Path:
    """Move an uploaded file into a folder of ours, under name and its own ending, and return where it is now.

    Raises UserError if it is not (or no longer) a file in the upload folder, or ends in none of endings.
    """
    place = placed(path)
    ending = place.suffix.lower()
    if ending not in endings:
        raise UserError(f"{told_name(path)} ends in {ending or 'nothing'}, which can not be read here; use one of "
                        f"{', '.join(endings)}.")
    runs.make_folder(into)
    to = next(one for k in range(1, 10_000) if not (one := into / f"{name}{f'-{k}' if k > 1 else ''}{ending}").exists())
    try:
        shutil.move(place, to)
    except FileNotFoundError:                           # another page took the same file a moment ago
        raise UserError(GONE) from None
    with contextlib.suppress(OSError):                  # its folder in the upload folder, unless it holds more
        place.parent.rmdir()
    return to


def drop(path: str | Path) -> None:
    """Delete an uploaded file, if it is still there."""
    with contextlib.suppress(UserError, OSError):
        placed(path).unlink()


def told_name(path: str | Path) -> str:
    """The name of an uploaded file as the person knows it, for a title or a download: short, and no path."""
    name = Path(str(path).replace("\\", "/")).name
    stem, ending = Path(name).stem, Path(name).suffix
    tidy = " ".join(NOT_IN_NAMES.sub(" ", stem).split()).strip(". ")[:NAME_CHARS].strip() or "file"
    return tidy + NOT_IN_NAMES.sub("", ending)[:12]


def offered(path: Path, name: str) -> Path:
    """A copy of a file of ours that the page may hand out, under name; the same one for the same file."""
    state = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {state.st_mtime_ns} {state.st_size}".encode()).hexdigest()[:32]
    to = upload_folder() / OUT / key / told_name(name)
    if not to.is_file():
        runs.make_folder(to.parent)
        with runs.whole_file(to) as part:
            shutil.copyfile(path, part)
    return to
