"""A job that does what its config says, for tests/ui/test_jobs.py: `python -m tests.ui.small_job RUN_DIR`."""

import dataclasses
import os
import signal
import time

from models import job, knobs, runs
from models.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallConfig:
    end: str = "done"


def work(running: job.Job) -> None:
    config = knobs.from_json(SmallConfig, runs.read_json(running.folder / runs.CONFIG))
    running.event("note", text="began")
    if config.end == "user":
        raise UserError("The rows are empty; add some.")
    if config.end == "bug":
        raise ZeroDivisionError("ours")
    if config.end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    while config.end == "deaf" or (config.end == "wait" and not running.is_stop_asked()):
        time.sleep(0.02)


if __name__ == "__main__":
    job.main(work)
