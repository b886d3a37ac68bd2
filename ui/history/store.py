"""One open SQLite file of conversations, or one in memory: its transactions, its lock, what its disk did to us."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlcipher3 import dbapi2 as sqlite  # for plain files too: a file must not be open in two SQLite libraries

from models import runs
from models.errors import UserError
from ui.history import passphrase, schema
from ui.history.records import Locked

BUSY_S = 10.0                   # how long one writer waits for another
FULL_BYTES = 1 << 20            # less free than this: what SQLite calls an I/O error is a full disk
DAMAGED = (sqlite.SQLITE_CORRUPT, sqlite.SQLITE_NOTADB)
NOT_OURS = (*DAMAGED, sqlite.SQLITE_FULL, sqlite.SQLITE_IOERR, sqlite.SQLITE_BUSY, sqlite.SQLITE_READONLY,
            sqlite.SQLITE_CANTOPEN)


class Store:
    """One database for all threads. Closed (and of a locked file: not yet open), every use raises Locked."""

    def __init__(self, path: Path | None):
        """path: the file, made when it is missing; None: memory only. Nothing is opened yet."""
        self.path = path
        self.is_encrypted = False
        self._lock = threading.RLock()
        self._db: Any = None

    @property
    def is_open(self) -> bool:
        """Whether it can be read."""
        return self._db is not None

    def look(self) -> None:
        """Make the file if there is none, sweep up after a killed change, see whether it asks for a passphrase."""
        assert self.path is not None
        with self._told("be opened"), self._alone():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))     # nobody else's to read
            passphrase.sweep(self.path)
            self.is_encrypted = passphrase.is_encrypted(self.path)

    def open(self, key: str = "") -> None:
        """Open it, check it and bring it to the newest schema. UserError if it is damaged, or newer than this program.

        Raises Wrong if key is not the one of an encrypted file.
        """
        with self._told("be opened"):
            if self.path is None:
                self._db = _ready(":memory:")
            else:
                with self._alone():
                    if self.is_encrypted and not passphrase.fits(self.path, key):
                        raise passphrase.Wrong
                    self._db = self._opened(key)
        try:
            with self.writing() as db:
                if not schema.migrate(db):
                    raise UserError(f"{self.path} was written by a newer version of Galen; update this one to open "
                                    "it.")
            self.fold()
        except BaseException:
            self.close()
            raise

    def _opened(self, key: str) -> Any:
        db = _ready(str(self.path), key)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            tables = db.execute("SELECT name FROM sqlite_master WHERE name IN ('conversation', 'message')").fetchall()
            for table, in tables:               # the index of words would take a second for 50,000 messages
                if db.execute(f"PRAGMA quick_check({table})").fetchone() != ("ok",):
                    raise self._problem("be opened", "its pages do not fit together", sqlite.SQLITE_CORRUPT)
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Fold the WAL into the file and close it."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """The database, for one or more SELECTs of this thread."""
        with self._told("be read"):
            if self._db is None:
                raise Locked
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """One transaction that holds the write lock from its start; inside another one of this thread, a part of it."""
        with self._told("be saved"):
            if self._db is None:
                raise Locked
            db = self._db
            if db.in_transaction:
                yield db
                return
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def fold(self) -> None:
        """Empty the WAL into the file, so that no deleted text stays in it. Another reader may be in the way."""
        with self._told("be saved"):
            if self._db is not None and self.path is not None:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def copy(self, to: Path) -> None:
        """Write a whole copy of the file as it is now; an encrypted one has the same passphrase."""
        with self.reading() as db, runs.whole_file(to) as part:
            passphrase.remove(part)
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
            db.execute("VACUUM INTO ?", (str(part),))

    def rewrite(self, old: str, new: str) -> None:
        """Give the file another passphrase ("" = none). Until the new file is whole, the old one stays as it is."""
        with self._told("be saved"), self._alone():
            if self._db is None or self.path is None:
                raise Locked
            try:
                replaced = passphrase.rewrite(self._db, self.path, new)
            except BaseException:
                self._db.close()
                self._db = self._opened(old)
                raise
            self.is_encrypted = bool(new)
            self._db = self._opened(new)
            passphrase.erase(replaced, self.path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else of ours opens or replaces the file meanwhile."""
        assert self.path is not None
        with FileLock(self.path.with_suffix(".lock"), timeout=BUSY_S):
            yield

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Hold the lock, and turn what the disk did to us into a UserError; our own mistakes rise as they are."""
        with self._lock:
            try:
                yield
            except sqlite.DatabaseError as error:
                code = getattr(error, "sqlite_errorcode", sqlite.SQLITE_ERROR) & 0xff       # not set by the wrapper
                if code not in NOT_OURS:
                    raise
                raise self._problem(what, str(error), code) from error
            except Timeout as error:
                raise self._problem(what, "it is being opened elsewhere", sqlite.SQLITE_BUSY) from error
            except OSError as error:
                code = sqlite.SQLITE_FULL if runs.is_disk_full(error) else sqlite.SQLITE_CANTOPEN
                raise self._problem(what, error.strerror or str(error), code) from error

    def _problem(self, what: str, why: str, code: int) -> UserError:
        assert self.path is not None
        is_full = code == sqlite.SQLITE_FULL or (
            code == sqlite.SQLITE_IOERR and shutil.disk_usage(self.path.parent).free < FULL_BYTES)
        if code in DAMAGED:
            advice = "The file is damaged. Move this file away to start with an empty list."
        elif is_full:
            advice = "The disk is full. Free some space and try again."
        elif code == sqlite.SQLITE_BUSY:
            advice = "Another program holds the file; close it and try again."
        else:
            advice = "Make the folder writable, or set GALEN_HOME to another one."
        return UserError(f"The conversations in {self.path} can not {what} ({why}). {advice}")


def _ready(path: str, key: str = "") -> Any:
    """A connection with our settings. Temporary tables and sorting stay in memory."""
    db = passphrase.connect(path, key)
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    return db
