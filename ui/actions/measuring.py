"""The short test of this computer's speed, taken in the background while no model answers."""

import threading
import time
from collections.abc import Callable

from models.errors import UserError
from runtime import bandwidth, estimate
from runtime.bandwidth import Bandwidth, Busy
from runtime.device import Device

START_S, RETRY_S = 6.0, 20.0    # after Galen began: the first page is drawn by then; after the computer was busy

Measure = Callable[[Callable[[], bool]], Bandwidth]


def _gpus() -> tuple[Device, ...]:
    return estimate.library().gpus


class Measuring:
    """Begins when it is first asked for anything; until it has ended, nothing is known."""

    def __init__(self, is_busy: Callable[[], bool], known: Callable[[], Bandwidth | None] = bandwidth.known,
                 measure: Measure = bandwidth.measure, gpus: Callable[[], tuple[Device, ...]] = _gpus,
                 start_s: float = START_S, retry_s: float = RETRY_S):
        """is_busy: a model answers, or is being loaded; then nothing is measured, and what has begun is ended."""
        self._start_at = time.monotonic() + start_s
        self._is_busy, self._known, self._measure, self._ask_gpus, self._retry_s = (
            is_busy, known, measure, gpus, retry_s)
        self._lock, self._is_closed = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._gpus: tuple[Device, ...] | None = None
        self._found: Bandwidth | None = None
        self._problem = ""

    def bandwidth(self) -> Bandwidth | None:
        """What was measured of the processor; None while nothing was."""
        self._begin()
        return self._found

    def gpus(self) -> tuple[Device, ...] | None:
        """The GPUs that llama.cpp can use here; None while it is being asked."""
        self._begin()
        return self._gpus

    def problem(self) -> str:
        """Why nothing is measured yet, one sentence; "" while it is being measured."""
        return self._problem

    def close(self) -> None:
        """End what runs."""
        self._is_closed.set()
        if self._thread:
            self._thread.join()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._is_closed.is_set():
                self._thread = threading.Thread(target=self._run, name="measuring", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        if self._is_closed.wait(max(0.0, self._start_at - time.monotonic())):
            return
        try:
            self._gpus, self._found = self._ask_gpus(), self._known()
        except UserError as error:              # llama.cpp's library can not be used: no model will run either
            self._problem = str(error)
            return
        while self._found is None and not self._is_closed.is_set():
            try:
                if self._is_busy():
                    raise Busy("The speed of this computer is measured when no model is in use.")
                self._found = self._measure(lambda: self._is_closed.is_set() or self._is_busy())
                self._problem = ""
            except Busy as error:
                self._problem = str(error)
                self._is_closed.wait(self._retry_s)
            except UserError as error:
                self._problem = str(error)
                return
