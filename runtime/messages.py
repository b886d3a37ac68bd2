"""The messages between a session and its worker, one JSON line each."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

# session -> worker


@dataclass(frozen=True)
class Load:
    path: str
    config: dict[str, Any]                      # a LoadConfig as models/knobs.py writes it


@dataclass(frozen=True)
class Chat:
    id: int
    messages: list[dict[str, Any]]
    sample: dict[str, Any]                      # a SampleConfig


@dataclass(frozen=True)
class Score:
    id: int
    ids: list[int]
    start: int                                  # score ids[start:], start >= 1


@dataclass(frozen=True)
class Cancel:
    id: int


# worker -> session


@dataclass(frozen=True)
class Loaded:
    path: str
    name: str
    fingerprint: str                            # 16 hex digits, models/header.py
    ctx_tokens: int
    description: str                            # "Q8_0 · 0.01 GB": type and size as found in the file
    can_chat: bool                              # False: the file has no chat template


@dataclass(frozen=True)
class Piece:
    id: int
    text: str                                   # whole characters


@dataclass(frozen=True)
class End:
    id: int
    finish_reason: str                          # "stop", "length" or "cancelled"
    prompt_tokens: int
    cached_tokens: int                          # of the prompt, reused from the last request
    generated_tokens: int
    first_token_s: float
    tokens_per_s: float                         # of the tokens after the first; 0.0 when there are none
    fingerprint: str
    dropped_turns: int                          # messages left out because the context was full


@dataclass(frozen=True)
class Scored:
    id: int
    logprobs: list[float]                       # nats


@dataclass(frozen=True)
class Failed:
    id: int                                     # -1: the load failed
    text: str
    is_users: bool                              # a UserError; otherwise a bug of ours


KINDS = {kind.__name__: kind for kind in (Load, Chat, Score, Cancel, Loaded, Piece, End, Scored, Failed)}


def to_line(message: Any) -> bytes:
    """The message as one line of JSON, newline included."""
    return json.dumps([type(message).__name__, dataclasses.asdict(message)]).encode() + b"\n"


def from_line(line: bytes) -> Any:
    """The message that to_line wrote."""
    kind, values = json.loads(line)
    return KINDS[kind](**values)
