"""The most memory that this process has for itself while something runs, seen by a thread of its own."""

import threading
import time
from types import TracebackType
from typing import Any

import psutil

SAMPLE_S = 0.1


class Peak:
    """A with statement; afterwards mb (10^6 bytes) and seconds. What is mapped from files or shared does not count."""

    def __init__(self) -> None:
        self.mb = self.seconds = 0.0

    def __enter__(self) -> "Peak":
        self._process, self._is_over = psutil.Process(), threading.Event()
        self._began = time.monotonic()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._is_over.set()
        self._sampler.join()
        self.seconds = time.monotonic() - self._began

    def _sample(self) -> None:
        while True:
            memory: Any = self._process.memory_info()
            own = getattr(memory, "private", memory.rss - getattr(memory, "shared", 0))     # Windows; Linux; macOS
            self.mb = max(self.mb, own / 1e6)
            if self._is_over.wait(SAMPLE_S):
                return
