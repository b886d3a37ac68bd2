"""The tables of the conversations: numbered migrations, each of which runs once in the life of a file."""

import sqlite3
from collections.abc import Iterator
from typing import Any

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
    "ALTER TABLE conversation ADD COLUMN preset TEXT NOT NULL DEFAULT ''",
    """
    ALTER TABLE conversation ADD COLUMN settings TEXT NOT NULL DEFAULT '';      -- JSON, as last asked with
    UPDATE conversation SET settings = json_object('preset', preset) WHERE preset != '';
    ALTER TABLE conversation DROP COLUMN preset;
    ALTER TABLE conversation ADD COLUMN is_starred INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE conversation ADD COLUMN deleted REAL;           -- since when it is hidden and can be restored
    ALTER TABLE conversation ADD COLUMN chosen INTEGER;         -- the first question of the path; NULL: the newest
    ALTER TABLE message ADD COLUMN chosen INTEGER;              -- what follows it on the path; NULL: the newest
    ALTER TABLE message ADD COLUMN settings TEXT NOT NULL DEFAULT '';
    ALTER TABLE message ADD COLUMN side TEXT NOT NULL DEFAULT '';
    ALTER TABLE message ADD COLUMN vote TEXT NOT NULL DEFAULT '';
    ALTER TABLE message ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN ctx_tokens INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE file (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        message INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        note TEXT NOT NULL,
        text TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE INDEX file_of_message ON file (message);
    CREATE TABLE preset (name TEXT PRIMARY KEY, settings TEXT NOT NULL);

    CREATE TABLE list (version INTEGER NOT NULL);
    INSERT INTO list VALUES (0);
    CREATE TRIGGER list_longer AFTER INSERT ON conversation BEGIN
        UPDATE list SET version = version + 1;
    END;
    CREATE TRIGGER list_changed AFTER UPDATE OF title, updated, is_starred, deleted ON conversation BEGIN
        UPDATE list SET version = version + 1;
    END;

    -- three letters at a time, so that any part of a word is found; the line ends let two letters begin three;
    -- secure-delete takes them out of the pages at once
    CREATE VIEW searched AS SELECT id, text || char(10) || char(10) AS text FROM message;
    CREATE VIRTUAL TABLE found USING fts5 (text, content = 'searched', content_rowid = 'id',
                                           tokenize = 'trigram remove_diacritics 1');
    CREATE VIRTUAL TABLE found_letters USING fts5vocab (found, row);
    INSERT INTO found (found, rank) VALUES ('secure-delete', 1);
    UPDATE message SET state = 'broken', problem = 'Galen was closed while this answer was written.'
        WHERE state = 'writing';
    INSERT INTO found (rowid, text) SELECT id, text FROM searched;
    CREATE TRIGGER message_added AFTER INSERT ON message WHEN new.state != 'writing' BEGIN
        INSERT INTO found (rowid, text) VALUES (new.id, new.text || char(10) || char(10));
    END;
    CREATE TRIGGER message_changed BEFORE UPDATE OF text, state ON message WHEN old.state != 'writing' BEGIN
        INSERT INTO found (found, rowid, text) VALUES ('delete', old.id, old.text || char(10) || char(10));
    END;
    CREATE TRIGGER message_ended AFTER UPDATE OF text, state ON message WHEN new.state != 'writing' BEGIN
        INSERT INTO found (rowid, text) VALUES (new.id, new.text || char(10) || char(10));
    END;
    CREATE TRIGGER message_gone AFTER DELETE ON message WHEN old.state != 'writing' BEGIN
        INSERT INTO found (found, rowid, text) VALUES ('delete', old.id, old.text || char(10) || char(10));
    END;
    """,
)


def migrate(db: Any) -> bool:
    """Bring a file to the newest schema, inside the caller's transaction. False if it is newer than this program."""
    done = db.execute("PRAGMA user_version").fetchone()[0]
    if done > len(MIGRATIONS):
        return False
    for number, script in enumerate(MIGRATIONS[done:], start=done + 1):
        for statement in _statements(script):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
    return True


def _statements(script: str) -> Iterator[str]:
    """One after the other; a trigger holds semicolons of its own."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
