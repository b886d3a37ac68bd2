"""One long piece of housekeeping in a thread of ours: how far it is, cancelling it, how it ended."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from models.errors import UserError

log = logging.getLogger("galen.chore")
BUG = "This did not work, through a fault inside Galen; the terminal shows the details. Nothing of yours was changed."


@dataclass(frozen=True, kw_only=True)
class ChoreState:
    """What a page shows of it."""
    title: str = ""             # "" as long as nothing was begun
    words: str = ""             # what is being done now
    share: float = 0.0
    left_s: float | None = None
    outcome: str = ""           # how the last one ended well, one sentence
    problem: str = ""           # or why it did not
    is_running: bool = False


class Cancelled(UserError):
    """The person asked for it to end."""


class Progress:
    """What the work calls as it goes on; raises Cancelled once that is asked for."""

    def __init__(self, tell: Callable[[str, float], None], is_cancelled: threading.Event):
        self._tell, self._is_cancelled = tell, is_cancelled
        self._of = 1
        self._done = 0
        self._words = ""

    def begin(self, words: str, of: int) -> None:
        """A part of the work begins, which has so many bytes to go through."""
        self._words, self._of, self._done = words, max(1, of), 0
        self.add(0)

    def add(self, count: int) -> None:
        """So many more bytes are done."""
        if self._is_cancelled.is_set():
            raise Cancelled("Cancelled, as asked; everything is as it was.")
        self._done += count
        self._tell(self._words, min(1.0, self._done / self._of))


class Chore:
    """At most one at a time; pages look at its state."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_cancelled = threading.Event()
        self._began = 0.0
        self._state = ChoreState()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> ChoreState:
        """As it is now."""
        return self._state

    def start(self, title: str, work: Callable[[Progress], str]) -> None:
        """Run work, which returns how it ended. Raises UserError while another one runs."""
        with self._lock:
            if self._state.is_running:
                raise UserError(f"{self._state.title} is not done yet; wait for its end, or cancel it.")
            self._state = ChoreState(title=title, is_running=True)
            self._is_cancelled.clear()
            self._thread = threading.Thread(target=self._run, args=(work,), name="chore", daemon=True)
            self._thread.start()

    def cancel(self) -> None:
        """Ask it to end; it does so at the next piece of a file."""
        self._is_cancelled.set()

    def close(self) -> None:
        """Cancel it and wait for its end."""
        self.cancel()
        if self._thread:
            self._thread.join()

    def _run(self, work: Callable[[Progress], str]) -> None:
        self._began = time.monotonic()
        outcome, problem = "", BUG
        try:
            outcome, problem = work(Progress(self._tell, self._is_cancelled)), ""
        except UserError as error:
            problem = str(error)
        finally:
            log.info("a chore ended %s", "well" if outcome else "otherwise")
            self._state = replace(self._state, is_running=False, outcome=outcome, problem=problem)

    def _tell(self, words: str, share: float) -> None:
        if words != self._state.words:
            self._began = time.monotonic()
        spent = time.monotonic() - self._began
        left = spent * (1 - share) / share if share > 0.02 and spent > 1 else None
        self._state = replace(self._state, words=words, share=share, left_s=left)
