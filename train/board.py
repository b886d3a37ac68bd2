"""A run as TensorBoard reads it: one record a step, written at once and without a thread of its own."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from models import runs

FLUSH_S = 30.0                  # a flush waits for the disk


class Board:
    """The event file of a run. tensorboardX's own SummaryWriter waits for ever once its disk is full; this one ends."""

    def __init__(self, folder: Path, step: int):
        """step: from which the run goes on; records of later steps, of the process before, no longer count."""
        runs.make_folder(folder)
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        self._flushed, self._is_full = time.monotonic(), False
        event = Event(wall_time=time.time(), step=step)
        event.session_log.status = SessionLog.START
        self._write(event)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """The numbers of a step."""
        event = Event(wall_time=time.time(), step=step)
        for name, value in values.items():
            event.summary.value.add(tag=name, simple_value=value)
        self._write(event)

    def close(self) -> None:
        """End the file."""
        self._until_full(self._writer.close)

    def _write(self, event: Any) -> None:
        self._until_full(lambda: self._writer.write_event(event))
        if time.monotonic() - self._flushed > FLUSH_S:
            self._flushed = time.monotonic()
            self._until_full(self._writer.flush)

    def _until_full(self, write: Callable[[], Any]) -> None:
        """Nothing more is written to a disk that was full once."""
        if self._is_full:
            return
        try:
            write()
        except OSError as error:
            if not runs.is_disk_full(error):
                raise
            self._is_full = True
