"""The turns of one conversation in the tables: reading its tree, adding questions and answers, choosing among them."""

import time
from typing import Any

from models.errors import UserError
from ui.history import tree
from ui.history.records import BROKEN, VOTES, WHOLE, WRITING, File, Message

FINAL = ("text", "state", "problem", "model", "notice", "fingerprint", "tokens", "tokens_per_s", "dropped_turns",
         "prompt_tokens", "ctx_tokens")         # what finish keeps
FIELDS = ("id", "parent", "role", "settings", "side", "vote", *FINAL)
TITLE_LENGTH = 60
CLOSED = "Galen was closed while this answer was written."


def every(db: Any, conversation: str) -> list[Message]:
    """All messages of a conversation, the oldest first; their files by name only. [] for a hidden or unknown one."""
    rows = db.execute(
        f"SELECT {', '.join(f'message.{name}' for name in FIELDS)} FROM message JOIN conversation "
        "ON conversation.id = message.conversation WHERE conversation = ? AND deleted IS NULL ORDER BY message.id",
        (conversation,)).fetchall()
    files: dict[int, tuple[File, ...]] = {}
    for message, *fields in db.execute(
            "SELECT message.id, file.id, name, kind, note FROM message JOIN file ON file.message = message.id "
            "WHERE conversation = ? ORDER BY file.id", (conversation,)):
        named = File(**dict(zip(("id", "name", "kind", "note"), fields, strict=True)))
        files[message] = (*files.get(message, ()), named)
    return [Message(**dict(zip(FIELDS, row, strict=True)), files=files.get(row[0], ())) for row in rows]


def one(db: Any, conversation: str, number: int, role: str = "") -> Message:
    """A message of the conversation (of this role). UserError if there is none."""
    for turn in every(db, conversation):
        if turn.id == number and role in ("", turn.role):
            return turn
    raise UserError("This message is no longer there; its conversation was deleted.")


def chosen(db: Any, conversation: str) -> dict[int | None, int]:
    """What the person chose to follow each message (None: the start), where there is a choice."""
    first = db.execute("SELECT chosen FROM conversation WHERE id = ?", (conversation,)).fetchone()
    found: dict[int | None, int] = dict(db.execute(
        "SELECT id, chosen FROM message WHERE conversation = ? AND chosen IS NOT NULL", (conversation,)))
    if first and first[0] is not None:
        found[None] = first[0]
    return found


def thread(db: Any, conversation: str) -> list[Message]:
    """The chosen path."""
    return tree.path(every(db, conversation), chosen(db, conversation))


def path_to(db: Any, answer: int) -> list[Message]:
    """The first turn .. this answer, with the contents of their files."""
    turns: list[Message] = []
    at: int | None = answer
    while at is not None:
        row = db.execute(f"SELECT {', '.join(FIELDS)} FROM message WHERE id = ?", (at,)).fetchone()
        if not row:
            return []
        files = db.execute("SELECT id, name, kind, note, text, data FROM file WHERE message = ? ORDER BY id", (at,))
        turns.append(Message(**dict(zip(FIELDS, row, strict=True)), files=tuple(_file(file) for file in files)))
        at = turns[-1].parent
    return turns[::-1]


def file(db: Any, conversation: str, number: int) -> File:
    """One file with its contents."""
    row = db.execute(
        "SELECT file.id, name, kind, note, file.text, data FROM file JOIN message ON message.id = file.message "
        "JOIN conversation ON conversation.id = message.conversation "
        "WHERE file.id = ? AND conversation = ? AND deleted IS NULL", (number, conversation)).fetchone()
    if not row:
        raise UserError("This file is no longer there; its conversation was deleted.")
    return _file(row)


def _file(row: tuple[Any, ...]) -> File:
    return File(**dict(zip(("id", "name", "kind", "note", "text", "data"), row, strict=True)))


def begin(db: Any, conversation: str, title: str) -> None:
    """Make the conversation if there is none of this id. UserError if it is deleted and can still be restored."""
    now = time.time()
    db.execute("INSERT OR IGNORE INTO conversation (id, title, created, updated) VALUES (?, ?, ?, ?)",
               (conversation, shortened(title), now, now))
    if db.execute("SELECT deleted FROM conversation WHERE id = ?", (conversation,)).fetchone() != (None,):
        raise UserError("This conversation was deleted. Undo that, or start a new one.")


