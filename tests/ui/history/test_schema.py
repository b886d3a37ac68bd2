import sqlite3
from pathlib import Path

import pytest
import sqlcipher3

from tests.ui.history.asked import answered
from ui.history import BROKEN, FILE, MIGRATIONS, History, new_id

SECOND = """
INSERT INTO conversation (id, title, created, updated, version, preset) VALUES
    ('00000000000000a1', 'Ibuprofen', 1000.5, 2000.5, 7, 'tutor'), ('00000000000000a2', 'Ärzte', 1001.5, 1002.5, 1, '');
INSERT INTO message (id, conversation, parent, role, text, state, problem, model, notice, fingerprint, tokens,
                     tokens_per_s, dropped_turns, created) VALUES
    (1, '00000000000000a1', NULL, 'user', 'Is it ‹safe›?', 'whole', '', '', 'a notice', '', 0, 0, 0, 1000.5),
    (2, '00000000000000a1', 1, 'assistant', 'Yes.', 'whole', '', 'MedGemma', '', '7f3a', 5, 31.5, 0, 1001.5),
    (3, '00000000000000a1', 1, 'assistant', 'No.', 'stopped', '', 'MedGemma', '', '7f3a', 6, 30.5, 2, 1002.5),
    (4, '00000000000000a1', 3, 'user', 'Sure?', 'whole', '', '', '', '', 0, 0, 0, 1003.5),
    (5, '00000000000000a1', 4, 'assistant', 'So f', 'writing', '', '', '', '', 0, 0, 0, 1004.5),
    (9, '00000000000000a2', NULL, 'user', 'lonely', 'whole', '', '', '', '', 0, 0, 0, 1005.5);
"""


def made_by(folder: Path, migrations: int, rows: str) -> None:
    """A file as an earlier Galen left it."""
    db = sqlite3.connect(folder / FILE)
    db.execute("PRAGMA journal_mode = WAL")
    for script in MIGRATIONS[:migrations]:
        db.executescript(script)
    db.executescript(rows + f"PRAGMA user_version = {migrations}")
    db.close()


def test_a_file_of_the_second_schema_opens_with_nothing_lost(tmp_path: Path):
    made_by(tmp_path, 2, SECOND)
    history = History(tmp_path)
    assert [(one.id, one.title, one.updated) for one in history.conversations()] == [
        ("00000000000000a1", "Ibuprofen", 2000.5), ("00000000000000a2", "Ärzte", 1002.5)]
    asked, answer, again, cut = history.thread("00000000000000a1")
    assert (asked.text, asked.notice, asked.version, asked.versions) == ("Is it ‹safe›?", "a notice", 1, 1)
    assert (answer.id, answer.text, answer.state, answer.model, answer.fingerprint, answer.tokens, answer.tokens_per_s,
            answer.dropped_turns, answer.version, answer.versions) == (
        3, "No.", "stopped", "MedGemma", "7f3a", 6, 30.5, 2, 2, 2)
    assert again.text == "Sure?" and (cut.text, cut.state) == ("So f", BROKEN)
    assert history.settings("00000000000000a1") == '{"preset":"tutor"}' and not history.settings("00000000000000a2")
    history.choose_version("00000000000000a1", 2)
    assert [turn.text for turn in history.thread("00000000000000a1")] == ["Is it ‹safe›?", "Yes."]
    assert [one.id for one in history.conversations("lone")] == ["00000000000000a2"]
    assert [one.id for one in history.conversations("yes.")] == ["00000000000000a1"]
    assert history.ask(new_id(), "next") == (11,)               # no id is given twice


def test_a_file_of_the_first_schema_opens(tmp_path: Path):
    made_by(tmp_path, 1, """
        INSERT INTO conversation (id, title, created, updated) VALUES ('00000000000000a1', 'old', 1, 1);
        INSERT INTO message (conversation, role, text, state, created) VALUES
            ('00000000000000a1', 'user', 'q', 'whole', 1);""")
    history = History(tmp_path)
    assert [turn.text for turn in history.thread("00000000000000a1")] == ["q"]
    history.ask("00000000000000a1", "r", "a notice", '{"preset": "tutor"}')
    assert history.settings("00000000000000a1") == '{"preset": "tutor"}'
    assert [turn.notice for turn in history.thread("00000000000000a1")] == ["", "a notice", ""]


def test_migrations_are_counted_and_run_once(tmp_path: Path):
    history, one = History(tmp_path), new_id()
    answered(history, one, "a", "b")
    history.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(History(tmp_path).thread(one)) == 2


def test_a_migration_happens_whole_or_not_at_all(tmp_path: Path):
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("CREATE TABLE message (something_else)")          # stands in the way of the second statement
    with pytest.raises(sqlcipher3.OperationalError, match="already exists"):
        History(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (0,)
        assert db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("message",)]
