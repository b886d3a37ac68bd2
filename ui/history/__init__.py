"""Conversations on disk: one SQLite file in WAL mode, SQLCipher's when there is a passphrase."""

from ui.history.history import FILE, History
from ui.history.records import (
    BROKEN,
    CUT,
    STOPPED,
    WHOLE,
    WRITING,
    Conversation,
    File,
    Locked,
    Message,
    Preset,
    is_id,
    new_id,
)
from ui.history.schema import MIGRATIONS

__all__ = ["BROKEN", "CUT", "FILE", "MIGRATIONS", "STOPPED", "WHOLE", "WRITING", "Conversation", "File", "History",
           "Locked", "Message", "Preset", "is_id", "new_id"]
