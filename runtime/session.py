"""The parent's handle on a worker process: load a model, stream answers, cancel, survive its death."""

import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from models import knobs, runs
from models.errors import UserError
from models.header import read_header
from runtime.config import LoadConfig, SampleConfig
from runtime.messages import Cancel, Chat, End, Failed, Load, Loaded, Piece, Score, Scored, from_line, to_line

ModelInfo = Loaded
DEFAULT_LOAD, DEFAULT_SAMPLE = LoadConfig(), SampleConfig()
LOAD_NUMBER = -1                                # the number under which answers to Load arrive
END_WAIT_S = 5.0


class WorkerDied(UserError):
    """The model's process ended in the middle of a request; the next request starts a new one."""


class Stream:
    """One answer on its way: iterate for pieces of text; end holds the figures once it is exhausted."""

    def __init__(self, session: "Session", number: int, worker: "_Process"):
        self._session, self._number, self._worker = session, number, worker
        self.end: End | None = None

    def __iter__(self) -> Iterator[str]:
        """Pieces of text, whole characters. Raises WorkerDied, or UserError for a request that can not be served."""
        inbox = self._worker.inbox(self._number)
        try:
            while True:
                message = inbox.get()
                if isinstance(message, Piece):
                    yield message.text
                elif isinstance(message, End):
                    self.end = message
                    return
                else:
                    raise _as_error(message)
        finally:
            self._worker.forget(self._number)

    def cancel(self) -> None:
        """Ask the worker to end this answer; it obeys before its next token. May be called from any thread."""
        self._worker.send(Cancel(self._number), is_late_ok=True)


class Session:
    """One model at a time in one worker process. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._worker: _Process | None = None
        self._wanted: tuple[Path, LoadConfig] | None = None
        self.info: ModelInfo | None = None      # of the model that is loaded, or was when the worker died

    @property
    def pid(self) -> int | None:
        """The worker's process id while it lives."""
        worker = self._worker
        return worker.pid if worker and worker.is_alive else None

    def load(self, path: Path, config: LoadConfig = DEFAULT_LOAD) -> ModelInfo:
        """Have path loaded with config; returns at once if it already is.

        Raises UserError if the file can not be used; the model that was loaded before is gone then.
        """
        path = path.expanduser().resolve()
        with self._lock:
            if self._wanted == (path, config) and self.info and self.pid is not None:
                return self.info
            read_header(path)                   # refuses a broken file before native code sees it
            self.close()
            return self._start(path, config)

    def _start(self, path: Path, config: LoadConfig) -> ModelInfo:
        self._worker = worker = _Process()
        inbox = worker.inbox(LOAD_NUMBER)
        worker.send(Load(str(path), knobs.to_json(config)))
        answer = inbox.get()
        worker.forget(LOAD_NUMBER)
        if not isinstance(answer, Loaded):
            self.close()
            raise _as_error(answer)
        self._wanted, self.info = (path, config), answer
        return answer

    def chat(self, messages: Sequence[dict[str, Any]], sample: SampleConfig = DEFAULT_SAMPLE) -> Stream:
        """Start an answer to messages; a worker that died is started anew first.

        Raises UserError if no model is loaded, or the loaded one has no chat template.
        """
        with self._lock:
            worker = self._ready()
            if self.info and not self.info.can_chat:
                raise UserError(f"{Path(self.info.path).name} has no chat template, so it is not known how to talk "
                                "to it; choose an instruction-tuned model.")
            number = next(self._numbers)
            worker.inbox(number)
            worker.send(Chat(number, [dict(m) for m in messages], knobs.to_json(sample)))
            return Stream(self, number, worker)

    def score(self, ids: Sequence[int], start: int) -> list[float]:
        """log p(ids[k] | ids[:k]) in nats for each k >= start (start >= 1)."""
        with self._lock:
            worker = self._ready()
            number = next(self._numbers)
            inbox = worker.inbox(number)
            worker.send(Score(number, list(ids), start))
        answer = inbox.get()
        worker.forget(number)
        if not isinstance(answer, Scored):
            raise _as_error(answer)
        return answer.logprobs

    def close(self) -> None:
        """End the worker and give its memory back. The session can be used again."""
        with self._lock:
            if self._worker:
                self._worker.end()
            self._worker, self._wanted, self.info = None, None, None

    def _ready(self) -> "_Process":
        if self._wanted is None:
            raise UserError("No model is loaded; choose one first.")
        if self._worker is None or not self._worker.is_alive:
            self._start(*self._wanted)
        assert self._worker is not None
        return self._worker


