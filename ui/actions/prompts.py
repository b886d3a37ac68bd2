"""The messages that a model is given: the turns before an answer, with the files that were read into them."""

from collections.abc import Sequence
from typing import Any

from ui.history import File, Message


def prompt(turns: Sequence[Message], system: str) -> list[dict[str, Any]]:
    """The messages for the last turn, an empty answer. Unanswered questions are left out: turns alternate."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system.strip() else []
    for question, answer in zip(turns[:-2:2], turns[1:-2:2], strict=True):
        if answer.text.strip():
            messages += [asked(question), {"role": "assistant", "content": answer.text}]
    return [*messages, asked(turns[-2])]


def asked(question: Message) -> dict[str, Any]:
    """A question as a message: what was read from files first, in the order in which they were added."""
    texts = [in_words(one) for one in question.files if one.kind == "text"]
    text = "\n\n".join([*texts, question.text])
    pictures = [{"type": "image", "data": one.data} for one in question.files if one.kind == "picture"]
    return {"role": "user", "content": [*pictures, {"type": "text", "text": text}] if pictures else text}


def in_words(file: File) -> str:
    """The text of a file as a model reads it."""
    return f"The file {file.name}:\n\n{file.text}\n\n(end of {file.name})"