def add_question(db: Any, conversation: str, parent: int | None, said: Message) -> int:
    """Add said with its files as the newest that follows parent; the path goes through it."""
    question = _add(db, conversation, parent, said)
    db.executemany("INSERT INTO file (message, name, kind, note, text, data) VALUES (?, ?, ?, ?, ?, ?)",
                   [(question, one.name, one.kind, one.note, one.text, one.data) for one in said.files])
    return question


def add_answers(db: Any, conversation: str, question: int, settings: str, sides: tuple[str, ...]) -> tuple[int, ...]:
    """Add the empty answer, or the pair; the path goes through it."""
    if sides not in (("",), ("a", "b")):
        raise ValueError(f"no sides of an answer: {sides}")
    return tuple(_add(db, conversation, question,
                      Message(id=0, role="assistant", text="", state=WRITING, settings=settings, side=side))
                 for side in sides)


def _add(db: Any, conversation: str, parent: int | None, said: Message) -> int:
    touch(db, conversation)
    number: int = db.execute(
        "INSERT INTO message (conversation, parent, role, text, state, notice, settings, side, created) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (conversation, parent, said.role, said.text, said.state, said.notice, said.settings, said.side,
         time.time())).lastrowid
    choose(db, conversation, parent)
    _set_chosen(db, conversation, parent, None)         # the newest
    return number


def choose(db: Any, conversation: str, message: int | None) -> None:
    """Lead the path through this message."""
    while message is not None:
        parent = db.execute("SELECT parent FROM message WHERE id = ?", (message,)).fetchone()[0]
        _set_chosen(db, conversation, parent, message)
        message = parent


def _set_chosen(db: Any, conversation: str, parent: int | None, message: int | None) -> None:
    if parent is None:
        db.execute("UPDATE conversation SET chosen = ? WHERE id = ? AND chosen IS NOT ?",
                   (message, conversation, message))
    else:
        db.execute("UPDATE message SET chosen = ? WHERE id = ? AND chosen IS NOT ?", (message, parent, message))


def vote(db: Any, conversation: str, question: int, choice: str) -> None:
    """Keep which of the chosen pair under a question was better; until something follows it, the path follows that."""
    if choice not in VOTES:
        raise ValueError(f"no vote: {choice}")
    pair = [turn for turn in thread(db, conversation) if turn.parent == question and turn.side]
    if len(pair) != 2:
        raise UserError("There are no two answers to choose between here.")
    db.executemany("UPDATE message SET vote = ? WHERE id = ?", [(choice, turn.id) for turn in pair])
    has_followers = db.execute("SELECT count(*) FROM message WHERE parent IN (?, ?)",
                               (pair[0].id, pair[1].id)).fetchone()[0]
    if not has_followers:
        choose(db, conversation, pair[choice == "b"].id)
    touch(db, conversation)


def mark_interrupted(db: Any) -> int:
    """Give every unfinished answer an end. Returns how many there were."""
    db.execute("UPDATE conversation SET version = version + 1 WHERE id IN "
               "(SELECT conversation FROM message WHERE state = ?)", (WRITING,))
    marked: int = db.execute("UPDATE message SET state = ?, problem = ? WHERE state = ?",
                             (BROKEN, CLOSED, WRITING)).rowcount
    return marked


def keep_settings(db: Any, conversation: str, settings: str) -> None:
    """What it was last asked with."""
    db.execute("UPDATE conversation SET settings = ? WHERE id = ?", (settings, conversation))


def touch(db: Any, conversation: str) -> None:
    """It changed just now."""
    db.execute("UPDATE conversation SET updated = ?, version = version + 1 WHERE id = ?", (time.time(), conversation))


def note_change(db: Any, conversation: str) -> None:
    """It looks different, but nothing was added: its place in the list stays."""
    db.execute("UPDATE conversation SET version = version + 1 WHERE id = ?", (conversation,))


def shortened(text: str) -> str:
    """A title of at most TITLE_LENGTH characters."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_LENGTH else line[:TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"


def question(text: str, notice: str, files: tuple[File, ...]) -> Message:
    """A question as it is added."""
    return Message(id=0, role="user", text=text, state=WHOLE, notice=notice, files=files)
