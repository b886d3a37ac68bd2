"""A model whose answers a test writes, under the endpoints of /v1: the real method names, no process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

from models.errors import UserError
from models.library import LocalModel
from runtime.messages import End, Loaded
from ui.actions.model import ModelState
from ui.api import openai
from ui.api.limits import Admission

INFO = Loaded(path="demo.gguf", name="demo", fingerprint="7f3a9c21d0b1e2f3", ctx_tokens=512, description="Q8_0",
              can_chat=True, slots=2)
HELLO = [{"role": "user", "content": "hello"}]


class FakeStream:
    """Gives the pieces of a script: texts, (text, tokens of it), exceptions. Waits before a None until it is closed."""

    def __init__(self, script: list[Any], end: dict[str, Any]):
        self._script, self._end = script, end
        self._closed = threading.Event()
        self.end: End | None = None
        self.logprobs: list[dict[str, Any]] = []
        self.is_cancelled = False

    def __iter__(self) -> Iterator[str]:
        for piece in self._script:
            if piece is None:
                assert self._closed.wait(60)
            if self._closed.is_set():
                return
            if isinstance(piece, Exception):
                raise piece
            text, tokens = piece if isinstance(piece, tuple) else (piece, [])
            self.logprobs += tokens
            if text:
                yield text
        self.end = End(**{**dict(id=1, finish_reason="stop", prompt_tokens=9, cached_tokens=4, generated_tokens=2,
                                 first_token_s=0.1, tokens_per_s=31.0, fingerprint=INFO.fingerprint, dropped_turns=0),
                          **self._end})

    def close(self) -> None:
        self.is_cancelled = self.is_cancelled or self.end is None
        self._closed.set()

    def __enter__(self) -> "FakeStream":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class FakeSession:
    """Answers by a script; keeps what it was asked."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As nobody had asked it yet."""
        self.info: Loaded | None = INFO
        self.script: list[Any] = ["Hel", "lo"]
        self.end: dict[str, Any] = {}
        self.asked: list[Any] = []
        self.samples: list[Any] = []
        self.streams: list[FakeStream] = []
        self.prompt_tokens = 0

    def chat(self, messages: list[dict[str, Any]], sample: Any) -> FakeStream:
        return self._answer(messages, sample)

    def complete(self, prompt: Any, sample: Any) -> FakeStream:
        return self._answer(prompt, sample)

    def _answer(self, asked: Any, sample: Any) -> FakeStream:
        self.asked.append(asked)
        self.samples.append(sample)
        self.streams.append(FakeStream(self.script, self.end))
        return self.streams[-1]

    def prompt_ids(self, messages: list[dict[str, Any]]) -> list[int]:
        return [7] * self.prompt_tokens

    def encode(self, text: str) -> list[int]:
        return [7] * self.prompt_tokens

    def embed(self, texts: list[str]) -> list[list[float]]:
        self.asked.append(texts)
        return [[0.6, 0.8]] * len(texts)


class FakeModel:
    """One listed model; problem is raised when it is to be used."""

    def __init__(self, session: FakeSession):
        self._session = session
        self.begin()

    def begin(self) -> None:
        """As nobody had used it yet."""
        self.problem: Exception | None = None
        self.state = ModelState()
        self.users, self.waiting_job = 0, ""

    def all(self) -> list[LocalModel]:
        return [LocalModel(name="demo", title="Demo", path=Path("demo.gguf"))]

    @contextmanager
    def using(self, name: str, wait_s: float) -> Iterator[FakeSession]:
        if name != "demo":
            raise UserError(f"There is no model {name!r} here any more.")
        if self.problem:
            raise self.problem
        self.users += 1
        try:
            yield self._session
        finally:
            self.users -= 1


class FakeBench:
    """What the router needs of a workbench, and the application with nothing but the router."""

    def __init__(self, **limits: float) -> None:
        self.session = FakeSession()
        self.model = FakeModel(self.session)
        self.app = FastAPI()
        bench: Any = SimpleNamespace(session=self.session, model=self.model)
        session: Any = self.session
        self.app.include_router(openai.router(bench, Admission(session, **limits)))
