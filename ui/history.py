"""Conversations on disk: one SQLite file in WAL mode, whose schema grows by numbered migrations."""

import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models import runs
from models.errors import UserError

FILE = "history.sqlite"
TITLE_LENGTH = 60
BUSY_S = 10.0                   # how long one writer waits for another

# PRAGMA user_version counts the migrations a file has been through. Never edit one; add the next.
MIGRATIONS = (
    """
    CREATE TABLE conversation (
        id TEXT PRIMARY KEY,
        title TEXT NOT NULL,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        version INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        parent INTEGER REFERENCES message (id) ON DELETE CASCADE,
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        state TEXT NOT NULL,
        problem TEXT NOT NULL DEFAULT '',
        model TEXT NOT NULL DEFAULT '',
        notice TEXT NOT NULL DEFAULT '',
        fingerprint TEXT NOT NULL DEFAULT '',
        tokens INTEGER NOT NULL DEFAULT 0,
        tokens_per_s REAL NOT NULL DEFAULT 0,
        dropped_turns INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL
    );
    CREATE INDEX message_of_conversation ON message (conversation, id);
    CREATE INDEX message_of_parent ON message (parent);
    CREATE INDEX conversation_by_time ON conversation (updated);
    """,
)

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
NOT_OURS = (*DAMAGED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN)
FULL_BYTES = 1 << 20            # less free than this: what SQLite calls an I/O error is a full disk
WRITING, WHOLE, STOPPED, CUT, BROKEN = "writing", "whole", "stopped", "cut", "broken"


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One line of the list."""
    id: str
    title: str
    updated: float              # seconds since 1970


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn. state: "writing", "whole", "stopped" (by the user), "cut" (length limit), "broken" (see problem)."""
    id: int
    role: str                   # "user" or "assistant"
    text: str
    state: str = WHOLE
    problem: str = ""           # one sentence
    model: str = ""             # what the answering model is called
    notice: str = ""            # the sentence that must stand beside its answers
    fingerprint: str = ""
    tokens: int = 0
    tokens_per_s: float = 0.0
    dropped_turns: int = 0      # messages that no longer fitted the context


FIELDS = ("id", "role", "text", "state", "problem", "model", "notice", "fingerprint", "tokens", "tokens_per_s",
          "dropped_turns")


