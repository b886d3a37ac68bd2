"""Layouts whose rows hold whole conversations: messages of role and content, and ShareGPT's of from and value."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.layouts.layout import GROUP_ID, SYSTEM, Field, Layout, Row, RowError, is_filled, structure, text_of
from tasks.prompt import ROLES

ROLE_WORDS = {"system": "system", "developer": "system", "user": "user", "human": "user", "patient": "user",
              "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "ai": "assistant",
              "chatbot": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
              "claude": "assistant", "doctor": "assistant", "physician": "assistant", "clinician": "assistant"}
TOOL_WORDS = {"tool", "function", "function_call", "function_response", "tool_call", "tool_response", "observation",
              "ipython"}
TOOL_KEYS = ("tool_calls", "function_call")
PART_KINDS = {"image": "a picture", "image_url": "a picture", "input_audio": "sound", "audio": "sound",
              "video": "a film", "file": "a file"}


def turns_of(column: str, given: Any) -> tuple[dict[str, str], ...]:
    """The messages in a cell, or the lines of it ("patient: ...", "doctor: ...").

    Raises RowError if it holds no list of them, or one that can not be learned from.
    """
    listed = structure(given)
    if isinstance(listed, dict):                    # a dataset's {"role": [...], "content": [...]}
        listed = _rows_of(listed)
    if isinstance(listed, str):
        raise RowError(f"{column} is not JSON")
    if isinstance(listed, list) and listed and all(isinstance(line, str) for line in listed):
        listed = [dict(zip(("role", "content"), line.split(":", 1), strict=False)) for line in listed]
    if not isinstance(listed, (list, tuple)) or not all(isinstance(message, dict) for message in listed):
        raise RowError(f"{column} is not a list of {{role, content}}")
    return tuple(_message(message) for message in listed)


def _rows_of(columns: Mapping[str, Any]) -> Any:
    lists = [value for value in columns.values() if isinstance(value, list)]
    if not lists or len(lists) != len(columns) or len({len(one) for one in lists}) != 1:
        return columns
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]


def _message(message: Mapping[str, Any]) -> dict[str, str]:
    word = next((message[key] for key in ("role", "from", "speaker") if message.get(key) is not None), None)
    content = next((message[key] for key in ("content", "value", "text") if message.get(key) is not None), None)
    said = str(word).strip().casefold()
    if said in TOOL_WORDS or any(message.get(key) for key in TOOL_KEYS):
        raise RowError(f"a message of the {word} calls or answers a tool, which is not learned here")
    if said not in ROLE_WORDS:
        raise RowError(f"a message has the role {word!r}, not one of {', '.join(ROLES)} (or human, gpt)")
    role = ROLE_WORDS[said]
    if role == "assistant" and message.get("weight") == 0:
        raise RowError("an answer of it has the weight 0, and it can not be kept from being learned")
    text = _content(content)
    if not text:
        raise RowError(f"a message of the {role} is empty")
    return {"role": role, "content": text}


def _content(content: Any) -> str:
    """The text of a message; parts, as the OpenAI protocol has them, are put together."""
    if isinstance(content, list) and content and all(isinstance(part, dict) for part in content):
        for part in content:
            if part.get("type", "text") != "text":
                kind = PART_KINDS.get(str(part.get("type")), f"a part of the type {part.get('type')!r}")
                raise RowError(f"a message holds {kind}, and text alone is learned here")
        return "\n".join(filter(None, (text_of("content", part.get("text")) for part in content)))
    return text_of("content", content)


def _end(messages: Sequence[Mapping[str, Any]]) -> int:
    """How many messages there are up to the last answer; all where there is none."""
    answers = [k for k, message in enumerate(messages, 1) if message["role"] == "assistant"]
    return answers[-1] if answers else len(messages)


def _joined(messages: Sequence[dict[str, str]]) -> tuple[dict[str, str], ...]:
    """Messages in which no user and no assistant speaks twice in a row."""
    found: list[dict[str, str]] = []
    for message in messages:
        if found and found[-1]["role"] == message["role"] != "system":
            found[-1] = {**message, "content": f"{found[-1]['content']}\n\n{message['content']}"}
        else:
            found.append(message)
    return tuple(found)


def checked(messages: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
    """The messages up to the last answer, turns of one speaker in a row as one. Raises RowError if none is learned."""
    messages = _joined(messages[:_end(messages)])
    roles = [message["role"] for message in messages]
    if not roles or roles[-1] != "assistant" or "user" not in roles:
        raise RowError("it must hold a user's message and end with the assistant's answer")
    if "system" in roles[1:]:
        raise RowError("it has a system message that is not the first one")
    return messages


def _build(row: Row, _: Any) -> dict[str, Any]:
    messages = turns_of("messages", row["messages"])
    if row["system"] and messages and messages[0]["role"] != "system":
        messages = ({"role": "system", "content": row["system"]}, *messages)
    return {"messages": checked(messages), "group": row["group_id"]}


def _survey(rows: Sequence[Row], file: str) -> tuple[None, tuple[str, ...]]:
    """A note of the conversations whose last turns are the user's and are left out."""
    count = 0
    for row in rows:
        try:
            messages = turns_of("messages", row["messages"])
        except RowError:
            continue
        count += _end(messages) < len(messages)
    return None, (f"{Path(file).name}: conversations whose last turn is the user's: {count:,}; what stands after the "
                  "last answer is left out.",) if count else ()


def _kind(rows: Sequence[Row]) -> str:
    """"sharegpt" or "messages" by the first cell that holds either, else "text" or, where nothing is filled, ""."""
    kinds = [_kind_of(row["messages"]) for row in rows if is_filled(row["messages"])]
    return next((kind for kind in kinds if kind != "text"), kinds[0] if kinds else "")


def _kind_of(given: Any) -> str:
    cell = structure(given)
    if isinstance(cell, dict):
        cell = _rows_of(cell)
    if not isinstance(cell, (list, tuple)):
        return "text"
    first = cell[0] if cell else None
    if isinstance(first, dict):
        return "sharegpt" if "from" in first or "value" in first else "messages"
    is_spoken = isinstance(first, str) and first.split(":", 1)[0].strip().casefold() in ROLE_WORDS
    return "messages" if is_spoken else "text"


def _fits_messages(columns: Mapping[str, str], rows: Sequence[Row]) -> bool:
    kind = _kind(rows)
    return kind == "messages" or (kind != "sharegpt" and columns["messages"].casefold() == "messages")


def _fits_sharegpt(columns: Mapping[str, str], rows: Sequence[Row]) -> bool:
    return _kind(rows) == "sharegpt"


FIELDS = (Field(name="messages", names=("conversations", "conversation"), is_text=False,
                weak=(("chat", "turns", "utterances", "dialogue", "dialog"),)), SYSTEM, GROUP_ID)
MESSAGES = Layout(name="messages", fields=FIELDS, target="messages", build=_build, survey=_survey,
                  fits=_fits_messages)
SHAREGPT = Layout(name="ShareGPT", fields=FIELDS, target="messages", build=_build, survey=_survey,
                  fits=_fits_sharegpt)
