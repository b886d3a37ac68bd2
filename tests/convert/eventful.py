"""A job to which something happens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.job import Job


class Eventful(Job):
    """A job at whose first event with that text something happens: the disk fills up, somebody presses Stop."""

    def __init__(self, folder: Path, text: str, happens: Callable[[], Any]):
        super().__init__(folder)
        self.text, self.happens = text, happens

    def event(self, kind: str, **values: Any) -> None:
        super().event(kind, **values)
        if str(values.get("text", "")).startswith(self.text):
            self.text = "\0"
            self.happens()
