"""A passphrase on the file of conversations: SQLCipher's key, whole-file rewriting, and what a wrong guess costs."""

import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlcipher3 import dbapi2 as sqlite

from models import runs
from models.errors import UserError

BUSY_S = 10.0
MAGIC = b"SQLite format 3\0"
PAGE = 4096
RANDOM = 240                    # so many of the 256 byte values stand in a page of random bytes, never in text
WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
NONE = -1                       # no descriptor
TRIES_SUFFIX = ".tries"         # how many wrong ones since the last right one, and when the last was


class Wrong(UserError):
    """Not the passphrase of this file."""

    def __init__(self) -> None:
        super().__init__("This is not the passphrase of these conversations. Try again; "
                         "each wrong one takes longer to be refused.")


def connect(path: str, key: str = "") -> Any:
    """A connection in autocommit mode; key "" for a plain file. A wrong key is only seen at the first read."""
    db = sqlite.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA cipher_log_level = NONE")        # a wrong passphrase is told by us, not on the terminal
    if key:
        db.execute("PRAGMA key = '" + key.replace("'", "''") + "'")
    return db


def normal(passphrase: str) -> str:
    """The same bytes for the same letters, whichever keyboard made them. UserError for what no key can hold."""
    if "\0" in passphrase:
        raise UserError("A passphrase can not hold a null character; choose another one.")
    return unicodedata.normalize("NFC", passphrase)


def is_encrypted(path: Path) -> bool:
    """Whether the file looks like random bytes. To be asked while it is not open: closing it drops POSIX locks."""
    with path.open("rb") as file:
        page = file.read(PAGE)
    return not page.startswith(MAGIC) and len(page) == PAGE and len(set(page)) >= RANDOM


def fits(path: Path, key: str) -> bool:
    """Whether key opens the file."""
    db = connect(str(path), key)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return True
    except sqlite.DatabaseError as error:
        if error.sqlite_errorcode & 0xff != sqlite.SQLITE_NOTADB:
            raise
        return False
    finally:
        db.close()


def rewrite(db: Any, path: Path, key: str) -> int:
    """Replace the file at path, open in db and nowhere else, by one under key ("" = plain). Closes db.

    The new file is written beside it, compared and synced before it takes the name. Returns the descriptor of the
    replaced file, for erase.
    """
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = DELETE").fetchone()       # folds the WAL, and fails while anybody else is there
    old = os.open(path, os.O_RDWR) if sys.platform != "win32" else NONE     # Windows replaces no open file
    try:
        with runs.whole_file(path) as part:
            remove(part)
            os.close(os.open(part, os.O_CREAT | os.O_RDWR, 0o600))
            _export(db, part, key)
            _compare(db, part, key)
            _sync(part, os.O_RDWR)
            db.close()
    except BaseException:
        db.close()              # before the descriptor: closing that drops the POSIX locks of the whole process
        if old != NONE:
            os.close(old)
        raise
    return old


def _export(db: Any, part: Path, key: str) -> None:
    db.execute("ATTACH ? AS made KEY ?", (str(part), key))
    try:
        db.execute("PRAGMA made.journal_mode = OFF").fetchone()     # it does not count before it has its name
        db.execute("PRAGMA made.synchronous = OFF")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("SELECT sqlcipher_export('made')").fetchone()
        version = db.execute("PRAGMA main.user_version").fetchone()[0]
        db.execute(f"PRAGMA made.user_version = {version}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("DETACH made")


def _compare(db: Any, part: Path, key: str) -> None:
    """Open the new file by itself, check its pages, and count its rows against db's."""
    made = connect(str(part), key)
    try:
        assert made.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
        tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            count = f'SELECT count(*) FROM "{table}"'
            assert made.execute(count).fetchone() == db.execute(count).fetchone(), table
    finally:
        made.close()


def erase(replaced: int, path: Path) -> None:
    """Overwrite the file that rewrite replaced at path, once the new one's name is on the disk."""
    if replaced != NONE:
        _sync(path.parent, os.O_RDONLY)
        with os.fdopen(replaced, "r+b") as file:
            _overwrite(file)


def _sync(path: Path, mode: int) -> None:
    number = os.open(path, mode)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sweep(path: Path) -> None:
    """Take away what a killed rewrite left behind; it may be half of a plain copy."""
    remove(path.with_name(path.name + ".part"))


def remove(path: Path) -> None:
    """Overwrite and unlink, if it is there."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        _overwrite(file)
    path.unlink(missing_ok=True)


def _overwrite(file: Any) -> None:
    left = file.seek(0, os.SEEK_END)
    file.seek(0)
    while left > 0:
        left -= file.write(bytes(min(left, 1 << 20)))
    file.flush()
    os.fsync(file.fileno())


class Tries:
    """What wrong passphrases cost, kept beside the file so that a restart does not make the next one cheaper."""

    def __init__(self, path: Path):
        self._path = path.with_suffix(TRIES_SUFFIX)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One try: sit out the last wrong one's time; if this one raises Wrong, count it and take its own time."""
        self._wait()
        try:
            yield
        except Wrong:
            runs.write_json(self._path, {"wrong": self._read()[0] + 1, "at": time.time()})
            self._wait()
            raise
        self._path.unlink(missing_ok=True)

    def _wait(self) -> None:
        wrong, at = self._read()
        time.sleep(min(max(at + _wait_s(wrong) - time.time(), 0.0), _wait_s(wrong)))

    def _read(self) -> tuple[int, float]:
        if not self._path.is_file():
            return 0, 0.0
        kept = runs.read_json(self._path)
        return int(kept["wrong"]), float(kept["at"])


def _wait_s(wrong: int) -> float:
    """0 s, 1 s, 2 s, 4 s .. 30 s."""
    return min(WAIT_S * 2.0 ** (min(wrong, 10) - 1), LONGEST_WAIT_S) if wrong else 0.0
