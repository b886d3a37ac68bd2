"""One piece of work with the chosen model for a page: done by a thread of ours, kept in memory until the next one.

It belongs to no page: a reload finds it again. What was pasted is written nowhere.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from models.errors import UserError
from runtime.config import SampleConfig
from runtime.engines import GgufEngine
from runtime.session import Session, Stream
from tasks.engine import Answered, Ids, Item
from ui.actions.model import CurrentModel

CLOSE_WAIT_S = 3.0
BUG = "Something went wrong inside Galen while this was done; the terminal shows the details."

Asked = TypeVar("Asked")
Found = TypeVar("Found")


class Stopped(Exception):
    """The person asked to stop."""


@dataclass(frozen=True, kw_only=True)
class State(Generic[Asked, Found]):
    """A piece of work as a page shows it. text: what has been written so far; version: changes with everything."""

    asked: Asked | None = None
    is_running: bool = False
    text: str = ""
    found: Found | None = None
    problem: str = ""               # why there is no result, one sentence
    is_stopped: bool = False
    seconds: float = 0.0            # that it took
    model: str = ""                 # what did it: "Galen demo Q8_0"
    fingerprint: str = ""
    version: str = "0"


class Telling(GgufEngine):
    """The engine of a loaded model that says what it writes while it writes, one answer after the other."""

    def __init__(self, session: Session, say: Callable[[str], None], is_stop_asked: threading.Event):
        """say: gets all that has been written so far."""
        super().__init__(session)
        self._say, self._is_stop_asked = say, is_stop_asked
        self._before = ""
        self._lock = threading.Lock()
        self._stream: Stream | None = None

    def score(self, items: Sequence[Item]) -> list[list[list[float]]]:
        """See Engine. Raises Stopped."""
        self._check()
        scores = super().score(items)
        self._check()
        return scores

    def answers(self, prompts: Sequence[Ids], max_tokens: int, grammar: str = "") -> list[Answered]:
        """See Engine. Raises Stopped."""
        return [self._answer(ids, SampleConfig(temperature=0.0, max_tokens=max_tokens, grammar=grammar))
                for ids in prompts]

    def stop(self) -> None:
        """End what is being written within one token."""
        with self._lock:
            self._is_stop_asked.set()
            if self._stream:
                self._stream.cancel()

    def _answer(self, ids: Ids, sample: SampleConfig) -> Answered:
        self._check()
        text = ""
        with self._session.complete(ids, sample) as stream:
            with self._lock:
                self._stream = stream
            self._check()
            for piece in stream:
                text += piece
                self._say(self._before + text)
        self._check()
        assert stream.end is not None
        self._before += text.strip() + "\n\n"
        return Answered(text=text.strip(), tokens=stream.end.generated_tokens, reason=stream.end.finish_reason)

    def _check(self) -> None:
        if self._is_stop_asked.is_set():
            raise Stopped


class Single(Generic[Asked, Found]):
    """At most one piece of work at a time; the last one is kept until another one is asked for."""

    def __init__(self, model: CurrentModel, do: Callable[[Asked, Callable[[], GgufEngine]], Found]):
        """do: asked, and how to get the model -> result; the model is kept in use from then to its end."""
        self._model, self._do = model, do
        self._lock = threading.Lock()
        self._state: State[Asked, Found] = State()
        self._count = 0
        self._is_stop_asked = threading.Event()
        self._engine: Telling | None = None
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> State[Asked, Found]:
        """As it is now."""
        return self._state

    def ask(self, asked: Asked) -> None:
        """Begin; the result comes by itself. Raises UserError while another one is being done."""
        with self._lock:
            if self._state.is_running:
                raise UserError("The one before it is still being done. Stop it, or wait for its end.")
            self._is_stop_asked = threading.Event()
            self._engine = None
            self._set(State(asked=asked, is_running=True))
            self._thread = threading.Thread(target=self._run, args=(asked, self._is_stop_asked), name="single",
                                            daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End it; what had been written stays."""
        with self._lock:
            self._is_stop_asked.set()
            engine = self._engine
        if engine:
            engine.stop()

    def forget(self) -> None:
        """Stop it, and keep nothing of it."""
        self.stop()
        with self._lock:
            self._is_stop_asked = threading.Event()     # what still runs belongs to nothing now
            self._set(State())

    def close(self) -> None:
        """Stop what runs, and wait for it a moment."""
        self.stop()
        if self._thread:
            self._thread.join(CLOSE_WAIT_S)

    def _set(self, state: State[Asked, Found]) -> None:
        self._count += 1
        self._state = replace(state, version=f"{id(self)}-{self._count}")

    def _run(self, asked: Asked, own: threading.Event) -> None:
        began = time.monotonic()
        end: State[Asked, Found] = State(asked=asked, problem=BUG)
        try:
            end = replace(end, found=self._found(asked, own), problem="")
        except Stopped:
            end = replace(end, is_stopped=True, problem="")
        except UserError as error:
            end = replace(end, problem=str(error))
        finally:
            with self._lock:
                if own is self._is_stop_asked:
                    said = self._state
                    self._set(replace(end, text=said.text, seconds=time.monotonic() - began, model=said.model,
                                      fingerprint=said.fingerprint))

    def _found(self, asked: Asked, own: threading.Event) -> Found:
        with ExitStack() as until_done:
            return self._do(asked, lambda: self._opened(until_done.enter_context(self._model.in_use(own)), own))

    def _opened(self, session: Session, own: threading.Event) -> Telling:
        """The engine, once the model is loaded. Raises Stopped, or UserError if there is none that can chat."""
        def say(text: str) -> None:
            with self._lock:
                if own is self._is_stop_asked:
                    self._set(replace(self._state, text=text))

        if own.is_set():
            raise Stopped
        engine = Telling(session, say, own)
        with self._lock:
            if own is self._is_stop_asked:
                self._engine = engine
                self._set(replace(self._state, model=self._model.state.name, fingerprint=engine.fingerprint))
        return engine
