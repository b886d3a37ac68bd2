"""What the train page shows of a run, and of each line in the list of runs: plain records."""

from dataclasses import dataclass, field
from typing import Any

from train.config import TrainConfig
from ui.actions.train_draft import Draft
from ui.actions.train_record import Record
from ui.actions.train_tables import Seen
from ui.job_list import JobView


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A preview or an estimate. made: what it wrote, {} if nothing; is_stale: it was made for other settings."""

    job: JobView | None = None
    made: dict[str, Any] = field(default_factory=dict)
    is_stale: bool = False
    left_out: tuple[dict[str, Any], ...] = ()           # of a preview: {"file", "line", "reason"}, the first ones
    findings: tuple[dict[str, Any], ...] = ()           # of a preview: every step's, in full


@dataclass(frozen=True, kw_only=True)
class RunView:
    """What the page shows of one run. config: None while it can not be made, for the reason in problem."""

    name: str
    draft: Draft | None                 # None once it has begun
    config: TrainConfig | None
    problem: str
    tables: tuple[Seen, ...]
    preview: Prepared
    estimate: Prepared
    job: JobView | None                 # None before its start
    record: Record | None


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run in the list. state: a JobView's, or "draft"."""

    name: str
    state: str
    recipe: str
    base: str
    best: float | None
    began: float                # seconds since 1970
    bytes: int | None           # None while it grows
