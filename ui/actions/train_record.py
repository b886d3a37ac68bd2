"""What the events of one training say: its curve, its validation answers, its notes; read on from where one was."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import runs
from models.errors import UserError
from train.curve import Stage, stages_of

CURVE = ("step", "eval", "resume")
NOTES = 60                      # the newest ones that are kept
Read = Callable[[Path, int], tuple[list[dict[str, Any]], int]]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A validation row and what the model said to it. by_step: (optimizer step of its stage, answer), in order."""

    stage: str
    question: str
    reference: str
    by_step: tuple[tuple[int, str], ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A training so far. left_out: events of rows that were left out, the first of them; result: {} before the end."""

    stages: tuple[Stage, ...]
    answers: tuple[Answers, ...]
    notes: tuple[str, ...]
    left_out: tuple[dict[str, Any], ...]
    steps: int                  # of the stage that learns now; 0 before the first
    result: dict[str, Any]
    promise: dict[str, Any]

    def best(self) -> float | None:
        """The validation loss of the adapter that was kept, of the last stage; None before the first evaluation."""
        last = self.stages[-1]
        kept = last.kept()
        return None if kept is None else float(last.evals[kept]["loss"])


class Reader:
    """Follows the events of runs. May be used from several threads."""

    def __init__(self, read: Read):
        """read: the whole lines after a position of a folder's events, and the position after them."""
        self._read, self._lock = read, threading.Lock()
        self._known: dict[Path, _Followed] = {}

    def record(self, folder: Path) -> Record:
        """What the run in folder says now."""
        with self._lock:
            followed = self._known.setdefault(folder, _Followed())
            size = _size(folder / runs.EVENTS)
            if size < followed.position:                # another file by that name
                followed = self._known[folder] = _Followed()
            if size > followed.position:
                events, followed.position = self._read(folder, followed.position)
                followed.take(events)
            return followed.record(folder)

    def forget(self, folder: Path) -> None:
        """The folder is gone."""
        with self._lock:
            self._known.pop(folder, None)


class _Followed:
    """The events of one run as far as they were read."""

    def __init__(self) -> None:
        self.position, self.steps = 0, 0
        self.curve: list[dict[str, Any]] = []
        self.samples: dict[tuple[str, int], dict[str, Any]] = {}
        self.notes: list[str] = []
        self.left_out: list[dict[str, Any]] = []

    def take(self, events: Sequence[dict[str, Any]]) -> None:
        for event in events:
            kind = event["kind"]
            if kind in CURVE:
                self.curve.append(event)
                self.steps = event.get("steps", self.steps)
            if kind == "resume":
                self._go_back(event.get("stage", ""), event["step"])
            elif kind == "sample":
                row = self.samples.setdefault((event.get("stage", ""), event["row"]), {"by_step": {}})
                row |= {name: event.get(name, "") for name in ("question", "reference")}
                row["by_step"][event["step"]] = event.get("answer", "")
            elif kind == "note":
                self.notes = [*self.notes, str(event["text"])][-NOTES:]
            elif kind == "row" and event not in self.left_out:
                self.left_out.append(event)

    def _go_back(self, stage: str, step: int) -> None:
        """What came after the step at which a run was resumed never was."""
        for (of_stage, _), row in self.samples.items():
            if of_stage == stage:
                row["by_step"] = {at: answer for at, answer in row["by_step"].items() if at <= step}

    def record(self, folder: Path) -> Record:
        answers = tuple(Answers(stage=stage, question=row["question"], reference=row["reference"],
                                by_step=tuple(sorted(row["by_step"].items())))
                        for (stage, _), row in self.samples.items())
        return Record(stages=tuple(stages_of(self.curve)), answers=answers, notes=tuple(self.notes), steps=self.steps,
                      left_out=tuple(self.left_out), result=json_of(folder / runs.RESULT),
                      promise=json_of(folder / runs.ESTIMATE))


def json_of(path: Path) -> dict[str, Any]:
    """A JSON object that a job wrote; {} where there is none, or none that is whole."""
    if not path.is_file():
        return {}
    try:
        value = runs.read_json(path)
    except UserError:
        return {}
    return value if isinstance(value, dict) else {}


def lines_of(path: Path, most: int) -> list[dict[str, Any]]:
    """The first lines of a file of JSON lines; [] where there is none."""
    if not path.is_file():
        return []
    found = []
    with path.open(encoding="utf-8") as file:
        for line, _ in zip(file, range(most), strict=False):
            found.append(json.loads(line))
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
