"""A job that does what its config, or its file END, says: `python -m tests.ui.small_job RUN_DIR`."""

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

from models import job, knobs, runs
from models.errors import UserError

END = "end.txt"                 # beside a config that is another job's


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallConfig:
    end: str = "done"


def work(running: job.Job) -> None:
    said = running.folder / END
    config = (SmallConfig(end=said.read_text()) if said.exists() else
              knobs.from_json(SmallConfig, runs.read_json(running.folder / runs.CONFIG)))
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
    if "refused" in (Path(sys.argv[1]) / runs.CONFIG).read_text():      # before it is a job, as training refuses
        print("Nothing can be done here.")
        sys.exit(2)
    job.main(work)
