"""What a history hands out: conversations, messages, the files read into them, presets."""

import re
import secrets
from dataclasses import dataclass

from models.errors import UserError

WRITING, WHOLE, STOPPED, CUT, BROKEN = "writing", "whole", "stopped", "cut", "broken"
VOTES = ("a", "b", "tie")


class Locked(UserError):
    """The conversations lie behind a passphrase that was not given yet."""

    def __init__(self) -> None:
        super().__init__("The conversations are locked. Unlock them with your passphrase.")


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One line of the list."""
    id: str
    title: str
    updated: float              # seconds since 1970
    is_starred: bool = False


@dataclass(frozen=True, kw_only=True)
class File:
    """What was read into a question: the text of a document, or the bytes of a picture."""
    name: str                   # as the person calls it, no path
    kind: str                   # "text" or "picture"
    text: str = ""
    data: bytes = b""
    note: str = ""              # one sentence on what was cut
    id: int = 0                 # given by the history


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn. state: "writing", "whole", "stopped" (by the user), "cut" (length limit), "broken" (see problem).

    Versions are what stands beside one another: answers to one question, or questions after one answer. A pair of
    answers (sides "a" and "b") is one version.
    """
    id: int
    role: str                   # "user" or "assistant"
    text: str
    state: str = WHOLE
    problem: str = ""           # one sentence
    model: str = ""             # what the answering model is called
    notice: str = ""            # what must stand beside an answer, or between a question and its answer
    fingerprint: str = ""
    tokens: int = 0
    tokens_per_s: float = 0.0
    dropped_turns: int = 0      # messages that no longer fitted the context
    prompt_tokens: int = 0
    ctx_tokens: int = 0         # the context it was answered in; 0: not known
    settings: str = ""          # of an answer: what was asked with, as JSON
    side: str = ""              # "a" or "b" of a pair, else ""
    vote: str = ""              # "a", "b" or "tie", on both of a pair; "" before the vote
    parent: int | None = None   # the message it follows
    version: int = 1
    versions: int = 1
    files: tuple[File, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings that a person saved under a name."""
    name: str
    settings: str               # JSON


def new_id() -> str:
    """The id of a conversation that does not exist yet."""
    return secrets.token_hex(8)


def is_id(text: str) -> bool:
    """True for what new_id makes."""
    return re.fullmatch(r"[0-9a-f]{16}", text) is not None
