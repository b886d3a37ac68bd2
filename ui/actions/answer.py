"""What `answer` does: questions of a file -> answers, in a job of its own."""

from evaluation.batch.config import AnswerConfig
from ui.actions import batch
from ui.actions.batch import Wishes


def config_of(wishes: Wishes, *, kind: str = "", by: str = "", threshold: float | None = None, calibration: str = "",
              max_tokens: int | None = None) -> AnswerConfig:
    """The task that is wished for. Raises UserError for what does not fit."""
    return batch.config_of(AnswerConfig, wishes, {
        "kind": kind, "by": by, "threshold": threshold, "calibration": batch.existing(calibration),
        "max_tokens": max_tokens})
