"""A conversation as a file to keep: Markdown of what is shown, JSON of everything."""

import base64
import json
import time
from dataclasses import asdict
from typing import Any

from ui.history.records import CUT, STOPPED, Conversation, File, Message

ENDED = {STOPPED: "stopped", CUT: "cut at its longest length"}


def markdown(conversation: Conversation, turns: list[Message]) -> str:
    """The turns of the chosen path, one heading each; under an answer what it came from."""
    parts = [f"# {conversation.title}", _day(conversation.updated)]
    for turn in turns:
        parts.append("## You" if turn.role == "user" else f"## {turn.model or 'Answer'}{_side(turn)}")
        parts += [f"*Read from {file.name}.{' ' + file.note if file.note else ''}*" for file in turn.files]
        parts.append(turn.text.strip())
        parts += [f"> {line}" for line in (turn.notice, turn.problem) if line]
        if turn.role == "assistant":
            parts.append(f"*{_figures(turn)}*")
    return "\n\n".join(part for part in parts if part.strip("*")) + "\n"


def as_json(conversation: Conversation, messages: list[Message], shown: list[Message]) -> str:
    """Everything: all versions with their settings and files (pictures in base64); is_shown marks the chosen path."""
    path = {turn.id for turn in shown}
    told = {**asdict(conversation), "messages": [
        {**asdict(turn), "settings": _read(turn.settings), "files": [_file(file) for file in turn.files],
         "is_shown": turn.id in path} for turn in messages]}
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def _figures(turn: Message) -> str:
    said = [f"{turn.tokens} tokens" if turn.tokens else "", turn.fingerprint, ENDED.get(turn.state, "")]
    return " · ".join(part for part in said if part)


def _side(turn: Message) -> str:
    if not turn.side:
        return ""
    return f" ({turn.side.upper()}{', voted the better one' if turn.vote == turn.side else ''})"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _read(settings: str) -> Any:
    return json.loads(settings) if settings else {}


def _file(file: File) -> dict[str, Any]:
    return {"name": file.name, "kind": file.kind, "note": file.note, "text": file.text,
            "data": base64.b64encode(file.data).decode()}