class _Process:
    """A running `python -m runtime.worker` and the inboxes of those who wait for its answers."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(runs.ROOT), "PYTHONUTF8": "1"}
        flags: dict[str, Any] = {"creationflags": 0x08000000} if sys.platform == "win32" else {}  # no console window
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runtime.worker"], env=environment, cwd=runs.ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **flags)
        self.pid = self._process.pid
        self._inboxes: dict[int, queue.SimpleQueue[Any]] = {}
        self._lock = threading.Lock()
        self._death = ""                        # the sentence, once the process has ended
        self._said: deque[str] = deque(maxlen=40)
        self._errors = threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True)
        self._errors.start()
        threading.Thread(target=self._read_answers, args=(self._process.stdout,), daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return not self._death and self._process.poll() is None

    def inbox(self, number: int) -> "queue.SimpleQueue[Any]":
        """The queue on which answers to request number arrive; a death of the process arrives there too."""
        with self._lock:
            if number not in self._inboxes:
                self._inboxes[number] = queue.SimpleQueue()
                if self._death:
                    self._inboxes[number].put(WorkerDied(self._death))
            return self._inboxes[number]

    def forget(self, number: int) -> None:
        with self._lock:
            self._inboxes.pop(number, None)

    def send(self, message: Any, is_late_ok: bool = False) -> None:
        """Write message to the worker. A dead worker answers through the inboxes, not here."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            with self._lock:
                stdin.write(to_line(message))
                stdin.flush()
        except (BrokenPipeError, ValueError, OSError):
            if not is_late_ok:
                self._process.wait(END_WAIT_S)  # the reader sees the end and tells every inbox

    def end(self) -> None:
        """Close the worker's stdin, which ends it; kill it if it lingers."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            self._process.kill()
        try:
            self._process.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_answers(self, answers: IO[bytes]) -> None:
        for line in answers:
            message = from_line(line)
            number = LOAD_NUMBER if isinstance(message, Loaded) else message.id
            with self._lock:
                if number in self._inboxes:
                    self._inboxes[number].put(message)
        status = self._process.wait()
        self._errors.join(1.0)
        with self._lock:
            self._death = _death_words(status, list(self._said))
            for inbox in self._inboxes.values():
                inbox.put(WorkerDied(self._death))

    def _read_errors(self, errors: IO[bytes]) -> None:
        for line in errors:
            self._said.append(line.decode("utf-8", "replace").rstrip())


def _death_words(status: int, said: list[str]) -> str:
    if status < 0:
        try:
            how = f"was ended by the signal {signal.Signals(-status).name}"
        except ValueError:
            how = f"was ended by the signal {-status}"
        hint = " The memory may have run out; a smaller model or a shorter context helps." if status == -9 else ""
    else:
        how, hint = f"ended with status {status}", f" It said: {said[-1][:200]}" if said and status else ""
    return (f"The model's process {how}.{hint} What was written so far is kept; "
            "send the message again to start it anew.")


def _as_error(message: Any) -> Exception:
    if isinstance(message, Failed):
        return UserError(message.text) if message.is_users else RuntimeError(message.text)
    return message if isinstance(message, Exception) else RuntimeError(f"unexpected answer {message!r}")
