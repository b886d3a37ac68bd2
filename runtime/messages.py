"""The messages between a session and its worker, one JSON line each."""

import base64
import dataclasses
import json
import pickle
from dataclasses import dataclass, field
from typing import Any

from models.header import Header

# session -> worker


@dataclass(frozen=True)
class Load:
    header: str                                 # the file's models.header.Header, as packed() makes it
    config: dict[str, Any]                      # a LoadConfig as models/knobs.py writes it


@dataclass(frozen=True)
class Chat:
    """Answer messages through the file's template; their pictures as runtime/picture.py sends them."""
    id: int
    messages: list[dict[str, Any]]
    sample: dict[str, Any]                      # a SampleConfig
    adapter: str = ""                           # a GGUF LoRA file; "": the base alone


@dataclass(frozen=True)
class Complete:
    """Continue a prompt as it is: text (a BOS is put in front), or ids."""
    id: int
    prompt: str | list[int]
    sample: dict[str, Any]
    adapter: str = ""


@dataclass(frozen=True)
class CompleteMany:
    """Continue prompts (ids) as one group, which is told when all have ended."""
    id: int
    prompts: list[list[int]]
    sample: dict[str, Any]
    adapter: str = ""


@dataclass(frozen=True)
class Score:
    """items: (prompt ids, candidates as ids) each."""
    id: int
    items: list[tuple[list[int], list[list[int]]]]
    adapter: str = ""


@dataclass(frozen=True)
class ScoreChats:
    """How likely each of answers is after each conversation; is_whole: with the token that ends the turn."""
    id: int
    conversations: list[list[dict[str, Any]]]
    answers: list[str]
    is_whole: bool
    adapter: str = ""


@dataclass(frozen=True)
class Embed:
    id: int
    texts: list[str]


@dataclass(frozen=True)
class Tokenize:
    """The ids of a conversation's prompt, or of plain text; None: the one that ends a turn of the model."""
    id: int
    what: str | list[dict[str, Any]] | None


@dataclass(frozen=True)
class Cancel:
    id: int


# worker -> session


@dataclass(frozen=True)
class Alive:
    """Said twice a second, whatever the worker is doing."""
    threads: int                                # that compute now


@dataclass(frozen=True)
class Loaded:
    path: str
    name: str
    fingerprint: str                            # 16 hex digits, models/header.py
    ctx_tokens: int                             # of one conversation
    description: str                            # "Q8_0 · 0.01 GB": type and size as found in the file
    can_chat: bool                              # False: the file has no chat template
    can_embed: bool = False
    projector: str = ""                         # path of the file with which it sees; "": it reads text only
    slots: int = 1
    threads: int = 1
    bos: int = -1                               # the id in front of plain text; -1: none
    sampling: dict[str, float] = field(default_factory=dict, hash=False)    # of SampleConfig, as its header states


@dataclass(frozen=True)
class Piece:
    id: int
    text: str                                   # whole characters
    logprobs: list[dict[str, Any]] = field(default_factory=list)    # scheduler.TokenLogprob, if asked for


@dataclass(frozen=True)
class End:
    id: int
    finish_reason: str                          # "stop", "length" or "cancelled"
    prompt_tokens: int
    cached_tokens: int                          # of the prompt, found in the cache
    generated_tokens: int
    first_token_s: float
    tokens_per_s: float                         # of the tokens after the first; 0.0 when there are none
    fingerprint: str
    dropped_turns: int                          # messages left out because the context was full
    adapter: str = ""                           # fingerprint of the adapter; "": the base alone


@dataclass(frozen=True)
class Completed:
    id: int
    answers: list[tuple[str, int, str]]         # text, tokens generated, "stop", "length" or "cancelled"


@dataclass(frozen=True)
class Scored:
    id: int
    scores: list[list[list[float]]]             # item, candidate, token: nats


@dataclass(frozen=True)
class Embedded:
    id: int
    vectors: list[list[float]]                  # of length 1


@dataclass(frozen=True)
class Tokens:
    id: int
    ids: list[int]


@dataclass(frozen=True)
class Failed:
    id: int                                     # -1: the load failed
    text: str
    is_users: bool                              # a UserError; otherwise a bug of ours
    is_memory: bool = False                     # less of the same may fit


KINDS = {kind.__name__: kind for kind in (
    Load, Chat, Complete, CompleteMany, Score, ScoreChats, Embed, Tokenize, Cancel,
    Alive, Loaded, Piece, End, Completed, Scored, Embedded, Tokens, Failed)}


def packed(header: Header) -> str:
    """The header as text, for a worker that need not read it again: a large vocabulary takes its time."""
    return base64.b64encode(pickle.dumps(header)).decode()


def unpacked(text: str) -> Header:
    """The header that packed() made text of; only ever of our own parent."""
    header = pickle.loads(base64.b64decode(text))
    assert isinstance(header, Header)
    return header


def to_line(message: Any) -> bytes:
    """The message as one line of JSON, newline included."""
    values = {one.name: getattr(message, one.name) for one in dataclasses.fields(message)}
    return json.dumps([type(message).__name__, values]).encode() + b"\n"


def from_line(line: bytes) -> Any:
    """The message that to_line wrote."""
    kind, values = json.loads(line)
    return KINDS[kind](**values)
