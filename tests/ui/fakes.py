"""A session whose answers a test writes: the real method names, no process and no model."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.errors import UserError
from runtime.messages import End, Loaded
from ui.actions.chat import Chat
from ui.actions.model import CurrentModel
from ui.history import History
from ui.job_list import JobList
from ui.settings import SettingsFile


class FakeStream:
    """Yields the pieces that the test puts; None ends it, an exception is raised."""

    def __init__(self) -> None:
        self.pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.end: End | None = None
        self._is_cancelled = False

    def __iter__(self) -> Iterator[str]:
        made = 0
        while (piece := self.pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            made += 1
            yield piece
        self.end = End(id=1, finish_reason="cancelled" if self._is_cancelled else "stop", prompt_tokens=9,
                       cached_tokens=0, generated_tokens=made, first_token_s=0.1, tokens_per_s=31.0,
                       fingerprint="7f3a9c21d0b1e2f3", dropped_turns=0)

    def cancel(self) -> None:
        self._is_cancelled = True
        self.pieces.put(None)


class FakeSession:
    """Loads any file but one called broken.gguf; keeps the messages it was asked with."""

    def __init__(self) -> None:
        self.info: Loaded | None = None
        self.pid: int | None = None
        self.is_stuck = False
        self.asked: list[list[dict[str, Any]]] = []
        self.streams: queue.SimpleQueue[FakeStream] = queue.SimpleQueue()
        self.is_closed = False

    def load(self, path: Path, config: Any = None) -> Loaded:
        if path.name == "broken.gguf":
            raise UserError(f"{path.name} is cut short; copy it again.")
        self.pid = 1
        self.info = Loaded(path=str(path), name=path.stem, fingerprint="7f3a9c21d0b1e2f3", ctx_tokens=2048,
                           description="Q8_0 · 0.01 GB", can_chat=True)
        return self.info

    def chat(self, messages: list[dict[str, Any]], sample: Any = None) -> FakeStream:
        self.asked.append(messages)
        stream = FakeStream()
        self.streams.put(stream)
        return stream

    def unload(self) -> None:
        self.pid = None

    def close(self) -> None:
        self.is_closed = True


def chat_of(session: FakeSession, folder: Path) -> Chat:
    """The chat page's actions over a session and the history in a folder."""
    return Chat(CurrentModel(session, SettingsFile(folder)), History(folder))


def end_jobs(listed: JobList) -> None:
    """Stop what waits and runs, and wait for it."""
    for view in listed.all():
        listed.stop(view.folder)
    wait_for(lambda: all(view.is_over for view in listed.all()))
    listed.close()


def wait_for(condition: Any, seconds: float = 60.0) -> Any:
    """The first true value of condition(); AssertionError if none comes in time."""
    import time
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("nothing came in time")
