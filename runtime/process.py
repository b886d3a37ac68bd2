"""The parent's end of a worker process: who waits for which answer, whether it still lives, how it ended."""

import queue
import signal
import subprocess
import threading
import time
from collections import deque
from typing import IO, Any

from models.errors import UserError
from runtime import child
from runtime.messages import Alive, Loaded, from_line, to_line

LOAD_NUMBER = -1                                # the number under which answers to Load arrive
END_WAIT_S = 5.0
TICK_S = 0.25
STUCK_S = 2.0                                   # silence that is shown
KILL_S = 10.0                                   # silence that ends a process which was heard before
KILL_STARTING_S = 120.0                         # and one that never was heard: a cold disk, a large library


class WorkerDied(UserError):
    """The model's process ended in the middle of a request; the next request starts a new one."""


class WorkerProcess:
    """A running `python -m runtime.worker` and the inboxes of those who wait for its answers."""

    def __init__(self, idle_s: float = 0.0):
        """idle_s: end it after so many seconds without a request; 0: never."""
        self._process = subprocess.Popen(child.command("runtime.worker"), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, **child.options())
        self.pid = self._process.pid
        self.threads = 0                        # that compute now, as the worker last said
        self.is_ending = False                  # it has been told to; it takes no request any more
        self._idle_s, self._used = idle_s, time.monotonic()
        self._inboxes: dict[int, queue.SimpleQueue[Any]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._death = ""                        # the sentence, once the process has ended
        self._said: deque[str] = deque(maxlen=40)
        self._silent_ticks = 0                  # ticks, not seconds: a laptop that slept heard nothing, and ticked not
        self._is_loaded = self._is_heard = False
        self._errors = threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True)
        self._errors.start()
        threading.Thread(target=self._read_answers, args=(self._process.stdout,), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """True while it can be asked something."""
        return not self._death and not self.is_ending and self._process.poll() is None

    @property
    def is_stuck(self) -> bool:
        """True when nothing was heard of it for STUCK_S, though it lives."""
        return self._is_heard and self.is_alive and self._silent_ticks * TICK_S >= STUCK_S

    def inbox(self, number: int) -> "queue.SimpleQueue[Any]":
        """The queue on which answers to request number arrive; a death of the process arrives there too."""
        with self._lock:
            if number not in self._inboxes:
                self._inboxes[number] = queue.SimpleQueue()
                if self._death:
                    self._inboxes[number].put(WorkerDied(self._death))
            return self._inboxes[number]

    def forget(self, number: int) -> None:
        """Nobody waits for answers to request number any more."""
        with self._lock:
            self._inboxes.pop(number, None)
            self._used = time.monotonic()

    def send(self, message: Any, is_late_ok: bool = False) -> None:
        """Write message to the worker. A dead worker answers through the inboxes, not here."""
        stdin = self._process.stdin
        assert stdin is not None
        line = to_line(message)
        try:
            with self._writing:
                stdin.write(line)
                stdin.flush()
        except (BrokenPipeError, ValueError, OSError):
            if not is_late_ok:
                self._process.wait(END_WAIT_S)  # the reader sees the end and tells every inbox

    def kill(self) -> None:
        """End it at once: it is loading, or nothing was asked of it yet."""
        self.is_ending = True
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Close the worker's stdin, which ends it; kill it if it lingers or hears nothing."""
        self.is_ending = True
        if self._silent_ticks * TICK_S >= STUCK_S:
            self._process.kill()
        stdin = self._process.stdin
        assert stdin is not None
        if self._writing.acquire(timeout=END_WAIT_S):
            try:
                stdin.close()
            except OSError:
                self._process.kill()
            finally:
                self._writing.release()
        else:                                   # somebody's message can not be delivered: it reads no more
            self._process.kill()
        try:
            self._process.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _watch(self) -> None:
        while self._process.poll() is None:
            time.sleep(TICK_S)
            self._silent_ticks += 1
            if self._silent_ticks * TICK_S >= (KILL_S if self._is_heard else KILL_STARTING_S):
                self._process.kill()
            if self._idle_s and self._is_idle():
                self.end()

    def _is_idle(self) -> bool:
        with self._lock:
            if self._inboxes or self.is_ending or not self._is_loaded:
                return False
            self.is_ending = time.monotonic() - self._used >= self._idle_s
            return self.is_ending

    def _read_answers(self, answers: IO[bytes]) -> None:
        for line in answers:
            self._silent_ticks, self._is_heard = 0, True
            message = from_line(line)
            if isinstance(message, Alive):
                self.threads = message.threads
                continue
            self._is_loaded = True
            number = LOAD_NUMBER if isinstance(message, Loaded) else message.id
            with self._lock:
                if number in self._inboxes:
                    self._inboxes[number].put(message)
        status = self._process.wait()
        self._errors.join(1.0)
        was_silent = self._silent_ticks * TICK_S >= KILL_S
        with self._lock:
            if was_silent and status == -9:
                self._death = SILENT_WORDS
            else:
                self._death = UNLOADED_WORDS if self.is_ending else _death_words(status, list(self._said))
            for inbox in self._inboxes.values():
                inbox.put(WorkerDied(self._death))

    def _read_errors(self, errors: IO[bytes]) -> None:
        for line in errors:
            self._said.append(line.decode("utf-8", "replace").rstrip())


AFTER_WORDS = "What was written so far is kept; send the message again to start it anew."
UNLOADED_WORDS = f"The model was unloaded before the answer ended. {AFTER_WORDS}"
SILENT_WORDS = f"The model's process was silent for {KILL_S:.0f} seconds and was ended. {AFTER_WORDS}"


def _death_words(status: int, said: list[str]) -> str:
    if status < 0:
        try:
            how = f"was ended by the signal {signal.Signals(-status).name}"
        except ValueError:
            how = f"was ended by the signal {-status}"
        hint = " The memory may have run out; a smaller model or a shorter context helps." if status == -9 else ""
        assertion = next((line for line in said if "GGML_ASSERT" in line or "GGML_ABORT" in line), "")
        hint += f" It said: {assertion[:200]}" if assertion else ""
    else:
        how, hint = f"ended with status {status}", f" It said: {said[-1][:200]}" if said and status else ""
    return f"The model's process {how}.{hint} {AFTER_WORDS}"
