"""The list of conversations in the tables: search, and deleting so that nothing of the text stays."""

import sys
import time
import unicodedata
from typing import Any

from models.errors import UserError
from ui.history.messages import note_change
from ui.history.records import Conversation
from ui.history.store import Store

ACCENTS = frozenset(map(chr, range(0x300, 0x332)))      # that stand by themselves
LETTERS = 3                     # of a term of the index
BATCH = 4                       # messages deleted at once: taking a long one out of a large index takes some 30 ms


def found(db: Any, query: str, limit: int, offset: int) -> list[Conversation]:
    """Those whose title or one message holds every word of query: starred ones first, then the one used last."""
    where, values = _matching(db, query)
    rows = db.execute(
        f"SELECT id, title, updated, is_starred FROM conversation WHERE deleted IS NULL{where} "
        "ORDER BY is_starred DESC, updated DESC, id LIMIT ? OFFSET ?", (*values, limit, offset))
    return [Conversation(id=row[0], title=row[1], updated=row[2], is_starred=bool(row[3])) for row in rows]


def line(db: Any, conversation: str) -> Conversation:
    """One of them. UserError for an unknown or hidden one."""
    row = db.execute("SELECT id, title, updated, is_starred FROM conversation WHERE id = ? AND deleted IS NULL",
                     (conversation,)).fetchone()
    if not row:
        raise UserError("This conversation is no longer there.")
    return Conversation(id=row[0], title=row[1], updated=row[2], is_starred=bool(row[3]))


def count(db: Any, query: str) -> int:
    """How many there are."""
    where, values = _matching(db, query)
    number: int = db.execute(f"SELECT count(*) FROM conversation WHERE deleted IS NULL{where}", values).fetchone()[0]
    return number


def _matching(db: Any, query: str) -> tuple[str, tuple[str, ...]]:
    """The condition on a conversation, as SQL and its values."""
    words = folded(query.replace("\0", " ")).split()
    if not words:
        return "", ()
    db.create_function("folded", 1, folded, deterministic=True)
    titles = " AND ".join("instr(folded(title), ?)" for _ in words)
    parts = [_quoted(word) if len(word) >= LETTERS else _beginning(db, word) for word in words]
    if not all(parts):
        return f" AND {titles}", tuple(words)
    return (f" AND (({titles}) OR id IN (SELECT conversation FROM message WHERE +id IN "
            "(SELECT rowid FROM found WHERE found MATCH ?)))", (*words, " AND ".join(parts)))


def _beginning(db: Any, word: str) -> str:
    """All threes of letters that begin with this one or two, for the index; "" when there are none."""
    terms = db.execute("SELECT term FROM found_letters WHERE term >= ? AND term < ?",
                       (word, word[:-1] + chr(min(ord(word[-1]) + 1, sys.maxunicode)))).fetchall()
    return "(" + " OR ".join(_quoted(term) for term, in terms) + ")" if terms else ""


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def folded(text: str) -> str:
    """Without case, and without the accents on Latin letters: as the index folds it."""
    letters = (letter for letter in unicodedata.normalize("NFC", text).lower() if letter not in ACCENTS)
    return "".join(base if (base := unicodedata.normalize("NFD", letter)[0]).isascii() else letter
                   for letter in letters)


def hide(db: Any, conversation: str) -> None:
    """Take it off the list; it can be restored for some time."""
    db.execute("UPDATE conversation SET deleted = ? WHERE id = ? AND deleted IS NULL", (time.time(), conversation))


def restore(db: Any, conversation: str, keep_s: float) -> bool:
    """Put it back. False when it is too late."""
    changed = db.execute("UPDATE conversation SET deleted = NULL WHERE id = ? AND deleted > ?",
                         (conversation, time.time() - keep_s)).rowcount
    note_change(db, conversation)
    return bool(changed)


def purge(store: Store, keep_s: float = 0.0) -> None:
    """Delete what was hidden longer than keep_s ago, or all that is hidden, down to the bytes in the file."""
    before = time.time() - keep_s if keep_s else float("inf")
    with store.writing() as db:
        db.execute("UPDATE conversation SET deleted = 0 WHERE deleted <= ?", (before,))     # no restoring any more
        gone = [row[0] for row in db.execute("SELECT id FROM conversation WHERE deleted = 0")]
    for conversation in gone:
        is_left = True
        while is_left:
            with store.writing() as db:         # the newest first: deleting one takes what follows it along
                is_left = bool(db.execute(
                    "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE conversation = ? "
                    "ORDER BY id DESC LIMIT ?)", (conversation, BATCH)).rowcount)
                if not is_left:
                    db.execute("DELETE FROM conversation WHERE id = ?", (conversation,))
    if gone:
        store.fold()
