"""The conversations of one folder, as the page and the endpoints use them."""

import threading
from dataclasses import replace
from pathlib import Path

from models import runs
from models.errors import UserError
from ui.history import export, listing, messages, passphrase, tree
from ui.history.records import Conversation, File, Locked, Message, Preset, is_id
from ui.history.store import Store

FILE = "history.sqlite"
PRIVATE = 1 << 50               # ids of leave-no-trace sessions begin here: no late piece lands in another message
PRIVATE_STEP = 1 << 30


class History:
    """The conversations of one folder. May be used from several threads and beside other processes.

    Every call but those on locks raises Locked while a passphrase is missing, and UserError when the disk does not
    take or give what it should.
    """

    def __init__(self, folder: Path, restore_s: float = 30.0):
        """Open or create folder/history.sqlite. UserError if it is damaged, or made by a newer Galen.

        restore_s: how long a deleted conversation can be restored.
        """
        runs.make_folder(folder)
        self.path = folder / FILE
        self._disk = Store(self.path)
        self._private: Store | None = None
        self._privates = 0
        self._restore_s = restore_s
        self._serial = 0                # which database list_version speaks of
        self._changing = threading.RLock()      # one at a time changes what is open
        self._trying = threading.Lock()         # one at a time tries a passphrase; taken before _changing
        self._purger: threading.Timer | None = None
        self._tries = passphrase.Tries(self.path)
        self._disk.look()
        if not self.is_encrypted:
            self._open()

    def _open(self, key: str = "") -> None:
        self._disk.open(key)
        listing.purge(self._disk)
        self._serial += 1

    @property
    def is_encrypted(self) -> bool:
        """Whether there is a passphrase."""
        return self._disk.is_encrypted

    @property
    def is_locked(self) -> bool:
        """Whether the passphrase is missing."""
        return self.is_encrypted and not self._disk.is_open

    @property
    def is_private(self) -> bool:
        """Whether a leave-no-trace session serves."""
        return self._private is not None

    # the list

    def conversations(self, query: str = "", limit: int = -1, offset: int = 0) -> list[Conversation]:
        """Those whose title or messages hold every word of query: starred ones first, then the one used last."""
        with self._store().reading() as db:
            return listing.found(db, query, limit, offset)

    def count(self, query: str = "") -> int:
        """How many conversations(query) gives without a limit."""
        with self._store().reading() as db:
            return listing.count(db, query)

    def list_version(self) -> str:
        """A value that changes whenever conversations() does."""
        serial = self._serial
        with self._store().reading() as db:
            return f"{serial}-{db.execute('SELECT version FROM list').fetchone()[0]}"

    def rename(self, conversation: str, title: str) -> None:
        """Give it another title, shortened when too long. UserError for an empty one."""
        if not title.strip():
            raise UserError("A conversation needs a title; write one.")
        self._set(conversation, "title", messages.shortened(title))

    def star(self, conversation: str, is_starred: bool = True) -> None:
        """Keep it at the top of the list, or no longer."""
        self._set(conversation, "is_starred", is_starred)

    def _set(self, conversation: str, column: str, value: str | bool) -> None:
        with self._store().writing() as db:
            changed = db.execute(f"UPDATE conversation SET {column} = ? WHERE id = ? AND deleted IS NULL",
                                 (value, conversation)).rowcount
            if not changed:
                raise UserError("This conversation is no longer there.")
            messages.note_change(db, conversation)

    def delete(self, conversation: str) -> None:
        """Hide it at once; restore_s later, at close or at the next start it is gone for good. Unknown: no error."""
        with self._store().writing() as db:
            listing.hide(db, conversation)
        purger = threading.Timer(self._restore_s + 0.1, self._purge)
        purger.daemon = True
        purger.start()
        self._purger = purger

    def restore(self, conversation: str) -> None:
        """Bring a deleted one back. UserError once it is gone for good."""
        with self._store().writing() as db:
            if not listing.restore(db, conversation, self._restore_s):
                raise UserError("This conversation can no longer be brought back; it was deleted for good.")

    def _purge(self) -> None:
        with self._changing:
            for store in (self._disk, self._private):
                if store and store.is_open:
                    listing.purge(store, self._restore_s)

    # one conversation

    def version(self, conversation: str) -> int:
        """A number that grows with each change of the conversation; -1 when there is none of this id."""
        with self._store().reading() as db:
            row = db.execute("SELECT version FROM conversation WHERE id = ? AND deleted IS NULL",
                             (conversation,)).fetchone()
        return row[0] if row else -1

    def thread(self, conversation: str) -> list[Message]:
        """The chosen path. Of a pair both answers, a before b. Files come with name, kind, note and id only.

        [] for an unknown id. The question after a pair says by .parent which of the two it followed.
        """
        with self._store().reading() as db:
            return messages.thread(db, conversation)

    def path_to(self, answer: int) -> list[Message]:
        """First turn .. this answer, whatever is chosen meanwhile, one of each pair, files with their contents.

        What the prompt is built from. It goes on working for an answer of a conversation that a leave-no-trace
        session hides. [] once it was deleted.
        """
        store = self._store_of(answer)
        if not store:
            return []
        with store.reading() as db:
            return messages.path_to(db, answer)

    def file(self, conversation: str, file: int) -> File:
        """A file of a question with its contents. UserError if there is none of this number."""
        with self._store().reading() as db:
            return messages.file(db, conversation, file)

    def settings(self, conversation: str) -> str:
        """The settings it was last asked with, as JSON; "" for none, and for an unknown id."""
        with self._store().reading() as db:
            row = db.execute("SELECT settings FROM conversation WHERE id = ? AND deleted IS NULL",
                             (conversation,)).fetchone()
        return row[0] if row else ""

    def ask(self, conversation: str, text: str, notice: str = "", settings: str = "",
            files: tuple[File, ...] = (), sides: tuple[str, ...] = ("",)) -> tuple[int, ...]:
        """Add a question at the end of the chosen path, and its empty answer(s): ("",) one, ("a", "b") a pair.

        Makes the conversation if there is none of this id. After a pair it follows the one voted for (else a, or what
        choose_version said). Returns the answers' ids. UserError for an id that new_id could not have made, and for a
        deleted conversation.
        """
        if not is_id(conversation):
            raise UserError(f"{conversation!r} is not the address of a conversation; start a new one.")
        with self._store().writing() as db:
            messages.begin(db, conversation, text if text.strip() or not files else files[0].name)
            at = tree.end(messages.thread(db, conversation), messages.chosen(db, conversation))
            question = messages.add_question(db, conversation, at, messages.question(text, notice, files))
            messages.keep_settings(db, conversation, settings)
            return messages.add_answers(db, conversation, question, settings, sides)

    def ask_beside(self, conversation: str, question: int, text: str, notice: str = "",
                   settings: str = "", files: tuple[File, ...] = (),
                   sides: tuple[str, ...] = ("",)) -> tuple[int, ...]:
        """An edited question as a branch beside that question, with its files and these, and its empty answer(s)."""
        with self._store().writing() as db:
            old = messages.one(db, conversation, question, "user")
            kept = tuple(messages.file(db, conversation, file.id) for file in old.files)
            asked = messages.question(text, notice, (*kept, *files))
            added = messages.add_question(db, conversation, old.parent, asked)
            messages.keep_settings(db, conversation, settings)
            return messages.add_answers(db, conversation, added, settings, sides)

    def ask_again(self, conversation: str, settings: str = "", of: int | None = None,
                  sides: tuple[str, ...] = ("",)) -> tuple[int, ...]:
        """Another version of the answer `of` (default: the last of the path). settings "": as that one was asked."""
        with self._store().writing() as db:
            answers = [turn for turn in messages.thread(db, conversation) if turn.role == "assistant"]
            if of is None and not answers:
                raise UserError("There is no question to answer yet; write a message first.")
            old = answers[-1] if of is None else messages.one(db, conversation, of, "assistant")
            assert old.parent is not None
            asked = settings or old.settings
            messages.keep_settings(db, conversation, asked)
            return messages.add_answers(db, conversation, old.parent, asked, sides)

    def keep_settings(self, answer: int, settings: str) -> None:
        """What this answer is asked with, where that is not what its question said: the second of a pair."""
        store = self._store_of(answer)
        if store:
            with store.writing() as db:
                db.execute("UPDATE message SET settings = ? WHERE id = ?", (settings, answer))

    def beside(self, conversation: str, message: int, step: int) -> int:
        """The version that stands step (-1, 1) from the one message belongs to, or the last one there; of a pair a."""
        with self._store().reading() as db:
            found = messages.every(db, conversation)
            return tree.beside(found, messages.one(db, conversation, message), step)

    def choose_version(self, conversation: str, message: int) -> None:
        """The path goes through this message from now on."""
        with self._store().writing() as db:
            messages.one(db, conversation, message)
            messages.choose(db, conversation, message)
            messages.note_change(db, conversation)

    def vote(self, conversation: str, question: int, vote: str) -> None:
        """Keep "a", "b" or "tie" for the pair shown under a question; what comes next follows the better one."""
        with self._store().writing() as db:
            messages.vote(db, conversation, question, vote)

    def write(self, answer: int, text: str) -> None:
        """Keep what has come of a running answer. Does nothing once the answer was deleted."""
        store = self._store_of(answer)
        if store:
            with store.writing() as db:
                db.execute("UPDATE message SET text = ? WHERE id = ?", (text, answer))

    def finish(self, conversation: str, answer: Message) -> None:
        """Keep an answer in its final form: text .. ctx_tokens, as FINAL says. Does nothing once it was deleted."""
        store = self._store_of(answer.id)
        if not store:
            return
        values = [getattr(answer, name) for name in messages.FINAL]
        with store.writing() as db:
            changed = db.execute(f"UPDATE message SET {', '.join(f'{name} = ?' for name in messages.FINAL)} "
                                 "WHERE id = ? AND conversation = ?", (*values, answer.id, conversation))
            if changed.rowcount:
                messages.touch(db, conversation)

    def mark_interrupted(self) -> int:
        """Mark answers that a killed Galen left unfinished; called once at start. Returns how many there were.

        While the file is locked, unlock() does it.
        """
        if self.is_locked:
            return 0
        with self._disk.writing() as db:
            return messages.mark_interrupted(db)

    def export_markdown(self, conversation: str) -> str:
        """The chosen path as Markdown. UserError for an unknown conversation."""
        with self._store().reading() as db:
            return export.markdown(listing.line(db, conversation), messages.thread(db, conversation))

    def export_json(self, conversation: str) -> str:
        """Everything of it as JSON, all versions and files. UserError for an unknown conversation."""
        with self._store().reading() as db:
            line = listing.line(db, conversation)
            found = [replace(turn, files=tuple(messages.file(db, conversation, file.id) for file in turn.files))
                     for turn in messages.every(db, conversation)]
            return export.as_json(line, found, messages.thread(db, conversation))

    # presets

    def presets(self) -> list[Preset]:
        """Those that were saved, by name."""
        with self._store().reading() as db:
            rows = db.execute("SELECT name, settings FROM preset ORDER BY name COLLATE NOCASE").fetchall()
        return [Preset(name=row[0], settings=row[1]) for row in rows]

    def save_preset(self, name: str, settings: str) -> None:
        """Keep settings under a name, in place of those that had it. UserError for an empty name."""
        if not name.strip():
            raise UserError("A preset needs a name; write one.")
        with self._store().writing() as db:
            db.execute("INSERT OR REPLACE INTO preset (name, settings) VALUES (?, ?)",
                       (messages.shortened(name), settings))

    def delete_preset(self, name: str) -> None:
        """Forget it; an unknown name is no error."""
        with self._store().writing() as db:
            db.execute("DELETE FROM preset WHERE name = ?", (name,))

    # locks

    def unlock(self, given: str) -> None:
        """Open a locked file. UserError for a wrong passphrase, after 1 s, then 2, 4 .. 30 s, also over restarts."""
        with self._trying:
            if not self.is_locked:
                return
            with self._tries.counted(), self._changing:
                self._open(passphrase.normal(given))
            self.mark_interrupted()

    def lock(self) -> None:
        """Forget the key, and end a leave-no-trace session. End running answers first: they can not be kept now.

        UserError when there is no passphrase.
        """
        with self._changing:
            if not self.is_encrypted:
                raise UserError("There is no passphrase yet. Set one in Settings, then lock the conversations.")
            self.end_private()
            self._close_disk()

    def set_passphrase(self, old: str, new: str) -> None:
        """Set (old ""), change or remove (new "") the passphrase; the whole file is written anew, others wait.

        Killed at any moment, it opens with the old or the new one, with every row. UserError for a wrong old one, and
        while another program has the file open.
        """
        with self._trying:
            if self.is_locked:
                raise Locked
            if old and not self.is_encrypted:
                raise UserError("There is no passphrase yet; leave the old one empty.")
            now, then = passphrase.normal(old), passphrase.normal(new)
            if self.is_encrypted:
                with self._tries.counted():
                    if not passphrase.fits(self.path, now):
                        raise passphrase.Wrong
            if now != then:
                with self._changing:
                    self._disk.rewrite(now, then)

    def start_private(self) -> None:
        """Leave no trace: from now on an empty history in memory serves, with the presets. Raises Locked.

        An answer that is running goes on being kept where it began.
        """
        with self._changing:
            if self.is_private:
                return
            saved = self.presets()
            store = Store(None)
            store.open()
            self._privates += 1
            with store.writing() as db:
                db.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
                               [(table, PRIVATE + PRIVATE_STEP * self._privates) for table in ("message", "file")])
                db.executemany("INSERT INTO preset (name, settings) VALUES (?, ?)",
                               [(preset.name, preset.settings) for preset in saved])
            self._private = store
            self._serial += 1

    def end_private(self) -> None:
        """Forget a leave-no-trace session; the conversations on disk serve again."""
        with self._changing:
            store, self._private = self._private, None
            if store:
                store.close()
                self._serial += 1

    def copy(self, to: Path) -> None:
        """Write all conversations on disk to another file, under the same passphrase. For a back-up; raises Locked."""
        self._disk.copy(to)

    def close(self) -> None:
        """Forget a leave-no-trace session, fold the WAL into the file and close it."""
        with self._changing:
            self.end_private()
            self._close_disk()

    def _close_disk(self) -> None:
        if self._purger:
            self._purger.cancel()
        if self._disk.is_open:
            try:
                listing.purge(self._disk)
            finally:
                self._disk.close()
                self._serial += 1

    def _store(self) -> Store:
        return self._private or self._disk

    def _store_of(self, message: int) -> Store | None:
        return self._disk if message < PRIVATE else self._private
