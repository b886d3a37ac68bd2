"""Questions with their answers, as the tests of the history need them."""

from pathlib import Path

from ui.history import WHOLE, History, Message


def answered(history: History, conversation: str, question: str, text: str) -> int:
    """Ask and answer; the answer's id."""
    number, = history.ask(conversation, question)
    whole(history, conversation, number, text)
    return number


def whole(history: History, conversation: str, number: int, text: str) -> None:
    """Let a running answer end."""
    history.finish(conversation, Message(id=number, role="assistant", text=text, state=WHOLE, tokens=3))


def files_holding(folder: Path, typed: str) -> list[str]:
    """Names of the files of a folder in which a text can be read, in any encoding."""
    forms = [typed.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file()
            and any(form in path.read_bytes() for form in forms)]
