"""Scores of a small model by several workers at once, one thread each: its threads would wait for each other."""

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.header import read_header
from runtime.config import LoadConfig
from runtime.device import default_threads, machine, physical_cores
from runtime.session import Session
from tasks.engine import Item

PART = 4                                # items of a call; fixed, so that figures do not depend on the number of workers
MOST, MEMORY_MB = 8, 500                # workers; what one of a small model takes at most
Scores = list[list[list[float]]]


def count(path: Path, config: LoadConfig) -> int:
    """How many workers a model is worth: 1 where its threads are chosen by hand, or it is not small."""
    if config.threads or config.exact or config.device or default_threads(read_header(path).parameters) > 1:
        return 1
    return max(1, min(physical_cores()[1], MOST, machine().free_mb // MEMORY_MB))


class Copies:
    """Further sessions of one model, loaded when there is first enough to do for them."""

    def __init__(self, path: Path, config: LoadConfig, workers: int):
        """config: as the first session was loaded."""
        self._path, self._config, self._workers = path, config, workers
        self._sessions: list[Session] = []
        self._free: queue.SimpleQueue[Session] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(workers)

    def score(self, items: Sequence[Item], first: Callable[[Sequence[Item]], Scores]) -> Scores:
        """The scores of items in order; first: who scores them where they are too few to be divided.

        Raises UserError for a model that can not be loaded again, and WorkerDied; the next call starts a new worker.
        """
        parts = [items[start:start + PART] for start in range(0, len(items), PART)]
        if len(parts) < 2:
            return first(items)
        if not self._sessions:
            self._load()
        return [scores for part in self._pool.map(self._part, parts) for scores in part]

    def _load(self) -> None:
        sessions = [Session() for _ in range(self._workers)]
        try:
            for _ in self._pool.map(lambda session: session.load(self._path, self._config), sessions):
                pass                    # each raises what went wrong
        except BaseException:
            for session in sessions:
                session.close()
            raise
        self._sessions = sessions
        for session in sessions:
            self._free.put(session)

    def _part(self, part: Sequence[Item]) -> Scores:
        session = self._free.get()
        try:
            return session.score(part)
        finally:
            self._free.put(session)

    def close(self) -> None:
        """End the workers."""
        for session in self._sessions:
            session.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