class History:
    """The conversations of one folder. May be used from several threads and beside other processes."""

    def __init__(self, folder: Path):
        """Open or create folder/history.sqlite. UserError if it is damaged, or made by a newer Galen."""
        runs.make_folder(folder)
        self.path = folder / FILE
        self._lock = threading.RLock()
        with self._told("be opened"):
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))     # nobody else's to read
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")
            if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise self._problem("be opened", "its pages do not fit together", sqlite3.SQLITE_CORRUPT)
        self._migrate()

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Hold the lock, and turn what the disk did to us into a UserError; our own mistakes rise as they are."""
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xff      # not set by the wrapper
                if code not in NOT_OURS:
                    raise
                raise self._problem(what, str(error), code) from error
            except OSError as error:
                code = sqlite3.SQLITE_FULL if runs.is_disk_full(error) else sqlite3.SQLITE_CANTOPEN
                raise self._problem(what, error.strerror or str(error), code) from error

    def _problem(self, what: str, why: str, code: int) -> UserError:
        is_full = code == sqlite3.SQLITE_FULL or (
            code == sqlite3.SQLITE_IOERR and shutil.disk_usage(self.path.parent).free < FULL_BYTES)
        if code in DAMAGED:
            advice = "The file is damaged. Move this file away to start with an empty list."
        elif is_full:
            advice = "The disk is full. Free some space and try again."
        elif code == sqlite3.SQLITE_BUSY:
            advice = "Another program holds the file; close it and try again."
        else:
            advice = "Make the folder writable, or set GALEN_HOME to another one."
        return UserError(f"The conversations in {self.path} can not {what} ({why}). {advice}")

    def _migrate(self) -> None:
        with self._writing() as db:
            done = db.execute("PRAGMA user_version").fetchone()[0]
            if done > len(MIGRATIONS):
                raise UserError(f"{self.path} was written by a newer version of Galen; update this one to open it.")
            for number, script in enumerate(MIGRATIONS[done:], start=done + 1):
                for statement in script.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start. UserError when the disk does not take it."""
        with self._told("be saved"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def conversations(self) -> list[Conversation]:
        """All conversations, the one used last first."""
        with self._told("be read"):
            rows = self._db.execute("SELECT id, title, updated FROM conversation ORDER BY updated DESC, id").fetchall()
        return [Conversation(id=row[0], title=row[1], updated=row[2]) for row in rows]

    def list_version(self) -> str:
        """A value that changes whenever conversations() does."""
        with self._told("be read"):
            count, latest = self._db.execute("SELECT count(*), max(updated) FROM conversation").fetchone()
        return f"{count}-{latest}"

    def version(self, conversation: str) -> int:
        """A number that grows with each change of the conversation; -1 when there is none of this id."""
        with self._told("be read"):
            row = self._db.execute("SELECT version FROM conversation WHERE id = ?", (conversation,)).fetchone()
        return row[0] if row else -1

    def thread(self, conversation: str) -> list[Message]:
        """The turns from the first on, each with the newest version of what followed it. [] for an unknown id."""
        with self._told("be read"):
            rows = self._db.execute(f"SELECT parent, {', '.join(FIELDS)} FROM message WHERE conversation = ? "
                                    "ORDER BY id", (conversation,)).fetchall()
        newest = {row[0]: Message(**dict(zip(FIELDS, row[1:], strict=True))) for row in rows}
        turns: list[Message] = []
        while following := newest.get(turns[-1].id if turns else None):
            turns.append(following)
        return turns

    def ask(self, conversation: str, text: str) -> int:
        """Add a question and its empty answer, in a new conversation if there is none of this id.

        Returns the answer's id. Raises UserError if conversation is no id that new_id could have made.
        """
        if not is_id(conversation):
            raise UserError(f"{conversation!r} is not the address of a conversation; start a new one.")
        with self._writing() as db:
            now = time.time()
            db.execute("INSERT OR IGNORE INTO conversation (id, title, created, updated) VALUES (?, ?, ?, ?)",
                       (conversation, _title(text), now, now))
            turns = self.thread(conversation)
            question = self._add(conversation, turns[-1].id if turns else None, "user", text, WHOLE)
            return self._add(conversation, question, "assistant", "", WRITING)

    def ask_again(self, conversation: str) -> int:
        """Add an empty answer to the last question, beside the ones it has. Returns its id."""
        with self._writing():
            questions = [turn for turn in self.thread(conversation) if turn.role == "user"]
            if not questions:
                raise UserError("There is no question to answer yet; write a message first.")
            return self._add(conversation, questions[-1].id, "assistant", "", WRITING)

    def _add(self, conversation: str, parent: int | None, role: str, text: str, state: str) -> int:
        self._touch(conversation)
        row = self._db.execute(
            "INSERT INTO message (conversation, parent, role, text, state, created) VALUES (?, ?, ?, ?, ?, ?)",
            (conversation, parent, role, text, state, time.time()))
        assert row.lastrowid is not None
        return row.lastrowid

    def _touch(self, conversation: str) -> None:
        self._db.execute("UPDATE conversation SET updated = ?, version = version + 1 WHERE id = ?",
                         (time.time(), conversation))

    def write(self, answer: int, text: str) -> None:
        """Keep what has come of a running answer. Does nothing once the answer was deleted."""
        with self._writing() as db:
            db.execute("UPDATE message SET text = ? WHERE id = ?", (text, answer))

    def finish(self, conversation: str, answer: Message) -> None:
        """Keep an answer in its final form. Does nothing once it was deleted."""
        values = [getattr(answer, name) for name in FIELDS[2:]]
        with self._writing() as db:
            changed = db.execute(f"UPDATE message SET {', '.join(f'{name} = ?' for name in FIELDS[2:])} "
                                 "WHERE id = ? AND conversation = ?", (*values, answer.id, conversation))
            if changed.rowcount:
                self._touch(conversation)

    def delete(self, conversation: str) -> None:
        """Remove a conversation and its messages; an unknown id is no error."""
        with self._writing() as db:
            db.execute("DELETE FROM conversation WHERE id = ?", (conversation,))

    def mark_interrupted(self) -> int:
        """Mark answers that a killed Galen left unfinished; called once at start. Returns how many there were."""
        with self._writing() as db:
            return db.execute(
                "UPDATE message SET state = ?, problem = 'Galen was closed while this answer was written.' "
                "WHERE state = ?", (BROKEN, WRITING)).rowcount

    def close(self) -> None:
        """Fold the WAL into the file and close it."""
        with self._lock:
            self._db.close()


def new_id() -> str:
    """The id of a conversation that does not exist yet."""
    return secrets.token_hex(8)


def is_id(text: str) -> bool:
    """True for what new_id makes."""
    return re.fullmatch(r"[0-9a-f]{16}", text) is not None


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_LENGTH else line[:TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"
