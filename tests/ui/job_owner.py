"""A process that owns a job list and is killed by a test: `python -m tests.ui.job_owner HOME COMMAND ...`.

wait: submits two heavy jobs that wait to be stopped, and says their folders. lend: one that wants all the memory.
"""

import sys
import time
from pathlib import Path

from tests.ui.fakes import FakeSession
from tests.ui.small_job import SmallConfig
from ui.actions.model import CurrentModel
from ui.job_list import JobList
from ui.settings import SettingsFile

MODULE = "tests.ui.small_job"


def main(home: Path, what: str) -> None:
    model = CurrentModel(FakeSession(), SettingsFile(home))
    model.preload(home / "demo.gguf")
    listed = JobList(home, model)
    count, memory_mb = (2, 0.0) if what == "wait" else (1, 1e9)
    for number in range(count):
        print(listed.submit(MODULE, SmallConfig(end="wait"), kind="train", title=f"Run {number}", name=f"run{number}",
                            memory_mb=memory_mb), flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
